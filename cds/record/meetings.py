"""Meetings of boards: planned, with an agenda of patients that can be ordered and carried over, then held and closed, or cancelled.

A meeting is nobody's own: minutes stay when a patient is erased, and are to name patients by no more than the agenda does.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, RowMapping, func, insert, select, update

from cds.calendar import day_of
from cds.record import tables
from cds.record.agendas import (
    ChangedMeanwhile,
    NoSuchMeeting,
    Seat,
    held_seats,
    keep_found,
    meeting_row,
    planned,
    seat,
    seats,
    standing_on,
)
from cds.record.audit import Checkpoints, Entry, append, canonical
from cds.record.database import Database
from cds.record.decisions import NotAccepted, a_day, is_text, noted, somebody
from cds.record.identity import NoSuchPatient, held_survivor
from cds.record.reviews import entry_of
from cds.record.sittings import MEETING, Case, Meeting, cases_of, meeting_of, shown
from cds.record.trail import Trail

_EASTERNMOST = timedelta(hours=14)
MOST_MINUTES = 10_000
_MOST_ATTENDEES = 100
_MOST_AT_ONCE = 200
"""Patients that are put on an agenda in one transaction: as many as a busy database takes well within its deadline."""


class Meetings:
    """Plans and closes meetings; safe to share between threads, and between processes on one database.

    `clock` says when (default: now). Everything raises `RecordUnavailable`, and `NoSuchMeeting` for what the tenant does not have.
    """

    def __init__(
        self, database: Database, checkpoints: Checkpoints | None = None, clock: Callable[[], datetime] | None = None
    ):
        self.database = database
        self.trail = Trail(database, checkpoints, clock)

    def plan(self, tenant: str, board: str, day: str, by: str) -> str:
        """Plan a meeting; its id. Raises `NotAccepted`."""
        row = {
            "id": str(uuid.uuid4()), "tenant": tenant, "board": _board(board), "day": a_day("day", day),
            "status": "planned", "attendees": "[]", "quorum": False, "minutes": "", "revision": 1, "by": somebody(by),
            "at": self.trail.now(),
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
        cancel: bool = False,
    ) -> int:
        """Change what is given of a planned meeting, and with `close` say that it was held, with `cancel` that it is not; its new revision.

        `revision` is the one that was seen. Who closes it writes down what is found about each patient. Raises `NotAccepted`, also
        for closing it before its day, and for a day to come if something was decided there, and for what `may_cancel` says; `ChangedMeanwhile`, and `AlreadyHeld`.
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
        if close or cancel:
            stated["status"] = "cancelled" if cancel else "held"

        def work(connection: Connection) -> tuple[int, Entry | None]:
            row = planned(connection, tenant, meeting)
            if row["revision"] != revision:
                raise ChangedMeanwhile(row["by"], row["at"])
            changed = {**row, **stated, "revision": revision + 1, "at": self.trail.now()}
            if close:
                self.may_close(changed["day"])
            if cancel:
                _may_cancel(connection, meeting)
            if row["day"] != changed["day"] > day_of(changed["at"]) and _has_decided(connection, meeting):
                raise NotAccepted("moved", "it has decided, and nothing is decided on a day that is still to come")
            connection.execute(update(tables.meeting).where(tables.meeting.c.id == meeting), changed)
            entry = Entry(tenant, stated["by"][:64], "meeting")
            entry.wrote(tables.meeting, changed, "")
            if close:
                keep_found(connection, meeting, entry)
            return revision + 1, entry

        return self.trail.write(work)

    def may_close(self, day: str) -> None:
        """Raises `NotAccepted` for a meeting of a day that has begun nowhere on earth yet."""
        if day > self._begun():
            raise NotAccepted("close", f"its day, {day}, is still to come")

    def may_cancel(self, tenant: str, meeting: str) -> None:
        """Raises `NotAccepted` for a meeting that has decided, or on whose agenda somebody stands: no case is lost with it.

        Raises `AlreadyHeld`.
        """

        def work(connection: Connection) -> None:
            planned(connection, tenant, meeting, hold=False)
            _may_cancel(connection, meeting)

        self.database.asked(work)

    # the agenda ----------------------------------------------------------------------------------------------------

    def add(self, tenant: str, meeting: str, patient: str, by: str) -> None:
        """Put a patient at the end of an agenda: see `add_all`."""
        self.add_all(tenant, meeting, [patient], by)

    def add_all(self, tenant: str, meeting: str, patients: Sequence[str], by: str) -> int:
        """Put patients (by row id) at the end of an agenda, all of them or none; how many were put there.

        Who stands on it already stays where they are; whose case was carried away from it is put there anew.

        Raises `NoSuchPatient`, `AlreadyHeld`, and `NotAccepted` for more than a board can mean.
        """
        by, each = somebody(by), list(dict.fromkeys(patients))
        if len(each) > _MOST_AT_ONCE:
            raise NotAccepted("patients", f"at most {_MOST_AT_ONCE} at once")

        def work(connection: Connection) -> tuple[int, Entry | None]:
            rows = _held_survivors(connection, tenant, each)
            planned(connection, tenant, meeting)
            there, entries = standing_on(connection, meeting), []
            for key in each:
                entry = entry_of(rows[key], by, "agenda")
                seat(connection, entry, rows[key], meeting, by, self.trail.now(), there=there)
                entries += [entry] if entry.rows else []
            for entry in entries[:-1]:
                append(self.database, connection, entry)  # one for each patient
            return len(entries), entries[-1] if entries else None

        return self.trail.write(work)

    def remove(self, tenant: str, meeting: str, case: str, by: str) -> None:
        """Take a case off an agenda.

        Raises `AlreadyHeld`, and `NotAccepted` for one that was carried over, or about which the meeting has decided.
        """

        def work(cases: Sequence[Seat], entry: Entry) -> None:
            gone = _seat_here(cases, case)
            _refuse_decided(gone)
            gone.erase(entry)

        self._with_agenda(tenant, meeting, somebody(by), work)

    def move(self, tenant: str, meeting: str, case: str, by: str, step: Literal[-1, 1]) -> None:
        """Move a case of an agenda one place up (-1) or down (1), from where it stands by now; at the end it stays. Raises `AlreadyHeld`."""

        def work(cases: Sequence[Seat], entry: Entry) -> None:
            order = list(cases)
            place = order.index(_named_seat(cases, case))
            order.insert(max(place + step, 0), order.pop(place))
            for position, one in enumerate(order, 1):
                one.change(entry, position=position)

        self._with_agenda(tenant, meeting, somebody(by), work)

    def mark(self, tenant: str, meeting: str, case: str, by: str, *, discussed: bool) -> None:
        """Say that a case was discussed, or was not after all; what is said already stays so.

        Raises `AlreadyHeld`, and `NotAccepted` for one that was carried over, and for one to open again about which the meeting has decided.
        """

        def work(cases: Sequence[Seat], entry: Entry) -> None:
            one = _seat_here(cases, case)
            if one.row["status"] == "discussed" and not discussed:
                _refuse_decided(one)
            one.change(entry, status="discussed" if discussed else "open")

        self._with_agenda(tenant, meeting, somebody(by), work)

    def carry(self, tenant: str, meeting: str, to: str, by: str) -> int:
        """Carry the cases that are still open over to the end of another, planned meeting, in their order; how many were.

        Who stands on that agenda already is not put there twice; whose case was carried away from there or discussed is opened again, see
        `seat`. The first meeting may be held by then. Each case is carried by itself:
        what could not be done is done when it is called again. Raises `AlreadyHeld`, and `NotAccepted` for the same meeting.
        """
        by = somebody(by)
        if meeting == to:
            raise NotAccepted("to", "a case is carried over to another meeting")

        def open_(connection: Connection) -> list[str]:
            meeting_row(connection, tenant, meeting, hold=False)
            planned(connection, tenant, to, hold=False)
            return [row["id"] for row in seats(connection, meeting) if row["status"] == "open"]

        return sum(self._carry(tenant, meeting, to, case, by) for case in self.database.asked(open_))

    def _carry(self, tenant: str, meeting: str, to: str, key: str, by: str) -> bool:
        wanted = select(tables.agenda).where(tables.agenda.c.id == key, tables.agenda.c.meeting_id == meeting)

        def work(connection: Connection) -> tuple[bool, Entry | None]:
            row = connection.execute(wanted).mappings().first()
            if row is None:
                return False, None
            patient = held_survivor(connection, row["patient_id"])
            planned(connection, tenant, to)
            row = connection.execute(wanted.with_for_update()).mappings().first()
            if row is None or row["status"] != "open":
                return False, None
            entry = entry_of(patient, by, "agenda")
            Seat(connection, row, patient["salt"]).change(entry, status="carried")
            seat(connection, entry, patient, to, by, self.trail.now(), carried_from=meeting)
            return True, entry

        return self.trail.write(work)

    def _with_agenda(self, tenant: str, meeting: str, by: str, work: Callable[[Sequence[Seat], Entry], None]) -> None:
        """Do something with the cases of a planned meeting, which nobody else changes meanwhile."""

        def working(connection: Connection) -> tuple[None, Entry | None]:
            planned(connection, tenant, meeting)
            entry = Entry(tenant, by[:64], "agenda")
            work(held_seats(connection, meeting), entry)
            return None, entry if entry.rows else None

        self.trail.write(working)

    # reading -------------------------------------------------------------------------------------------------------

    def meeting(self, tenant: str, key: str) -> Meeting:
        """One meeting."""
        return self.database.asked(lambda connection: meeting_of(connection, tenant, key))

    def meetings(self, tenant: str, *, status: str = "", day: str = "", most: int = 100) -> list[Meeting]:
        """Meetings, the latest day first; only those planned or held, or of a day, if asked; never one that was cancelled.

        Those planned come with the first day first, and all of them: the meeting of today is never one too many.
        """
        table = tables.meeting
        wanted = MEETING.where(table.c.tenant == tenant, table.c.status != "cancelled")
        if status:
            wanted = wanted.where(table.c.status == status)
        if day:
            wanted = wanted.where(table.c.day == day)
        if status == "planned":
            wanted = wanted.order_by(table.c.day, table.c.id)
        else:
            wanted = wanted.order_by(table.c.day.desc(), table.c.id).limit(most)
        return self.database.asked(lambda connection: [shown(row) for row in connection.execute(wanted).mappings()])

    def awaiting(self, tenant: str, patient: str) -> list[Meeting]:
        """The planned meetings on whose agenda a patient (by row id) stands, the first day first."""
        agenda, table = tables.agenda.c, tables.meeting.c
        theirs = select(agenda.meeting_id).where(agenda.patient_id == patient, agenda.status != "carried")
        wanted = MEETING.where(table.tenant == tenant, table.status == "planned", table.id.in_(theirs))
        wanted = wanted.order_by(table.day, table.id)
        return self.database.asked(lambda connection: [shown(row) for row in connection.execute(wanted).mappings()])

    def agenda(self, tenant: str, meeting: str) -> list[Case]:
        """The agenda of a meeting, in its order."""
        return self.sitting(tenant, meeting)[1]

    def sitting(self, tenant: str, meeting: str) -> tuple[Meeting, list[Case]]:
        """A meeting and its agenda, in its order, as of one moment."""

        def work(connection: Connection) -> tuple[Meeting, list[Case]]:
            found = meeting_of(connection, tenant, meeting)
            return found, cases_of(connection, found)

        return self.database.asked(work)

    def last_held(self, tenant: str, board: str = "") -> str:
        """The day of the last meeting that was held, of one board if asked; "" if none was."""
        table = tables.meeting.c
        wanted = select(func.max(table.day)).where(table.tenant == tenant, table.status == "held")
        wanted = wanted.where(table.day <= self._begun())
        if board:
            wanted = wanted.where(table.board == board)
        return self.database.asked(lambda connection: connection.execute(wanted).scalar() or "")

    def _begun(self) -> str:
        """The last day that has begun anywhere on earth."""
        return (self.trail.clock().astimezone(UTC) + _EASTERNMOST).date().isoformat()


