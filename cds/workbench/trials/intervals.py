"""Confidence intervals of what a trial counts. All are two-sided; the level is a fraction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, median
from typing import NamedTuple

LEVEL = 0.95


class Interval(NamedTuple):
    """An estimate with its lower and upper limit."""

    estimate: float
    low: float
    high: float


def proportion(successes: int, trials: int, level: float = LEVEL) -> Interval | None:
    """Wilson's score interval of a proportion; None without trials.

    Wilson EB. Probable inference, the law of succession, and statistical inference. J Am Stat Assoc 1927;22:209-212.
    """
    if not trials:
        return None
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = successes / trials
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    low = 0.0 if successes == 0 else middle - half
    return Interval(share, low, 1.0 if successes == trials else middle + half)


def rate(events: int, exposure: float, level: float = LEVEL) -> Interval | None:
    """The exact interval of a Poisson rate, events per unit of exposure; None without exposure.

    Garwood F. Fiducial limits for the Poisson distribution. Biometrika 1936;28:437-442. The limits are the means of which
    so many events or more, so many or fewer, have half the remaining probability. Events are taken to be independent: of
    several in one patient the true interval is wider.
    """
    if exposure <= 0:
        return None
    tail = (1 - level) / 2
    low = _mean_with(events - 1, 1 - tail) if events else 0.0
    return Interval(events / exposure, low / exposure, _mean_with(events, tail) / exposure)


def _mean_with(events: int, probability: float) -> float:
    """The mean of which so many events or fewer have this probability, by halving."""
    low, high = 0.0, events + 10 * math.sqrt(events + 1) + 20
    for _ in range(100):
        mean = (low + high) / 2
        low, high = (mean, high) if _at_most(events, mean) > probability else (low, mean)
    return (low + high) / 2


def middle(values: Sequence[float], level: float = LEVEL) -> Interval | None:
    """The median with limits that are two of the values, whatever their distribution; None if there are too few for the level.

    The number of values below the true median is binomial with one half: Thompson WR. On confidence ranges for the median
    and other expectation distributions for populations of unknown distribution form. Ann Math Stat 1936;7:122-128.
    """
    ordered = sorted(values)
    count, tail, below = len(ordered), (1 - level) / 2, 0.0
    place = -1  # the largest for which so few values below the median are less likely than the tail
    while place + 1 < count:
        below += math.exp(_log_choose(count, place + 1) - count * math.log(2))
        if below > tail:
            break
        place += 1
    if place < 0:
        return None
    return Interval(median(ordered), ordered[place], ordered[count - 1 - place])


def predictive_value(
    found: tuple[int, int], quiet: tuple[int, int], prevalence: float, level: float = LEVEL
) -> Interval | None:
    """The share of flagged patients who have the condition where `prevalence` of all have it; None without patients or flags.

    `found`: of so many with the condition so many are flagged; `quiet`: of so many without it so many are not. It grows
    with both shares, so the corners of their two intervals, each at the level that keeps both at once (Bonferroni), bound it
    at least at `level`; it is wider than it need be rather than narrower.
    """
    apart = 1 - (1 - level) / 2
    sensitivity, specificity = proportion(*found, apart), proportion(*quiet, apart)
    if sensitivity is None or specificity is None:
        return None
    estimate, low, high = (_predictive(*corner, prevalence) for corner in zip(sensitivity, specificity, strict=True))
    return None if estimate is None else Interval(estimate, low or 0.0, 1.0 if high is None else high)


def _predictive(sensitivity: float, specificity: float, prevalence: float) -> float | None:
    right, wrong = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    return right / (right + wrong) if right + wrong > 0 else None


def _log_choose(count: int, chosen: int) -> float:
    return math.lgamma(count + 1) - math.lgamma(chosen + 1) - math.lgamma(count - chosen + 1)


def _at_most(events: int, mean: float) -> float:
    """The probability of so many events or fewer: from the likeliest of them down and up, until what is left adds nothing."""
    if mean <= 0:
        return 1.0
    likeliest = min(events, int(mean))
    first = math.exp(likeliest * math.log(mean) - mean - math.lgamma(likeliest + 1))
    whole = term = first
    for count in range(likeliest, 0, -1):
        term *= count / mean
        whole += term
        if term < whole * 1e-17:
            break
    term = first
    for count in range(likeliest + 1, events + 1):
        term *= mean / count
        whole += term
        if term < whole * 1e-17:
            break
    return whole
