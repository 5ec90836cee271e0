"""Naive reference, part 1: which therapy line or operation a sample belongs to, as of the chart's day.

Sources are named after each constant: R1-R26 are the reading rules of the evidence, "reading n" is `docs/readings.md`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import NamedTuple

from cds.chart.model import Chart, Line, Operation, Result, Tri

CHEMOTHERAPY = "cytotoxic-chemotherapy"
ENDOCRINE = "endocrine-therapy"
ANTI_PD_1 = "anti-pd-1"
ANTI_PD_L1 = "anti-pd-l1"
HER2_TARGETED = "her2-targeted"
CHECKPOINT_INHIBITORS = (ANTI_PD_1, ANTI_PD_L1)

CHEMOTHERAPY_TAIL = 42  # R11: read for so long after the line's end, unless another line has begun
ANTI_PD_L1_TAIL = 135  # PD-03: an engineering default, not verified for any drug (readings 6, 11)
COURSE_DAYS = 120  # reading 33: HO-01 judges a first sample for so long after an operation
BASELINE_DAYS = 42  # G4: a baseline sample lies 1-42 d before the line or operation


class Place(NamedTuple):
    """Where a sample lies: `day_zero` is the start of the line (or the operation) at issue, None if there is none."""

    applies: Tri
    day_zero: date | None = None
    before: bool = False  # the sample is at most a baseline of that line
    line: Line | None = None
    treatment_from: date | None = (
        None  # a baseline lies before it: day 0, or the first operation of the course (reading 33)
    )

    @property
    def untreated_until(self) -> date | None:
        """The day before which a sample may be a baseline."""
        return self.day_zero if self.treatment_from is None else self.treatment_from

    def day(self, sample: Result) -> int:
        """Day of therapy, or days since the operation, on which the sample was collected."""
        assert self.day_zero is not None
        assert sample.collected is not None
        return (sample.collected - self.day_zero).days


NOWHERE = Place(applies=False)


def every(*parts: Tri) -> Tri:
    """Kleene's and: false if one part is false, else unknown if one is unknown."""
    if False in parts:
        return False
    return None if None in parts else True


def some(parts: Iterable[Tri]) -> Tri:
    """Kleene's or: true if one part is true, else unknown if one is unknown."""
    known = set(parts)
    if True in known:
        return True
    return None if None in known else False


def opposite(part: Tri) -> Tri:
    """Kleene's not."""
    return None if part is None else not part


def before_first_dose(sample: Result, line: Line) -> bool:
    """Whether the sample was drawn on day 0 and is timed before the first dose (R12, reading 7)."""
    return (
        not line.planned
        and sample.collected == line.start
        and sample.collected_time is not None
        and line.first_dose is not None
        and sample.collected_time < line.first_dose
    )


def runs(chart: Chart, line: Line, day: date) -> Tri:
    """Whether the line runs on `day`, with the time after its end in which it still counts (R11, PD-03, reading 6)."""
    if line.planned or line.end is None or day <= line.end:
        return line.runs_on(day)
    past = (day - line.end).days
    if line.therapy == ANTI_PD_L1 and past <= ANTI_PD_L1_TAIL:
        tail: Tri = True
    elif line.therapy == CHEMOTHERAPY and past <= CHEMOTHERAPY_TAIL:
        tail = opposite(superseded(chart, line, day))
    else:
        return False
    return None if tail and line.start is None else tail


def superseded(chart: Chart, line: Line, day: date) -> Tri:
    """Whether by `day` any other line has begun on a later day than `line` did."""
    answer: Tri = False
    for other in chart.lines:
        if other is line or other.planned:
            continue
        if other.start is None:
            begun_earlier = other.end is not None and line.start is not None and other.end <= line.start
            if not begun_earlier:
                answer = None
        elif other.start <= day:
            # The line began no later than it ended: that bounds a start that is not documented.
            latest_start = line.start or line.end
            assert latest_start is not None
            if other.start > latest_start:
                return True
            if line.start is None:
                answer = None
    return answer


def on_any(chart: Chart, classes: tuple[str, ...], sample: Result) -> Tri:
    """Whether a line of these classes, or what counts as its tail, runs on the sample's day (reading 10)."""
    assert sample.collected is not None
    day = sample.collected
    known = some(
        runs(chart, line, day)
        for line in chart.lines
        if line.therapy in classes and not before_first_dose(sample, line)
    )
    return None if not known and True in suspected_drugs(chart, classes, day) else known


def suspected_drugs(chart: Chart, classes: tuple[str, ...], day: date) -> set[bool]:
    """Of treatments nobody recognises (reading 38): those that may be of `classes` and about on `day`, each by whether it surely
    is one against cancer."""
    about = set()
    for one in chart.unrecognised:
        possible = set(one.may_be) or set(classes)
        begun = not one.line.planned and (one.line.start is None or one.line.start <= day)
        tail = max({ANTI_PD_L1: ANTI_PD_L1_TAIL, CHEMOTHERAPY: CHEMOTHERAPY_TAIL}.get(name, 0) for name in classes)
        gone = one.line.end is not None and one.line.end < day - timedelta(tail)
        if begun and not gone and possible & set(classes):
            about.add(one.against_cancer)
    return about


