"""The conditions of a rule, and its verdict as a function of its facts, in which one condition can be forced.

A condition is one literal where it stands: in the `all`, `unless` or `asked` of one clause, or in `only_if`. Forcing it there
and nowhere else shows whether the verdict hangs on it (masking MC/DC; the same fact in other clauses keeps its value).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from cds.chart.model import Tri
from cds.reasoning.oracle import kleene_and
from cds.reasoning.rulebook import Clause, Literal, Rule, RuleBook

Facts = Mapping[str, Tri]

ANCHOR = "anchor"
"""Whether there is a therapy (operation) that the rule is about, before its `only_if` is asked: beside the facts of a point."""


class Condition(NamedTuple):
    """A literal where it stands. `clause` is "" for `only_if`."""

    clause: str
    part: str  # all | unless | asked | only_if
    literal: Literal
    number: int  # its place among the literals of that part

    def __str__(self) -> str:
        where = {"all": "", "unless": "unless ", "asked": "asked if ", "only_if": "only_if "}[self.part]
        return f"{self.clause + ': ' if self.clause else ''}{where}{self.literal}"


class Verdict(NamedTuple):
    """What a finding says: its state, its notes, and the clauses before its own that only something unknown holds back."""

    state: str
    notes: frozenset[str]
    open: frozenset[str]

    def __str__(self) -> str:
        notes = f" with {', '.join(sorted(self.notes))}" if self.notes else ""
        held = f" ({', '.join(sorted(self.open))} open)" if self.open else ""
        return f"{self.state}{notes}{held}"


ASKED_FURTHER = "asked further"
"""The state of a verdict that forcing `only_if` would open: the facts behind it were not formed, so no more is known of it."""


def conditions(rule: Rule) -> Iterator[Condition]:
    """Every literal of the rule where it stands, gates included.

    What is `asked` first is a condition only where a clause could hold without it: a clause that rests on a fact which is
    formed no sooner waits for it anyway.
    """
    for number, literal in enumerate(rule.only_if):
        yield Condition("", "only_if", literal, number)
    for clause in rule.clauses:
        stages = {rule.fact(literal.fact).lazy for literal in clause.all if literal.fact != "judged"}
        for part in ("asked", "all", "unless"):
            for number, literal in enumerate(getattr(clause, part)):
                if part != "asked" or not (stages & _LATER[literal.fact] or literal in clause.all):
                    yield Condition(clause.key, part, literal, number)


_LATER = {"applies": {"applies", "judged"}, "judged": {"judged"}}
"""By what is asked first, the stages of facts that are formed only then."""


@dataclass(frozen=True, slots=True)
class _Row:
    clause: Clause
    rank: int
    place: int


class Table:
    """A rule as a table over its facts; agrees with engine and oracle (tests/proving/test_cover.py)."""

    def __init__(self, rule: Rule, book: RuleBook):
        self.rule = rule
        self._book = book
        self.rows = [
            _Row(clause, book.rank(clause.state) if clause.state else -1, place)
            for place, clause in enumerate(rule.clauses)
        ]
        self.place = {clause.key: place for place, clause in enumerate(rule.clauses)}

    def without(self, clauses: Sequence[Clause]) -> Table:
        """The table of the same rule with these clauses alone."""
        return Table(replace(self.rule, clauses=tuple(clauses)), self._book)

    def rank(self, clause: Clause) -> int:
        """The place of the clause's state in the order of precedence, 0 first; -1 for a note."""
        return self._book.rank(clause.state) if clause.state else -1

    def truths(self, facts: Facts) -> list[Tri]:
        """The truth of every clause."""
        return [clause_truth(row.clause, facts) for row in self.rows]

    def verdict(self, facts: Facts) -> Verdict:
        return self.said(self.truths(facts))

    def said(self, truths: Sequence[Tri]) -> Verdict:
        """The verdict on clauses of these truths, as `Reasoner` puts a finding together."""
        first = min((row.rank for row in self.rows if row.rank >= 0 and truths[row.place]), default=None)
        notes = set()
        held = set()
        for row in self.rows:
            truth = truths[row.place]
            if truth and row.rank in (-1, first) and row.clause.note:
                notes.add(row.clause.note)
            elif truth is None and row.rank >= 0 and (first is None or row.rank < first):
                held.add(row.clause.key)
        state = "not-evaluable" if first is None else next(r.clause.state for r in self.rows if r.rank == first)
        return Verdict(state, frozenset(notes), frozenset(held))

    def value(self, condition: Condition, facts: Facts) -> Tri:
        """The condition's truth; that of a fact that was not asked is false."""
        return literal_truth(condition.literal, facts)

    def forced(self, condition: Condition, value: Tri, facts: Facts, truths: Sequence[Tri]) -> Verdict:
        """The verdict if the condition had that truth where it stands; `truths` are those of the clauses as they are."""
        if condition.part == "only_if":
            return self._admitted(condition, value, facts)
        place = self.place[condition.clause]
        changed = list(truths)
        changed[place] = clause_truth(self.rule.clauses[place], facts, (condition.part, condition.number, value))
        return self.said(changed)

    def _admitted(self, condition: Condition, value: Tri, facts: Facts) -> Verdict:
        applies = facts.get(ANCHOR)
        for index, literal in enumerate(self.rule.only_if):
            own = value if index == condition.number else literal_truth(literal, facts)
            applies = kleene_and(applies, own)
        if applies is facts["applies"]:
            return self.verdict(facts)
        early = {spec.name for spec in self.rule.facts if spec.lazy == "always"}
        changed = {name: known for name, known in facts.items() if name in early}
        changed["applies"] = applies
        found = self.verdict(changed)
        if applies and not any(self.truths(changed)):
            return Verdict(ASKED_FURTHER, found.notes, found.open)
        return found


