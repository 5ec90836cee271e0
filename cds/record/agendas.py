"""Meetings and their agendas as rows, for whoever changes them in a transaction; and what is found about each patient of one."""

from __future__ import annotations

import json
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, insert, select, update

from cds.errors import ExowatchError
from cds.record import tables
from cds.record.answers import HIDDEN
from cds.record.audit import Entry, canonical


class NoSuchMeeting(ExowatchError):
    """There is no meeting of that id, or nothing of that id stands on its agenda."""


class AlreadyHeld(ExowatchError):
    """The meeting was held and is closed: nothing of it changes any more."""


class Cancelled(AlreadyHeld):
    """The meeting was cancelled: nothing of it changes any more either."""


class ChangedMeanwhile(ExowatchError):
    """Somebody else changed the meeting first; `by` is who, `at` when."""

    def __init__(self, by: str, at: str):
        super().__init__(f"{by} changed the meeting at {at}. Look at that first, then change it again")
        self.by, self.at = by, at


@dataclass(frozen=True, slots=True)
class Found:
    """What was answered to one question about a patient, as minutes keep it."""

    question: str
    markers: tuple[str, ...]
    therapy: str
    state: str
    claim: str  # state that an open advisory claims; "" for none
    advisory: str  # id; "" if nothing was ever claimed
    revision: int  # of the advisory
    fold: float | None = None  # the newest value over its reference; None also in minutes that were kept before it was
    latest: str = ""  # day of the newest sample


class Seat:
    """A row of an agenda that is held until the transaction ends."""

    def __init__(self, connection: Connection, row: RowMapping | dict[str, Any], salt: str):
        self.connection, self._salt = connection, salt
        self.row: dict[str, Any] = dict(row)

    def change(self, entry: Entry, **changes: Any) -> None:
        """Write what differs."""
        if all(self.row[name] == value for name, value in changes.items()):
            return
        self.row |= changes
        self.connection.execute(update(tables.agenda).where(tables.agenda.c.id == self.row["id"]), changes)
        entry.wrote(tables.agenda, self.row, self._salt)

    def erase(self, entry: Entry) -> None:
        self.connection.execute(delete(tables.agenda).where(tables.agenda.c.id == self.row["id"]))
        entry.erased(tables.agenda, self.row["id"])


def meeting_row(connection: Connection, tenant: str, key: str, *, hold: bool = True) -> RowMapping:
    """The row of a meeting, held until the transaction ends. Raises `NoSuchMeeting`."""
    wanted = select(tables.meeting).where(tables.meeting.c.id == key, tables.meeting.c.tenant == tenant)
    # Its key stays: so cases can be put on its agenda while it is held.
    row = connection.execute(wanted.with_for_update(key_share=True) if hold else wanted).mappings().first()
    if row is None:
        raise NoSuchMeeting(f"there is no meeting '{key[:40]}'")
    return row


def planned(connection: Connection, tenant: str, key: str, *, hold: bool = True) -> RowMapping:
    """The row of a meeting that is still to be held. Raises `NoSuchMeeting`, and `AlreadyHeld` or, of these, `Cancelled`."""
    row = meeting_row(connection, tenant, key, hold=hold)
    if row["status"] == "held":
        raise AlreadyHeld(f"the meeting of {row['day']} was held and is closed since {row['at']}")
    if row["status"] == "cancelled":
        raise Cancelled(f"the meeting of {row['day']} was cancelled at {row['at']}")
    return row


def seats(connection: Connection, meeting: str) -> Sequence[RowMapping]:
    """The rows of an agenda, in its order."""
    table = tables.agenda
    wanted = select(table).where(table.c.meeting_id == meeting).order_by(table.c.position, table.c.id)
    return connection.execute(wanted).mappings().all()


def standing_on(connection: Connection, meeting: str) -> dict[str, dict[str, Any]]:
    """The rows of an agenda by id, in its order."""
    return {row["id"]: dict(row) for row in seats(connection, meeting)}


def held_seats(connection: Connection, meeting: str) -> list[Seat]:
    """The rows of an agenda in its order, each held until the transaction ends."""
    # In the order in which a merge takes them, which holds their patients: neither waits for the other in a circle.
    held = select(tables.agenda.c.id).where(tables.agenda.c.meeting_id == meeting).order_by(tables.agenda.c.id)
    connection.execute(held.with_for_update())
    rows, patient = seats(connection, meeting), tables.patient.c
    theirs = select(patient.id, patient.salt).where(patient.id.in_([row["patient_id"] for row in rows]))
    salts = {key: salt for key, salt in connection.execute(theirs).all()}
    return [Seat(connection, row, salts[row["patient_id"]]) for row in rows]


