"""Who a patient is to the record: tenant, FHIR server and id; and when two of these are one."""

from __future__ import annotations

import re
import secrets
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from cds.errors import ExowatchError
from cds.record import tables
from cds.record.audit import Entry, now
from cds.record.database import Database
from cds.record.spelling import published, respelt

_AT_ONCE = 500
_EXAMPLE = "https://ehr.example/fhir/Patient/123"
_PATIENT = re.compile(r"(?:(?:(?P<server>https?://.+)/)?Patient/)?(?P<id>[A-Za-z0-9.-]{1,64})")


class NoSuchPatient(ExowatchError):
    """The record holds nothing of that patient."""


class AmbiguousPatient(ExowatchError):
    """Patients of several servers have that id; names the servers."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose record it is: the same id on two servers, or at two tenants, is two patients."""

    tenant: str
    server: str
    reference: str  # "Patient/123"

    @property
    def address(self) -> str:
        """The reference as anybody understands it: absolute where the server is known."""
        server = published(self.server)
        return f"{server}/{self.reference}" if server else self.reference


def known_of(database: Database, tenant: str, server: str, references: Sequence[str]) -> frozenset[str]:
    """Those of the references of which the record holds something. Raises `RecordUnavailable`."""
    patient = tables.patient.c

    def some(part: Sequence[str]) -> Sequence[str]:
        mine = (patient.tenant == tenant, patient.server == server, patient.reference.in_(part))
        return database.asked(lambda one: one.execute(select(patient.reference).where(*mine)).scalars().all())

    parts = (references[first : first + _AT_ONCE] for first in range(0, len(references), _AT_ONCE))
    return frozenset(one for part in parts for one in some(part))


def identified(
    connection: Connection, tenant: str, said: str, server: str | None = None, *, new: bool = False
) -> Identity:
    """Whom somebody means by "123", "Patient/123" or an absolute reference; the one into whom that patient was merged.

    `server`: where the patient's record is, "" for patients without a known server, None if it was not said. With `new`
    a patient of whom the record holds nothing is whom the words say.
    Raises `NoSuchPatient`, and `AmbiguousPatient` where a server has to be named to tell two patients apart.
    """
    found = _PATIENT.fullmatch(said.strip())
    if found is None:
        raise NoSuchPatient(f"'{said}' names no patient. Write Patient/123, or {_EXAMPLE}")
    reference, server = f"Patient/{found['id']}", None if server is None else respelt(server)
    address = respelt(found["server"]) if found["server"] else None
    survivors: dict[str, Identity] = {}
    servers: list[str] = []
    for row in called(connection, tenant, reference):
        if address not in (None, respelt(published(row["server"]))):
            continue
        if address is None and server not in (None, respelt(row["server"])):
            continue
        servers.append(row["server"])
        last = survivor_of(connection, row)
        survivors[last["id"]] = Identity(tenant, last["server"], last["reference"])
    if not survivors and new:
        return Identity(tenant, address or server or "", reference)
    server = address or server
    if not survivors:
        where = "" if server is None else f" of server '{server}'"
        raise NoSuchPatient(f"The record holds nothing of {reference}{where} (tenant '{tenant}')")
    if len(survivors) > 1:
        named = ", ".join(f"'{one}'" for one in servers)
        raise AmbiguousPatient(
            f"{reference} is a patient of several servers: {named}. Say of which one, as in {_EXAMPLE}"
        )
    return next(iter(survivors.values()))


def called(connection: Connection, tenant: str, reference: str) -> Sequence[RowMapping]:
    """The rows of all patients of that id, whichever server they are of."""
    patient = tables.patient.c
    wanted = select(tables.patient).where(patient.tenant == tenant, patient.reference == reference)
    return connection.execute(wanted.order_by(patient.server)).mappings().all()


def survivor_of(connection: Connection, row: RowMapping) -> RowMapping:
    """The row of the patient into whom that one was merged in the end; often itself."""
    seen = {row["id"]}
    while row["merged_into"] is not None and row["merged_into"] not in seen:
        seen.add(row["merged_into"])
        row = (
            connection.execute(select(tables.patient).where(tables.patient.c.id == row["merged_into"])).mappings().one()
        )
    return row


def surviving(connection: Connection, key: str) -> Identity:
    """The patient with that row, or the one into whom they were merged."""
    wanted = select(tables.patient).where(tables.patient.c.id == key)
    row = survivor_of(connection, connection.execute(wanted).mappings().one())
    return Identity(row["tenant"], row["server"], row["reference"])


