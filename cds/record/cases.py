"""One patient as the record has them: what went into an evaluation, what was found, and every advisory with its history."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, RowMapping, func, select

from cds.advice.advisory import Advisory
from cds.record import content, tables
from cds.record.database import Database
from cds.record.identity import Identity, NoSuchPatient, survivor
from cds.record.lifecycle import CLAIMING, Kind, Span, Standing
from cds.record.lines import span_of_row
from cds.record.listing import Event
from cds.record.names import NAMED, Named, named


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """That somebody saw that advice was withdrawn; `at` is an instant."""

    by: str
    at: str


_ENDING = (Kind.WITHDRAWN, Kind.SUPERSEDED, Kind.CLOSED)


@dataclass(frozen=True, slots=True)
class StoredAdvisory:
    """An advisory with everything that happened to it, the first event first."""

    id: str
    question: str  # the rule that asks it
    therapy: str  # class of the line; "" for an operation
    line_start: str
    line_end: str
    standing: str
    state: str
    revision: int
    rule_hash: str
    basis: str
    opened: str
    changed: str
    unacknowledged: str  # since when it is withdrawn, as long as nobody acknowledged that; else ""
    events: tuple[Event, ...]
    acknowledged: tuple[Acknowledged, ...] = ()  # each time that its withdrawal was, the first first

    @property
    def is_open(self) -> bool:
        return Standing(self.standing).is_open

    @property
    def taken_back(self) -> Event | None:
        """The last event that withdrew it; None if none did."""
        return next((one for one in reversed(self.events) if one.kind == Kind.WITHDRAWN), None)

    @property
    def withdrawal(self) -> Event | None:
        """The last event that withdrew it, if nobody has acknowledged that."""
        return self.taken_back if self.unacknowledged else None

    def claimed(self, event: Event) -> str:
        """The state that an event is about: of a withdrawal the one that was claimed until then, not what is found since."""
        before = [one.state for one in self.events if one.kind in CLAIMING and one.number < event.number]
        return before[-1] if event.kind == Kind.WITHDRAWN and before else event.state

    def open_since(self, at: str = "") -> str:
        """The instant since which it stands, by its last opening; "" if it does not. With `at`, as it was at that instant."""
        since = ""
        for one in self.events:
            if at and one.at > at:
                break
            if one.kind == Kind.OPENED:
                since = one.at
            elif one.kind in _ENDING:
                since = ""
        return since

    def claimed_since(self, at: str = "") -> Event | None:
        """The event since which it claims the state that it claims; None if it stands no more. With `at`, as it was at that instant."""
        since: Event | None = None
        for one in self.events:
            if at and one.at > at:
                break
            if one.kind in _ENDING:
                since = None
            elif one.kind in CLAIMING and (since is None or since.state != one.state):
                since = one
        return since

    @property
    def span(self) -> Span:
        """The line or operation that it is about."""
        return span_of_row({"therapy": self.therapy, "line_start": self.line_start, "line_end": self.line_end})


@dataclass(frozen=True, slots=True)
class Visit:
    """An evaluation as a list shows it."""

    id: str
    at: str
    as_of: str
    occasion: str
    rulebook: str


@dataclass(frozen=True, slots=True)
class StoredCase:
    """A patient's last evaluation (or the one that was asked for), and all their advisories."""

    key: str  # row id of the patient
    who: Identity
    named: Named
    visit: Visit
    visits: tuple[Visit, ...]  # all of them, the newest first
    inputs: Any  # plain JSON data from which the chart is read
    findings: Mapping[str, Any]  # as `content.findings` made them
    advisories: tuple[StoredAdvisory, ...]  # the newest first


_MOST_VISITS = 200


