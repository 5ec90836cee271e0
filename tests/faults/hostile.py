"""Hostile inputs: records that were made to crash a reader, or to raise a flag that they do not deserve.

Each is archetype A01, whose last result confirms a rise as of `AS_OF`, with something wrong in that result (or in the
whole input). None may crash, none may read as `suspected`; each has a twin of the same shape with a legal, equivalent
value, which must stay `suspected`, so that refusing everything is no way to pass.
"""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from tests.faults.drafts import Change, Draft, Path, at, both, drop, put
from tests.faults.literals import (
    CHECKS,
    CODES,
    COMPARATORS,
    DATES,
    DEEP,
    ENTRIES,
    MEGABYTE,
    NO_NUMBER,
    OTHER_VALUES,
    STATUSES,
    SYSTEMS,
    TEXTS,
    TOTALS,
    UNITS,
    VALUES,
    WRONG,
)  # fmt: skip

AS_OF = date(2025, 4, 21)

_MARKER = "https://exowatch.example/fhir/CodeSystem/exosomal-marker"


@dataclass(frozen=True, slots=True)
class Hostile:
    """One input. `must_not_flag` is False where the fault lies in something that the state may not depend on."""

    name: str
    data: bytes
    twin: bytes
    must_not_flag: bool = True


def hostile_inputs() -> list[Hostile]:
    """Every hostile input with its twin; names are unique."""
    return [*_values(), *_elements(), *_dates(), *_components(), *_whose(), *_known(), *_whole()]


def _made(name: str, change: Change, twin: Change, must_not_flag: bool = True) -> Hostile:
    spoilt, kept = Draft(), Draft()
    change(spoilt)
    twin(kept)
    return Hostile(name, spoilt.to_bytes(), kept.to_bytes(), must_not_flag)


def _each(
    title: str, path: Path, literals: Sequence[tuple[str, str]], twin: Change, of: str = "result"
) -> Iterator[Hostile]:
    for label, literal in literals:
        yield _made(f"{title} {label}", put(path, literal, of), twin)


_QUANTITY = ("valueQuantity",)
_CODING = ("code", "coding", 0)
_LONGER = put((*_QUANTITY, "value"), "6.30")
_EXPONENT = put((*_QUANTITY, "value"), "63E-1")
_PLAIN_UNIT = put((*_QUANTITY, "code"), '"10*6/mL"')
_SINGLE_PARTICLES = both(
    put((*_QUANTITY, "value"), "6300000"), put((*_QUANTITY, "code"), '"{particles}/mL"')
)  # the same value in another unit of the family


def _values() -> Iterator[Hostile]:
    yield from _each("value", (*_QUANTITY, "value"), VALUES, _LONGER)
    yield from _each("value", (*_QUANTITY, "value"), NO_NUMBER, _EXPONENT)
    yield from _each("comparator", (*_QUANTITY, "comparator"), COMPARATORS, put((*_QUANTITY, "comparator"), '">="'))
    yield from _each("unit", (*_QUANTITY, "code"), UNITS, _PLAIN_UNIT)
    yield from _each("unit", (*_QUANTITY, "code"), WRONG, _SINGLE_PARTICLES)
    yield _made("unit missing", drop((*_QUANTITY, "code")), _PLAIN_UNIT)
    yield from _each("unit system", (*_QUANTITY, "system"), SYSTEMS, drop((*_QUANTITY, "system")))
    label = (*_QUANTITY, "unit")
    yield _made("unit shown differs from coded", put(label, '"10*9/mL"'), put(label, '"10*6{particles}/mL"'))
    yield _made("value missing", drop((*_QUANTITY, "value")), _LONGER)
    yield from _each("valueQuantity", _QUANTITY, WRONG, _LONGER)
    yield _made("valueQuantity missing", drop(_QUANTITY), _LONGER)
    quantity = '{"value":6.3,"code":"10*6/mL"}'
    yield _made("valueQuantity a list", put(_QUANTITY, f"[{quantity}]"), put(_QUANTITY, quantity))
    for name, literal in OTHER_VALUES:
        yield _made(f"{name} alone", both(drop(_QUANTITY), put((name,), literal)), _EXPONENT)
        yield _made(f"{name} beside valueQuantity", put((name,), literal), _LONGER)
    absent = '{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/data-absent-reason","code":"error"}]}'
    yield _made("value and dataAbsentReason", put(("dataAbsentReason",), absent), _LONGER)
    system = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
    failed, high = (f'[{{"coding":[{{"system":"{system}","code":"{code}"}}]}}]' for code in ("QCF", "H"))
    yield _made("failed quality control", put(("interpretation",), failed), put(("interpretation",), high))
    twice = '{"value":6.3,"value":2.0,"code":"10*6/mL"}'
    yield _made("value twice, the last one low", put(_QUANTITY, twice), put(_QUANTITY, quantity))
    twice = '{"value":2.0,"value":6.3,"code":"10*6/mL"}'
    # JSON leaves open which of two equal names counts; readers take the last.
    yield _made("value twice, the last one high", put(_QUANTITY, twice), put(_QUANTITY, quantity), False)


