"""Results that laboratories send: stored once, given to the patient whose they are, or kept until somebody says whose.

Whose they are is never guessed: one patient who has the identifier, of the authority that gave it, and no other date of birth.
Everything else waits. What is stored makes an evaluation due, which `Recorder.record` settles.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any

from sqlalchemy import Connection, RowMapping, Table, bindparam, select, update
from sqlalchemy.dialects import postgresql, sqlite

from cds.errors import ExowatchError
from cds.record import content, tables
from cds.record.audit import Checkpoints, Entry, append, canonical, now, salted
from cds.record.database import Database
from cds.record.identity import Identity, held_survivor, patient_of, survivor
from cds.record.ownership import Owner, Person, identify, owners

Json = Mapping[str, Any]


class Waits(StrEnum):
    """Why results wait for somebody."""

    UNNAMED = "unnamed"  # no identifier with the authority that gave it
    NOBODY = "nobody"  # no patient has such an identifier
    SEVERAL = "several"  # their identifiers lead to several patients
    CONTRADICTS = "contradicts"  # the patient has another date of birth
    ASIDE = "aside"  # somebody said that they are not for this record; their content is gone


@dataclass(frozen=True, slots=True)
class Part:
    """The results of one person in a delivery, as FHIR: Observations, their Specimens and Provenance."""

    owner: Owner
    resources: Sequence[Json]
    results: int


@dataclass(frozen=True, slots=True)
class Delivered:
    """What a laboratory sent at once; `refused` are [where, what, why, results], without what stood there."""

    tenant: str
    laboratory: str
    source: str
    raw: bytes
    at: str  # when it came
    counted: int
    mapped: int
    refused: Sequence[Sequence[Any]]
    parts: Sequence[Part]


@dataclass(slots=True)
class Kept:
    """What became of a delivery, in results: stored now, known before, and of those stored how many wait for somebody."""

    stored: int = 0
    known: int = 0
    waiting: dict[str, int] = field(default_factory=dict)  # why they wait → how many
    patients: list[Identity] = field(default_factory=list)  # for whom an evaluation is due


@dataclass(frozen=True, slots=True)
class Waiting:
    """Results in the queue."""

    id: str
    laboratory: str
    source: str
    waits: str
    results: int
    owner: Owner
    at: str


class NoSuchArrival(ExowatchError):
    """The queue holds nothing of that id."""


Resolve = Callable[[Owner], Person | None]
"""Asks the patient's own record who they are, where this one does not know; None if that does not say, or does not answer."""

_AT_ONCE = 50
"""Parts in one transaction: a file of thousands does not keep other writers out."""


