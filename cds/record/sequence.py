"""What laboratories said of results, in the order in which they said it: what is only said again, and what stands.

The order is that in which statements were stored. It decides both: what a laboratory says anew after it had said something
else is no repetition, though it is known to the letter, and it stands.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, func, select

from cds.chart.clock import when
from cds.chart.results import REVISED
from cds.record import content, tables
from cds.record.audit import after
from cds.record.ownership import Owner, Waits

Json = Mapping[str, Any]

_CLOCKS_DIFFER = timedelta(minutes=1)
"""By how much clocks of several machines may. One that was further ahead was wrong, and does not date what comes after."""


def digest_of(owner: Owner, resources: Iterable[Json]) -> str:
    """The same for the same results of the same person, whenever and by whatever way they came."""
    said = [one for one in resources if one.get("resourceType") != "Provenance"]
    return hashlib.sha256(content.encoded([owner.identifiers, owner.born, owner.reference, said])).hexdigest()


def results_in(resources: Iterable[Json]) -> frozenset[str]:
    """Ids of the Observations among resources."""
    return frozenset(str(one["id"]) for one in resources if one.get("resourceType") == "Observation")


def said_before(
    connection: Connection, tenant: str, laboratory: str, digest: str, resources: Iterable[Json], *, sent_again: bool
) -> tuple[RowMapping | None, str]:
    """The arrival of which results are a repetition, if they are; else None, and the digest under which they are stored.

    `sent_again`: it is known that the message is the same, so that nothing is said anew.
    """
    arrival, results = tables.arrival, results_in(resources)
    while True:
        known = select(arrival).where(
            arrival.c.tenant == tenant, arrival.c.laboratory == laboratory, arrival.c.digest == digest
        )
        row = connection.execute(known).mappings().first()
        if row is None or sent_again or row["waits"] == Waits.ASIDE:
            return row, digest
        since = _overtaken_by(connection, row, results)
        if not since:
            return row, digest
        digest = hashlib.sha256(f"{digest} {since}".encode()).hexdigest()


def _overtaken_by(connection: Connection, row: RowMapping, results: frozenset[str]) -> str:
    """The id of the first arrival after one in which its laboratory speaks of one of its results too; "" if there is none.

    Of the same patient; of nobody yet, of the same person.
    """
    arrival = tables.arrival.c
    same = [arrival.patient_id == row["patient_id"]]
    if row["patient_id"] is None:
        same = [arrival.patient_id.is_(None), arrival.waits == row["waits"], arrival.person == row["person"]]
    later = select(arrival.id, arrival.person, arrival.resources).where(
        arrival.tenant == row["tenant"], arrival.laboratory == row["laboratory"], arrival.at > row["at"], *same
    )
    for one in connection.execute(later.order_by(arrival.at, arrival.id)).mappings():
        if not takes_back(one) and results & results_in(content.unpacked(one["resources"])):
            return str(one["id"])
    return ""


def moment(connection: Connection, patient: str, at: str) -> str:
    """When what comes at `at` is stored as having come: after all that came of the patient before."""
    arrival = tables.arrival.c
    last = connection.execute(select(func.max(arrival.at)).where(arrival.patient_id == patient)).scalar()
    if not last or last < at:
        return at
    now = datetime.fromisoformat(at)
    return after(last, now) if datetime.fromisoformat(last) - now < _CLOCKS_DIFFER else at


def digest_of_taking(arrival: str, key: str) -> str:
    """Of the row `key`, which takes an arrival back from a patient."""
    return hashlib.sha256(content.encoded([arrival, key])).hexdigest()


def takes_back(row: RowMapping) -> bool:
    """Whether a patient's row is not what a laboratory said, but takes back what was given to the patient: it names nobody."""
    return not content.unpacked(row["person"])


def is_undone(row: RowMapping, patient: str, theirs: Iterable[RowMapping]) -> bool:
    """Whether a row takes back what is the patient's after all: it was given back, or they and its owner became one."""
    # Before it was made of the row's own id, the digest was made of the patient's and of the time.
    earlier = [hashlib.sha256(content.encoded([one["id"], patient, row["at"]])).hexdigest() for one in theirs]
    return row["digest"] in {*(digest_of_taking(one["id"], row["id"]) for one in theirs), *earlier}


def standing(said: Sequence[Json]) -> list[Json]:
    """Resources in the order in which they came, without revisions after which the laboratory said the result anew.

    A result that comes for the first time after its revision was only late, and one that was reported before it is old:
    then the revision stands.
    """
    revisions: dict[str, list[int]] = defaultdict(list)
    gone: set[int] = set()
    original: set[str] = set()
    for number, one in enumerate(said):
        if one.get("resourceType") != "Observation":
            continue
        key, status = str(one["id"]), one.get("status")
        if status in REVISED:
            revisions[key].append(number)
        elif status == "final":
            if key in original:
                gone |= {earlier for earlier in revisions[key] if not _older(one, said[earlier])}
            original.add(key)
    return [one for number, one in enumerate(said) if number not in gone]


def _older(one: Json, other: Json) -> bool:
    """Whether it was reported before the other; False if that is not known."""
    reported, than = (when(each.get("issued")) for each in (one, other))
    if reported is None or than is None or reported.instant is None or than.instant is None:
        return False
    return reported.instant < than.instant
