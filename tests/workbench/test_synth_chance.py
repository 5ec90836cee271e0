"""Draws that come out the same on every machine."""

from __future__ import annotations

from statistics import NormalDist, fmean, pstdev

import pytest

from cds.workbench.synth.chance import Chance, normal_quantile


@pytest.mark.parametrize("probability", [1e-12, 1e-6, 0.001, 0.0242, 0.0243, 0.1, 0.5, 0.9, 0.9757, 0.9999, 1 - 1e-9])
def test_quantiles_are_those_of_the_normal_distribution(probability: float) -> None:
    assert normal_quantile(probability) == pytest.approx(NormalDist().inv_cdf(probability), abs=1e-8)


def test_a_stream_is_its_own() -> None:
    one, same, other = Chance(1, 2, "a"), Chance(1, 2, "a"), Chance(1, 2, "b")
    draws = [one.uniform() for _ in range(5)]
    assert draws == [same.uniform() for _ in range(5)]
    assert draws != [other.uniform() for _ in range(5)]


def test_factors_have_the_stated_variation() -> None:
    chance = Chance(1, 1, "factors")
    factors = [chance.factor(0.3) for _ in range(20_000)]
    assert pstdev(factors) / fmean(factors) == pytest.approx(0.3, abs=0.01)


def test_integers_reach_both_ends() -> None:
    chance = Chance(1, 1, "integers")
    assert {chance.integer(3, 5) for _ in range(200)} == {3, 4, 5}


def test_shuffling_loses_nothing() -> None:
    assert sorted(Chance(1, 1, "order").shuffled(range(20))) == list(range(20))
