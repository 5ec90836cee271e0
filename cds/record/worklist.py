"""The worklist of a board: the answers of all patients of a tenant, filtered, searched and sorted, a page at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    Subquery,
    and_,
    case,
    exists,
    func,
    or_,
    select,
)

from cds.calendar import day_of
from cds.calendar import today as calendar_today
from cds.record import tables
from cds.record.answers import HIDDEN
from cds.record.codes import Status
from cds.record.database import Database
from cds.record.identity import Identity
from cds.record.names import NAMED, named, patients_named
from cds.record.names import Named as Named
from cds.record.overdue import overdue_actions, overdue_outcomes
from cds.record.withdrawals import Withdrawal, withdrawals

PAGE = 50
SORTS = ("rank", "slope", "fold", "since", "due", "name")
"""What nobody has decided about, by urgency, then the oldest flag; steepest first; largest change first; oldest first; first due first; by family name."""
_URGENT = ("suspected", "discordant", "persistent", "watch", "hold", "data-quality", "not-evaluable")
"""States in the order in which a board looks at them: what may be resistance first, then what cannot be judged, then the rest."""
_WORDS = 6
_AT_ONCE = 500  # rows that are read by one statement
_LONGEST = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class Filter:
    """What a list shows; blank means: whatever it is.

    A state is that of the last answer, or that which an open advisory claims. `standing` is one of an advisory; "withdrawn": advice
    was withdrawn and nobody acknowledged it. `text` is searched in names, record numbers and patients' ids. `since` is an
    instant or a day: answers that changed their state since then, to one that is about the patient. `due` is a day: an action is open that was due before it.
    `decided` is "yes" or "no": whether there is a decision about the advisory as it stands; or the code of that decision.
    """

    states: tuple[str, ...] = ()
    marker: str = ""
    therapy: str = ""
    standing: str = ""
    text: str = ""
    since: str = ""
    due: str = ""
    decided: str = ""
    sort: str = "rank"
    page: int = 1


@dataclass(frozen=True, slots=True)
class LastDecision:
    """What was decided last about an advisory. `current`: it is about the advisory as it stands now."""

    code: str
    day: str
    by: str
    revision: int
    current: bool
    meeting: str = ""  # id; "" if it was decided at none


@dataclass(frozen=True, slots=True)
class Row:
    """One answer, with the advisory that hangs on it ("" and 0 where there is none)."""

    id: str
    patient: str  # row id
    who: Identity
    named: Named
    question: str
    markers: tuple[str, ...]
    therapy: str
    line_start: str
    line_end: str
    state: str
    since: str
    claim: str  # state of the advisory while it is open: it may still claim what the newest data cannot confirm
    withdrawn: str  # since when advice is withdrawn and nobody acknowledged it
    withdrawal: Withdrawal | None  # what was withdrawn then
    headline: str
    missing: tuple[str, ...]
    fold: float | None
    slope: float | None
    latest: str
    advisory: str
    standing: str
    revision: int
    opened: str
    decision: LastDecision | None
    due: str  # first day on which an open action is due
    evaluation: str
    as_of: str  # the day of the data that were evaluated last
    rule_hash: str


@dataclass(frozen=True, slots=True)
class Counts:
    """What there is in the whole list, whatever is filtered: `all` answers; by state (twice where an open advisory claims another).

    `new` since the instant that was asked for; `overdue` are actions, `outcomes` advisories of which one is due and not stated.
    """

    states: Mapping[str, int] = field(default_factory=dict)
    all: int = 0
    new: int = 0
    withdrawn: int = 0
    overdue: int = 0
    outcomes: int = 0


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of a list; `total` rows match."""

    rows: tuple[Row, ...]
    total: int
    counts: Counts

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // PAGE))


def listed(
    database: Database, tenant: str, filter: Filter, *, new_since: str = "", today: date | None = None
) -> Listing:
    """A page of the list of a tenant, and what there is in all. Raises `RecordUnavailable`.

    `new_since` is the instant or day since which `Counts.new` counts, if not that of the filter.
    """
    today = today or calendar_today()
    total = select(func.count()).select_from(_matching(tenant, filter).subquery())
    page = _in_order(tenant, filter).limit(PAGE).offset(PAGE * (max(1, filter.page) - 1))

    def work(connection: Connection) -> Listing:
        keys = connection.execute(page).scalars().all()
        counts = _counts(connection, tenant, new_since or filter.since, today)
        return Listing(tuple(_rows(connection, tenant, keys)), connection.execute(total).scalar_one(), counts)

    return database.asked(work)


