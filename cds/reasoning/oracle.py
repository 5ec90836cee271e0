"""The oracle: the same question answered by walking the rule with Kleene's tables.

It shares no code with the compiler, and runs beside the engine on every evaluation.
"""

from __future__ import annotations

from collections.abc import Mapping

from cds.chart.model import Tri
from cds.reasoning.rulebook import Clause, Literal, Rule


def kleene_and(left: Tri, right: Tri) -> Tri:
    """False if either is, else unknown if either is, else true."""
    if left is False or right is False:
        return False
    return None if left is None or right is None else True


def answer(rule: Rule, facts: Mapping[str, Tri]) -> frozenset[tuple[str, str]]:
    """The clauses that hold as (key, ""), and (key, fact) for each fact whose being unknown holds one back."""
    said: set[tuple[str, str]] = set()
    for clause in rule.clauses:
        if not _asked(clause, facts) or not _formed(clause, facts) or _excluded(clause, facts):
            continue
        value: Tri = True
        for literal in clause.all:
            value = kleene_and(value, truth(literal, facts))
            if value is False:
                break
        if value:
            said.add((clause.key, ""))
        elif value is None:
            said.update((clause.key, literal.fact) for literal in clause.all if truth(literal, facts) is None)
    return frozenset(said)


def _asked(clause: Clause, facts: Mapping[str, Tri]) -> bool:
    for literal in clause.asked:  # noqa: SIM110 - plain loops: this runs on every evaluation
        if truth(literal, facts) is not True:
            return False
    return True


def _formed(clause: Clause, facts: Mapping[str, Tri]) -> bool:
    """Whether every fact of the clause was formed; one that was not makes the clause not asked."""
    for literal in (*clause.all, *clause.unless):  # noqa: SIM110
        if literal.fact not in facts:
            return False
    return True


def _excluded(clause: Clause, facts: Mapping[str, Tri]) -> bool:
    for literal in clause.unless:  # noqa: SIM110
        if truth(literal, facts) is True:
            return True
    return False


def truth(literal: Literal, facts: Mapping[str, Tri]) -> Tri:
    """A literal's truth."""
    value = facts.get(literal.fact)
    if literal.wanted is None:
        return value is None
    return None if value is None else value is literal.wanted
