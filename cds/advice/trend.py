"""How fast a marker moves: one number that makes patients comparable in a list; a description, never a finding.

    slope = exp(30 · b),  b = Σ (tᵢ - t̄)(ln vᵢ - mean(ln v)) / Σ (tᵢ - t̄)²

the ordinary least-squares line of ln(value) on days, as the factor by which the value changes in 30 days: 2.0 doubles, 0.5 halves.
Values are those of the chart's linear scale, on which a falling ΔCt is a rise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import date, timedelta

from cds.advice.checks import is_judged
from cds.chart.model import Result
from cds.reasoning.explanation import limit_of, rounded_beside
from cds.reasoning.findings import Finding
from cds.reasoning.question import comparable_results

WINDOW = timedelta(days=180)
"""Up to the newest sample; what lies before says little about how the marker moves now."""
_SAMPLES = 3
_MONTH = 30
_STEEPEST = 600.0
"""No marker moves by a factor of e^600 in a month; more would be no number any more."""


def slope(finding: Finding, elements: Sequence[str]) -> float | None:
    """The factor by which the marker of a finding changes in 30 days, from its usable samples; None if it cannot be told.

    Counted are plain values (none below a limit of detection) that are comparable with the newest one, of the 180 days up to it.
    `elements` are the method elements that must be stated and equal. Of a rule that combines markers, the steepest.
    """
    if finding.parts:
        return max((found for part in finding.parts if (found := slope(part, elements)) is not None), default=None)
    plain = [
        (one.collected, one.low, one)
        for one in samples(finding)
        if one.collected is not None
        and not one.censored
        and one.low is not None
        and one.low == one.high
        and one.low > 0
    ]
    latest = plain[-1][2] if plain else None
    return factor(
        [
            (day, value)
            for day, value, one in plain
            if latest is not None and (one is latest or comparable_results(one, latest, elements))
        ]
    )


def fold(finding: Finding) -> float | None:
    """The newest value over its reference, the least that can be claimed; None if there is none, or it was not judged.

    Rounded as a card shows it, on its side of the limit. Of a rule that combines markers, the largest.
    """
    if finding.parts:
        return max((found for part in finding.parts if (found := fold(part)) is not None), default=None)
    if not is_judged(finding):
        return None
    for name, one in finding.comparisons.items():
        if not one.per_ev:
            limit = limit_of(one, falls=finding.rule.fact(name).params.not_fallen)
            return rounded_beside(one.ratio.low, limit) if one.ratio.low > 0 else None
    return None


def samples(finding: Finding) -> list[Result]:
    """The usable samples on which a finding rests, those of its reference included, oldest first."""
    found = {id(one): one for one in _samples(finding)}
    return sorted(found.values(), key=lambda one: one.collected or date.min)


def _samples(finding: Finding) -> Iterator[Result]:
    for part in finding.parts:
        yield from _samples(part)
    for comparison in finding.comparisons.values():
        yield from (sample.result for sample in comparison.reference.samples)
    yield from finding.judged


def factor(measured: Sequence[tuple[date, float]]) -> float | None:
    """The slope of positive values by day; None for fewer than 3 values, or fewer than 3 days, in the window."""
    last = max((day for day, _ in measured), default=date.min)
    recent = [(day, value) for day, value in measured if last - day <= WINDOW]
    if len(recent) < _SAMPLES or len({day for day, _ in recent}) < _SAMPLES:
        return None
    days = [float((day - last).days) for day, _ in recent]
    logarithms = [math.log(value) for _, value in recent]
    middle, level = math.fsum(days) / len(days), math.fsum(logarithms) / len(days)
    spread = math.fsum((day - middle) ** 2 for day in days)
    rise = math.fsum((day - middle) * (one - level) for day, one in zip(days, logarithms, strict=True)) / spread
    return math.exp(max(-_STEEPEST, min(_STEEPEST, _MONTH * rise)))