def _held_survivors(connection: Connection, tenant: str, patients: Sequence[str]) -> Mapping[str, RowMapping]:
    """By row id the patients, of those merged the survivors, held until the transaction ends. Raises `NoSuchPatient`."""
    table = tables.patient
    theirs = table.c.id.in_(patients), table.c.tenant == tenant
    # In one order, so that of two who do it neither waits for the other in a circle.
    held = select(table).where(*theirs, table.c.merged_into.is_(None)).order_by(table.c.id).with_for_update()
    found = {row["id"]: row for row in connection.execute(held).mappings()}
    if len(found) < len(patients):
        merged = set(connection.execute(select(table.c.id).where(*theirs)).scalars()) - found.keys()
        found |= {key: held_survivor(connection, key) for key in sorted(merged)}
    for key in patients:
        if key not in found:
            raise NoSuchPatient(f"The record holds no patient of row '{key[:40]}' (tenant '{tenant}')")
    return found


def _named_seat(cases: Sequence[Seat], key: str) -> Seat:
    for case in cases:
        if case.row["id"] == key:
            return case
    raise NoSuchMeeting(f"nothing of id '{key[:40]}' stands on the agenda")


def _seat_here(cases: Sequence[Seat], key: str) -> Seat:
    """A case whose meeting is to say what became of it. Raises `NotAccepted` for one that was carried over."""
    case = _named_seat(cases, key)
    if case.row["status"] == "carried":
        raise NotAccepted("carried", "it was carried over to another meeting, which is to say what becomes of it")
    return case


def _refuse_decided(case: Seat) -> None:
    """Raises `NotAccepted` for a case about which its meeting has decided."""
    if _has_decided(case.connection, case.row["meeting_id"], case.row["patient_id"]):
        raise NotAccepted("item", "the meeting has decided about it, and its minutes are to say so")


def _has_decided(connection: Connection, meeting: str, patient: str = "") -> bool:
    """Whether something was decided at a meeting, about one patient if asked."""
    table = tables.disposition.c
    here = select(table.id).where(table.meeting_id == meeting)
    here = here.where(table.patient_id == patient) if patient else here
    return connection.execute(here.limit(1)).first() is not None


def _may_cancel(connection: Connection, meeting: str) -> None:
    if _has_decided(connection, meeting):
        raise NotAccepted("cancel", "it has decided, so it was held")
    if any(row["status"] != "carried" for row in seats(connection, meeting)):
        raise NotAccepted("cancel_cases", "somebody stands on its agenda, who would be on none")


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
