"""What people ask of the record: which advisories there are, and what became of each."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from cds.advice.advisory import Advisory
from cds.record import content, tables
from cds.record.database import Database


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
    database: Database, tenant: str, *, patient: str = "", standing: str = "", most: int = 100
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
    if patient:
        wanted = wanted.where(person.c.reference == patient)
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
