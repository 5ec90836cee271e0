"""One question about one chart: which samples count, and what they are compared with.

Paragraph numbers in brackets are those of docs/readings.md.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple

import msgspec

from cds.chart.model import Chart, Line, Result, Tri
from cds.reasoning.anchoring import Anchored, anchored, before_dose, may_run, runs
from cds.reasoning.rulebook import Rule, RuleBook
from cds.reasoning.statistics import Interval, geometric_mean, lowest


class Sample(msgspec.Struct, eq=False):
    """A dated result inside a question: its place in the order of samples and its day of the line."""

    result: Result
    index: int
    collected: date
    day: int = 0  # days since the line's first dose, or since the operation
    before: bool = False  # drawn before the first dose

    @property
    def value(self) -> Interval:
        return Interval(self.result.low or 0.0, self.result.high or 0.0)


class Reference(NamedTuple):
    """What a sample is compared with: a mean of `n` baseline samples, or one nadir."""

    kind: str  # baseline | late-baseline | nadir
    samples: tuple[Sample, ...]
    n: int
    plain: Interval | None = None  # its value, if no value of it depends on what it is compared with


class _Earlier(NamedTuple):
    """What later samples are compared with, oldest first: of each its day, and the lowest value so far if all are plain."""

    samples: list[Sample]
    days: list[date]
    lowest: list[Interval | None]


Test = tuple[Callable[["Question", Any, Sample], Tri], Any]
"""A test of a sample with its parameters; true or unknown: it may not be used."""


class Shared:
    """What holds of a marker's samples whatever rule is asked: found once for all of them."""

    __slots__ = (
        "_way_of", "_ways", "comparable", "dated", "facts", "faulty", "method_tests", "results", "sample_tests", "sound_methods", "usable",
    )  # fmt: skip

    def __init__(self, chart: Chart, marker: str) -> None:
        day = chart.as_of
        self.results = chart.results.get(marker, ())
        self.dated = [
            (one, one.collected) for one in self.results if one.collected is not None and one.collected <= day
        ]
        self.faulty = any([one.faults for one in self.results])
        self.usable: dict[int, bool] = {}  # by the sample's place
        self.comparable: dict[tuple[int, int], Tri] = {}  # by the ways in which two were measured, the earlier first
        self._ways: dict[Any, int] = {}
        self._way_of: dict[int, int] = {}  # by result, for the life of the chart
        self.facts: dict[tuple[str, ...], dict[str, Tri]] = {}  # by their names: those that all rules ask alike
        self.method_tests: list[Test] = []  # what makes a sample unusable by how it was measured
        self.sample_tests: list[Test] = []  # what makes a sample unusable otherwise
        self.sound_methods: dict[tuple[int, int], bool] = {}  # by what was measured how, for the life of the chart

    def way(self, result: Result) -> int:
        """A number for everything that decides with what a result may be compared; most of a chart share one."""
        known = self._way_of.get(id(result))
        if known is None:
            way = (
                id(result.method), result.family, result.laboratory, result.lot, result.bridged, result.declared,
                result.censored, result.lod,
            )  # fmt: skip
            known = self._way_of[id(result)] = self._ways.setdefault(way, len(self._ways))
        return known


