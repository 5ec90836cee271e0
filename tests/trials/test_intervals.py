"""Confidence intervals: known values, and coverage that is what it says."""

from __future__ import annotations

import math
from random import Random

import pytest

from cds.workbench.trials.intervals import middle, predictive_value, proportion, rate
from cds.workbench.trials.survival import share_by_time


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(8, 10, 0.4902, 0.9433), (0, 20, 0.0, 0.1611), (20, 20, 0.8389, 1.0), (81, 263, 0.2553, 0.3662)],
)
def test_wilson(successes: int, trials: int, low: float, high: float) -> None:
    """81 of 263 is the example of Newcombe, Stat Med 1998;17:857."""
    found = proportion(successes, trials)
    assert found is not None
    assert found.low == pytest.approx(low, abs=5e-5)
    assert found.high == pytest.approx(high, abs=5e-5)
    assert proportion(0, 0) is None


@pytest.mark.parametrize(
    ("events", "low", "high"), [(0, 0.0, 3.6889), (1, 0.0253, 5.5716), (5, 1.6235, 11.6683), (100, 81.3636, 121.6272)]
)
def test_exact_poisson(events: int, low: float, high: float) -> None:
    """Limits from the usual tables."""
    found = rate(events, 1.0)
    assert found is not None
    assert found.low == pytest.approx(low, abs=5e-4)
    assert found.high == pytest.approx(high, abs=5e-4)
    assert rate(3, 0.0) is None


def test_a_large_count_is_near_the_normal() -> None:
    found = rate(40_000, 1.0)
    assert found is not None
    assert found.low == pytest.approx(40_000 - 1.96 * 200, abs=3)
    assert found.high == pytest.approx(40_000 + 1.96 * 200, abs=3)


def test_the_median_of_the_sign_test() -> None:
    """The places of the limits are those of the tables: 1 and 6 of 6, 2 and 9 of 10, 6 and 15 of 20; of 5 there are none."""
    for count, low in ((6, 1), (10, 2), (20, 6), (50, 18)):
        found = middle(range(1, count + 1))
        assert found is not None
        assert (found.low, found.high) == (low, count + 1 - low)
    assert middle(range(5)) is None
    assert middle([]) is None


def test_coverage_is_at_least_what_is_said() -> None:
    chance = Random(3)
    inside = {"share": 0, "rate": 0, "median": 0, "value": 0}
    rounds = 400
    for _ in range(rounds):
        successes = sum(chance.random() < 0.2 for _ in range(120))
        found = proportion(successes, 120)
        inside["share"] += found is not None and found.low <= 0.2 <= found.high
        events, time = 0, chance.expovariate(1.0)
        while time < 12:
            events, time = events + 1, time + chance.expovariate(1.0)
        per = rate(events, 12)
        inside["rate"] += per is not None and per.low <= 1 <= per.high
        median = middle([chance.lognormvariate(0, 1) for _ in range(40)])
        inside["median"] += median is not None and median.low <= 1 <= median.high
        hit, quiet = sum(chance.random() < 0.7 for _ in range(90)), sum(chance.random() < 0.9 for _ in range(200))
        value = predictive_value((hit, 90), (quiet, 200), 0.1)
        inside["value"] += value is not None and value.low <= 0.07 / 0.16 <= value.high
    assert all(count >= (0.95 - 2.5 * math.sqrt(0.95 * 0.05 / rounds)) * rounds for count in inside.values()), inside


def test_predictive_value_by_hand() -> None:
    found = predictive_value((80, 100), (950, 1000), 0.1)
    assert found is not None
    assert found.estimate == pytest.approx(0.08 / (0.08 + 0.045))
    assert found.low < found.estimate < found.high
    assert predictive_value((0, 10), (10, 10), 0.1) is None  # nobody is flagged
    assert predictive_value((0, 0), (10, 10), 0.1) is None


def test_product_limit_by_hand() -> None:
    """Of four, one happens on day 10, one leaves on day 15, one happens on day 20 of the two left, one is watched to 30."""
    assert share_by_time([10, None, 20, None], [50, 15, 40, 30]) == [(10.0, 0.25), (20.0, pytest.approx(0.625))]
    assert share_by_time([-5, None], [9, 9]) == [(0.0, 0.5)]
    assert share_by_time([], []) == []
