"""Who is being evaluated, on disk, so that it is known who was when a process ended."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import msgspec

TRIES = 2
"""So often a patient is tried whose evaluation ends the process."""
SLOW = 600
"""Seconds after which an evaluation is taken for one that never ends: it ends its process."""
_JSON = msgspec.json.Encoder()


class Marks:
    """The marks of one shard. Of one process and thread at a time: an evaluation that never ends, ends the process."""

    def __init__(self, stem: Path):
        self._now, self._deaths = Path(f"{stem}.now"), Path(f"{stem}.deaths")
        try:
            last = self._now.read_bytes()
        except FileNotFoundError:
            last = b""
        if last:
            with self._deaths.open("ab") as deaths:
                deaths.write(last + b"\n")
        died = self._deaths.read_bytes().splitlines() if self._deaths.exists() else []
        self._gone = {patient for patient, times in Counter(died).items() if times >= TRIES}

    def __enter__(self) -> Self:
        self._file = os.open(self._now, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)
        self._now.unlink(missing_ok=True)

    def has_ended(self, patient: str) -> bool:
        """Whether the evaluation of a patient has ended so many processes that it is not tried again."""
        return _mark(patient) in self._gone

    @contextmanager
    def of(self, patient: str) -> Iterator[None]:
        """While the context lasts, they are who is being evaluated."""
        os.pwrite(self._file, _mark(patient), 0)
        signal.setitimer(signal.ITIMER_REAL, SLOW)  # SIGALRM ends the process, wherever its C code hangs
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            os.ftruncate(self._file, 0)


def _mark(patient: str) -> bytes:
    return _JSON.encode(patient)  # on one line, whatever an id holds


def forget_marks(work: Path) -> None:
    """Before a run goes on: who was being evaluated when it was stopped did not stop it."""
    for mark in work.glob("*.now"):
        mark.unlink()
