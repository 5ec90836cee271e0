"""What is shown of a limit agrees with what was decided: limits are compared unrounded, and shown rounded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cds.advice.advisory import Advisory
from cds.advice.detail import detail
from cds.chart.model import Chart, Diagnosis, Line, Operation
from tests.advice.charts import START, chart, result, series

Advise = Callable[[Chart], tuple[Advisory, ...]]


def test_a_value_that_has_not_risen_lies_below_the_limit_that_is_shown(advise: Advise) -> None:
    tamoxifen = [Line("endocrine-therapy", ("tamoxifen",), START)]
    results = [result("hotair-ev", 60, 0.5, below=True), result("hotair-ev", 120, 1.5)]
    known = Diagnosis(True, er=True, her2=False)
    (said,) = advise(chart(*results, lines=tamoxifen, diagnosis=known))
    assert said.state == "no-flag"
    (change,) = said.changes
    assert (change.fold, change.limit) == ("≥ 3 ×", "3.01 ×, that is 1.51 {fold}")
    assert said.would_change == ("a comparable value of at least 1.51 {fold} would be a rise",)


def test_a_figure_below_a_limit_of_its_assay_says_what_it_counts_as(advise: Advise) -> None:
    detected = result("trpc5-ev", -4, 1.0, low=5e5, high=2e6)
    (said,) = advise(
        chart(detected, result("trpc5-ev", 77, 9.0), result("trpc5-ev", 100, 0.5, below=True, shown="0.3 10*6/mL"))
    )
    below = {reading.value: reading.below for reading in said.readings}
    assert below == {
        "1.0 10*6/mL": "detected below the limit of quantification, so it counts as 5.00e5 to 2.00e6 {particles}/mL",
        "9.0 10*6/mL": "",
        "0.3 10*6/mL": "below the limit of detection, so it counts as 0 to 5.00e5 {particles}/mL",
    }
    assert "so it counts as 5.00 × 10⁵ to 2.00 × 10⁶ particles/mL" in detail(said)


@pytest.mark.parametrize(
    ("value", "state", "fold"),
    [(4.5, "no-flag", "2.25 ×"), (4.51, "no-flag", "2.25 ×"), (4.5108, "watch", "2.26 ×"), (4.53, "watch", "2.27 ×")],
)
def test_a_ratio_is_shown_on_its_side_of_the_limit(advise: Advise, value: float, state: str, fold: str) -> None:
    (said,) = advise(chart(*series("trpc5-ev", {-4: 2.0, 77: value})))
    assert (said.state, said.changes[0].fold) == (state, fold)
    assert said.changes[0].limit == "2.26 ×, that is 4.52e6 {particles}/mL"


@pytest.mark.parametrize(
    ("value", "state", "fold", "next_value"),
    [
        (3.3322, "no-flag", "0.333 ×", "above 3.34 {fold} would count as not fallen"),
        (3.3324, "watch", "0.334 ×", "of at most 3.33 {fold} would count as fallen"),
    ],
)
def test_the_limit_of_a_fall_is_shown_rounded_down(
    advise: Advise, value: float, state: str, fold: str, next_value: str
) -> None:
    operated = [Operation(START, curative=True)]
    known = Diagnosis(True, metastatic=False, er=True, her2=False)
    results = series("hotair-ev", {-7: 10.0, 90: value})
    (said,) = advise(chart(*results, lines=(), operations=operated, diagnosis=known))
    assert (said.state, said.changes[0].fold, said.changes[0].limit) == (state, fold, "0.333 × or less")
    assert any(next_value in sentence for sentence in said.would_change)


@pytest.mark.parametrize(
    ("reference", "value", "next_value"),
    [
        # Detected and not quantified: anything from 0.5 to 2.
        ({"low": 0.5, "high": 2.0}, 0.1, "above 0.667 {fold} would count as not fallen"),
        ({"low": 0.5, "high": 2.0}, 0.3, "above 0.667 {fold} would count as not fallen"),
        ({"low": 0.5, "high": 2.0}, 0.7, "of at most 0.166 {fold} would count as fallen"),
        # Below the limit of detection: it may have been nothing, from which nothing falls.
        ({"low": 0.0, "high": 0.5, "censored": True, "lod": 0.5}, 0.1, "above 0.167 {fold} would count as not fallen"),
        ({"low": 0.0, "high": 0.5, "censored": True, "lod": 0.5}, 0.6, None),
    ],
)
def test_what_is_said_of_a_next_value_holds_wherever_in_its_interval_the_reference_lies(
    advise: Advise, reference: dict[str, Any], value: float, next_value: str | None
) -> None:
    operated = [Operation(START, curative=True)]
    known = Diagnosis(True, metastatic=False, er=True, her2=False)
    results = [result("hotair-ev", -7, 2.0, **reference), result("hotair-ev", 90, value)]
    (said,) = advise(chart(*results, lines=(), operations=operated, diagnosis=known))
    assert said.state in ("no-flag", "watch")
    told = [one for one in said.would_change if one.startswith("a comparable value")]
    assert [one.partition(", in a sample")[0] for one in told] == (
        [f"a comparable value {next_value}"] if next_value else []
    )
