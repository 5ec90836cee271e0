"""A rise that must also exceed the lowest value on treatment shows that comparison, value by value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from cds.advice.advisory import Advisory
from cds.advice.cards import Card
from cds.chart.model import Chart, Diagnosis, Line
from cds.reasoning.reasoner import Reasoner
from tests.advice.charts import START, TRPC5_RISE, chart, result, series

Advise = Callable[[Chart], tuple[Advisory, ...]]


def on_pembrolizumab(values: Mapping[int, float], **more: Any) -> Chart:
    lines = [Line("anti-pd-1", ("pembrolizumab",), START)]
    diagnosis = Diagnosis(True, metastatic=True, er=False, pr=False, her2=False)
    return chart(*series("pdl1-ev", values, **more), lines=lines, diagnosis=diagnosis)


def said(advise: Advise, seen: Chart) -> Advisory:
    (advisory,) = [one for one in advise(seen) if one.rule.name == "pdl1-rise-on-checkpoint-inhibitor"]
    return advisory


def test_both_samples_of_the_pair_are_shown_against_the_lowest_value_on_treatment(advise: Advise) -> None:
    about = said(advise, on_pembrolizumab({-7: 120, 28: 118, 77: 300, 98: 310}))
    assert about.state == "suspected"
    latest, first, second = about.changes
    assert (latest.quantity, latest.fold) == ("value", "2.58 ×")
    assert [(one.quantity, one.fold) for one in (first, second)] == [
        ("value of 2025-03-24", "2.54 ×"),
        ("value of 2025-04-14", "2.63 ×"),
    ]
    for one in (first, second):
        assert (one.reference, one.reference_value) == ("lowest earlier value on treatment (2025-02-03)", "118 pg/mL")
        assert one.limit == "2.14 ×, that is 253 pg/mL"
        assert one.reached is True
        for part in ("reference change value 2.14", "Z 1.645", "one-sided 95 %", "1 reference sample", "the floor 2"):
            assert part in one.built
    assert {reading.value: reading.roles for reading in about.readings}["118 pg/mL"] == ("lowest before the pair",)


def test_a_plateau_shows_what_kept_the_confirmation_away(advise: Advise) -> None:
    about = said(advise, on_pembrolizumab({-7: 100, 28: 250, 77: 262, 98: 305}))
    assert about.state == "watch"
    assert [(one.quantity, one.fold, one.reached) for one in about.changes] == [
        ("value", "3.05 ×", True),
        ("value of 2025-03-24", "1.05 ×", False),
        ("value of 2025-04-14", "1.22 ×", False),
    ]


@pytest.mark.parametrize(
    ("values", "state"),
    [
        ({-7: 100, 77: 262, 98: 305}, "watch"),  # nothing was measured on treatment before the rise
        ({-7: 100, 28: 110, 77: 262}, "watch"),  # no second sample yet
        ({-7: 100, 28: 110, 77: 120}, "no-flag"),
    ],
)
def test_without_pair_or_earlier_value_there_is_no_such_comparison(
    advise: Advise, values: dict[int, float], state: str
) -> None:
    about = said(advise, on_pembrolizumab(values))
    assert about.state == state
    assert [one.quantity for one in about.changes] == ["value"]


def test_rules_that_do_not_ask_for_it_show_none(advise: Advise) -> None:
    (about,) = advise(chart(*series("trpc5-ev", TRPC5_RISE)))
    assert [one.quantity for one in about.changes] == ["value", "value per EV"]


def test_the_laboratorys_own_variation_builds_the_limit_of_each_sample(advise: Advise) -> None:
    about = said(advise, on_pembrolizumab({-7: 100, 28: 110, 77: 400, 98: 410}, cva=0.1, cvi=0.5))
    assert about.changes[1].threshold == about.changes[2].threshold > 2.9
    assert about.changes[1].built.count("stated by the laboratory") == 2


def test_a_lowest_value_below_the_limit_of_detection_is_a_bound(advise: Advise, reasoner: Reasoner) -> None:
    seen = on_pembrolizumab({-7: 30, 77: 300, 98: 310}, lod=20.0)
    low = result("pdl1-ev", 28, 20, below=True)
    both = sorted((*seen.results["pdl1-ev"], low), key=lambda one: str(one.collected))
    about = said(advise, chart(*both, lines=seen.lines, diagnosis=seen.diagnosis))
    assert [one.fold for one in about.changes[1:]] == ["≥ 15 ×", "≥ 15.5 ×"]


@pytest.mark.parametrize("lowest", [60, 90, 110, 118, 131, 140, 160, 250])
@pytest.mark.parametrize("first", [231, 262, 300])
def test_what_is_shown_agrees_with_what_was_concluded(
    advise: Advise, reasoner: Reasoner, lowest: float, first: float
) -> None:
    seen = on_pembrolizumab({-7: 100, 28: lowest, 42: 140, 77: first, 84: 260, 98: 305, 119: 290})
    (finding,) = [one for one in reasoner.evaluate(seen).findings if one.rule.name.endswith("checkpoint-inhibitor")]
    shown = said(advise, seen).changes[1:]
    assert shown
    assert finding.facts["confirmed"] is all(one.reached for one in shown)


def test_of_a_long_rise_only_what_it_rests_on_is_shown(advise: Advise) -> None:
    long = {-7: 100, 28: 118} | {77 + 21 * visit: 300 + visit for visit in range(40)}
    about = said(advise, on_pembrolizumab(long))
    assert [one.quantity for one in about.changes] == [
        "value", "value of 2025-03-24", "value of 2025-04-14", "value of 2027-06-21",
    ]  # fmt: skip


def test_the_card_holds_it(write: Callable[[Chart], list[Card]]) -> None:
    (card,) = write(on_pembrolizumab({-7: 120, 28: 118, 77: 300, 98: 310}))
    text = card["detail"].replace("\\", "")
    assert (
        "EV-PD-L1, value of 24 Mar 2025: **2.54 ×** of the reference 118 pg/mL, "
        "lowest earlier value on treatment (3 Feb 2025); limit 2.14 ×, that is 253 pg/mL"
    ) in text


@pytest.mark.parametrize(
    ("value", "state"), [(128.0, "no-flag"), (130.0, "watch"), (251.0, "watch"), (254.0, "suspected")]
)
def test_what_would_end_the_confirmation_is_told_beside_what_would_end_the_rise(
    advise: Advise, value: float, state: str
) -> None:
    rise = {-7: 60, 28: 118, 77: 300, 98: 310}
    assert said(advise, on_pembrolizumab(rise)).would_change == (
        "a comparable value below 129 pg/mL would end the rise",
        "a comparable value below 253 pg/mL, the limit over the lowest earlier value on treatment, would no longer confirm the rise, "
        "and leave: watch",
    )
    assert said(advise, on_pembrolizumab({**rise, 126: value})).state == state


def test_where_the_lowest_value_lies_below_the_reference_one_limit_is_enough(advise: Advise) -> None:
    (only,) = said(advise, on_pembrolizumab({-7: 120, 28: 100, 77: 300, 98: 310})).would_change
    assert "would end the rise" in only