def line_of(chart: Chart, classes: tuple[str, ...], sample: Result | None) -> Place:
    """The line of these classes to which the latest sample belongs (R11, readings 2, 6, 7, 8)."""
    if sample is None or sample.collected is None:
        return NOWHERE
    day = sample.collected
    position = {id(line): number for number, line in enumerate(chart.lines)}

    def by_start(line: Line) -> tuple[date, bool, int]:
        assert line.start is not None
        return line.start, line.therapy == ANTI_PD_L1, position[id(line)]

    ours = [line for line in chart.lines if line.therapy in classes]

    undosed = [line for line in ours if before_first_dose(sample, line)]
    if undosed:
        return _at(max(undosed, key=by_start), before=True)

    answers = [(line, runs(chart, line, day)) for line in ours]
    running = [line for line, answer in answers if answer]
    if running:
        line = max(running, key=by_start)
        ended = line.end is not None and line.end <= chart.as_of
        successors = [
            other
            for other in chart.lines
            if not other.planned
            and other.start is not None
            and day < other.start <= chart.as_of
            and (ended or other.therapy in classes)
        ]
        if not successors:
            doubted = any(
                one.against_cancer
                and not one.line.planned
                and (one.line.start is None or one.line.start > day)
                and (ended or not one.may_be or set(one.may_be) & set(classes))
                for one in chart.unrecognised
            )
            return Place(applies=None) if doubted else _at(line, before=False)
        # Drugs of several classes begun together count for each class (R11), so for this rule's class too.
        successor = min(successors, key=lambda other: (other.start, other.therapy not in classes, by_start(other)))
        if successor.therapy in classes and _days_to(successor.start, day) <= BASELINE_DAYS:
            return _at(successor, before=True)
        return NOWHERE

    doubts = suspected_drugs(chart, classes, day)
    if True in doubts or any(answer is None for _, answer in answers):
        return Place(applies=None)

    coming = [
        line
        for line in ours
        if line.start is not None
        and 1 <= _days_to(line.start, day) <= BASELINE_DAYS
        and (line.planned or line.start <= chart.as_of)
    ]
    if coming:
        return _at(min(coming, key=by_start), before=True)
    if doubts and not any(runs(chart, line, day) for line in chart.lines):
        return Place(applies=None)
    return NOWHERE


def curative_operation_of(chart: Chart, sample: Result | None) -> Place:
    """The operation to which a sample belongs (readings 9, 33); until which day HO-01 applies is asked there."""
    if sample is None or sample.collected is None:
        return NOWHERE
    day = sample.collected
    perhaps_curative = [operation for operation in chart.operations if operation.curative in (True, None)]
    done = [operation for operation in perhaps_curative if not operation.planned and operation.day <= day]
    if done:
        course, earlier = split_course(done)
        sure = course[0].curative and all(other_breast(one, old) for one in course for old in earlier)
        applies: Tri = True if sure else None
        return Place(applies, day_zero=course[-1].day, treatment_from=course[0].day)
    coming = [
        operation
        for operation in perhaps_curative
        if 1 <= _days_to(operation.day, day) <= BASELINE_DAYS and (operation.planned or operation.day <= chart.as_of)
    ]
    if not coming:
        return NOWHERE
    nearest = min(coming, key=lambda operation: operation.day)
    return Place(applies=nearest.curative, day_zero=nearest.day, before=True)


def split_course(done: list[Operation]) -> tuple[list[Operation], list[Operation]]:
    """Reading 33: the last operation with those that it goes on with, and those before them."""
    ordered = sorted(done, key=lambda operation: operation.day)
    course = [ordered.pop()]
    while ordered and (course[0].day - ordered[-1].day).days <= COURSE_DAYS:
        course.insert(0, ordered.pop())
    return course, ordered


def other_breast(one: Operation, other: Operation) -> bool:
    """Whether two operations are stated to be of different breasts."""
    return (one.side, other.side) in (("left", "right"), ("right", "left"))


def tumour_elsewhere(chart: Chart, place: Place, sample: Result | None) -> Tri:
    """Whether a cancer is in a breast that no operation at issue took it from (HO-01, reading 34)."""
    known = {chart.diagnosis.side, chart.diagnosis.suspected_side}
    if (
        not ("both" in known or {"left", "right"} <= known)
        or place.day_zero is None
        or sample is None
        or sample.collected is None
    ):
        return False
    untouched = {"left", "right"}
    unclear = chart.diagnosis.side != "both"
    for operation in chart.operations:
        if operation.curative is False or (operation.planned and not place.before):
            continue
        if operation.day <= (place.day_zero if place.before else sample.collected):
            untouched -= {"left", "right"} if operation.side == "both" else {operation.side or ""}
            unclear = unclear or operation.side is None
    return False if not untouched else None if unclear else True


def tumour_removed(chart: Chart, place: Place, sample: Result | None) -> Tri:
    """Whether from the line's start to the sample's day the tumour was removed (HO-03, reading 35)."""
    if place.day_zero is None or sample is None or sample.collected is None:
        return False
    days_at_issue = {place.day_zero + timedelta(n) for n in range((sample.collected - place.day_zero).days + 1)}
    if not days_at_issue:
        return False
    removed: list[Tri] = [
        operation.curative for operation in chart.operations if not operation.planned and operation.day in days_at_issue
    ]
    for event in chart.events:
        if event.kind == "operation-of-uncertain-day":
            possible = [
                (event.start is None or event.start <= day) and (event.end is None or day <= event.end)
                for day in days_at_issue
            ]
            whole = event.start is not None and event.end is not None and {event.start, event.end} <= days_at_issue
            if any(possible):
                removed.append(every(event.curative, True if whole else None))
    if chart.undated_resection:
        removed.append(None)
    return some(removed)


def _at(line: Line, before: bool) -> Place:
    return Place(applies=True, day_zero=line.start, before=before, line=line)


def _days_to(start: date | None, day: date) -> int:
    assert start is not None
    return (start - day).days
