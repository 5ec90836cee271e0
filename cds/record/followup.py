"""What became of decisions: actions that were done or not, outcomes after 3, 6 and 12 months, and the clock that asks for them."""

from __future__ import annotations

import uuid
from calendar import monthrange
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import StrEnum

from sqlalchemy import ColumnElement, Connection, Select, case, exists, func, insert, or_, select, update

from cds.calendar import beginning, day_of
from cds.record import tables
from cds.record.audit import Checkpoints, Entry
from cds.record.codes import MONTHS, NOT_DONE, RESISTANCE, RESPONSES
from cds.record.database import Database
from cds.record.decisions import AlreadyDecided, Decided, NoSuchAdvisory, NotAccepted, Planned, one_of, somebody
from cds.record.identity import Identity
from cds.record.lifecycle import Kind, Standing
from cds.record.names import NAMED, Named, named
from cds.record.reviews import decided, entry_of, held_advisory
from cds.record.trail import Trail

_AGAIN = tables.event.alias("again")
SINCE = func.coalesce(
    select(func.max(_AGAIN.c.at))
    .where(_AGAIN.c.advisory_id == tables.advisory.c.id, _AGAIN.c.kind == Kind.OPENED.value, _AGAIN.c.number > 1)
    .correlate(tables.advisory)
    .scalar_subquery(),
    tables.advisory.c.opened,
)
"""When an advisory was opened last: the months of its outcomes are counted from there, for that opening is what is followed up."""


class Status(StrEnum):
    """How it stands with an action."""

    OPEN = "open"
    DONE = "done"
    PARTLY = "partly"
    NOT_DONE = "not-done"
    UNKNOWN = "unknown"  # somebody asked, and it cannot be found out
    REPLACED = "replaced"  # a later decision put others in its place


CLOSED = (Status.DONE, Status.PARTLY, Status.NOT_DONE, Status.UNKNOWN)
"""What people can say of an action."""


@dataclass(frozen=True, slots=True)
class Action:
    """Something that a board decided to do. `number` is that of the decision; times are instants, `due` is a day."""

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

    def is_overdue(self, today: date) -> bool:
        return self.stated is None and self.due < today.isoformat()


@dataclass(frozen=True, slots=True)
class Overdue:
    """Something that should be known by now: an action (`kind` is one of `codes.ACTIONS`) or an outcome ("outcome")."""

    patient: str  # row id
    who: Identity
    named: Named
    advisory: str
    question: str
    kind: str
    due: str
    action: str = ""  # id
    months: int = 0
    therapy: str = ""  # class of the line; "" for an operation
    line_start: str = ""
    opened: str = ""  # day of the last opening, from which the months of an outcome are counted


