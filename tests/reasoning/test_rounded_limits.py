"""Limits as they are shown: never one that admits a value which the real limit does not."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds.reasoning.explanation import figure, rounded_limit

LIMITS = st.floats(1e-12, 1e12)


@given(LIMITS)
def test_a_shown_limit_lies_beyond_the_real_one_by_less_than_its_last_digit(limit: float) -> None:
    above, below = rounded_limit(limit, up=True), rounded_limit(limit, up=False)
    assert below <= limit * (1 + 1e-11)
    assert above >= limit * (1 - 1e-11)
    assert above <= limit * 1.0101
    assert below >= limit * 0.9899
    for shown in (above, below):
        assert math.isclose(float(figure(shown)), shown)


@pytest.mark.parametrize(
    ("limit", "above", "below"),
    [
        (3.0009, "3.01", "3"), (4.5107e6, "4.52e6", "4.51e6"), (0.33324, "0.334", "0.333"), (2.0, "2", "2"),
        (2.0 + 1e-13, "2", "2"), (9999.4, "1.00e4", "9999"), (1234.5, "1235", "1234"), (0.0, "0", "0"),
    ],
)  # fmt: skip
def test_the_nearest_figure_is_left_only_where_it_admits_too_much(limit: float, above: str, below: str) -> None:
    assert (figure(rounded_limit(limit, up=True)), figure(rounded_limit(limit, up=False))) == (
        above, below
    )  # fmt: skip
