"""Whether a condition can be made to decide the verdict at all: an exhaustive search over the facts of a rule.

What the search must respect are the declared implications. If it ends without an assignment, the pair is infeasible, and
the smallest set of implications with which it still ends so is the proof.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from cds.chart.model import Tri
from cds.reasoning.rulebook import Clause, Rule
from cds.workbench.proving.conditions import ANCHOR, Condition, Facts, Table, clause_truth, literal_truth
from cds.workbench.proving.implications import Implication


class Proof(NamedTuple):
    """Why no chart shows a condition with that truth deciding the verdict."""

    value: Tri
    implications: tuple[Implication, ...]
    masking: tuple[str, ...]  # the clauses of which one always speaks instead, or says the same

    def __str__(self) -> str:
        said = [str(one) for one in self.implications]
        if self.masking:
            said.append(f"{' or '.join(self.masking)} then decides, or says the same")
        return "; ".join(said) or "its clause says the same of both"


STAGES: tuple[tuple[Tri, bool], ...] = ((True, True), (True, False), (None, False), (False, False))
"""(applies, judged): how far the asking went."""


class Search:
    """All assignments of a rule's facts that its implications allow."""

    def __init__(self, rule: Rule, table: Table, known: Sequence[Implication], also: Sequence[Clause] = ()):
        self.rule = rule
        self.table = table
        self.known = known
        self._positive = self._only_positive((*rule.clauses, *also))
        self._clauses = {clause.key: clause for clause in rule.clauses}

    def deciding(self, condition: Condition, value: Tri, other: Tri) -> Facts | None:
        """Facts with which the condition has `value`, and another verdict would follow if it had `other`."""
        return self._deciding(condition, value, other, self.known)

    def proof(self, condition: Condition, value: Tri, other: Tri) -> Proof:
        """The smallest set of implications (no one of them can be left out) with which there are no such facts."""
        needed: list[Implication] = []
        while (facts := self._deciding(condition, value, other, needed)) is not None:
            needed.append(next(one for one in self.known if not one.holds(facts)))
        for one in list(needed):
            fewer = [kept for kept in needed if kept is not one]
            if self._deciding(condition, value, other, fewer) is None:
                needed = fewer
        return Proof(value, tuple(needed), self._masking(condition, value, other, needed))

    def _masking(self, condition: Condition, value: Tri, other: Tri, known: Sequence[Implication]) -> tuple[str, ...]:
        """The other clauses without which the condition would decide (no one of them can be left out)."""

        def deciding(masking: Sequence[Clause]) -> Facts | None:
            own = [clause for clause in self.rule.clauses if clause in masking or clause.key == condition.clause]
            lesser = Search(replace(self.rule, clauses=tuple(own)), self.table.without(own), self.known)
            return lesser._deciding(condition, value, other, known)

        masking: list[Clause] = []
        while (facts := deciding(masking)) is not None:
            there = [clause for clause in self.rule.clauses if clause not in masking and clause.key != condition.clause]
            speaking = [clause for clause in there if clause_truth(clause, facts)]
            masking += speaking[:1] or [clause for clause in there if clause_truth(clause, facts) is None] or there
        for clause in list(masking):
            fewer = [kept for kept in masking if kept is not clause]
            if deciding(fewer) is None:
                masking = fewer
        return tuple(clause.key for clause in masking)

    def _deciding(self, condition: Condition, value: Tri, other: Tri, known: Sequence[Implication]) -> Facts | None:
        clause = self._clauses.get(condition.clause)
        own = [literal.fact for literal in (*clause.all, *clause.unless)] if clause else []
        own += [literal.fact for literal in self.rule.only_if]
        for applies, judged in STAGES:
            if (
                condition.part == "only_if"
                and condition.literal.wanted is not None
                and value is None
                and applies is not None
            ):
                continue
            fixed, free, first = self.domains(own, applies, judged, known)
            if condition.part == "only_if":
                fixed[ANCHOR] = True
            table = self.table.without(
                [one for one in self.rule.clauses if one is clause or may_hold(one, fixed, free)]
            )

            def turns(facts: Facts, clause: Clause | None = clause) -> bool:
                """Whether, as far as its own facts go, the condition has the value and its clause hangs on it."""
                if literal_truth(condition.literal, facts) is not value or not self._applies_so(facts):
                    return False
                if clause is None:
                    return True
                force = (condition.part, condition.number, other)
                return clause_truth(clause, facts) is not clause_truth(clause, facts, force)

            for facts in walk(fixed, free, known, first, turns, self._stronger(clause)):
                truths = table.truths(facts)
                if table.forced(condition, other, facts, truths) != table.said(truths):
                    return facts
        return None

    def _stronger(self, clause: Clause | None) -> list[Clause]:
        """The clauses of which each, being true, leaves nothing for this one to decide."""
        if clause is None or not clause.state:
            return []
        rank = self.table.rank(clause)
        return [
            one
            for one in self.rule.clauses
            if one.state and one is not clause and self.table.rank(one) < rank + (not clause.note)
        ]

    def domains(
        self, own: Sequence[str], applies: Tri, judged: bool, known: Sequence[Implication]
    ) -> tuple[dict[str, Tri], list[tuple[str, tuple[Tri, ...]]], int]:
        """What is fixed, and what is free with its values, the condition's own facts (so many) first.

        A fact that only adds clauses when true, and that no implication needs to be otherwise, is fixed as false: whatever
        decides while it is true decides while it is false.
        """
        fixed: dict[str, Tri] = {"applies": applies, ANCHOR: applies}
        formed = {"always"} | ({"applies"} if applies else set()) | ({"judged"} if applies and judged else set())
        if applies:
            fixed["judged"] = judged
        bound = {atom.fact for one in known for atom in one.atoms if False not in atom.values}
        free: list[tuple[str, tuple[Tri, ...]]] = []
        for spec in self.rule.facts:
            if spec.name in fixed or spec.lazy not in formed:
                continue
            if spec.name in own or spec.name in bound or spec.name not in self._positive:
                free.append((spec.name, (False, True, None) if spec.can_be_unknown else (False, True)))
            else:
                fixed[spec.name] = False
        free.sort(key=lambda one: one[0] not in own)
        return fixed, free, sum(name in own for name, _ in free)

    def _applies_so(self, facts: Facts) -> bool:
        """Whether `applies` is what its anchor and the conditions under `only_if` make it."""
        if not self.rule.only_if:
            return True
        truths = [literal_truth(literal, facts) for literal in self.rule.only_if]
        if facts["applies"] is True:
            return all(truths)
        if facts["applies"] is False:
            return facts[ANCHOR] is False or False in truths
        return facts[ANCHOR] is None or (False not in truths and None in truths)

    def _only_positive(self, clauses: Sequence[Clause]) -> set[str]:
        """Facts that, being false, make no clause true: whatever decides with them true decides with them false."""
        negative = {
            literal.fact
            for clause in clauses
            for literal, positive in (
                *((lit, lit.wanted is not False) for lit in clause.all),
                *((lit, False) for lit in clause.unless),
            )
            if not positive
        }
        return {spec.name for spec in self.rule.facts} - negative


