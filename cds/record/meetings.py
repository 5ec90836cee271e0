"""Meetings of boards: planned, with an agenda of patients that can be ordered and carried over, then held and closed.

A meeting is nobody's own: minutes stay when a patient is erased, and are to name patients by no more than the agenda does.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, func, insert, select, update

from cds.errors import ExowatchError
from cds.record import tables
from cds.record.audit import Checkpoints, Entry, canonical, now
from cds.record.database import Database
from cds.record.decisions import NotAccepted, a_day, is_text, noted, somebody
from cds.record.identity import Identity, NoSuchPatient, held_survivor
from cds.record.names import NAMED, Named, named
from cds.record.reviews import entry_of
from cds.record.trail import Trail

MOST_MINUTES = 10_000
_MOST_ATTENDEES = 100


class NoSuchMeeting(ExowatchError):
    """There is no meeting of that id, or nothing of that id stands on its agenda."""


class ChangedMeanwhile(ExowatchError):
    """Somebody else changed the meeting first; `by` is who, `at` when."""

    def __init__(self, by: str, at: str):
        super().__init__(f"{by} changed the meeting at {at}. Look at that first, then change it again")
        self.by, self.at = by, at


class AlreadyHeld(ExowatchError):
    """The meeting was held and is closed: nothing of it changes any more."""


@dataclass(frozen=True, slots=True)
class Meeting:
    """A meeting of a board. `attendees` are roles or pseudonyms; `revision` counts its changes; `by` made the last one."""

    id: str
    tenant: str
    board: str
    day: str
    status: str  # planned | held
    attendees: tuple[str, ...]
    quorum: bool
    minutes: str
    revision: int
    by: str
    at: str


@dataclass(frozen=True, slots=True)
class Case:
    """A patient on an agenda. `carried_from` is the meeting at which there was no time for them, "" if there is none."""

    id: str
    patient: str  # row id
    who: Identity
    named: Named
    position: int
    status: str  # open | discussed | carried
    carried_from: str
    by: str
    at: str


class Meetings:
    """Plans and closes meetings; safe to share between threads, and between processes on one database.

    Everything raises `RecordUnavailable`, and `NoSuchMeeting` for what the tenant does not have.
    """

    def __init__(self, database: Database, checkpoints: Checkpoints | None = None):
        self.database = database
        self.trail = Trail(database, checkpoints)

    def plan(self, tenant: str, board: str, day: str, by: str) -> str:
        """Plan a meeting; its id. Raises `NotAccepted`."""
        row = {
            "id": str(uuid.uuid4()), "tenant": tenant, "board": _board(board), "day": a_day("day", day),
            "status": "planned", "attendees": "[]", "quorum": False, "minutes": "", "revision": 1, "by": somebody(by),
            "at": now(),
        }  # fmt: skip

        def work(connection: Connection) -> tuple[str, Entry | None]:
            connection.execute(insert(tables.meeting), row)
            entry = Entry(tenant, str(row["by"])[:64], "meeting")
            entry.wrote(tables.meeting, row, "")
            return str(row["id"]), entry

        return self.trail.write(work)

    def change(
        self,
        tenant: str,
        meeting: str,
        revision: int,
        by: str,
        *,
        board: str | None = None,
        day: str | None = None,
        attendees: Sequence[str] | None = None,
        quorum: bool | None = None,
        minutes: str | None = None,
        close: bool = False,
    ) -> int:
        """Change what is given of a planned meeting, and with `close` say that it was held; its new revision.

        `revision` is the one that was seen. Raises `NotAccepted`, `ChangedMeanwhile`, and `AlreadyHeld`.
        """
        stated: dict[str, Any] = {"by": somebody(by)}
        if board is not None:
            stated["board"] = _board(board)
        if day is not None:
            stated["day"] = a_day("day", day)
        if attendees is not None:
            stated["attendees"] = canonical(_attendees(attendees))
        if quorum is not None:
            stated["quorum"] = quorum
        if minutes is not None:
            stated["minutes"] = noted(minutes, "minutes", MOST_MINUTES)
        if close:
            stated["status"] = "held"

        def work(connection: Connection) -> tuple[int, Entry | None]:
            row = _planned(connection, tenant, meeting)
            if row["revision"] != revision:
                raise ChangedMeanwhile(row["by"], row["at"])
            changed = {**row, **stated, "revision": revision + 1, "at": now()}
            connection.execute(update(tables.meeting).where(tables.meeting.c.id == meeting), changed)
            entry = Entry(tenant, stated["by"][:64], "meeting")
            entry.wrote(tables.meeting, changed, "")
            return revision + 1, entry

        return self.trail.write(work)

    # the agenda ----------------------------------------------------------------------------------------------------

    def add(self, tenant: str, meeting: str, patient: str, by: str) -> str:
        """Put a patient (by row id) at the end of an agenda; the id of the case, the same if they stand on it already.

        Raises `NoSuchPatient`, and `AlreadyHeld`.
        """
        by = somebody(by)

        def work(connection: Connection) -> tuple[str, Entry | None]:
            theirs = select(tables.patient.c.id).where(
                tables.patient.c.id == patient, tables.patient.c.tenant == tenant
            )
            if connection.execute(theirs).first() is None:
                raise NoSuchPatient(f"The record holds no patient of row '{patient}' (tenant '{tenant}')")
            row = held_survivor(connection, patient)
            _planned(connection, tenant, meeting)
            cases = _cases(connection, meeting)
            for case in cases:
                if case["patient_id"] == row["id"]:
                    return str(case["id"]), None
            entry = entry_of(row, by, "agenda")
            return _put(connection, entry, row, meeting, _end(cases), by), entry

        return self.trail.write(work)

    def remove(self, tenant: str, meeting: str, case: str, by: str) -> None:
        """Take a case off an agenda. Raises `AlreadyHeld`."""

        def work(cases: Sequence[_Case], entry: Entry) -> None:
            _named_case(cases, case).erase(entry)

        self._with_agenda(tenant, meeting, somebody(by), work)

    def reorder(self, tenant: str, meeting: str, cases: Sequence[str], by: str) -> None:
        """Bring an agenda into the order of these cases; cases that are not named stay behind them as they were.

        Raises `AlreadyHeld`.
        """

        def work(found: Sequence[_Case], entry: Entry) -> None:
            first = [_named_case(found, key) for key in dict.fromkeys(cases)]
            for position, one in enumerate([*first, *(one for one in found if one not in first)], 1):
                one.change(entry, position=position)

        self._with_agenda(tenant, meeting, somebody(by), work)

    def mark(self, tenant: str, meeting: str, case: str, by: str, *, discussed: bool) -> None:
        """Say that a case was discussed, or was not after all. Raises `AlreadyHeld`."""

        def work(cases: Sequence[_Case], entry: Entry) -> None:
            _named_case(cases, case).change(entry, status="discussed" if discussed else "open")

        self._with_agenda(tenant, meeting, somebody(by), work)

    def carry(self, tenant: str, meeting: str, to: str, by: str) -> int:
        """Carry the cases that are still open over to the end of another, planned meeting, in their order; how many were.

        Who stands on that agenda already is not put there twice. The first meeting may be held by then. Each case is carried by itself:
        what could not be done is done when it is called again. Raises `AlreadyHeld`, and `NotAccepted` for the same meeting.
        """
        by = somebody(by)
        if meeting == to:
            raise NotAccepted("to", "a case is carried over to another meeting")
        with self.database.reading() as connection:
            _meeting(connection, tenant, meeting, hold=False)
            _planned(connection, tenant, to, hold=False)
            waiting = [row["id"] for row in _cases(connection, meeting) if row["status"] == "open"]
        return sum(self._carry(tenant, meeting, to, case, by) for case in waiting)

    def _carry(self, tenant: str, meeting: str, to: str, key: str, by: str) -> bool:
        wanted = select(tables.agenda).where(tables.agenda.c.id == key, tables.agenda.c.meeting_id == meeting)

        def work(connection: Connection) -> tuple[bool, Entry | None]:
            row = connection.execute(wanted).mappings().first()
            if row is None:
                return False, None
            patient = held_survivor(connection, row["patient_id"])
            _planned(connection, tenant, to)
            row = connection.execute(wanted.with_for_update()).mappings().first()
            if row is None or row["status"] != "open":
                return False, None
            entry = entry_of(patient, by, "agenda")
            _Case(connection, dict(row), patient["salt"]).change(entry, status="carried")
            there = _cases(connection, to)
            if row["patient_id"] not in {one["patient_id"] for one in there}:
                _put(connection, entry, patient, to, _end(there), by, carried_from=meeting)
            return True, entry

        return self.trail.write(work)

    def _with_agenda(self, tenant: str, meeting: str, by: str, work: Callable[[Sequence[_Case], Entry], None]) -> None:
        """Do something with the cases of a planned meeting, which nobody else changes meanwhile."""

        def working(connection: Connection) -> tuple[None, Entry | None]:
            _planned(connection, tenant, meeting)
            # In the order in which a merge takes them, which holds their patients: neither waits for the other in a circle.
            held = select(tables.agenda.c.id).where(tables.agenda.c.meeting_id == meeting).order_by(tables.agenda.c.id)
            connection.execute(held.with_for_update())
            rows = _cases(connection, meeting)
            patient = tables.patient.c
            theirs = select(patient.id, patient.salt).where(patient.id.in_([row["patient_id"] for row in rows]))
            salts = {key: salt for key, salt in connection.execute(theirs).all()}
            entry = Entry(tenant, by[:64], "agenda")
            work([_Case(connection, dict(row), salts[row["patient_id"]]) for row in rows], entry)
            return None, entry if entry.rows else None

        self.trail.write(working)

    # reading -------------------------------------------------------------------------------------------------------

    def meeting(self, tenant: str, key: str) -> Meeting:
        """One meeting."""
        with self.database.reading() as connection:
            return _shown(_meeting(connection, tenant, key, hold=False))

    def meetings(self, tenant: str, *, status: str = "", most: int = 100) -> list[Meeting]:
        """Meetings, the latest day first; only those planned or held if asked."""
        table = tables.meeting
        wanted = select(table).where(table.c.tenant == tenant)
        if status:
            wanted = wanted.where(table.c.status == status)
        with self.database.reading() as connection:
            rows = connection.execute(wanted.order_by(table.c.day.desc(), table.c.id).limit(most)).mappings()
            return [_shown(row) for row in rows]

    def agenda(self, tenant: str, meeting: str) -> list[Case]:
        """The agenda of a meeting, in its order."""
        table, patient, person = tables.agenda, tables.patient, tables.person
        wanted = (
            select(table, patient.c.server, patient.c.reference, *NAMED)
            .join(patient, patient.c.id == table.c.patient_id)
            .outerjoin(person, person.c.patient_id == table.c.patient_id)
            .where(table.c.meeting_id == meeting)
            .order_by(table.c.position, table.c.id)
        )
        with self.database.reading() as connection:
            _meeting(connection, tenant, meeting, hold=False)
            rows = connection.execute(wanted).mappings().all()
        return [
            Case(
                row["id"], row["patient_id"], Identity(tenant, row["server"], row["reference"]), named(row),
                row["position"], row["status"], row["carried_from"] or "", row["by"], row["at"],
            )
            for row in rows
        ]  # fmt: skip

    def last_held(self, tenant: str, board: str = "") -> str:
        """The day of the last meeting that was held, of one board if asked; "" if none was."""
        table = tables.meeting.c
        wanted = select(func.max(table.day)).where(table.tenant == tenant, table.status == "held")
        if board:
            wanted = wanted.where(table.board == board)
        with self.database.reading() as connection:
            return connection.execute(wanted).scalar() or ""


class _Case:
    """A row of an agenda that is held until the transaction ends."""

    def __init__(self, connection: Connection, row: dict[str, Any], salt: str):
        self._connection, self.row, self._salt = connection, row, salt

    def change(self, entry: Entry, **changes: Any) -> None:
        """Write what differs."""
        if all(self.row[name] == value for name, value in changes.items()):
            return
        self.row = {**self.row, **changes}
        self._connection.execute(update(tables.agenda).where(tables.agenda.c.id == self.row["id"]), changes)
        entry.wrote(tables.agenda, self.row, self._salt)

    def erase(self, entry: Entry) -> None:
        self._connection.execute(delete(tables.agenda).where(tables.agenda.c.id == self.row["id"]))
        entry.erased(tables.agenda, self.row["id"])


def _named_case(cases: Sequence[_Case], key: str) -> _Case:
    for case in cases:
        if case.row["id"] == key:
            return case
    raise NoSuchMeeting(f"nothing of id '{key[:40]}' stands on the agenda")


def _put(
    connection: Connection,
    entry: Entry,
    patient: RowMapping,
    meeting: str,
    position: int,
    by: str,
    carried_from: str = "",
) -> str:
    row = {
        "id": str(uuid.uuid4()), "patient_id": patient["id"], "meeting_id": meeting, "position": position,
        "carried_from": carried_from or None, "status": "open", "by": by, "at": now(),
    }  # fmt: skip
    connection.execute(insert(tables.agenda), row)
    entry.wrote(tables.agenda, row, patient["salt"])
    return str(row["id"])


def _end(cases: Sequence[RowMapping]) -> int:
    return max((int(row["position"]) for row in cases), default=0) + 1


def _cases(connection: Connection, meeting: str) -> Sequence[RowMapping]:
    table = tables.agenda
    wanted = select(table).where(table.c.meeting_id == meeting).order_by(table.c.position, table.c.id)
    return connection.execute(wanted).mappings().all()


def _meeting(connection: Connection, tenant: str, key: str, *, hold: bool = True) -> RowMapping:
    wanted = select(tables.meeting).where(tables.meeting.c.id == key, tables.meeting.c.tenant == tenant)
    # Its key stays: so cases can be put on its agenda while it is held.
    row = connection.execute(wanted.with_for_update(key_share=True) if hold else wanted).mappings().first()
    if row is None:
        raise NoSuchMeeting(f"there is no meeting '{key[:40]}'")
    return row


def _planned(connection: Connection, tenant: str, key: str, *, hold: bool = True) -> RowMapping:
    row = _meeting(connection, tenant, key, hold=hold)
    if row["status"] == "held":
        raise AlreadyHeld(f"the meeting of {row['day']} was held and is closed since {row['at']}")
    return row


def _shown(row: RowMapping) -> Meeting:
    return Meeting(
        row["id"], row["tenant"], row["board"], row["day"], row["status"], tuple(json.loads(row["attendees"])),
        row["quorum"], row["minutes"], row["revision"], row["by"], row["at"],
    )  # fmt: skip


def _board(name: str) -> str:
    name = name.strip()
    if not 0 < len(name) <= 128 or not is_text(name, ""):
        raise NotAccepted("board", "it is to be a name of at most 128 characters")
    return name


def _attendees(names: Sequence[str]) -> list[str]:
    found = [name.strip() for name in names if name.strip()]
    if len(found) > _MOST_ATTENDEES or not all(len(name) <= 128 and is_text(name, "") for name in found):
        raise NotAccepted("attendees", f"at most {_MOST_ATTENDEES} roles or pseudonyms, each of at most 128 characters")
    return found
