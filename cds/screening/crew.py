"""Who does the work: processes of this machine, or the workers of a Dask cluster. Both do jobs in whatever order, and replace who dies.

A job is a value, its work a function of a module: `work(job, setup)`. The setup, a rule book, is sent once to each worker.
"""

from __future__ import annotations

import copyreg
import multiprocessing
import multiprocessing.connection
import multiprocessing.resource_tracker
import os
import pickle
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, Self, TypeVar

from cds.errors import ExowatchError
from cds.reasoning.rulebook import RuleBook
from cds.record.content import versions
from cds.screening.partition import Deal, Dealt, deal
from cds.screening.shard import Evaluated, Reasoners, Shard, evaluate_shard

Job = TypeVar("Job")
Made = TypeVar("Made")
MOST_DEATHS = 40
"""So often a job is given out again whose worker has died: of twenty patients each may end it twice."""


class CrewLost(ExowatchError):
    """Nobody can go on: workers die before they have begun, or the cluster is away. What was finished stays."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What a worker needs to know beside its jobs: a rule book, by its hash."""

    hash: str
    content: bytes
    software: tuple[tuple[str, str], ...]  # versions with which it was made

    @classmethod
    def of(cls, book: RuleBook) -> Setup:
        return cls(book.hash, pickle.dumps(book), _software())

    def reasoners(self) -> Reasoners:
        """Reasoners over the rule book, made once in each process. Raises `CrewLost` if the software is not the same here."""
        return _reasoners(self)


@lru_cache(maxsize=2)
def _reasoners(setup: Setup) -> Reasoners:
    if setup.software != _software():
        here, there = (", ".join(" ".join(one) for one in found) for found in (_software(), setup.software))
        raise CrewLost(
            f"a worker has other software ({here}) than who gives out the work ({there}): install the same on both"
        )
    book: RuleBook = pickle.loads(setup.content)  # noqa: S301 - from the process that gives out the jobs
    return Reasoners(book)


def _software() -> tuple[tuple[str, str], ...]:
    return tuple(sorted(versions().items()))


def _thawed(content: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(content)


copyreg.pickle(MappingProxyType, lambda found: (_thawed, (dict(found),)))  # of which a rule book has many


def dealt(job: Deal, setup: Setup) -> Dealt:
    """The work of a `Deal`."""
    return deal(job)


def evaluated(job: Shard, setup: Setup) -> Evaluated:
    """The work of a `Shard`."""
    return evaluate_shard(job, setup.reasoners())


def done_by(work: Callable[[Job, Setup], Made], job: Job, setup: Setup) -> Made:
    """A job, as each worker does it. Raises `CrewLost` for what is wrong with disk and folders where the worker is."""
    try:
        return work(job, setup)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        raise CrewLost(
            f"{place}{error.strerror or error}. Likely the disk is full, or the folder is gone. What is finished stays: the same command goes on"
        ) from None


class Crew(Protocol):
    """Some workers."""

    def check(self, work: Path) -> None:
        """That they can work in that folder. Raises `InputError`."""

    def run(self, work: Callable[[Job, Setup], Made], jobs: Sequence[Job], setup: Setup) -> Iterator[Made]:
        """What each job came to, in the order in which they end. Raises `CrewLost`, and what a job raises."""


class Processes:
    """So many processes of this machine, from the first run to the end of the context. One that dies is replaced, and its job given

    out again.
    """

    def __init__(self, workers: int):
        self.workers = workers
        self._idle: list[_Hand] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for hand in self._idle:
            hand.end()
        self._idle.clear()

    def check(self, work: Path) -> None:
        """It is this machine's own."""

    def run(self, work: Callable[[Job, Setup], Made], jobs: Sequence[Job], setup: Setup) -> Iterator[Made]:
        for hand in [one for one in self._idle if one.setup != setup.hash]:
            self._idle.remove(hand)
            hand.end()
        waiting, deaths = deque(enumerate(jobs)), Counter[int]()
        hands: list[_Hand] = []
        try:
            while waiting or hands:
                while waiting and len(hands) < self.workers:
                    hands.append(self._idle.pop() if self._idle else _Hand(setup))
                    hands[-1].give(work, *waiting.popleft())
                ready = multiprocessing.connection.wait([hand.results for hand in hands])
                for hand in [one for one in hands if one.results in ready]:
                    try:
                        ok, made = hand.results.recv()
                    except (EOFError, OSError):
                        deaths[hand.number] += 1
                        hands.remove(hand)
                        hand.end()
                        waiting.appendleft((hand.number, jobs[hand.number]))
                        if deaths[hand.number] > MOST_DEATHS:
                            raise CrewLost(_DYING.format(deaths=MOST_DEATHS)) from None
                        continue
                    if not ok:
                        raise made
                    if waiting:
                        hand.give(work, *waiting.popleft())
                    else:
                        hands.remove(hand)
                        self._idle.append(hand)
                    yield made
        finally:
            for hand in hands:
                hand.end()


_DYING = (
    "the process that did one piece of the work has died {deaths} times. Likely there is too little memory for so many of them: try fewer --workers, "
    "and look at what the system's log says of them. What is finished stays: the same command goes on"
)


class _Hand:
    """A process; of the job that it does the number."""

    number = -1

    def __init__(self, setup: Setup):
        self.setup = setup.hash
        context = multiprocessing.get_context("spawn")
        self._jobs: Connection
        given, self._jobs = context.Pipe(duplex=False)
        self.results, sent = context.Pipe(duplex=False)
        self._process: SpawnProcess = context.Process(target=_serve, args=(setup, given, sent), daemon=True)
        multiprocessing.resource_tracker.ensure_running()  # started within, it would let signals through again
        before = signal.pthread_sigmask(
            signal.SIG_BLOCK, {signal.SIGINT}
        )  # half a beginning would be told by a traceback
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        given.close()
        sent.close()

    def give(self, work: Callable[[Any, Setup], Any], number: int, job: Any) -> None:
        self.number = number
        try:
            self._jobs.send((work, job))
        except OSError:  # it has died: its results say so
            return

    def end(self) -> None:
        """Let it end by itself if it waits; else end it."""
        self._jobs.close()
        self._process.join(0.5)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join(5)
        self.results.close()


def _sendable(error: Exception) -> Exception:
    """An exception as it is, or, if it cannot be sent, what it says."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    except Exception:
        return ExowatchError(f"{type(error).__name__}: {error}")
    return error


def _end_with(parent: Any) -> None:
    """Whoever gives out the work is gone: nobody is left for whom to do it."""
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)


def _serve(setup: Setup, jobs: Connection, results: Connection) -> None:
    """A worker process: does jobs until there are no more, or nobody is there to give any."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who called it decides when to stop
    threading.Thread(target=_end_with, args=(multiprocessing.parent_process(),), daemon=True).start()
    while True:
        try:
            work, job = jobs.recv()
        except EOFError:
            return
        try:
            made: tuple[bool, Any] = (True, done_by(work, job, setup))
        except Exception as error:
            made = (False, _sendable(error))
        try:
            results.send(made)
        except OSError:
            return