class Question:
    """One rule asked of one chart. `applies` is three-valued; `line` or `operation` is what the question is about."""

    __slots__ = (
        "_baselines", "_earlier", "_judged", "_means", "_references", "anchored", "before", "begins", "book", "chart",
        "compared", "confirmations", "faulty", "is_second", "latest", "line", "marker", "operation", "results",
        "rule", "samples", "shared", "start",
    )  # fmt: skip

    def __init__(self, chart: Chart, rule: Rule, book: RuleBook, shared: Shared, *, off_line: Line | None = None):
        self.chart = chart
        self.rule = rule
        self.book = book
        self.marker = book.catalogue.markers[rule.watches]
        self.shared = shared
        self.results, self.faulty = shared.results, shared.faulty
        self.samples = [Sample(result, index, collected) for index, (result, collected) in enumerate(shared.dated)]
        self.latest = self.samples[-1] if self.samples else None
        self.confirmations: dict[int, tuple[Tri, tuple[Sample, Sample] | None]] = {}  # by pair, found once
        self.compared: dict[Any, Any] = {}  # comparisons by sample and change, formed once
        self._means: dict[tuple[int, ...], Reference] = {}  # references by their samples
        self._references: dict[int, Reference | None] = {}
        self._earlier: dict[tuple[date, int], _Earlier] = {}  # by first day and way of measuring
        self._baselines: tuple[list[Sample], list[Sample]] | None = None
        self._judged: list[Sample] | None = None
        if off_line is not None:
            about = Anchored(True, off_line)
        elif self.latest is not None:
            about = anchored(chart, rule.anchor, book.windows, self.latest.result, self.latest.collected)
        else:
            about = Anchored(False)
        self.anchored, self.line, self.operation = about.found, about.line, about.operation
        self.start, self.before, self.is_second = about.start, about.before, about.is_second
        self.begins = about.begins
        if self.start is not None:
            self._number_days(self.start)

    def _number_days(self, start: date) -> None:
        line = self.line
        for sample in self.samples:
            sample.day = (sample.collected - start).days
            sample.before = sample.day < 0 or (
                sample.day == 0 and line is not None and before_dose(sample.result, line)
            )

    def runs_at(self, line: Line, sample: Sample) -> Tri:
        """Whether the line runs when the sample is drawn: not if it is drawn on day 0 before the first dose [7]."""
        if line.start == sample.collected and not line.planned and before_dose(sample.result, line):
            return False
        return runs(self.chart, self.book.windows, line, sample.collected)

    def may_run(self, classes: tuple[str, ...], sample: Sample) -> bool:
        """Whether a drug against cancer that is not recognised may be of one of these classes and about for the sample."""
        return may_run(self.chart, self.book.windows, classes, sample.collected, surely_a_drug=True)

    # which samples ---------------------------------------------------------------------------------------------

    def usable(self, sample: Sample) -> bool:
        """Whether the sample passes every gate that each sample must pass [12, 14, 29]."""
        known = self.shared.usable.get(sample.index)
        if known is None:
            known = self.shared.usable[sample.index] = not sample.result.faults and self._is_sound(sample)
        return known

    def _is_sound(self, sample: Sample) -> bool:
        shared = self.shared
        measured = (id(sample.result.method), id(sample.result.checks))  # most samples of a chart share these
        sound = shared.sound_methods.get(measured)
        if sound is None:
            sound = shared.sound_methods[measured] = self._passes(shared.method_tests, sample)
        return sound and self._passes(shared.sample_tests, sample)

    def _passes(self, tests: list[Test], sample: Sample) -> bool:
        for test, params in tests:  # noqa: SIM110 - the hottest loop of an evaluation
            if test(self, params, sample) is not False:
                return False
        return True

    def comparable(self, one: Sample, other: Sample) -> Tri:
        """Whether two samples measure the same thing the same way [13]; None if an element is not stated."""
        earlier, later = (other, one) if one.index > other.index else (one, other)
        return self._may_compare(earlier.result, later.result)

    def _may_compare(self, earlier: Result, later: Result) -> Tri:
        key = (self.shared.way(earlier), self.shared.way(later))
        comparable = self.shared.comparable
        if key not in comparable:
            comparable[key] = comparable_results(earlier, later, self.book.windows.elements)
        return comparable[key]

    def baseline_samples(self) -> tuple[list[Sample], list[Sample]]:
        """Usable samples in the baseline window, and in the window of a late baseline."""
        if self._baselines is None:
            early: list[Sample] = []
            late: list[Sample] = []
            windows = self.book.windows
            # Between the operations of one course the tumour may be there or not: no baseline.
            lead = 0 if self.begins is None or self.start is None else (self.start - self.begins).days
            for sample in self.samples:
                if sample.day < -windows.baseline_before - lead or -lead <= sample.day < 0:
                    continue
                if sample.day > windows.late_baseline:
                    break
                if self.usable(sample):
                    (early if sample.before else late).append(sample)
            # Only a therapy line knows a late baseline: an operation has removed the source by then [18].
            self._baselines = (early, [] if self.operation is not None else late)
        return self._baselines

    @property
    def only_baseline(self) -> bool:
        """The latest sample can only serve as a baseline: it lies before the line, or is a late baseline itself [7, 18]."""
        if self.before:
            return True
        if self.latest is None or self.rule.reference != "baseline" or self.operation is not None:
            return False
        early, _ = self.baseline_samples()
        return self.latest.day <= self.book.windows.late_baseline and not early

    def reference(self, sample: Sample) -> Reference | None:
        """What `sample` is compared with; None if nothing usable and comparable is there."""
        if sample.index not in self._references:
            finder = self._nadir if self.rule.reference == "nadir" else self._baseline
            self._references[sample.index] = finder(sample)
        return self._references[sample.index]

    def _mean(self, kind: str, samples: tuple[Sample, ...]) -> Reference:
        key = tuple([sample.index for sample in samples])
        known = self._means.get(key)
        if known is None:
            plain = None
            if not any(sample.result.censored for sample in samples):
                values = [sample.value for sample in samples]
                plain = geometric_mean(values)
            known = self._means[key] = Reference(kind, samples, len(samples), plain)
        return known

    def _baseline(self, sample: Sample) -> Reference | None:
        early, late = self.baseline_samples()
        if sample.day <= self.book.windows.late_baseline:
            late = []  # no sample is its own baseline
        for kind, candidates in (("baseline", early), ("late-baseline", late)):
            found = tuple(other for other in candidates if self.comparable(other, sample))
            if found:
                return self._mean(kind, found)
        return None

    def nadir_window(self, sample: Sample) -> date:
        """The first day from which a value may be a nadir for `sample` [24]."""
        assert self.start is not None  # a question that applies has a start
        first = self.start - timedelta(days=self.book.windows.baseline_before)
        for operation in self.chart.operations:
            if operation.curative and not operation.planned and operation.day <= sample.collected:
                first = max(first, operation.day + timedelta(days=self.rule.nadir_after_operation))
        return first

    def _nadir(self, sample: Sample) -> Reference | None:
        first = self.nadir_window(sample)
        key = (first, self.shared.way(sample.result))
        earlier = self._earlier.get(key)
        if earlier is None:
            earlier = self._earlier[key] = self._comparable_since(first, sample)
        count = bisect_left(earlier.days, sample.collected)
        return Reference("nadir", tuple(earlier.samples[:count]), 1, earlier.lowest[count - 1]) if count else None

    def _comparable_since(self, first: date, sample: Sample) -> _Earlier:
        """The usable samples from a day on that samples measured as this one may be compared with, if they are later."""
        found = _Earlier([], [], [])
        least: Interval | None = None
        for other in self.samples:
            if other.collected < first or not self.usable(other) or not self._may_compare(other.result, sample.result):
                continue
            if not found.samples:
                least = None if other.result.censored else other.value
            elif least is not None:
                least = None if other.result.censored else lowest([least, other.value])
            found.samples.append(other)
            found.days.append(other.collected)
            found.lowest.append(least)
        return found

    def possible_references(self) -> list[Sample]:
        """The usable samples that could serve as a reference for the latest, comparable or not [17]; oldest first."""
        if self.latest is None:
            return []
        if self.rule.reference == "nadir":
            first = self.nadir_window(self.latest)
            earlier = self.samples[: self.latest.index]
            return [one for one in earlier if first <= one.collected < self.latest.collected and self.usable(one)]
        early, late = self.baseline_samples()
        return early or late

    def judged(self) -> list[Sample]:
        """Usable samples on the line, up to the latest and comparable with it [16]; oldest first."""
        if self._judged is None:
            latest = self.latest
            self._judged = [
                sample
                for sample in self.samples
                if latest is not None
                and not sample.before
                and self.usable(sample)
                and (sample is latest or self.comparable(sample, latest))
            ]
        return self._judged


