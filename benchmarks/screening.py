"""A whole export, as a multiple of merely reading its lines with orjson in the same run; memory and time from a tenth of it to all.

By one and two processes of this machine, and by a Dask cluster of one and two workers on it. Run by
`python -m benchmarks.screening --patients 100000`; without `--export` the patients are made first. Patients who are followed up for
nine months have about 30 resources each.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from cds.reasoning.loading import default_rulebook
from cds.screening.cluster import Cluster
from cds.screening.crew import Processes
from cds.screening.plan import Asked
from cds.screening.run import Nobody, screen
from cds.workbench.synth import write_cohort
from cds.workbench.synth.design import Design
from tests.screening.clusters import Dask

SEED = 2026
DAY = "2026-11-20"


@dataclass(frozen=True)
class Took:
    """What a run took: seconds by the clock, of processors, and the most memory in MiB: of one worker, and of who gives out the work."""

    seconds: float
    worked: float
    worker: float
    giver: float


class Watched:
    """The most memory that a process has held, of this one's children (who give out work) and of those below them (who do it);

    looked at ten times a second.
    """

    def __init__(self) -> None:
        self.giver = self.worker = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Watched:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            for child in _children(os.getpid()):
                self.giver = max(self.giver, _most(child))
                for below in _children(child):
                    self.worker = max(self.worker, _most(below))


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # it has ended
            found += map(int, task.read_text(encoding="ascii").split())
    return found


def _most(pid: int) -> float:
    """The most memory that a process has held, in MiB; 0 if it has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0


def read(export: Path) -> tuple[float, int]:
    """Seconds that reading each line with orjson takes in one process, and how many lines there are."""
    begun, lines = time.perf_counter(), 0
    for path in sorted(export.glob("*.ndjson")):
        with path.open("rb") as file:
            for line in file:
                orjson.loads(line)
                lines += 1
    return time.perf_counter() - begun, lines


def ceiling(export: Path) -> float:
    """How many times the work of one process two do on this machine, each reading all lines on its own."""
    context = multiprocessing.get_context("spawn")
    took = []
    for count in (1, 2):
        begun = time.perf_counter()
        reading = [context.Process(target=read, args=(export,)) for _ in range(count)]
        for one in reading:
            one.start()
        for one in reading:
            one.join()
        took.append(time.perf_counter() - begun)
    return 2 * took[0] / took[1]


def _run(export: Path, out: Path, workers: int, cluster: str) -> None:
    asked = Asked(export, out, default_rulebook(), DAY)
    if not cluster:
        with Processes(workers) as crew:
            screen(asked, crew, Nobody())
        return
    with Cluster(cluster) as workers_elsewhere:
        screen(asked, workers_elsewhere, Nobody())


def took(work: Callable[[Path], Any]) -> Took:
    """What some work took that writes into a folder, in a process of its own."""
    folder = Path(tempfile.mkdtemp(prefix="screening-"))
    before, begun = os.times(), time.perf_counter()
    try:
        with Watched() as watched:
            process = multiprocessing.get_context("spawn").Process(target=work, args=(folder / "out",))
            process.start()
            process.join()
        if process.exitcode:
            raise SystemExit(f"the run ended with {process.exitcode}")
    finally:
        shutil.rmtree(folder)
    after = os.times()
    worked = after.children_user + after.children_system - before.children_user - before.children_system
    return Took(time.perf_counter() - begun, worked, watched.worker, watched.giver)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    options.add_argument("--patients", type=int, default=4_000)
    options.add_argument("--months", type=int, default=9, help="for which they are followed up")
    options.add_argument("--export", type=Path, help="a folder with the export of so many synthetic patients")
    options.add_argument("--without-cluster", action="store_true")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="exports-") as made:
        small, export = Path(made) / "tenth", given.export or Path(made) / "all"
        tenth = given.patients // 10
        design = Design(months=given.months).checked()
        write_cohort(SEED, tenth, 2, small, form="bulk", design=design)
        if given.export is None:
            write_cohort(SEED, given.patients, 2, export, form="bulk", design=design)
        size = sum(path.stat().st_size for path in export.glob("*.ndjson"))
        reading, lines = read(export)
        print(
            f"{given.patients:,} patients, {lines:,} resources, {size / 1e6:,.0f} MB; read with orjson in {reading:.1f} s, one process"
        )
        print(
            f"two processes that only read do {ceiling(export):.2f} times the work of one on this machine", flush=True
        )
        print(
            f"{'':<34}{'seconds':>9}{'x reading':>11}{'patients/s':>12}{'processor s':>13}{'MiB worker':>12}{'giver':>7}"
        )

        def say(name: str, patients: int, found: Took, ratio: bool = True) -> None:
            times = f"{found.seconds / reading:.1f}" if ratio else ""
            print(
                f"{name:<34}{found.seconds:>9.1f}{times:>11}{patients / found.seconds:>12,.0f}{found.worked:>13.1f}{found.worker:>12.0f}{found.giver:>7.0f}",
                flush=True,
            )

        first = took(partial(_run, small, workers=2, cluster=""))
        say("a tenth of them, two processes", tenth, first, ratio=False)
        by: dict[int, Took] = {}
        for workers in (2, 1):
            by[workers] = took(partial(_run, export, workers=workers, cluster=""))
            say(f"{workers} process{'es' if workers > 1 else ''}", given.patients, by[workers])
        print(
            f"ten times the patients take {by[2].seconds / first.seconds:.1f} times as long and {by[2].worker / first.worker:.2f} times the memory of a worker; "
            f"two processes are {by[1].seconds / by[2].seconds:.2f} times as fast as one"
        )
        if given.without_cluster:
            return
        clusters = {}
        for workers in (2, 1):
            with Dask(Path(made) / f"dask-{workers}", workers) as dask:
                begun = dask.processor_seconds()
                found = took(partial(_run, export, workers=0, cluster=dask.address))
                worked = found.worked + dask.processor_seconds() - begun
                clusters[workers] = Took(found.seconds, worked, dask.memory(), found.giver)
            say(f"Dask, {workers} worker{'s' if workers > 1 else ''}", given.patients, clusters[workers])
        print(
            f"Dask takes {clusters[1].seconds / by[1].seconds:.2f} and {clusters[2].seconds / by[2].seconds:.2f} times as long as as many processes; "
            f"its two workers are {clusters[1].seconds / clusters[2].seconds:.2f} times as fast as one"
        )


if __name__ == "__main__":
    main()
