"""The made-up clinic: its EHR sends what it held on the day of each visit, and nothing of the days to come."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from cds.chart import read
from cds.reasoning.loading import default_rulebook
from cds.reasoning.reasoner import Reasoner
from cds.record import tables
from cds.record.database import Database
from cds.record.erasure import export
from cds.record.identity import Identity
from cds.record.recorder import Recorder
from cds.record.replay import moment_of, replay
from cds.record.worklist import Filter, listed
from cds.service.desk import Caller, Desk
from cds.settings import load_settings
from cds.workbench.clinic import TENANT, Clock, fill, patients, play

REASONER = Reasoner(default_rulebook())
TODAY = date(2026, 6, 1)


@pytest.mark.parametrize("number", [0, 1, 9, 20, 22])
def test_no_visit_knows_of_later_ones(tmp_path: Path, number: int) -> None:
    database = Database(f"sqlite:///{tmp_path}/clinic.sqlite", deadline=10)
    database.upgrade()
    clock = Clock()
    desk = Desk(load_settings(open_mode=True), REASONER, clock, Recorder(database, REASONER.rulebook, clock=clock))
    patient = patients(TODAY)[number]
    visits = play(desk, clock, REASONER.rulebook.catalogue, patient, Caller("ehr", TENANT), TODAY)
    stored = export(database, Identity(TENANT, "", f"Patient/{patient.person.id}"))
    assert len(stored["evaluation"]) == visits > 2
    inputs = {one["id"]: one["content"] for one in stored["inputs"]}
    seen = []
    for one in sorted(stored["evaluation"], key=lambda one: str(one["as_of"])):
        record = read(inputs[one["inputs_id"]], REASONER.rulebook.catalogue)
        chart = record.as_of(moment_of(inputs[one["inputs_id"]], one["as_of"]))
        assert chart.left_out == ()
        seen.append(sum(map(len, chart.results.values())))
        assert replay(database, REASONER, one["id"]).same
    assert seen == sorted(seen)
    assert seen[0] < seen[-1]
    database.close()


def test_most_were_seen_of_late_and_some_were_not() -> None:
    ages = []
    for one in patients(TODAY):
        known = read(one.bundle(), REASONER.rulebook.catalogue).moments()
        assert max(known) < TODAY
        ages.append((TODAY - max(known)).days)
    assert len([age for age in ages if age <= 14]) > 25
    assert len([age for age in ages if age > 60]) >= 5


def test_a_board_decides_about_what_it_could_know(tmp_path: Path) -> None:
    database, today = Database(f"sqlite:///{tmp_path}/clinic.sqlite", deadline=10), date.today()
    database.upgrade()
    fill(database, REASONER, load_settings(open_mode=True), today, lambda: None)
    decided, event = tables.disposition, tables.event
    about = (event.c.advisory_id == decided.c.advisory_id) & (event.c.number == decided.c.revision)
    with database.reading() as connection:
        times = connection.execute(select(decided.c.at, event.c.at).join_from(decided, event, about)).all()
    assert len(times) == 3
    assert all(known < at for at, known in times)
    assert listed(database, TENANT, Filter(decided="no", states=("suspected",))).rows  # there is something left to do
    database.close()


def test_advice_that_was_seen_is_withdrawn_and_waits_for_somebody(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/clinic.sqlite", deadline=10)
    database.upgrade()
    clock, today = Clock(), date.today()  # what was withdrawn is told for ninety days
    desk = Desk(load_settings(open_mode=True), REASONER, clock, Recorder(database, REASONER.rulebook, clock=clock))
    (patient,) = [one for one in patients(today) if one.person.id == "s2026-000077"]
    play(desk, clock, REASONER.rulebook.catalogue, patient, Caller("ehr", TENANT), today)
    listing = listed(database, TENANT, Filter())
    assert listing.counts.withdrawn == 1
    (row,) = [one for one in listing.rows if one.withdrawn]
    assert row.withdrawn[:10] == str(today - timedelta(days=3))
    stored = export(database, Identity(TENANT, "", f"Patient/{patient.person.id}"))
    assert {"advice", "withdrawal"} <= {one["kind"] for one in stored["card"]}
    database.close()