class Arrivals:
    """Stores what arrives; safe to share between threads and processes."""

    def __init__(self, database: Database, checkpoints: Checkpoints | None = None):
        self.database = database
        self._checkpoints = checkpoints

    def take(
        self,
        delivered: Delivered,
        resolve: Resolve = lambda _owner: None,
        step: Callable[[], None] = lambda: None,
    ) -> Kept:
        """Store a delivery, calling `step` after each part; the same one again, or a part of it, changes nothing.

        Raises `RecordUnavailable`: then an unknown part of it may have been stored; sent again, the rest is.
        """
        kept = Kept()
        batches = [delivered.parts[at : at + _AT_ONCE] for at in range(0, len(delivered.parts), _AT_ONCE)] or [()]
        for number, batch in enumerate(batches, 1):
            people = [self._person(delivered.tenant, part.owner, resolve) for part in batch]
            pairs = _in_lock_order(zip(batch, people, strict=True))
            last = number == len(batches)
            self.database.in_time(partial(self._write, delivered, pairs, last, kept))
            for _ in batch:
                step()
        return kept

    def _write(self, delivered: Delivered, batch: Sequence[tuple[Part, Person | None]], last: bool, kept: Kept) -> None:
        with self.database.writing() as connection:
            entry = Entry(delivered.tenant, delivered.laboratory, "receive")
            for part, person in batch:
                self._store(connection, entry, delivered, part, person, kept)
            if last:
                self._note(connection, delivered)
            written = append(self.database, connection, entry)
        if self._checkpoints is not None:
            self._checkpoints.keep_up(self.database, written)

    def _note(self, connection: Connection, delivered: Delivered) -> None:
        self._insert(
            connection,
            tables.delivery,
            {
                "id": str(uuid.uuid4()), "tenant": delivered.tenant, "laboratory": delivered.laboratory,
                "source": delivered.source[:255], "digest": hashlib.sha256(delivered.raw).hexdigest(),
                "counted": delivered.counted, "mapped": delivered.mapped,
                "refused": canonical(list(delivered.refused)), "at": delivered.at,
            },
        )  # fmt: skip

    def _insert(self, connection: Connection, table: Table, values: Mapping[str, Any]) -> bool:
        """Whether the row is new."""
        dialect = sqlite if self.database.is_sqlite else postgresql
        wanted = dialect.insert(table).on_conflict_do_nothing().returning(table.c.id)
        return connection.execute(wanted, values).first() is not None

    # whose ----------------------------------------------------------------------------------------------------------

    def _person(self, tenant: str, owner: Owner, resolve: Resolve) -> Person | None:
        """What the patient's own record says, asked before the transaction, and only if this record knows nobody."""
        with self.database.reading() as connection:
            known = bool(owners(connection, tenant, owner))
        return None if known else resolve(owner)

    def _store(
        self,
        connection: Connection,
        entry: Entry,
        delivered: Delivered,
        part: Part,
        person: Person | None,
        kept: Kept,
    ) -> None:
        digest = digest_of(part)
        arrival = tables.arrival
        known = select(arrival.c.id).where(
            arrival.c.tenant == delivered.tenant,
            arrival.c.laboratory == delivered.laboratory,
            arrival.c.digest == digest,
        )
        if connection.execute(known).first() is not None:
            kept.known += part.results
            return
        row, waits = self._whose(connection, entry, delivered.tenant, part.owner, person)
        values = {
            "id": str(uuid.uuid4()), "patient_id": row["id"] if row is not None else None, "tenant": delivered.tenant,
            "laboratory": delivered.laboratory, "source": delivered.source[:255], "digest": digest,
            "person": content.packed([part.owner.identifiers, part.owner.born, part.owner.reference]),
            "resources": content.packed(part.resources), "results": part.results, "waits": waits, "by": "", "at": delivered.at,
        }  # fmt: skip
        if not self._insert(connection, arrival, values):  # somebody else stored it meanwhile
            kept.known += part.results
            return
        kept.stored += part.results
        if row is None:
            kept.waiting[waits] = kept.waiting.get(waits, 0) + part.results
            return
        entry.wrote(arrival, values, row["salt"])
        _make_due(connection, row["id"], now())
        who = Identity(row["tenant"], row["server"], row["reference"])
        if who not in kept.patients:
            kept.patients.append(who)

    def _whose(
        self, connection: Connection, entry: Entry, tenant: str, owner: Owner, person: Person | None
    ) -> tuple[RowMapping | None, str]:
        """The patient's row, held, or why it is not known."""
        found = owners(connection, tenant, owner)
        if not found and person is not None:
            row, made = patient_of(self.database, connection, person.who, now())
            if made:
                entry.wrote(tables.patient, dict(row), row["salt"])
            identify(connection, entry, row, person.identifiers, person.born)
            found = {row["id"]: {person.born}}
        if not found:
            named = owner.reference or any(all(one) for one in owner.identifiers)
            return None, Waits.NOBODY if named else Waits.UNNAMED
        survivors = {row["id"]: row for row in (held_survivor(connection, key) for key in sorted(found))}
        if len(survivors) > 1:
            return None, Waits.SEVERAL
        born = {day for days in found.values() for day in days if len(day) == 10}
        if len(owner.born) == 10 and born and owner.born not in born:
            return None, Waits.CONTRADICTS
        return next(iter(survivors.values())), ""

    # queue ----------------------------------------------------------------------------------------------------------

    def queue(self, tenant: str) -> list[Waiting]:
        """What waits for somebody, the oldest first. Raises `RecordUnavailable`."""
        arrival = tables.arrival
        wanted = select(arrival).where(
            arrival.c.tenant == tenant, arrival.c.patient_id.is_(None), arrival.c.waits != Waits.ASIDE
        )
        with self.database.reading() as connection:
            rows = connection.execute(wanted.order_by(arrival.c.at, arrival.c.id)).mappings().all()
        return [_waiting(row) for row in rows]

    def content(self, tenant: str, key: str) -> tuple[Waiting, list[dict[str, Any]]]:
        """Results in the queue, and their resources. Raises `NoSuchArrival`."""
        with self.database.reading() as connection:
            row = _arrival(connection, tenant, key, hold=False)
        return _waiting(row), list(content.unpacked(row["resources"]))

    def assign(self, tenant: str, key: str, who: Identity, by: str, at: str = "") -> list[Identity]:
        """Give results to a patient, who is made if new; for whom an evaluation is due. `at` is when it was said, if not now.

        Results given to a wrong patient before move: to that one they read as entered in error from then on.
        Raises `NoSuchArrival`; also for what was set aside, as nothing of it is left.
        """
        at = at or now()
        with self.database.writing() as connection:
            arrival = _arrival(connection, tenant, key)
            row, made = patient_of(self.database, connection, who, now())
            entry = Entry(tenant, by, "assign", salted(row["id"], row["salt"]))
            if made:
                entry.wrote(tables.patient, dict(row), row["salt"])
            due = [who]
            if arrival["patient_id"] is not None and arrival["patient_id"] != row["id"]:
                before = held_survivor(connection, arrival["patient_id"])
                self._take_back(connection, entry, arrival, before, by, at)
                due.append(Identity(before["tenant"], before["server"], before["reference"]))
            changed = {"patient_id": row["id"], "waits": "", "by": by}
            connection.execute(update(tables.arrival).where(tables.arrival.c.id == arrival["id"]), changed)
            entry.wrote(tables.arrival, {**arrival, **changed}, row["salt"])
            _make_due(connection, row["id"], now())
            append(self.database, connection, entry)
        return due

    def _take_back(
        self, connection: Connection, entry: Entry, arrival: RowMapping, row: RowMapping, by: str, at: str
    ) -> None:
        """What was not this patient's stays with them as entered in error, so that what was said on it is withdrawn."""
        resources = [_in_error(one) for one in content.unpacked(arrival["resources"]) if _is_result(one)]
        digest = hashlib.sha256(content.encoded([arrival["id"], row["id"], at])).hexdigest()
        values = {
            **arrival, "id": str(uuid.uuid4()), "patient_id": row["id"], "digest": digest, "by": by, "at": at,
            "person": content.packed([]), "resources": content.packed(resources), "results": len(resources),
        }  # fmt: skip
        self._insert(connection, tables.arrival, values)
        entry.wrote(tables.arrival, values, row["salt"])
        _make_due(connection, row["id"], now())

    def set_aside(self, tenant: str, key: str, by: str) -> None:
        """Results that are not for this record: what they say is deleted, and sent again they stay away. Raises `NoSuchArrival`."""
        with self.database.writing() as connection:
            arrival = _arrival(connection, tenant, key)
            if arrival["patient_id"] is not None:
                raise NoSuchArrival(f"{key} waits for nobody: it was given to a patient. Give it to another instead")
            gone = {
                "waits": Waits.ASIDE.value, "by": by, "person": content.packed([]), "resources": content.packed([]),
            }  # fmt: skip
            connection.execute(update(tables.arrival).where(tables.arrival.c.id == arrival["id"]), gone)
            append(self.database, connection, Entry(tenant, by, "set-aside"))

    # for evaluations ------------------------------------------------------------------------------------------------

    def of(self, who: Identity) -> tuple[list[dict[str, Any]], str]:
        """What was sent of a patient, oldest first, its subject as the patient's own record names them; and since when

        an evaluation is due ("" if none is). Raises `RecordUnavailable`.
        """
        with self.database.reading() as connection:
            row = survivor(connection, who)
            if row is None:
                return [], ""
            found = connection.execute(_SENT, {"patient": row["id"]}).mappings().all()
        return [one for sent in found for one in _as_evaluated(sent, who.reference)], row["due"]

    def due(self, most: int = 100) -> list[Identity]:
        """Patients for whom an evaluation is due, the longest first. Raises `RecordUnavailable`."""
        patient = tables.patient
        wanted = select(patient).where(patient.c.due != "", patient.c.merged_into.is_(None))
        with self.database.reading() as connection:
            rows = connection.execute(wanted.order_by(patient.c.due, patient.c.id).limit(most)).mappings().all()
        return [Identity(row["tenant"], row["server"], row["reference"]) for row in rows]

    def last_inputs(self, who: Identity) -> tuple[dict[str, Any], str] | None:
        """What the newest evaluation of a patient read, and when that was; None if there was none."""
        evaluation, inputs = tables.evaluation, tables.inputs
        with self.database.reading() as connection:
            row = survivor(connection, who)
            if row is None:
                return None
            wanted = (
                select(inputs.c.content, evaluation.c.at)
                .join(inputs, inputs.c.id == evaluation.c.inputs_id)
                .where(evaluation.c.patient_id == row["id"])
                .order_by(evaluation.c.at.desc())
                .limit(1)
            )
            found = connection.execute(wanted).first()
        return None if found is None else (content.unpacked(found.content), found.at)


