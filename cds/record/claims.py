"""The same result of two patients: a laboratory says it of one, and later of another without having withdrawn it.

One of the two is wrong, and nobody here can tell which. So the later one waits for somebody, and until they have said
whose it is the earlier one is not used either.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Select, bindparam, delete, insert, select

from cds.record import content, tables
from cds.record.ownership import Waits

Json = Mapping[str, Any]
_GONE = ("entered-in-error", "cancelled")


def names(resources: Iterable[Json]) -> dict[str, frozenset[str]]:
    """What their laboratory calls results, whosever they are, by the id of each: that id, and its own number with the day of

    the specimen. Digests. What only the time of collection tells from other results has no number: it may be anybody's.
    """
    results = [one for one in resources if one.get("resourceType") == "Observation"]
    systems = {coding.get("system") for one in results for coding in one.get("code", {}).get("coding", ())}
    found: dict[str, frozenset[str]] = {}
    for one in results:
        day = str(one.get("effectiveDateTime", ""))[:10]
        numbers = [
            f"{number['value']}\n{day}"
            for number in one.get("identifier", ())
            if number.get("system") in systems and not str(number.get("value", "|")).startswith("|")
        ]
        own = str(one["id"])
        found[own] = frozenset(hashlib.sha256(text.encode()).hexdigest() for text in (own, *numbers))
    return found


def note(connection: Connection, arrival: Mapping[Any, Any], resources: Iterable[Json]) -> None:
    """Keep by what the results of a stored arrival are found again."""
    rows = [
        {"arrival_id": arrival["id"], "tenant": arrival["tenant"], "laboratory": arrival["laboratory"], "result": name}
        for name in sorted(_all(names(resources)))
    ]
    if rows:
        connection.execute(insert(tables.claim), rows)


def forget(connection: Connection, arrivals: Select[Any]) -> None:
    """What arrivals said is deleted: nothing is found by it any more."""
    connection.execute(delete(tables.claim).where(tables.claim.c.arrival_id.in_(arrivals)))


def holders(connection: Connection, arrival: Mapping[Any, Any], resources: Iterable[Json], patient: str) -> list[str]:
    """Row ids of the other patients of whom the laboratory has said one of these results, and not withdrawn it.

    What is itself a withdrawal disputes nobody's result.
    """
    resources = list(resources)
    gone = {one["id"] for one in resources if one.get("status") in _GONE}
    wanted = _all({key: said for key, said in names(resources).items() if key not in gone})
    claim = tables.claim.c
    if not wanted:
        return []
    found = (
        select(tables.arrival.c.patient_id, tables.arrival.c.resources)
        .join(tables.claim, claim.arrival_id == tables.arrival.c.id)
        .where(
            claim.tenant == arrival["tenant"], claim.laboratory == arrival["laboratory"], claim.result.in_(wanted),
            tables.arrival.c.patient_id.is_not(None), tables.arrival.c.patient_id != patient,
        )
        .order_by(tables.arrival.c.at, tables.arrival.c.id)
    )  # fmt: skip
    last: dict[tuple[str, str], bool] = {}  # patient, name → whether it stands
    for row in connection.execute(found).all():
        stored = content.unpacked(row.resources)
        called = names(stored)
        for one in stored:
            for name in called.get(one["id"], frozenset()) & wanted:
                last[row.patient_id, name] = one.get("status") not in _GONE
    return sorted({holder for (holder, _), stands in last.items() if stands})


def same_of(connection: Connection, arrival: Mapping[Any, Any], results: Iterable[Json], patient: str) -> list[Json]:
    """The results of an arrival as a patient has them: its own, or those that the laboratory said of the patient before."""
    if arrival["patient_id"] == patient:
        return list(results)
    wanted, table = _all(names(results)), tables.arrival.c
    mine = select(table.resources).where(table.patient_id == patient, table.laboratory == arrival["laboratory"])
    found: dict[str, Json] = {}
    for row in connection.execute(mine.order_by(table.at, table.id)):
        stored = content.unpacked(row.resources)
        called = names(stored)
        found |= {one["id"]: one for one in stored if called.get(one["id"], frozenset()) & wanted}
    return list(found.values())


def disputed(connection: Connection, patient: str) -> frozenset[tuple[str, str]]:
    """(laboratory, name) of the patient's results that wait as another's."""
    return frozenset((row.laboratory, row.result) for row in connection.execute(_DISPUTED, {"patient": patient}))


def _all(called: Mapping[str, frozenset[str]]) -> frozenset[str]:
    return frozenset().union(*called.values())


_waiting, _own, _theirs = tables.arrival.alias(), tables.claim.alias(), tables.claim.alias()
_DISPUTED = (
    select(_own.c.laboratory, _own.c.result)
    .join(tables.arrival, tables.arrival.c.id == _own.c.arrival_id)
    .join(
        _theirs,
        (_theirs.c.tenant == _own.c.tenant)
        & (_theirs.c.laboratory == _own.c.laboratory)
        & (_theirs.c.result == _own.c.result),
    )
    .join(_waiting, _waiting.c.id == _theirs.c.arrival_id)
    .where(
        tables.arrival.c.patient_id == bindparam("patient"),
        _waiting.c.patient_id.is_(None),
        _waiting.c.waits == Waits.CLAIMED.value,
    )
    .distinct()
)
