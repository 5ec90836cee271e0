"""Times as laboratories write them, as FHIR writes them; what a time does not say is not made up."""

from __future__ import annotations

import re
from datetime import datetime
from zoneinfo import ZoneInfo

_HL7 = re.compile(r"(\d{4})(?:(\d\d)(?:(\d\d)(?:(\d\d)(\d\d)(?:(\d\d)(?:\.\d{1,4})?)?([-+]\d{4})?)?)?)?")


def from_hl7(text: str, zone: ZoneInfo | None) -> str:
    """`20250408101500+0200` as FHIR has it; "" if it is no time.

    A time without a zone is one of the laboratory's, if its zone is known; else only the day is kept.
    """
    found = _HL7.fullmatch(text)
    if not found:
        return ""
    year, month, day, hour, minute, second, offset = found.groups()
    if hour is None:
        return _checked("-".join(part for part in (year, month, day) if part))
    written = f"{year}-{month}-{day}T{hour}:{minute}:{second or '00'}"
    if offset is not None:
        return _checked(f"{written}{offset[:3]}:{offset[3:]}")
    return in_zone(written, zone)


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
