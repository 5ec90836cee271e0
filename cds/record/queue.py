"""The queue: results of which it is not known whose they are, until somebody says so or their patient becomes known."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sqlalchemy import Connection, RowMapping, insert, select, tuple_, update

from cds.errors import ExowatchError
from cds.record import content, tables
from cds.record.audit import Entry, append, now, salted
from cds.record.claims import forget, holders, note, same_of
from cds.record.database import Database
from cds.record.identity import Identity, held_survivor, patient_of, surviving, survivor
from cds.record.meant import Meant, name_anew, still
from cds.record.ownership import (
    Owner,
    Person,
    Resolve,
    Waits,
    described,
    identify,
    make_due,
    outlook,
    owners,
    people,
    whose,
)
from cds.record.sequence import digest_of_taking
from cds.record.sought import SEEKING, perhaps_found, seekers_of, stop_seeking

Json = Mapping[str, Any]


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
    given: str = ""  # the patient to whom they were given since, as an address
    by: str = ""  # who did so
    held: tuple[str, ...] = ()  # of whom the laboratory said the same results before, as addresses


@dataclass(frozen=True, slots=True)
class Stranger:
    """Somebody whose results wait, and where in the queue: (when they came, their id)."""

    tenant: str
    owner: Owner
    place: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Welcomed:
    """What was in the queue for a patient whose record is read."""

    found: int = 0  # arrivals that are theirs from now on
    waiting: int = 0  # results that may be theirs and wait for somebody


class NoSuchArrival(ExowatchError):
    """The queue holds nothing of that id."""


class Queue:
    """Results that wait; safe to share between threads and processes."""

    def __init__(self, database: Database):
        self.database = database

    def waiting(self, tenant: str) -> list[Waiting]:
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
            found = _waiting(row)
            if row["patient_id"] is not None:
                found = replace(found, given=surviving(connection, row["patient_id"]).address, by=row["by"])
            resources = list(content.unpacked(row["resources"]))
            held = holders(connection, row, resources, row["patient_id"] or "")
            found = replace(found, held=tuple(surviving(connection, one).address for one in held))
        return found, resources

    def candidates(self, tenant: str, key: str) -> list[Person]:
        """The patients whom the identifiers of results lead to, as their own records have them. Raises `NoSuchArrival`."""
        with self.database.reading() as connection:
            owner = _owner(_arrival(connection, tenant, key, hold=False)["person"])
            found = owners(connection, tenant, owner)
            led = dict.fromkeys(surviving(connection, one) for one in sorted(found))
            return [_described(connection, who) for who in led]

    def known(self, who: Identity) -> Person:
        """A patient as their own record has them: without any of it, if this record holds nothing of them."""
        with self.database.reading() as connection:
            return _described(connection, who)

    def assign(self, tenant: str, key: str, who: Identity, by: str, at: str = "") -> list[Identity]:
        """Give results to a patient, who is made if new; for whom an evaluation is due. `at` is when it was said, if not now.

        Results given to a wrong patient before move: to that one they read as entered in error from then on; so do the same
        results to whom the laboratory said them before.
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
            for other in holders(connection, arrival, content.unpacked(arrival["resources"]), row["id"]):
                before = held_survivor(connection, other)
                self._take_back(connection, entry, arrival, before, by, at)
                due.append(Identity(before["tenant"], before["server"], before["reference"]))
            changed = {"patient_id": row["id"], "waits": "", "by": by}
            connection.execute(update(tables.arrival).where(tables.arrival.c.id == arrival["id"]), changed)
            entry.wrote(tables.arrival, {**arrival, **changed}, row["salt"])
            stop_seeking(connection, arrival["id"])
            make_due(connection, row["id"])
            append(self.database, connection, entry)
        return due

    def _take_back(
        self, connection: Connection, entry: Entry, arrival: RowMapping, row: RowMapping, by: str, at: str
    ) -> None:
        """What was not this patient's stays with them as entered in error, so that what was said on it is withdrawn.

        It says nothing any more once the results are theirs again (`sequence.is_undone`).
        """
        sent = [one for one in content.unpacked(arrival["resources"]) if _is_result(one)]
        resources = [_in_error(one) for one in same_of(connection, arrival, sent, row["id"])]
        key = str(uuid.uuid4())
        values = {
            **arrival, "id": key, "patient_id": row["id"], "digest": digest_of_taking(arrival["id"], key), "by": by, "at": at,
            "person": content.packed([]), "resources": content.packed(resources), "results": len(resources), "waits": "",
        }  # fmt: skip
        connection.execute(insert(tables.arrival), values)
        entry.wrote(tables.arrival, values, row["salt"])
        note(connection, values, resources)
        make_due(connection, row["id"])

    def set_aside(self, tenant: str, key: str, by: str) -> None:
        """Results that are not for this record: what they say is deleted, and sent again they stay away. Raises `NoSuchArrival`."""
        with self.database.writing() as connection:
            arrival = _arrival(connection, tenant, key)
            if arrival["patient_id"] is not None:
                raise NoSuchArrival(f"{key} waits for nobody: it was given to a patient. Give it to another instead")
            for other in holders(connection, arrival, content.unpacked(arrival["resources"]), ""):
                make_due(connection, other)
            gone = {
                "waits": Waits.ASIDE.value, "by": by, "person": content.packed([]), "resources": content.packed([]),
            }  # fmt: skip
            connection.execute(update(tables.arrival).where(tables.arrival.c.id == arrival["id"]), gone)
            stop_seeking(connection, arrival["id"])
            forget(connection, select(tables.arrival.c.id).where(tables.arrival.c.id == arrival["id"]))
            append(self.database, connection, Entry(tenant, by, "set-aside"))

    def match(self) -> int:
        """Look again whose the results in the queue are, as patients become known here; how many found theirs.

        Raises `RecordUnavailable`.
        """
        with self.database.reading() as connection:
            rows = perhaps_found(connection)
        return self._match_those(rows)

    def _match_those(self, rows: Sequence[RowMapping]) -> int:
        with self.database.reading() as connection:
            waiting = [(row, _owner(row["person"])) for row in rows]
            changed = [(row, owner) for row, owner in waiting if _outlook(connection, row, owner) != row["waits"]]
        return sum(self._matched(row["id"], row["tenant"], owner) for row, owner in changed)

    def welcome(self, known: Meant, person: Person) -> Welcomed:
        """Give a patient whose record is read what waits for them, before it is evaluated. Raises `RecordUnavailable`."""
        with self.database.reading() as connection:
            rows = seekers_of(connection, known.who.tenant, known.who.reference, person.identifiers)
        if not rows:
            return Welcomed()
        self.database.in_time(partial(self._introduce, known, person))
        found = self._match_those(rows)
        with self.database.reading() as connection:
            row = survivor(connection, replace(known.who, server=known.base))
            who = surviving(connection, row["id"]) if row is not None else None
            left = seekers_of(connection, known.who.tenant, known.who.reference, person.identifiers)
            named = [(one["results"], owners(connection, one["tenant"], _owner(one["person"]))) for one in left]
            waiting = sum(count for count, keys in named if who in {surviving(connection, key) for key in keys})
        return Welcomed(found, waiting)

    def _introduce(self, known: Meant, person: Person) -> None:
        """Note by what the patient is known, so that what waits can be theirs."""
        with self.database.writing() as connection:
            if not still(self.database, connection, known):
                return  # somebody else did meanwhile
            row, made = patient_of(self.database, connection, known.who, now())
            entry = Entry(known.who.tenant, "exowatch", "match", salted(row["id"], row["salt"]))
            if made:
                entry.wrote(tables.patient, dict(row), row["salt"])
            if known.base != known.who.server:
                name_anew(connection, entry, known)
            identify(connection, entry, row, person)
            if entry.rows:
                append(self.database, connection, entry)

    def strangers(self, after: tuple[str, str], most: int) -> list[Stranger]:
        """Of whom an EHR may know more: those whose results wait, in the order in which they came, from a place on."""
        arrival = tables.arrival.c
        wanted = select(arrival.id, arrival.tenant, arrival.person, arrival.at).where(
            arrival.patient_id.is_(None), arrival.waits.in_(SEEKING), tuple_(arrival.at, arrival.id) > after
        )
        with self.database.reading() as connection:
            rows = connection.execute(wanted.order_by(arrival.at, arrival.id).limit(most)).all()
        return [Stranger(row.tenant, _owner(row.person), (row.at, row.id)) for row in rows]

    def ask(self, stranger: Stranger, resolve: Resolve) -> bool:
        """Ask EHRs whose results are; whether they found theirs. Raises `Unanswered`, `RecordUnavailable`."""
        named = people(self.database, stranger.tenant, stranger.owner, resolve)
        return bool(named) and self._matched(stranger.place[1], stranger.tenant, stranger.owner, named)

    def _matched(self, key: str, tenant: str, owner: Owner, named: Sequence[Person] = ()) -> bool:
        return self.database.in_time(partial(self._match, tenant, key, owner, named))

    def _match(self, tenant: str, key: str, owner: Owner, named: Sequence[Person]) -> bool:
        with self.database.writing() as connection:
            try:
                row = _arrival(connection, tenant, key)
            except NoSuchArrival:  # set aside meanwhile
                return False
            if row["patient_id"] is not None:
                return False
            entry = Entry(tenant, "exowatch", "match")
            patient, waits = whose(self.database, connection, entry, tenant, owner, named)
            others = holders(connection, row, content.unpacked(row["resources"]), patient["id"]) if patient else []
            if others:
                patient, waits = None, Waits.CLAIMED
            if waits == row["waits"]:
                return False
            for other in others:
                make_due(connection, other)
            changed = {"waits": waits, "patient_id": patient["id"] if patient is not None else None}
            connection.execute(update(tables.arrival).where(tables.arrival.c.id == key), changed)
            if patient is not None:
                entry.wrote(tables.arrival, {**row, **changed}, patient["salt"])
                stop_seeking(connection, key)
                make_due(connection, patient["id"])
            append(self.database, connection, entry)
        return patient is not None


