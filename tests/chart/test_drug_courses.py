"""Which drugs of a line run on a day: two years of one drug say nothing of the one that took its place."""

from __future__ import annotations

from datetime import date

import pytest

from cds.chart.model import DrugCourse, Line
from tests.chart.fixtures_clinical import doses, statement
from tests.chart.make import Json, chart

SWITCHED = [
    statement("tamoxifen", "2022-03-01", "2024-06-30", "completed"),
    statement("letrozole", "2024-07-15"),
]
INJECTED = [
    *doses("fulvestrant", "2024-01-10", "2024-02-07", "2024-03-06"),
    statement("tamoxifen", "2024-03-20"),
]


@pytest.mark.parametrize(
    ("resources", "day", "drugs"),
    [
        (SWITCHED, "2024-06-30", {"tamoxifen"}),
        (SWITCHED, "2024-07-05", {"tamoxifen"}),  # in a pause: the one before
        (SWITCHED, "2024-07-15", {"letrozole"}),
        (SWITCHED, "2025-05-12", {"letrozole"}),
        (SWITCHED, "2022-02-01", {"tamoxifen"}),  # before the line: the one with which it begins
        (INJECTED, "2024-03-01", {"fulvestrant"}),  # between two doses
        (INJECTED, "2024-03-25", {"fulvestrant", "tamoxifen"}),  # a dose counts for as long as its bridge
        (INJECTED, "2024-04-18", {"tamoxifen"}),
    ],
)
def test_the_drugs_of_a_line_on_a_day(resources: list[Json], day: str, drugs: set[str]) -> None:
    (line,) = chart(*resources, as_of="2025-06-01").lines
    assert set(line.drugs_on(date.fromisoformat(day))) == drugs


def test_of_a_line_of_one_drug_no_courses_are_kept() -> None:
    (line,) = chart(statement("tamoxifen", "2022-03-01"), as_of="2025-06-01").lines
    assert line.courses == ()
    assert line.drugs_on(date(2025, 1, 1)) == ("tamoxifen",)


def test_a_drug_without_a_documented_start_may_run() -> None:
    begun = DrugCourse("tamoxifen", date(2024, 1, 1), None)
    line = Line(
        "endocrine-therapy", ("tamoxifen", "letrozole"), None, courses=(begun, DrugCourse("letrozole", None, None))
    )
    assert line.drugs_on(date(2024, 6, 1)) == ("tamoxifen", "letrozole")
