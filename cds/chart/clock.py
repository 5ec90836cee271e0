"""Two clocks: when something was true, and when it became known.

FHIR dates come in every precision. A `When` keeps the calendar day as written at the source (a sample drawn at 23:30
in Chicago is a sample of that day, whatever day it was in Greenwich) and, beside it, the instant if one was stated.
A `Moment` is the question "as of when?"; a `Known` says when a datum entered the record; `Known.by(moment)` joins them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from functools import lru_cache
from typing import Any, Self

import msgspec

from cds.errors import InputError

_TIME = re.compile(r"(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|[+-]\d\d:\d\d)?", re.ASCII)
_PARTIAL = re.compile(r"(\d{4})(?:-(\d\d))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class When:
    """A FHIR date, dateTime or instant.

    `first` and `last` bound the calendar days it may mean (equal unless only a year or month is given), `time` is the
    time of day as written, `instant` the point in time (UTC; None without a zone), `utc` whether it was written in `Z`.
    """

    text: str
    first: date
    last: date
    time: time | None = None
    instant: datetime | None = None

    @property
    def day(self) -> date | None:
        """The calendar day; None if only a year or a month is known."""
        return self.first if self.first == self.last else None

    @property
    def utc(self) -> bool:
        return self.text.endswith("Z")

    def at(self, zone: Any) -> When:
        """The same instant on the calendar of a time zone; unchanged if no instant is known."""
        return self if self.instant is None else _local(self.text, zone)


@lru_cache(maxsize=65536)
def _local(text: str, zone: Any) -> When:
    stated = _when(text)
    assert stated is not None  # it comes from a `When` with an instant
    assert stated.instant is not None  # likewise
    try:
        local = stated.instant.astimezone(zone)
    except OverflowError:  # the last hours of the calendar: on no other day anywhere
        return stated
    return When(text, local.date(), local.date(), local.time(), stated.instant)


def when(text: object) -> When | None:
    """Read a FHIR date; None if it is none. Times without seconds or zone are read too: laboratories send them."""
    return _when(text) if isinstance(text, str) else None


@lru_cache(maxsize=65536)
def _when(text: str) -> When | None:
    text = text.strip()
    try:
        if len(text) < 10:
            return _partial(text)
        if text[4] != "-" or text[7] != "-":
            return None
        day = date.fromisoformat(text[:10])
        if len(text) == 10:
            return When(text, day, day)
        found = _TIME.fullmatch(text, 11)
        if text[10] not in "T " or not found:
            return None
        hour, minute, second, fraction, zone = found.groups()
        # A leap second (:60) is a valid instant that Python's clock has no word for.
        clock = time(int(hour), int(minute), min(int(second or 0), 59), int((fraction or "0")[:6].ljust(6, "0")))
        if int(second or 0) > 60:
            return None
        return When(text, day, day, clock, _instant(day, clock, zone))
    except ValueError:
        return None


def _partial(text: str) -> When | None:
    found = _PARTIAL.fullmatch(text)
    if not found:
        return None
    year = int(found[1])
    if found[2] is None:
        return When(text, date(year, 1, 1), date(year, 12, 31))
    month = int(found[2])
    first = date(year, month, 1)
    following = date(year + month // 12, month % 12 + 1, 1) if (year, month) != (9999, 12) else date.max
    return When(text, first, following - timedelta(days=1) if following < date.max else date.max)


def _instant(day: date, clock: time, zone: str | None) -> datetime | None:
    if zone is None:
        return None
    offset = timedelta()
    if zone != "Z":
        offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[4:6])) * (-1 if zone[0] == "-" else 1)
    try:
        return datetime.combine(day, clock, timezone(offset)).astimezone(UTC)
    except OverflowError:
        return None


AHEAD = timedelta(minutes=5)
"""So far a sender's clock may run ahead of ours: what Kerberos allows for clocks that nobody sets by hand. It decides on

