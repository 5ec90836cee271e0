"""When the next sample would tell more: as the second of a pair, or once nothing holds it up any more."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import NamedTuple

from cds.chart.model import Chart
from cds.reasoning.anchoring import runs
from cds.reasoning.change import Pair
from cds.reasoning.findings import Finding
from cds.reasoning.oracle import truth
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


def second_sample(finding: Finding) -> SecondSample | None:
    """When a second sample would confirm a change that is watched; None if anything else keeps the stronger state away."""
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
            if pair.first_from <= day <= pair.first_to and opens <= closes:
                return SecondSample(anchor + timedelta(days=opens), anchor + timedelta(days=closes), pair)
    return None


def judged_again(finding: Finding, chart: Chart, book: RuleBook) -> Days | None:
    """When a later sample can be judged, for a finding that is held; None where none of this line, or after this operation, can.

    Of a rule that combines findings, when both can.
    """
    if finding.parts:
        found = [judged_again(part, chart, book) for part in finding.parts if part.state == "hold"]
        days = [one for one in found if one is not None]
        if not days or len(days) < len(found):
            return None
        firsts = [one.first for one in days if one.first is not None]
        lasts = [one.last for one in days if one.last is not None]
        return Days(max(firsts) if len(firsts) == len(days) else None, min(lasts, default=None))
    first = _undisturbed(finding, chart)
    last = None
    if finding.operation is not None:
        last = finding.operation.day + timedelta(days=finding.rule.anchor.until)
    if first is None:
        return Days(None, last) if last is None or chart.as_of < last else None
    over = finding.line is not None and runs(chart, book.windows, finding.line, first) is False
    return None if over or (last is not None and first > last) else Days(first, last)


def _undisturbed(finding: Finding, chart: Chart) -> date | None:
    """The first day on which neither the time of the line nor what happened holds a sample up; None if nobody knows."""
    latest, anchor = finding.latest, finding.anchor_day
    if latest is None or latest.collected is None:
        return None
    day = latest.collected
    for clause in finding.holding:
        held = [finding.rule.fact(literal.fact) for literal in clause.all if literal.wanted]
        windows = [spec.params for spec in held if spec.kind == "day" and spec.params.last is not None]
        if anchor is not None and windows:
            day = max(day, *(anchor + timedelta(days=window.last + 1) for window in windows))
        elif not any(spec.kind in _DISTURBS for spec in held):
            return None
    spans = list(_disturbed(finding.rule, chart))
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
    gated = {literal.fact for clause in rule.clauses if clause.gate for literal in clause.all}
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
