"""What a drawing of a patient's course shows, as data: days and values, not places on paper.

One panel for each marker and kind of quantity, with its curve, the reference, the limit and the variation that is expected
without any change; lanes for treatment, operations, imaging and what disturbs, on the same days. Every value is that of the
chart, every limit that of the finding: nothing is computed here that a card does not say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

from cds.advice.advisory import Advisory
from cds.advice.checks import is_judged
from cds.chart.model import Chart, Result
from cds.reasoning.change import Comparison
from cds.reasoning.explanation import threshold_value
from cds.reasoning.findings import Evaluation, Finding
from cds.reasoning.question import comparable_results
from cds.reasoning.rulebook import RuleBook

_SHORTEST = timedelta(days=90)
"""Two results of one week are not to fill the width as if they were a year."""
_MARGIN = timedelta(days=21)
_FAULTS = {
    "no-value": "no value", "unreadable-value": "unreadable", "no-unit": "no unit", "negative": "negative",
    "unit-not-convertible": "unit", "zero-without-lod": "zero, no limit of detection", "conflict": "two values",
    "different-analyte": "another analyte", "after-as-of": "in the future", "efficiency-not-stated": "no efficiency",
}  # fmt: skip

_DISTURBS = ("haemolysis", "lipaemia", "residual-platelets", "dna-control")
"""Checks of which a bad answer makes a specimen useless, whatever it was measured for."""


@dataclass(frozen=True, slots=True)
class Point:
    """One result. `value` is in the panel's unit, None if it has none that can be drawn; censored ones lie below it."""

    ref: str
    day: date
    value: float | None
    shown: str  # as the laboratory wrote it
    censored: bool = False
    roles: tuple[str, ...] = ()  # "reference", "first of the pair", "latest" …
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Break:
    """Where comparison stops: `day` is that of the first result that may not be compared with the one before it."""

    day: date
    why: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What a finding compares with: the reference, the limit, and the variation expected without a change, in the panel's unit."""

    title: str
    state: str
    reference: float
    limit: float
    expected: tuple[float, float]
    start: date  # from here on it is asked
    references: tuple[date, ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """One marker in one kind of quantity. `relative`: values are amounts relative to each other, made of a ΔCt."""

    marker: str
    title: str
    unit: str
    relative: bool
    points: tuple[Point, ...]  # by day
    joined: tuple[tuple[int, int], ...]  # numbers of points between which a line may be drawn
    breaks: tuple[Break, ...]
    decision: Decision | None
    pair: tuple[date, date] | None  # the two samples that confirm a rise

    @property
    def span(self) -> tuple[float, float]:
        """The least and the greatest value to be shown; both above 0."""
        values = [point.value for point in self.points if point.value]
        if self.decision is not None:
            values += [self.decision.reference, self.decision.limit, *self.decision.expected]
        return (min(values), max(values)) if values else (1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Bar:
    """Something that lasted. Without `start` it began before the drawing does; without `end` it goes on, or nobody knows."""

    label: str
    start: date | None
    end: date | None
    certain: bool = True  # that it goes on, where there is no end
    planned: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """Something of one day."""

    label: str
    day: date
    planned: bool = False


@dataclass(frozen=True, slots=True)
class Lane:
    """One row below the curves."""

    title: str
    kind: str  # of its look: a therapy's key, "operation", "imaging", "event"
    bars: tuple[Bar, ...] = ()
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that a drawing shows, from `first` to `last`."""

    patient: str
    as_of: date
    first: date
    last: date
    panels: tuple[Panel, ...]
    lanes: tuple[Lane, ...]
    elsewhere: tuple[Point, ...] = ()  # results without a day, or of a day to come: they are told beside the drawing


def scene_of(evaluation: Evaluation, advisories: Sequence[Advisory], book: RuleBook) -> Scene:
    """The scene of an evaluation; `advisories` are what is said of it."""
    chart = evaluation.chart
    panels = tuple(_panels(evaluation, advisories, book))
    lanes = tuple(_lanes(chart, book))
    days = [point.day for panel in panels for point in panel.points]
    days += [mark.day for lane in lanes for mark in lane.marks]
    days += [day for lane in lanes for bar in lane.bars for day in (bar.start, bar.end) if day is not None]
    first, last = min([*days, chart.as_of]), max([*days, chart.as_of])
    if last - first < _SHORTEST:
        first = last - _SHORTEST
    elsewhere = tuple(
        Point(one.ref, one.collected or chart.as_of, None, one.shown,
              faults=("no day of collection" if one.collected is None else "a day to come",))
        for results in _used(chart, book).values() for one in results if not _on_axis(one, chart)
    )  # fmt: skip
    return Scene(chart.patient, chart.as_of, first - _MARGIN, last + _MARGIN, panels, lanes, elsewhere)


def _used(chart: Chart, book: RuleBook) -> Mapping[str, Sequence[Result]]:
    """Results of markers that are used: one that rests on retracted evidence is logged, and shown nowhere."""
    known = book.catalogue.markers
    return {marker: results for marker, results in chart.results.items() if not known[marker].must_not_use}


def _on_axis(result: Result, chart: Chart) -> bool:
    return result.collected is not None and result.collected <= chart.as_of


# curves ------------------------------------------------------------------------------------------------------------


def _panels(evaluation: Evaluation, advisories: Sequence[Advisory], book: RuleBook) -> Iterator[Panel]:
    for marker, results in _used(evaluation.chart, book).items():
        dated = [one for one in results if _on_axis(one, evaluation.chart)]
        families = dict.fromkeys(one.family for one in dated if one.family is not None)
        for number, family in enumerate(families or [None]):
            # What has no unit of its own is shown with the first: it is the same marker, and must not vanish.
            own = [one for one in dated if one.family == family or (number == 0 and one.family is None)]
            if own:
                yield _panel(marker, own, evaluation, advisories, book)


def _panel(
    marker: str,
    results: Sequence[Result],
    evaluation: Evaluation,
    advisories: Sequence[Advisory],
    book: RuleBook,
) -> Panel:
    family = next((one.family for one in results if one.family is not None), None)
    finding = next((one for one in _of_marker(evaluation.findings, marker) if _compared(one, family)), None)
    about = [said for said in advisories if marker in said.markers]
    own = [said for said in about if finding is not None and said.rule.name == finding.rule.name]
    roles = {one.ref: one.roles for said in own or about for one in said.readings}
    points = tuple(_point(one, roles.get(one.ref, ())) for one in results)
    joined, breaks = [], []
    drawn = [number for number, point in enumerate(points) if point.value is not None and not point.faults]
    for one, other in pairwise(drawn):
        comparable = comparable_results(results[one], results[other], book.windows.elements)
        if comparable:
            joined.append((one, other))
        else:
            breaks.append(Break(points[other].day, _why_apart(results[one], results[other], comparable is None)))
    pair = finding.pair if finding is not None else None
    return Panel(
        marker,
        book.catalogue.markers[marker].title,
        next((one.unit for one in results if one.unit), ""),
        family is not None and "delta" in family,
        points,
        tuple(joined),
        tuple(breaks),
        _decision(finding, family, evaluation.chart) if finding is not None else None,
        (pair[0].collected, pair[1].collected) if pair and pair[0].collected and pair[1].collected else None,
    )


def _point(result: Result, roles: tuple[str, ...]) -> Point:
    assert result.collected is not None  # noqa: S101 - only dated results are drawn
    value = result.high if result.censored else result.low
    faults = tuple(_FAULTS.get(fault, fault) for fault in sorted(result.faults))
    faults += tuple(check.replace("-", " ") for check in _DISTURBS if result.checks.get(check) is False)
    return Point(result.ref, result.collected, value or None, result.shown, result.censored, roles, faults)


def _why_apart(earlier: Result, later: Result, open_: bool) -> str:
    """What differs between two results that may not be compared."""
    if earlier.family != later.family:
        return "other unit"
    named = ("specimen", "tube", "isolation", "assay", "platform", "reagents", "normaliser")
    pairs = [(name, getattr(earlier.method, name), getattr(later.method, name)) for name in named]
    changed = [name for name, one, other in pairs if one is not None and other is not None and one != other]
    if earlier.laboratory and later.laboratory and earlier.laboratory != later.laboratory and not later.bridged:
        changed.insert(0, "laboratory")
    elif earlier.lot and later.lot and earlier.lot != later.lot and not later.bridged:
        changed.append("lot")
    if changed:
        return f"other {changed[0]}" + (f", and {len(changed) - 1} more" if len(changed) > 1 else "")
    return "method not stated whole" if open_ else "not comparable"


def _of_marker(findings: Iterable[Finding], marker: str) -> Iterator[Finding]:
    """The findings about a marker, those of rules that speak of it alone first."""
    combined: list[Finding] = []
    for finding in findings:
        if finding.rule.watches == marker:
            yield finding
        combined += [part for part in finding.parts if part.rule.watches == marker]
    yield from combined


def _compared(finding: Finding, family: str | None) -> tuple[str, Comparison] | None:
    """The latest value against its reference, in the quantity that the panel shows, with the fact that asks for it."""
    if not is_judged(finding):  # what cannot be judged supports no comparison
        return None
    found = ((name, one) for name, one in finding.comparisons.items() if not one.per_ev)
    return next(((name, one) for name, one in found if one.sample.result.family == family), None)


def _decision(finding: Finding, family: str | None, chart: Chart) -> Decision | None:
    found = _compared(finding, family)
    if found is None:
        return None
    name, comparison = found
    reference = comparison.reference_value.high
    lowest = comparison.reference_value.low or reference  # below the limit of detection: anywhere down to nothing
    fallen = finding.rule.fact(name).params.not_fallen  # a fall is asked for, and that there is none is the finding
    limit = lowest / comparison.threshold if fallen else threshold_value(comparison)
    days = tuple(sample.collected for sample in comparison.reference.samples)
    return Decision(
        finding.rule.title,
        finding.state,
        reference,
        limit,
        (lowest / comparison.reference_change, reference * comparison.reference_change),
        finding.anchor_day or min(days, default=chart.as_of),
        days,
    )


# lanes -------------------------------------------------------------------------------------------------------------


def _lanes(chart: Chart, book: RuleBook) -> Iterator[Lane]:
    classes = book.catalogue.therapies.classes
    for therapy in dict.fromkeys(line.therapy for line in chart.lines):
        bars = tuple(
            Bar(", ".join(line.drugs) or classes[therapy].title, line.start, line.end,
                line.end is not None or line.extent != "unknown", line.planned)
            for line in chart.lines if line.therapy == therapy
        )  # fmt: skip
        yield Lane(classes[therapy].title, therapy, bars)
    if chart.operations:
        marks = (Mark("resection" if one.curative else "operation", one.day, one.planned) for one in chart.operations)
        yield Lane("Operation", "operation", marks=tuple(marks))
    if chart.imaging:
        yield Lane("Imaging", "imaging", marks=tuple(Mark(one.response, one.day) for one in chart.imaging))
    for kind in dict.fromkeys(event.kind for event in chart.events):
        own = [event for event in chart.events if event.kind == kind]
        short = tuple(Mark("", one.start) for one in own if one.start is not None and one.start == one.end)
        long = tuple(Bar("", one.start, one.end) for one in own if one.start is None or one.start != one.end)
        yield Lane(kind.replace("-", " ").capitalize(), "event", long, short)
