"""A meeting as it is read: its agenda with what is found about each patient, what was decided, and what became of it since."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection, RowMapping, func, select

from cds.calendar import beginning
from cds.record import tables
from cds.record.agendas import Found, found_now, meeting_row, unpacked
from cds.record.decisions import Decided
from cds.record.followup import standing
from cds.record.identity import Identity
from cds.record.lifecycle import Kind
from cds.record.names import NAMED, Named, named
from cds.record.reviews import decided
from cds.record.withdrawals import Withdrawal, withdrawals

ENDS = (Kind.CLOSED, Kind.SUPERSEDED, Kind.WITHDRAWN, Kind.NOT_REASSESSABLE)
"""What happens to advice that a board expects to find again, so that it is told why it does not."""


@dataclass(frozen=True, slots=True)
class Meeting:
    """A meeting of a board. `attendees` are roles or pseudonyms; `revision` counts its changes; `by` made the last one."""

    id: str
    tenant: str
    board: str
    day: str
    status: str  # planned | held | cancelled
    attendees: tuple[str, ...]
    quorum: bool
    minutes: str
    revision: int
    by: str
    at: str
    size: int  # how many patients stand on its agenda


@dataclass(frozen=True, slots=True)
class Before:
    """What was found when a case was carried over, and what happened last to the advice of it; "" where there was none."""

    found: Found
    happened: str  # kind of the last event
    reason: str  # of it


@dataclass(frozen=True, slots=True)
class Case:
    """A patient on an agenda. `carried_from` is the day of the meeting at which there was no time for them, "" if there is none.

    `found` is what is found now; of a meeting that was held, what was found then, None if that was not kept. `decisions` are
    the last about each advisory that this meeting took, with the second readings up to its end, `newest` if it was not amended
    until then. `outside` are those that stand about their open advice and were made elsewhere, with what is still to be done; of a
    meeting that was held none. `before`
    is what was found when it was carried over to here. `withdrawn` is, by advisory, what was withdrawn after what was decided about it,
    or not acknowledged before the day of the meeting.
    """

    id: str
    patient: str  # row id
    who: Identity
    named: Named
    position: int
    status: str  # open | discussed | carried
    carried_from: str
    found: tuple[Found, ...] | None
    decisions: tuple[Decided, ...]
    outside: tuple[Decided, ...] = ()
    days: Mapping[str, str] = field(default_factory=dict)  # of the meetings at which those outside were made, by id
    carried_to: str = ""  # day of the next meeting to which it was carried over; "" if it was not
    before: tuple[Before, ...] = ()
    withdrawn: Mapping[str, Withdrawal] = field(default_factory=dict)


_SIZE = select(func.count()).where(tables.agenda.c.meeting_id == tables.meeting.c.id).scalar_subquery()
MEETING = select(tables.meeting, _SIZE.label("size"))


def meeting_of(connection: Connection, tenant: str, key: str) -> Meeting:
    """A meeting of a tenant. Raises `NoSuchMeeting`."""
    meeting_row(connection, tenant, key, hold=False)
    return shown(connection.execute(MEETING.where(tables.meeting.c.id == key)).mappings().one())


def cases_of(connection: Connection, meeting: Meeting) -> list[Case]:
    """The agenda of a meeting, in its order."""
    table, patient, person = tables.agenda, tables.patient, tables.person
    before = tables.meeting.alias("before")
    wanted = (
        select(table, patient.c.server, patient.c.reference, before.c.day, *NAMED)
        .join(patient, patient.c.id == table.c.patient_id)
        .outerjoin(person, person.c.patient_id == table.c.patient_id)
        .outerjoin(before, before.c.id == table.c.carried_from)
        .where(table.c.meeting_id == meeting.id)
        .order_by(table.c.position, table.c.id)
    )
    rows = connection.execute(wanted).mappings().all()
    patients = [row["patient_id"] for row in rows]
    held = meeting.status == "held"
    found = {} if held else found_now(connection, patients)
    decisions = _decisions(connection, meeting, patients)
    stand = standing(connection, [one.advisory for each in found.values() for one in each if one.claim])
    outside = [one for one in stand.values() if one.meeting != meeting.id]
    was, to = _before(connection, meeting, rows), _carried_to(connection, meeting)
    days = _days(connection, outside)
    cases = [
        Case(
            row["id"], row["patient_id"], Identity(meeting.tenant, row["server"], row["reference"]), named(row),
            row["position"], row["status"], row["day"] or "",
            found.get(row["patient_id"], ()) if not held else unpacked(row["found"]) if row["found"] else None,
            decisions.get(row["patient_id"], ()),
            tuple(
                stand[one.advisory]
                for one in found.get(row["patient_id"], ())
                if one.advisory in stand and stand[one.advisory].meeting != meeting.id
            ),
            days, to.get(row["patient_id"], ""), was.get(row["patient_id"], ()),
        )
        for row in rows
    ]  # fmt: skip
    return _with_withdrawals(connection, meeting, cases)


def _until(meeting: Meeting) -> str:
    """The instant until which a meeting knew what it says; "" for one that is still to be held."""
    return meeting.at if meeting.status == "held" else ""


def _days(connection: Connection, outside: Sequence[Decided]) -> Mapping[str, str]:
    table = tables.meeting.c
    wanted = select(table.id, table.day).where(table.id.in_({one.meeting for one in outside if one.meeting}))
    return {key: day for key, day in connection.execute(wanted)}


def _carried_to(connection: Connection, meeting: Meeting) -> Mapping[str, str]:
    """By patient the day of the meeting to which they were carried over, the last time if they came back and were carried again."""
    agenda, after = tables.agenda, tables.meeting
    wanted = select(agenda.c.patient_id, after.c.day).join(after, after.c.id == agenda.c.meeting_id)
    wanted = wanted.where(agenda.c.carried_from == meeting.id).order_by(agenda.c.at, agenda.c.id)
    return {key: day for key, day in connection.execute(wanted)}


def _before(connection: Connection, meeting: Meeting, rows: Sequence[RowMapping]) -> Mapping[str, tuple[Before, ...]]:
    """By patient what was found at the meeting from which they were carried over, and what became of that advice."""
    agenda, event = tables.agenda.c, tables.event.c
    carried = {row["patient_id"]: row["carried_from"] for row in rows if row["carried_from"]}
    wanted = select(agenda.patient_id, agenda.meeting_id, agenda.found)
    wanted = wanted.where(agenda.patient_id.in_(carried), agenda.meeting_id.in_(carried.values()), agenda.found != "")
    then = {key: unpacked(kept) for key, of, kept in connection.execute(wanted) if carried[key] == of}
    advisories = {one.advisory for each in then.values() for one in each if one.advisory}
    happened = select(event.advisory_id, event.kind, event.reason).where(event.advisory_id.in_(advisories))
    if until := _until(meeting):
        happened = happened.where(event.at <= until)
    last = {key: (kind, reason) for key, kind, reason in connection.execute(happened.order_by(event.number))}
    return {key: tuple(Before(one, *last.get(one.advisory, ("", ""))) for one in each) for key, each in then.items()}


def _with_withdrawals(connection: Connection, meeting: Meeting, cases: Sequence[Case]) -> list[Case]:
    """The cases with what was withdrawn that a meeting has to know."""
    made = {one.advisory: one for case in cases for one in (*case.decisions, *case.outside)}
    of_case = {case.id: {one.advisory for one in case.found or () if one.advisory} for case in cases}
    every = {*made, *(key for each in of_case.values() for key in each)}
    gone, seen = withdrawals(connection, every, _until(meeting)), tables.acknowledgement.c
    known = select(seen.advisory_id, func.max(seen.revision)).where(
        seen.advisory_id.in_(gone), seen.at < beginning(meeting.day)
    )
    acknowledged = {key: revision for key, revision in connection.execute(known.group_by(seen.advisory_id))}
    told = {
        key: one
        for key, one in gone.items()
        if acknowledged.get(key, 0) < one.number or (key in made and one.is_after(made[key]))
    }
    return [
        replace(case, withdrawn={key: told[key] for key in told if key in of_case[case.id] | _decided_about(case)})
        for case in cases
    ]


def _decided_about(case: Case) -> set[str]:
    return {one.advisory for one in (*case.decisions, *case.outside)}


def _decisions(connection: Connection, meeting: Meeting, patients: Sequence[str]) -> dict[str, tuple[Decided, ...]]:
    """By patient the last decision about each advisory that the meeting took; of one that was held with what was said by then.

    Of one that was amended elsewhere since nothing is to be done any more.
    """
    table = tables.disposition.c
    here = select(table.advisory_id).where(table.patient_id.in_(patients), table.meeting_id == meeting.id).distinct()
    found: dict[str, tuple[Decided, ...]] = {}
    for each in decided(connection, connection.execute(here).scalars().all()).values():
        known = [one for one in each if meeting.status != "held" or one.at <= meeting.at]
        last = [one for one in each if one.meeting == meeting.id][-1]
        if amended := last.number < max((one.number for one in known), default=0):
            last = replace(last, actions=())
        last = replace(last, newest=not amended)
        if meeting.status == "held":
            last = replace(last, readings=tuple(one for one in last.readings if one.at <= meeting.at))
        found[last.patient] = (*found.get(last.patient, ()), last)
    return {key: tuple(sorted(each, key=lambda one: (one.at, one.id))) for key, each in found.items()}


def shown(row: RowMapping) -> Meeting:
    """A meeting from its row with its size."""
    return Meeting(
        row["id"], row["tenant"], row["board"], row["day"], row["status"], tuple(json.loads(row["attendees"])),
        row["quorum"], row["minutes"], row["revision"], row["by"], row["at"], row["size"],
    )  # fmt: skip
