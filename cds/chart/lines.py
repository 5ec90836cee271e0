"""From what was given to lines: runs of one therapy class, as of a day.

A line goes on while the class goes on. Another drug of the class begins a new line only after progression, any drug of
it after a pause longer than the class's gap. Where the record gives doses or supplies, a line counts as running until
the drug's bridge has passed; then it ended with the last of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, time, timedelta
from typing import Literal

import msgspec

from cds.chart.exposure import Span
from cds.chart.model import Diagnosis, DrugCourse, Line, Operation, Tri

Prepares = Callable[[date | None, frozenset[str]], Tri]
"""Whether a line with this start and these stated intents is neoadjuvant."""

Form = Literal["dose", "supply", "fixed", "open", "vague"]
"""How a stretch ends: with the dose, with the supply, on a stated day, not yet, or nobody knows when."""


@dataclass(frozen=True, slots=True)
class TherapyClass:
    """A therapy class as its file describes it; `gap` in days."""

    name: str
    title: str
    gap: int
    line_per_drug: bool = False
    until_other_line: bool = False  # a line of another class that begins after the last dose ends it
    drugs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Drug:
    """A drug in its class. `bridge`: how many days after a dose or supply it counts as going on."""

    name: str
    therapy: str
    oral: bool
    bridge: int


class Stretch(msgspec.Struct):
    """One drug from a day to a day, as of the day of the chart. `last` is the last day known, `first` if none is."""

    drug: Drug
    form: Form
    first: date | None
    last: date | None
    exact: bool  # `first` is the very day, not only the year or month
    planned: bool
    ordered: bool
    given: bool
    hour: time | None
    intents: frozenset[str]
    ref: str


def stretch_of(span: Span, drug: Drug, intents: frozenset[str], day: date, settled: bool) -> Stretch | None:
    """What a span says of a drug as of `day`; None if nothing that counts.

    `settled` is False while the status and the end that the span states were not known yet: then it was going on.
    """
    progress, end = span.progress, span.end
    if not settled and progress != "planned":
        progress, end = ("done" if span.given else "running"), (end if span.given or span.supplied else None)
    if progress == "void":
        return None
    start = span.start
    first = None if start is None else start.first
    exact = start is not None and start.first == start.last
    planned = False
    if progress == "planned" or (first is not None and first > day):
        if first is None or not exact or first < day or progress == "done":
            return None  # a plan without a day, or one that was never carried out
        planned = True
    form: Form
    if span.given and not (progress == "running" and end is None):
        form, last = ("vague" if progress == "paused" else "dose"), (end or start)
    elif end is not None:
        form, last = ("supply" if span.supplied else "fixed"), end
    elif progress == "running":
        form, last = "open", start
    elif progress == "done" and not drug.oral:
        form, last = "dose", start  # an injection or infusion: the record is of one dose
    else:
        form, last = "vague", start
    hour = None if start is None or span.ordered else start.time
    until = None if last is None else last.last
    return Stretch(drug, form, first, until, exact, planned, span.ordered, span.given, hour, intents, span.ref)


def lines_of(
    therapy: TherapyClass,
    stretches: list[Stretch],
    day: date,
    worse: Sequence[date],
    others: Sequence[date],
    prepares: Prepares,
) -> Iterator[Line]:
    """The lines of one class as of `day`. `worse`: when progression was found; `others`: when other classes began."""
    if not therapy.until_other_line:
        others = ()
    kept = _without_carried_out_orders(stretches) if len(stretches) > 1 else stretches
    undated = [stretch for stretch in kept if stretch.first is None]
    if undated:
        yield _Run(undated).line(therapy.name, day, others, prepares)
    dated = sorted(
        (stretch for stretch in kept if stretch.first is not None),
        key=lambda stretch: (stretch.first, stretch.planned, stretch.drug.name, stretch.ref),
    )
    run: _Run | None = None
    for stretch in dated:
        if run is not None and run.goes_on(stretch, therapy.gap, worse, day):
            run.add(stretch)
            continue
        carried: list[Stretch] = []
        if run is not None:
            if not stretch.planned and stretch.first is not None:
                carried = run.stop_before(stretch.first, day)
            yield run.line(therapy.name, day, others, prepares)
        run = _Run([stretch, *carried])
    if run is not None:
        yield run.line(therapy.name, day, others, prepares)


def _without_carried_out_orders(stretches: list[Stretch]) -> list[Stretch]:
    """Without the orders of infusions and injections of which the doses themselves are recorded: day 0 is a dose."""
    doses: dict[str, list[date]] = {}
    for stretch in stretches:
        if not stretch.ordered and stretch.form == "dose" and stretch.first is not None:
            doses.setdefault(stretch.drug.name, []).append(stretch.first)
    if not doses:
        return stretches
    return [
        stretch
        for stretch in stretches
        if not stretch.ordered
        or stretch.drug.oral
        or stretch.first is None
        or not any(abs((dose - stretch.first).days) <= stretch.drug.bridge for dose in doses.get(stretch.drug.name, ()))
    ]


class _Run:
    """Stretches of one class that make one line."""

    __slots__ = ("closed", "drugs", "first", "planned", "reach", "stretches", "unending")

    def __init__(self, stretches: list[Stretch]) -> None:
        self.stretches: list[Stretch] = []
        self.drugs: dict[str, None] = {}
        self.first = stretches[0].first
        self.planned = stretches[0].planned
        self.reach = self.first  # the last day known
        self.unending = False
        self.closed: date | None = None
        for stretch in stretches:
            self.add(stretch)

    def add(self, stretch: Stretch) -> None:
        if stretch.planned and not self.planned:
            return  # what is planned goes on with what runs
        self.stretches.append(stretch)
        if stretch.drug.name:
            self.drugs[stretch.drug.name] = None
        self.unending = self.unending or stretch.form == "open"
        if stretch.last is not None and (self.reach is None or stretch.last > self.reach):
            self.reach = stretch.last

    def goes_on(self, stretch: Stretch, gap: int, worse: Sequence[date], day: date) -> bool:
        """Whether `stretch` belongs to this line."""
        first = stretch.first
        if first is None or self.first is None or self.reach is None:
            return False
        if not self.unending and (first - self.reach).days > gap:
            return False
        if stretch.drug.name in self.drugs or not stretch.drug.name:
            return True
        return not any(self.first < progressed <= first for progressed in worse)

    def stop_before(self, first: date, day: date) -> list[Stretch]:
        """End this line on the day before another of its class begins; what of it goes on in the other."""
        carried = [
            stretch
            for stretch in self.stretches
            if stretch.form == "open" or (stretch.last is not None and stretch.last >= first)
        ]
        if carried:
            self.closed = first - timedelta(days=1)
        return [_from(stretch, first) for stretch in carried]

    def line(self, therapy: str, day: date, others: Sequence[date], prepares: Prepares) -> Line:
        end, extent = self._end(day, others)
        start = self._start()
        stated = [stretch.intents for stretch in self.stretches if stretch.intents]
        return Line(
            therapy,
            tuple(self.drugs),
            start,
            end,
            extent,
            self.planned,
            self._first_dose(),
            prepares(start, frozenset().union(*stated) if stated else _NO_INTENT),
            tuple(dict.fromkeys([stretch.ref for stretch in self.stretches])),
            self._courses() if len(self.drugs) > 1 else (),
        )

    def _courses(self) -> tuple[DrugCourse, ...]:
        """When each drug was or may have been given: for its bridge after a dose or supply, without an end if none is known."""
        return tuple(dict.fromkeys([_course(stretch) for stretch in self.stretches if stretch.drug.name]))

    def _start(self) -> date | None:
        exact = any(stretch.exact for stretch in self.stretches if stretch.first == self.first)
        return self.first if exact else None

    def _first_dose(self) -> time | None:
        """The time of the first dose, if every dose of the first day has one."""
        hours = [stretch.hour for stretch in self.stretches if stretch.first == self.first and not stretch.ordered]
        timed = [hour for hour in hours if hour is not None]
        return min(timed) if timed and len(timed) == len(hours) else None

    def _end(self, day: date, others: Sequence[date]) -> tuple[date | None, str]:
        if self.closed is not None:
            return self.closed, "known"
        if self.planned:
            return None, "known"
        last = date.min
        vague: list[Stretch] = []
        going_on = False
        for stretch in self.stretches:
            if stretch.form == "fixed" and stretch.last is not None and stretch.last > day:
                return None, "known"
            if stretch.form == "vague":
                vague.append(stretch)
            elif stretch.form == "open":
                going_on = True
            elif stretch.last is not None:
                last = max(last, stretch.last)
                bridged = stretch.form != "fixed" and (day - stretch.last).days <= stretch.drug.bridge
                going_on = going_on or (bridged and not any(stretch.last < other <= day for other in others))
        if going_on:
            return None, "assumed-ongoing"
        open_ended = [stretch for stretch in vague if stretch.last is None or stretch.last >= last]
        if open_ended:
            return None, "assumed-ongoing" if _renewed(vague, day) else "unknown"
        return (None, "unknown") if last == date.min else (last, "known")


_NO_INTENT: frozenset[str] = frozenset()


def _renewed(vague: list[Stretch], day: date) -> bool:
    """Whether a drug was ordered again and again, and not longer ago than its bridge."""
    names = [stretch.drug.name for stretch in vague]
    return any(
        names.count(stretch.drug.name) > 1
        and stretch.last is not None
        and (day - stretch.last).days <= stretch.drug.bridge
        for stretch in vague
    )


def _course(stretch: Stretch) -> DrugCourse:
    given = last = None if stretch.form in ("open", "vague") else stretch.last
    if last is not None and stretch.form != "fixed":
        last += timedelta(days=stretch.drug.bridge)
    return DrugCourse(stretch.drug.name, stretch.first, last, given)


def _from(stretch: Stretch, first: date) -> Stretch:
    """The rest of a stretch that goes on into another line."""
    return Stretch(
        stretch.drug, stretch.form, first, stretch.last, False, False, True, stretch.given, None, stretch.intents, stretch.ref
    )  # fmt: skip


def is_neoadjuvant(
    start: date | None, intents: frozenset[str], operations: Sequence[Operation], diagnosis: Diagnosis, within: int
) -> Tri:
    """Whether a line prepared for an operation: as its record states, else as operations and metastases tell.

    The operation that it prepares is a curative one at most `within` days after its start, with none before.
    """
    if intents:
        if "neoadjuvant" in intents:
            return True if len(intents) == 1 else None
        return False
    if start is None:
        return None
    curative = [operation.day for operation in operations if operation.curative]
    if any(day <= start for day in curative):
        return False
    if any(0 < (day - start).days <= within for day in curative):
        return True
    return False if diagnosis.metastatic else None
