"""What should be known by now: actions whose day has passed, and outcomes 3, 6 and 12 months after advice was opened last."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from sqlalchemy import ColumnElement, Connection, case, exists, func, or_, select

from cds.calendar import beginning, day_of
from cds.record import tables
from cds.record.codes import MONTHS, Status
from cds.record.identity import Identity
from cds.record.lifecycle import Kind, Standing
from cds.record.names import NAMED, Named, named

_AGAIN = tables.event.alias("again")
SINCE = func.coalesce(
    select(func.max(_AGAIN.c.at))
    .where(_AGAIN.c.advisory_id == tables.advisory.c.id, _AGAIN.c.kind == Kind.OPENED.value, _AGAIN.c.number > 1)
    .correlate(tables.advisory)
    .scalar_subquery(),
    tables.advisory.c.opened,
)
"""When an advisory was opened last: the months of its outcomes are counted from there, for that opening is what is followed up."""


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


def everything_due(connection: Connection, tenant: str, today: date, most: int) -> AllOverdue:
    """What is overdue of a tenant, and what is to come: of each at most so many, by day."""
    actions, outcomes = overdue_actions(tenant, today), overdue_outcomes(tenant, today)
    coming = _coming_actions(tenant, today)

    def number(conditions: Sequence[ColumnElement[bool]]) -> int:
        return int(connection.execute(select(func.count()).where(*conditions)).scalar_one())

    return AllOverdue(
        _due_actions(connection, tenant, actions, most), number(actions),
        _overdue_outcomes(connection, tenant, today, outcomes, most), number(outcomes),
        _due_actions(connection, tenant, coming, most), number(coming),
    )  # fmt: skip


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
