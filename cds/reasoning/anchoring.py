"""Which line or operation a question is about, and whether a line runs on a day.

Paragraph numbers in brackets are those of docs/readings.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import msgspec

from cds.chart.model import Chart, Line, Operation, Result, Tri, Unrecognised
from cds.reasoning.rulebook import Anchor, Windows


class Anchored(msgspec.Struct, frozen=True):
    """What a question is about: a line, an operation, or neither."""

    found: Tri  # whether there is one; None of an operation: it is not known whether it removed the tumour
    line: Line | None = None
    operation: Operation | None = None
    course: tuple[Operation, ...] = ()  # the operation and those that it goes on with, the first of them first
    before: bool = False  # the latest sample is only before it
    is_second: bool = False  # an operation's sample that counts only as the second of a pair

    @property
    def start(self) -> date | None:
        """Day of the line's first dose, or of the operation."""
        if self.operation is not None:
            return self.operation.day
        return self.line.start if self.line is not None else None

    @property
    def begins(self) -> date | None:
        """Up to when a sample may be a baseline: the start, or the first of the operations that make one course."""
        return self.course[0].day if self.course else self.start


def anchored(chart: Chart, anchor: Anchor, windows: Windows, latest: Result, day: date) -> Anchored:
    """What `anchor` names in this chart, seen from the latest sample, which was drawn on `day`."""
    if not chart.lines and not chart.operations:
        return Anchored(None)  # [2] a chart without any therapy
    if anchor.operation:
        return _to_operation(chart, anchor, windows, day)
    return _to_line(chart, anchor.therapies, windows, latest, day)


def _to_line(chart: Chart, own: tuple[str, ...], windows: Windows, latest: Result, day: date) -> Anchored:
    lines = [line for line in chart.lines if line.therapy in own]
    undosed = [line for line in lines if not line.planned and line.start == day and before_dose(latest, line)]
    if undosed:
        return Anchored(True, undosed[-1], before=True)  # [7]
    found: Line | None = None
    maybe = False
    for line in lines:
        answer = runs(chart, windows, line, day)
        if answer is None:
            maybe = True
        elif answer and line.start is not None and (found is None or _started(line, own) >= _started(found, own)):
            found = line
    if found is None:
        if maybe or may_run(chart, windows, own, day, surely_a_drug=True):
            return Anchored(None)
        coming = [
            line for line in lines if line.start is not None and 0 < (line.start - day).days <= windows.baseline_before
        ]
        if coming:
            return Anchored(True, min(coming, key=_start), before=True)  # [7]
        return Anchored(None if may_run(chart, windows, own, day) else False)
    ended = found.end is not None and found.end <= chart.as_of
    newer = [
        line
        for line in chart.lines
        if not line.planned and line.start is not None and line.start > day and (ended or line.therapy in own)
    ]
    if newer:  # [8]
        new = min(newer, key=lambda line: (_start(line), line.therapy not in own))
        near = (_start(new) - day).days <= windows.baseline_before
        return Anchored(True, new, before=True) if new.therapy in own and near else Anchored(False)
    for one in chart.unrecognised:  # one that may be such a line
        begun = not one.line.planned and (one.line.start is None or one.line.start > day)
        if one.against_cancer and begun and (ended or _may_be(one, own)):
            return Anchored(None)
    return Anchored(True, found)


def _to_operation(chart: Chart, anchor: Anchor, windows: Windows, day: date) -> Anchored:
    resections = [operation for operation in chart.operations if operation.curative is not False]
    done = [operation for operation in resections if not operation.planned and operation.day <= day]
    if done:
        since = (day - done[-1].day).days
        course, in_doubt = _course(done, anchor.until)
        # Whether a late sample is a second one is decided by the pair's first: see the kind `applies`.
        is_second = anchor.until < since <= anchor.second_until
        found: Tri = since <= anchor.until or is_second
        if found and in_doubt:
            found = None
        return Anchored(found, operation=done[-1], course=course, is_second=is_second)
    for operation in resections:
        if 0 < (operation.day - day).days <= windows.baseline_before:
            return Anchored(operation.curative, operation=operation, course=(operation,), before=True)
    return Anchored(False)


def _course(done: Sequence[Operation], within: int) -> tuple[tuple[Operation, ...], bool]:
    """The resections that the last one goes on with, and whether it is in doubt what they removed [33].

    A re-excision or a completion mastectomy goes on with what the first operation began. Long after it nobody can tell
    that from the removal of a recurrence, or of the healthy breast, unless the two are known to be of different breasts.
    """
    first = len(done) - 1
    while first and (done[first].day - done[first - 1].day).days <= within:
        first -= 1
    course = tuple(done[first:])
    in_doubt = course[0].curative is None or any(
        {one.side, earlier.side} != {"left", "right"} for one in course for earlier in done[:first]
    )
    return course, in_doubt


def runs(chart: Chart, windows: Windows, line: Line, day: date) -> Tri:
    """Whether `line`, or what it leaves behind [6], runs on `day`."""
    if line.planned or line.end is None or day <= line.end:
        return line.runs_on(day)
    days, cut_short = windows.lasting.get(line.therapy, (0, False))
    if (day - line.end).days > days:
        return False
    superseded = _superseded(chart, line, line.end, day) if cut_short else False
    if superseded:
        return False
    return None if superseded is None or line.start is None else True


def may_run(
    chart: Chart, windows: Windows, classes: tuple[str, ...], day: date, *, surely_a_drug: bool = False
) -> bool:
    """Whether a treatment that is not recognised may be of one of these classes and run on `day`, or have left something behind [38].

    One of which nothing says what it is counts only where no known line runs on the day: beside one it is likely no drug
    against cancer. With `surely_a_drug` it counts nowhere.
    """
    if not chart.unrecognised:
        return False
    behind = max(windows.lasting.get(therapy, (0, False))[0] for therapy in classes)
    for one in chart.unrecognised:
        line = one.line
        if line.planned or (line.start is not None and line.start > day) or not _may_be(one, classes):
            continue
        if line.end is not None and (day - line.end).days > behind:
            continue
        if one.against_cancer:
            return True
        if not surely_a_drug and not any(runs(chart, windows, known, day) for known in chart.lines):
            return True
    return False


def _may_be(one: Unrecognised, classes: tuple[str, ...]) -> bool:
    return not one.may_be or not set(one.may_be).isdisjoint(classes)


def _superseded(chart: Chart, line: Line, end: date, day: date) -> Tri:
    """Whether by `day` another line has begun, on a later day than this one, which ended on `end`."""
    answer: Tri = False
    # A start that is not documented is bounded by the end: no line begins after it has ended.
    latest_start = line.start or end
    for other in chart.lines:
        if other is line or other.planned:
            continue
        if other.start is None:
            if other.end is None or line.start is None or other.end > line.start:
                answer = None
        elif latest_start < other.start <= day:
            return True
        elif line.start is None and other.start <= day:
            answer = None
    return answer


def before_dose(result: Result, line: Line) -> bool:
    """Whether the result's sample is known to be drawn before the first dose of the line."""
    return line.first_dose is not None and result.collected_time is not None and result.collected_time < line.first_dose


def _start(line: Line) -> date:
    assert line.start is not None  # callers have checked
    return line.start


def _started(line: Line, classes: tuple[str, ...]) -> tuple[date, int]:
    return _start(line), classes.index(line.therapy)