def _elements() -> Iterator[Hostile]:
    amended = put(("status",), '"amended"')
    yield from _each("status", ("status",), STATUSES, amended)
    yield from _each("status", ("status",), WRONG, amended)
    yield _made("status missing", drop(("status",)), amended)
    twice = put(("status",), '"final","status":"entered-in-error"')
    yield _made("status twice, the last in error", twice, amended)

    # FHIR allows no space around a code, yet what it means is plain.
    spaced = put((*_CODING, "code"), '"trpc5-ev "')
    more = put(
        ("code", "coding"), f'[{{"system":"http://loinc.org","code":"x"}},{{"system":"{_MARKER}","code":"trpc5-ev"}}]'
    )
    yield _made("code followed by a space", spaced, more, False)
    yield from _each("code", (*_CODING, "code"), CODES, more)
    yield from _each("code.coding.code", (*_CODING, "code"), WRONG, more)
    yield from _each("code.coding.system", (*_CODING, "system"), WRONG, more)
    yield from _each("code.coding.system", (*_CODING, "system"), SYSTEMS, more)
    yield _made("code.coding.system missing", drop((*_CODING, "system")), more)
    yield from _each("code.coding", ("code", "coding"), WRONG, more)
    yield from _each("code", ("code",), WRONG, more)
    yield _made("code missing", drop(("code",)), more)
    yield _made("code only as text", put(("code",), '{"text":"trpc5-ev"}'), put(("code", "text"), '"TRPC5"'))
    both = f'[{{"system":"{_MARKER}","code":"trpc5-ev"}},{{"system":"{_MARKER}","code":"hotair-ev"}}]'
    yield _made("code of two markers", put(("code", "coding"), both), more)

    absolute = put(("specimen", "reference"), '"https://exowatch.example/fhir/Specimen/a01-s5"')
    yield from _each("specimen", ("specimen",), WRONG, absolute)
    yield from _each("specimen.reference", ("specimen", "reference"), WRONG, absolute)
    for target in ("Specimen/none", "#none", "Patient/a01", "Observation/a01-o5", "urn:uuid:none"):
        yield _made(f"specimen refers to {target}", put(("specimen", "reference"), f'"{target}"'), absolute)
    yield _made("specimen missing", drop(("specimen",)), absolute)
    named = put(("type", "text"), '"Plasma"', "specimen")
    for element in ("type", "container", "processing"):
        yield from _each(f"Specimen.{element}", (element,), WRONG, named, "specimen")
        yield _made(f"Specimen.{element} missing", drop((element,), "specimen"), named)
    serum = put(("type", "coding", 0, "code"), '"119364003"', "specimen")
    yield _made("Specimen of serum", serum, named)
    heparin = put(("container", 0, "additiveCodeableConcept", "coding", 0, "code"), '"heparin"', "specimen")
    yield _made("Specimen in heparin", heparin, named)
    step = put(("processing", 0, "procedure", "coding", 0, "code"), '"precipitation"', "specimen")
    yield _made("Specimen precipitated", step, named)

    shown = put(("performer", 0, "display"), '"Laboratory A"')
    yield from _each("performer", ("performer",), WRONG, shown)
    yield from _each("performer.identifier.value", ("performer", 0, "identifier", "value"), WRONG, shown)
    yield _made("performer another", put(("performer", 0, "identifier", "value"), '"LAB-B"'), shown)
    yield _made("performer missing", drop(("performer",)), shown)
    method = put(("method", "text"), '"Flow cytometry"')
    yield from _each("method", ("method",), WRONG, method)
    yield from _each("method.coding.code", ("method", "coding", 0, "code"), WRONG, method)
    yield _made("method another", put(("method", "coding", 0, "code"), '"elisa"'), method)
    yield _made("method missing", drop(("method",)), method)
    device = put(("device", "display"), '"cytometer-1"')
    yield from _each("device", ("device",), WRONG, device)
    yield from _each("device.display", ("device", "display"), WRONG, device)
    yield _made("device another", put(("device", "display"), '"cytometer-2"'), device)
    yield _made("device missing", drop(("device",)), device)


