"""By what those are sought whose results wait: so a patient who becomes known finds theirs, however many strangers wait."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, RowMapping, and_, delete, insert, or_, select

from cds.record import tables
from cds.record.ownership import Owner, Waits

_LONGEST = 255
SEEKING = (Waits.NOBODY, Waits.SEVERAL, Waits.CONTRADICTS, Waits.CLAIMED)
"""Why results wait that may find their patient by themselves."""


def seek(connection: Connection, arrival: str, tenant: str, owner: Owner) -> None:
    """Note by what the owner of results that wait is sought."""
    server, _, patient = owner.reference.rpartition("/Patient/")
    names = {*owner.identifiers, (server, f"Patient/{patient}")}
    rows = [
        {"arrival_id": arrival, "tenant": tenant, "system": system, "value": value}
        for system, value in sorted(names)
        if 0 < len(system) <= _LONGEST and 0 < len(value) <= _LONGEST
    ]
    if rows:
        connection.execute(insert(tables.sought), rows)


def stop_seeking(connection: Connection, arrival: str) -> None:
    """Results wait no more."""
    connection.execute(delete(tables.sought).where(tables.sought.c.arrival_id == arrival))


def seekers_of(
    connection: Connection, tenant: str, reference: str, identifiers: Sequence[tuple[str, str]]
) -> list[RowMapping]:
    """Rows of results that wait and are sought by the id of a patient, of whichever server, or by one of their identifiers."""
    arrival, table = tables.arrival.c, tables.sought.c
    either = or_(
        table.value == reference, *(and_(table.system == system, table.value == value) for system, value in identifiers)
    )
    wanted = (
        select(*(arrival[name] for name in ("id", "tenant", "laboratory", "person", "waits", "results")))
        .distinct()
        .join(tables.sought, table.arrival_id == arrival.id)
        .where(table.tenant == tenant, either)
    )
    found = connection.execute(wanted).mappings()
    return sorted(found, key=lambda row: str(row["id"]))


def perhaps_found(connection: Connection) -> list[RowMapping]:
    """Rows of results that wait though a patient may be known by what they are sought by, the oldest first."""
    arrival, sought = tables.arrival.c, tables.sought.c
    identifier, patient = tables.identifier.c, tables.patient.c
    by_identifier = select(sought.arrival_id).join(
        tables.identifier,
        and_(
            identifier.tenant == sought.tenant,
            identifier.system == sought.system,
            identifier.value == sought.value,
            identifier.ended == "",
        ),
    )
    by_reference = select(sought.arrival_id).join(  # of which server, in whatever spelling, is for others to judge
        tables.patient, and_(patient.tenant == sought.tenant, patient.reference == sought.value)
    )
    wanted = select(arrival.id, arrival.tenant, arrival.laboratory, arrival.person, arrival.waits).where(
        arrival.patient_id.is_(None),
        arrival.waits.in_(SEEKING),
        or_(arrival.id.in_(by_identifier), arrival.id.in_(by_reference)),
    )
    return list(connection.execute(wanted.order_by(arrival.at, arrival.id)).mappings())
