"""Results whose report lies ahead of our clock, in the record: they replay, and are evaluated when their time has come."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from cds.chart.clock import AHEAD
from cds.record import content, tables
from cds.record.database import Database
from cds.record.replay import replay
from tests.record.test_arrivals import Clinic, one
from tests.record.visits import REASONER

DAYS = {"2024-12-20": "1.8", "2025-01-02": "2.0", "2025-03-24": "5.6"}


@pytest.fixture
def clinic(database: Database) -> Clinic:
    found = Clinic(database)
    found.on("2025-04-22").opens()
    for day, value in DAYS.items():
        found.sends(one(day, value))
    return found


def reported(at: datetime) -> bytes:
    """The second rise, with the time at which its laboratory says that it reported it."""
    stamp = at.strftime("%Y%m%d%H%M%S+0000").encode()
    message = one("2025-04-21", "6.3")
    before, _, after = message.partition(b"OBR|")
    line, end, rest = after.partition(b"\r")
    fields = line.split(b"|")
    fields += [b""] * (22 - len(fields))
    fields[21] = stamp
    return before + b"OBR|" + b"|".join(fields) + end + rest


def stored(database: Database) -> list[str]:
    with database.reading() as connection:
        return list(connection.execute(select(tables.evaluation.c.id).order_by(tables.evaluation.c.at)).scalars())


def due(database: Database) -> str:
    with database.reading() as connection:
        return str(connection.execute(select(tables.patient.c.due)).scalar_one())


def test_a_clock_three_minutes_ahead_changes_nothing_and_replays(clinic: Clinic, database: Database) -> None:
    answer = clinic.sends(reported(clinic.day + timedelta(minutes=3)))
    assert b"MSA|AA" in answer
    assert b"ERR" not in answer
    assert clinic.standing == [("suspected", "open")]
    (card,) = clinic.opens().json()["cards"]
    assert "suspected" in card["summary"]
    for key in stored(database):
        assert replay(database, REASONER, key).same


def test_what_was_recorded_before_clocks_were_forgiven_replays_as_it_was(clinic: Clinic, database: Database) -> None:
    clinic.sends(reported(clinic.day + timedelta(minutes=3)))
    key = stored(database)[-1]
    with database.writing() as connection:
        inputs = connection.execute(
            select(tables.inputs.c.id, tables.inputs.c.content)
            .join(tables.evaluation, tables.evaluation.c.inputs_id == tables.inputs.c.id)
            .where(tables.evaluation.c.id == key)
        ).one()
        old = {name: part for name, part in content.unpacked(inputs.content).items() if name != "clockSkew"}
        connection.execute(
            update(tables.inputs).where(tables.inputs.c.id == inputs.id), {"content": content.packed(old)}
        )
    assert replay(database, REASONER, key).states["trpc5-rise-on-chemotherapy"] == ("suspected", "watch")


def test_what_lies_further_ahead_is_named_to_the_sender_and_on_the_card(clinic: Clinic, database: Database) -> None:
    answer = clinic.sends(reported(datetime(2035, 4, 21, 14, tzinfo=UTC)))
    assert b"MSA|AA" in answer
    (warning,) = [line for line in answer.split(b"\r") if line.startswith(b"ERR")]
    assert b"|W|" in warning
    assert b"2035-04-21" in warning
    assert b"clock" in warning
    assert clinic.standing == [("watch", "open")]
    (card,) = clinic.opens().json()["cards"]
    assert "2035-04-21T14:00:00+00:00" in card["detail"].partition("### Left out of this assessment")[2]
    assert due(database) == "2035-04-21T13:55:00.000000Z"
    assert clinic.app.state.follower.settle() == 0


def test_a_collection_to_come_is_named_to_the_sender(clinic: Clinic) -> None:
    answer = clinic.sends(one("2029-04-21", "6.3"))
    assert b"MSA|AA" in answer
    reported, collected = [line for line in answer.split(b"\r") if line.startswith(b"ERR")]
    assert b"|W|" in reported
    assert b"|W|" in collected
    assert b"its time of report, 2029-04-21" in reported
    assert b"its time of collection, 2029-04-21" in collected


def test_over_fhir_both_are_named_in_the_answer(clinic: Clinic) -> None:
    from tests.intake.test_three_labs import observation

    said = clinic.posts(observation(issued="2035-04-21T14:00:00Z", effectiveDateTime="2029-04-21")).json()["issue"]
    told: list[dict[str, Any]] = [issue for issue in said if issue["severity"] == "warning"]
    assert len(told) == 2
    assert "2035-04-21T14:00:00Z" in json.dumps(told)
    assert "2029-04-21" in json.dumps(told)


def test_it_is_evaluated_when_its_time_has_come(clinic: Clinic, database: Database) -> None:
    clinic.day = datetime.now(UTC)
    clinic.sends(reported(datetime.now(UTC) + AHEAD + timedelta(seconds=2)))
    assert clinic.standing == [("watch", "open")]
    assert due(database) != ""
    assert clinic.app.state.follower.settle() == 0
    deadline = time.monotonic() + 30
    while clinic.standing == [("watch", "open")] and time.monotonic() < deadline:
        time.sleep(0.2)
        clinic.day = datetime.now(UTC)
        clinic.app.state.follower.settle()
    assert clinic.standing == [("suspected", "open")]
    assert due(database) == ""