def _outlook(connection: Connection, row: RowMapping, owner: Owner) -> str | None:
    """What `Queue._match` would say of why results wait, without holding anybody."""
    waits = outlook(connection, row["tenant"], owner)
    if waits or row["waits"] != Waits.CLAIMED:
        return waits
    (who,) = {surviving(connection, key) for key in owners(connection, row["tenant"], owner)}
    patient = survivor(connection, who)
    resources = content.unpacked(_arrival(connection, row["tenant"], row["id"], hold=False)["resources"])
    return row["waits"] if patient is None or holders(connection, row, resources, patient["id"]) else waits


def _described(connection: Connection, who: Identity) -> Person:
    row = survivor(connection, who)
    return Person(who) if row is None else described(connection, row["id"], who)


def _is_result(resource: Json) -> bool:
    return resource.get("resourceType") == "Observation"


def _in_error(observation: Json) -> dict[str, Any]:
    """An Observation without what was measured."""
    kept = ("resourceType", "id", "identifier", "category", "code", "effectiveDateTime")
    return {name: observation[name] for name in kept if name in observation} | {"status": "entered-in-error"}


def _arrival(connection: Connection, tenant: str, key: str, *, hold: bool = True) -> RowMapping:
    table = tables.arrival
    wanted = select(table).where(table.c.tenant == tenant, table.c.id == key, table.c.waits != Waits.ASIDE)
    row = connection.execute(wanted.with_for_update() if hold else wanted).mappings().first()
    if row is None:
        raise NoSuchArrival(f"The queue holds nothing of id '{key}'. `exowatch labs queue` lists it")
    return row


def _waiting(row: RowMapping) -> Waiting:
    return Waiting(
        row["id"], row["laboratory"], row["source"], row["waits"], row["results"], _owner(row["person"]), row["at"]
    )  # fmt: skip


def _owner(packed: bytes) -> Owner:
    identifiers, born, reference = content.unpacked(packed)
    return Owner(tuple((system, value) for system, value in identifiers), born, reference)
