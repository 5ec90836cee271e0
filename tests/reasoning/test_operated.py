"""Whether the tumour is still there is not known where nobody says when it was removed: unknown is not false (R6)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from cds.chart.model import Chart, Event, Line, Tri
from cds.reasoning.loading import default_rulebook
from cds.reasoning.reasoner import Reasoner
from tests.advice.charts import START, chart, series

REASONER = Reasoner(default_rulebook())
RULE = "hotair-rise-on-neoadjuvant-chemotherapy"
LINE = Line("cytotoxic-chemotherapy", ("doxorubicin",), START, neoadjuvant=True)


def rising(**more: Any) -> Chart:
    """HOTAIR that has risen twice on neoadjuvant chemotherapy."""
    return chart(*series("hotair-ev", {-42: 2.0, 70: 6.1, 98: 6.5}), lines=[LINE], **more)


def state(seen: Chart) -> str:
    return REASONER.evaluate(seen).answers[RULE].state


def operated(first: int, last: int, curative: Tri) -> Event:
    start, end = START + timedelta(days=first), START + timedelta(days=last)
    return Event("operation-of-uncertain-day", start, end, curative=curative)


@pytest.mark.parametrize(
    ("first", "last", "curative", "expected"),
    [
        (-14, -1, True, "suspected"),  # of an earlier tumour
        (-14, 0, True, "not-evaluable"),
        (0, 30, True, "not-applicable"),  # on whichever of these days
        (0, 30, None, "not-evaluable"),
        (0, 30, False, "suspected"),  # it removed no tumour
        (85, 98, True, "not-applicable"),
        (98, 110, True, "not-evaluable"),
        (99, 120, True, "suspected"),  # after the sample
    ],
)
def test_an_operation_in_a_month_counts_as_far_as_its_days_do(
    first: int, last: int, curative: Tri, expected: str
) -> None:
    assert state(rising(events=[operated(first, last, curative)], as_of=120)) == expected


def test_a_resection_without_any_date_leaves_it_open() -> None:
    finding = REASONER.evaluate(rising(undated_resection=True)).answers[RULE]
    assert (finding.state, finding.facts["operated"]) == ("not-evaluable", None)


def test_it_leaves_a_reference_from_before_the_line_what_it_is() -> None:
    before = chart(*series("hotair-ev", {-5: 2.0}), lines=[LINE], as_of=0, undated_resection=True)
    assert state(before) == "background"
