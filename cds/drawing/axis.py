"""Where days and values stand on paper, and which of them are named on the axes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from cds.drawing.scene import Scene

WIDTH, LEFT, RIGHT = 960.0, 156.0, 150.0
"""Of the picture, and of the margins beside the curves, in which names and figures stand."""
FOLD = 30.0
"""How wide a folded stretch of days is drawn."""
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MOST_TICKS = 8
_APART = 62.0
_ABOVE, _BELOW = 28.0, 18.0
"""Places that a panel has beyond its greatest and its least value."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """Days drawn at one pace: from `first`, which stands at `left`, to `last`, which stands at `right`."""

    first: date
    last: date
    left: float
    right: float
    folded: bool


class Across:
    """Days → places across: in proportion, but for the folds."""

    def __init__(self, scene: Scene) -> None:
        whole = WIDTH - LEFT - RIGHT
        folded = sum((last - first).days for first, last in scene.folds)
        per_day = (whole - FOLD * len(scene.folds)) / max((scene.last - scene.first).days - folded, 1)
        self.pieces: list[_Piece] = []
        day, left = scene.first, LEFT
        for first, last in (*scene.folds, (scene.last, scene.last)):
            right = left + (first - day).days * per_day
            self.pieces.append(_Piece(day, first, left, right, False))
            if last > first:
                self.pieces.append(_Piece(first, last, right, right + FOLD, True))
                right += FOLD
            day, left = last, right
        self.per_day = per_day
        self.left, self.right = LEFT, WIDTH - RIGHT

    @property
    def folds(self) -> list[_Piece]:
        return [piece for piece in self.pieces if piece.folded]

    def at(self, day: date) -> float:
        """The place of a day; what lies outside stands at the edge."""
        if day <= self.pieces[0].first:
            return self.left
        for piece in self.pieces:
            if day <= piece.last:
                days = max((piece.last - piece.first).days, 1)
                return piece.left + (day - piece.first).days / days * (piece.right - piece.left)
        return self.right


@dataclass(frozen=True, slots=True)
class Up:
    """Values → places down a panel, by their logarithm: what counts is the ratio."""

    top: float
    height: float
    least: float
    most: float

    @classmethod
    def of(cls, span: tuple[float, float], top: float, height: float) -> Up:
        """Room for words above and below, and never less than a factor of four: else noise would fill the panel."""
        least, most = span
        if most / least < 4:
            middle = math.sqrt(least * most)
            least, most = middle / 2, middle * 2
        per_place = math.log(most / least) / (height - _ABOVE - _BELOW)
        return cls(top, height, least / math.exp(per_place * _BELOW), most * math.exp(per_place * _ABOVE))

    def at(self, value: float) -> float:
        share = math.log(value / self.least) / math.log(self.most / self.least)
        return self.top + self.height * (1 - min(max(share, 0.0), 1.0))


# what is named on the axes ------------------------------------------------------------------------------------------


def months(scene: Scene, across: Across) -> Iterator[tuple[date, float, str]]:
    """First days of months with their places: of each, every third, every year … so that their names stand apart."""
    step = next(step for step in (1, 2, 3, 6, 12, 24, 60, 120, 1200) if across.per_day * 30.4 * step >= _APART)
    edge = -math.inf
    for piece in across.pieces:
        year, month = piece.first.year, piece.first.month
        while not piece.folded and (day := date(year, month, 1)) <= piece.last:
            place = across.at(day)
            if day >= piece.first and (year * 12 + month - 1) % step == 0 and place - edge >= _APART:
                yield day, place, f"{MONTHS[month - 1]} {year}"
                edge = place
            year, month = (year + 1, 1) if month == 12 else (year, month + 1)


def days_of_line(start: date, scene: Scene, across: Across) -> Iterator[tuple[int, float]]:
    """Days since the start with their places: by weeks, cycles of four weeks, quarters of a year …"""
    paces = (7, 14, 28, 56, 84, 182, 364, 728, 1820, 3640, 18200)
    step = next(step for step in paces if across.per_day * step >= _APART / 1.5)
    edge = -math.inf
    for piece in across.pieces:
        first = max((piece.first - start).days, 0)
        for day in range(-(-first // step) * step, (piece.last - start).days + 1, step):
            place = across.at(start + timedelta(days=day))
            if not piece.folded and place - edge >= _APART / 1.5:
                yield day, place
                edge = place


def values(up: Up, unit: float) -> list[float]:
    """1, 2, 5, 10 … times `unit` between the ends; where they would be too many, powers of ten."""
    first, last = math.floor(math.log10(up.least / unit)), math.ceil(math.log10(up.most / unit))
    fine = [step * 10.0**power * unit for power in range(first, last + 1) for step in (1, 2, 5)]
    shown = [value for value in fine if up.least <= value <= up.most]
    if len(shown) > _MOST_TICKS:
        tens = [10.0**power * unit for power in range(first, last + 1)]
        shown = [value for value in tens if up.least <= value <= up.most]
    return shown[:: max(1, math.ceil(len(shown) / _MOST_TICKS))]


def unit_of(most: float) -> tuple[float, str]:
    """The power of ten by which values are divided, and how it is written: 10⁶ for millions, none where text has none."""
    power = 3 * math.floor(math.log10(most) / 3 + 1e-12)
    if -3 <= power < 6:
        return 1.0, ""
    return 10.0**power, "10" + str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def figure(value: float) -> str:
    """Three digits, without an exponent where a person would not write one."""
    if value and not 1e-3 <= value < 1e6:
        power = math.floor(math.log10(value) + 1e-12)
        raised = str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return f"{value / 10.0**power:.3g}×10{raised}"
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
