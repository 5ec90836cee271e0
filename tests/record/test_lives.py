"""Whole records, lived through day by day: what the record says of each question is what its newest finding says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from cds.advice.statements import Advisor
from cds.chart import Moment, read
from cds.record import tables
from cds.record.audit import verify
from cds.record.database import Database
from cds.record.identity import Identity
from cds.record.lifecycle import CLAIMS, Standing
from cds.record.recorder import Asked, Recorder
from cds.workbench.synth import make_patient
from tests.patients.archetypes import patients
from tests.record.visits import REASONER

ADVISOR = Advisor(REASONER.rulebook)


def lives() -> Iterator[tuple[str, dict[str, Any]]]:
    for one in patients():
        yield f"Patient/{one.id}", one.bundle()
    for number in range(60):
        yield f"Patient/s{number}", make_patient(5, number).bundle


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    """On one database: the transitions are the same code on both."""
    database = Database(f"sqlite:///{tmp_path}/record.sqlite", deadline=10)
    database.upgrade()
    yield Recorder(database, REASONER.rulebook)
    database.close()


def test_the_newest_finding_decides_how_an_advisory_stands(recorder: Recorder) -> None:
    reasons: set[str] = set()
    for name, bundle in lives():
        record = read(bundle, REASONER.rulebook.catalogue)
        last: dict[str, str] = {}
        for day in record.moments():
            evaluation = REASONER.evaluate(record.as_of(Moment(day)))
            who = Identity("here", "", name)
            asked = Asked(who, {}, str(day), "test", evaluation, ADVISOR.advisories(evaluation))
            reasons |= {step.reason for _, step in recorder.record(asked).events}
            last = {rule: found.state for rule, found in evaluation.answers.items() if found.rule.status == "active"}
        with recorder.database.reading() as connection:
            rows = connection.execute(
                select(tables.advisory)
                .join(tables.patient, tables.patient.c.id == tables.advisory.c.patient_id)
                .where(tables.patient.c.reference == name)
            ).mappings()
            open_ = {row["question"]: Standing(row["standing"]) for row in rows if Standing(row["standing"]).is_open}
        claimed = {rule for rule, state in last.items() if state in CLAIMS}
        assert {rule for rule, standing in open_.items() if standing is Standing.OPEN} == claimed, name
        for rule in open_.keys() - claimed:
            assert last[rule] not in (*CLAIMS, "no-flag"), (name, rule)
            # An operation is never over; a line is.
            assert last[rule] != "not-applicable" or REASONER.rulebook.rule(rule).anchor.operation, (name, rule)
    # Every result was sent each time: nothing may be taken for missing.
    assert "results-missing" not in reasons
    assert {
        "claimed",
        "second-sample",
        "below-limit",
        "corrected",
        "entered-in-error",
        "new-line",
        "line-over",
    } <= reasons
    with recorder.database.reading() as connection:
        assert verify(connection, {}).holds
