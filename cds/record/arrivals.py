"""Results that laboratories send: stored once, and given to the patient whose they are, or to the queue.

What is stored makes an evaluation due, which `Recorder.record` settles.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Connection, RowMapping, Table, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite

from cds.record import content, tables
from cds.record.audit import Checkpoints, Entry, append, canonical, now
from cds.record.claims import disputed, holders, names, note
from cds.record.database import Database
from cds.record.identity import Identity, survivor
from cds.record.ownership import Owner, Person, Resolve, Unanswered, Waits, make_due, nobody, people, whose
from cds.record.sequence import digest_of, is_undone, moment, said_before, standing, takes_back
from cds.record.sought import seek

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """The results of one person in a delivery, as FHIR: Observations, their Specimens and Provenance."""

    owner: Owner
    resources: Sequence[Json]
    results: int


@dataclass(frozen=True, slots=True)
class Delivered:
    """What a laboratory sent at once; `refused` are [where, what, why, results], without what stood there.

    `numbered`: its bytes hold a number of its own, as messages do, so that the same bytes are the same sending.
    """

    tenant: str
    laboratory: str
    source: str
    raw: bytes
    at: str  # when it came
    counted: int
    mapped: int
    refused: Sequence[Sequence[Any]]
    parts: Sequence[Part]
    numbered: bool = False


@dataclass(slots=True)
class Kept:
    """What became of a delivery, in results: stored now, known before, and of all of them how many wait for somebody."""

    stored: int = 0
    known: int = 0
    aside: int = 0  # of those that were known: somebody said that they are nobody's here
    waiting: dict[str, int] = field(default_factory=dict)  # why they wait → how many
    patients: list[Identity] = field(default_factory=list)  # for whom an evaluation is due

    def wait(self, why: str, results: int) -> None:
        """Count results that wait for that reason."""
        self.waiting[why] = self.waiting.get(why, 0) + results


@dataclass(frozen=True, slots=True)
class Sent:
    """What laboratories sent of a patient and stands, oldest first, its subject as their own record names them."""

    resources: Sequence[Json] = ()
    due: str = ""  # since when an evaluation is due; "" if none is
    disputed: int = 0  # results that are not among them: their laboratory says them of another patient too


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
        resolve: Resolve = nobody,
        step: Callable[[], None] = lambda: None,
    ) -> Kept:
        """Store a delivery, calling `step` after each part; what stands already changes nothing.

        `resolve` is asked about whom nobody knows here, and not again once it raised `Unanswered`: their results wait.
        Raises `RecordUnavailable`: then an unknown part of it may have been stored; sent again, the rest is.
        """
        kept, again = Kept(), delivered.numbered and self._came_before(delivered)
        batches = [delivered.parts[at : at + _AT_ONCE] for at in range(0, len(delivered.parts), _AT_ONCE)] or [()]
        for number, batch in enumerate(batches, 1):
            found: list[Sequence[Person]] = []
            for part in batch:
                try:
                    known = self._is_known(delivered, part, again)
                    found.append(() if known else people(self.database, delivered.tenant, part.owner, resolve))
                except Unanswered:
                    found.append(())
                    resolve = nobody
            pairs = _in_lock_order(zip(batch, found, strict=True))
            last = number == len(batches)
            self.database.in_time(partial(self._write, delivered, pairs, last, kept, again))
            for _ in batch:
                step()
        return kept

    def _came_before(self, delivered: Delivered) -> bool:
        delivery = tables.delivery
        wanted = select(delivery.c.id).where(
            delivery.c.tenant == delivered.tenant,
            delivery.c.laboratory == delivered.laboratory,
            delivery.c.digest == hashlib.sha256(delivered.raw).hexdigest(),
        )
        with self.database.reading() as connection:
            return connection.execute(wanted).first() is not None

    def _is_known(self, delivered: Delivered, part: Part, again: bool) -> bool:
        with self.database.reading() as connection:
            return self._before(connection, delivered, part, again)[0] is not None

    @staticmethod
    def _before(connection: Connection, delivered: Delivered, part: Part, again: bool) -> tuple[RowMapping | None, str]:
        digest = digest_of(part.owner, part.resources)
        return said_before(connection, delivered.tenant, delivered.laboratory, digest, part.resources, sent_again=again)

    def _write(
        self,
        delivered: Delivered,
        batch: Sequence[tuple[Part, Sequence[Person]]],
        last: bool,
        kept: Kept,
        again: bool,
    ) -> None:
        with self.database.writing() as connection:
            entry = Entry(delivered.tenant, delivered.laboratory, "receive")
            for part, named in batch:
                self._store(connection, entry, delivered, part, named, kept, again)
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

    def _store(
        self,
        connection: Connection,
        entry: Entry,
        delivered: Delivered,
        part: Part,
        named: Sequence[Person],
        kept: Kept,
        again: bool,
    ) -> None:
        before, digest = self._before(connection, delivered, part, again)
        if before is not None:
            kept.known += part.results
            if before["waits"] == Waits.ASIDE:
                kept.aside += part.results
            elif before["patient_id"] is None:
                kept.wait(before["waits"], part.results)
            return
        sent = {"tenant": delivered.tenant, "laboratory": delivered.laboratory}
        row, waits = whose(self.database, connection, entry, delivered.tenant, part.owner, named)
        others = holders(connection, sent, part.resources, row["id"]) if row is not None else []
        if others:
            row, waits = None, Waits.CLAIMED
        at = moment(connection, row["id"], delivered.at) if row is not None else delivered.at
        key = str(uuid.uuid4())
        values = {
            **sent, "id": key, "patient_id": row["id"] if row is not None else None, "source": delivered.source[:255], "digest": digest,
            "person": content.packed([part.owner.identifiers, part.owner.born, part.owner.reference]),
            "resources": content.packed(part.resources), "results": part.results, "waits": waits, "by": "", "at": at,
        }  # fmt: skip
        if not self._insert(connection, tables.arrival, values):  # somebody else stored it meanwhile
            kept.known += part.results
            return
        kept.stored += part.results
        note(connection, values, part.resources)
        for other in others:
            make_due(connection, other)
        if row is None:
            kept.wait(waits, part.results)
            seek(connection, key, delivered.tenant, part.owner)
            return
        entry.wrote(tables.arrival, values, row["salt"])
        make_due(connection, row["id"])
        who = Identity(row["tenant"], row["server"], row["reference"])
        if who not in kept.patients:
            kept.patients.append(who)

    # for evaluations ------------------------------------------------------------------------------------------------

    def of(self, who: Identity) -> Sent:
        """What was sent of a patient and stands. Raises `RecordUnavailable`."""
        with self.database.reading() as connection:
            row = survivor(connection, who)
            if row is None:
                return Sent()
            found = connection.execute(_SENT, {"patient": row["id"]}).mappings().all()
            others = disputed(connection, row["id"]) if found else frozenset()
        doubtful = {
            key
            for sent in (found if others else ())
            for key, called in names(content.unpacked(sent["resources"])).items()
            if any((sent["laboratory"], name) in others for name in called)
        }
        said = [sent for sent in found if not takes_back(sent)]
        gone = [sent for sent in found if takes_back(sent) and not is_undone(sent, row["id"], said)]
        stands = standing([one for sent in said for one in _as_evaluated(sent, who.reference)])
        resources = [*stands, *(one for sent in gone for one in _as_evaluated(sent, who.reference))]
        return Sent([one for one in resources if one["id"] not in doubtful], row["due"], len(doubtful))

    def due(self, most: int = 100, without: Collection[Identity] = ()) -> list[Identity]:
        """Patients for whom an evaluation is due, the longest first, but some. Raises `RecordUnavailable`."""
        patient = tables.patient
        wanted = select(patient).where(patient.c.due != "", patient.c.due <= now(), patient.c.merged_into.is_(None))
        wanted = wanted.order_by(patient.c.due, patient.c.id).limit(most + len(without))
        with self.database.reading() as connection:
            rows = connection.execute(wanted).mappings().all()
        found = (Identity(row["tenant"], row["server"], row["reference"]) for row in rows)
        return [one for one in found if one not in without][:most]

    def is_due(self, who: Identity) -> bool:
        """Whether an evaluation of that patient still is: another host may have done it. Raises `RecordUnavailable`."""
        with self.database.reading() as connection:
            row = survivor(connection, who)
        return row is not None and "" < row["due"] <= now()

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


_SENT = (
    select(*(tables.arrival.c[name] for name in ("id", "laboratory", "digest", "person", "resources", "at")))
    .where(tables.arrival.c.patient_id == bindparam("patient"))
    .order_by(tables.arrival.c.at, tables.arrival.c.id)
)


def _in_lock_order(parts: Iterable[tuple[Part, Sequence[Person]]]) -> list[tuple[Part, Sequence[Person]]]:
    """In an order that does not depend on the delivery, so that two deliveries never wait for one another."""
    return sorted(parts, key=lambda one: (one[0].owner.identifiers, one[0].owner.reference))


def _as_evaluated(sent: RowMapping, reference: str) -> Iterable[dict[str, Any]]:
    """Resources as the chart reads them: of that patient, and each known since it came."""
    for resource in content.unpacked(sent["resources"]):
        if resource["resourceType"] != "Provenance":
            meta = {**resource.get("meta", {}), "lastUpdated": sent["at"]}
            yield {**resource, "meta": meta, "subject": {"reference": reference}}