def seat(
    connection: Connection,
    entry: Entry,
    patient: RowMapping,
    meeting: str,
    by: str,
    at: str,
    *,
    carried_from: str = "",
    status: str = "open",
    there: dict[str, dict[str, Any]] | None = None,
) -> str:
    """Put a patient at the end of an agenda, unless they wait there already; the id of the row.

    A case that was carried away from there is opened again, and so is one that was discussed there if an open one is carried to it
    and the meeting has not decided about all that advice claims: else the case would be open nowhere.

    `there` is what `standing_on` gives, where it is read once for many patients: who is put there joins them.
    """
    there = standing_on(connection, meeting) if there is None else there
    last = max((int(one["position"]) for one in there.values()), default=0) + 1
    mine = [one for one in there.values() if one["patient_id"] == patient["id"]]  # several if two patients were merged
    for one in mine:
        if one["status"] == "open":
            if carried_from:  # from there it is asked where the case went
                Seat(connection, one, patient["salt"]).change(entry, carried_from=carried_from)
            return str(one["id"])
    for one in mine:
        if one["status"] == "discussed" and (not carried_from or _is_settled(connection, patient["id"], meeting)):
            return str(one["id"])
    if mine:
        came = carried_from or mine[0]["carried_from"]
        again = Seat(connection, mine[0], patient["salt"])
        again.change(entry, status=status, position=last, carried_from=came, by=by, at=at)
        there[again.row["id"]] = again.row
        return str(again.row["id"])
    row = {
        "id": str(uuid.uuid4()), "patient_id": patient["id"], "meeting_id": meeting, "status": status, "position": last,
        "carried_from": carried_from or None, "by": by, "at": at, "found": None,
    }  # fmt: skip
    connection.execute(insert(tables.agenda), row)
    entry.wrote(tables.agenda, row, patient["salt"])
    there[str(row["id"])] = row
    return str(row["id"])


def _is_settled(connection: Connection, patient: str, meeting: str) -> bool:
    """Whether a meeting has decided about all that advice claims of a patient, as it stands."""
    table = tables.disposition.c
    wanted = select(table.advisory_id, table.revision).where(
        table.meeting_id == meeting, table.patient_id == patient, table.code != "not-discussed"
    )
    decided = {(row.advisory_id, row.revision) for row in connection.execute(wanted)}
    claimed = {(one.advisory, one.revision) for one in found_now(connection, [patient]).get(patient, ()) if one.claim}
    return bool(claimed) and claimed <= decided


# what is found -----------------------------------------------------------------------------------------------------------


def found_now(connection: Connection, patients: Sequence[str]) -> Mapping[str, tuple[Found, ...]]:
    """By patient (row id) what stands on the list of patients about them, the most urgent first."""
    answer, advisory = tables.answer, tables.advisory
    wanted = (
        select(answer, advisory.c.revision)
        .outerjoin(advisory, advisory.c.id == answer.c.advisory_id)
        .where(answer.c.patient_id.in_(patients), answer.c.spoken, answer.c.rank < HIDDEN)
        .order_by(answer.c.rank, answer.c.since, answer.c.id)
    )
    found: dict[str, tuple[Found, ...]] = defaultdict(tuple)
    for row in connection.execute(wanted).mappings():
        one = Found(
            row["question"], tuple(row["markers"].split()), row["therapy"], row["state"], row["claim"],
            row["advisory_id"] or "", row["revision"] or 0, row["fold"], row["latest"][:10],
        )  # fmt: skip
        found[row["patient_id"]] += (one,)
    return found


def keep_found(connection: Connection, meeting: str, entry: Entry) -> None:
    """Write down what is found about each patient of an agenda, so that its minutes keep it."""
    kept = held_seats(connection, meeting)
    found = found_now(connection, [one.row["patient_id"] for one in kept])
    for one in kept:
        one.change(entry, found=packed(found[one.row["patient_id"]]))


def packed(found: Sequence[Found]) -> str:
    """What was found as it is stored."""
    return canonical([list(astuple(one)) for one in found])


def unpacked(stored: str) -> tuple[Found, ...]:
    """What was found, from how it was stored."""
    return tuple(Found(question, tuple(markers), *rest) for question, markers, *rest in json.loads(stored))