@dataclass(frozen=True, slots=True)
class AllOverdue:
    """What is overdue of a tenant, actions and outcomes, and the open actions that are still to come, those without a day last;

    and how many there are of each, also of those that are left out here.
    """

    actions: list[Overdue]
    all_actions: int
    outcomes: list[Overdue]
    all_outcomes: int
    coming: list[Overdue] = field(default_factory=list)
    all_coming: int = 0


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
        """Say what became of an action. `seen` is the status that whoever says so saw.

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
            connection.execute(update(table).where(table.c.id == action), closed)
            entry = entry_of(patient, by, "follow-up")
            entry.wrote(table, closed, patient["salt"])
            return None, entry

        self.trail.write(work)

    def state(
        self, tenant: str, advisory: str, months: int, response: str, resistance: str, by: str, *, seen: int = 0
    ) -> str:
        """State an outcome, or amend the one with number `seen`; the id of the record.

        Raises `NotAccepted`, and `AlreadyDecided` if another was stated meanwhile.
        """
        by = somebody(by)
        if months not in MONTHS:
            raise NotAccepted("months", f"one of: {', '.join(map(str, MONTHS))}")
        one_of("response", response, RESPONSES)
        one_of("resistance", resistance, RESISTANCE)
        table = tables.outcome

        def work(connection: Connection) -> tuple[str, Entry | None]:
            patient, _ = held_advisory(connection, tenant, advisory)
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

        def work(connection: Connection) -> list[OutcomeDue]:
            wanted = select(SINCE.label("opened"), table.standing).where(table.id == advisory, table.tenant == tenant)
            row = connection.execute(wanted).first()
            if row is None:
                raise NoSuchAdvisory(f"there is no advisory {advisory}")
            said = _outcomes(connection, select(table.id).where(table.id == advisory))
            stated = {one.months: one for one in said if one.at >= row.opened}
            opened = date.fromisoformat(day_of(row.opened))
            return [
                OutcomeDue(months, months_after(opened, months).isoformat(), stated.get(months))
                for months in MONTHS
                if months in stated or row.standing != Standing.WITHDRAWN
            ]

        return self.database.asked(work)

    def overdue(self, tenant: str, today: date, most: int = 500) -> AllOverdue:
        """Actions whose day has passed, outcomes that nobody stated, and actions to come: of each at most so many, by day."""

        def work(connection: Connection) -> AllOverdue:
            actions, outcomes = overdue_actions(tenant, today), overdue_outcomes(tenant, today)
            coming = _coming_actions(tenant, today)

            def number(conditions: Sequence[ColumnElement[bool]]) -> int:
                return int(connection.execute(select(func.count()).where(*conditions)).scalar_one())

            return AllOverdue(
                _due_actions(connection, tenant, actions, most), number(actions),
                _overdue_outcomes(connection, tenant, today, outcomes, most), number(outcomes),
                _due_actions(connection, tenant, coming, most), number(coming),
            )  # fmt: skip

        return self.database.asked(work)


def _due_actions(
    connection: Connection, tenant: str, conditions: Sequence[ColumnElement[bool]], most: int
) -> list[Overdue]:
    action, advisory, patient, person = tables.action, tables.advisory, tables.patient, tables.person
    wanted = (
        select(
            action,
            advisory.c.question,
            advisory.c.therapy,
            advisory.c.line_start,
            patient.c.server,
            patient.c.reference,
            *NAMED,
        )
        .join(advisory, advisory.c.id == action.c.advisory_id)
        .join(patient, patient.c.id == action.c.patient_id)
        .outerjoin(person, person.c.patient_id == action.c.patient_id)
        .where(*conditions)
        .order_by(case((action.c.due == "", 1), else_=0), action.c.due, action.c.id)
        .limit(most)
    )
    return [
        Overdue(
            row["patient_id"], Identity(tenant, row["server"], row["reference"]), named(row), row["advisory_id"],
            row["question"], row["kind"], row["due"], row["id"], therapy=row["therapy"], line_start=row["line_start"],
        )
        for row in connection.execute(wanted).mappings()
    ]  # fmt: skip


def _overdue_outcomes(
    connection: Connection, tenant: str, today: date, conditions: Sequence[ColumnElement[bool]], most: int
) -> list[Overdue]:
    advisory, patient, person = tables.advisory, tables.patient, tables.person
    wanted = (
        select(
            advisory,
            SINCE.label("counted"),
            _months_due(today).label("months"),
            patient.c.server,
            patient.c.reference,
            *NAMED,
        )
        .join(patient, patient.c.id == advisory.c.patient_id)
        .outerjoin(person, person.c.patient_id == advisory.c.patient_id)
        .where(*conditions)
        .order_by(SINCE, advisory.c.id)
        .limit(most)
    )
    found = [
        Overdue(
            row["patient_id"], Identity(tenant, row["server"], row["reference"]), named(row), row["id"], row["question"],
            "outcome", months_after(date.fromisoformat(day_of(row["counted"])), row["months"]).isoformat(), months=row["months"],
            therapy=row["therapy"], line_start=row["line_start"], opened=day_of(row["counted"]),
        )
        for row in connection.execute(wanted).mappings()
    ]  # fmt: skip
    return sorted(found, key=lambda one: (one.due, one.patient, one.advisory))


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


def months_after(day: date, months: int) -> date:
    """So many months later; the last day of a month that is shorter."""
    year, month = divmod(day.month - 1 + months, 12)
    year, month = day.year + year, month + 1
    return date(year, month, min(day.day, monthrange(year, month)[1]))


def actions_where(connection: Connection, *conditions: ColumnElement[bool]) -> list[Action]:
    """Actions, the open ones first, by due day; those without one last."""
    table = tables.action
    order = case((table.c.status == Status.OPEN, 0), else_=1), case((table.c.due == "", 1), else_=0)
    rows = connection.execute(select(table).where(*conditions).order_by(*order, table.c.due, table.c.id)).mappings()
    return [
        Action(
            row["id"], row["patient_id"], row["advisory_id"], row["disposition_id"], row["kind"], row["due"],
            row["status"], row["reason"], row["by"], row["closed"], row["at"],
        )
        for row in rows
    ]  # fmt: skip


def overdue_actions(tenant: str, today: date) -> Sequence[ColumnElement[bool]]:
    """The open actions of a tenant whose day has passed."""
    table = tables.action.c
    return (table.tenant == tenant, table.status == Status.OPEN, table.due != "", table.due < today.isoformat())


def _coming_actions(tenant: str, today: date) -> Sequence[ColumnElement[bool]]:
    table = tables.action.c
    is_to_come = or_(table.due == "", table.due >= today.isoformat())
    return (table.tenant == tenant, table.status == Status.OPEN, is_to_come)


def overdue_outcomes(tenant: str, today: date) -> Sequence[ColumnElement[bool]]:
    """The advisories of which an outcome is due, and neither that nor a later one was stated; withdrawn advice has none."""
    advisory, outcome = tables.advisory, tables.outcome
    stated = exists().where(
        outcome.c.advisory_id == advisory.c.id, outcome.c.months >= _months_due(today), outcome.c.at >= SINCE
    )
    return (
        advisory.c.tenant == tenant,
        advisory.c.standing != Standing.WITHDRAWN,
        advisory.c.opened < _bound(today, MONTHS[0]),  # never later than it was opened last: most are left out by this
        _bound(today, MONTHS[0]) > SINCE,
        ~stated,
    )


def _months_due(today: date) -> ColumnElement[int]:
    """The last outcome that is due of an advisory, of which one is."""
    return case(*((_bound(today, months) > SINCE, months) for months in reversed(MONTHS)), else_=MONTHS[0])


def _bound(today: date, months: int) -> str:
    """What was opened before this instant had its outcome due before today."""
    day = today - timedelta(days=31 * months + 3)
    while months_after(day, months) < today:
        day += timedelta(days=1)
    return beginning(day.isoformat())


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
