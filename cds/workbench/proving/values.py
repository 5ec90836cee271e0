"""One value of a rule test: `5.6 haemolysed`, `<0.5`, `5.6 ev=none`, `6.2 until=107`; as a result that a chart can hold."""

from __future__ import annotations

import re
from datetime import time
from decimal import Decimal

from cds.chart.catalogue import Marker
from cds.chart.model import Method, Result
from cds.mistakes import Mistake
from cds.source import Section
from cds.workbench.proving.cases import ALWAYS, Stated, date_of

_VALUE = re.compile(r"([<>]?)(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?|none)")
_METHOD = ("specimen", "tube", "isolation", "assay", "platform", "reagents", "normaliser")
_FLAGS = {
    "haemolysed": ("haemolysis", False),
    "lipaemic": ("lipaemia", False),
    "platelets": ("residual-platelets", False),
    "dna": ("dna-control", False),
    "intolerant": ("drug-tolerance", False),
}
_CHECKS = ("haemolysis", "lipaemia", "residual-platelets", "dna-control", "drug-tolerance")
_NUMBER, _WHOLE = re.compile(r"\d+(?:\.\d+)?"), re.compile(r"-?\d+")
FORMS = {
    "lod": _NUMBER, "cva": _NUMBER, "cvi": _NUMBER, "ev": re.compile(_NUMBER.pattern + "|none"), "known": _WHOLE,
    "until": _WHOLE, "at": re.compile(r"([01]\d|2[0-3]):[0-5]\d"),
}  # fmt: skip
EXAMPLES = {
    "lod": "lod=0.5", "cva": "cva=15", "cvi": "cvi=30", "ev": "ev=1.1 or ev=none", "known": "known=117",
    "until": "until=107", "at": "at=07:30",
}  # fmt: skip
_OTHERS = ("lab", "lot", "lod", "ev", "family", "fault", "cva", "cvi", "specimen_id", "known", "until", "at")


def read_value(series: Section, marker: Marker, day: str, words: list[str], number: int) -> Stated | None:
    """A value of one day with what is special about it; None if it cannot be read, which is noted at the day."""
    found = _VALUE.fullmatch(words[0]) if words else None
    if not found:
        series.problem(
            f"'{' '.join(words)}' begins with no value",
            "write 5.6, <0.5 or none",
            at=day,
            mistake=Mistake.NOT_A_VALUE,
        )
        return None
    special = dict(word.split("=", 1) for word in words[1:] if "=" in word)
    flags = {word for word in words[1:] if "=" not in word}
    known_words = {*_FLAGS, "bridged"}
    known_keys = {*_METHOD, *_CHECKS, *_OTHERS}
    for word in flags - known_words:
        series.problem(
            f"'{word}' is not known",
            f"one of: {', '.join(sorted(known_words))}, or key=value",
            at=day,
            mistake=Mistake.UNKNOWN_REMARK,
        )
    for key in set(special) - known_keys:
        series.problem(
            f"'{key}' is not known",
            f"keys: {', '.join(sorted(known_keys))}",
            at=day,
            mistake=Mistake.UNKNOWN_REMARK,
        )
    for key, value in special.items():
        if key in FORMS and not FORMS[key].fullmatch(value):
            series.problem(
                f"'{key}={value}' cannot be read",
                f"write it as {EXAMPLES[key]}",
                at=day,
                mistake=Mistake.NOT_A_VALUE,
            )
            return None
    families = marker.families
    family = special.get("family", next(iter(families), ""))
    lod = float(special.get("lod", "0.5"))
    faults: set[str] = set()
    low: float | None = None
    high: float | None = None
    if found[2] == "none":
        faults.add(special.get("fault", "no-value"))
    else:
        figure = float(Decimal(found[2]))
        low, high = (0.0, figure) if found[1] == "<" else (figure, float("inf") if found[1] == ">" else figure)
        if found[1] == "<":
            lod = figure
        if "fault" in special:
            faults.add(special["fault"])
            low = high = None
        elif figure < 0:
            faults.add("negative")
        elif figure == 0 and not found[1]:
            faults.add("zero-without-lod")
    if day == "undated":
        faults.add("no-collection-date")
    usual = marker.specimens[0] if marker.specimens else "serum" if marker.name == "hotair-ev" else "plasma"
    specimen = special.get("specimen", usual)
    stated = {"specimen": specimen, "tube": "edta", "isolation": "sec", "assay": "assay", "platform": "p1",
              "reagents": "r1", "normaliser": "n1"}  # fmt: skip
    stated.update({key: value for key, value in special.items() if key in _METHOD})
    checks = dict.fromkeys(_CHECKS, True)
    checks.update(_FLAGS[flag] for flag in flags & set(_FLAGS))
    for key, value in special.items():
        if key in checks and value == "unstated":
            del checks[key]
    ev = special.get("ev", "1.1")
    when = None if day == "undated" else int(day)
    result = Result(
        ref=f"Observation/{marker.name}-{day}-{number}",
        marker=marker.name,
        collected=None if when is None else date_of(when),
        collected_time=time.fromisoformat(special["at"]) if "at" in special else None,
        shown=words[0],
        low=low,
        high=high,
        family=family if low is not None else None,
        unit=families[family].canonical if family in families else None,
        lod=lod,
        censored=found[1] == "<",
        per_ev_low=None if ev == "none" or low is None else low / float(ev),
        per_ev_high=None if ev == "none" or high is None else high / float(ev),
        method=_method({key: None if value == "unstated" else value for key, value in stated.items()}),
        laboratory=special.get("lab", "A") if special.get("lab") != "unstated" else None,
        lot=special.get("lot", "1") if special.get("lot") != "unstated" else None,
        bridged="bridged" in flags,
        checks=checks,
        cva=float(special["cva"]) / 100 if "cva" in special else None,
        cvi=float(special["cvi"]) / 100 if "cvi" in special else None,
        specimen_id=special.get("specimen_id"),
        faults=frozenset(faults),
    )
    known = int(special.get("known", ALWAYS if when is None else when))
    return Stated(result, known, int(special["until"]) if "until" in special else None)


def _method(stated: dict[str, str | None]) -> Method:
    return Method(
        specimen=stated["specimen"],
        tube=stated["tube"],
        isolation=stated["isolation"],
        assay=stated["assay"],
        platform=stated["platform"],
        reagents=stated["reagents"],
        normaliser=stated["normaliser"],
    )
