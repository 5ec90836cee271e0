"""How long a client waits for a server before it asks again: as the server says, within bounds; else longer each time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same question may be answered a little later."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Times in seconds, and how many tries."""

    first: float = 1.0  # before the second question; doubled each time
    most: float = 60.0  # where the server says nothing
    least: float = 0.5  # even if the server says less
    longest: float = 3600.0  # even if the server says more
    answer: float = 60.0  # for an answer, and for each 64 KiB of a file
    tries: int = 8  # in a row, of which none helped

    def before(self, number: int, headers: Mapping[str, str] | None = None) -> float:
        """Seconds to wait before try `number` (1 is the first repetition)."""
        stated = stated_wait(headers or {})
        if stated is None:
            return min(self.most, self.first * 2.0 ** min(number - 1, 30))
        return min(self.longest, max(self.least, stated))


def stated_wait(headers: Mapping[str, str]) -> float | None:
    """The seconds that `Retry-After` names, as a number or as a date; None if it does neither.

    A date counts from the server's own clock, if it sends that: the two clocks may differ.
    """
    stated = headers.get("retry-after", "").strip()
    if stated.isascii() and stated.isdecimal():
        return float(stated[:9])
    then = moment(stated)
    if then is None:
        return None
    now = moment(headers.get("date", "")) or datetime.now(UTC)
    return max(0.0, (then - now).total_seconds())


def moment(stated: str) -> datetime | None:
    """A date of HTTP; None for what is none."""
    try:
        found = parsedate_to_datetime(stated)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
