"""What a patient was given on the day of the data: by drug, each with its own days, and what has ended as ended."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from cds.advice.statements import Advisor
from cds.chart.model import DrugCourse, Line
from cds.drawing.rows import told_of_bar
from cds.legible import legible
from tests.advice.charts import METHOD, START, chart, result, series
from tests.drawing.contact_sheet import REASONER, drawn_of_chart

SWITCH = START + timedelta(days=60)
SWITCHED = Line(
    "cytotoxic-chemotherapy", ("gemcitabine", "eribulin"), START,
    courses=(DrugCourse("gemcitabine", START, SWITCH - timedelta(days=10)), DrugCourse("eribulin", SWITCH, None)),
)  # fmt: skip
RISE = {-17: 1.8, -4: 2.0, 77: 5.6, 105: 6.3}


def test_each_drug_of_a_line_has_a_bar_of_its_own() -> None:
    (lane,) = drawn_of_chart(chart(*series("trpc5-ev", RISE), lines=[SWITCHED])).lanes
    assert [told_of_bar(lane, bar).split(": ")[1] for bar in lane.bars] == [
        "6 Jan 2025 to 25 Feb 2025", "7 Mar 2025 on, taken as ongoing",
    ]  # fmt: skip
    assert [bar.label for bar in lane.bars] == ["gemcitabine", "eribulin"]


def test_doses_whose_bridges_meet_are_one_run() -> None:
    days = [START + timedelta(days=7 * week) for week in range(3)]
    doses = tuple(DrugCourse("gemcitabine", day, day + timedelta(days=28), day) for day in days)
    assert Line("cytotoxic-chemotherapy", ("gemcitabine", "eribulin"), START, courses=doses).drug_runs() == (
        DrugCourse("gemcitabine", START, days[-1] + timedelta(days=28), days[-1]),
    )


@pytest.mark.parametrize(("days", "noted"), [(0, False), (118, True)])
def test_a_finding_says_that_its_treatment_ended(days: int, noted: bool) -> None:
    ended = Line("cytotoxic-chemotherapy", ("paclitaxel",), START, START + timedelta(days=110))
    (said,) = Advisor(REASONER.rulebook).advisories(
        REASONER.evaluate(chart(*series("trpc5-ev", RISE), lines=[ended], as_of=110 + days))
    )
    assert ("This treatment ended on 2025-04-26, 118 days before this assessment." in said.notes) is noted


def test_a_sample_that_could_not_be_compared_is_among_the_values_and_unstated_parts_make_no_new_reference() -> None:
    for isolation, offered in ((None, False), ("uc", True)):
        before = result("trpc5-ev", -4, 2.0, method=msgspec.structs.replace(METHOD, isolation=isolation))
        (said,) = Advisor(REASONER.rulebook).advisories(REASONER.evaluate(chart(before, result("trpc5-ev", 77, 5.6))))
        assert said.state == "not-evaluable"
        assert [one.roles for one in said.readings] == [("could not be compared",), ("latest",)]
        assert ("set-new-reference" in {one.key for one in said.options}) is offered


def test_figures_are_written_as_people_write_them() -> None:
    assert legible("total EV 11000000000 {particles}/mL") == "total EV 1.1 × 10¹⁰ particles/mL"