def every(database: Database, tenant: str, filter: Filter, most: int | None = None) -> list[Row]:
    """All that match, on whatever page, or the first `most`, in the order of the list and as of one moment. Raises `RecordUnavailable`."""

    def work(connection: Connection) -> list[Row]:
        keys = connection.execute(_in_order(tenant, filter).limit(most)).scalars().all()
        parts = (keys[first : first + _AT_ONCE] for first in range(0, len(keys), _AT_ONCE))
        return [row for part in parts for row in _rows(connection, tenant, part)]

    return database.asked(work, longest=_LONGEST)


def of_patient(database: Database, tenant: str, patient: str) -> list[Row]:
    """The answers to every question of a patient (by row id), also those that no list shows, the most urgent first."""
    answer = tables.answer
    mine = select(answer.c.id).where(answer.c.tenant == tenant, answer.c.patient_id == patient)
    mine = mine.order_by(answer.c.rank, answer.c.since, answer.c.id)
    return database.asked(lambda connection: _rows(connection, tenant, connection.execute(mine).scalars().all()))


# what is asked ---------------------------------------------------------------------------------------------------------


def _matching(tenant: str, filter: Filter) -> Select[Any]:
    """The ids of what a filter lets through."""
    return select(tables.answer.c.id).where(*_conditions(tenant, filter))


def _in_order(tenant: str, filter: Filter) -> Select[Any]:
    """The same in the order that is asked for."""
    answer, person, due, found = tables.answer.c, tables.person.c, _due(tenant), _matching(tenant, filter)
    if filter.sort == "due":
        found = found.outerjoin(due, due.c.advisory_id == answer.advisory_id)
    if filter.sort == "name":
        found = found.outerjoin(tables.person, person.patient_id == answer.patient_id)
    return found.order_by(*_order(tenant, filter.sort, due), answer.id)


def _conditions(tenant: str, filter: Filter) -> list[ColumnElement[bool]]:
    answer = tables.answer.c
    found: list[ColumnElement[bool]] = [answer.tenant == tenant, answer.spoken]
    if filter.states:
        found.append(or_(answer.state.in_(filter.states), answer.claim.in_(filter.states)))
    if filter.marker:
        found.append(answer.markers.contains(f" {filter.marker} ", autoescape=True))
    if filter.therapy:
        found.append(answer.therapy == filter.therapy)
    if filter.standing == "withdrawn":
        found.append(answer.withdrawn != "")
    elif filter.standing:
        found.append(answer.standing == filter.standing)
    if filter.since:
        found += [answer.since >= filter.since, answer.rank < HIDDEN]
    if filter.due:
        due = _due(tenant)
        found.append(answer.advisory_id.in_(select(due.c.advisory_id).where(due.c.due < filter.due)))
    if filter.decided:
        found.append(_is_decided(tenant, filter.decided))
    if words := filter.text.replace(",", " ").split()[:_WORDS]:
        found.append(answer.patient_id.in_(patients_named(tenant, words)))
    return found


def _due(tenant: str) -> Subquery:
    """By advisory the first day on which an open action is due."""
    action = tables.action.c
    return (
        select(action.advisory_id, func.min(action.due).label("due"))
        .where(action.tenant == tenant, action.status == Status.OPEN, action.due != "")
        .group_by(action.advisory_id)
        .subquery("first_due")
    )


def _is_decided(tenant: str, what: str) -> ColumnElement[bool]:
    """Whether there is a decision about the advisory as it stands; or none; or one of that code."""
    answer, advisory, decision = tables.answer.c, tables.advisory, tables.disposition
    newer = decision.alias("newer")
    number, later = func.coalesce(decision.c.number, 0), func.coalesce(newer.c.number, 0)
    last = (
        select(decision.c.advisory_id)
        .join(advisory, and_(advisory.c.id == decision.c.advisory_id, advisory.c.revision == decision.c.revision))
        .where(
            advisory.c.tenant == tenant,
            ~exists().where(newer.c.advisory_id == decision.c.advisory_id, later > number),
        )
    )
    if what == "no":
        return and_(answer.claim != "", answer.advisory_id.not_in(last.where(decision.c.code != "not-discussed")))
    return answer.advisory_id.in_(
        last.where(decision.c.code != "not-discussed" if what == "yes" else decision.c.code == what)
    )


def _order(tenant: str, sort: str, due: Subquery) -> Sequence[ColumnElement[Any]]:
    answer = tables.answer.c

    def absent(column: ColumnElement[Any]) -> ColumnElement[Any]:
        return case((column.is_(None), 1), else_=0)

    if sort == "slope":
        return absent(answer.slope), answer.slope.desc()
    if sort == "fold":
        return absent(answer.fold), answer.fold.desc()
    if sort == "since":
        return (answer.since,)
    if sort == "due":
        return absent(due.c.due), due.c.due
    if sort == "name":
        return absent(tables.person.c.sought), tables.person.c.sought
    undecided = case((answer.claim == "", 2), (_is_decided(tenant, "no"), 0), else_=1)
    places = {one: place for place, one in enumerate(_URGENT)}
    claim = func.coalesce(func.nullif(answer.claim, ""), answer.state)
    return undecided, case(places, value=claim, else_=len(_URGENT)), answer.rank, answer.since


