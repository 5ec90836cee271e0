"""Evaluates patients for whom results have arrived: the advisory opens before anyone opens the chart."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cds.chart.model import LeftOut
from cds.exchange import CannotFetch
from cds.record.arrivals import Arrivals
from cds.record.database import RecordUnavailable
from cds.record.identity import Identity
from cds.record.ownership import nobody
from cds.record.queue import Queue
from cds.service.desk import Desk
from cds.service.ehr import Ehrs
from cds.service.logs import ERROR, note, where

_PAUSE = 5.0
_AGAIN = 60.0
"""Seconds until a patient who could not be evaluated is tried again."""
_PATIENCE = 5
"""How often an EHR that does not answer is tried before the record is taken as it was last seen."""
_ASK_AGAIN = 600.0
"""Seconds until EHRs are asked again whose the results in the queue are."""


@dataclass(frozen=True, slots=True)
class Rest:
    """A patient's record without what laboratories sent, by prefetch key; and what of it could not be had."""

    data: Mapping[str, Any]
    left_out: Sequence[LeftOut] = ()


def as_stored(arrivals: Arrivals, who: Identity) -> Rest:
    """The rest of a record as it was when the patient was last evaluated; nothing but the patient if they never were."""
    found = arrivals.last_inputs(who)
    if found is None:
        reason = "the patient's record was never seen here"
        return Rest({}, (LeftOut("record", "all but the results", reason, "open the chart in the EHR once"),))
    inputs, at = found
    data = inputs.get("prefetch") if isinstance(inputs, dict) else None
    kept = {key: value for key, value in data.items() if key != "delivered"} if isinstance(data, dict) else {}
    reason = f"it is as it was on {at[:10]}; what was recorded since then is not known"
    return Rest(kept, (LeftOut("record", "all but the results", reason, "open the chart in the EHR"),))


class Follower:
    """Settles what is due, one patient after another, in a thread of its own between `start` and `stop`."""

    def __init__(self, desk: Desk, arrivals: Arrivals, queue: Queue, ehrs: Ehrs | None = None):
        self._desk, self._arrivals, self._queue, self._ehrs = desk, arrivals, queue, ehrs
        self._called = threading.Event()
        self._over = False
        self._failed: dict[
            Identity, tuple[int, float]
        ] = {}  # how often it could not be done, and when it is tried again
        self._asked = float("-inf")
        self._thread = threading.Thread(target=self._run, name="follow", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over = True
        self._called.set()
        self._thread.join(10)

    def call(self) -> None:
        """Something is due."""
        self._called.set()

    def settle(self) -> int:
        """Find whose results those in the queue are, and evaluate everybody for whom it is due; for how many it was done.

        Raises `RecordUnavailable`.
        """
        done = 0
        asks = self._ehrs is not None and time.monotonic() - self._asked > _ASK_AGAIN
        if asks:
            self._asked = time.monotonic()
        self._queue.match(self._ehrs.people if self._ehrs is not None and asks else nobody)
        while True:
            now = time.monotonic()
            due = [who for who in self._arrivals.due() if self._failed.get(who, (0, 0.0))[1] <= now]
            if not due or self._over:
                return done
            for who in due:
                done += self._one(who)

    def _one(self, who: Identity) -> bool:
        started = time.perf_counter()
        try:
            rest = self._rest_of(who)
            findings = self._desk.reassess(who, rest.data, rest.left_out)
        except RecordUnavailable:
            raise
        except Exception as error:
            # It stays due, and is tried again: a result that arrived is never forgotten.
            times, _ = self._failed.get(who, (0, 0.0))
            self._failed[who] = times + 1, time.monotonic() + _AGAIN
            note("not reassessed", ERROR, error=type(error).__name__, where=where(error))
            return False
        self._failed.pop(who, None)
        elapsed = round(1000 * (time.perf_counter() - started), 2)
        note("reassessed", findings=dict(findings), left_out=len(rest.left_out), milliseconds=elapsed)
        return True

    def _rest_of(self, who: Identity) -> Rest:
        """The rest of the record from the EHR; as it was last seen where none can be asked, or one stays silent."""
        try:
            found = self._ehrs.record_of(who) if self._ehrs is not None else None
        except CannotFetch:
            if self._failed.get(who, (0, 0.0))[0] < _PATIENCE:
                raise
            found = None
        return as_stored(self._arrivals, who) if found is None else Rest(*found)

    def _run(self) -> None:
        while not self._over:
            try:
                self.settle()
            except RecordUnavailable as error:
                note("not reassessed", ERROR, error=type(error).__name__)
            except Exception as error:
                note("fault", ERROR, error=type(error).__name__, where=where(error))
            self._called.wait(_PAUSE)
            self._called.clear()
