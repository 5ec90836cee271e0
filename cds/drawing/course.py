"""From an evaluation to the scene of its patient's course: curves, lanes, and the days on which they stand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from itertools import pairwise

from cds.advice.advisory import Advisory
from cds.advice.checks import is_judged
from cds.drawing.curves import on_axis, panels, span_of, used
from cds.drawing.lanes import lanes
from cds.drawing.scene import Anchor, Lane, Panel, Point, Scene, Span
from cds.reasoning.findings import Evaluation
from cds.reasoning.rulebook import RuleBook

_SHORTEST = timedelta(days=90)
"""Two results of one week are not to fill the width as if they were a year."""
_MARGIN, _MARGINS = timedelta(days=14), 30
"""Before the first day and after the last there is room of so many days, or of one in so many."""
_LONG, _TIMES = timedelta(days=240), 4
"""Days without anything to see are folded if they are so many, and so many times more than those that are usual here."""


def scene_of(evaluation: Evaluation, advisories: Sequence[Advisory], book: RuleBook) -> Scene:
    """The scene of an evaluation; `advisories` are what is said of it."""
    chart = evaluation.chart
    curves = tuple(panels(evaluation, advisories, book))
    below = tuple(lanes(evaluation, book))
    days = sorted({chart.as_of, *_days(curves, below)})
    folds = tuple(_folds(days))
    first, last = days[0], days[-1]
    if last - first < _SHORTEST:
        first = last - _SHORTEST
    margin = max(_MARGIN, (last - first - sum((end - start for start, end in folds), timedelta())) / _MARGINS)
    elsewhere = tuple(
        Point(one.ref, one.collected or chart.as_of, None, one.shown, marker=book.catalogue.markers[marker].short or marker,
              faults=("no day of collection" if one.collected is None else "a day to come",))
        for marker, results in used(chart, book).items() for one in results if not on_axis(one, chart)
    )  # fmt: skip
    return Scene(
        patient=chart.patient,
        as_of=chart.as_of,
        first=first - margin,
        last=last + margin,
        panels=curves,
        lanes=below,
        anchor=_anchor(evaluation, book),
        folds=folds,
        elsewhere=elsewhere,
    )


def _days(curves: Iterable[Panel], below: Iterable[Lane]) -> Iterator[date]:
    """Every day on which something is to be seen."""
    for panel in curves:
        yield from (point.day for point in panel.points)
        for span in span_of(panel):
            yield from span
    for lane in below:
        for mark in lane.marks:
            yield mark.day
        for bar in lane.bars:
            yield from (day for day in (bar.start, bar.end) if day is not None)


def _folds(days: Sequence[date]) -> Iterator[Span]:
    """Stretches without anything to see that are much longer than the others, less a margin on either side."""
    gaps = [other - one for one, other in pairwise(days)]
    if not gaps:
        return
    usual = sorted(gaps)[(len(gaps) - 1) // 2]
    for one, other in pairwise(days):
        if other - one >= max(_LONG, _TIMES * usual):
            yield one + _MARGIN, other - _MARGIN


def _anchor(evaluation: Evaluation, book: RuleBook) -> Anchor | None:
    """From where days are counted: the line or operation of the finding that goes first, those that were judged before others."""
    found = [one for one in evaluation.findings if one.rule.status == "active" and one.anchor_day is not None]
    first = min(
        found, key=lambda one: (not (one.judged or one.parts) or not is_judged(one), book.rank(one.state)), default=None
    )
    if first is None or first.anchor_day is None:
        return None
    if first.operation is not None or first.line is None:
        return Anchor(first.anchor_day, "operation")
    title = book.catalogue.therapies.classes[first.line.therapy].title
    return Anchor(first.anchor_day, title[:1].lower() + title[1:] if title[1:2].islower() else title)
