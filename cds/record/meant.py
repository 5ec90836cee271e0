"""Whom a request means: the same patient however it spells their FHIR server, or names none; never another client's.

A server is told by its base URL. What a client says of a server counts only if that server is on its list; what it says of any
other names patients whom that client alone knows. Where nobody said of which server a patient is, it is the one patient of that
id whom the client may mean, unless what is known of the two contradicts it. Nothing is guessed: where two are left, both stay
what they are, and `Meant.elsewhere` says that there may be more to say about the patient than one of them holds.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, RowMapping, and_, or_, select, update

from cds.addresses import origin
from cds.record import tables
from cds.record.audit import Entry
from cds.record.database import Database
from cds.record.identity import Identity, called, survivor_of
from cds.record.lifecycle import Standing
from cds.record.spelling import published, respelt, scope, scoped

_MOST_IDENTIFIERS = 50
_OPEN = tuple(one.value for one in Standing if one.is_open)


@dataclass(frozen=True, slots=True)
class Reach:
    """Whose patients a client may mean: those of the servers on its list, and those whom it alone named.

    `home` is the base URL of its only server; "" if it has several, or none is known.
    """

    client: str
    origins: frozenset[str] = frozenset()
    home: str = ""

    def base(self, server: str) -> str:
        """What stands for a server that the client said, or "" if it said none."""
        if server:
            return server if origin(server) in self.origins else scoped(self.client, server)
        return self.home or scope(self.client)

    def holds(self, stored: str) -> bool:
        """Whether patients of a server, as it stands in the record, may be meant."""
        try:
            return origin(stored) in self.origins
        except ValueError:
            return stored == scope(self.client) or stored.startswith(scoped(self.client, ""))


@dataclass(frozen=True, slots=True)
class Asking:
    """How a request names a patient, and what their own record states of them. `reach` is None where anybody may mean anybody."""

    tenant: str
    reference: str
    server: str = ""  # as `spelling.server` has it; "" if it was not said
    reach: Reach | None = None
    identifiers: tuple[tuple[str, str], ...] = ()
    born: str = ""
    replaces: tuple[str, ...] = ()  # references of patients whose history becomes this one's

    @property
    def base(self) -> str:
        """What stands for the patient's server."""
        return self.server if self.reach is None else self.reach.base(self.server)

    @property
    def unsaid(self) -> str:
        """What stands for a server that nobody said."""
        return "" if self.reach is None else scope(self.reach.client)

    def of(self, reference: str, base: str) -> Asking:
        """The same about another patient of the same server."""
        return replace(self, reference=reference, server=published(base), identifiers=(), replaces=())


@dataclass(frozen=True, slots=True)
class Meant:
    """The patient whom a request means."""

    asking: Asking
    who: Identity  # as the record names them
    key: str  # their row, or that of the patient into whom they were merged; "" if the record does not know them
    base: str  # what stands for their server from now on: another than before, if nobody had said it so far
    elsewhere: bool  # results or open advice of somebody who may be the same stand under another name
    held: frozenset[tuple[str, str]]  # identifiers by which results find that other one: they are not to find two


def meant(connection: Connection, asking: Asking) -> Meant:
    """Whom it is."""
    rows = called(connection, asking.tenant, asking.reference)
    last = {row["id"]: str(survivor_of(connection, row)["id"]) for row in rows}
    alone = all(row["server"] == asking.base for row in rows)
    against = frozenset[str]() if alone else _against(connection, asking, {*last.values()})
    chosen = _chosen(asking, rows, last, against)
    stored = chosen["server"] if chosen is not None else asking.base
    base = asking.base if asking.base != asking.unsaid else stored
    own = last[chosen["id"]] if chosen is not None else ""
    holders, alike = _holders(connection, asking), {*last.values()} - against - {own}
    replaced = [meant(connection, asking.of(one, base)) for one in asking.replaces]
    others = (alike | holders.keys() | {one.key for one in replaced}) - {own, ""}
    elsewhere = _has_something(connection, others) or any(one.elsewhere for one in replaced)
    held = {one for other in alike for one in holders.get(other, ())} - holders.get(own, set())
    who = Identity(asking.tenant, stored, asking.reference)
    return Meant(asking, who, own, base, elsewhere, frozenset(held))


