"""A thread that does one thing again and again: whenever it is called, and after a pause."""

from __future__ import annotations

import threading
from collections.abc import Callable

from cds.record.database import RecordUnavailable
from cds.service.logs import ERROR, note, where

_PAUSE = 5.0


class Worker:
    """Does `work` between `start` and `stop`; what it raises is noted in the log, and it is done again after the pause."""

    def __init__(self, name: str, work: Callable[[], object]):
        self._name, self._work = name, work
        self._called = threading.Event()
        self.over = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends after what is being done, in ten seconds at the latest: `over` says so to work that takes longer."""
        self.over = True
        self._called.set()
        self._thread.join(10)

    def call(self) -> None:
        """There is something to do."""
        self._called.set()

    def _run(self) -> None:
        while not self.over:
            try:
                self._work()
            except RecordUnavailable as error:
                note("record away", ERROR, wanted=self._name, error=error.cause)
            except Exception as error:
                note("fault", ERROR, wanted=self._name, error=type(error).__name__, where=where(error))
            self._called.wait(_PAUSE)
            self._called.clear()
