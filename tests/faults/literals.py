"""JSON texts that stand where something else belongs: (label, literal)."""

from __future__ import annotations

import json

Literals = tuple[tuple[str, str], ...]

MEGABYTE = json.dumps("A" * 1_000_000)
DEEP = "[" * 100_000 + "]" * 100_000
_HUGE: Literals = (("1 MB of text", MEGABYTE),)


def _texts(*texts: str) -> Literals:
    return tuple((ascii(text), json.dumps(text)) for text in texts)


def _raw(*literals: str) -> Literals:
    return tuple((literal if len(literal) < 40 else f"{literal[:20]}…", literal) for literal in literals)


NO_NUMBER: Literals = (
    ("null", "null"),
    ("true", "true"),
    ("an empty list", "[]"),
    ("an empty object", "{}"),
    ("a list of null", "[null]"),
    ("empty text", '""'),
    ("NUL", '"\\u0000"'),
    ("a lone surrogate", '"\\ud800"'),
)
"""What is wrong in the place of a number."""

WRONG: Literals = (("a number", "5"), *NO_NUMBER)
"""What is wrong in the place of a text, a list or an object."""

VALUES: Literals = (
    *_raw(
        "NaN", "Infinity", "-Infinity", "1e-320", "1e308", "1e400", "-1e308", "18446744073709551616", "1" + "0" * 400,
        "-6.3", "-0.0", "0", "1e-99999999999", "1e99999999999", "06.3", "6.", ".5", "+6.3", "6_3", "0x10", "6,3", "nan",
        "false", "[6.3]", '{"value":6.3}', "6.3.3", "--6.3", "",
    ),
    *_texts("9.9", "6.3", "6,3", "<5", "~6.3", ">6.3", " ", "NaN", "Infinity", "1e1", "6.3 ", "６.３", "six", "٦", "6.3\x00"),
    *_HUGE,
)  # fmt: skip
COMPARATORS: Literals = (
    *_texts("<", "<=", "~", "ad", "=", "≥", "<>", " <", "", "<\x00", "!"),
    *_raw("5", "true", "[]", "{}", '["<"]', "false", "0"),
    *_HUGE,
)
UNITS: Literals = (
    *_texts(
        "ng/mL", "µg/mL", "μg/mL", "{copies}/mL", "copies/mL", "particles/mL", "{particles}", "a.u.", "fold", "{fold}",
        "log2", "%", "1", "{MFI}", "10*6", "mL", "10**6/mL", "10*6/ml/ml", "10*6{copies}/mL", "10*6/L", "Mio/mL", " ",
    ),
    *_HUGE,
)  # fmt: skip
SYSTEMS: Literals = _texts(
    "http://loinc.org", "http://unitsofmeasure.org/", "HTTP://UNITSOFMEASURE.ORG", "ucum", "\x00"
)
STATUSES: Literals = (
    *_texts(
        "preliminary", "registered", "cancelled", "entered-in-error", "unknown", "FINAL", "Final", "bogus", "fin al",
        "final\x00", "fínal", "draft", "active",
    ),
    ("a list", '["final"]'),
    ("an object", '{"value":"final"}'),
    *_HUGE,
)  # fmt: skip
CODES: Literals = (
    *_texts(
        "TRPC5-EV", "trpc5", "trpc5-tissue", "trpс5-ev", "trpc5_ev", "trpc5-ev\x00", "pdl1-ev", "*",
        "trpc5-ev;", "' or 1=1 --",
    ),
    ("a list", '["trpc5-ev"]'),
    *_HUGE,
)  # fmt: skip
DATES: Literals = (
    *_texts(
        "2025-02-30", "2025-04-21T24:00:00Z", "2099-04-07", "2025-04-22", "2025-04", "21.04.2025",
        "2025", "2025-13-01", "2025-04-31", "2025-00-10", "0000-00-00", "9999-12-31", "10000-01-01", "04/21/2025",
        "20250421", "2025-4-21", "2025-W17-1", "2025-111", "today", " ", "-2025-04-21", "1799-04-21", "２０２５-04-21",
        "2025-04-21T25:00:00Z", "2025-04-21T09:60:00Z", "2025-04-21T09:00:61Z", "2025-04-21T09:00:00+99:00",
        "2025-04-21T", "2025-04-21TZ", "2025-04-21T9:00Z", "2025-04-21\x00", "2025-04-21T09:00:00Z; drop",
    ),
    ("a list", '["2025-04-21"]'),
    ("an object", '{"start":"2025-04-21"}'),
    ("seconds since 1970", "1745226000"),
    ("a number of digits", "20250421"),
    *_HUGE,
)  # fmt: skip
OTHER_VALUES: Literals = (
    ("valueString", '"6.3 10*6/mL"'),
    ("valueCodeableConcept", '{"coding":[{"system":"http://snomed.info/sct","code":"10828004"}]}'),
    ("valueInteger", "6"),
    ("valueBoolean", "true"),
    ("valueRange", '{"low":{"value":6.0},"high":{"value":6.6}}'),
    ("valueRatio", '{"numerator":{"value":63},"denominator":{"value":10}}'),
    ("valueSampledData", '{"origin":{"value":0},"period":1,"dimensions":1,"data":"6.3"}'),
    ("valueDateTime", '"2025-04-21"'),
    ("valuePeriod", '{"start":"2025-04-21"}'),
    ("valueTime", '"09:00:00"'),
)
TOTALS: Literals = (
    *_raw("0", "-12", "NaN", "Infinity", "1e308", "1e400", "-0.0", "1e-320", "false", "[12]", '{"value":12}'),
    *_texts("12", "1.2e10", "<12", "many"),
)
CHECKS: Literals = (
    *_texts("present", "CLEAR", "unclear", "passed", "failed", "no", "clear\x00", "-", "0"),
    ("a list", '["clear"]'),
)
TEXTS: Literals = (("a list", '["1"]'), ("an object", '{"value":"1"}'), ("spaces", '"   "'))
ENTRIES: Literals = (
    ("text", '"x"'),
    ("a list of lists", "[[[]]]"),
    ("a list of numbers", "[5]"),
    ("a list of empty objects", "[{}]"),
    ("an object of nulls", '{"code":null,"coding":null,"resourceType":null}'),
)
