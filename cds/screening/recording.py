"""Findings of a run into the record, as advice that a board sees: everybody of whom a rule has something to say, as of now.

A patient is evaluated once more, with what laboratories have sent of them beside the export, by the desk that answers hooks too.
Nothing is shown to anybody by it. Whoever was recorded is noted, and not recorded again when a run goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from cds.chart.versions import revision
from cds.reasoning.reasoner import Reasoner
from cds.record.audit import Checkpoints
from cds.record.database import Database
from cds.record.identity import Identity
from cds.record.recorder import Recorder
from cds.record.spelling import respelt
from cds.screening.crew import Setup
from cds.screening.partition import SharedLines, keep
from cds.screening.shard import Evaluated, Shard, patients_of
from cds.service.desk import Desk
from cds.settings import load_settings

PATIENCE = 30.0
"""Seconds that a run waits for the database; a hook waits far less."""
_SAYS_NOTHING = frozenset({"not-applicable", "out-of-scope"})
_LINE = msgspec.json.Decoder(float_hook=Decimal)


@dataclass(frozen=True, slots=True)
class Recording:
    """The patients of an evaluated shard who are to be recorded. `server` is the base URL of the FHIR server they come from."""

    shard: Shard
    done: Evaluated
    server: str


class Recorded(msgspec.Struct, frozen=True):
    """How many patients of a shard are on record."""

    number: int
    patients: int


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
    wanted = {patient: mark for patient in _said_of(job) if (mark := msgspec.json.encode(patient)) not in before}
    if wanted:
        with ExitStack() as stack:
            desk, tenant = _desk(setup.reasoner(), stack)
            shared = SharedLines(job.shard.shared)
            stack.callback(shared.close)
            noted = stack.enter_context(log.open("ab", buffering=0))
            for patient, items in patients_of(job.shard):
                if patient in wanted:
                    lines = [line for _, _, line in items]
                    resources = [_LINE.decode(line) for line in (*lines, *shared.of(lines))]
                    desk.screened(Identity(tenant, respelt(job.server), patient), _person(resources), resources)
                    noted.write(wanted[patient] + b"\n")
    made = Recorded(number, len(before) + len(wanted))
    keep(work / f"recorded-{number:05d}.json", msgspec.json.encode(made))
    return made


def _desk(reasoner: Reasoner, stack: ExitStack) -> tuple[Desk, str]:
    """A desk over the record of this installation, and whose patients these are."""
    settings = load_settings()
    database = Database(settings.database_url, deadline=PATIENCE)
    stack.callback(database.close)
    database.check()
    recorder = Recorder(database, reasoner.rulebook, Checkpoints(settings.checkpoints))
    desk = Desk(settings, reasoner, lambda: datetime.now().astimezone(), recorder)
    stack.callback(desk.close)
    return desk, settings.tenant


def _said_of(job: Recording) -> Iterator[str]:
    """The patients of whom a rule says something."""
    for stem in job.done.parts:
        for line in (job.shard.work / f"{stem}.findings").read_bytes().splitlines():
            found = msgspec.json.decode(line)
            if any(one["state"] not in _SAYS_NOTHING for one in found["answers"].values()):
                yield found["patient"]


def _person(resources: list[Any]) -> Any:
    """The newest Patient resource; of equals the last."""
    people = [one for one in resources if one["resourceType"] == "Patient"]
    return max(enumerate(people), key=lambda pair: (revision(pair[1]), pair[0]))[1] if people else None