def digest_of(part: Part) -> str:
    """The same for the same results of the same person, whenever and by whatever way they came."""
    said = [one for one in part.resources if one.get("resourceType") != "Provenance"]
    owner = part.owner
    return hashlib.sha256(content.encoded([owner.identifiers, owner.born, owner.reference, said])).hexdigest()


_SENT = (
    select(tables.arrival.c.resources, tables.arrival.c.at)
    .where(tables.arrival.c.patient_id == bindparam("patient"))
    .order_by(tables.arrival.c.at, tables.arrival.c.id)
)


def _in_lock_order(parts: Iterable[tuple[Part, Person | None]]) -> list[tuple[Part, Person | None]]:
    """In an order that does not depend on the delivery, so that two deliveries never wait for one another."""
    return sorted(parts, key=lambda one: (one[0].owner.identifiers, one[0].owner.reference))


def _as_evaluated(sent: RowMapping, reference: str) -> Iterable[dict[str, Any]]:
    """Resources as the chart reads them: of that patient, and each known since it came."""
    for resource in content.unpacked(sent["resources"]):
        if resource["resourceType"] != "Provenance":
            meta = {**resource.get("meta", {}), "lastUpdated": sent["at"]}
            yield {**resource, "meta": meta, "subject": {"reference": reference}}


