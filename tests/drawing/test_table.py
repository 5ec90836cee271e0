"""The table twin of a drawing: everything that it shows, in the order of days."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from cds.chart.model import Chart
from cds.drawing import table_of
from tests.advice.charts import START
from tests.drawing import hard_cases
from tests.drawing.contact_sheet import drawn, drawn_of, drawn_of_chart
from tests.patients.archetypes import patient
from tests.test_cli import EXAMPLE


def test_the_example_in_rows() -> None:
    table = table_of(drawn(EXAMPLE.read_bytes(), "2025-04-21"))
    assert table.counted_from == "cytotoxic chemotherapy, from 2025-01-06"
    rows = [(str(row.day), row.of_line, row.what, row.value.split(" (")[0], row.remark) for row in table.rows]
    assert rows == [
        ("2024-12-20", -17, "TRPC5-EV", "1.8 10*6/mL", "reference"),
        ("2025-01-02", -4, "TRPC5-EV", "2.0 10*6/mL", "reference"),
        ("2025-01-06", 0, "Cytotoxic chemotherapy", "paclitaxel", "taken as ongoing"),
        ("2025-02-17", 42, "TRPC5-EV", "2.1 10*6/mL", ""),
        ("2025-03-24", 77, "TRPC5-EV", "5.6 10*6/mL", "first of the pair"),
        ("2025-04-21", 105, "TRPC5-EV", "6.3 10*6/mL", "second of the pair, latest, 3.32 × of the reference, per total EV 3.32 ×"),
    ]  # fmt: skip
    latest = table.rows[-1]
    assert "total EV" in latest.value
    assert "flow cytometry" in latest.by


@pytest.mark.parametrize(
    ("name", "case"), list(hard_cases.cases()), ids=lambda part: part if isinstance(part, str) else ""
)
def test_every_item_of_the_drawing_has_its_row(name: str, case: Chart) -> None:
    scene = drawn_of_chart(case)
    table = table_of(scene)
    shown = sum(len(panel.points) + len(panel.breaks) + len(panel.replicates) for panel in scene.panels)
    shown += sum(len(lane.bars) + len(lane.marks) for lane in scene.lanes) + len(scene.elsewhere)
    assert len(table.rows) == shown
    days = [row.day or date.min for row in table.rows]
    assert days == sorted(days)
    for row in table.rows:
        counted = (row.day - scene.anchor.day).days if row.day and scene.anchor else None
        assert row.of_line == counted


def test_means_breaks_and_what_has_no_day_are_told() -> None:
    remarks = [row.remark for row in table_of(drawn_of_chart(hard_cases.replicates())).rows]
    assert remarks.count("geometric mean of 2 values of this day") == 2
    remarks = [row.remark for row in table_of(drawn_of_chart(hard_cases.two_laboratories_in_turn())).rows]
    assert "not comparable with the result before: other laboratory" in remarks
    assert "not comparable with anything before: other lot" in remarks
    rows = table_of(drawn_of_chart(hard_cases.two_laboratories_in_turn())).rows
    assert {row.value for row in rows if row.remark.startswith("not comparable")} == {"no result: a break"}
    lost = [row for row in table_of(drawn_of_chart(hard_cases.undated())).rows if row.day is None]
    assert ("TRPC5-EV", "4.0 10*6/mL", "no day of collection") in [(row.what, row.value, row.remark) for row in lost]


def test_what_is_planned_unended_or_disturbing_is_told() -> None:
    rows = table_of(drawn_of_chart(hard_cases.everything_at_once())).rows
    said = {(row.what, row.value): (row.day, row.end, row.remark) for row in rows}
    assert said["Anti-PD-L1", "atezolizumab"][2] == "end not recorded"
    assert said["CDK4/6 inhibitor", "ribociclib"] == (
        None,
        START + timedelta(days=20),
        "to 2025-01-26, start not recorded",
    )
    assert said["Endocrine therapy", "letrozole"][2] == "planned"
    assert said["Operation", "resection"][2] == f"disturbs the marker until {START + timedelta(days=127)}"


def test_of_a_lowest_value_it_is_said_why_a_lower_one_is_not_taken() -> None:
    scene = drawn_of(patient("A11"), "2025-05-12")
    (panel,) = scene.panels
    early = replace(panel.points[0], day=date(2024, 3, 1), value=1.2, shown="1.2 {fold}", roles=())
    table = table_of(replace(scene, panels=(replace(panel, points=(panel.points[0], early, *panel.points[1:])),)))
    told = {row.day: row.remark for row in table.rows if row.what == panel.short}
    assert "reference" in told[date(2024, 4, 12)]
    assert told[early.day].startswith("lower than the reference and not taken for it")
    assert not any("not taken" in said for day, said in told.items() if day != early.day)
