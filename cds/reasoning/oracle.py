"""The oracle: the same question answered by walking the rule with Kleene's tables.

It shares no code with the compiler, and runs beside the engine on every evaluation.
"""

from __future__ import annotations

from collections.abc import Mapping

from cds.chart.model import Tri
from cds.reasoning.rulebook import Literal, Rule


def kleene_and(left: Tri, right: Tri) -> Tri:
    """False if either is, else unknown if either is, else true."""
    if left is False or right is False:
        return False
    return None if left is None or right is None else True


def answer(rule: Rule, facts: Mapping[str, Tri]) -> frozenset[tuple[str, str]]:
    """The clauses that hold as (key, ""), and (key, fact) for each fact whose being unknown holds one back.

    A clause is not asked unless all that is to be `asked` first is true and every fact of it was formed.
    """
    said: list[tuple[str, str]] = []
    asked: dict[int, bool] = {}  # by the identity of what is asked first: clauses of one stage share it
    for clause in rule.clauses:
        stage = id(clause.asked)
        if stage not in asked:
            asked[stage] = all(truth(literal, facts) is True for literal in clause.asked)
        if not asked[stage]:
            continue
        value: Tri = True
        for literal in clause.all:
            if literal.fact not in facts:
                value = False
                break
            value = kleene_and(value, truth(literal, facts))
            if value is False:
                break
        if value is False or any(
            literal.fact not in facts or truth(literal, facts) is True for literal in clause.unless
        ):
            continue
        if value:
            said.append((clause.key, ""))
        else:
            said += [(clause.key, literal.fact) for literal in clause.all if truth(literal, facts) is None]
    return frozenset(said)


def truth(literal: Literal, facts: Mapping[str, Tri]) -> Tri:
    """A literal's truth; a fact that was not formed is unknown."""
    value = facts.get(literal.fact)
    wanted = literal.wanted
    if wanted is None:
        return value is None
    return None if value is None else value is wanted