def _dates() -> Iterator[Hostile]:
    """Collection: one clock is spoilt, the other taken away."""
    no_other = drop(("collection",), "specimen")
    other_zone = both(no_other, put(("effectiveDateTime",), '"2025-04-21T11:00:00+02:00"'))
    day = both(no_other, put(("effectiveDateTime",), '"2025-04-21"'))
    for label, literal in (*DATES, *WRONG):
        twin = day if "T" in label else other_zone
        yield _made(f"effectiveDateTime {label}", both(no_other, put(("effectiveDateTime",), literal)), twin)
    collected = ("collection", "collectedDateTime")
    no_effective = drop(("effectiveDateTime",))
    day = both(no_effective, put(collected, '"2025-04-21"', "specimen"))
    for label, literal in (*DATES[:6], *WRONG):
        yield _made(f"Specimen.collected {label}", both(no_effective, put(collected, literal, "specimen")), day)
    yield _made("no collection at all", both(no_effective, no_other), day)
    period = both(no_effective, no_other, put(("effectivePeriod",), '{"start":"2025-04-21T09:00:00Z"}'))
    for label, literal in (*WRONG, ("with end only", '{"end":"2025-04-21"}'), ("as text", '"2025-04-21"')):
        change = both(no_effective, no_other, put(("effectivePeriod",), literal))
        yield _made(f"effectivePeriod {label}", change, period)
    no_zone = both(no_other, put(("effectiveDateTime",), '"2025-04-21T09:00:00"'))
    # FHIR wants a zone with a time; the calendar day stands without it.
    yield _made("effectiveDateTime without zone", no_zone, other_zone, False)


def _components() -> Iterator[Hostile]:
    note = put(("component", 0, "code", "text"), '"Total EV"')
    yield from _each("component", ("component",), (*WRONG, *ENTRIES), note)
    yield _made("component missing", drop(("component",)), note)

    def part(name: str, *path: str | int, literal: str | None = None) -> Change:
        def change(draft: Draft) -> None:
            part = draft.part(name)
            if literal is None:
                draft.result["component"].remove(part)
            else:
                at(part, path[:-1])[path[-1]] = draft.literal(literal)

        return change

    longer = part("total-ev", "valueQuantity", "value", literal="12.0")
    for label, literal in (*TOTALS, *NO_NUMBER):
        yield _made(f"total-ev {label}", part("total-ev", "valueQuantity", "value", literal=literal), longer)
    for label, literal in (("{copies}/mL", '"{copies}/mL"'), ("pg/mL", '"pg/mL"'), *WRONG):
        yield _made(f"total-ev unit {label}", part("total-ev", "valueQuantity", "code", literal=literal), longer)
    answer = ("valueCodeableConcept", "coding", 0, "code")
    for name in ("haemolysis", "lipaemia", "residual-platelets"):
        text = part(name, "valueCodeableConcept", "text", literal='"clear"')
        yield _made(f"{name} missing", part(name), text)
        for label, literal in CHECKS:
            yield _made(f"{name} {label}", part(name, *answer, literal=literal), text)
    clear = part("haemolysis", "valueCodeableConcept", "text", literal='"clear"')
    for label, literal in WRONG:
        yield _made(f"haemolysis code {label}", part("haemolysis", *answer, literal=literal), clear)
        yield _made(f"haemolysis answer {label}", part("haemolysis", answer[0], literal=literal), clear)

    def twice(draft: Draft) -> None:
        stated = copy.deepcopy(draft.part("haemolysis"))
        stated["valueCodeableConcept"]["coding"][0]["code"] = "present"
        draft.result["component"].append(stated)

    def clear_twice(draft: Draft) -> None:
        draft.result["component"].append(copy.deepcopy(draft.part("haemolysis")))

    yield _made("haemolysis clear and present", twice, clear_twice)
    for name in ("reagents", "normaliser", "reagent-lot"):
        yield _made(f"{name} missing", part(name), longer)
        yield _made(f"{name} another", part(name, "valueString", literal='"another"'), longer)
        for label, literal in (*TEXTS, *WRONG):
            yield _made(f"{name} {label}", part(name, "valueString", literal=literal), longer)
    limit = part("limit-of-detection", "valueQuantity", "value", literal="0.50")
    above = part("limit-of-detection", "valueQuantity", "value", literal="10")
    yield _made("limit of detection above the value", above, limit)
    for label, literal in NO_NUMBER:
        # Far above any limit, a value stands without one.
        spoilt = part("limit-of-detection", "valueQuantity", "value", literal=literal)
        yield _made(f"limit of detection {label}", spoilt, limit, False)