nothing clinical, since what is here now was reported by now; what lies further ahead is a clock or a date that is wrong.
"""
_EASTERNMOST = timedelta(hours=14)
"""Where a day begins first: a day without a zone has come as soon as it has come there."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The moment of a chart: a whole day (all that became known on it counts), or an instant on that day.

    `ahead` is None for who looks back: what became known later does not exist. Of an evaluation as of now (`live`) it is how
    far the clocks of senders may run ahead of ours; all that says of itself that it is still to come is here nevertheless.
    """

    day: date
    instant: datetime | None = None
    ahead: timedelta | None = None

    @classmethod
    def live(cls, now: datetime, ahead: timedelta = AHEAD) -> Self:
        """Now, as an aware datetime."""
        return cls(now.date(), now.astimezone(UTC), ahead)

    @classmethod
    def parse(cls, text: str) -> Self:
        """`2025-04-08`, or `2025-04-08T10:00:00+02:00`. Raises `InputError` for anything else."""
        read = when(text)
        if read is None or read.day is None:
            raise InputError(f"'{text}' is no day: write it as 2025-04-08, or with a time as 2025-04-08T10:00:00Z")
        if read.time is not None and read.instant is None:
            raise InputError(f"'{text}' has a time but no zone: write it as {text}Z or {text}+02:00")
        return cls(read.day, read.instant)

    @classmethod
    def of(cls, moment: Moment | date | str) -> Moment:
        """A moment from a day, an aware datetime, or text."""
        if isinstance(moment, Moment):
            return moment
        if isinstance(moment, str):
            return cls.parse(moment)
        if isinstance(moment, datetime):
            if moment.tzinfo is None:
                raise InputError(f"{moment.isoformat()} has no time zone: use an aware datetime, or a date")
            return cls(moment.date(), moment.astimezone(UTC))
        return cls(moment)


class Known(msgspec.Struct, frozen=True):
    """When a datum became known: the day as written and, if stated, the instant.

    `assumed`: nothing says when, so its own first clock stands in. A datum without any clock is known from ever.
    """

    day: date = date.min
    instant: datetime | None = None
    text: str = ""
    assumed: bool = True

    def by(self, moment: Moment) -> bool:
        """Whether this was known at the moment. Days are compared unless both sides state an instant."""
        if moment.instant is None:
            return self.day <= moment.day
        if self.instant is None:
            return self.day <= (moment.day if moment.ahead is None else (moment.instant + _EASTERNMOST).date())
        return self.instant <= (moment.instant if moment.ahead is None else moment.instant + moment.ahead)

    def still_to_come(self, moment: Moment) -> datetime | None:
        """From when on it will count, if it says of itself that it becomes known only after the moment of a live evaluation."""
        if moment.ahead is None or self.assumed or self.by(moment):
            return None
        return (
            datetime.combine(self.day, time(), UTC) - _EASTERNMOST
            if self.instant is None
            else self.instant - moment.ahead
        )

    @property
    def order(self) -> tuple[date, datetime]:
        """Sorts by the time of becoming known: by instant within a day, a bare day first."""
        return (self.day, self.instant or _FROM_EVER)

    @classmethod
    def at(cls, stated: When) -> Known:
        """Known since a stated time."""
        return cls(stated.first, stated.instant, stated.text, False)

    @classmethod
    def supposed(cls, clock: When | None) -> Known:
        """Known, as far as one can suppose, since its own first clock."""
        return FROM_EVER if clock is None else cls(clock.first, clock.instant, clock.text, True)


_FROM_EVER = datetime.min.replace(tzinfo=UTC)
FROM_EVER = Known()
"""Neither clock is stated: it must not vanish from any chart."""


class Item(msgspec.Struct):
    """One resource of the patient, in one version, as the readers of the chart take it up.

    Versions of one resource come in the order in which they replace one another. `known` goes by issue or last update
    or receipt; where none is stated it is `FROM_EVER`, and the reader puts the resource's own first clock in its place:
    `item.known_or(when(resource.get("onsetDateTime")))`.

    "Issue" is `issued`, `authoredOn`, `dateAsserted`, `recordedDate` or `recorded`, as the type has it. What a later
    update may have added (an end, a resolution, a changed status) is known since `updated`, not since `known`.
    """

    resource: dict[str, Any]
    path: str  # where it stands in the input: "Bundle.entry[3].resource"
    ref: str  # "Condition/123"
    known: Known
    version: int  # rises from one version of the same `ref` to the next
    index: Mapping[str, dict[str, Any]]  # every resource of the input, by "Type/id" and by full URL
    updated: Known = FROM_EVER  # the later of issue and last update: since when its present content is known

    def known_or(self, clock: When | None) -> Known:
        """When it became known, falling back on its own first clock."""
        return Known.supposed(clock) if self.known.assumed else self.known

    def resolve(self, reference: object) -> dict[str, Any] | None:
        """The resource that a FHIR Reference means (contained, relative, absolute or urn:uuid); None if not here."""
        return resolve(reference, self.resource, self.index)


def resolve(reference: object, within: Mapping[str, Any], index: Mapping[str, dict[str, Any]]) -> dict[str, Any] | None:
    """The resource that `reference` (a FHIR Reference found in the resource `within`) points to; None if not here."""
    target = reference.get("reference") if isinstance(reference, dict) else None
    if not isinstance(target, str) or not target:
        return None
    if target[0] == "#":
        contained = within.get("contained")
        for inner in contained if isinstance(contained, list) else ():
            if isinstance(inner, dict) and inner.get("id") == target[1:]:
                return inner
        return None
    found = index.get(target)
    return index.get(relative(target)) if found is None else found


def relative(target: str) -> str:
    """`Type/id` of a literal reference, without server base and version: `http://h/fhir/Patient/1/_history/2`."""
    target = target.partition("/_history/")[0]
    if target.count("/") > 1:
        return "/".join(target.rsplit("/", 2)[1:])
    return target


_ISSUED = {
    "Observation": "issued",
    "DiagnosticReport": "issued",
    "MedicationRequest": "authoredOn",
    "MedicationStatement": "dateAsserted",
    "MedicationDispense": "whenHandedOver",
    "Condition": "recordedDate",
    "Immunization": "recorded",
}


def known_since(resource: Mapping[str, Any], received: Known = FROM_EVER) -> tuple[Known, Known]:
    """When a resource was issued (else last updated, else received), and when its present content was known at the latest."""
    stated = resource.get(_ISSUED.get(resource["resourceType"], "issued"))
    issued = _known_at(stated) if isinstance(stated, str) else None
    updated = _updated(resource["meta"]) if "meta" in resource else None
    if issued is None or updated is None:
        known = issued or updated or received
        return known, known
    return issued, updated if updated.order > issued.order else issued


def says_when(resource: Mapping[str, Any], known: Known) -> str:
    """The element of a resource that says since when it is known."""
    name = _ISSUED.get(resource["resourceType"], "issued")
    stated = resource.get(name)
    return name if isinstance(stated, str) and stated.strip() == known.text else "meta.lastUpdated"


def _updated(meta: object) -> Known | None:
    stated = meta.get("lastUpdated") if isinstance(meta, dict) else None
    return _known_at(stated) if isinstance(stated, str) else None


@lru_cache(maxsize=65536)
def _known_at(text: str) -> Known | None:
    read = _when(text)
    # A year or a month says nothing about when: it would hide the datum for as long, or show it too early.
    return None if read is None or read.day is None else Known.at(read)
