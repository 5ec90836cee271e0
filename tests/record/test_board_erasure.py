"""What a board leaves of a patient is exported, erased and merged with them; a record from before there were boards goes on."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import MetaData, func, insert, select

from cds.record import tables
from cds.record.adoption import adopt
from cds.record.audit import Verdict, verify
from cds.record.database import Database
from cds.record.decisions import AlreadyDecided, Decision
from cds.record.erasure import erase, export, merge
from cds.record.recorder import Recorder
from cds.record.worklist import Filter, listed
from tests.record.boards import A_SEASON, TENANT, behind, named_visit, rows, worked_on
from tests.record.visits import REASONER, visit, who

BOOK = REASONER.rulebook
BEFORE = Path(__file__).parent / "before_the_board.json"
_OF_A_BOARD = ("person", "answer", "acknowledgement", "agenda", "second_reading", "action", "outcome", "disposition")


def verdict(database: Database) -> Verdict:
    with database.reading() as connection:
        return verify(connection, {})


def counted(database: Database) -> dict[str, int]:
    with database.reading() as connection:
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (tables.patient, *tables.OF_PATIENT)
        }


@pytest.fixture
def recorder(database: Database) -> Recorder:
    """A patient on whom a board has worked, with every kind of row."""
    found = Recorder(database, BOOK, clock=behind(A_SEASON))
    for day in ("2025-03-31", "2025-04-28", "2025-04-30"):
        named_visit(found, "A30", day, identity=who("Patient/kept"))
    worked_on(found)
    assert verdict(database).holds
    return found


def test_everything_of_a_board_is_exported(recorder: Recorder) -> None:
    found = export(recorder.database, who("Patient/kept"))
    assert {name for name in _OF_A_BOARD if not found[name]} == set()
    (decision,) = found["disposition"]
    assert decision["content"]["note"] == "Rise before imaging"
    assert found["second_reading"][0]["content"] == {"note": "Same view"}
    assert found["person"][0]["family"] == "A30"


def test_everything_of_a_board_is_erased_and_the_chain_holds(recorder: Recorder) -> None:
    database = recorder.database
    meetings = [one.id for one in recorder.meetings.meetings(TENANT)]
    named_visit(recorder, "A01", "2025-12-31")
    assert erase(database, who("Patient/kept"), "privacy-office") > 15
    left = counted(database)
    assert {name: left[name] for name in _OF_A_BOARD if name not in ("person", "answer")} == dict.fromkeys(
        set(_OF_A_BOARD) - {"person", "answer"}, 0
    )
    assert left["person"] == 1
    assert verdict(database).holds
    assert [one.id for one in recorder.meetings.meetings(TENANT)] == meetings  # a meeting is nobody's own
    assert [recorder.meetings.agenda(TENANT, one) for one in meetings] == [[], []]
    assert erase(database, who("Patient/a01"), "privacy-office")
    assert set(counted(database).values()) == {0}
    assert verdict(database).holds


@pytest.mark.parametrize("kept", ["Patient/kept", "Patient/other"])
def test_everything_of_a_board_moves_when_two_patients_are_merged(recorder: Recorder, kept: str) -> None:
    database = recorder.database
    for day in ("2025-03-31", "2025-04-28", "2025-04-30"):
        named_visit(recorder, "A30", day, family="Other", identity=who("Patient/other"))
    worked_on(recorder)
    other = next(one for one in ("Patient/kept", "Patient/other") if one != kept)
    before = counted(database)
    merge(database, who(kept), who(other), "registry")
    assert verdict(database).holds
    assert counted(database) == {**before, "person": 1}
    with database.reading() as connection:
        for table in tables.OF_PATIENT:
            assert len(set(connection.execute(select(table.c.patient_id)).scalars())) <= 1, table.name
    found = export(database, who(other))
    assert len(found["patient"]) == 2
    named_visit(recorder, "A30", "2025-05-01", identity=who(kept))
    assert verdict(database).holds
    (row,) = rows(database)  # of two advisories about one line, one goes on
    assert row.claim == "watch"
    recorder.reviews.decide(Decision(row.advisory, row.revision, "watch", "board-9", seen=1))
    assert erase(database, who(other), "privacy-office")
    assert set(counted(database).values()) == {0}
    assert verdict(database).holds


# a record from before ----------------------------------------------------------------------------------------------------


def from_before(database: Database) -> None:
    """The rows of a record as version 0.1 with schema 0003 left them."""
    database.upgrade("0003")
    stored = json.loads(BEFORE.read_text("utf-8"))
    with database.writing() as connection:
        old = MetaData()
        old.reflect(connection)
        for table in old.sorted_tables:
            if table.name in stored:
                connection.execute(insert(table), [_opened(row) for row in stored[table.name]])


def _opened(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: base64.b64decode(value["base64"]) if isinstance(value, dict) else value for name, value in row.items()
    }


@pytest.fixture
def old(connect: Callable[[], Database]) -> Database:
    found = connect()
    from_before(found)
    return found


def test_what_was_digested_before_still_holds(old: Database) -> None:
    old.upgrade()
    found = verdict(old)
    assert found.holds, found.broken
    assert found.rows > 15


def test_old_decisions_are_read_and_new_ones_follow_them(old: Database) -> None:
    old.upgrade()
    recorder = Recorder(old, BOOK)
    with old.reading() as connection:
        row = connection.execute(select(tables.advisory).where(tables.advisory.c.revision == 2)).mappings().one()
    first, second = recorder.reviews.decisions(TENANT, advisory=row["id"])
    assert [(one.number, one.code, one.follow_up) for one in (first, second)] == [
        (1, "repeat-requested", "2025-04-28"),
        (2, "imaging-requested", ""),
    ]
    assert (second.reason, second.note, second.actions, second.newest) == ("", "", (), True)
    with pytest.raises(AlreadyDecided, match="board-7 decided 'imaging-requested'"):
        recorder.reviews.decide(Decision(row["id"], row["revision"], "accept", "board-8"))
    recorder.reviews.decide(Decision(row["id"], row["revision"], "accept", "board-8", seen=2))
    assert [one.number for one in recorder.reviews.decisions(TENANT, advisory=row["id"])] == [1, 2, 3]
    with old.reading() as connection:
        bases = set(connection.execute(select(tables.disposition.c.basis)).scalars())
    assert len(bases) == 2
    assert bases <= visit(recorder, "A30", "2025-04-28").silenced
    assert verdict(old).holds


def test_a_column_that_was_added_later_is_guarded_from_when_it_holds_something(old: Database) -> None:
    old.upgrade()
    for table, column, value in (
        (tables.disposition, "reason", "no-time"), (tables.disposition, "number", 7), (tables.event, "rule_hash", "ff"),
    ):  # fmt: skip
        with old.writing() as connection:
            savepoint = connection.begin_nested()
            key = select(func.min(table.c.id)).scalar_subquery()
            connection.execute(table.update().where(table.c.id == key), {column: value})
            assert any(f"{table.name} " in one and "was edited" in one for one in verify(connection, {}).broken)
            savepoint.rollback()


def test_open_advice_from_before_is_on_the_worklist(old: Database) -> None:
    old.upgrade()
    assert listed(old, TENANT, Filter()).total == 0
    assert adopt(old) == 2
    assert adopt(old) == 0
    first, second = rows(old)
    assert [(one.state, one.claim, one.standing) for one in (first, second)] == [("suspected", "suspected", "open")] * 2
    assert all("suspected" in one.headline and one.fold and one.markers == ("trpc5-ev",) for one in (first, second))
    assert verdict(old).holds
    recorder = Recorder(old, BOOK)
    visit(recorder, "A30", "2025-04-30")
    found = {one.who.reference: one for one in rows(old)}
    assert found["Patient/a30"].id in {first.id, second.id}
    assert (found["Patient/a30"].claim, bool(found["Patient/a30"].withdrawn)) == ("watch", True)
    assert verdict(old).holds


def test_down_and_up_again_keeps_the_last_decision(old: Database) -> None:
    old.upgrade()
    adopt(old)
    recorder = Recorder(old, BOOK)
    row = next(one for one in rows(old) if one.revision == 2)
    recorder.reviews.decide(Decision(row.advisory, row.revision, "accept", "board-8", seen=2))
    worked = len(recorder.reviews.decisions(TENANT, advisory=row.advisory))
    old.downgrade("0004")
    with old.reading() as connection:
        stored = MetaData()
        stored.reflect(connection, only=["disposition"])
        left = connection.execute(select(stored.tables["disposition"])).mappings().all()
    assert worked == 3
    assert sorted((one["revision"], one["code"]) for one in left) == [(1, "repeat-requested"), (2, "accept")]
    assert set(left[0]) == set(json.loads(BEFORE.read_text("utf-8"))["disposition"][0])
    old.upgrade()
    assert adopt(old) == 2
    assert [one.code for one in recorder.reviews.decisions(TENANT, advisory=row.advisory)] == [
        "repeat-requested",
        "accept",
    ]
    assert date.fromisoformat(rows(old)[0].latest)
