"""Quantities as laboratories write them: intervals on the linear scale of a unit family, or the fault that prevents it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from cds.chart.assay import Json, code, items, text
from cds.chart.units import TOTAL_EV, UCUM, Family, Unit, Units, figure, linear, normalised

_COMPARATORS = {None: 0, "<": -1, "<=": -1, ">": 1, ">=": 1}
_OTHER_VALUES = frozenset(
    f"value{kind}"
    for kind in ("String", "Boolean", "CodeableConcept", "Integer", "Range", "Ratio", "SampledData", "Time",
                 "DateTime", "Period", "Attachment", "Decimal")
)  # fmt: skip
INFINITE = float("inf")
_TOTAL_EV_UNITS: Units = {("linear", unit): Unit(TOTAL_EV, factor) for unit, factor in TOTAL_EV.factors.items()}


class Count(msgspec.Struct, frozen=True):
    """A total EV count per mL, as an interval."""

    low: float
    high: float
    shown: str


class Value(msgspec.Struct, frozen=True):
    """A quantity as read: an interval on the linear scale, or the fault that keeps it from being one."""

    low: float | None = None
    high: float | None = None
    unit: Unit | None = None
    shown: str = ""
    fault: str = ""
    sign: int = 0  # -1: below `high`; 1: above `low`; 0: a plain number


def read_value(
    holder: Json,
    units: Units,
    scale: str,
    efficiency: Decimal | None,
    spellings: Mapping[str, str] | None,
) -> Value:
    """The valueQuantity of an Observation or a component; any other kind of value is unreadable.

    `units` and `scale` are those of the marker, `efficiency` is needed for a ΔCt only, `spellings` are the
    laboratory's own names for units.
    """
    quantity = holder.get("valueQuantity")
    others = not _OTHER_VALUES.isdisjoint(holder)
    if not isinstance(quantity, dict):
        if quantity is None and not others:
            return Value(fault="no-value")
        return Value(shown=_shown_otherwise(holder), fault="unreadable-value")
    raw = quantity.get("value")
    if raw is None and not others:
        return Value(fault="no-value")
    stated_unit = quantity.get("code") or quantity.get("unit")
    comparator = quantity.get("comparator")
    shown = f"{comparator or ''}{_digits(raw)} {stated_unit or ''}".strip()[:80]
    number = figure(raw)
    sign = _COMPARATORS.get(comparator) if comparator is None or isinstance(comparator, str) else None
    if number is None or sign is None or others or holder.get("dataAbsentReason") or _failed_control(holder):
        return Value(shown=shown, fault="unreadable-value")
    if not isinstance(stated_unit, str):
        return Value(shown=shown, fault="unreadable-value" if stated_unit else "no-unit")
    if not stated_unit.strip():
        return Value(shown=shown, fault="no-unit")
    unit = _unit(quantity, units, scale, spellings)
    if unit is None:
        return Value(shown=shown, fault="unit-not-convertible")
    if unit.family.scale == "linear" and number < 0:
        return Value(unit=unit, shown=shown, fault="negative")
    if unit.family.scale == "delta-ct":
        if efficiency is None:
            return Value(unit=unit, shown=shown, fault="efficiency-not-stated")
        sign = -sign  # a higher ΔCt is a lower value
    value = linear(number, unit, efficiency)
    if value is None:
        return Value(unit=unit, shown=shown, fault="unreadable-value")
    return Value(0.0 if sign < 0 else value, INFINITE if sign > 0 else value, unit, shown, sign=sign)


class Limits(NamedTuple):
    """An assay's limits on the linear scale of a unit family; None if not stated."""

    detection: float | None = None
    quantification: float | None = None


def bounded(value: Value, limits: Limits) -> tuple[float | None, float | None, bool, str]:
    """low, high, whether it is below the limit of detection, and the fault if it is none of these.

    What was detected below the limit of quantification lies anywhere between the two limits, whatever figure is sent.
    """
    lod, loq = limits
    if value.low is None or value.high is None:
        return None, None, False, ""
    if value.high == 0:
        return (None, None, False, "zero-without-lod") if lod is None else (0.0, lod, True, "")
    if value.sign == 0 and lod is not None and value.high < lod:
        return 0.0, lod, True, ""
    if value.sign == 0 and loq is not None and value.high < loq:
        return lod or 0.0, loq, False, ""
    return value.low, value.high, value.sign < 0, ""


def _unit(quantity: Json, units: Units, scale: str, spellings: Mapping[str, str] | None) -> Unit | None:
    stated, label = quantity.get("code"), quantity.get("unit")
    system = quantity.get("system")
    name = normalised(stated or label)
    if spellings and name in spellings:
        return units.get((scale, spellings[name]))
    if stated and system and system != UCUM:
        return None
    unit = units.get((scale, name))
    if unit is not None and stated and isinstance(label, str) and label != stated:
        other = units.get((scale, normalised(label)))
        if other is not None and other != unit:
            return None  # what is shown to people and what is coded are two different units
    return unit


def read_count(observation: Json) -> Count | None:
    """The total EV count of an Observation or a component; None if it is not readable or not above 0."""
    value = read_value(observation, _TOTAL_EV_UNITS, "linear", None, None)
    if value.low is None or value.high is None or value.high <= 0 or (value.low <= 0 and value.sign >= 0):
        return None
    return Count(value.low, value.high, value.shown)


def per_ev(low: float | None, high: float | None, family: Family | None, count: Count | None) -> Any:
    """A value per total EV count as (low, high): (None, None) if it cannot be formed.

    A share of all vesicles is such a ratio itself, yet without their count a share that rises may be fewer vesicles (R16).
    """
    if low is None or high is None or family is None or count is None:
        return None, None
    if family.per_ev == "itself":
        return low, high
    if family.per_ev != "divide" or (high == INFINITE == count.high):
        return None, None
    return low / count.high, high / count.low if count.low else INFINITE


def above_count(low: float | None, family: Family | None, count: Count | None) -> bool:
    """Whether a value says of more vesicles that they carry the marker than there are: in units that convert, or as a share."""
    if low is None or family is None:
        return False
    if family.per_ev == "itself":
        return family.canonical == "%" and low > 100
    return count is not None and family.canonical == TOTAL_EV.canonical and low > count.high


def _failed_control(holder: Json) -> bool:
    """Whether the laboratory marks the value as failed in quality control (interpretation QCF)."""
    return "interpretation" in holder and any(
        coding.get("code") == "QCF"
        for concept in items(holder.get("interpretation"))
        for coding in items(concept.get("coding"))
    )


def _digits(raw: object) -> str:
    """The figure as written."""
    if isinstance(raw, Decimal) and -12 < raw.adjusted() < 16:
        plain = str(raw)
        return (plain if "E" not in plain else format(raw, "f"))[:40]
    if isinstance(raw, int) and abs(raw) > 10**20:
        return f"{Decimal(raw):.6g}"
    return str(raw)[:40]


def _shown_otherwise(holder: Json) -> str:
    for name in ("valueString", "valueCodeableConcept", "valueBoolean", "valueInteger", "valueDecimal"):
        stated = holder.get(name)
        if stated is not None:
            return (code(stated) if isinstance(stated, dict) else text(stated) or _digits(stated)) or ""
    return ""
