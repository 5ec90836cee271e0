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


NEOADJUVANT = Line("cytotoxic-chemotherapy", ("doxorubicin",), START, neoadjuvant=True)


def day(number: int) -> date:
    return START + timedelta(days=number)


def iso(number: int) -> str:
    return day(number).isoformat()


RE_EXCISION = Operation(day(30), curative=True)


def ended(number: int) -> Line:
    return replace(PACLITAXEL, end=day(number))


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


@pytest.mark.parametrize(
    ("build", "days"),
    [
        (lambda: operated({-5: 8.4, 30: 8.0}, as_of=100), (100, 120)),  # what is past is not offered
        (lambda: operated({-5: 8.4, 30: 8.0}, as_of=120), (120, 120)),
        (lambda: operated({-5: 8.4, 30: 8.0}, as_of=121), None),
        (lambda: operated({-5: 8.4, 30: 8.0}, as_of=150), None),
        # A re-excision begins the count anew, and holds up what nothing held up before.
        (lambda: operated({-5: 8.4, 20: 8.0}, operations=[RE_EXCISION], as_of=31), (105, 150)),
        (lambda: operated({-5: 8.4, 20: 8.0}, operations=[RE_EXCISION], as_of=130), (130, 150)),
        (lambda: operated({-5: 8.4, 20: 8.0}, operations=[Operation(day(150), curative=None)], as_of=155), None),
        (lambda: operated({-5: 8.4, 80: 8.0}, events=[Event("infection", day(70), day(75))],
                          operations=[Operation(day(90), curative=True)], as_of=95), (165, 210)),
        (lambda: chart(*series("trpc5-ev", {-4: 2.0, 45: 6.0}), lines=[ended(70)], as_of=46), (60, 112)),
        (lambda: chart(*series("trpc5-ev", {-4: 2.0, 45: 6.0}), lines=[ended(70)], as_of=100), (100, 112)),
        (lambda: chart(*series("trpc5-ev", {-4: 2.0, 45: 6.0}), lines=[ended(70)], as_of=113), None),
        (lambda: chart(*series("trpc5-ev", {-4: 2.0, 45: 6.0}), lines=[ended(70)], as_of=200), None),
        (lambda: chart(*series("trpc5-ev", {-4: 2.0, 45: 6.0}), as_of=200), (200, None)),
        # Treatment that another has begun to replace leaves nothing behind.
        (lambda: chart(*series("trpc5-ev", {-4: 2.0, 45: 6.0}),
                       lines=[ended(70), Line("endocrine-therapy", ("tamoxifen",), day(50))], as_of=60), (60, 70)),
        (lambda: chart(*series("hotair-ev", {-7: 2.0, 45: 6.1}), lines=[NEOADJUVANT], as_of=46), (60, None)),
        (lambda: chart(*series("hotair-ev", {-7: 2.0, 45: 6.1}), lines=[NEOADJUVANT],
                       operations=[Operation(day(50), curative=True)], as_of=51), None),
    ],
)  # fmt: skip
def test_days_that_are_offered_are_to_come_and_of_what_still_goes_on(
    advise: Advise, build: Callable[[], Chart], days: tuple[int, int | None] | None
) -> None:
    said = next(one for one in advise(build()) if one.state == "hold")
    wanted = [] if days is None else [(day(days[0]), None if days[1] is None else day(days[1]))]
    assert [(option.first, option.last) for option in repeats(said)] == wanted
    assert any("can be judged" in one for one in said.would_change) == bool(wanted)


def test_after_a_first_sample_that_did_not_fall_a_held_one_may_be_repeated_as_the_second(advise: Advise) -> None:
    wound = [Operation(day(100), curative=False)]
    held = only(advise(operated({-5: 8.4, 90: 8.0, 110: 8.0}, operations=wound, as_of=110)))
    fallen = only(advise(operated({-5: 8.4, 90: 1.0, 110: 8.0}, operations=wound, as_of=110)))
    assert (held.state, fallen.state) == ("hold", "hold")
    assert [(option.first, option.last) for option in repeats(held)] == [(day(128), day(176))]
    assert repeats(fallen) == []
    later = operated({-5: 8.4, 90: 8.0, 110: 8.0, 128: 8.0}, operations=wound)
    assert only(advise(later)).state == "persistent"


@pytest.mark.parametrize("kind", ["hepatic", "renal", "steroid", "g-csf"])
def test_what_is_only_noted_takes_no_day_away(advise: Advise, kind: str) -> None:
    events = [Event("infection", day(70), day(75)), Event(kind, day(-100))]
    said = only(advise(chart(*series("trpc5-ev", {-4: 2.0, 77: 6.0}), events=events)))
    assert [(option.first, option.last) for option in repeats(said)] == [(day(96), None)]


@pytest.mark.parametrize(
    ("lines", "as_of", "days"),
    [
        ([ended(80)], 80, (91, 122)),
        ([ended(80)], 200, None),
        ([PACLITAXEL, Line("endocrine-therapy", ("tamoxifen",), day(85))], 86, (91, 133)),
    ],
)
def test_a_second_sample_is_offered_while_the_line_of_the_first_counts(
    advise: Advise, lines: Sequence[Line], as_of: int, days: tuple[int, int] | None
) -> None:
    seen = chart(*series("trpc5-ev", {-4: 2.0, 77: 5.6}), lines=lines, as_of=as_of)
    said = next(one for one in advise(seen) if one.state == "watch")
    offered = (
        f"a second such sample from {iso(days[0])} to {iso(days[1])} would confirm it" if days else "would confirm it"
    )
    assert any(offered in one for one in said.would_change) == (days is not None)
    assert not any("may begin a new pair" in one for one in said.would_change)
    for number in days or ():
        after = replace(
            seen, as_of=day(number), results={"trpc5-ev": (*seen.results["trpc5-ev"], result("trpc5-ev", number, 5.6))}
        )
        assert any(one.state == "suspected" for one in advise(after))


def test_after_a_re_excision_no_second_sample_of_the_operation_before_is_offered(advise: Advise) -> None:
    said = only(advise(operated({-7: 10.0, 90: 9.0}, operations=[Operation(day(100), curative=True)], as_of=101)))
    assert said.state == "watch"
    assert repeats(said) == []


def test_of_a_reference_that_is_held_no_day_of_judgement_is_named(advise: Advise) -> None:
    planned = Operation(day(30), curative=True, planned=True)
    seen = chart(*series("hotair-ev", {0: 8.4}), lines=(), operations=[planned], diagnosis=OPERABLE,
                 events=[Event("infection", day(-5), day(-1))])  # fmt: skip
    (option,) = repeats(only(advise(seen)))
    assert (option.key, option.first) == ("repeat-once-undisturbed", None)


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


def test_a_day_that_is_only_that_of_the_data_is_no_day_before_which_nothing_could_be_judged(advise: Advise) -> None:
    early = only(advise(chart(*series("trpc5-ev", {-4: 2.0, 50: 5.6}), as_of=55)))
    later = only(advise(chart(*series("trpc5-ev", {-4: 2.0, 50: 5.6}), as_of=70)))
    assert (early.state, later.state) == ("hold", "hold")
    assert f"a sample from {iso(60)} on can be judged" in early.would_change
    assert f"a new sample, drawn from {iso(70)} on, can be judged" in later.would_change


def test_a_sample_after_the_days_of_an_operation_is_not_said_to_lack_a_treatment(advise: Advise) -> None:
    said = only(advise(operated({-7: 4.0, 200: 1.0})))
    assert said.state == "not-applicable"
    assert "outside the days after an operation" in said.headline
    assert "treatment" not in said.explanation