# Asked at every evaluation, so put together once.
_NAMED = select(tables.patient).where(
    tables.patient.c.tenant == bindparam("tenant"),
    tables.patient.c.server == bindparam("server"),
    tables.patient.c.reference == bindparam("reference"),
)

_HAS_ARRIVALS = select(tables.arrival.c.id).where(tables.arrival.c.patient_id == bindparam("patient")).limit(1)


def patient_of(database: Database, connection: Connection, who: Identity, at: str) -> tuple[RowMapping, bool]:
    """The patient's row, made if it is new (then True), and held until the transaction ends."""
    row = {
        "id": str(uuid.uuid4()), "tenant": who.tenant, "server": who.server, "reference": who.reference,
        "salt": secrets.token_hex(32), "merged_into": None, "created": at, "due": "",
    }  # fmt: skip
    dialect = sqlite if database.is_sqlite else postgresql
    connection.execute(dialect.insert(tables.patient).on_conflict_do_nothing(), row)
    named = {"tenant": who.tenant, "server": who.server, "reference": who.reference}
    found = connection.execute(_NAMED, named).mappings().one()
    made = found["id"] == row["id"]
    return held_survivor(connection, found["id"]), made


def held_survivor(connection: Connection, key: str) -> RowMapping:
    """The patient into whom that one was merged in the end (often itself), held until the transaction ends.

    Only the survivor is held: who waits for it holds nobody else.
    """
    seen: set[str] = set()
    while key not in seen:
        seen.add(key)
        merged = connection.execute(select(tables.patient.c.merged_into).where(tables.patient.c.id == key)).scalar()
        if merged is not None:
            key = merged
            continue
        wanted = select(tables.patient).where(tables.patient.c.id == key).with_for_update()
        found = connection.execute(wanted).mappings().one()
        if found["merged_into"] is None:
            return found
        seen.discard(key)  # merged while it was waited for
        key = found["merged_into"]
    raise ExowatchError(f"patients {', '.join(sorted(seen))} are merged in a circle; run `exowatch audit verify`")


def survivor(connection: Connection, who: Identity) -> RowMapping | None:
    """The patient's row, or that of the one into whom they were merged; None if the record knows nobody of that name."""
    named = {"tenant": who.tenant, "server": who.server, "reference": who.reference}
    row = connection.execute(_NAMED, named).mappings().first()
    return None if row is None else survivor_of(connection, row)


def patients_of(connection: Connection, who: Identity, *, hold: bool = True) -> list[dict[str, Any]]:
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


def merge_into(connection: Connection, kept: Mapping[str, Any], gone: Mapping[str, Any], entry: Entry) -> None:
    """Move every row of one patient to another, who answers to both ids from now on."""
    merged = {"merged_into": kept["id"]}
    connection.execute(update(tables.patient).where(tables.patient.c.id == gone["id"]), merged)
    entry.wrote(tables.patient, {**gone, **merged}, gone["salt"])
    if gone["due"] or connection.execute(_HAS_ARRIVALS, {"patient": gone["id"]}).first() is not None:
        connection.execute(update(tables.patient).where(tables.patient.c.id == kept["id"]), {"due": now()})
    _one_person(connection, kept, gone, entry)
    for table in tables.OF_PATIENT:
        mine = table.c.patient_id == gone["id"]
        wanted = select(table).where(mine)
        if table is tables.agenda:  # the only rows that others change without holding the patient
            wanted = wanted.order_by(table.c.id).with_for_update()
        for row in connection.execute(wanted).mappings():
            entry.wrote(table, {**row, "patient_id": kept["id"]}, kept["salt"])
        connection.execute(update(table).where(mine), {"patient_id": kept["id"]})


def _one_person(connection: Connection, kept: Mapping[str, Any], gone: Mapping[str, Any], entry: Entry) -> None:
    """Of two persons, that of the patient who stays is kept."""
    person = tables.person.c
    wanted = select(person.id, person.patient_id).where(person.patient_id.in_([kept["id"], gone["id"]]))
    rows = {row.patient_id: row.id for row in connection.execute(wanted)}
    if len(rows) == 2:
        connection.execute(delete(tables.person).where(person.id == rows[gone["id"]]))
        entry.erased(tables.person, rows[gone["id"]])
