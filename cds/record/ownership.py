"""Whose results are, by identifiers: those of patients' own records, each with the authority that gave it.

It is never guessed: one patient who has the identifier, and no other date of birth. Everything else waits for somebody.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, RowMapping, and_, bindparam, insert, or_, select, update

from cds.errors import ExowatchError
from cds.record import tables
from cds.record.audit import Entry, now
from cds.record.database import Database
from cds.record.identity import Identity, called, held_survivor, patient_of, surviving
from cds.record.names import sought_by
from cds.record.spelling import respelt


class Waits(StrEnum):
    """Why results wait for somebody."""

    UNNAMED = "unnamed"  # no identifier with the authority that gave it
    NOBODY = "nobody"  # no patient has such an identifier
    SEVERAL = "several"  # their identifiers lead to several patients
    CONTRADICTS = "contradicts"  # the patient has another date of birth
    CLAIMED = "claimed"  # the laboratory said the same result of another patient, and has not withdrawn it
    ASIDE = "aside"  # somebody said that they are not for this record; their content is gone


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose results they are, as the sender says it: identifiers as (system, value), and the date of birth as FHIR."""

    identifiers: tuple[tuple[str, str], ...] = ()
    born: str = ""
    reference: str = ""  # an absolute reference to the patient, from a sender who may name them so


@dataclass(frozen=True, slots=True)
class Person:
    """A patient as their own record has them; "" for what it does not state."""

    who: Identity
    identifiers: tuple[tuple[str, str], ...] = ()
    born: str = ""  # a FHIR date: a year alone, too
    family: str = ""
    given: str = ""
    sex: str = ""
    number: str = ""  # record number; "": of their names and numbers nothing was read
    system: str = ""  # of the authority that gave the number
    silent: bool = False  # of identifiers their record says nothing at all: those that are known stand
    died: str | None = None  # day; "" if none is stated, None if they are not recorded as dead


Resolve = Callable[[str, Owner], Sequence[Person]]
"""Asks the EHRs of a tenant who that is, where this record does not know: everybody who has one of the identifiers.

Raises `Unanswered`.
"""


class Unanswered(ExowatchError):
    """An EHR that may know whose results they are did not answer: who else answered may be one of several."""


def nobody(_tenant: str, _owner: Owner) -> Sequence[Person]:
    """Asks no EHR."""
    return ()


def people(database: Database, tenant: str, owner: Owner, resolve: Resolve) -> Sequence[Person]:
    """What EHRs say, asked only if this record knows nobody; before any transaction, as they may take their time.

    Raises `Unanswered`.
    """
    with database.reading() as connection:
        known = bool(owners(connection, tenant, owner))
    return () if known else resolve(tenant, owner)


def whose(
    database: Database, connection: Connection, entry: Entry, tenant: str, owner: Owner, people: Sequence[Person]
) -> tuple[RowMapping | None, str]:
    """The patient's row, held, or why it is not known."""
    found = owners(connection, tenant, owner)
    for person in () if found else people:
        if len(people) > 1:
            return None, Waits.SEVERAL
        row, made = patient_of(database, connection, person.who, now())
        if made:
            entry.wrote(tables.patient, dict(row), row["salt"])
        identify(connection, entry, row, person)
        found = {row["id"]: {person.born}}
    if not found:
        named = owner.reference or any(all(one) for one in owner.identifiers)
        return None, Waits.NOBODY if named else Waits.UNNAMED
    survivors = {row["id"]: row for row in (held_survivor(connection, key) for key in sorted(found))}
    waits = _why_not(owner, found, survivors)
    return (None, waits) if waits else (next(iter(survivors.values())), "")


def _why_not(owner: Owner, found: Mapping[str, set[str]], survivors: Collection[Any]) -> str:
    """Why results wait though their identifiers lead to patients; "" if they need not."""
    if len(survivors) > 1:
        return Waits.SEVERAL
    born = {day for days in found.values() for day in days if len(day) == 10}
    return Waits.CONTRADICTS if len(owner.born) == 10 and born and owner.born not in born else ""


