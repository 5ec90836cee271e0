"""How fast one address may be refused: whoever guesses is told to wait before the work of checking a password is done."""

from __future__ import annotations

import threading
from collections.abc import Callable

_AT_ONCE, _EACH = 30, 3.0
"""So many refusals at once, then one in so many seconds."""
_MOST = 4096
_ALL = ""


class Pace:
    """Refusals by address, in this process; safe to share between threads. `clock` gives seconds.

    Of each address it is kept until when it would have to wait for all that was refused: one number, and none once that is past.
    """

    def __init__(self, clock: Callable[[], float]):
        self._clock = clock
        self._lock = threading.Lock()
        self._until: dict[str, float] = {}

    def taken(self, address: str) -> bool:
        """Whether a try is taken now; it counts as refused until `given_back`."""
        with self._lock:
            now = self._clock()
            if len(self._until) >= _MOST:
                self._until = {one: until for one, until in self._until.items() if until > now}
            address = address if address in self._until or len(self._until) < _MOST else _ALL
            until = max(now, self._until.get(address, now)) + _EACH
            if until - now > _AT_ONCE * _EACH:
                return False
            self._until[address] = until
            return True

    def given_back(self, address: str) -> None:
        """The try let somebody in."""
        with self._lock:
            if address in self._until:
                self._until[address] -= _EACH
