"""A patient's data out of the record, and gone: what a person may ask for, without breaking the audit."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import date
from typing import Any

from sqlalchemy import delete, exists, select, update

from cds.record import content, tables
from cds.record.audit import Entry, append, salted
from cds.record.claims import forget
from cds.record.database import Database
from cds.record.identity import Identity, held_survivor, merge_into, patients_of


def export(database: Database, who: Identity) -> dict[str, Any]:
    """Everything that is stored of a patient, by table, stored JSON opened. Raises `NoSuchPatient`."""
    with database.reading() as connection:
        patients = patients_of(connection, who, hold=False)
        found: dict[str, Any] = {"patient": [_plain(row, hide=("salt",)) for row in patients]}
        for table in reversed(tables.OF_PATIENT):
            rows = connection.execute(
                select(table).where(table.c.patient_id.in_([row["id"] for row in patients])).order_by(table.c.id)
            ).mappings()
            found[table.name] = [_plain(dict(row)) for row in rows]
    return found


def erase(database: Database, who: Identity, actor: str) -> int:
    """Delete everything of a patient but the traces in the audit, which nobody can read any more; how many rows went.

    Raises `NoSuchPatient`.
    """
    with database.writing() as connection:
        patients = patients_of(connection, who)
        keys = [row["id"] for row in patients]
        entry = Entry(who.tenant, actor, "erase", salted(patients[0]["id"], patients[0]["salt"]))
        forget(connection, select(tables.arrival.c.id).where(tables.arrival.c.patient_id.in_(keys)))
        for table in tables.OF_PATIENT:
            for (key,) in connection.execute(select(table.c.id).where(table.c.patient_id.in_(keys))):
                entry.erased(table, key)
            connection.execute(delete(table).where(table.c.patient_id.in_(keys)))
        for key in keys:
            entry.erased(tables.patient, key)
        connection.execute(update(tables.patient).where(tables.patient.c.id.in_(keys)), {"merged_into": None})
        connection.execute(delete(tables.patient).where(tables.patient.c.id.in_(keys)))
        append(database, connection, entry)
    database.forget()
    return len(entry.rows)


def unseen_since(database: Database, tenant: str, day: date) -> list[Identity]:
    """Patients of a tenant of whom nothing was evaluated on that day or later: whom a rule of retention may name."""
    patient, evaluation = tables.patient, tables.evaluation
    seen = select(evaluation.c.id).where(evaluation.c.patient_id == patient.c.id, evaluation.c.at >= day.isoformat())
    wanted = select(patient.c.server, patient.c.reference).where(
        patient.c.tenant == tenant, patient.c.merged_into.is_(None), ~exists(seen.correlate(patient))
    )
    with database.reading() as connection:
        found = connection.execute(wanted.order_by(patient.c.server, patient.c.reference))
        return [Identity(tenant, row.server, row.reference) for row in found]


def merge(database: Database, kept: Identity, gone: Identity, actor: str) -> None:
    """Two ids are one patient (`Patient.link`): from now on both lead to `kept`, to whom every row moves.

    Raises `NoSuchPatient`.
    """
    with database.writing() as connection:
        # What was merged before goes on with those into whom it was merged: neither a circle nor a dead end.
        survivor, other = (
            dict(held_survivor(connection, patients_of(connection, one, hold=False)[0]["id"])) for one in (kept, gone)
        )
        if survivor["id"] == other["id"]:
            return
        entry = Entry(kept.tenant, actor, "merge", salted(survivor["id"], survivor["salt"]))
        merge_into(connection, survivor, other, entry)
        append(database, connection, entry)


def _plain(row: Mapping[str, Any], hide: tuple[str, ...] = ()) -> dict[str, Any]:
    """A row as JSON; what was packed is opened."""
    plain: dict[str, Any] = {}
    for name, value in row.items():
        if name in hide:
            continue
        if isinstance(value, bytes):
            try:
                value = json.loads(content.canonical_bytes(value))
            except ValueError:
                value = base64.b64encode(value).decode()
        plain[name] = value
    return plain