def outlook(connection: Connection, tenant: str, owner: Owner) -> str | None:
    """What `whose` would say of why results wait, without holding anybody; None if this record knows nobody."""
    found = owners(connection, tenant, owner)
    return _why_not(owner, found, {surviving(connection, key) for key in found}) if found else None


def make_due(connection: Connection, patient: str) -> None:
    """Note that an evaluation of a patient is due."""
    connection.execute(update(tables.patient).where(tables.patient.c.id == patient), {"due": now()})


def identify(connection: Connection, entry: Entry, row: RowMapping, person: Person) -> None:
    """Bring a patient's identifiers, name and record number to those that their own record states now."""
    table, born = tables.identifier, person.born
    wanted = {one for one in person.identifiers if all(one) and max(map(len, one)) <= 255}
    found = connection.execute(_IDENTIFIERS, {"patient": row["id"]}).mappings().all()
    for one in found:
        key = one["system"], one["value"]
        if one["source"] == "record" and not person.silent and (key not in wanted or one["born"] != born):
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
    if person.number:
        _name(connection, entry, row, person)


def _name(connection: Connection, entry: Entry, row: RowMapping, person: Person) -> None:
    table = tables.person
    stated = {
        "family": person.family, "given": person.given, "born": person.born, "sex": person.sex, "number": person.number,
        "system": person.system, "sought": sought_by(person.who.reference, person.family, person.given, person.number),
        "died": person.died,
    }  # fmt: skip
    found = connection.execute(_PERSON, {"patient": row["id"]}).mappings().first()
    if found is None:
        values = {
            "id": str(uuid.uuid4()), "patient_id": row["id"], "tenant": row["tenant"], **stated, "at": now(),
        }  # fmt: skip
        connection.execute(insert(table), values)
        entry.wrote(table, values, row["salt"])
    elif any(found[name] != value for name, value in stated.items()):
        values = {**found, **stated, "at": now()}
        connection.execute(update(table).where(table.c.id == found["id"]), values)
        entry.wrote(table, values, row["salt"])


_PERSON = select(tables.person).where(tables.person.c.patient_id == bindparam("patient"))
_IDENTIFIERS = select(tables.identifier).where(
    tables.identifier.c.patient_id == bindparam("patient"), tables.identifier.c.ended == ""
)


def owners(connection: Connection, tenant: str, owner: Owner) -> dict[str, set[str]]:
    """The patients who have one of the identifiers, or are named outright; with the dates of birth known of them."""
    table = tables.identifier
    found: dict[str, set[str]] = {}
    stated = [one for one in owner.identifiers if all(one)]
    if stated:
        either = or_(*(and_(table.c.system == system, table.c.value == value) for system, value in stated))
        wanted = select(table.c.patient_id, table.c.born).where(table.c.tenant == tenant, table.c.ended == "", either)
        for row in connection.execute(wanted):
            found.setdefault(row.patient_id, set()).add(row.born)
    if owner.reference:
        server, _, key = owner.reference.rpartition("/Patient/")
        for one in called(connection, tenant, f"Patient/{key}"):
            if respelt(one["server"]) == server:
                found.setdefault(one["id"], set()).update(_born(connection, one["id"]))
    return found


def described(connection: Connection, patient: str, who: Identity) -> Person:
    """A patient by what their own record stated of them."""
    known = connection.execute(_IDENTIFIERS, {"patient": patient}).mappings().all()
    named = connection.execute(_PERSON, {"patient": patient}).mappings().first()
    identifiers = tuple(sorted((row["system"], row["value"]) for row in known))
    born = max((row["born"] for row in known), default="")
    if named is None:
        return Person(who, identifiers, born)
    stated = {name: named[name] for name in ("family", "given", "sex", "number", "system", "died")}
    return Person(who, identifiers, named["born"] or born, **stated)


def _born(connection: Connection, patient: str) -> set[str]:
    """The dates of birth that a patient's own record stated."""
    known = connection.execute(_IDENTIFIERS, {"patient": patient}).mappings().all()
    named = connection.execute(_PERSON, {"patient": patient}).mappings().all()
    return {row["born"] for row in (*known, *named)}
