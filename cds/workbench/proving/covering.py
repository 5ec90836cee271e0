"""Masking MC/DC of a rule by its tests: for each condition, two test days between which it alone decides the verdict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from cds.chart.model import Chart, Tri
from cds.reasoning.forming import Forming
from cds.reasoning.kinds import KINDS
from cds.reasoning.question import Question
from cds.reasoning.reasoner import Reasoner
from cds.reasoning.rulebook import WANTED, Rule, RuleBook
from cds.workbench.proving.cases import RuleTest
from cds.workbench.proving.conditions import ANCHOR, Condition, Facts, Table, Verdict, conditions, wanted_pairs
from cds.workbench.proving.feasible import Proof, Search
from cds.workbench.proving.implications import implications
from cds.workbench.proving.running import answer_of


class Place(NamedTuple):
    """A day of a case."""

    case: str
    day: int

    def __str__(self) -> str:
        return f"'{self.case}' day {self.day}"


class Pair(NamedTuple):
    """A condition with two truths, and how they are shown to decide the verdict, or why nothing can show it."""

    condition: Condition
    values: tuple[Tri, Tri]
    shown: tuple[Place, Place] | None = None
    verdicts: tuple[str, str] = ("", "")
    proof: Proof | None = None  # why it is infeasible
    needed: tuple[str, ...] = ()  # facts of a chart that would show the missing side

    @property
    def feasible(self) -> bool:
        return self.proof is None

    def __str__(self) -> str:
        return f"{self.condition} [{WANTED[self.values[0]]}/{WANTED[self.values[1]]}]"

    def told(self) -> str:
        """The pair in a line: which tests show it, which are missing, or why there are none."""
        if self.shown is not None:
            sides = (f"{place} says {verdict}" for place, verdict in zip(self.shown, self.verdicts, strict=True))
            return f"shown      {self}: {', '.join(sides)}"
        if self.proof is not None:
            return f"infeasible {self}: {self.proof}"
        return f"missing    {self}: write a case in which {', '.join(self.needed)}"

    def as_data(self) -> dict[str, object]:
        """The pair for a program."""
        return {
            "condition": str(self.condition),
            "values": [WANTED[value] for value in self.values],
            "shown": [place._asdict() for place in self.shown or ()],
            "infeasible": str(self.proof or ""),
            "needed": list(self.needed),
        }


@dataclass(frozen=True, slots=True)
class Coverage:
    """The pairs of one rule."""

    rule: str
    pairs: tuple[Pair, ...] = field(repr=False)

    @property
    def shown(self) -> int:
        return sum(pair.shown is not None for pair in self.pairs)

    @property
    def feasible(self) -> int:
        return sum(pair.feasible for pair in self.pairs)

    @property
    def missing(self) -> tuple[Pair, ...]:
        return tuple(pair for pair in self.pairs if pair.feasible and pair.shown is None)

    @property
    def infeasible(self) -> tuple[Pair, ...]:
        return tuple(pair for pair in self.pairs if not pair.feasible)

    @property
    def tenths(self) -> int:
        """Tenths of a percent of the feasible pairs that are shown, rounded down: 1000 means all."""
        return 1000 * self.shown // self.feasible if self.feasible else 1000

    def as_data(self) -> dict[str, object]:
        """The coverage for a program."""
        counts = {"shown": self.shown, "feasible": self.feasible, "infeasible": len(self.infeasible)}
        return {
            "rule": self.rule,
            **counts,
            "percent": self.tenths / 10,
            "pairs": [pair.as_data() for pair in self.pairs],
        }


def percent(tenths: int) -> str:
    """Tenths of a percent as people write them: 99.9 %, 100 %."""
    return f"{tenths // 10} %" if tenths == 1000 else f"{tenths // 10}.{tenths % 10} %"


def tests_of(rule: str, tests: Iterable[RuleTest], book: RuleBook) -> list[RuleTest]:
    """The tests that ask the rule: its own, and those of a rule that combines it."""
    asking = {rule, *(whole.name for whole in book.rules if rule in whole.combines.values())}
    return [test for test in tests if test.rule in asking]


def facts_of(reasoner: Reasoner, forming: Forming, chart: Chart, rule: Rule) -> Facts | None:
    """The facts that the rule forms of a chart, `ANCHOR` among them; None if it is not asked."""
    if rule.combines:
        finding = answer_of(reasoner.evaluate(chart), rule.name)
        own = {spec.name for spec in rule.facts if spec.kind == "combination"}
        return None if finding is None or not own <= finding.facts.keys() else finding.facts
    if not chart.results.get(rule.watches):
        return None
    question = Question(chart, rule, reasoner.rulebook, forming.shared(chart, rule.watches))
    facts = forming.facts(question)
    applies = KINDS["applies"].value
    assert applies is not None  # the kind answers for the question
    if chart.lines or chart.operations:  # without any therapy `only_if` is not asked
        facts[ANCHOR] = applies(question, None)
    return facts


class _Point(NamedTuple):
    place: Place
    facts: Facts
    truths: Sequence[Tri]
    verdict: Verdict


def cover(rule: Rule, tests: Iterable[RuleTest], reasoner: Reasoner) -> Coverage:
    """What the tests show of each condition of the rule's own; its gates are `cover_gates`'."""
    shown = _Shown(rule, tests, reasoner)
    own = [one for one in conditions(rule) if not one.clause or not shown.gates[one.clause]]
    return Coverage(rule.name, tuple(pair for one in own for pair in _pairs(one, [shown])))


def cover_gates(tests: Iterable[RuleTest], reasoner: Reasoner) -> Coverage:
    """What the tests of all rules show of each condition of the gates, which are written once and shared by the rules."""
    tests = list(tests)
    every = [_Shown(rule, tests, reasoner) for rule in reasoner.rulebook.rules if rule.watches]
    asking: dict[Condition, list[_Shown]] = {}
    for shown in every:
        for one in conditions(shown.rule):
            if one.clause and shown.gates[one.clause]:
                asking.setdefault(one, []).append(shown)
    return Coverage("gates", tuple(pair for one, by in asking.items() for pair in _pairs(one, by)))


class _Shown:
    """What the tests of one rule show."""

    def __init__(self, rule: Rule, tests: Iterable[RuleTest], reasoner: Reasoner):
        self.rule = rule
        self.gates = {clause.key: clause.gate for clause in rule.clauses}
        self.table = Table(rule, reasoner.rulebook)
        self.search = Search(rule, self.table, implications(rule, reasoner.rulebook))
        self.points = list(_points(rule, tests_of(rule.name, tests, reasoner.rulebook), reasoner, self.table))

    def sides(self, condition: Condition, values: tuple[Tri, Tri]) -> tuple[list[_Point], list[_Point]]:
        """The points at which the condition has one of the values, and the other value would change the verdict."""
        one, other = values
        asked = [point for point in self.points if condition.part != "only_if" or ANCHOR in point.facts]
        return self._side(condition, one, other, asked), self._side(condition, other, one, asked)

    def _side(self, condition: Condition, value: Tri, other: Tri, asked: Iterable[_Point]) -> list[_Point]:
        table = self.table
        return [
            point
            for point in asked
            if table.value(condition, point.facts) is value
            and table.forced(condition, other, point.facts, point.truths) != point.verdict
        ]


def _points(rule: Rule, tests: Iterable[RuleTest], reasoner: Reasoner, table: Table) -> Iterator[_Point]:
    forming = Forming(reasoner.rulebook)
    for test in tests:
        for day in sorted(test.expect):
            facts = facts_of(reasoner, forming, test.chart(day), rule)
            if facts is not None:
                truths = table.truths(facts)
                yield _Point(Place(test.name, day), facts, truths, table.said(truths))


def _pairs(condition: Condition, by: Sequence[_Shown]) -> Iterator[Pair]:
    """Each wanted pair, as some rule's tests show it; else missing if a rule could show it; else infeasible in all."""
    for values in wanted_pairs(condition, by[0].rule):
        lacking: list[tuple[_Shown, bool, bool]] = []
        for shown in by:
            left, right = shown.sides(condition, values)
            found = _nearest(left, right)
            if found is not None:
                verdicts = (str(found[0].verdict), str(found[1].verdict))
                yield Pair(condition, values, (found[0].place, found[1].place), verdicts)
                break
            lacking.append((shown, bool(left), bool(right)))
        else:
            answers = [_missing(condition, values, shown.search, there) for shown, *there in lacking]
            yield next((pair for pair in answers if pair.feasible), answers[0])


