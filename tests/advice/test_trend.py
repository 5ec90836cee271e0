"""How fast a marker moves: the formula's properties, and which samples count."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds.advice.advisory import Advisory
from cds.advice.trend import factor, fold, slope
from cds.chart import Moment, read
from cds.chart.model import Chart, Diagnosis, Event, Line, Result
from cds.reasoning.explanation import figure
from cds.reasoning.findings import Finding
from cds.reasoning.reasoner import Reasoner
from cds.reasoning.rulebook import RuleBook
from cds.workbench.synth.fhir_output import to_bundle
from tests.advice.charts import START, chart, result, series
from tests.patients.archetypes import patient

QUESTION = "trpc5-rise-on-chemotherapy"
DOUBLING = {0: 2.0, 30: 4.0, 60: 8.0, 90: 16.0}

measured = st.lists(
    st.tuples(st.integers(0, 180), st.floats(1e-3, 1e6)), min_size=3, max_size=12, unique_by=lambda one: one[0]
)


def dated(values: list[tuple[int, float]], start: date = START) -> list[tuple[date, float]]:
    return [(start + timedelta(days=day), value) for day, value in values]


@given(measured, st.floats(1e-3, 1e3))
def test_scaling_every_value_changes_nothing(values: list[tuple[int, float]], by: float) -> None:
    one, other = factor(dated(values)), factor(dated([(day, by * value) for day, value in values]))
    assert one is not None
    assert other == pytest.approx(one, rel=1e-6)


@given(measured, st.integers(-20_000, 20_000))
def test_shifting_every_day_changes_nothing(values: list[tuple[int, float]], by: int) -> None:
    assert factor(dated(values, START + timedelta(days=by))) == factor(dated(values))


@given(measured)
def test_the_order_of_the_samples_changes_nothing(values: list[tuple[int, float]]) -> None:
    assert factor(dated(values[::-1])) == factor(dated(values))


@given(measured)
def test_the_inverse_course_has_the_inverse_slope(values: list[tuple[int, float]]) -> None:
    one, other = factor(dated(values)), factor(dated([(day, 1 / value) for day, value in values]))
    assert one is not None
    assert other is not None
    assert one * other == pytest.approx(1, rel=1e-6)


@given(st.floats(1.01, 4), st.integers(1, 40))
def test_a_steady_rise_has_its_own_factor(by: float, apart: int) -> None:
    values = [(n * apart, 5 * by ** (n * apart / 30)) for n in range(4)]
    assert factor(dated(values)) == pytest.approx(by)


def test_doubling_every_thirty_days_is_two() -> None:
    assert factor(dated(list(DOUBLING.items()))) == pytest.approx(2.0)


@pytest.mark.parametrize(
    "values",
    [
        [],
        [(0, 1.0), (30, 2.0)],
        [(0, 1.0), (0, 2.0), (30, 2.0)],  # three values of two days
        [(0, 1.0), (180, 2.0), (200, 2.0), (361, 2.0)],  # two of them in the window
    ],
)
def test_too_few_samples_tell_nothing(values: list[tuple[int, float]]) -> None:
    assert factor(dated(values)) is None


def test_what_no_marker_does_is_still_a_number() -> None:
    assert math.isfinite(factor(dated([(0, 1e-12), (1, 1.0), (2, 1e18)])) or math.inf)


# of a finding ----------------------------------------------------------------------------------------------------------


def found(reasoner: Reasoner, *results: Result, question: str = QUESTION, **more: object) -> Finding:
    return reasoner.evaluate(chart(*results, **more)).answers[question]  # type: ignore[arg-type]  # fields by name


def test_the_reference_and_all_usable_samples_count(reasoner: Reasoner, book: RuleBook) -> None:
    finding = found(reasoner, *series("trpc5-ev", {-4: 2.0, 26: 4.0, 56: 8.0, 86: 16.0}))
    assert slope(finding, book.windows.elements) == pytest.approx(2.0)
    assert fold(finding) == pytest.approx(8.0)


def test_a_value_below_the_limit_of_detection_does_not_count(reasoner: Reasoner, book: RuleBook) -> None:
    plain = series("trpc5-ev", {-4: 2.0, 56: 8.0, 86: 16.0})
    below = result("trpc5-ev", 26, 0.5, below=True)
    finding = found(reasoner, plain[0], below, *plain[1:])
    assert slope(finding, book.windows.elements) == pytest.approx(2.0)


def test_a_sample_measured_otherwise_does_not_count(reasoner: Reasoner, book: RuleBook) -> None:
    other = result("trpc5-ev", 26, 99.0, lot="L9")
    plain = series("trpc5-ev", {-4: 2.0, 56: 8.0, 86: 16.0})
    finding = found(reasoner, plain[0], other, *plain[1:])
    assert slope(finding, book.windows.elements) == pytest.approx(2.0)


def test_samples_of_more_than_half_a_year_ago_do_not_count(reasoner: Reasoner, book: RuleBook) -> None:
    finding = found(reasoner, *series("trpc5-ev", {-4: 90.0, 200: 4.0, 230: 8.0, 260: 16.0}))
    assert slope(finding, book.windows.elements) == pytest.approx(2.0)


def test_a_sample_that_cannot_be_judged_has_neither(reasoner: Reasoner, book: RuleBook) -> None:
    infection = Event("infection", START + timedelta(days=80), START + timedelta(days=88))
    finding = found(reasoner, *series("trpc5-ev", {-4: 2.0, 26: 4.0, 56: 8.0, 86: 16.0}), events=[infection])
    assert finding.state == "hold"
    assert fold(finding) is None


def test_of_two_markers_the_steepest_and_the_largest(reasoner: Reasoner, book: RuleBook) -> None:
    results = [
        *series("tgfb1-ev", {-4: 20.0, 26: 40.0, 56: 80.0, 86: 160.0}),
        *series("pdl1-ev", {-4: 20.0, 26: 21.0, 56: 22.0, 86: 23.0}),
    ]
    line = Line("her2-targeted", ("trastuzumab",), START)
    diagnosis = Diagnosis(True, metastatic=True, her2=True)
    question = "tgfb1-pdl1-rise-on-her2-therapy"
    finding = found(reasoner, *results, question=question, lines=[line], diagnosis=diagnosis)
    assert slope(finding, book.windows.elements) == pytest.approx(2.0)
    assert fold(finding) == pytest.approx(8.0)


@pytest.mark.parametrize(
    ("value", "shown"), [(4.5, "2.25"), (4.5105, "2.25"), (4.5108, "2.26"), (4.53, "2.27"), (2480.0, "1240")]
)
def test_a_list_has_the_ratio_that_a_card_shows(
    reasoner: Reasoner, advise: Callable[[Chart], tuple[Advisory, ...]], value: float, shown: str
) -> None:
    """As the limit is 2.2553 and shown as 2.26, a ratio of 2.2552 is 2.25 and not 2.26."""
    values = series("trpc5-ev", {-4: 2.0, 77: value})
    known = fold(found(reasoner, *values))
    (said,) = advise(chart(*values))
    assert known is not None
    assert (f"{figure(known)} ×", said.changes[0].fold) == (f"{shown} ×", f"{shown} ×")


def test_where_no_ratio_can_be_claimed_a_list_has_none(reasoner: Reasoner) -> None:
    assert (
        fold(found(reasoner, result("trpc5-ev", -4, 0.5, below=True), result("trpc5-ev", 77, 0.5, below=True))) is None
    )


def test_a_falling_delta_ct_is_a_rise(reasoner: Reasoner, book: RuleBook) -> None:
    """One cycle less in 30 days, at an efficiency of 100 %, is twice as much."""
    person = patient("A13").person
    days = [date(2025, 1, 6) + timedelta(days=30 * number) for number in range(4)]
    measurements = tuple(
        replace(
            person.measurements[0],
            id=f"o{number}",
            specimen_id=f"s{number}",
            collected=f"{day}T09:00:00Z",
            versions=(
                replace(person.measurements[0].versions[0], issued=f"{day}T16:00:00Z", value=Decimal(9 - number)),
            ),
        )
        for number, day in enumerate(days)
    )
    record = read(to_bundle(replace(person, measurements=measurements)), book.catalogue)
    answers = reasoner.evaluate(record.as_of(Moment(days[-1]))).answers
    assert slope(answers["hotair-rise-on-endocrine-therapy"], book.windows.elements) == pytest.approx(2.0)