def _is_result(resource: Json) -> bool:
    return resource.get("resourceType") == "Observation"


def _in_error(observation: Json) -> dict[str, Any]:
    """An Observation without what was measured."""
    kept = ("resourceType", "id", "identifier", "category", "code", "effectiveDateTime")
    return {name: observation[name] for name in kept if name in observation} | {"status": "entered-in-error"}


def _make_due(connection: Connection, patient: str, at: str) -> None:
    connection.execute(update(tables.patient).where(tables.patient.c.id == patient), {"due": at})


def _arrival(connection: Connection, tenant: str, key: str, *, hold: bool = True) -> RowMapping:
    table = tables.arrival
    wanted = select(table).where(table.c.tenant == tenant, table.c.id == key, table.c.waits != Waits.ASIDE)
    row = connection.execute(wanted.with_for_update() if hold else wanted).mappings().first()
    if row is None:
        raise NoSuchArrival(f"The queue holds nothing of id '{key}'. `exowatch labs queue` lists it")
    return row


def _waiting(row: RowMapping) -> Waiting:
    identifiers, born, reference = content.unpacked(row["person"])
    owner = Owner(tuple((system, value) for system, value in identifiers), born, reference)
    return Waiting(row["id"], row["laboratory"], row["source"], row["waits"], row["results"], owner, row["at"])
