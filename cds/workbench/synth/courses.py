"""How a marker really moves over time, before any laboratory has measured it.

A course gives the level as a multiple of the level before treatment, by the day of the treatment line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cds.workbench.synth.chance import Chance, power

_LN_2 = 0.6931471805599453
Shape = Callable[[int], float]


@dataclass(frozen=True, slots=True)
class Course:
    """A drawn course. `onset` is the day on which resistance (or the disturbance) begins; None: nothing happens."""

    name: str
    resistant: bool
    level: Shape
    onset: int | None = None
    parameters: Mapping[str, float | int] = field(default_factory=dict)
    gap: tuple[int, int] | None = None  # days from and to which no sample was drawn
    assay_change: int | None = None  # day from which another assay measures `assay_factor` times as much
    assay_factor: float = 1.0
    spike: tuple[int, int] | None = None  # first and last day of what disturbs the marker


def stable(chance: Chance, horizon: int) -> Course:
    return Course("stable", False, lambda day: 1.0)


def slow_rise(chance: Chance, horizon: int) -> Course:
    onset, doubling = _onset(chance, horizon), chance.integer(120, 240)
    return Course("slow-rise", True, _growth(onset, doubling), onset, {"doubling_days": doubling})


def step(chance: Chance, horizon: int) -> Course:
    onset, height = _onset(chance, horizon), _digits(chance.uniform(2.8, 6.0))
    return Course("step", True, lambda day: height if day >= onset else 1.0, onset, {"height": height})


def exponential(chance: Chance, horizon: int) -> Course:
    onset, doubling = _onset(chance, horizon), chance.integer(18, 40)
    return Course("exponential", True, _growth(onset, doubling), onset, {"doubling_days": doubling})


def response_then_escape(chance: Chance, horizon: int) -> Course:
    onset, doubling = _onset(chance, horizon), chance.integer(14, 30)
    floor = _digits(chance.uniform(0.4, 0.7))
    grow = _growth(onset, doubling)

    def level(day: int) -> float:
        if day <= 0:
            return 1.0
        return floor * grow(day) if day >= onset else max(floor, 1.0 - (1.0 - floor) * day / 42)

    return Course("response-then-escape", True, level, onset, {"doubling_days": doubling, "floor": floor})


def transient_spike(chance: Chance, horizon: int) -> Course:
    onset, height, length = _onset(chance, horizon), _digits(chance.uniform(2.5, 5.0)), chance.integer(7, 21)
    last = onset + length
    return Course(
        "transient-spike", False, lambda day: height if onset <= day <= last else 1.0, onset, {"height": height},
        spike=(onset, last),
    )  # fmt: skip


def assay_change(chance: Chance, horizon: int) -> Course:
    day, factor = _onset(chance, horizon), _digits(chance.uniform(1.8, 4.0))
    return Course("assay-change", False, lambda _: 1.0, None, {"factor": factor}, assay_change=day, assay_factor=factor)


def decline(chance: Chance, horizon: int) -> Course:
    half = chance.integer(40, 120)
    return Course("decline", False, lambda day: power(-_LN_2 * max(day, 0) / half), None, {"halving_days": half})


def missing_stretch(chance: Chance, horizon: int) -> Course:
    first = _onset(chance, horizon)
    last = first + chance.integer(70, 130)
    return Course("missing-stretch", False, lambda day: 1.0, None, {"from": first, "to": last}, gap=(first, last))


COURSES: tuple[tuple[Callable[[Chance, int], Course], float], ...] = (
    (stable, 30),
    (slow_rise, 8),
    (step, 10),
    (exponential, 14),
    (response_then_escape, 12),
    (transient_spike, 8),
    (assay_change, 6),
    (decline, 7),
    (missing_stretch, 5),
)
"""Every course with its share of a cohort, in percent."""


_RESISTANT = (slow_rise, step, exponential, response_then_escape)


def draw_course(chance: Chance, horizon: int, resistant: float | None = None) -> Course:
    """A course for a line that is watched for `horizon` days; with `resistant`, that share of them is of resistance."""
    if resistant is None:
        return chance.weighted(COURSES)(chance, horizon)
    wanted = chance.happens(resistant)
    return chance.weighted([one for one in COURSES if (one[0] in _RESISTANT) is wanted])(chance, horizon)


def _onset(chance: Chance, horizon: int) -> int:
    return chance.integer(min(28, horizon // 4), max(42, horizon // 2))


def _growth(onset: int, doubling: int) -> Shape:
    # A hundredfold is where growth levels off: no assay reads farther.
    return lambda day: min(100.0, power(_LN_2 * (day - onset) / doubling)) if day > onset else 1.0


def _digits(value: float) -> float:
    return round(value, 2)
