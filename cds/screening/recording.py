"""Findings of a run into the record, as advice that a board sees: as of now, of patients as a call of the hook would know them.

Recorded is everybody of whom a rule says something, and whomever the record knows already, so that advice whose data are gone is
withdrawn. A patient is evaluated once more for it, with what laboratories have sent of them beside the export, by the desk that
answers hooks too. Nothing is shown to anybody. Whoever was recorded is noted, and not recorded again when a run goes on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from cds.addresses import origin
from cds.chart.versions import newest
from cds.errors import InputError
from cds.reasoning.reasoner import Reasoner
from cds.record.audit import Checkpoints
from cds.record.database import Database, RecordUnavailable, SchemaMismatch
from cds.record.identity import Identity, known_of
from cds.record.recorder import Recorder
from cds.record.spelling import server
from cds.screening.crew import Setup
from cds.screening.lines import Json, resource_of
from cds.screening.partition import keep
from cds.screening.plan import Destination
from cds.screening.shard import Evaluated, Shard, patients_of
from cds.screening.shared import SharedLines
from cds.service.clients import load_clients
from cds.service.desk import Desk
from cds.settings import load_settings

PATIENCE = 30.0
"""Seconds that a run waits for the database; a hook waits far less."""
_SAYS_NOTHING = frozenset({"not-applicable", "out-of-scope"})
_PATIENT = re.compile(r"Patient/[A-Za-z0-9.-]{1,64}")


@dataclass(frozen=True, slots=True)
class Recording:
    """An evaluated shard whose patients are to be recorded."""

    shard: Shard
    done: Evaluated
    to: Destination


def destination(base: str) -> Destination:
    """Into which record of this installation patients of a FHIR server go: that of the clients who may speak of them.

    Raises `InputError` for what is no base URL, and for a server of which no client may speak, or clients of several tenants.
    """
    try:
        found = server(base)
    except ValueError as error:
        raise InputError(
            f"--record '{base}': {error}. Write the base URL of the server that the export comes from, https://ehr.example/fhir"
        ) from None
    settings = load_settings()
    if settings.clients_file is None:
        return Destination(found, settings.tenant)
    clients = load_clients(settings.clients_file, open_mode=settings.open_mode).values()
    tenants = {client.tenant or settings.tenant for client in clients if origin(found) in client.origins}
    if len(tenants) != 1:
        why = (
            "clients of several tenants may speak of its patients" if tenants else "no client may speak of its patients"
        )
        hint = (
            "name them apart, each in a file of its own"
            if tenants
            else "list it under `fhir` of the client whose patients they are"
        )
        raise InputError(f"{found}: {why} ({settings.clients_file}): {hint}")
    return Destination(found, *tenants)


class Unrecorded(msgspec.Struct, frozen=True):
    """A patient who was to be recorded and is not, and why."""

    patient: str
    reason: str


class Recorded(msgspec.Struct, frozen=True):
    """How many patients of a shard are on record, and who is not."""

    number: int
    patients: int
    failed: list[Unrecorded]


def report_of(work: Path, number: int) -> Recorded | None:
    """What was recorded of a shard; None if it was not to the end."""
    try:
        return msgspec.json.decode((work / f"recorded-{number:05d}.json").read_bytes(), type=Recorded)
    except FileNotFoundError:
        return None


def recorded(job: Recording, setup: Setup) -> Recorded:
    """The work of a `Recording`. Raises `RecordUnavailable`, `SchemaMismatch`; what was recorded by then stays recorded."""
    work, number = job.shard.work, job.shard.number
    log = work / f"recorded-{number:05d}"
    before = set(log.read_bytes().splitlines()) if log.exists() else set()
    failed: list[Unrecorded] = []
    recording = len(before)
    with ExitStack() as stack:
        desk, database = _desk(setup.reasoners().reasoner, stack)
        shared = SharedLines(job.shard.shared)
        stack.callback(shared.close)
        noted = stack.enter_context(log.open("ab", buffering=0))
        wanted = _wanted(job, database)
        for patient, items in patients_of(job.shard):
            mark = msgspec.json.encode(patient)
            if patient not in wanted or mark in before:
                continue
            if not _PATIENT.fullmatch(patient):
                failed.append(
                    Unrecorded(patient, "it is no patient of a FHIR server: a record knows patients by such an id")
                )
                continue
            resources = [one for item in items if (one := resource_of(item.line)) is not None]
            try:
                desk.screened(
                    Identity(job.to.tenant, job.to.server, patient),
                    _person(resources),
                    [*resources, *shared.of(resources)[0]],
                )
            except (RecordUnavailable, SchemaMismatch):
                raise
            except Exception as error:  # whoever cannot be recorded is listed, and the others go on
                failed.append(Unrecorded(patient, f"a fault of this program: {type(error).__name__}"))
                continue
            recording += 1
            noted.write(mark + b"\n")
    made = Recorded(number, recording, failed)
    keep(work / f"recorded-{number:05d}.json", msgspec.json.encode(made))
    return made


def _desk(reasoner: Reasoner, stack: ExitStack) -> tuple[Desk, Database]:
    """A desk over the record of this installation."""
    settings = load_settings()
    database = Database(settings.database_url, deadline=PATIENCE)
    stack.callback(database.close)
    database.check()
    recorder = Recorder(database, reasoner.rulebook, Checkpoints(settings.checkpoints))
    desk = Desk(settings, reasoner, lambda: datetime.now().astimezone(), recorder)
    stack.callback(desk.close)
    return desk, database


def _wanted(job: Recording, database: Database) -> frozenset[str]:
    """The patients of a shard who are to be recorded; whoever could not be evaluated, or was not, is not."""
    said: set[str] = set()
    for stem in job.done.parts:
        for line in (job.shard.work / f"{stem}.findings").read_bytes().splitlines():
            found = msgspec.json.decode(line)
            if any(one["state"] not in _SAYS_NOTHING for one in found["answers"].values()):
                said.add(found["patient"])
    left = {patient for patient, items in patients_of(job.shard) if _is_asked(job.shard, items)} - said
    left.difference_update(_unjudged(job))
    return frozenset(said) | known_of(database, job.to.tenant, job.to.server, sorted(left))


def _is_asked(shard: Shard, items: list[Any]) -> bool:
    return not shard.changed_only or shard.shared_changed or any(one.changed for one in items)


def _unjudged(job: Recording) -> Iterator[str]:
    for stem in job.done.parts:
        for line in (job.shard.work / f"{stem}.unjudged").read_bytes().splitlines():
            yield msgspec.json.decode(line)["patient"]


def _person(resources: list[Json]) -> Mapping[str, Any] | None:
    """The newest Patient resource, if there is any."""
    people = [one for one in resources if one["resourceType"] == "Patient"]
    return newest(people) if people else None
