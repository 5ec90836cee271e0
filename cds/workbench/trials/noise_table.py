"""The cost of false alarms in stable patients, beside the table that the rules' design rests on and beside the integral.

The table was simulated with 200,000 runs: one baseline, monthly follow-ups, a crossing of the one-sided 95 % reference change
value or of a flat doubling. The same by integration: given the baseline's deviate b, follow-ups cross independently with
p(b) = 1 - Φ(t + b), where t is the logarithm of the limit in standard deviations; any crossing has the probability
1 - (1 - p)^k, two in a row follow the usual recursion over the last one, and both are integrated over b.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import NamedTuple

from cds.reasoning.rulebook import RuleBook
from cds.workbench.trials.noise import STABLE, Conditions, Estimate, Outcome, Trial
from cds.workbench.trials.variants import Variant

RUNS = 200_000
RULE = "trpc5-rise-on-chemotherapy"
_TRPC5, _HOTAIR = (0.20, 0.30), (0.30, 0.40)
_Z = 1.645
_NORMAL = NormalDist()
_CROSSED, _CONFIRMED = ("watch", "suspected"), ("suspected",)

_SIMULATED = {
    ("reference change", _TRPC5): {1: (0.050, 0.0), 2: (0.087, 0.012), 4: (0.144, 0.026), 6: (0.187, 0.039), 8: (0.219, 0.048)},
    ("flat 2.0", _TRPC5): {6: (0.270, 0.069)},
    ("flat 2.0", _HOTAIR): {6: (0.430, 0.151)},
}  # fmt: skip
"""The design's figures, to a tenth of a per cent: limit and CVs → follow-ups → any crossing, two in a row."""


class Row(NamedTuple):
    """One figure: what is counted, the design's figure, the integral, ours."""

    limit: str
    cvs: tuple[float, float]
    follow_ups: int
    counted: str
    simulated: float
    integral: float
    ours: Estimate

    @property
    def apart(self) -> float:
        """How far ours lies from the design's figure, in standard errors of their difference; that one is rounded besides."""
        rounding = 0.0005 / math.sqrt(3)
        theirs = self.integral * (1 - self.integral) / RUNS
        error = math.sqrt(self.ours.error**2 + theirs + rounding**2)
        return abs(self.ours.share - self.simulated) / error


def table(book: RuleBook, runs: int = RUNS, seed: int = 1) -> list[Row]:
    """Every figure of the table, asked of the rule about TRPC5 with floor and gates off."""
    rows: list[Row] = []
    for (limit, cvs), figures in _SIMULATED.items():
        flat = 2.0 if limit == "flat 2.0" else None
        longest = max(figures)
        conditions = Conditions(tuple(range(28, 28 * longest + 1, 28)), cva=cvs[0], cvi=cvs[1])
        trial = Trial(book, RULE, conditions, Variant(floor=False, gates=False, flat=flat))
        outcome = trial.run(STABLE, runs, seed)
        deviates = (
            _Z * math.sqrt(2) if flat is None else math.log(flat) / math.sqrt(math.log(1 + math.hypot(*cvs) ** 2))
        )
        for follow_ups, pair in figures.items():
            rows += _rows(outcome, limit, cvs, follow_ups, pair, deviates)
    return rows


def _rows(
    outcome: Outcome, limit: str, cvs: tuple[float, float], follow_ups: int, simulated: tuple[float, float], deviates: float
) -> list[Row]:  # fmt: skip
    kinds = (("any crossing", _CROSSED, any_crossing), ("two in a row", _CONFIRMED, two_in_a_row))
    return [
        Row(limit, cvs, follow_ups, counted, figure, integral(follow_ups, deviates), outcome.ever(states, follow_ups))
        for (counted, states, integral), figure in zip(kinds, simulated, strict=True)
    ]


def any_crossing(follow_ups: int, deviates: float) -> float:
    """The probability that one of so many follow-ups crosses a limit that lies so many standard deviations above the baseline."""
    return 1 - _over_baselines(lambda b: _NORMAL.cdf(deviates + b) ** follow_ups)


def two_in_a_row(follow_ups: int, deviates: float) -> float:
    """The same of two that follow each other."""
    return 1 - _over_baselines(lambda b: _no_two(follow_ups, 1 - _NORMAL.cdf(deviates + b)))


def _no_two(count: int, crossing: float) -> float:
    last_below, last_above = 1.0, 0.0
    for _ in range(count):
        last_below, last_above = (last_below + last_above) * (1 - crossing), last_below * crossing
    return last_below + last_above


def _over_baselines(of: Callable[[float], float], steps: int = 2000) -> float:
    """The mean over a standard normal deviate, by Simpson's rule from -8 to 8."""
    width = 16 / steps
    weights = (1 if step in (0, steps) else 4 if step % 2 else 2 for step in range(steps + 1))
    return width / 3 * math.fsum(
        weight * of(-8 + step * width) * _NORMAL.pdf(-8 + step * width) for step, weight in enumerate(weights)
    )  # fmt: skip


def markdown(rows: list[Row], runs: int) -> str:
    """The table for people."""
    lines = [
        f"| limit | CVA, CVI | follow-ups | counted | design | by integration | ours ({runs:,} runs) | standard error | apart |",
        "| --- | --- | --: | --- | --: | --: | --: | --: | --: |",
    ]
    for row in rows:
        cvs = ", ".join(f"{cv:.0%}" for cv in row.cvs)
        lines.append(
            f"| {row.limit} | {cvs} | {row.follow_ups} | {row.counted} | {row.simulated:.1%} | {row.integral:.2%} | "
            f"{row.ours.share:.2%} | {row.ours.error:.2%} | {row.apart:.1f} SE |"
        )
    return "\n".join(lines).replace("%", " %")
