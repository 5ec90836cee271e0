"""What was said of whom, evaluation by evaluation: every rule's own answer, also of rules that are shown to nobody."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import and_, or_, select

from cds.record import content, tables
from cds.record.database import Database
from cds.record.spelling import published

_PAGE = 500


@dataclass(frozen=True, slots=True)
class Answered:
    """One stored evaluation: of whom (with the base URL of their server, where one is known), as of when, and of each rule that

    was asked its state and the hash of how it read.
    """

    patient: str
    as_of: str
    answers: Mapping[str, tuple[str, str]]


def answered(database: Database, tenant: str) -> Iterator[Answered]:
    """Every evaluation of a tenant's patients in the order in which they were made, few at a time. Raises `RecordUnavailable`."""
    evaluation, patient = tables.evaluation, tables.patient
    wanted = (
        select(
            evaluation.c.id,
            evaluation.c.at,
            evaluation.c.as_of,
            evaluation.c.findings,
            patient.c.server,
            patient.c.reference,
        )
        .join(patient, patient.c.id == evaluation.c.patient_id)
        .where(patient.c.tenant == tenant)
        .order_by(evaluation.c.at, evaluation.c.id)
        .limit(_PAGE)
    )
    page = wanted
    while True:
        with database.reading() as connection:
            rows = connection.execute(page).all()
        for row in rows:
            found = json.loads(content.canonical_bytes(row.findings))["answers"]
            answers = {name: (answer["state"], answer["rule"]) for name, answer in found.items()}
            yield Answered(f"{published(row.server)}/{row.reference}".lstrip("/"), row.as_of, answers)
        if len(rows) < _PAGE:
            return
        last = rows[-1]
        later = or_(evaluation.c.at > last.at, and_(evaluation.c.at == last.at, evaluation.c.id > last.id))
        page = wanted.where(later)
