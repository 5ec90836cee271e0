"""When a next sample tells more: what is offered names days on which it can be judged, and no days that are past."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from cds.advice.advisory import Advisory, Option
from cds.advice.cards import Card
from cds.chart.model import Chart, Diagnosis, Event, Line, Operation
from tests.advice.charts import CLEAR, START, chart, result, series

Advise = Callable[[Chart], tuple[Advisory, ...]]
Write = Callable[[Chart], list[Card]]

OPERABLE = Diagnosis(True, metastatic=False, er=True, her2=False)
PACLITAXEL = Line("cytotoxic-chemotherapy", ("paclitaxel",), START)


def day(number: int) -> date:
    return START + timedelta(days=number)


def iso(number: int) -> str:
    return day(number).isoformat()


def operated(values: Mapping[int, float], **more: Any) -> Chart:
    """HOTAIR around a curative operation on day 0."""
    operations = [Operation(START, curative=True), *more.pop("operations", ())]
    return chart(*series("hotair-ev", values), lines=(), operations=operations, diagnosis=OPERABLE, **more)


def only(advisories: tuple[Advisory, ...]) -> Advisory:
    (said,) = advisories
    return said


def repeats(said: Advisory) -> list[Option]:
    return [option for option in said.options if option.label == "Repeat the marker"]


# the second of a pair ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("as_of", "past"), [(77, False), (133, False), (134, True), (300, True)])
def test_days_for_a_second_sample_that_are_past_are_noted_and_not_offered(
    advise: Advise, as_of: int, past: bool
) -> None:
    said = only(advise(chart(*series("trpc5-ev", {-4: 2.0, 77: 5.6}), as_of=as_of)))
    assert said.state == "watch"
    days = f"from {iso(91)} to {iso(133)}"
    offered = f"a second such sample {days} would confirm it"
    over = f"the days for a second such sample, {days}, are past; a later one may begin a new pair"
    assert (offered in said.would_change, over in said.would_change) == (not past, past)
    assert any("has passed without one" in note for note in said.notes) == past


def test_an_overdue_confirmation_wakes_no_card_that_was_answered(advise: Advise) -> None:
    results = series("trpc5-ev", {-4: 2.0, 77: 5.6})
    assert only(advise(chart(*results))).digest == only(advise(chart(*results, as_of=140))).digest


def test_of_two_markers_each_says_what_is_past(advise: Advise) -> None:
    her2 = Diagnosis(True, metastatic=True, her2=True)
    lines = [Line("her2-targeted", ("trastuzumab",), START)]
    results = [*series("tgfb1-ev", {-4: 40, 77: 130}), *series("pdl1-ev", {-4: 60, 150: 200})]
    said = only(advise(chart(*results, lines=lines, diagnosis=her2)))
    assert any(one.startswith("EV-TGF-β1: the days for a second such sample") for one in said.would_change)
    assert any(one.startswith("EV-PD-L1: a second such sample from") for one in said.would_change)
    assert sum("has passed without one" in note for note in said.notes) == 1


@pytest.mark.parametrize(
    ("values", "as_of", "window"),
    [
        ({-7: 10.0, 90: 9.0}, 90, (111, 146)),
        ({-7: 10.0, 118: 9.0}, 118, (139, 174)),
        ({-7: 10.0, 110: 9.0, 125: 9.0}, 125, (131, 166)),  # day 125 can be the first of no pair, day 110 is
        ({-7: 10.0, 90: 9.0}, 147, None),
        ({-7: 10.0, 80: 9.0, 140: 9.0}, 140, None),
    ],
)
def test_after_an_operation_a_second_sample_is_offered_while_it_can_confirm(
    advise: Advise, values: dict[int, float], as_of: int, window: tuple[int, int] | None
) -> None:
    said = only(advise(operated(values, as_of=as_of)))
    assert said.state == "watch"
    offered = [(option.first, option.last) for option in repeats(said)]
    assert offered == ([(day(window[0]), day(window[1]))] if window else [])
    assert not any("new pair" in one for one in said.would_change if as_of > 120)
    for option in repeats(said):
        assert f"from {option.first} to {option.last}" in option.text


def test_a_later_sample_after_an_operation_is_offered_only_after_a_first_that_has_not_fallen(advise: Advise) -> None:
    watched, fallen = only(advise(operated({-7: 10.0, 90: 9.0}))), only(advise(operated({-7: 10.0, 90: 1.0})))
    assert any(f"drawn by {iso(176)}" in one for one in watched.would_change)
    assert any(f"drawn by {iso(120)}" in one for one in fallen.would_change)


# once nothing holds it up ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "first", "last"),
    [
        (lambda: chart(*series("trpc5-ev", {-4: 2.0, 45: 6.0})), 60, None),
        (lambda: operated({-5: 8.4, 30: 8.0}), 75, 120),
        (lambda: operated({-5: 8.4, 20: 8.0}), 75, 120),  # the time after the operation outlasts the wound
        (lambda: operated({-5: 8.4, 80: 8.0}, operations=[Operation(day(70), curative=False)]), 98, 120),
        (lambda: operated({-5: 8.4, 30: 8.0}, events=[Event("radiotherapy", day(40), day(60))], as_of=61), 88, 120),
        (lambda: chart(*series("trpc5-ev", {-4: 2.0, 77: 6.0}), events=[Event("infection", day(70), day(75))]), 96, None),
        (lambda: chart(*series("trpc5-ev", {-4: 2.0, 77: 6.0}), events=[Event("transfusion", day(70))]), 84, None),
        (lambda: chart(*series("trpc5-ev", {-4: 2.0, 45: 6.0}), events=[Event("infection", day(44), day(50))]), 71, None),
    ],
)  # fmt: skip
def test_a_held_finding_offers_a_sample_on_the_days_on_which_one_can_be_judged(
    advise: Advise, write: Write, build: Callable[[], Chart], first: int, last: int | None
) -> None:
    seen = build()
    said = only(advise(seen))
    assert said.state == "hold"
    (option,) = repeats(said)
    until = None if last is None else day(last)
    assert (option.key, option.first, option.last) == ("repeat-once-judged", day(first), until)
    days = f"from {iso(first)} {f'to {iso(last)}' if last else 'on'}"
    assert days in option.text
    assert f"a sample {days} can be judged" in said.would_change
    (card,) = write(seen)
    (draft,) = [action["resource"] for one in card["suggestions"] for action in one["actions"]]
    assert draft["occurrencePeriod"] == {"start": iso(first)} | ({"end": iso(last)} if last else {})
    risen = 8.0 if said.markers == ("hotair-ev",) else 6.0
    for number, states in ((first - 1, {"hold"}), (first, {"watch", "suspected"})):
        later = result(said.markers[0], number, risen)
        results = {later.marker: (*seen.results[later.marker], later)}
        assert only(advise(replace(seen, as_of=max(day(number), seen.as_of), results=results))).state in states


def test_of_what_has_no_end_yet_no_day_is_named_and_nothing_is_drafted(advise: Advise, write: Write) -> None:
    seen = chart(*series("trpc5-ev", {-4: 2.0, 77: 6.0}), events=[Event("infection", day(70))])
    (option,) = repeats(only(advise(seen)))
    assert (option.key, option.first) == ("repeat-once-undisturbed", None)
    (card,) = write(seen)
    assert "suggestions" not in card


@pytest.mark.parametrize(
    ("lines", "events"),
    [
        ([replace(PACLITAXEL, end=day(10))], ()),  # the line and what it leaves behind are over before day 60
        ([PACLITAXEL], [Event("radiotherapy", day(40), day(100))]),
    ],
)
def test_nothing_is_offered_where_no_later_sample_can_be_judged(
    advise: Advise, lines: Sequence[Line], events: Sequence[Event]
) -> None:
    held = series("trpc5-ev", {-4: 2.0, 45: 6.0})
    seen = chart(*held, lines=lines) if not events else operated({-5: 8.4, 50: 8.0}, events=events, as_of=101)
    said = only(advise(seen))
    assert said.state == "hold"
    assert repeats(said) == []
    assert not any("can be judged" in one for one in said.would_change)


def test_of_two_markers_that_are_held_the_later_day_counts(advise: Advise) -> None:
    her2 = Diagnosis(True, metastatic=True, her2=True)
    lines = [Line("her2-targeted", ("trastuzumab",), START)]
    results = [*series("tgfb1-ev", {-4: 40, 45: 130}), *series("pdl1-ev", {-4: 60, 77: 200})]
    events = [Event("transfusion", day(76))]
    said = only(advise(chart(*results, lines=lines, diagnosis=her2, events=events)))
    assert said.state == "hold"
    assert [option.first for option in repeats(said)] == [day(90)]


# what no other sample mends ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("checks", "options"),
    [
        ({"drug-tolerance": False}, ["check-assay-interference"]),
        ({"drug-tolerance": False, "haemolysis": False}, ["check-assay-interference", "redraw-specimen"]),
    ],
)
def test_a_new_specimen_is_not_offered_while_the_drug_binds_the_analyte(
    advise: Advise, checks: Mapping[str, bool], options: list[str]
) -> None:
    lines = [Line("anti-pd-l1", ("atezolizumab",), START)]
    results = [result("pdl1-ev", number, 100, checks={**CLEAR, **checks}) for number in (-5, 56)]
    said = only(advise(chart(*results, lines=lines)))
    assert said.state == "not-evaluable"
    assert [option.key for option in said.options] == options
    assert any("stated that the assay tolerates the drug" in one for one in said.would_change)
    assert not any("another sample" in one for one in said.would_change)
