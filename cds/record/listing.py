"""What people ask of the record: which advisories there are, and what became of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, func, select

from cds.advice.advisory import Advisory
from cds.publish.advice import Issue, Mitigation
from cds.publish.endpoint import Audited
from cds.publish.reviews import Errand, Impression, Opinion, Outcome, SecondView
from cds.publish.vocabulary import Resource
from cds.record import content, tables
from cds.record.audit import now, salted
from cds.record.codes import ACTIONS, DISPOSITIONS, LEVELS, NOT_DONE, REASONS, RESISTANCE, RESPONSES, SOURCE
from cds.record.database import Database
from cds.record.decisions import Decided
from cds.record.identity import Identity, patients_of
from cds.record.lifecycle import CLAIMING, Kind
from cds.record.ownership import Waits
from cds.record.reviews import decided
from cds.record.spelling import published


@dataclass(frozen=True, slots=True)
class Listed:
    """An advisory as a list shows it."""

    id: str
    tenant: str
    server: str
    patient: str
    question: str
    state: str
    standing: str
    opened: str
    changed: str
    revision: int

    @property
    def address(self) -> str:
        """The patient's reference, absolute where the server is known."""
        return Identity(self.tenant, self.server, self.patient).address


@dataclass(frozen=True, slots=True)
class Event:
    """One event in the life of an advisory, with what was said then; None where nothing was."""

    number: int
    kind: str
    reason: str
    state: str
    at: str
    evaluation_id: str
    said: Advisory | None


def advisories(
    database: Database, tenant: str, *, patient: Identity | None = None, standing: str = "", most: int = 100
) -> list[Listed]:
    """Advisories of a tenant, the one that changed last first; of one patient or one standing if asked."""
    advisory, person = tables.advisory, tables.patient
    wanted = (
        select(advisory, person.c.server, person.c.reference)
        .join(person, person.c.id == advisory.c.patient_id)
        .where(advisory.c.tenant == tenant)
        .order_by(advisory.c.changed.desc(), advisory.c.id.desc())
        .limit(most)
    )
    if patient is not None:
        wanted = wanted.where(*_is(patient))
    if standing:
        wanted = wanted.where(advisory.c.standing == standing)
    with database.reading() as connection:
        rows = connection.execute(wanted).mappings().all()
    return [
        Listed(
            row["id"], row["tenant"], row["server"], row["reference"], row["question"], row["state"], row["standing"],
            row["opened"], row["changed"], row["revision"],
        )
        for row in rows
    ]  # fmt: skip


def history(database: Database, advisory_id: str) -> list[Event]:
    """Every event of an advisory, the first first; empty if there is no such advisory."""
    event = tables.event
    with database.reading() as connection:
        rows = connection.execute(
            select(event).where(event.c.advisory_id == advisory_id).order_by(event.c.number)
        ).mappings()
        return [
            Event(
                row["number"], row["kind"], row["reason"], row["state"], row["at"], row["evaluation_id"],
                content.said(row["said"]) if content.canonical_bytes(row["said"]) != b"null" else None,
            )
            for row in rows
        ]  # fmt: skip


class Counted(NamedTuple):
    """When anything was evaluated last ("" if never); how many advisories stand how; what laboratories sent and waits.

    `waiting`: Observations of which nobody knows whose they are, by reason. `due`: patients whom an evaluation is due of,
    `due_since` the longest waiting of them ("" if none is).
    """

    last: str
    standing: Mapping[str, int]
    waiting: Mapping[str, int]
    due: int
    due_since: str


def standing_counts(database: Database) -> Counted:
    """How it stands with the record as a whole."""
    advisory = tables.advisory
    with database.reading() as connection:
        last = connection.execute(select(func.max(tables.evaluation.c.at))).scalar()
        rows = connection.execute(select(advisory.c.standing, func.count()).group_by(advisory.c.standing))
        standing = {state: count for state, count in rows}
        arrival, patient = tables.arrival, tables.patient
        wanted = select(arrival.c.waits, func.sum(arrival.c.results)).where(
            arrival.c.patient_id.is_(None), arrival.c.waits != Waits.ASIDE
        )
        waiting = {why: int(count) for why, count in connection.execute(wanted.group_by(arrival.c.waits))}
        since = select(func.count(), func.min(patient.c.due)).where(patient.c.due != "", patient.c.due <= now())
        due, oldest = connection.execute(since).one()
        return Counted(last or "", standing, waiting, due, oldest or "")


