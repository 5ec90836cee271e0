"""The workers of a Dask cluster as a crew. All of them see the export and the work folder under the same paths.

Dask gives a job out again when its worker is gone. The rule book goes to each worker once, by its hash.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cds.errors import InputError
from cds.screening.crew import MOST_DEATHS, CrewLost, Job, Made, Setup, done_by

_PATIENCE = 10
"""Seconds that a scheduler has to answer, and to have a worker."""


class Cluster:
    """A cluster by the address of its scheduler, `tcp://host:8786` or `tls://…`. Raises `InputError` if it does not answer."""

    def __init__(self, address: str):
        try:
            import distributed
        except ImportError:
            raise InputError(
                "`--cluster` needs Dask's distributed, which is not installed: pip install 'exowatch[screening]'"
            ) from None
        self.address = address
        if not address.startswith(("tcp://", "tls://")):
            raise InputError(
                f"--cluster '{address}': write the address that `dask scheduler` prints, tcp://host:8786 or tls://host:8786"
            )
        try:
            connect: Any = distributed.Client
            self._client = connect(address, timeout=_PATIENCE, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise InputError(
                f"{address}: no scheduler of Dask answers there ({type(error).__name__}). Start one with `dask scheduler`, and "
                "name it as tcp://host:8786"
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._client.close(timeout=5)

    def check(self, work: Path) -> None:
        """That there are workers, and that they see the work folder. Raises `InputError`."""
        token = work / f"seen-{uuid.uuid4()}"
        token.touch()
        try:
            try:
                self._client.wait_for_workers(1, timeout=_PATIENCE)
            except TimeoutError:
                raise InputError(
                    f"{self.address}: the scheduler has no worker. Start some: `dask worker {self.address} --nthreads 1`"
                ) from None
            many = [name for name, threads in self._client.nthreads().items() if threads != 1]
            blind = [name for name, sees in self._client.run(_sees, str(token)).items() if not sees]
        except OSError as error:  # of a connection, for a worker answers whatever it sees
            raise CrewLost(_AWAY.format(address=self.address, why=type(error).__name__)) from error
        finally:
            token.unlink()
        if many:
            raise InputError(
                f"{many[0]}: this worker has several threads, which would share one interpreter. Start workers with `--nthreads 1`, as "
                "many as there are cores (`--nworkers auto`)"
            )
        if blind:
            raise InputError(
                f"{blind[0]}: this worker does not see {work}. Export and output are to be on a file system that all workers "
                "share, under the same path"
            )

    def run(self, work: Callable[[Job, Setup], Made], jobs: Sequence[Job], setup: Setup) -> Iterator[Made]:
        """As `Crew` has it."""
        import distributed

        client, deaths = self._client, Counter[int]()
        try:
            client.register_plugin(_bringing(setup))
            futures: dict[Any, int] = {
                client.submit(_at_worker, work, job, setup.hash, pure=False): number for number, job in enumerate(jobs)
            }
            in_turn: Any = distributed.as_completed
            done = in_turn(futures, loop=client.loop)
            for future in done:
                number = futures.pop(future)
                try:
                    made: Made = future.result()
                except distributed.KilledWorker:
                    deaths[number] += 1
                    if deaths[number] > MOST_DEATHS:
                        raise CrewLost(f"{_DYING}. What is finished stays: the same command goes on") from None
                    again = client.submit(_at_worker, work, jobs[number], setup.hash, pure=False)
                    futures[again] = number
                    done.add(again)
                    continue
                future.release()
                yield made
        except (OSError, TimeoutError) as error:
            raise CrewLost(_AWAY.format(address=self.address, why=type(error).__name__)) from error
        except Exception as error:
            if type(error).__name__ in ("FutureCancelledError", "CancelledError", "CommClosedError"):
                raise CrewLost(_AWAY.format(address=self.address, why=type(error).__name__)) from error
            raise


_DYING = "workers of the cluster die whenever they are given one piece of the work. Likely they have too little memory"
_AWAY = (
    "{address}: the cluster is away ({why}). What is finished stays on disk: the same command goes on, also with another "
    "cluster or with none"
)


_KEPT = 8
_BROUGHT: dict[str, Setup] = {}
"""At a worker: what was brought to it, by the hash of the rule book."""


def _bringing(brought: Setup) -> Any:
    """What the scheduler brings to each worker once, also to one that comes later."""
    import distributed

    class Bringing(distributed.WorkerPlugin):
        name = f"exowatch-{brought.hash}"

        def setup(self, worker: object) -> None:
            bring(brought)

    return Bringing()


def bring(setup: Setup) -> None:
    """Keep a setup in this process, beside the last few that other runs brought."""
    while len(_BROUGHT) > _KEPT:
        del _BROUGHT[next(iter(_BROUGHT))]
    _BROUGHT[setup.hash] = setup


def _at_worker(work: Callable[[Job, Setup], Made], job: Job, hash: str) -> Made:
    return done_by(work, job, _BROUGHT[hash])


def _sees(token: str) -> bool:
    try:
        return Path(token).exists()
    except OSError:
        return False
