"""A board's work on patients of the evidence: every kind of row that it leaves in the record."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import select

from cds.record import tables
from cds.record.database import Database
from cds.record.decisions import Decision, Planned
from cds.record.identity import Identity
from cds.record.ownership import Person
from cds.record.recorder import Known, Recorder
from cds.record.worklist import Filter, Row, listed
from tests.patients.archetypes import patient
from tests.record.visits import asked

TENANT = "here"
A_SEASON, A_YEAR = 100, 400
"""Days after which an outcome of three, and one of twelve months is due."""


def called(who: Identity, family: str, given: str = "Anna", number: str = "") -> Person:
    """A person of that name."""
    return Person(who, (), "1970-05-14", family, given, "female", number or f"MRN-{family}", "https://ehr.example/mrn")


def named_visit(
    recorder: Recorder, name: str, day: str, *, family: str = "", given: str = "Anna", identity: Identity | None = None
) -> Known:
    """A visit of a patient of the evidence whose own record was read; their family name is their id if none is given."""
    work = asked(patient(name).bundle(date.fromisoformat(day)), day, identity=identity)
    work.person = called(work.who, family or name, given)
    return recorder.record(work)


def rows(database: Database, **wanted: object) -> list[Row]:
    """What a list shows."""
    return list(listed(database, TENANT, Filter(**wanted)).rows)  # type: ignore[arg-type]  # fields by name


def advisory(database: Database) -> tuple[str, int]:
    """Id and revision of the only advisory."""
    with database.reading() as connection:
        row = connection.execute(select(tables.advisory.c.id, tables.advisory.c.revision)).one()
    return row.id, row.revision


def behind(days: int) -> Callable[[], datetime]:
    """A clock that is so many days behind: what is opened by it has had its time."""
    return lambda: datetime.now(UTC) - timedelta(days=days)


def worked_on(recorder: Recorder) -> int:
    """Every kind of row that a board leaves, about the first open advisory and every withdrawn one; how many entries that makes.

    The clock of the recorder is a season behind, so that an outcome is due.
    """
    database = recorder.database
    row = next(one for one in rows(database) if one.claim)
    meeting = recorder.meetings.plan(TENANT, "Breast board", "2026-01-05", "chair")
    recorder.meetings.add(TENANT, meeting, row.patient, "chair")
    later = recorder.meetings.plan(TENANT, "Breast board", "2026-01-12", "chair")
    recorder.meetings.carry(TENANT, meeting, later, "chair")
    plan = (Planned("imaging", "2026-01-20"), Planned("trial"))
    first = Decision(
        row.advisory, row.revision, "accept", "board-7", note="Rise before imaging", actions=plan, level="m2B", resistance=True,
        references=("28301834",), meeting=later,
    )  # fmt: skip
    decided = recorder.reviews.decide(first)
    recorder.reviews.second(decided, "prof-2", agrees=True, note="Same view")
    action = recorder.follow_up.actions(TENANT, advisory=row.advisory)[0]
    recorder.follow_up.close(TENANT, action.id, "not-done", "nurse-1", reason="patient-wish")
    recorder.follow_up.state(TENANT, row.advisory, 3, "PD", "yes", "nurse-1")
    gone = [
        recorder.reviews.acknowledge(TENANT, one.advisory, "nurse-1") for one in rows(database, standing="withdrawn")
    ]
    recorder.meetings.change(
        TENANT, meeting, 1, "chair", attendees=["oncologist", "surgeon"], quorum=True, minutes="One case.", close=True
    )
    return 9 + len(gone)
