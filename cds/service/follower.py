"""Evaluates patients for whom results have arrived: the advisory opens before anyone opens the chart."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from cds.chart.model import LeftOut
from cds.exchange import CannotFetch
from cds.record.arrivals import Arrivals
from cds.record.database import RecordUnavailable
from cds.record.identity import Identity
from cds.service.desk import Desk
from cds.service.ehr import Ehrs
from cds.service.logs import ERROR, note, where
from cds.service.worker import Worker

_AGAIN = 60.0
"""Seconds until a patient who could not be evaluated is tried again."""
_PATIENCE = 5
"""How often an EHR that does not answer is tried before the record is taken as it was last seen."""
_AT_RANDOM = secrets.SystemRandom()
_WHERE, _WHAT = "record", "all but the results"


@dataclass(frozen=True, slots=True)
class Rest:
    """A patient's record without what laboratories sent, by prefetch key; and what of it could not be had."""

    data: Mapping[str, Any]
    left_out: Sequence[LeftOut] = ()


def as_stored(arrivals: Arrivals, who: Identity) -> Rest:
    """The rest of a record as it was when it was last seen; nothing but the patient if it never was.

    What was evaluated since without it says itself as of when that was.
    """
    found = arrivals.last_inputs(who)
    if found is None:
        reason = "the patient's record was never seen here"
        return Rest({}, (LeftOut(_WHERE, _WHAT, reason, "open the chart in the EHR once"),))
    inputs, at = found
    data, left_out = (inputs.get(key) if isinstance(inputs, dict) else None for key in ("prefetch", "leftOut"))
    kept = {key: value for key, value in data.items() if key != "delivered"} if isinstance(data, dict) else {}
    for one in left_out if isinstance(left_out, list) else ():
        if (one["where"], one["what"]) == (_WHERE, _WHAT):
            return Rest(kept, (msgspec.convert(one, LeftOut),))
    reason = f"it is as it was on {at[:10]}; what was recorded since then is not known"
    return Rest(kept, (LeftOut(_WHERE, _WHAT, reason, "open the chart in the EHR"),))


class Follower:
    """Evaluates whom it is due, one patient after another, in a thread of its own between `start` and `stop`."""

    def __init__(self, desk: Desk, arrivals: Arrivals, ehrs: Ehrs | None = None):
        self._desk, self._arrivals, self._ehrs = desk, arrivals, ehrs
        self._failed: dict[
            Identity, tuple[int, float]
        ] = {}  # how often it could not be done, and when it is tried again
        self._worker = Worker("follow", self.settle)
        self.start, self.stop, self.call = self._worker.start, self._worker.stop, self._worker.call

    def settle(self) -> int:
        """Evaluate everybody for whom it is due, but for those who could not be evaluated just now; for how many it was done.

        Raises `RecordUnavailable`.
        """
        done = 0
        while not self._worker.over:
            now = time.monotonic()
            due = self._arrivals.due(without=[who for who, (_, again) in self._failed.items() if again > now])
            if not due:
                # Who failed and is due no more was evaluated by others.
                self._failed = {who: failed for who, failed in self._failed.items() if failed[1] > now}
                break
            _AT_RANDOM.shuffle(due)  # several hosts begin at different ends of what is due
            for who in due:
                if not self._worker.over:
                    done += self._one(who)
        return done

    def _one(self, who: Identity) -> bool:
        started = time.perf_counter()
        try:
            if not self._arrivals.is_due(who):  # before the EHR is asked: another host was faster
                return False
            rest = self._rest_of(who)
            findings = self._desk.reassess(who, rest.data, rest.left_out)
        except Exception as error:
            if isinstance(error, RecordUnavailable):
                database = self._arrivals.database
                database.in_time(database.check)  # if the record is away it is nobody's in particular
            # It stays due, and is tried again: a result that arrived is never forgotten.
            times, _ = self._failed.get(who, (0, 0.0))
            self._failed[who] = times + 1, time.monotonic() + _AGAIN
            note("not reassessed", ERROR, error=type(error).__name__, where=where(error))
            return False
        self._failed.pop(who, None)
        if findings is None:
            return False
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
