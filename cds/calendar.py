"""The calendar of the place: which day it is there, and of which day an instant of the record is.

The record writes instants in UTC. People meet, decide and count days where they are, so every day that is shown or counted
from an instant goes through here. The place is the time zone of the process, which `EXOWATCH_TIME_ZONE` sets.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, date, datetime
from datetime import time as Time
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


def live_in(zone: str) -> None:
    """Let this process live in a time zone, such as `Europe/Berlin`; "" leaves it in that of the machine.

    Raises `ValueError` for a zone that there is not, or that the operating system does not know.
    """
    if not zone:
        return
    known = zone_named(zone)
    os.environ["TZ"] = zone
    time.tzset()
    for month in (1, 7):  # an operating system without time zones takes any name for UTC
        noon = datetime(2025, month, 1, 12)
        if noon.astimezone().utcoffset() != noon.replace(tzinfo=known).utcoffset():
            raise ValueError(f"the operating system has no time zone {zone}; install its time zones (Debian: tzdata)")


def zone_named(zone: str) -> ZoneInfo:
    """The time zone of that name. Raises `ValueError`."""
    try:
        return ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"there is no time zone {zone!r}; write its name as Europe/Berlin or UTC") from None


def today() -> date:
    """The day that it is."""
    return date.today()


def day_of(instant: str) -> str:
    """The day of an instant of the record, `2026-11-25T23:40:00Z`, in the place; a day, or less than one, as it is."""
    return at_place(instant).date().isoformat() if "T" in instant else instant


def clock_of(instant: str) -> str:
    """The time of an instant of the record in the place, to the minute and with its offset: `00:40 +01:00`."""
    found = at_place(instant)
    offset = f"{found:%z}"
    return f"{found:%H:%M} " + ("UTC" if offset == "+0000" else f"{offset[:3]}:{offset[3:]}")


def beginning(day: str) -> str:
    """The instant in which a day begins in the place, as the record writes instants; "" for ""."""
    if not day:
        return ""
    midnight = datetime.combine(date.fromisoformat(day), Time()).astimezone(UTC)
    return midnight.isoformat(timespec="microseconds").replace("+00:00", "Z")


def at_place(instant: str) -> datetime:
    """An instant of the record in the time of the place."""
    return datetime.fromisoformat(instant.replace("Z", "+00:00")).astimezone()