def stored_case(database: Database, tenant: str, key: str, evaluation: str = "") -> StoredCase:
    """The patient with that row id, or the one into whom they were merged; `evaluation` is an id, "" means the last.

    Raises `NoSuchPatient` if the tenant has no such patient, or no such evaluation of them, and `RecordUnavailable`.
    """

    def work(connection: Connection) -> StoredCase:
        row = _patient(connection, tenant, key)
        patient = row["id"]
        table = tables.evaluation
        evaluations = (
            connection.execute(
                select(table.c.id, table.c.at, table.c.as_of, table.c.occasion, table.c.rulebook)
                .where(table.c.patient_id == patient)
                .order_by(table.c.at.desc(), table.c.id)
                .limit(_MOST_VISITS)
            )
            .mappings()
            .all()
        )
        visits = tuple(Visit(**one) for one in evaluations)
        wanted = (
            select(table, tables.inputs.c.content)
            .join(tables.inputs, tables.inputs.c.id == table.c.inputs_id)
            .where(table.c.patient_id == patient, table.c.id == (evaluation or (visits[0].id if visits else "")))
        )
        found = connection.execute(wanted).mappings().first()
        if found is None:
            raise NoSuchPatient("The record holds no such evaluation of this patient")
        return StoredCase(
            patient,
            Identity(tenant, row["server"], row["reference"]),
            _called(connection, patient),
            Visit(found["id"], found["at"], found["as_of"], found["occasion"], found["rulebook"]),
            visits,
            content.unpacked(found["content"]),
            content.unpacked(found["findings"]),
            _advisories(connection, patient),
        )

    return database.asked(work)


_OF_CASE = {"advisory": tables.advisory, "decision": tables.disposition, "action": tables.action}


def owner(
    database: Database, tenant: str, patient: str, kind: Literal["advisory", "decision", "action"], key: str
) -> str:
    """Row id of the patient of that row id, or of whom they were merged into, whose advisory, decision or action that is.

    Raises `NoSuchPatient` if the tenant has no such patient, or it is not theirs, and `RecordUnavailable`.
    """
    table = _OF_CASE[kind]

    def work(connection: Connection) -> str:
        found: str = _patient(connection, tenant, patient)["id"]
        theirs = select(table.c.id).where(table.c.id == key, table.c.patient_id == found)
        if connection.execute(theirs).first() is None:
            raise NoSuchPatient(f"The record holds no such {kind} of this patient")
        return found

    return database.asked(work)


def _patient(connection: Connection, tenant: str, key: str) -> RowMapping:
    wanted = select(tables.patient).where(tables.patient.c.id == key, tables.patient.c.tenant == tenant)
    row = connection.execute(wanted).mappings().first()
    found = survivor(connection, Identity(tenant, row["server"], row["reference"])) if row is not None else None
    if found is None:
        raise NoSuchPatient("The record holds no such patient")
    return found


def _called(connection: Connection, patient: str) -> Named:
    """How the patient with that row is called; all blank if their own record was never read."""
    row = connection.execute(select(*NAMED).where(tables.person.c.patient_id == patient)).mappings().first()
    return Named() if row is None else named(row)


def _advisories(connection: Connection, patient: str) -> tuple[StoredAdvisory, ...]:
    event, advisory = tables.event, tables.advisory
    events: dict[str, list[Event]] = defaultdict(list)
    rows = connection.execute(select(event).where(event.c.patient_id == patient).order_by(event.c.number))
    for row in rows.mappings():
        said = content.said(row["said"]) if content.canonical_bytes(row["said"]) != b"null" else None
        events[row["advisory_id"]].append(
            Event(row["number"], row["kind"], row["reason"], row["state"], row["at"], row["evaluation_id"], said)
        )
    answer = tables.answer.c
    gone = select(answer.advisory_id, func.max(answer.withdrawn)).where(
        answer.patient_id == patient, answer.withdrawn != ""
    )
    withdrawn = {key: since for key, since in connection.execute(gone.group_by(answer.advisory_id))}
    seen: dict[str, list[Acknowledged]] = defaultdict(list)
    table = tables.acknowledgement.c
    for key, by, at in connection.execute(
        select(table.advisory_id, table.by, table.at).where(table.patient_id == patient).order_by(table.at, table.id)
    ):
        seen[key].append(Acknowledged(by, at))
    wanted = select(advisory).where(advisory.c.patient_id == patient).order_by(advisory.c.changed.desc(), advisory.c.id)
    return tuple(
        StoredAdvisory(
            row["id"], row["question"], row["therapy"], row["line_start"], row["line_end"], row["standing"], row["state"],
            row["revision"], row["rule_hash"], row["basis"], row["opened"], row["changed"], withdrawn.get(row["id"], ""),
            tuple(events[row["id"]]), tuple(seen[row["id"]]),
        )
        for row in connection.execute(wanted).mappings()
    )  # fmt: skip


def last_claim(events: Sequence[Event]) -> Advisory | None:
    """What was claimed last; None if the record holds no words of it."""
    return next((one.said for one in reversed(events) if one.kind in CLAIMING and one.said is not None), None)