_NOT_ASKED = object()


def literal_truth(literal: Literal, facts: Facts) -> Tri:
    """A literal's truth where it is asked; of a fact that was not asked it is false."""
    value = facts.get(literal.fact, _NOT_ASKED)
    if value is _NOT_ASKED:
        return False
    if literal.wanted is None or value is not None:
        return value is literal.wanted
    return None


def clause_truth(clause: Clause, facts: Facts, force: tuple[str, int, Tri] = ("", 0, None)) -> Tri:
    """The clause's truth: three-valued `all`, `unless` that blocks when true, and false where it is not asked."""
    part, place, value = force
    twice = (
        clause.all[place] if part == "all" else None
    )  # what is asked first may stand among `all` again: one condition
    for index, literal in enumerate(clause.asked):
        forced = literal == twice or (part == "asked" and index == place)
        if (value if forced else literal_truth(literal, facts)) is not True:
            return False
    answer: Tri = True
    for index, literal in enumerate(clause.all):
        own = value if part == "all" and index == place else literal_truth(literal, facts)
        if own is False:
            return False
        if own is None:
            answer = None
    for index, literal in enumerate(clause.unless):
        if part == "unless" and index == place:
            blocks: Tri = value
        else:
            blocks = literal_truth(literal, facts) if literal.fact in facts else True
        if blocks:
            return False
    return answer


def wanted_pairs(condition: Condition, rule: Rule) -> tuple[tuple[Tri, Tri], ...]:
    """The pairs of truths of which each is to be shown to change the verdict by itself.

    True and false always; true and unknown, and false and unknown, where the literal can be unknown and the language tells
    them apart: an exclusion, a note and what is asked first know no unknown, it counts as not true.
    """
    spec = rule.fact(condition.literal.fact) if condition.literal.fact != "judged" else None
    if condition.literal.wanted is None or spec is None or not spec.can_be_unknown:
        return ((True, False),)
    clause = next((clause for clause in rule.clauses if clause.key == condition.clause), None)
    if condition.part in ("unless", "asked") or (clause is not None and not clause.state):
        return ((True, False), (True, None))
    return ((True, False), (True, None), (False, None))
