"""What happens between a laboratory's bench and the record: late, corrected, doubled, misplaced, incomplete."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal

from cds.workbench.synth.chance import Chance
from cds.workbench.synth.design import USUAL, Design
from cds.workbench.synth.noise import rounded
from cds.workbench.synth.person import Measurement, Version
from cds.workbench.synth.scenarios import OTHER_LAB, Measured


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that was put in: its kind, and the result it befell."""

    kind: str
    result: str


@dataclass(slots=True)
class Report:
    """The results as the record holds them."""

    measurements: list[Measurement]
    faults: list[Fault]


Change = Callable[[Measurement, Measured, Chance], list[Measurement]]


def report(
    measurements: Sequence[tuple[Measurement, Measured]], first_day: date, chance: Chance, design: Design = USUAL
) -> Report:
    """Put faults into clean results. `first_day` is that of the line: samples before it may get lost."""
    found = Report([], [])
    lost = chance.happens(design.lost_baseline)
    among = [((kind, _FAULTS[kind]), weight) for kind, weight in design.fault_mix.items()]
    for measurement, measured in measurements:
        if lost and _day(measurement) <= first_day:
            found.faults.append(Fault("missing-baseline", measurement.id))
            continue
        change: tuple[str, Change] | None = None
        if chance.happens(design.faults):
            change = chance.weighted(among)
        if change is None:
            found.measurements.append(measurement)
            continue
        found.faults.append(Fault(change[0], measurement.id))
        found.measurements.extend(change[1](measurement, measured, chance))
    if len(found.measurements) > 1 and chance.happens(design.out_of_order):
        found.measurements = chance.shuffled(found.measurements)
        found.faults.append(Fault("out-of-order", found.measurements[0].id))
    return found


def _day(measurement: Measurement) -> date:
    return date.fromisoformat((measurement.collected or measurement.versions[0].issued)[:10])


def _later(issued: str, days: int) -> str:
    return (date.fromisoformat(issued[:10]) + timedelta(days=days)).isoformat() + issued[10:]


def _late(result: Measurement, measured: Measured, chance: Chance) -> list[Measurement]:
    delay = chance.integer(15, 60)
    versions = tuple(replace(version, issued=_later(version.issued, delay)) for version in result.versions)
    return [replace(result, versions=versions)]


def _corrected(result: Measurement, measured: Measured, chance: Chance) -> list[Measurement]:
    right = result.versions[-1]
    wrong = _misread(right, chance)
    late = replace(right, status="corrected", issued=_later(right.issued, chance.integer(2, 15)))
    return [replace(result, versions=(wrong, late))]


def _amended(result: Measurement, measured: Measured, chance: Chance) -> list[Measurement]:
    first = result.versions[-1]
    again = replace(first, status="amended", issued=_later(first.issued, chance.integer(2, 15)))
    return [replace(result, versions=(first, again))]


def _entered_in_error(result: Measurement, measured: Measured, chance: Chance) -> list[Measurement]:
    stray = _misread(result.versions[-1], chance)
    undone = replace(stray, status="entered-in-error", issued=_later(stray.issued, chance.integer(1, 10)))
    other = replace(
        result, id=f"{result.id}x", specimen_id=f"{result.specimen_id}x", versions=(stray, undone), total_ev=None
    )
    return [result, other]


def _misread(version: Version, chance: Chance) -> Version:
    """The value of somebody else, or a slip of the key."""
    value = version.value or Decimal(1)
    return replace(version, value=rounded(float(value) * chance.uniform(1.5, 4.0)), comparator=None)


def _duplicate(result: Measurement, measured: Measured, chance: Chance) -> list[Measurement]:
    return [result, replace(result, id=f"{result.id}d")]


def _second_laboratory(result: Measurement, measured: Measured, chance: Chance) -> list[Measurement]:
    first = result.versions[-1]
    value = rounded(float(first.value or 1) * chance.uniform(0.4, 1.8))
    elsewhere = replace(result.assay, laboratory=OTHER_LAB, platform="cytometer-9", reagents="clone-9")
    return [replace(result, assay=elsewhere, versions=(replace(first, value=value),))]


def _second_unit(result: Measurement, measured: Measured, chance: Chance) -> list[Measurement]:
    unit, exponent = measured.other_unit
    versions = tuple(
        replace(version, value=None if version.value is None else version.value.scaleb(exponent))
        for version in result.versions
    )
    return [replace(result, unit=unit, versions=versions)]


def _missing_unit(result: Measurement, measured: Measured, chance: Chance) -> list[Measurement]:
    return [replace(result, unit=None)]


def _date_only(result: Measurement, measured: Measured, chance: Chance) -> list[Measurement]:
    return [replace(result, collected=(result.collected or "")[:10] or None)]


def _wrong_unit(result: Measurement, measured: Measured, chance: Chance) -> list[Measurement]:
    """The unit of another quantity, into which nothing converts."""
    return [replace(result, unit="pg/mL" if measured.assay.code == "hotair-ev" else "{copies}/mL")]


_FAULTS: dict[str, Change] = {
    "late": _late,
    "corrected": _corrected,
    "amended": _amended,
    "entered-in-error": _entered_in_error,
    "duplicate": _duplicate,
    "second-laboratory": _second_laboratory,
    "second-unit": _second_unit,
    "missing-unit": _missing_unit,
    "wrong-unit": _wrong_unit,
    "date-only": _date_only,
}
