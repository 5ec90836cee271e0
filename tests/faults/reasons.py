"""What the report must say of each hostile input: words that its benign twin's report does not hold.

The first pattern that matches the whole name of an input counts.
"""

from __future__ import annotations

import re

UNSAID = "the report is that of the record without the result"
"""Of a result that was taken back, that is not known yet, or that is none of ours nothing is said: it does not exist."""

_NOT_JSON = "The input is not JSON: "
_UNREADABLE = "Because: value cannot be read"
_CHANGED = " instead of "
_UNMAPPED = "Codes that look like markers and are mapped by nobody: "
_UNDATED = "Because: no collection date"
_NO_DATE = "Because: collection date of no use: "
_FUTURE = "Because: collection date in the future"

_TABLE = (
    # the input as a whole
    (r".* a lone surrogate", "JSON"),
    (r"cut off after .*", "The JSON ends too early, at line "),
    (r"input: (nothing|white space)", "The input is empty"),
    (r"input: (null|number|text)", "The input is JSON, but no FHIR resource"),
    (r"input: (empty list|resourceType .*|entry .*)", "The input names no patient"),
    (r"input: (empty object|no resourceType)", "The input has no resourceType"),
    (r"input: UTF-.*", _NOT_JSON + "it is UTF-"),
    (r"input: gzip", _NOT_JSON + "it is compressed with gzip"),
    (r"input: (Latin-1|overlong UTF-8)", "The input is not UTF-8 at line "),
    (r"input: XML", _NOT_JSON + "it is XML or HTML"),
    (r"input: HL7 v2", _NOT_JSON + "it is an HL7 v2 message"),
    (r"input: (trailing brace|two documents)", _NOT_JSON + "trailing characters"),
    (r"input: (deep lists|deep objects)|extension nested .*", "The input is nested too deeply"),
    (r"input: .*", _NOT_JSON),
    (r"subject .*|a second patient", "The input holds 2 patients (Patient/a01, "),
    # the entry
    (r"resource (an empty object|an object of nulls)", "no FHIR resource: it has no resourceType (Bundle.entry["),
    (r"resource .*", "an entry without resource (Bundle.entry["),
    (r"resourceType observation", "'observation' is no resource type"),
    (r"resourceType Observations", "'Observations' is no resource type"),
    (r"resourceType (Media|DiagnosticReport)", UNSAID),
    # what it is
    (r"status ('cancelled'|'entered-in-error')|status twice, the last in error", UNSAID),
    (r"status '(preliminary|registered|unknown)'", "it does not count yet (Bundle.entry["),
    (r"status .*", "is none that FHIR knows (Bundle.entry["),
    (r"code 'pdl1-ev'", "EV-PD-L1: kept as a reference"),
    (r"code 'trpc5-tissue'|code of two markers", "Because: a different analyte"),
    (
        r"code (a number|null|true|an empty .*|a list of null|empty text|NUL|missing)",
        "it has no code that can be read (Bundle.entry[",
    ),
    (r"code\.coding .*", "it has no code that can be read (Bundle.entry["),
    (r"100,000 codings, none ours", UNSAID),
    (r"code( |\.coding\.).*", _UNMAPPED),
    # its value
    (r"value (|NaN|-?Infinity|06\.3|6\.|\.5|\+6\.3|6_3|0x10|6,3|nan|6\.3\.3|--6\.3)", _NOT_JSON),
    (r"value -(6\.3|1e308)", "Because: negative value"),
    (r"value (0|-0\.0)", "TRPC5-EV: NO FLAG"),
    (r"value twice, the last one low", "2.0 10*6/mL  [latest"),
    (r"value (null|missing)|valueQuantity (null|an empty object|missing)", "Because: no value"),
    (r"comparator '<=?'", "Note: A value below a limit of its assay is an interval."),
    (r"(value\w*|comparator) .*|failed quality control", _UNREADABLE),
    (r"another value for the same specimen", "Because: different values for one day"),
    (r"unit (' '|null|an empty list|an empty object|empty text|missing)", "Because: no unit"),
    (r"unit (a number|true|a list of null)", _UNREADABLE),
    (r"unit '(ng/mL|\\xb5g/mL|\\u03bcg/mL|%|\{MFI\})'", _CHANGED),
    (r"unit .*", "Because: unit does not convert"),
    # when
    (r"(effectiveDateTime|Specimen\.collected) '(2099-04-07|2025-04-22|9999-12-31)'", _FUTURE),
    (r"(effectiveDateTime|Specimen\.collected) (' '|null|an empty list|an empty object|empty text)", _UNDATED),
    (r"effectivePeriod (null|an empty .*|empty text|with end only)|no collection at all", _UNDATED),
    (r"effectivePeriod .*", _NO_DATE + "its effectivePeriod "),
    (r"(effectiveDateTime|Specimen\.collected) .*", _NO_DATE),
    (r"issued .*|corrected after the day", UNSAID),
    # how it was measured
    (r"(Specimen) (of serum|in heparin|precipitated)|(performer|method|device) another", _CHANGED),
    (r"(performer\.identifier\.value|method\.coding\.code|device\.display) NUL", _CHANGED),
    (r"(specimen|specimen\.reference) .*", "missing: specimen type (serum or plasma), tube additive, isolation method"),
    (r"Specimen\.type .*", "Because: missing: specimen type (serum or plasma)"),
    (r"Specimen\.container .*", "Because: missing: tube additive"),
    (r"Specimen\.processing .*", "Because: missing: isolation method"),
    (r"performer.*", "Because: missing: laboratory"),
    (r"method.*", "Because: missing: assay"),
    (r"device.*", "Because: missing: instrument"),
    (r"(reagents|normaliser|reagent-lot) (another|NUL)|limit of detection above the value", _CHANGED),
    (r"reagents .*", "Because: missing: reagents (antibody clone or primer set)"),
    (r"normaliser .*", "Because: missing: normaliser"),
    (r"reagent-lot .*", "Because: missing: reagent lot"),
    (r"component .*|500,000 components of nothing", "Because: missing: haemolysis index"),
    (r"total-ev (NaN|Infinity)", _NOT_JSON),
    (r"total-ev .*", "Cannot be excluded: suspected: total EV count of "),
    (r"haemolysis ('present'|clear and present)", "Because: specimen haemolysed"),
    (r"lipaemia 'present'", "Because: specimen lipaemic"),
    (r"residual-platelets 'present'", "Because: platelets left in the plasma"),
    (r"haemolysis .*", "Because: missing: haemolysis index"),
    (r"lipaemia .*", "Because: missing: lipaemia index"),
    (r"residual-platelets .*", "Because: missing: residual platelets in the plasma"),
)
REASONS = tuple((re.compile(pattern, re.DOTALL), words) for pattern, words in _TABLE)


def reason_for(name: str) -> tuple[int, str]:
    """Which row of the table speaks of the input of that name, and what the report must say. KeyError if none does."""
    for number, (pattern, words) in enumerate(REASONS):
        if pattern.fullmatch(name):
            return number, words
    raise KeyError(name)
