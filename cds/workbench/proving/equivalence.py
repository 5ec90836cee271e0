"""Proof that a mutant says the same as its original of every chart.

Nothing that the rule's answers depend on differs; or only windows of a pair do, that bound each other; or clauses do, and no
assignment of facts that the declared implications allow makes the two say different things.
"""

from __future__ import annotations

from collections.abc import Sequence

from cds.chart.model import Tri
from cds.reasoning.change import Pair
from cds.reasoning.rulebook import Clause, Rule, RuleBook
from cds.workbench.proving.conditions import ANCHOR, Facts, Table, clause_truth
from cds.workbench.proving.feasible import STAGES, Search, may_hold, walk
from cds.workbench.proving.implications import Implication, implications
from cds.workbench.proving.mutants import Mutant


def equivalent(mutant: Mutant, book: RuleBook) -> str:
    """Why the mutant says the same of every chart; "" if that is not proved."""
    other = mutant.book
    if (
        other.catalogue is not book.catalogue
        or other.windows != book.windows
        or _of_samples(other) != _of_samples(book)
    ):
        return ""
    reasons: list[str] = []
    for mutated in other.rules:
        original = book.rule(mutated.name)
        if original is not mutated:
            proof = _same(original, mutated, book)
            if not proof:
                return ""
            reasons.append(proof)
    if not mutant.rule and not any(one.clauses != book.rule(one.name).clauses for one in other.rules):
        return "the results with its faults are of no use anyway, wherever they stand"
    return "; ".join(dict.fromkeys(reasons)) or "nothing that its answers depend on differs"


def _of_samples(book: RuleBook) -> list[object]:
    """What makes a sample unusable wherever it stands; faults do so by themselves (`Question.usable`)."""
    tests = [spec for gate in book.gates if gate.every_sample for spec, _, _ in gate.fails_on]
    return [(spec.name, spec.kind, spec.params) for spec in tests if spec.kind != "fault"]


def _same(original: Rule, mutated: Rule, book: RuleBook) -> str:
    basis = _same_basis(original, mutated)
    if not basis or original.clauses == mutated.clauses:
        return basis
    known = implications(original, book)
    if _differing(original, mutated, book, known) is not None:
        return ""
    needed: list[Implication] = []
    while (facts := _differing(original, mutated, book, needed)) is not None:
        needed.append(next(one for one in known if not one.holds(facts)))
    for one in list(needed):
        fewer = [kept for kept in needed if kept is not one]
        if _differing(original, mutated, book, fewer) is None:
            needed = fewer
    return "; ".join(str(one) for one in needed) or "whatever its facts are, its other clauses say the same"


def _same_basis(one: Rule, other: Rule) -> str:
    """Why every fact that the mutant uses is formed as the original's is; "" if that is not so."""
    if _formed_by(one) != _formed_by(other):
        return ""
    facts = {spec.name: spec for spec in one.facts}
    reason = "nothing that its answers depend on differs"
    for spec in other.facts:
        known = facts.get(spec.name)
        if known == spec:
            continue
        if known is None or (known.kind, known.lazy) != (spec.kind, spec.lazy):
            return ""
        raw = (
            spec.name == one.anchor.second_of
        )  # whether a sample is a second goes by the first's window as it is written
        if _reach(known.params, raw) != _reach(spec.params, raw):
            return ""
        reason = "the first window and the days between bound the second sample as closely, and the other way round"
    return reason


def _reach(params: object, raw: bool) -> object:
    """Parameters in which the windows of a pair are no wider than each lets the other be."""
    if isinstance(params, tuple):
        return tuple(_reach(one, raw) for one in params)
    if not isinstance(params, Pair):
        return params
    first = (
        max(params.first_from, params.second_from - params.apart_to),
        min(params.first_to, params.second_to - params.apart_from),
    )
    second = (
        max(params.second_from, params.first_from + params.apart_from),
        min(params.second_to, params.first_to + params.apart_to),
    )
    written = (params.first_from, params.first_to) if raw else ()
    return params.changes, first, second, params.apart_from, params.apart_to, params.over_lowest, written


def _formed_by(rule: Rule) -> object:
    return rule.watches, rule.anchor, rule.reference, rule.nadir_after_operation, rule.stale_after, rule.only_if


def _differing(one: Rule, other: Rule, book: RuleBook, known: Sequence[Implication]) -> Facts | None:
    """Facts of which the two rules say different things; None if there are none."""
    left = {clause.key: clause for clause in one.clauses}
    right = {clause.key: clause for clause in other.clauses}
    changed = [(left.get(key), right.get(key)) for key in {**left, **right} if left.get(key) != right.get(key)]
    own = [lit.fact for pair in changed for clause in pair if clause for lit in (*clause.all, *clause.unless)]
    own += [literal.fact for literal in one.only_if]
    tables = (Table(one, book), Table(other, book))
    search = Search(one, tables[0], known, also=other.clauses)
    for applies, judged in STAGES:
        fixed, free, first = search.domains(own, applies, judged, known)
        alive = tuple(
            table.without([c for c in rule.clauses if may_hold(c, fixed, free)])
            for table, rule in zip(tables, (one, other), strict=True)
        )
        for facts in walk(
            fixed, free, known, first, lambda facts: any(_truth(a, facts) != _truth(b, facts) for a, b in changed)
        ):
            if _said(alive[0], facts) != _said(alive[1], facts):
                return {name: value for name, value in facts.items() if name != ANCHOR}
    return None


def _truth(clause: Clause | None, facts: Facts) -> tuple[Tri, object]:
    """What a clause contributes: its truth, and what it says if it is true."""
    if clause is None:
        return False, None
    truth = clause_truth(clause, facts)
    return truth, None if truth is False else (clause.state, clause.note, clause.certainty)


def _said(table: Table, facts: Facts) -> object:
    """The verdict with the clauses that hold for its state and the certainty: all that an expectation may name."""
    truths = table.truths(facts)
    verdict = table.said(truths)
    holding = [row.clause for row in table.rows if truths[row.place] and row.clause.state == verdict.state]
    certainty = holding[0].certainty if holding else ""
    return verdict.state, verdict.notes, verdict.open, certainty, frozenset(clause.key for clause in holding)