def _nearest(left: Sequence[_Point], right: Sequence[_Point]) -> tuple[_Point, _Point] | None:
    """The two points with different verdicts that differ in the fewest facts; of one case, if there are such."""
    best: tuple[tuple[int, bool], _Point, _Point] | None = None
    for one in left[:60]:
        for other in right[:60]:
            if one.verdict == other.verdict:
                continue
            apart = sum(one.facts.get(name) is not other.facts.get(name) for name in {*one.facts, *other.facts})
            key = (apart, one.place.case != other.place.case)
            if best is None or key < best[0]:
                best = (key, one, other)
    return best and (best[1], best[2])


def _missing(condition: Condition, values: tuple[Tri, Tri], search: Search, there: Sequence[bool]) -> Pair:
    one, other = values
    needed: tuple[str, ...] = ()
    for own, against, known in ((one, other, there[0]), (other, one, there[1])):
        if known:
            continue
        facts = search.deciding(condition, own, against)
        if facts is None:
            return Pair(condition, values, proof=search.proof(condition, own, against))
        needed = needed or _telling(facts, condition, search.rule)
    if needed:
        return Pair(condition, values, needed=needed)
    return Pair(condition, values, needed=("two days with different verdicts",))


def _telling(facts: Facts, condition: Condition, rule: Rule) -> tuple[str, ...]:
    """What of the facts a test would have to bring about: those of the clause, and what else is not false."""
    clause = next((clause for clause in rule.clauses if clause.key == condition.clause), None)
    own = {literal.fact for literal in (*clause.all, *clause.unless)} if clause else {condition.literal.fact}
    return tuple(
        f"{name} {WANTED[value]}"
        for name, value in facts.items()
        if name != ANCHOR and (name in own or value is not False) and not (name in ("applies", "judged") and value)
    )
