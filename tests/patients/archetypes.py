"""The archetypes: invented patients with the states that each visit is expected to bring, as FHIR Bundles.

The notation of `archetypes.yaml`, from which `patients()` reads them:

    patient: F 54 TNBC liver            # sex, age at the first sample, then TNBC, HR+, HR-, HER2+, HER2-, dcis, metastasis
    drugs: [paclitaxel 2025-01-06.., doxorubicin 2024-06-10..2024-11-18 neoadjuvant]
    operation: lumpectomy 2025-01-15    # curative
    events: [infection 2025-04-02..2025-04-09]
    imaging: {2025-03-10: PR}
    trpc5-ev:                           # a marker code: values by day of collection
      2025-01-02: 2.0                   # <0.5 is below the LOD; a list holds several results of one day
      2025-04-07: 5.6 ev=12 lab=B       # what differs from the laboratory's habit
      2025-04-28: 6.2; 2025-05-02 corrected 2.6      # a later version, by day of issue
    expect:
      trpc5-ev: {2025-04-28: suspected (TR-01)}      # none: no finding and no card
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from cds.workbench.synth.fhir_output import to_bundle
from cds.workbench.synth.person import (
    Assay,
    Disturbance,
    Imaging,
    Laboratory,
    Measurement,
    Operation,
    Person,
    Therapy,
    Version,
)

_LABORATORIES = {name: Laboratory(f"Laboratory {name}", f"LAB-{name}") for name in "AB"}
_CLEAR = {"haemolysis": "clear", "lipaemia": "clear"}
_PLASMA = _CLEAR | {"residual-platelets": "clear"}
_SERUM = _CLEAR | {"dna-control": "passed"}
_A = _LABORATORIES["A"]
_QPCR: dict[str, Any] = {
    "specimen": "serum",
    "tube": "serum-gel",
    "method": "rt-qpcr",
    "platform": "cycler-1",
    "reagents": "primers-1",
    "normaliser": "reference-gene-1",
    "checks": _SERUM,
}
_ELISA: dict[str, Any] = {"method": "elisa", "platform": "reader-1"}
_ASSAYS = {
    assay.code: assay
    for assay in (
        Assay("trpc5-ev", "10*6{particles}/mL", Decimal("0.5"), _A, checks=_PLASMA),
        Assay("hotair-ev", "{fold}", Decimal("0.5"), _A, **_QPCR),
        Assay("hotair-ev-delta-ct", "{delta_Ct}", Decimal(15), _A, efficiency=Decimal("1.00"), **_QPCR),
        Assay("mir-567-ev", "{fold}", None, _A, **_QPCR),
        Assay("pdl1-ev", "pg/mL", Decimal(10), _A, checks=_PLASMA | {"drug-tolerance": "not-tolerant"}, **_ELISA),
        Assay("tgfb1-ev", "pg/mL", Decimal(10), _A, checks=_PLASMA, **_ELISA),
    )
}
_TRIPLE_NEGATIVE = {"er": False, "pr": False, "her2": False}
_RECEPTORS: Mapping[str, Mapping[str, bool]] = {
    "TNBC": _TRIPLE_NEGATIVE,
    "HR+": {"er": True, "pr": True},
    "HR-": {"er": False, "pr": False},
    "HER2+": {"her2": True},
    "HER2-": {"her2": False},
}
_METHOD = ("specimen", "tube", "isolation", "method", "platform", "reagents", "normaliser", "lot")
_OTHER = frozenset({"scenario", "patient", "drugs", "operation", "events", "imaging", "expect", "why"})


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the marker's state is to be as of a day. `state` None: no finding and no card.

    `rule` is the rule, gate or clause that the evidence names for it; "" where it names none.
    """

    as_of: date
    marker: str
    state: str | None
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Archetype:
    """One invented patient."""

    id: str
    scenario: str
    why: str
    person: Person
    expected: tuple[Expectation, ...]

    def bundle(self, known_by: date | None = None) -> dict[str, Any]:
        """The record as a FHIR R4 Bundle with every version; with `known_by` as it stood on that day."""
        return to_bundle(self.person, known_by)


@cache
def patients() -> tuple[Archetype, ...]:
    """All archetypes, in the order of their ids."""
    text = (Path(__file__).parent / "archetypes.yaml").read_text(encoding="utf-8")
    # The base loader leaves every scalar as text: dates, `no` and `1e3` are read here, not guessed.
    return tuple(_archetype(name, each) for name, each in yaml.load(text, Loader=yaml.BaseLoader).items())  # noqa: S506 - makes nothing but text


