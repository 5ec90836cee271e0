"""By which identifiers a patient is known: those of their own record, each with the authority that gave it."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, and_, bindparam, insert, or_, select, update

from cds.record import tables
from cds.record.audit import Entry, now
from cds.record.identity import Identity


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose results they are, as the sender says it: identifiers as (system, value), and the date of birth as FHIR."""

    identifiers: tuple[tuple[str, str], ...] = ()
    born: str = ""
    reference: str = ""  # an absolute reference to the patient, from a sender who may name them so


@dataclass(frozen=True, slots=True)
class Person:
    """A patient as their own record has them."""

    who: Identity
    identifiers: tuple[tuple[str, str], ...] = ()
    born: str = ""


def identify(
    connection: Connection, entry: Entry, row: RowMapping, stated: Iterable[tuple[str, str]], born: str
) -> None:
    """Bring a patient's identifiers to those that their own record states now."""
    table = tables.identifier
    wanted = {one for one in stated if all(one) and max(map(len, one)) <= 255}
    found = connection.execute(_IDENTIFIERS, {"patient": row["id"]}).mappings().all()
    for one in found:
        key = one["system"], one["value"]
        if one["source"] == "record" and (key not in wanted or one["born"] != born):
            changed = {"ended": now()}
            connection.execute(update(table).where(table.c.id == one["id"]), changed)
            entry.wrote(table, {**one, **changed}, row["salt"])
        elif key in wanted:
            wanted.discard(key)
    for system, value in sorted(wanted):
        values = {
            "id": str(uuid.uuid4()), "patient_id": row["id"], "tenant": row["tenant"], "system": system, "value": value,
            "born": born, "source": "record", "ended": "", "at": now(),
        }  # fmt: skip
        connection.execute(insert(table), values)
        entry.wrote(table, values, row["salt"])


_IDENTIFIERS = select(tables.identifier).where(
    tables.identifier.c.patient_id == bindparam("patient"), tables.identifier.c.ended == ""
)


def owners(connection: Connection, tenant: str, owner: Owner) -> dict[str, set[str]]:
    """The patients who have one of the identifiers, or are named outright; with the dates of birth known of them."""
    table, patient = tables.identifier, tables.patient
    found: dict[str, set[str]] = {}
    stated = [one for one in owner.identifiers if all(one)]
    if stated:
        either = or_(*(and_(table.c.system == system, table.c.value == value) for system, value in stated))
        wanted = select(table.c.patient_id, table.c.born).where(table.c.tenant == tenant, table.c.ended == "", either)
        for row in connection.execute(wanted):
            found.setdefault(row.patient_id, set()).add(row.born)
    if owner.reference:
        server, _, key = owner.reference.rpartition("/Patient/")
        wanted = select(patient.c.id).where(
            patient.c.tenant == tenant, patient.c.server == server, patient.c.reference == f"Patient/{key}"
        )
        for key in connection.execute(wanted).scalars():
            found.setdefault(key, set())
    return found
