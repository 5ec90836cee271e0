"""What reasoning hands on: findings, with everything that a card, a board page or an audit needs to explain them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import msgspec

from cds.chart.model import Chart, Line, Operation, Result, Tri
from cds.reasoning.change import Comparison
from cds.reasoning.rulebook import Clause, Rule


class Held(msgspec.Struct, frozen=True):
    """A state before the finding's own that only unknown facts hold back."""

    state: str
    clause: str
    facts: tuple[str, ...]


class Finding(msgspec.Struct, frozen=True):
    """The answer to one question.

    `facts` holds every fact that was asked, by name; what was not asked is absent. `comparisons` holds, by the fact's name,
    the latest sample against its reference, `pair` the two results that confirm a rise. `parts` are the component findings
    of a combined rule.
    """

    rule: Rule
    state: str
    clause: Clause | None  # None: no clause held (the state is then not-evaluable)
    holding: tuple[Clause, ...]  # every clause that held for this state: a sample can fail several gates at once
    notes: tuple[str, ...]
    cannot_exclude: tuple[Held, ...]
    facts: Mapping[str, Tri]
    missing: tuple[str, ...]  # facts whose being unknown keeps the finding from being evaluable
    latest: Result | None
    line: Line | None
    operation: Operation | None
    begins: date | None  # day 0, or the day of the first operation of the course that it goes on with
    day: int | None  # day of the line (or since the operation) of the latest sample
    comparisons: Mapping[str, Comparison]
    pair: tuple[Result, Result] | None
    judged: tuple[Result, ...]
    parts: tuple[Finding, ...] = ()
    also: tuple[str, ...] = ()  # other rules of the marker that say the same of it
    runs: Mapping[str, tuple[Result, ...]] = msgspec.field(
        default_factory=dict
    )  # by the fact's name, what a confirmation is looked for in: the unbroken run that ends with the latest sample
    uncompared: Result | None = None  # the newest sample that could be its reference, where none can be compared

    @property
    def certainty(self) -> str:
        return self.clause.certainty if self.clause is not None else ""

    @property
    def markers(self) -> tuple[str, ...]:
        if self.rule.watches:
            return (self.rule.watches,)
        return tuple(part.rule.watches for part in self.parts)

    @property
    def anchor_day(self) -> date | None:
        if self.operation is not None:
            return self.operation.day
        return self.line.start if self.line is not None else None


class Evaluation(msgspec.Struct, frozen=True):
    """All findings of one chart. `silent` lists what was recognised and must not be used, with the reason."""

    chart: Chart
    findings: tuple[Finding, ...]
    rulebook_hash: str
    silent: tuple[tuple[str, str], ...] = ()
    answers: Mapping[str, Finding] = msgspec.field(
        default_factory=dict
    )  # every rule's own answer, before they are put together

    def marker_state(self, marker: str) -> str | None:
        """The one state for a marker (reading rule R23); None if there is no finding for it."""
        shown = [finding for finding in self.answers.values() if finding.rule.status == "active"]
        states = [finding.state for finding in shown if marker in finding.markers]
        return one_state(states)


_TOGETHER = ("out-of-scope", "data-quality", "hold", "discordant", "suspected", "persistent", "watch", "not-evaluable")


def one_state(states: list[str]) -> str | None:
    """One state where several rules watch a marker; what does not apply says nothing."""
    if not states:
        return None
    for state in (*_TOGETHER, "background"):
        if state in states:
            return state
    return "no-flag" if "no-flag" in states else "not-applicable"