# what is shown ---------------------------------------------------------------------------------------------------------


def _rows(connection: Connection, tenant: str, keys: Sequence[str]) -> list[Row]:
    answer, patient, advisory, evaluation = tables.answer, tables.patient, tables.advisory, tables.evaluation
    # An answer that stays the same is not written anew, so the last evaluation is not always the one that it came from.
    last = select(evaluation.c.as_of).where(evaluation.c.patient_id == answer.c.patient_id)
    last = last.order_by(evaluation.c.at.desc(), evaluation.c.id).limit(1)
    wanted = (
        select(
            answer,
            patient.c.server,
            patient.c.reference,
            advisory.c.revision,
            advisory.c.opened,
            last.scalar_subquery().label("as_of"),
            *NAMED,
        )
        .join(patient, patient.c.id == answer.c.patient_id)
        .outerjoin(tables.person, tables.person.c.patient_id == answer.c.patient_id)
        .outerjoin(advisory, advisory.c.id == answer.c.advisory_id)
        .where(answer.c.id.in_(keys))
    )
    rows = {row["id"]: row for row in connection.execute(wanted).mappings()}
    about = [row["advisory_id"] for row in rows.values() if row["advisory_id"] is not None]
    decision, action = tables.disposition, tables.action
    made = select(decision).where(decision.c.advisory_id.in_(about))
    order = func.coalesce(decision.c.number, 0), decision.c.at
    decided = {row["advisory_id"]: row for row in connection.execute(made.order_by(*order)).mappings()}
    open_ = action.c.advisory_id.in_(about), action.c.status == Status.OPEN, action.c.due != ""
    first = select(action.c.advisory_id, func.min(action.c.due)).where(*open_).group_by(action.c.advisory_id)
    due = {key: day for key, day in connection.execute(first).all()}
    gone = withdrawals(connection, [row["advisory_id"] for row in rows.values() if row["withdrawn"]])
    return [_row(tenant, rows[key], decided.get(rows[key]["advisory_id"]), due, gone) for key in keys]


def _row(
    tenant: str,
    row: RowMapping,
    decided: RowMapping | None,
    due: Mapping[str, str],
    gone: Mapping[str, Withdrawal],
) -> Row:
    last = None
    if decided is not None:
        current = decided["revision"] == row["revision"]
        last = LastDecision(
            decided["code"], day_of(decided["at"]), decided["by"], decided["revision"], current, decided["meeting_id"] or ""
        )  # fmt: skip
    return Row(
        id=row["id"],
        patient=row["patient_id"],
        who=Identity(tenant, row["server"], row["reference"]),
        named=named(row),
        question=row["question"],
        markers=tuple(row["markers"].split()),
        therapy=row["therapy"],
        line_start=row["line_start"],
        line_end=row["line_end"],
        state=row["state"],
        since=row["since"],
        claim=row["claim"],
        withdrawn=row["withdrawn"],
        withdrawal=gone.get(row["advisory_id"]),
        headline=row["headline"],
        missing=tuple(json.loads(row["missing"])),
        fold=row["fold"],
        slope=row["slope"],
        latest=row["latest"],
        advisory=row["advisory_id"] or "",
        standing=row["standing"],
        revision=row["revision"] or 0,
        opened=row["opened"] or "",
        decision=last,
        due=due.get(row["advisory_id"], ""),
        evaluation=row["evaluation_id"],
        as_of=day_of(row["as_of"]),
        rule_hash=row["rule_hash"],
    )


def _counts(connection: Connection, tenant: str, since: str, today: date) -> Counts:
    answer = tables.answer.c
    is_new = case((and_(answer.rank < HIDDEN, answer.since >= since), 1), else_=0)
    wanted = (
        select(
            answer.state,
            answer.claim,
            func.count(),
            func.sum(is_new),
            func.sum(case((answer.withdrawn != "", 1), else_=0)),
        )
        .where(answer.tenant == tenant, answer.spoken)
        .group_by(answer.state, answer.claim)
    )
    states: dict[str, int] = {}
    new = withdrawn = everything = 0
    for state, claim, count, fresh, gone in connection.execute(wanted):
        for one in {state, claim or state}:
            states[one] = states.get(one, 0) + count
        everything, new, withdrawn = everything + count, new + int(fresh), withdrawn + int(gone)

    def number(*conditions: ColumnElement[bool]) -> int:
        return int(connection.execute(select(func.count()).where(*conditions)).scalar_one())

    overdue, outcomes = number(*overdue_actions(tenant, today)), number(*overdue_outcomes(tenant, today))
    return Counts(states, everything, new if since else 0, withdrawn, overdue, outcomes)
