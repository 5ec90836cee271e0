"""What a drawing of a patient's course shows, as data: days and values, not places on paper.

One panel for each marker and kind of quantity, with its curve, the reference, the limit and the variation that is expected
without any change; lanes for treatment, operations, imaging and what disturbs, on the same days. Every value is that of the
chart, every limit that of the finding. `cds.drawing.course` makes a scene of an evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

from cds.reasoning.explanation import rounded_limit

Span = tuple[date, date]
"""Days, both included."""


@dataclass(frozen=True, slots=True)
class Point:
    """One result. `value` is in the panel's unit, None if it has none that can be drawn; censored ones lie below it."""

    ref: str
    day: date
    value: float | None
    shown: str  # as the laboratory wrote it
    censored: bool = False
    detected: bool = False  # and lies below the limit of quantification
    roles: tuple[str, ...] = ()  # "reference", "first of the pair", "latest" …
    faults: tuple[str, ...] = ()
    crossing: str = ""  # what is to be said of a value beyond its limit that confirms nothing
    laboratory: str = ""
    method: str = ""
    total_ev: str = ""
    marker: str = ""  # its short name, where no panel tells it

    @property
    def usable(self) -> bool:
        return self.value is not None and not self.faults


@dataclass(frozen=True, slots=True)
class Vertex:
    """Where the curve goes: the value of a day, or the geometric mean of its values. `bound`: at most so much."""

    day: date
    value: float
    bound: bool = False


@dataclass(frozen=True, slots=True)
class Replicates:
    """Several comparable values of one day: each is drawn, and their geometric mean."""

    day: date
    mean: float
    count: int
    laboratory: str


@dataclass(frozen=True, slots=True)
class Break:
    """Where comparison stops: `day` is that of the first result that may not be compared with the one before it.

    `whole`: nothing later is comparable with anything earlier; else one result stands apart from a curve that goes on.
    """

    day: date
    why: str
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Decision:
    """What a finding compares the latest value with, in the panel's unit, and how that was built.

    `noise` is the part of `expected` that the measurement alone explains: the same formula without the person's own variation.
    """

    title: str
    state: str
    kind: str  # "baseline", "late-baseline", "nadir"
    reference: tuple[float, float]  # the first is 0 where it lies below the limit of detection
    references: tuple[date, ...]
    limit: float
    falls: bool  # a fall to the limit was awaited: what lies above has not fallen
    expected: tuple[float, float]
    noise: tuple[float, float]
    start: date  # from here on it is asked
    fold: str  # the latest value over the reference: "3.32 ×", "≥ 4.8 ×"
    threshold: float
    reference_change: float
    noise_change: float
    floor: float
    cva: float
    cvi: float
    stated: str  # who states the coefficients of variation: "laboratory" | "default" | "laboratory and default"
    per_ev: tuple[float, str] | None = (
        None  # where the latest value per total EV count stands against its own reference
    )

    @property
    def threshold_ratio(self) -> float:
        """The limit over the reference, as a card says it."""
        return rounded_limit(1 / self.threshold if self.falls else self.threshold, up=not self.falls)

    @property
    def change_ratio(self) -> float:
        """The reference change value, as a card says it."""
        return rounded_limit(self.reference_change, up=True)

    def limit_in(self, unit: float) -> float:
        """The limit in a unit as a card says it; the line that is drawn lies at the limit itself."""
        return rounded_limit(self.limit / unit, up=not self.falls)


@dataclass(frozen=True, slots=True)
class Lowest:
    """The lowest value on treatment before a pair, and the limit over it, which a confirmed rise has to reach as well."""

    day: date
    limit: float  # in the panel's unit
    threshold: float  # the limit over the lowest value

    def limit_in(self, unit: float) -> float:
        """The limit in a unit as a card says it."""
        return rounded_limit(self.limit / unit, up=True)

    @property
    def threshold_ratio(self) -> float:
        """The limit over the lowest value, as a card says it."""
        return rounded_limit(self.threshold, up=True)


@dataclass(frozen=True, slots=True)
class Window:
    """Days that the rule looks at."""

    first: date
    last: date
    why: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One marker in one kind of quantity. `relative`: values are amounts relative to each other, made of a ΔCt."""

    marker: str
    short: str
    title: str
    unit: str
    relative: bool
    points: tuple[Point, ...]  # by day
    curve: tuple[tuple[Vertex, ...], ...]  # each without a break
    replicates: tuple[Replicates, ...]
    breaks: tuple[Break, ...]
    decision: Decision | None
    pair: Span | None  # the two samples that confirm a rise
    second: Window | None  # when a second sample would confirm
    early: Window | None  # in which a change is judged otherwise
    lowest: tuple[Lowest, ...] = ()  # where the limit over the lowest value is higher than that over the reference
    word: str = ""  # the state as clinicians read it
    certainty: str = ""
    note: tuple[str, ...] = ()  # why nothing is compared

    @property
    def usable(self) -> int:
        return sum(point.usable for point in self.points)

    @property
    def span(self) -> tuple[float, float]:
        """The least and the greatest value to be shown; both above 0."""
        values = [point.value for point in self.points if point.value]
        if self.decision is not None:
            values += [self.decision.reference[1], self.decision.limit, *self.decision.expected]
            values += [self.decision.per_ev[0]] if self.decision.per_ev else []
            values += [one.limit for one in self.lowest]
        return (min(values), max(values)) if values else (1.0, 1.0)


Ending = Literal["recorded", "assumed", "unknown", "planned"]


@dataclass(frozen=True, slots=True)
class Bar:
    """Something that lasted. Without `start` it began before the drawing does; without `end` it goes on, or nobody knows.

    `ending` says which: "assumed" to go on, as its status says; "unknown" for how long. `until`: last day on which it counts.
    """

    label: str
    start: date | None
    end: date | None
    ending: Ending = "recorded"
    until: date | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """Something of one day. `until`: last day on which it counts; `decides`: the state rests on it."""

    label: str
    day: date
    planned: bool = False
    until: date | None = None
    decides: bool = False


@dataclass(frozen=True, slots=True)
class Lane:
    """One row below the curves. `look` numbers the therapy class, so that each has its own tone and pattern."""

    title: str
    kind: Literal["therapy", "operation", "imaging", "event"]
    bars: tuple[Bar, ...] = ()
    marks: tuple[Mark, ...] = ()
    look: int = 0


@dataclass(frozen=True, slots=True)
class Anchor:
    """The day from which days of the line are counted, and what began on it."""

    day: date
    title: str


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that a drawing shows, from `first` to `last`."""

    patient: str
    as_of: date
    first: date
    last: date
    panels: tuple[Panel, ...]
    lanes: tuple[Lane, ...]
    anchor: Anchor | None = None
    folds: tuple[Span, ...] = ()  # stretches without anything to see, which are drawn narrow
    elsewhere: tuple[Point, ...] = ()  # results without a day, or of a day to come: they are told beside the drawing
