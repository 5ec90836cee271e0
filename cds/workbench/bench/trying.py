"""A rule asked about a synthetic patient: on each visit, before and after points were moved, and on one day in full."""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec
from markupsafe import Markup

from cds.advice.advisory import Advisory
from cds.advice.statements import Advisor
from cds.drawing import Table, scene_of, svg, table_of
from cds.publish.site.prose import Teller
from cds.reasoning.findings import Evaluation, Finding
from cds.reasoning.reasoner import Reasoner
from cds.reasoning.rulebook import Rule
from cds.workbench.bench.patients import Patient
from cds.workbench.bench.points import Moves
from cds.workbench.proving.cases import QUIET
from cds.workbench.proving.running import answer_of

NOT_ASKED = "not-asked"
"""In the place of a state: no result of the rule's markers was known, so there was nothing to ask about."""


@dataclass(frozen=True, slots=True)
class Visit:
    """The state on one day: as the patient was made, and with what was moved or limits that were changed."""

    day: int
    before: str
    now: str
    expected: str  # what the test expects; "" where it says nothing
    chosen: bool

    @property
    def differs(self) -> bool:
        return self.before != self.now


@dataclass(frozen=True, slots=True)
class Condition:
    """A fact of the rule on the chosen day: what it is called, when it is true, and whether it is ("not-asked": nobody asked)."""

    called: str
    true_if: str
    value: str  # "true" | "false" | "unknown" | "not-asked"


@dataclass(frozen=True, slots=True)
class Tried:
    """What a rule says. `said` and the rest that explains it are of the chosen day; None and empty where it was not asked."""

    visits: tuple[Visit, ...]
    chosen: Visit
    said: Advisory | None
    conditions: tuple[Condition, ...]
    drawing: Markup
    table: Table
    as_test: str  # the case as a file of tests would say it; "" for a patient of the cohort

    def holding(self, value: str) -> list[Condition]:
        """The conditions with that value."""
        return [one for one in self.conditions if one.value == value]


def tried(rule: str, patient: Patient, day: int, moves: Moves, before: Reasoner, now: Reasoner) -> Tried:
    """The rule asked about the patient: `before` as they were made, `now` with what was moved.

    Raises `EngineFault` or `Disagreement`: then nothing may be shown of what it says.
    """
    rows = []
    for one in sorted({*patient.days, day}):
        was = answer_of(before.evaluate(patient.chart(one, {})), rule)
        then = answer_of(now.evaluate(patient.chart(one, moves)), rule)
        rows.append(Visit(one, _state(was), _state(then), patient.expected.get(one, ""), one == day))
    evaluation = now.evaluate(patient.chart(day, moves))
    finding = answer_of(evaluation, rule)
    alone = _alone(evaluation, finding)
    book = now.rulebook
    said = Advisor(book).advisory(alone.findings[0], alone) if alone.findings else None
    scene = scene_of(alone, (said,) if said is not None else (), book)
    return Tried(
        tuple(rows),
        next(row for row in rows if row.chosen),
        said,
        conditions(book.rule(rule), finding, Teller(book)) if finding is not None else (),
        Markup(svg(scene, styled=False)),  # noqa: S704 - our own, with every text escaped
        table_of(scene),
        patient.written(moves, {row.day: _expected(row) for row in rows if row.expected or row.chosen}),
    )


def conditions(rule: Rule, finding: Finding, teller: Teller) -> tuple[Condition, ...]:
    """Every fact on which the rule's clauses rest, with what it is on the day of the finding."""
    found = []
    for fact in teller.told(rule).facts:
        value = {True: "true", False: "false", None: "unknown"}[finding.facts[fact.name]] if fact.name in finding.facts else NOT_ASKED  # fmt: skip
        found.append(Condition(fact.called, fact.true_if, value))
    return tuple(found)


def _expected(visit: Visit) -> str:
    """What a test would expect of a day: what it expects already, if the state is the same."""
    if visit.now == NOT_ASKED:
        return "none"
    holds = visit.now == visit.before if visit.expected == QUIET else visit.expected.split()[:1] == [visit.now]
    return visit.expected if holds else visit.now


def _state(finding: Finding | None) -> str:
    return NOT_ASKED if finding is None else finding.state


def _alone(evaluation: Evaluation, finding: Finding | None) -> Evaluation:
    """The evaluation as if the rule were the only one, and in use: so that its limit is drawn, and no other rule's."""
    if finding is None:
        return msgspec.structs.replace(evaluation, findings=())
    shown = msgspec.structs.replace(finding, rule=replace(finding.rule, status="active", part=False))
    return msgspec.structs.replace(evaluation, findings=(shown,), answers={shown.rule.name: shown})
