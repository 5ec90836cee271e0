"""Finds out whose results are that wait: as patients become known here, and as EHRs come to know them."""

from __future__ import annotations

import time
from collections.abc import Callable

from cds.record.ownership import Unanswered
from cds.record.queue import Queue
from cds.service.ehr import Ehrs
from cds.service.worker import Worker

_AT_ONCE = 20
_SECONDS = 10.0
"""About how many strangers EHRs are asked in one round, and for how long."""
_ASK_AGAIN = 600.0
"""Seconds from when EHRs were asked about the last of them until they are asked about the first again."""
_FIRST = ("", "")


class Matcher:
    """Looks through the queue in a thread of its own between `start` and `stop`; `found` is called when somebody was found."""

    def __init__(self, queue: Queue, ehrs: Ehrs | None = None, found: Callable[[], None] = lambda: None):
        self._queue, self._ehrs, self._found = queue, ehrs, found
        self._place = _FIRST  # in the queue: EHRs were asked about those before it
        self._next_pass = float("-inf")
        worker = Worker("match", self.settle)
        self.start, self.stop = worker.start, worker.stop

    def settle(self) -> int:
        """Find whose results are, of those known here all, of those whom EHRs may know some; how many found theirs.

        Raises `RecordUnavailable`.
        """
        count = self._queue.match()
        if asked := self._asked():
            count += asked + self._queue.match()  # whoever an EHR named may have more that waits
        if count:
            self._found()
        return count

    def _asked(self) -> int:
        if self._ehrs is None or time.monotonic() < self._next_pass:
            return 0
        batch = self._queue.strangers(self._place, _AT_ONCE)
        resolve, count = self._ehrs.asking(_SECONDS), 0
        for one in batch:
            self._place = one.place
            try:
                count += self._queue.ask(one, resolve)
            except Unanswered:
                return count  # the next ones have their turn after a pause
        if len(batch) < _AT_ONCE:
            self._place, self._next_pass = _FIRST, time.monotonic() + _ASK_AGAIN
        return count