def _whose() -> Iterator[Hostile]:
    absolute = put(("subject", "reference"), '"https://exowatch.example/fhir/Patient/a01"')
    for target in (
        "Patient/other",
        "Patient/A01",
        "Patient/a01x",
        "https://other.example/fhir/Patient/a01",
        "Group/a01",
    ):
        yield _made(f"subject {target}", put(("subject", "reference"), json.dumps(target)), absolute)
    for label, literal in WRONG:
        # A single patient's record may leave the subject out; whose it is stays plain.
        yield _made(f"subject {label}", put(("subject",), literal), absolute, False)
        yield _made(f"subject.reference {label}", put(("subject", "reference"), literal), absolute, False)
    tagged = put(("identifier",), '[{"value":"r5"}]')
    for label, literal in WRONG:
        yield _made(f"id {label}", put(("id",), literal), tagged, False)
        yield _made(f"identifier {label}", put(("identifier",), literal), tagged, False)
    # Two results under one id by mistake: specimen and day tell them apart, so both may stand.
    yield _made("id of an earlier result", put(("id",), '"a01-o4"'), tagged, False)

    def another(draft: Draft) -> None:
        other = copy.deepcopy(draft.result) | {"id": "a01-o6"}
        other["valueQuantity"]["value"] = 2.0
        draft.bundle["entry"].append({"fullUrl": "https://exowatch.example/fhir/Observation/a01-o6", "resource": other})

    def the_same(draft: Draft) -> None:
        other = copy.deepcopy(draft.result) | {"id": "a01-o6"}
        draft.bundle["entry"].append({"fullUrl": "https://exowatch.example/fhir/Observation/a01-o6", "resource": other})

    yield _made("another value for the same specimen", another, the_same)


def _known() -> Iterator[Hostile]:
    """When the result became known."""
    on_the_day = put(("issued",), '"2025-04-21T23:59:59.999Z"')
    for moment in ("2025-04-22T00:00:00Z", "2099-01-01T00:00:00Z", "9999-12-31T23:59:59Z"):
        yield _made(f"issued {moment}", put(("issued",), json.dumps(moment)), on_the_day)
    corrected = both(put(("status",), '"corrected"'), put(("meta",), '{"lastUpdated":"2025-04-21T20:00:00Z"}'))
    later = both(put(("status",), '"corrected"'), put(("meta",), '{"lastUpdated":"2025-05-02T10:00:00Z"}'))
    yield _made("corrected after the day", later, corrected)
    for label, literal in WRONG:
        # Without a readable issue the day of collection stands in for it.
        yield _made(f"issued {label}", put(("issued",), literal), on_the_day, False)
        yield _made(f"meta {label}", put(("meta",), literal), on_the_day, False)


