"""What should be known by now: actions whose day has passed, and outcomes 3, 6 and 12 months after advice was opened last."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import NamedTuple

from sqlalchemy import CTE, ColumnElement, Connection, and_, case, exists, func, or_, select

from cds.calendar import at_place, beginning
from cds.record import tables
from cds.record.codes import MONTHS, Status
from cds.record.identity import Identity
from cds.record.lifecycle import Kind, Standing
from cds.record.names import NAMED, Named, named

PAGE = 100
"""So many of each kind stand on a page."""


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
    """A page of what is overdue of a tenant, actions and outcomes, and of the open actions to come, those without a day last;

    and how many there are of each on all pages. `most`: so many of each stand on one.
    """

    actions: list[Overdue]
    all_actions: int
    outcomes: list[Overdue]
    all_outcomes: int
    coming: list[Overdue] = field(default_factory=list)
    all_coming: int = 0
    most: int = PAGE

    @property
    def pages(self) -> int:
        return max(1, -(-max(self.all_actions, self.all_outcomes, self.all_coming) // self.most))


def opened_last(*of: ColumnElement[bool]) -> CTE:
    """Those advisories, and `since` when each was opened last: from there the months of its outcomes are counted.

    It is grouped so that a database looks each opening up once, however often a statement speaks of it.
    """
    advisory, event = tables.advisory, tables.event
    again = and_(event.c.advisory_id == advisory.c.id, event.c.kind == Kind.OPENED.value, event.c.number > 1)
    since = func.coalesce(func.max(event.c.at), advisory.c.opened).label("since")
    wanted = select(advisory.c.id, advisory.c.patient_id, advisory.c.standing, since).outerjoin(event, again)
    return wanted.where(*of).group_by(advisory.c.id).cte("opened_last")


def everything_due(connection: Connection, tenant: str, today: date, most: int, page: int) -> AllOverdue:
    """A page of what is overdue of a tenant, and of what is to come: of each at most so many, by day."""
    actions, coming, first = overdue_actions(tenant, today), _coming_actions(tenant, today), most * (page - 1)
    outcomes = _outcomes_by_day(connection, tenant, today)

    def number(conditions: Sequence[ColumnElement[bool]]) -> int:
        return int(connection.execute(select(func.count()).where(*conditions)).scalar_one())

    return AllOverdue(
        _due_actions(connection, tenant, actions, most, first), number(actions),
        _overdue_outcomes(connection, tenant, outcomes[first : first + most]), len(outcomes),
        _due_actions(connection, tenant, coming, most, first), number(coming),
        most,
    )  # fmt: skip


def _due_actions(
    connection: Connection, tenant: str, conditions: Sequence[ColumnElement[bool]], most: int, first: int
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
        .offset(first)
    )
    return [
        Overdue(
            row["patient_id"], Identity(tenant, row["server"], row["reference"]), named(row), row["advisory_id"],
            row["question"], row["kind"], row["due"], row["id"], therapy=row["therapy"], line_start=row["line_start"],
        )
        for row in connection.execute(wanted).mappings()
    ]  # fmt: skip


class _Due(NamedTuple):
    """An outcome that is overdue; in the order in which they are shown."""

    due: str
    patient: str  # row id
    advisory: str
    months: int
    opened: str  # day


def _outcomes_by_day(connection: Connection, tenant: str, today: date) -> list[_Due]:
    """Every overdue outcome of a tenant, by the day on which it was due: one of the place, which no database can tell."""
    counted = _counted(tenant, today)
    table = counted.c
    wanted = select(table.patient_id, table.id, table.since, _months_due(counted, today))
    found = []
    for patient, advisory, since, months in connection.execute(wanted.where(*_not_stated(counted, today))):
        opened = at_place(since).date()
        found.append(_Due(months_after(opened, months).isoformat(), patient, advisory, months, opened.isoformat()))
    return sorted(found)


def _overdue_outcomes(connection: Connection, tenant: str, due: Sequence[_Due]) -> list[Overdue]:
    """Those outcomes with what is shown of each."""
    advisory, patient, person = tables.advisory, tables.patient, tables.person
    wanted = (
        select(advisory, patient.c.server, patient.c.reference, *NAMED)
        .join(patient, patient.c.id == advisory.c.patient_id)
        .outerjoin(person, person.c.patient_id == advisory.c.patient_id)
        .where(advisory.c.id.in_([one.advisory for one in due]))
    )
    rows = {row["id"]: row for row in connection.execute(wanted).mappings()}
    return [
        Overdue(
            one.patient, Identity(tenant, row["server"], row["reference"]), named(row), one.advisory, row["question"],
            "outcome", one.due, months=one.months, therapy=row["therapy"], line_start=row["line_start"], opened=one.opened,
        )
        for one in due
        if (row := rows.get(one.advisory)) is not None
    ]  # fmt: skip


def months_after(day: date, months: int) -> date:
    """So many months later; the last day of a month that is shorter."""
    year, month = divmod(day.month - 1 + months, 12)
    year, month = day.year + year, month + 1
    return date(year, month, min(day.day, monthrange(year, month)[1]))


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
    return _not_stated(_counted(tenant, today), today)


def _counted(tenant: str, today: date) -> CTE:
    """The advisories of which an outcome may be due."""
    table = tables.advisory.c
    never_later = table.opened < _bound(today, MONTHS[0])  # than it was opened last: most are left out by this
    return opened_last(table.tenant == tenant, table.standing != Standing.WITHDRAWN, never_later)


def _not_stated(counted: CTE, today: date) -> Sequence[ColumnElement[bool]]:
    outcome = tables.outcome.c
    stated = exists().where(
        outcome.advisory_id == counted.c.id,
        outcome.months >= _months_due(counted, today),
        outcome.at >= counted.c.since,
    )
    return (counted.c.since < _bound(today, MONTHS[0]), ~stated)


def _months_due(counted: CTE, today: date) -> ColumnElement[int]:
    """The last outcome that is due of an advisory, of which one is."""
    due = ((counted.c.since < _bound(today, months), months) for months in reversed(MONTHS))
    return case(*due, else_=MONTHS[0])


def _bound(today: date, months: int) -> str:
    """What was opened before this instant had its outcome due before today."""
    day = today - timedelta(days=31 * months + 3)
    while months_after(day, months) < today:
        day += timedelta(days=1)
    return beginning(day.isoformat())
