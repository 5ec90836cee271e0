"""The samples of a synthetic patient as points that an author can move, or leave out."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

import msgspec

from cds.chart.catalogue import Catalogue
from cds.chart.model import Result
from cds.chart.values import Count, above_count
from cds.drawing.axis import unit_of
from cds.drawing.plot import unit_in_words
from cds.legible import legible

_NUMBER = re.compile(r"(<?)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?)")
_LEAST, _MOST = 1e-9, 1e15
_LONGEST = 24
_STEPS = 200


class NoValue(ValueError):
    """What was typed is no value of a marker; says what is wrong with it, and what to write."""


@dataclass(frozen=True, slots=True)
class Move:
    """What a sample is to have measured, in the marker's own unit: `below` a limit of detection, or so much; None: left out."""

    value: float | None
    below: bool = False


Moves = Mapping[str, Move]
"""What was moved, by the key of the point."""


@dataclass(frozen=True, slots=True)
class Point:
    """One sample. `value` is in `unit`, which is `scale` of the marker's own; None if it cannot be moved, as `fixed` says why."""

    key: str
    ref: str
    marker: str
    short: str
    day: int | None
    shown: str  # as it stands in the case
    remark: str  # what is special about it
    value: float | None
    scale: float
    unit: str
    least: float  # of the slider, as the next two; above 0, which no laboratory can measure
    most: float
    step: float
    fixed: str = ""

    @property
    def typed(self) -> str:
        """The value as somebody would type it."""
        return "" if self.value is None else written(self.value)


def points(results: Iterable[Result], start: date, catalogue: Catalogue) -> tuple[Point, ...]:
    """The points of some results, by day. Keys say the day, and the marker where there are several."""
    ordered = sorted(results, key=lambda one: (one.collected is None, one.collected or date.max, one.marker, one.ref))
    several = len({one.marker for one in ordered}) > 1
    scales: dict[tuple[str, str | None], tuple[float, str, float]] = {}
    for one in ordered:
        if (one.marker, one.family) not in scales:
            scales[one.marker, one.family] = _scale(other for other in ordered if other.marker == one.marker and other.family == one.family)  # fmt: skip
    found: dict[str, Point] = {}
    for one in ordered:
        day = None if one.collected is None else (one.collected - start).days
        key = "undated" if day is None else str(day)
        key += f".{one.marker}" if several else ""
        again = sum(known == key or known.startswith(f"{key}~") for known in found)
        key += f"~{again + 1}" if again else ""
        scale, unit, most = scales[one.marker, one.family]
        known = catalogue.markers[one.marker]
        movable = one.low is not None and one.high is not None and math.isfinite(one.high) and one.high > 0
        remarks = [*(sorted(one.faults)), *(check for check, good in one.checks.items() if not good)]
        found[key] = Point(
            key, one.ref, one.marker, known.short or known.title, day, legible(one.shown),
            ", ".join(word.replace("-", " ") for word in remarks), one.high / scale if movable and one.high else None,
            scale, unit, _step(most), most, _step(most), "" if movable else legible(one.shown) or "none",
        )  # fmt: skip
    return tuple(found.values())


def read_move(typed: str, point: Point) -> Move:
    """What somebody typed for a point: `5.6`, or `<0.5` for below a limit of detection. Raises `NoValue`."""
    text = typed.strip()
    found = _NUMBER.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None:
        comma = "," in text and _NUMBER.fullmatch(text.replace(",", ".")) is not None
        raise NoValue("comma" if comma else "empty" if not text else "number")
    value = float(found[2])
    if value < 0:
        raise NoValue("negative")
    if value == 0:
        raise NoValue("zero")
    if not _LEAST <= value <= _MOST:
        raise NoValue("far")
    return Move(value * point.scale, bool(found[1]))


def moved(results: Iterable[Result], moves: Mapping[str, Move], *, counted: bool, catalogue: Catalogue) -> list[Result]:
    """Results with what was moved, by their references; what was left out is not among them.

    `counted`: values and total EV counts are of one unit, so that more of a marker than there are vesicles is a fault.
    """
    found = []
    for one in results:
        move = moves.get(one.ref)
        if move is None:
            found.append(_as_read(one))
        elif move.value is not None:
            found.append(_moved(one, move, counted, catalogue))
    return found


def written(value: float) -> str:
    """A number as people type it, with every digit that counts."""
    text = f"{value:.10g}"
    return text if "e" not in text else f"{value:.10e}" if value < 1e-6 else f"{value:.0f}"


def _moved(one: Result, move: Move, counted: bool, catalogue: Catalogue) -> Result:
    value = move.value
    assert value is not None  # left out is not moved
    assert one.high is not None  # so it could be moved
    count = one.high / one.per_ev_high if one.per_ev_high else None
    family = catalogue.markers[one.marker].families.get(one.family or "")
    faults = one.faults - {"above-total-ev"}
    if counted and count is not None and not move.below and above_count(value, family, Count(count, count, "")):
        faults |= {"above-total-ev"}
    scale, _, _ = _scale([one])
    power = f"e{round(math.log10(scale))}" if scale != 1 else ""
    unit = f" {one.unit}" if " " in one.shown and one.unit else ""
    return msgspec.structs.replace(
        one,
        shown=f"{'<' if move.below else ''}{written(value / scale)}{power}{unit}",
        low=0.0 if move.below else value,
        high=value,
        censored=move.below,
        lod=value if move.below else one.lod,
        per_ev_low=None if count is None else 0.0 if move.below else value / count,
        per_ev_high=None if count is None else value / count,
        faults=faults,
    )


def _as_read(one: Result) -> Result:
    """A result that measured less than nothing has no number in a chart that is read, and so none to be drawn."""
    if one.high is None or one.high > 0:
        return one
    return msgspec.structs.replace(one, low=None, high=None, per_ev_low=None, per_ev_high=None)


def _scale(results: Iterable[Result]) -> tuple[float, str, float]:
    """Of values of one kind: the power of ten in which they are typed, how that and the unit are read, and where a slider ends."""
    known = list(results)
    highest = max((one.high for one in known if one.high and 0 < one.high < math.inf), default=1.0)
    units = [one.unit for one in known if one.unit]
    scale, power = unit_of(highest)
    named = f"{power} {unit_in_words(units[0])}".strip() if units else power
    return scale, named, _round(2 * highest / scale)


def _round(value: float) -> float:
    """The next of 1, 1.5, 2, 3, 4, 5, 6, 8, 10 … above a number."""
    power = 10.0 ** math.floor(math.log10(value))
    return next((step * power for step in (1, 1.5, 2, 3, 4, 5, 6, 8) if step * power >= value * (1 - 1e-9)), 10 * power)


def _step(most: float) -> float:
    power = 10.0 ** math.floor(math.log10(most / _STEPS))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= most / _STEPS * (1 - 1e-9))