def patient(name: str) -> Archetype:
    """The archetype of an id, such as A01."""
    return next(archetype for archetype in patients() if archetype.id == name)


def _archetype(name: str, stated: dict[str, Any]) -> Archetype:
    codes = [key for key in stated if key not in _OTHER]
    measurements = tuple(_measurements(name.lower(), {code: stated[code] for code in codes}))
    therapies = tuple(_therapy(drug) for drug in stated.get("drugs", ()))
    operations = tuple(_operation(text) for text in [stated.get("operation")] if text)
    disturbances = tuple(_disturbance(event) for event in stated.get("events", ()))
    days = [date.fromisoformat(day) for code in codes for day in stated[code]]
    first = min([*days, *(each.start for each in therapies), *(each.day for each in operations)])
    sex, age, *words = stated["patient"].split()
    receptors = {receptor: found for word in words for receptor, found in _RECEPTORS.get(word, {}).items()}
    person = Person(
        id=name.lower(),
        born=date(min(days).year - int(age), 1, 1),
        diagnosed=first - timedelta(days=60),
        sex={"F": "female", "M": "male"}[sex],
        disease="dcis" if "dcis" in words else "invasive",
        metastasis=next((word for word in words if word in ("liver", "bone")), None),
        receptors=receptors,
        measurements=measurements,
        therapies=therapies,
        operations=operations,
        disturbances=disturbances,
        imaging=tuple(Imaging(date.fromisoformat(day), found) for day, found in stated.get("imaging", {}).items()),
    )
    expected = tuple(
        _expectation(marker, day, text) for marker, by_day in stated["expect"].items() for day, text in by_day.items()
    )
    return Archetype(name, stated["scenario"], stated["why"], person, expected)


def _expectation(marker: str, day: str, text: str) -> Expectation:
    found = re.fullmatch(r"([a-z-]+)(?: \(([A-Z0-9-]+)\))?", text)
    assert found, text
    return Expectation(date.fromisoformat(day), marker, None if found[1] == "none" else found[1], found[2] or "")


def _span(text: str) -> tuple[date, date | None]:
    start, _, end = text.partition("..")
    return date.fromisoformat(start), date.fromisoformat(end) if end else None


def _therapy(text: str) -> Therapy:
    drug, span, *words = text.split()
    assert words in ([], ["neoadjuvant"]), text
    return Therapy(drug, *_span(span), neoadjuvant=bool(words))


def _operation(text: str) -> Operation:
    kind, day = text.split()
    return Operation(date.fromisoformat(day), kind)


def _disturbance(text: str) -> Disturbance:
    kind, span = text.split()
    return Disturbance(kind, *_span(span))


def _measurements(name: str, series: Mapping[str, Mapping[str, str | list[str]]]) -> Iterator[Measurement]:
    number = 0
    for code, by_day in series.items():
        for day, results in by_day.items():
            for text in [results] if isinstance(results, str) else results:
                number += 1
                yield _measurement(name, number, _ASSAYS[code], day, text)


def _measurement(name: str, number: int, assay: Assay, day: str, text: str) -> Measurement:
    first, *later = (part.strip() for part in text.split(";"))
    value, *words = first.split()
    said = dict(word.split("=") for word in words)
    issued, unit = said.pop("issued", day), said.pop("unit", assay.unit)
    total, specimen = said.pop("ev", "11"), said.pop("specimen", str(number))
    assay = replace(assay, laboratory=_LABORATORIES[said.pop("lab", "A")])
    if said.pop("lod", None) == "none":
        assay = replace(assay, limit=None)
    changes: dict[str, Any] = {key: said.pop(key) for key in _METHOD if key in said}
    assay = replace(assay, **changes)
    answers = {key: said.pop(key) for key in assay.checks if key in said}
    assert not said, f"{name}: {said}"
    return Measurement(
        id=f"{name}-o{number}",
        specimen_id=f"{name}-s{specimen.lower().removeprefix('s')}",
        collected=f"{day}T09:00:00Z",
        assay=replace(assay, checks={**assay.checks, **answers}),
        versions=(_version(issued, "final", value), *(_version(*part.split()) for part in later)),
        total_ev=None if total == "none" else Decimal(total),
        unit=unit,
    )


def _version(issued: str, status: str, value: str) -> Version:
    below = value.startswith("<")
    return Version(f"{issued}T16:00:00Z", status, Decimal(value.removeprefix("<")), "<" if below else None)
