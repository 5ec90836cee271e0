"""A patient's record: everything that was read, from which the chart of any moment is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from typing import Any, NamedTuple

import msgspec

from cds.chart.assay import sample_of
from cds.chart.catalogue import Catalogue
from cds.chart.clock import Item, Known, Moment, When, says_when, when
from cds.chart.context import Context
from cds.chart.model import Chart, LeftOut, Result
from cds.chart.occasions import in_order
from cds.chart.results import collected
from cds.chart.therapy import Exposures
from cds.chart.values import Count, above_count, per_ev
from cds.chart.versions import Version


class CountVersion(msgspec.Struct):
    """One version of an Observation that holds a total EV count; `count` is None if its status does not count."""

    known: Known
    rank: tuple[Any, ...]
    ref: str
    count: Count | None
    day: date | None
    laboratory: str | None
    specimen: str | None
    resource: Mapping[str, Any]
    path: str  # where it stands in the input


class Identity(NamedTuple):
    """Who the patient is, as far as rules ask."""

    patient: str
    birth_date: When | None = None
    sex: str | None = None
    deceased: bool = False
    died: When | None = None  # None: no day is stated, or none that can be read

    def deceased_by(self, day: date) -> bool:
        """Whether the patient may have died by that day."""
        return self.deceased and (self.died is None or self.died.first <= day)


class Record(msgspec.Struct):
    """What is known of one patient, with the time at which each datum became known.

    `left_out` lists what was not used, `unmapped` the codes that look like markers and are mapped by nobody.
    """

    identity: Identity
    catalogue: Catalogue
    results: list[list[Version]]  # per result its versions, in the order in which they replace one another
    counts: list[list[CountVersion]]
    exposures: Exposures
    context: Context
    left_out: tuple[LeftOut, ...] = ()
    unmapped: tuple[str, ...] = ()
    items: tuple[Item, ...] = ()
    panels: Mapping[str, frozenset[str]] = msgspec.field(
        default_factory=dict
    )  # Observation -> the others of its panels

    @property
    def patient(self) -> str:
        """`Patient/123`."""
        return self.identity.patient

    def as_of(self, moment: Moment | date | datetime | str) -> Chart:
        """The chart as of a day (all that became known on it counts) or an instant.

        Of an instant the chart's day is the calendar day as the moment has it, or the later one of a sample that was
        collected by then where that day had already begun. Of a live one, whatever says of itself that it is still to come
        is in `Chart.left_out`, first of all, and `Chart.again` says when it begins to count. Raises `InputError` if the
        moment cannot be read.
        """
        moment = Moment.of(moment)
        if moment.instant is not None:
            moment = self._where_it_is_later(moment)
        current = self.context.as_of(moment)
        imaging, operations, diagnosis = current.imaging(), current.operations(), current.diagnosis()
        results, voided = self._results(moment)
        ahead, again = self._ahead(moment)
        born = self.identity.birth_date
        return Chart(
            patient=self.identity.patient,
            as_of=moment.day,
            birth_date=born.last if born is not None else None,
            born_from=born.first if born is not None and born.first != born.last else None,
            sex=self.identity.sex,
            diagnosis=diagnosis,
            lines=self.exposures.lines(moment, imaging, operations, diagnosis),
            unrecognised=self.exposures.unrecognised(moment),
            operations=operations,
            undated_resection=current.undated_resection(),
            events=current.events(),
            imaging=imaging,
            results=results,
            left_out=(*ahead, *self.left_out) if ahead else self.left_out,
            unmapped=self.unmapped,
            birth_date_text=born.text if born is not None else None,
            deceased=(dead := self.identity.deceased_by(moment.day)),
            died=self.identity.died.day if dead and self.identity.died is not None else None,
            voided=voided,
            again=again,
        )

    def moments(self) -> tuple[date, ...]:
        """The days on which something became known, in order."""
        days = {version.known.day for versions in self.results for version in versions}
        days |= {version.known.day for versions in self.counts for version in versions}
        days |= {item.known_or(first_clock(item.resource)).day for item in self.items}
        days |= {item.updated.day for item in self.items if not item.updated.assumed}
        return tuple(sorted(days - {date.min}))

    def _where_it_is_later(self, moment: Moment) -> Moment:
        """The same instant on the latest calendar day that a sample collected by then bears.

        A sample drawn east of whoever asks can bear tomorrow's date without being one of the future.
        """
        day = moment.day
        for versions in self.results:
            for version in versions:
                result = version.result
                if result is None or result.collected is None or result.collected <= day:
                    continue
                taken = Known.supposed(self._taken(version))
                if taken.by(moment) and _current(versions, moment) is version:
                    day = result.collected
        return moment if day == moment.day else replace(moment, day=day)

    def _taken(self, version: Version) -> When | None:
        """When the sample of a result was collected."""
        index = self.items[0].index if self.items else {}
        return collected(version.resource, sample_of(version.resource, index))

    def _ahead(self, moment: Moment) -> tuple[tuple[LeftOut, ...], datetime | None]:
        """What is here and says that it is still to come, and when the first of it begins to count; nothing, looking back."""
        if moment.ahead is None:
            return (), None
        found: dict[str, LeftOut] = {}
        times: list[datetime] = []

        def note(resource: Mapping[str, Any], ref: str, path: str, *clocks: Known, is_result: bool = False) -> None:
            for known in clocks:
                begins = known.still_to_come(moment)
                if begins is not None:
                    times.append(begins)
                    where = f"{path}.{says_when(resource, known)}"
                    reason = f"its time of report, {known.text}, is still to come: it does not count before"
                    found.setdefault(where, LeftOut(where, ref, reason, _CLOCK, is_result))
                    return

        for versions in self.results:
            last = versions[-1]
            ref = next((one.result.ref for one in versions if one.result is not None), "")
            note(last.resource, ref or f"Observation/{last.resource.get('id')}", last.path, last.known, is_result=True)
        for counts in self.counts:
            note(counts[-1].resource, counts[-1].ref, counts[-1].path, counts[-1].known)
        for item in self.items:
            note(item.resource, item.ref, item.path, item.known, item.updated)
        return tuple(found.values()), min(times, default=None)

    def _results(self, moment: Moment) -> tuple[Mapping[str, tuple[Result, ...]], tuple[str, ...]]:
        """The results that count, by marker, and the references of those that were taken back."""
        voided: list[str] = []
        found: dict[str, list[Result]] = {}
        counts = self._counts(moment) if self.counts else None
        for versions in self.results:
            version = _current(versions, moment)
            if version is None:
                continue
            if version.result is None:
                voided.append(f"Observation/{version.resource.get('id')}")
                continue
            result = version.result
            if counts is not None and result.total_ev is None:
                result = self._per_ev(result, version, counts)
            if result.marker in found:
                found[result.marker].append(result)
            else:
                found[result.marker] = [result]
        return {marker: in_order(found[marker], moment.day) for marker in sorted(found)}, tuple(voided)

    def _counts(self, moment: Moment) -> Mapping[object, list[CountVersion]]:
        """The total EV counts known at the moment, by what may tie a result to them."""
        counts: dict[object, list[CountVersion]] = {}
        for versions in self.counts:
            version = _current(versions, moment)
            if version is not None and version.count is not None:
                for key in (version.ref, _occasion(version.specimen, version.day, version.laboratory)):
                    counts.setdefault(key, []).append(version)
        return counts

    def _per_ev(self, result: Result, version: Version, counts: Mapping[object, list[CountVersion]]) -> Result:
        """The result with the total EV count that another Observation holds, if exactly one count belongs to it.

        It belongs by a link or a common panel; else by specimen; else, where neither names one, by day and laboratory.
        """
        linked = version.linked | self.panels.get(result.ref, frozenset())
        # A link says that two belong together, not that one was counted in the other's specimen.
        belonging = [
            count for ref in linked for count in counts.get(ref, ()) if _may_belong(count, result)
        ] or counts.get(_occasion(result.specimen_id, result.collected, result.laboratory), [])
        different = {count.count for count in belonging}
        if len(different) != 1:
            return result
        count = different.pop()
        family = self.catalogue.markers[result.marker].families.get(result.family or "")
        low, high = per_ev(result.low, result.high, family, count)
        shown = count.shown if count is not None else None
        faults = result.faults | {"above-total-ev"} if above_count(result.low, family, count) else result.faults
        return msgspec.structs.replace(result, per_ev_low=low, per_ev_high=high, total_ev=shown, faults=faults)


def _occasion(specimen: str | None, day: date | None, laboratory: str | None) -> object:
    if specimen is not None:
        return ("specimen", specimen)
    return ("day", day, laboratory) if day is not None else object()  # without either, like nothing else


_CLOCK = "have it corrected where it was written: likely the sender's clock is wrong, or the time was mistyped"


def _current(versions: list[Any], moment: Moment) -> Any:
    """The last version known at the moment; None if none was."""
    if len(versions) == 1:
        return versions[0] if _is_known(versions[0].known, moment) else None
    return next((version for version in reversed(versions) if _is_known(version.known, moment)), None)


def _is_known(known: Known, moment: Moment) -> bool:
    # What is here now was received by now, whatever day its sample bears: its collection must not hide it.
    return known.by(moment) or (known.assumed and moment.ahead is not None)


_FIRST_CLOCKS = (
    "effectiveDateTime", "performedDateTime", "onsetDateTime", "authoredOn", "recordedDate", "occurrenceDateTime",
)  # fmt: skip
_FIRST_PERIODS = ("effectivePeriod", "performedPeriod", "onsetPeriod", "period")


def first_clock(resource: Mapping[str, Any]) -> When | None:
    """When what a resource tells was true: the time that stands in where nothing says when it became known."""
    for name in _FIRST_CLOCKS:
        if found := when(resource.get(name)):
            return found
    for name in _FIRST_PERIODS:
        period = resource.get(name)
        if isinstance(period, dict) and (found := when(period.get("start"))):
            return found
    return None


def _may_belong(count: CountVersion, result: Result) -> bool:
    """Neither the day nor the specimen of the count contradicts those of the result."""
    if count.day is not None and result.collected is not None and count.day != result.collected:
        return False
    return count.specimen is None or result.specimen_id is None or count.specimen == result.specimen_id
