"""When the next sample would tell more: as the second of a pair, or once nothing holds it up any more."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import NamedTuple

from cds.chart.model import Chart, Line, Operation
from cds.reasoning.change import Pair
from cds.reasoning.findings import Finding
from cds.reasoning.later import asked_later
from cds.reasoning.oracle import truth
from cds.reasoning.question import Question
from cds.reasoning.rulebook import Rule, RuleBook

_DISTURBS = ("operation", "event", "given")
"""Kinds of facts that hold a sample up for so long after something that happened."""


class Days(NamedTuple):
    """Days on which a sample would tell more. `first`: None if that depends on what is not over; `last`: None for no end."""

    first: date | None
    last: date | None = None

    def __str__(self) -> str:
        if self.first is None:
            return ""
        return f"from {self.first.isoformat()} {f'to {self.last.isoformat()}' if self.last is not None else 'on'}"


class SecondSample(NamedTuple):
    """From when to when a second sample would confirm a change, and what it must show."""

    opens: date
    closes: date
    pair: Pair

    def is_past(self, chart: Chart) -> bool:
        """Whether these days are over on the day of the chart."""
        return self.closes < chart.as_of


def second_sample(finding: Finding, chart: Chart, book: RuleBook) -> SecondSample | None:
    """When a second sample would confirm a change that is watched; None if anything else keeps the stronger state away.

    These days end where the line, or the course of operations, of the first sample does.
    """
    latest, anchor = finding.latest, finding.anchor_day
    if finding.state != "watch" or latest is None or latest.collected is None or anchor is None:
        return None
    for clause in finding.rule.clauses:
        if clause.state not in ("suspected", "persistent") or clause.gate:
            continue
        open_facts = [literal.fact for literal in clause.all if truth(literal, finding.facts) is not True]
        blocked = any(truth(literal, finding.facts) for literal in clause.unless)
        pair = finding.rule.fact(open_facts[0]).params if len(open_facts) == 1 and not blocked else None
        if not isinstance(pair, Pair):
            continue
        # The newest sample of the run that may be the first of a pair, and lies near enough to one that is still to come.
        for first in reversed(finding.runs.get(open_facts[0], ())):
            day = (first.collected - anchor).days if first.collected is not None else -1
            opens = max(day + pair.apart_from, pair.second_from, (latest.collected - anchor).days + 1)
            closes = min(day + pair.apart_to, pair.second_to)
            if not pair.first_from <= day <= pair.first_to:
                continue
            days = [anchor + timedelta(days=number) for number in range(opens, closes + 1)]
            last = next((one for one in reversed(days) if goes_on(finding, chart, book, one)), None)
            if last is not None:
                return SecondSample(days[0], last, pair)
    return None


def goes_on(finding: Finding, chart: Chart, book: RuleBook, day: date) -> bool:
    """Whether a sample of a later day would be of the finding's line, or of its operation, and the rule apply to it."""
    return _about(asked_later(finding, chart, book, day)) == (finding.line, finding.operation)


def _about(question: Question | None) -> tuple[Line | None, Operation | None] | None:
    return None if question is None else (question.line, question.operation)


def judged_again(finding: Finding, chart: Chart, book: RuleBook) -> Days | None:
    """From when on, seen from the day of the chart, a later sample can be judged, for a finding that is held.

    None where none of this line can any more, or after the newest of the course of operations. Of a rule that combines
    findings, when all can.
    """
    if finding.parts:
        found = [judged_again(part, chart, book) for part in finding.parts if part.state == "hold"]
        days = [one for one in found if one is not None]
        if not days or len(days) < len(found):
            return None
        firsts = [one.first for one in days if one.first is not None]
        lasts = [one.last for one in days if one.last is not None]
        return _days(max(firsts) if len(firsts) == len(days) else None, min(lasts, default=None), chart)
    if not finding.facts.get("judged"):
        # A sample that can only be a reference is wanted again before what it is the reference of begins.
        return Days(None) if finding.begins is not None and chart.as_of < finding.begins else None
    now = asked_later(finding, chart, book, chart.as_of)
    if now is None or now.start is None or now.line != finding.line:
        return None
    first = _undisturbed(finding, chart, now.start)
    then = now if first is None else asked_later(finding, chart, book, first)
    if then is None or _about(then) != _about(now):
        return None
    return _days(first, _last(finding, chart, book, then), chart)


def _days(first: date | None, last: date | None, chart: Chart) -> Days | None:
    """The days, unless there are none, or will be none by what is known."""
    over = last is not None and last < (chart.as_of + timedelta(days=1) if first is None else first)
    return None if over else Days(first, last)


def _last(finding: Finding, chart: Chart, book: RuleBook, then: Question) -> date | None:
    """The last day on which a sample would be judged as the one of `then` is; None if no end is known."""
    rule, line = finding.rule, then.line
    if then.operation is not None:
        # A later one is judged only where the run holds the first sample of a pair.
        ends = [then.operation.day + timedelta(days=last) for last in (rule.anchor.second_until, rule.anchor.until)]
    elif line is not None and line.end is not None:
        behind, _ = book.windows.lasting.get(line.therapy, (0, False))
        ends = [line.end + timedelta(days=days) for days in range(behind, -1, -1)]
    else:
        return None
    earliest = then.samples[-1].collected
    later = (one for one in ends if one > earliest and _about(asked_later(finding, chart, book, one)) == _about(then))
    return next(later, earliest)


def _undisturbed(finding: Finding, chart: Chart, start: date) -> date | None:
    """The first day from that of the chart on which neither the time since `start` nor what happened holds a sample up.

    None if nobody knows.
    """
    rule = finding.rule
    spans = list(_disturbed(rule, chart))
    for clause in rule.clauses:
        specs = [(rule.fact(literal.fact), literal) for literal in clause.all if literal.wanted]
        windows = [spec.params for spec, _ in specs if spec.kind == "day" and spec.params.last is not None]
        if clause in finding.holding and not windows and not any(spec.kind in _DISTURBS for spec, _ in specs):
            return None
        # What would hold this value up at another time counts too, though something else holds it up now.
        others = (truth(literal, finding.facts) for literal in clause.all if rule.fact(literal.fact).kind != "day")
        if clause.state == finding.state and not clause.gate and windows and all(other is True for other in others):
            first, last = max(one.first or 0 for one in windows), min(one.last for one in windows)
            spans.append((start + timedelta(days=first), start + timedelta(days=last)))
    day = chart.as_of
    while True:
        ends = [last for first, last in spans if first <= day and (last is None or day <= last)]
        if not ends:
            return day
        known = [last for last in ends if last is not None]
        if len(known) < len(ends):
            return None
        day = max(known) + timedelta(days=1)


def _disturbed(rule: Rule, chart: Chart) -> Iterator[tuple[date, date | None]]:
    """The days on which the rule's gates hold a sample up, or make it unusable, by what happened; without an end if none is known."""
    # A gate's notes hold nothing up.
    gated = {literal.fact for clause in rule.clauses if clause.gate and not clause.is_plain for literal in clause.all}
    for spec in rule.facts:
        if spec.name not in gated or spec.kind not in _DISTURBS:
            continue
        if spec.kind == "operation":
            done = [operation.day for operation in chart.operations if not operation.planned]
            yield from ((day, day + timedelta(days=spec.params)) for day in done)
            continue
        kind, days = spec.params
        for event in chart.events:
            if event.kind == kind:
                last = event.end or (event.start if spec.kind == "given" else None)
                yield event.start or date.min, None if last is None else last + timedelta(days=days)
