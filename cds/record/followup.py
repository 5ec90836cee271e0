"""What became of decisions: actions that were done or not, outcomes after 3, 6 and 12 months, and the clock that asks for them."""

from __future__ import annotations

import json
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from sqlalchemy import ColumnElement, Connection, Select, case, insert, select, update

from cds.calendar import at_place
from cds.calendar import today as calendar_today
from cds.record import tables
from cds.record.audit import Checkpoints, Entry
from cds.record.codes import CLOSED, MONTHS, NOT_DONE, RESISTANCE, RESPONSES, Status
from cds.record.database import Database
from cds.record.decisions import AlreadyDecided, Decided, NoSuchAdvisory, NotAccepted, Planned, one_of, somebody
from cds.record.lifecycle import Standing
from cds.record.overdue import PAGE, AllOverdue, everything_due, months_after, opened_last
from cds.record.reviews import decided, entry_of, held_advisory
from cds.record.trail import Trail


@dataclass(frozen=True, slots=True)
class Said:
    """What somebody said of an action, and when: an instant."""

    status: str
    reason: str
    by: str
    at: str


@dataclass(frozen=True, slots=True)
class Action:
    """Something that a board decided to do. Times are instants, `due` is a day; `earlier` is what was corrected, the oldest first."""

    id: str
    patient: str  # row id
    advisory: str
    decision: str
    kind: str
    due: str
    status: str
    reason: str
    by: str
    closed: str
    at: str
    earlier: tuple[Said, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the patient did so many months after the advisory was opened. `number` counts amendments; the highest holds."""

    id: str
    advisory: str
    months: int
    number: int
    response: str
    resistance: str
    by: str
    at: str


@dataclass(frozen=True, slots=True)
class OutcomeDue:
    """An outcome of the clock: the day on which it is due, and what was stated; None if nothing was."""

    months: int
    due: str
    stated: Outcome | None = None
    said: tuple[Outcome, ...] = ()  # everything that was stated of it, also of an earlier opening


class FollowUp:
    """Takes what became of decisions into the record; safe to share between threads and processes.

    `clock` says when (default: now). Everything raises `RecordUnavailable`, and `NoSuchAdvisory` for what the tenant does not have.
    """

    def __init__(
        self, database: Database, checkpoints: Checkpoints | None = None, clock: Callable[[], datetime] | None = None
    ):
        self.database = database
        self.trail = Trail(database, checkpoints, clock)

    def close(self, tenant: str, action: str, status: str, by: str, *, reason: str = "", seen: str = "open") -> None:
        """Say what became of an action. `seen` is the status that whoever says so saw: another than "open" corrects it, and is kept.

        "not-done" needs a reason, "partly" may have one. Raises `NotAccepted`, and `AlreadyDecided` if it stands otherwise by now.
        """
        by = somebody(by)
        one_of("status", status, CLOSED)
        if status == Status.NOT_DONE or reason:
            one_of("reason", reason, NOT_DONE)
        if reason and status not in (Status.NOT_DONE, Status.PARTLY):
            raise NotAccepted("reason", f"'{status}' has none")
        table = tables.action

        def work(connection: Connection) -> tuple[None, Entry | None]:
            wanted = select(table).where(table.c.id == action, table.c.tenant == tenant)
            row = connection.execute(wanted).mappings().first()
            if row is None:
                raise NoSuchAdvisory(f"there is no action {action}")
            patient, _ = held_advisory(connection, tenant, row["advisory_id"])
            row = connection.execute(wanted).mappings().one()
            if (row["status"], row["reason"], row["by"]) == (status, reason, by):
                return None, None  # the same sent again
            if row["status"] != seen or seen == Status.REPLACED:
                raise AlreadyDecided(row["by"] or "nobody", row["status"], row["closed"] or row["at"])
            closed = {**row, "status": status, "reason": reason, "by": by, "closed": self.trail.now()}
            if seen != Status.OPEN:
                said = [row["status"], row["reason"], row["by"], row["closed"]]
                closed["earlier"] = json.dumps([*json.loads(row["earlier"] or "[]"), said])
            connection.execute(update(table).where(table.c.id == action), closed)
            entry = entry_of(patient, by, "follow-up")
            entry.wrote(table, closed, patient["salt"])
            return None, entry

        self.trail.write(work)

    def state(
        self, tenant: str, advisory: str, months: int, response: str, resistance: str, by: str, *, seen: int = 0
    ) -> str:
        """State an outcome, or amend the one with number `seen`; the id of the record.

        Raises `NotAccepted`, also before the day on which it is due, and `AlreadyDecided` if another was stated meanwhile.
        """
        by = somebody(by)
        if months not in MONTHS:
            raise NotAccepted("months", f"one of: {', '.join(map(str, MONTHS))}")
        one_of("response", response, RESPONSES)
        one_of("resistance", resistance, RESISTANCE)
        table = tables.outcome

        def work(connection: Connection) -> tuple[str, Entry | None]:
            patient, _ = held_advisory(connection, tenant, advisory)
            due = months_after(_opened(connection, advisory), months)
            if due > calendar_today():
                raise NotAccepted("due", f"the outcome after {months} months is due on {due}")
            wanted = select(table).where(table.c.advisory_id == advisory, table.c.months == months)
            last = connection.execute(wanted.order_by(table.c.number.desc())).mappings().first()
            number = 0 if last is None else int(last["number"])
            stated = {"response": response, "resistance": resistance, "by": by}
            if last is not None and number == seen + 1 and all(last[name] == one for name, one in stated.items()):
                return str(last["id"]), None
            if last is not None and number > seen:
                raise AlreadyDecided(last["by"], f"{last['response']}, resistance {last['resistance']}", last["at"])
            if number < seen:
                raise NotAccepted("seen", f"there is no outcome {seen}: {number} were stated")
            row = {
                "id": str(uuid.uuid4()), "patient_id": patient["id"], "advisory_id": advisory, "months": months,
                "number": number + 1, **stated, "at": self.trail.now(),
            }  # fmt: skip
            connection.execute(insert(table), row)
            entry = entry_of(patient, by, "outcome")
            entry.wrote(table, row, patient["salt"])
            return str(row["id"]), entry

        return self.trail.write(work)

    def actions(self, tenant: str, *, advisory: str = "", patient: str = "") -> list[Action]:
        """Every action of an advisory, or of a patient (by row id): the open ones first, by due day."""
        mine = tables.action.c.advisory_id == advisory if advisory else tables.action.c.patient_id == patient
        return self.database.asked(lambda connection: actions_where(connection, tables.action.c.tenant == tenant, mine))

    def outcomes(self, tenant: str, advisory: str) -> list[Outcome]:
        """Every outcome that was stated of an advisory, amendments after what they amend."""
        table = tables.advisory.c
        theirs = select(table.id).where(table.id == advisory, table.tenant == tenant)
        return self.database.asked(lambda connection: _outcomes(connection, theirs))

    def clock(self, tenant: str, advisory: str) -> list[OutcomeDue]:
        """The outcomes of an advisory, when each is due, and what was stated last; none of what was withdrawn and never stated."""
        table = tables.advisory.c
        found = self.database.asked(
            lambda connection: _clocks(connection, table.id == advisory, table.tenant == tenant)
        )
        if advisory not in found:
            raise NoSuchAdvisory(f"there is no advisory {advisory}")
        return found[advisory]

    def clocks(self, tenant: str, patient: str) -> Mapping[str, list[OutcomeDue]]:
        """The clock of every advisory of a patient (by row id), by advisory."""
        table = tables.advisory.c
        mine = table.patient_id == patient, table.tenant == tenant
        return self.database.asked(lambda connection: _clocks(connection, *mine))

    def overdue(self, tenant: str, today: date, most: int = PAGE, page: int = 1) -> AllOverdue:
        """A page of actions whose day has passed, outcomes that nobody stated, and actions to come: of each so many, by day."""
        return self.database.asked(lambda connection: everything_due(connection, tenant, today, most, page))


def standing(connection: Connection, advisories: Sequence[str]) -> dict[str, Decided]:
    """By advisory the decision that stands about it, with no more of its actions than are still open."""
    table = tables.action.c
    rows = connection.execute(
        select(table.advisory_id, table.kind, table.due).where(
            table.advisory_id.in_(advisories), table.status == Status.OPEN
        )
    )
    still_open = {(key, Planned(kind, due)) for key, kind, due in rows}
    return {
        key: replace(made[-1], actions=tuple(one for one in made[-1].actions if (key, one) in still_open))
        for key, made in decided(connection, advisories).items()
    }


def actions_where(connection: Connection, *conditions: ColumnElement[bool]) -> list[Action]:
    """Actions, the open ones first, by due day; those without one last."""
    table = tables.action
    order = case((table.c.status == Status.OPEN, 0), else_=1), case((table.c.due == "", 1), else_=0)
    rows = connection.execute(select(table).where(*conditions).order_by(*order, table.c.due, table.c.id)).mappings()
    return [
        Action(
            row["id"], row["patient_id"], row["advisory_id"], row["disposition_id"], row["kind"], row["due"],
            row["status"], row["reason"], row["by"], row["closed"], row["at"],
            tuple(Said(*one) for one in json.loads(row["earlier"] or "[]")),
        )
        for row in rows
    ]  # fmt: skip


def _opened(connection: Connection, advisory: str) -> date:
    """The day on which an advisory was opened last."""
    opened = opened_last(tables.advisory.c.id == advisory)
    return at_place(connection.execute(select(opened.c.since)).scalar_one()).date()


def _clocks(connection: Connection, *of: ColumnElement[bool]) -> dict[str, list[OutcomeDue]]:
    """The clock of each of those advisories."""
    said: dict[tuple[str, int], list[Outcome]] = defaultdict(list)
    for one in _outcomes(connection, select(tables.advisory.c.id).where(*of)):
        said[one.advisory, one.months].append(one)
    found: dict[str, list[OutcomeDue]] = {}
    for row in connection.execute(select(opened_last(*of))):
        opened, clock = at_place(row.since).date(), found.setdefault(row.id, [])
        for months in MONTHS:
            mine = tuple(said[row.id, months])
            stated = next((one for one in reversed(mine) if one.at >= row.since), None)
            if stated is not None or row.standing != Standing.WITHDRAWN:
                clock.append(OutcomeDue(months, months_after(opened, months).isoformat(), stated, mine))
    return found


def _outcomes(connection: Connection, advisories: Select[tuple[str]]) -> list[Outcome]:
    table = tables.outcome
    wanted = select(table).where(table.c.advisory_id.in_(advisories)).order_by(table.c.months, table.c.number)
    return [
        Outcome(
            row["id"], row["advisory_id"], row["months"], row["number"], row["response"], row["resistance"], row["by"],
            row["at"],
        )
        for row in connection.execute(wanted).mappings()
    ]  # fmt: skip
