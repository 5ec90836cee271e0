"""A patient's data out of the record, and gone: what a person may ask for, without breaking the audit."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, or_, select, update

from cds.errors import ExowatchError
from cds.record import content, tables
from cds.record.audit import Entry, append, salted
from cds.record.database import Database
from cds.record.recorder import Identity


class NoSuchPatient(ExowatchError):
    """The record holds nothing of that patient."""


def export(database: Database, who: Identity) -> dict[str, Any]:
    """Everything that is stored of a patient, by table, stored JSON opened. Raises `NoSuchPatient`."""
    with database.reading() as connection:
        patients = _patients(connection, who, hold=False)
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
        patients = _patients(connection, who)
        keys = [row["id"] for row in patients]
        entry = Entry(who.tenant, actor, "erase", salted(patients[0]["id"], patients[0]["salt"]))
        for table in tables.OF_PATIENT:
            for (key,) in connection.execute(select(table.c.id).where(table.c.patient_id.in_(keys))):
                entry.erased(table, key)
            connection.execute(delete(table).where(table.c.patient_id.in_(keys)))
        for key in keys:
            entry.erased(tables.patient, key)
        connection.execute(update(tables.patient).where(tables.patient.c.id.in_(keys)), {"merged_into": None})
        connection.execute(delete(tables.patient).where(tables.patient.c.id.in_(keys)))
        append(database, connection, entry)
        return len(entry.rows)


def merge(database: Database, kept: Identity, gone: Identity, actor: str) -> None:
    """Two ids are one patient (`Patient.link`): from now on both lead to `kept`, to whom every row moves.

    Raises `NoSuchPatient`.
    """
    with database.writing() as connection:
        survivor, other = _patients(connection, kept)[0], _patients(connection, gone)[0]
        if survivor["id"] == other["id"]:
            return
        entry = Entry(kept.tenant, actor, "merge", salted(survivor["id"], survivor["salt"]))
        merged = {"merged_into": survivor["id"]}
        connection.execute(update(tables.patient).where(tables.patient.c.id == other["id"]), merged)
        entry.wrote(tables.patient, {**other, **merged}, other["salt"])
        for table in tables.OF_PATIENT:
            mine = table.c.patient_id == other["id"]
            for row in connection.execute(select(table).where(mine)).mappings():
                entry.wrote(table, {**row, "patient_id": survivor["id"]}, survivor["salt"])
            connection.execute(update(table).where(mine), {"patient_id": survivor["id"]})
        append(database, connection, entry)


def _patients(connection: Connection, who: Identity, *, hold: bool = True) -> list[dict[str, Any]]:
    """The patient's row and those that were merged into it; with `hold` the first is kept from others till the end."""
    patient = tables.patient
    named = (
        patient.c.tenant == who.tenant,
        patient.c.server == who.server,
        patient.c.reference == who.reference,
    )
    wanted = select(patient).where(*named)
    row = connection.execute(wanted.with_for_update() if hold else wanted).mappings().first()
    if row is None:
        raise NoSuchPatient(
            f"The record holds nothing of {who.reference} of server '{who.server}' (tenant '{who.tenant}')"
        )
    found = {row["id"]: dict(row)}
    while True:
        near = [value for one in found.values() for value in (one["id"], one["merged_into"]) if value]
        rows = connection.execute(
            select(patient).where(or_(patient.c.id.in_(near), patient.c.merged_into.in_(near)))
        ).mappings()
        more = {each["id"]: dict(each) for each in rows}
        if more.keys() <= found.keys():
            break
        found |= more
    return sorted(found.values(), key=lambda one: one["id"] != row["id"])


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