# as FHIR sees it ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a reader of the record asks for: `since` and `until` are instants, both included; "" for open ends.

    `patient` is one as `identified` gives it, so that two servers' patients of one id are told apart.
    """

    tenant: str
    patient: Identity | None = None
    id: str = ""
    since: str = ""
    until: str = ""
    most: int = 1000


def issues(database: Database, wanted: Wanted) -> list[Issue]:
    """Advisories with what was said last and what boards decided, the newest first."""
    advisory, person = tables.advisory, tables.patient
    query = (
        select(advisory, person.c.server, person.c.reference)
        .join(person, person.c.id == advisory.c.patient_id)
        .where(*_asked(wanted, advisory.c.id, advisory.c.opened))
        .order_by(advisory.c.opened.desc(), advisory.c.id)
        .limit(wanted.most)
    )
    with database.reading() as connection:
        rows = connection.execute(query).mappings().all()
        return list(_issues(connection, rows))


_TOLD = (*CLAIMING, Kind.WITHDRAWN)


def _issues(connection: Connection, rows: Sequence[RowMapping]) -> Iterator[Issue]:
    keys = [row["id"] for row in rows]
    last: dict[str, RowMapping] = {}
    claim: dict[
        str, RowMapping
    ] = {}  # the last event that tells what was claimed; a withdrawal keeps what it takes back
    event = tables.event
    events = select(event).where(event.c.advisory_id.in_(keys)).order_by(event.c.advisory_id, event.c.number)
    for row in connection.execute(events).mappings():
        last[row["advisory_id"]] = row
        if row["kind"] in _TOLD:
            claim[row["advisory_id"]] = row
    decisions = decided(connection, keys)
    for row in rows:
        yield Issue(
            row["id"],
            row["reference"],
            row["standing"],
            last[row["id"]]["reason"],
            row["opened"],
            row["changed"],
            row["revision"],
            content.said(claim[row["id"]]["said"]),
            tuple(
                Mitigation(
                    one.code,
                    one.by,
                    one.at,
                    one.newest and one.revision == row["revision"],
                    DISPOSITIONS.get(one.code, ""),
                )
                for one in decisions.get(row["id"], ())
            ),
            published(row["server"]),
        )


def impressions(database: Database, wanted: Wanted) -> list[Impression]:
    """Decisions of boards, the newest first, each with the results on which the advice rested then."""
    decision, person, event = tables.disposition, tables.patient, tables.event
    query = (
        select(decision.c.id, decision.c.advisory_id, person.c.server, person.c.reference)
        .join(person, person.c.id == decision.c.patient_id)
        .where(*_asked(wanted, decision.c.id, decision.c.at))
        .order_by(decision.c.at.desc(), decision.c.id)
        .limit(wanted.most)
    )
    with database.reading() as connection:
        rows = connection.execute(query).mappings().all()
        keys = sorted({row["advisory_id"] for row in rows})
        found = {one.id: one for each in decided(connection, keys).values() for one in each}
        claims = select(event.c.advisory_id, event.c.number, event.c.said).where(
            event.c.advisory_id.in_(keys), event.c.kind.in_([kind.value for kind in _TOLD])
        )
        said: dict[str, list[RowMapping]] = defaultdict(list)
        for row in connection.execute(claims.order_by(event.c.number)).mappings():
            said[row["advisory_id"]].append(row)
    by_number = {(one.advisory, one.number): one.id for one in found.values()}
    return [_impression(found[row["id"]], row, said[row["advisory_id"]], by_number) for row in rows]


def _impression(
    one: Decided, row: RowMapping, said: Sequence[RowMapping], by_number: Mapping[tuple[str, int], str]
) -> Impression:
    claims = [claim["said"] for claim in said if claim["number"] <= one.revision]
    return Impression(
        id=one.id,
        issue=one.advisory,
        patient=row["reference"],
        code=(one.code, DISPOSITIONS.get(one.code, one.code.replace("-", " "))),
        by=one.by,
        at=one.at,
        reason=(one.reason, REASONS.get(one.reason, "")),
        note=one.note,
        level=(one.level, LEVELS.get(one.level, "")),
        resistance=one.resistance,
        references=one.references,
        results=tuple(reading.ref for reading in content.said(claims[-1]).readings) if claims else (),
        previous=by_number.get((one.advisory, one.number - 1), ""),
        views=tuple(SecondView(view.by, view.agrees, view.note, view.at) for view in one.readings),
        server=published(row["server"]),
    )


def opinions(database: Database, wanted: Wanted) -> list[Opinion]:
    """What second readers said of decisions, the newest first."""
    reading, decision, person = tables.second_reading, tables.disposition, tables.patient
    query = (
        select(reading, decision.c.advisory_id, person.c.server, person.c.reference)
        .join(decision, decision.c.id == reading.c.disposition_id)
        .join(person, person.c.id == reading.c.patient_id)
        .where(*_asked(wanted, reading.c.id, reading.c.at))
        .order_by(reading.c.at.desc(), reading.c.id)
        .limit(wanted.most)
    )
    with database.reading() as connection:
        rows = connection.execute(query).mappings().all()
    return [
        Opinion(
            row["id"], row["disposition_id"], row["advisory_id"], row["reference"],
            SecondView(row["by"], row["agrees"], content.unpacked(row["content"])["note"], row["at"]),
            published(row["server"]),
        )
        for row in rows
    ]  # fmt: skip


def outcomes(database: Database, wanted: Wanted) -> list[Outcome]:
    """What was stated of how patients did, the newest first."""
    outcome, advisory, person = tables.outcome, tables.advisory, tables.patient
    before = outcome.alias("before")
    amended = and_(
        before.c.advisory_id == outcome.c.advisory_id,
        before.c.months == outcome.c.months,
        before.c.number == outcome.c.number - 1,
    )
    query = (
        select(outcome, before.c.id.label("previous"), advisory.c.therapy, person.c.server, person.c.reference)
        .join(advisory, advisory.c.id == outcome.c.advisory_id)
        .join(person, person.c.id == outcome.c.patient_id)
        .outerjoin(before, amended)
        .where(*_asked(wanted, outcome.c.id, outcome.c.at))
        .order_by(outcome.c.at.desc(), outcome.c.id)
        .limit(wanted.most)
    )
    with database.reading() as connection:
        rows = connection.execute(query).mappings().all()
    return [
        Outcome(
            row["id"], row["advisory_id"], row["reference"], row["months"], (row["response"], RESPONSES[row["response"]]),
            _found(row["resistance"], row["therapy"]), row["by"], row["at"], row["previous"] or "",
            published(row["server"]),
        )
        for row in rows
    ]  # fmt: skip


def _found(said: str, therapy: str) -> tuple[str, str]:
    """What was found, as a code and in words; about an operation a remaining source, for which there is no code of resistance."""
    return (said, RESISTANCE[said]) if therapy else ("", SOURCE[said])


def errands(database: Database, wanted: Wanted) -> list[Errand]:
    """What boards want to be done, the newest first."""
    action, decision, person = tables.action, tables.disposition, tables.patient
    query = (
        select(action, decision.c.by.label("decided_by"), person.c.server, person.c.reference)
        .join(decision, decision.c.id == action.c.disposition_id)
        .join(person, person.c.id == action.c.patient_id)
        .where(*_asked(wanted, action.c.id, action.c.at))
        .order_by(action.c.at.desc(), action.c.id)
        .limit(wanted.most)
    )
    with database.reading() as connection:
        rows = connection.execute(query).mappings().all()
    return [
        Errand(
            row["id"], row["advisory_id"], row["disposition_id"], row["reference"], (row["kind"], ACTIONS[row["kind"]]),
            row["due"], row["status"], row["decided_by"], row["at"], (row["reason"], NOT_DONE.get(row["reason"], "")),
            row["by"], row["closed"], published(row["server"]),
        )
        for row in rows
    ]  # fmt: skip


def guidance(database: Database, wanted: Wanted) -> list[Resource]:
    """GuidanceResponses and RequestGroups as they were given, the newest first."""
    given, person = tables.guidance, tables.patient
    query = (
        select(given.c.content)
        .join(person, person.c.id == given.c.patient_id)
        .where(*_asked(wanted, given.c.id, given.c.at))
        .order_by(given.c.at.desc(), given.c.id)
        .limit(wanted.most)
    )
    with database.reading() as connection:
        return [one for packed in connection.execute(query).scalars() for one in content.unpacked(packed)]


def audited(database: Database, tenant: str, patient: Identity | None = None) -> Iterator[Audited]:
    """Every entry of the audit, with the patient where the record still knows who it is; of one patient what is known of it."""
    with database.reading() as connection:
        if patient is None:
            people = [*connection.execute(select(tables.patient).where(tables.patient.c.tenant == tenant)).mappings()]
        else:
            people = [*patients_of(connection, patient, hold=False)]
        known = {
            salted(row["id"], row["salt"]): Identity(tenant, row["server"], row["reference"]).address for row in people
        }
        query = select(tables.audit).where(tables.audit.c.tenant == tenant).order_by(tables.audit.c.number)
        if patient is not None:
            query = query.where(tables.audit.c.subject.in_(known))
        for row in connection.execute(query.execution_options(yield_per=500)).mappings():
            yield Audited(
                row["number"], row["at"], row["actor"], row["action"], row["subject"], known.get(row["subject"], ""),
                row["link"],
            )  # fmt: skip


def _is(who: Identity) -> list[ColumnElement[bool]]:
    return [tables.patient.c.server == who.server, tables.patient.c.reference == who.reference]


def _asked(wanted: Wanted, key: ColumnElement[str], at: ColumnElement[str]) -> list[ColumnElement[bool]]:
    conditions = [tables.patient.c.tenant == wanted.tenant]
    if wanted.patient is not None:
        conditions += _is(wanted.patient)
    if wanted.id:
        conditions.append(key == wanted.id)
    if wanted.since:
        conditions.append(at >= wanted.since)
    if wanted.until:
        conditions.append(at <= wanted.until)
    return conditions