def still(database: Database, connection: Connection, known: Meant) -> bool:
    """Whether a patient who is to be made, or named anew, is still the one; nobody else makes one of that id until the end."""
    if known.key and known.base == known.who.server:
        return True
    name = f"{known.who.tenant}\n{known.who.reference}".encode()
    database.lock(connection, int.from_bytes(hashlib.sha256(name).digest()[:8], "big", signed=True))
    return meant(connection, known.asking) == known


def name_anew(connection: Connection, entry: Entry, known: Meant) -> None:
    """Keep the patient as one of the server that was said."""
    patient, who = tables.patient, known.who
    wanted = select(patient).where(
        patient.c.tenant == who.tenant, patient.c.server == who.server, patient.c.reference == who.reference
    )
    row = connection.execute(wanted).mappings().one()
    connection.execute(update(patient).where(patient.c.id == row["id"]), {"server": known.base})
    entry.wrote(patient, {**row, "server": known.base}, row["salt"])


def replaced_by(connection: Connection, known: Meant | None, who: Identity, reference: str) -> Identity:
    """Whom an EHR means by a patient whom another replaces: of the same server, as far as it was said."""
    if known is None:
        return replace(who, reference=reference)
    found = meant(connection, known.asking.of(reference, known.base))
    return found.who if found.key else Identity(who.tenant, known.base, reference)


def _chosen(
    asking: Asking, rows: Sequence[RowMapping], last: dict[str, str], against: Collection[str]
) -> RowMapping | None:
    here = [row for row in rows if asking.reach is None or asking.reach.holds(row["server"])]
    exact = [row for row in here if respelt(row["server"]) == asking.base]
    exact.sort(key=lambda row: row["server"] != asking.base)
    if exact and asking.base != asking.unsaid:
        return exact[0]
    possible = {last[row["id"]]: row for row in here if last[row["id"]] not in against}
    if len(possible) != 1:
        return exact[0] if exact else None
    (row,) = possible.values()
    # Of the patient of one server a request about another says nothing.
    return row if asking.base == asking.unsaid or row["server"] == asking.unsaid else None


def _holders(connection: Connection, asking: Asking) -> dict[str, set[tuple[str, str]]]:
    """Which of the identifiers other patients, and this one, have."""
    table, found = tables.identifier.c, defaultdict[str, set[tuple[str, str]]](set)
    stated = [one for one in asking.identifiers if all(one)][:_MOST_IDENTIFIERS]
    if stated:
        either = or_(*(and_(table.system == system, table.value == value) for system, value in stated))
        wanted = select(table.patient_id, table.system, table.value)
        for row in connection.execute(wanted.where(table.tenant == asking.tenant, table.ended == "", either)):
            found[row.patient_id].add((row.system, row.value))
    return dict(found)


def _against(connection: Connection, asking: Asking, patients: Collection[str]) -> frozenset[str]:
    """Those of whom something is known that contradicts what is known of the patient."""
    table, person = tables.identifier.c, tables.person.c
    known = select(table.patient_id, table.system, table.value, table.born)
    rows = connection.execute(known.where(table.patient_id.in_(patients), table.ended == "")).all()
    named = connection.execute(select(person.patient_id, person.born).where(person.patient_id.in_(patients))).all()
    born, theirs = defaultdict[str, set[str]](set), defaultdict[str, set[tuple[str, str]]](set)
    for row in (*rows, *named):
        born[row.patient_id] |= {row.born} if _is_day(row.born) else set()
    for row in rows:
        theirs[row.patient_id].add((row.system, row.value))
    return frozenset(
        one
        for one in patients
        if (_is_day(asking.born) and born[one] and asking.born not in born[one])
        or _disagree(theirs[one], asking.identifiers)
    )


def _disagree(theirs: set[tuple[str, str]], stated: Iterable[tuple[str, str]]) -> bool:
    """Whether an authority gave both a number, and nobody gave them the same."""
    ours = {*stated}
    return theirs.isdisjoint(ours) and not {one for one, _ in theirs}.isdisjoint(one for one, _ in ours)


def _is_day(born: str) -> bool:
    return len(born) == 10


def _has_something(connection: Connection, patients: Collection[str]) -> bool:
    """Whether there are results or open advice of one of them."""
    if not patients:
        return False
    arrival, advisory = tables.arrival.c, tables.advisory.c
    sent = select(arrival.id).where(arrival.patient_id.in_(patients)).limit(1)
    advised = select(advisory.id).where(advisory.patient_id.in_(patients), advisory.standing.in_(_OPEN)).limit(1)
    return any(connection.execute(one).first() is not None for one in (sent, advised))