def reference_value(reference: Reference, against: Sample, *, per_ev: bool = False) -> Interval | None:
    """The reference's value as an interval, seen from the sample it is compared with; None if a per-EV ratio is missing."""
    if not per_ev and reference.plain is not None:
        return reference.plain
    values: list[Interval] = []
    for sample in reference.samples:
        if per_ev:
            ratio = _per_ev(sample, against)
            if ratio is None:
                return None
            values.append(ratio)
        else:
            values.append(bounded(sample, against))
    return lowest(values) if reference.kind == "nadir" else geometric_mean(values)


def bounded(sample: Sample, *others: Sample) -> Interval:
    """A sample's value; below the limit of detection it is bounded by the larger of the limits compared [13]."""
    value = sample.value
    if not sample.result.censored:
        return value
    return Interval(value.low, max(value.high, *(other.result.lod or 0.0 for other in others)))


def _per_ev(sample: Sample, against: Sample) -> Interval | None:
    """A sample's value per total EV; its bound grows with that of the value: see `bounded`."""
    low, high = sample.result.per_ev_low, sample.result.per_ev_high
    if low is None or high is None:
        return None
    own, seen = sample.value.high, bounded(sample, against).high
    return Interval(low, high if seen == own else high * seen / own)


class Lowest:
    """The lowest of some samples' values, as a later sample sees it."""

    def __init__(self, samples: Sequence[Sample]):
        self.samples = samples
        censored = any(sample.result.censored for sample in samples)
        self._plain = None if censored else lowest([sample.value for sample in samples])

    def seen_from(self, sample: Sample) -> Interval:
        if self._plain is not None:
            return self._plain
        return lowest([bounded(other, sample) for other in self.samples])


