"""Times as laboratories write them, as FHIR writes them; what a time does not say is not made up."""

from __future__ import annotations

import re
from datetime import datetime
from zoneinfo import ZoneInfo

_HL7 = re.compile(r"(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?(?:(?<=\d{14})\.\d+)?([-+]\d{4})?", re.ASCII)
_NO_WORD = re.compile(r"T24:00:00|T(?:[01]\d|2[0-3]):[0-5]\d:60")
"""The end of a day, and a leap second: valid, and on no clock here."""


def from_hl7(text: str, zone: ZoneInfo | None) -> str:
    """`20250408101500+0200` as FHIR has it; "" if it is no time.

    A time without a zone is one of the laboratory's, if its zone is known. Else only the day is kept; so it is of an hour
    without minutes, of the end of a day and of a leap second.
    """
    found = _HL7.fullmatch(text)
    if not found:
        return ""
    *parts, hour, minute, second, offset = found.groups()
    day = _checked("-".join(part for part in parts if part))
    if not day or hour is None:
        return day
    written = f"{day}T{hour}:{minute or '00'}:{second or '00'}"
    if _NO_WORD.search(written):
        return day
    zoned = f"{written}{offset[:3]}:{offset[3:]}" if offset else written
    if not _checked(zoned) or minute is None:
        return _checked(zoned)[:10]
    return zoned if offset else in_zone(written, zone)


def in_zone(written: str, zone: ZoneInfo | None) -> str:
    """A time without a zone, as FHIR has it: in the laboratory's zone, or its day alone; "" if it is no time."""
    if not _checked(written):
        return ""
    return written[:10] if zone is None else datetime.fromisoformat(written).replace(tzinfo=zone).isoformat()


def _checked(written: str) -> str:
    """The text if it is on the calendar; else nothing."""
    try:
        datetime.fromisoformat(written + "-01-01"[: 10 - len(written)] if len(written) < 10 else written)
    except ValueError:
        return ""
    return written