def _whole() -> Iterator[Hostile]:
    """Faults of the input as a whole."""
    plain = Draft().to_bytes()
    pretty = json.dumps(json.loads(plain), indent=2).encode()
    for share in (1, 10, 25, 50, 75, 90, 99):
        yield Hostile(f"cut off after {share} %", plain[: len(plain) * share // 100], plain)
    text = plain.decode()
    for name, data in (
        ("nothing", b""),
        ("white space", b" \n\t "),
        ("null", b"null"),
        ("number", b"5"),
        ("text", b'"Bundle"'),
        ("empty list", b"[]"),
        ("empty object", b"{}"),
        ("UTF-16 little-endian", text.encode("utf-16")),
        ("UTF-16 big-endian", b"\xfe\xff" + text.encode("utf-16-be")),
        ("UTF-32", text.encode("utf-32")),
        ("gzip", gzip.compress(plain, mtime=0)),
        ("Latin-1", text.replace("a01-o5", "a01-ö5").encode("latin-1")),
        ("overlong UTF-8", plain.replace(b"a01-o5", b"a01-\xc0\xaf5")),
        ("NUL after every byte", b"\x00".join(plain[i : i + 1] for i in range(len(plain)))),
        ("XML", b'<Bundle xmlns="http://hl7.org/fhir"/>'),
        ("HL7 v2", b"MSH|^~\\&|LAB|A|||20250421||ORU^R01|1|P|2.5.1\r"),
        ("trailing brace", plain + b"}"),
        ("two documents", plain + plain),
        ("single quotes", plain.replace(b'"', b"'")),
        ("comment", b"/* record */" + plain),
        ("no resourceType", plain.replace(b'"resourceType":"Bundle",', b"", 1)),
        ("resourceType bundle", plain.replace(b'"Bundle"', b'"bundle"', 1)),
        ("resourceType a number", plain.replace(b'"resourceType":"Bundle"', b'"resourceType":5', 1)),
        ("entry an object", b'{"resourceType":"Bundle","type":"collection","entry":{}}'),
        ("entry text", b'{"resourceType":"Bundle","type":"collection","entry":"x"}'),
        ("deep lists", DEEP.encode()),
        ("deep objects", b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
        ("one huge number", b"9" * 1_000_000),
    ):
        yield Hostile(f"input: {name}", data, pretty)
    yield Hostile("input: byte order mark", b"\xef\xbb\xbf" + plain, pretty, must_not_flag=False)

    def entry(literal: str) -> Change:
        def change(draft: Draft) -> None:
            draft.entry["resource"] = draft.literal(literal)

        return change

    def reversed_order(draft: Draft) -> None:
        draft.bundle["entry"].reverse()

    for label, literal in (*WRONG, *ENTRIES):
        yield _made(f"resource {label}", entry(literal), reversed_order)
    for kind in ("observation", "Observations", "Media", "DiagnosticReport"):
        yield _made(f"resourceType {kind}", put(("resourceType",), json.dumps(kind)), reversed_order)
    nested = put(("extension",), DEEP)
    yield _made(
        "extension nested 100,000 deep", nested, put(("extension",), '[{"url":"https://a.example","valueCode":"x"}]')
    )
    many = "[" + ",".join(['{"system":"http://loinc.org","code":"x"}'] * 100_000) + "]"
    yield _made("100,000 codings, none ours", put(("code", "coding"), many), reversed_order)
    stuffed = "[" + ",".join(["null"] * 500_000) + "]"
    yield _made("500,000 components of nothing", put(("component",), stuffed), reversed_order)
    yield _made("note of 1 MB", put(("note",), f'[{{"text":{MEGABYTE}}}]'), reversed_order, False)

    def stranger(draft: Draft) -> None:
        draft.bundle["entry"].append({"resource": {"resourceType": "Patient", "id": "other"}})

    def repeated(draft: Draft) -> None:
        draft.bundle["entry"].append(copy.deepcopy(draft.bundle["entry"][0]))

    yield _made("a second patient", stranger, repeated)