def what_differs(earlier: Result, later: Result, elements: Sequence[str]) -> list[tuple[str, str | None, str | None]]:
    """What keeps two results from being compared [13], each with the earlier and the later answer, None if not stated.

    Empty if they can be compared. Named are "unit", "laboratory", `elements`, "lot", "efficiency" and "limit of detection".
    """
    asked: list[tuple[str, Any, Any]] = [("unit", earlier.unit or earlier.family, later.unit or later.family)]
    if earlier.family is not None and earlier.family == later.family:
        asked = []
    if not later.bridged or "bridged" in later.declared:
        asked.append(("laboratory", earlier.laboratory, later.laboratory))
    asked += [(name, getattr(earlier.method, name), getattr(later.method, name)) for name in elements]
    if not later.bridged:
        asked.append(("lot", earlier.lot, later.lot))
    found = [one for one in asked if one[1] is None or one[1] != one[2]]
    if earlier.method.efficiency != later.method.efficiency:
        found.append(("efficiency", _text(earlier.method.efficiency), _text(later.method.efficiency)))
    if not later.bridged and (earlier.censored or later.censored) and earlier.lod != later.lod:
        found.append(("limit of detection", _text(earlier.lod), _text(later.lod)))
    return found


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def comparable_results(earlier: Result, later: Result, elements: Sequence[str]) -> Tri:
    """Whether two results can be compared [13]: this depends on nothing but what makes their `Shared.way`."""
    if earlier.family is None or earlier.family != later.family or earlier.method.efficiency != later.method.efficiency:
        return False
    answer: Tri = True
    for element in elements:
        left, right = getattr(earlier.method, element), getattr(later.method, element)
        if left is None or right is None:
            answer = None
        elif left != right:
            return False
    # What a laboratory declares once bridges its own lots; only a statement with the result bridges laboratories.
    if not later.bridged or "bridged" in later.declared:
        if earlier.laboratory is None or later.laboratory is None:
            answer = None
        elif earlier.laboratory != later.laboratory:
            return False
    if not later.bridged:
        if earlier.lot is None or later.lot is None:
            answer = None
        elif earlier.lot != later.lot:
            return False
        if (earlier.censored or later.censored) and earlier.lod != later.lod:
            return False
    return answer
