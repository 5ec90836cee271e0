"""Serial change of a marker: asymmetric log-normal reference change value, intervals, references.

The symmetric, CV-based form of the reference change value is wrong for ratios; this is the ln-scale form
(Fokkema et al., Clin Chem 2006; BMJ 2020;368:m149 correspondence):

    s      = sqrt(ln(1 + CVA² + CVI²))
    RCV_up = exp(Z · s · sqrt(1/n_base + 1/n_follow)),  RCV_down = 1 / RCV_up

A value below the limit of detection is an interval, never a substituted number; a change is claimed only from the
unfavourable ends of the intervals.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import msgspec

TOLERANCE = 1e-12
"""Relative slack of "at least": far below any measurement, far above what a unit conversion can shift."""


CONFIDENCES: Mapping[str, float] = {"one-sided 95 %": 1.645, "two-sided 95 %": 1.96, "one-sided 99 %": 2.326}
"""Z of each confidence that a rule may ask for."""


def confidence_of(z: float) -> str:
    """What a Z is called; "" for one that no rule can ask for."""
    return next((name for name, known in CONFIDENCES.items() if known == z), "")


class Interval(msgspec.Struct, frozen=True):
    """A positive quantity known only within bounds; `low == high` for a plain number."""

    low: float
    high: float


@lru_cache(maxsize=4096)
def reference_change(cva: float, cvi: float, z: float, n_base: int, n_follow: int = 1) -> float:
    """The smallest ratio follow-up / baseline that analytical and within-person variation seldom reach by chance.

    `cva` and `cvi` are fractions (0.2 for 20 %), `z` the one-sided normal quantile. Greater than 1.
    """
    s = math.sqrt(math.log(1 + cva * cva + cvi * cvi))
    return math.exp(z * s * math.sqrt(1 / n_base + 1 / n_follow))


def geometric_mean(values: Sequence[Interval]) -> Interval:
    """The interval of the geometric mean: its ends are the means of the ends. `values` is not empty."""
    if len(values) == 1:
        return values[0]
    low = 0.0 if any(value.low <= 0 for value in values) else _mean([value.low for value in values])
    return Interval(low, _mean([value.high for value in values]))


def _mean(values: Sequence[float]) -> float:
    if any(math.isinf(value) for value in values):
        return math.inf
    # fsum and sorting make the mean independent of the order in which results arrived.
    return math.exp(math.fsum(math.log(value) for value in sorted(values)) / len(values))


def lowest(values: Sequence[Interval]) -> Interval:
    """The interval of the minimum. `values` is not empty."""
    return Interval(min(value.low for value in values), min(value.high for value in values))


def ratio(value: Interval, reference: Interval) -> Interval:
    """The interval of value / reference; its low end is what a rise may claim, its high end what a fall may claim."""
    low = value.low / reference.high if 0 < reference.high < math.inf else 0.0
    high = value.high / reference.low if reference.low > 0 else math.inf
    return Interval(low, high)


def at_least(figure: float, limit: float) -> bool:
    """figure >= limit, unrounded, with `TOLERANCE`."""
    return figure >= limit * (1 - TOLERANCE)