def may_hold(clause: Clause, fixed: Facts, free: Sequence[tuple[str, tuple[Tri, ...]]]) -> bool:
    """Whether the clause is not false already, by what is fixed or not formed."""
    open_ = {name for name, _ in free}
    return all(lit.fact in open_ or literal_truth(lit, fixed) is not False for lit in (*clause.asked, *clause.all))


def walk(
    fixed: Facts,
    free: Sequence[tuple[str, tuple[Tri, ...]]],
    known: Sequence[Implication],
    first: int,
    turns: Callable[[Facts], bool],
    never: Iterable[Clause] = (),
) -> Iterator[dict[str, Tri]]:
    """Every assignment of the free facts that the implications allow, of which the `first` pass `turns`, and none of `never` is true."""
    order = {name: place for place, (name, _) in enumerate(free)}
    checks: list[list[Implication]] = [[] for _ in range(len(free) + 1)]
    for one in known:
        if all(atom.fact in fixed or atom.fact in order for atom in one.atoms):
            checks[max((order[atom.fact] + 1 for atom in one.atoms if atom.fact in order), default=0)].append(one)
    ends: list[list[Clause]] = [[] for _ in range(len(free) + 1)]
    for clause in never:
        names = {literal.fact for literal in (*clause.asked, *clause.all, *clause.unless)}
        ends[max((order[name] + 1 for name in names if name in order), default=0)].append(clause)
    facts: dict[str, Tri] = dict(fixed)

    def step(place: int) -> Iterator[dict[str, Tri]]:
        if not all(any(facts[atom.fact] in atom.values for atom in one.atoms) for one in checks[place]):
            return
        if place == first and not turns(facts):
            return
        if any(clause_truth(clause, facts) for clause in ends[place]):
            return
        if place == len(free):
            yield dict(facts)
            return
        name, domain = free[place]
        for value in domain:
            facts[name] = value
            yield from step(place + 1)
        del facts[name]

    return step(0)
