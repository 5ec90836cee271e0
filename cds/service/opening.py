"""Whom a call means, and what laboratories sent of them: it is theirs before the call is answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from cds.chart.model import LeftOut
from cds.counting import counted
from cds.record.identity import Identity
from cds.record.meant import Asking, Meant, Reach
from cds.record.ownership import Person
from cds.record.recorder import Recorder
from cds.service.persons import person_of, replaced

_DELIVERED = "delivered"
"""Under which key what laboratories have sent stands beside what was prefetched."""
_ELSEWHERE = LeftOut(
    "record",
    "the patient's results",
    "results or open advice of a patient of that id or record number stand under another FHIR server, or under none",
    "if it is the same patient, name the FHIR server alike in all requests, and have the two merged (exowatch record merge)",
    hides_results=True,
)


@dataclass(frozen=True, slots=True)
class Opened:
    """The patient of a call: as the record means them, and as their own record has them (None if that was not read)."""

    meant: Meant
    person: Person | None
    waiting: int  # results in the queue that may be theirs

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """What may be the patient's and is not used."""
        elsewhere = (_ELSEWHERE,) if self.meant.elsewhere else ()
        if not self.waiting:
            return elsewhere
        reason = "they wait until somebody says whose they are: they may be the patient's"
        return (*elsewhere, _unused(self.waiting, reason))


@dataclass(frozen=True, slots=True)
class Sent:
    """What was prefetched of a patient with what laboratories sent of them, and since when an evaluation of it is due."""

    data: dict[str, Any]
    due: str
    left_out: tuple[LeftOut, ...] = ()


def opened(
    recorder: Recorder, tenant: str, reference: str, server: str, reach: Reach | None, patient: object, at: datetime
) -> Opened:
    """Whom a call means by a reference, with the Patient resource that came with it; results that wait for them find them.

    Raises `RecordUnavailable`.
    """
    stated = person_of(patient, Identity(tenant, server, reference), at.date())
    asking = Asking(
        tenant,
        reference,
        server,
        reach,
        stated.identifiers if stated is not None else (),
        stated.born if stated is not None else "",
        replaced(patient, server),
    )
    meant = recorder.database.in_time(lambda: recorder.meant(asking))
    person = _person(stated, meant)
    if person is None:
        return Opened(meant, None, 0)
    welcomed = recorder.queue.welcome(meant, person)
    if welcomed.found:
        meant = recorder.database.in_time(lambda: recorder.meant(asking))
        person = _person(stated, meant)
    return Opened(meant, person, welcomed.waiting)


def _person(stated: Person | None, meant: Meant) -> Person | None:
    """A person without the identifiers by which results find somebody who may be another."""
    if stated is None:
        return None
    own = tuple(one for one in stated.identifiers if one not in meant.held)
    return replace(stated, who=replace(meant.who, server=meant.base), identifiers=own)


def with_sent(recorder: Recorder, who: Identity, prefetched: Mapping[str, Any]) -> Sent:
    """The data with what laboratories have sent of a patient. Raises `RecordUnavailable`."""
    arrivals = recorder.arrivals
    sent = recorder.database.in_time(lambda: arrivals.of(who))
    left_out: tuple[LeftOut, ...] = ()
    if sent.disputed:
        reason = "the laboratory has sent them as another patient's too: nobody has said yet whose they are"
        left_out = (_unused(sent.disputed, reason),)
    if not sent.resources:
        return Sent(dict(prefetched), sent.due, left_out)
    entries = [{"resource": one} for one in sent.resources]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    return Sent({**prefetched, _DELIVERED: bundle}, sent.due, left_out)


def _unused(results: int, reason: str) -> LeftOut:
    what = counted(results, "laboratory result")
    return LeftOut("record", what, reason, "have the queue worked through (exowatch labs queue)", hides_results=True)
