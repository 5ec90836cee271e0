"""Clinical context: disease and receptors, operations, events that disturb markers, response by imaging; as known at a moment.

What the codes mean stands in rules/events/. A resource that cannot be read is listed, never guessed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import msgspec

from cds.chart.clinical import Datum, Stated, last_day, read_clinical
from cds.chart.clock import Item, Known, Moment
from cds.chart.codes import SYSTEMS
from cds.chart.disease import diagnosis_of
from cds.chart.meanings import SILENT, EventCatalogue, load_events
from cds.chart.model import Diagnosis, Event, Imaging, LeftOut, Operation
from cds.chart.surgery import has_undated_resection, operations_of, uncertain_operations

__all__ = ["LOINC", "Context", "EventCatalogue", "load_events", "read_context"]

LOINC = SYSTEMS["loinc"][0]


class Context(msgspec.Struct):
    """Everything of a record that is neither a marker result nor a therapy, with its two clocks."""

    stated: list[Stated]  # per resource, in the order in which its versions and updates replace one another
    longest: Mapping[str, int] = msgspec.field(default_factory=dict)

    def as_of(self, moment: Moment) -> Current:
        """What was known of it at the moment."""
        said: dict[str, list[Datum]] = defaultdict(list)
        for stated in self.stated:
            for known, data in reversed(stated):
                if known.by(moment):
                    for datum in data:
                        said[datum.what].append(datum)
                    break
        return Current(said, moment.day, self.longest)


class Current(msgspec.Struct):
    """What counts on one day, by what it says something of."""

    said: Mapping[str, Sequence[Datum]]
    day: date
    longest: Mapping[str, int]

    def diagnosis(self) -> Diagnosis:
        """Disease and receptors: the newest statement of each receptor counts; what is not stated is unknown."""
        return diagnosis_of(self.said, self.day)

    def operations(self) -> tuple[Operation, ...]:
        """Operations done, and those planned; sorted by day."""
        return operations_of(self.said, self.day)

    def undated_resection(self) -> bool:
        """Whether a resection that may have removed the tumour is recorded without any date."""
        return has_undated_resection(self.said)

    def events(self) -> tuple[Event, ...]:
        """What disturbs markers, sorted by start (unknown first); an end that lies later has not come yet."""
        data = self.said.get("event", ())
        found = [
            self._event(datum)
            for datum in data
            if datum.detail not in SILENT
            and not datum.answer
            and (datum.start is None or datum.start.first <= self.day)
        ]
        found += uncertain_operations(self.said, self.day)
        if any(datum.detail.startswith("pregnancy") or datum.detail == "puerperium" for datum in data):
            found = _with_pregnancies(found, data, self.day, self.longest.get("pregnancy", 308))
        return tuple(sorted(found, key=lambda event: (event.start or date.min, event.kind, event.ref)))

    def _event(self, datum: Datum) -> Event:
        """What a datum says; an open event of a kind that does not last for ever has ended when none lasts longer."""
        start, end = datum.start.first if datum.start else None, last_day(datum.end, self.day)
        longest = self.longest.get(datum.detail)
        if end is None and start is not None and longest is not None and datum.detail != "pregnancy":
            end = start + timedelta(days=longest) if (self.day - start).days > longest else None
        return Event(datum.detail, start, end, datum.ref)

    def imaging(self) -> tuple[Imaging, ...]:
        """Response assessments, sorted by day."""
        found = [
            Imaging(datum.start.first, datum.detail, datum.ref)
            for datum in self.said.get("imaging", ())
            if datum.start is not None and datum.start.first <= self.day
        ]
        return tuple(sorted(found, key=lambda scan: (scan.day, scan.response, scan.ref)))


def read_context(items: Sequence[Item], catalogue: EventCatalogue) -> tuple[Context, list[LeftOut]]:
    """What the resources say of disease, operations, events and imaging, and what could not be used of it."""
    by_ref: dict[str, Stated] = {}
    left_out: list[LeftOut] = []
    for item in items:
        found = read_clinical(item, catalogue, left_out)
        if found is not None:
            by_ref.setdefault(item.ref, []).extend(found)
        elif item.version and item.ref in by_ref:
            by_ref[item.ref].append((_since(item), []))  # a later version says nothing of ours any more
    return Context(list(by_ref.values()), catalogue.longest), left_out


def _since(item: Item) -> Known:
    return item.known if item.updated.assumed else item.updated


def _with_pregnancies(events: list[Event], data: Sequence[Datum], day: date, longest: int) -> list[Event]:
    """The events with what is known of pregnancies: stated ones, observed ones, and those that birth or loss ended."""
    over = sorted(
        datum.start.last
        for datum in data
        if (datum.detail == "pregnancy-over" or datum.answer == "none")
        and datum.start is not None
        and datum.start.last <= day
    )
    settled = [
        _ended(event, event.start, over, day, longest) if event.end is None else event
        for event in events
        if event.kind == "pregnancy"
    ]
    for datum in data:
        if datum.answer == "pregnancy" and datum.start is not None and datum.start.first <= day:
            seen = datum.start.first
            earlier = [ended for ended in over if ended < seen]
            begun = max(_before(seen, longest), earlier[-1] if earlier else date.min)
            settled.append(_ended(Event("pregnancy", begun, None, datum.ref), seen, over, day, longest))
    for datum in data:
        if datum.detail == "pregnancy-over" and datum.start is not None and datum.start.last <= day:
            birth = datum.start.last
            if not any(event.end == birth for event in settled):
                settled.append(Event("pregnancy", _before(birth, longest), birth, datum.ref))
    for datum in data:
        if datum.detail == "puerperium" and datum.start is not None and datum.start.last <= day:
            born = datum.start.last  # at the latest, unless a birth shortly before is recorded
            if not any(event.end is not None and 0 <= (born - event.end).days <= _CHILDBED for event in settled):
                settled.append(Event("pregnancy", _before(born, longest), born, datum.ref))
    return [*(event for event in events if event.kind != "pregnancy"), *settled]


def _ended(event: Event, seen: date | None, over: Sequence[date], day: date, longest: int) -> Event:
    """The pregnancy, there on the day `seen`, with its end: the next birth or negative answer, or when none lasts longer."""
    end = next((ended for ended in over if seen is None or ended >= seen), None)
    if end is None and seen is not None and (day - seen).days > longest:
        end = seen + timedelta(days=longest)
    return event if end is None else msgspec.structs.replace(event, end=end)


_CHILDBED = 90  # days after birth to which a mention of childbed belongs


def _before(day: date, days: int) -> date:
    return date.fromordinal(max(day.toordinal() - days, 1))
