"""Exports to screen: synthetic patients as Bulk Data, in whatever order and in as many files as is asked for."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from cds.reasoning.loading import default_rulebook
from cds.screening.crew import Crew, Job, Made, Setup
from cds.screening.plan import Asked
from cds.screening.run import Nobody, screen
from cds.screening.summary import Summary
from cds.workbench.synth import make_patient
from cds.workbench.synth.fhir_output import current

BOOK = default_rulebook()
DAY = "2026-11-20"
Json = dict[str, Any]


def patients(count: int, seed: int = 7, first: int = 0) -> list[Json]:
    """The resources of so many patients, one patient after the other."""
    found: list[Json] = []
    for number in range(first, first + count):
        found += [entry["resource"] for entry in current(make_patient(seed, number).bundle)["entry"]]
    return found


def write(
    folder: Path, resources: Iterable[Json], *, order: int | None = None, files: int = 1, zipped: bool = False
) -> Path:
    """An export of the resources: in an order of chance, in so many files for each type, compressed."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [(one["resourceType"], json.dumps(one).encode()) for one in resources]
    if order is not None:
        random.Random(order).shuffle(rows)
    by_file: dict[str, list[bytes]] = {}
    for number, (kind, line) in enumerate(rows):
        by_file.setdefault(f"{kind}.{number % files:04d}.ndjson", []).append(line)
    for name, lines in by_file.items():
        content = b"\n".join(lines) + b"\n"
        if zipped:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content, mtime=0))
        else:
            (folder / name).write_bytes(content)
    return folder


class Here:
    """A crew of this process alone: for what is not about who does the work."""

    def check(self, work: Path) -> None:
        """It is here."""

    def run(self, work: Callable[[Job, Setup], Made], jobs: Sequence[Job], setup: Setup) -> Iterator[Made]:
        return (work(job, setup) for job in jobs)


def screened(export: Path, out: Path, crew: Crew | None = None, as_of: str | None = DAY, **how: Any) -> Summary:
    """A whole run, by this process unless a crew is named."""
    return screen(Asked(export, out, BOOK, as_of, **how), crew or Here(), Nobody())


def lines(path: Path) -> list[Json]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def by_patient(resources: Sequence[Json]) -> dict[str, list[Json]]:
    """The resources of each patient of `patients`."""
    found: dict[str, list[Json]] = {}
    for one in resources:
        whose = f"Patient/{one['id']}" if one["resourceType"] == "Patient" else one["subject"]["reference"]
        found.setdefault(whose, []).append(one)
    return found
