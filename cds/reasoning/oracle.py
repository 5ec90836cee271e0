"""The oracle: the same question answered by walking the rule with Kleene's tables.

It shares no code with the compiler, and runs beside the engine on every evaluation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cds.chart.model import Tri
from cds.reasoning.rulebook import Clause, Literal, Rule


def kleene_and(left: Tri, right: Tri) -> Tri:
    """False if either is, else unknown if either is, else true."""
    if left is False or right is False:
        return False
    return None if left is None or right is None else True


def truth(literal: Literal, facts: Mapping[str, Tri]) -> Tri:
    """A literal's truth; a fact that was not formed is unknown."""
    value = facts.get(literal.fact)
    wanted = literal.wanted
    if wanted is None:
        return value is None
    return None if value is None else value is wanted


class Oracle:
    """All rules of a book, as written."""

    def __init__(self, rules: Iterable[Rule]):
        self._stages = {rule.name: _by_stage(rule.clauses) for rule in rules}

    def answer(self, rule: str, facts: Mapping[str, Tri]) -> frozenset[tuple[str, str]]:
        """The clauses that hold as (key, ""), and (key, fact) for each fact whose being unknown holds one back.

        A clause is not asked unless all that is to be `asked` first is true and every fact of it was formed.
        """
        said: list[tuple[str, str]] = []
        for asked, clauses in self._stages[rule]:
            for fact, wanted in asked:
                if facts.get(fact) is not wanted:
                    break
            else:
                for key, conjunction, exclusions in clauses:
                    unknown: list[str] = []
                    for fact, wanted in conjunction:
                        value = facts.get(fact, _NOT_FORMED)
                        if value is wanted:
                            continue
                        if value is not None:
                            break  # one is false: so is the conjunction, whatever else is unknown
                        unknown.append(fact)
                    else:
                        for fact, wanted in exclusions:
                            value = facts.get(fact, _NOT_FORMED)
                            if value is wanted or value is _NOT_FORMED:
                                break
                        else:
                            said += [(key, fact) for fact in unknown] or [(key, "")]
        return frozenset(said)


_NOT_FORMED = object()
_Pairs = tuple[tuple[str, Tri], ...]
_Stage = tuple[_Pairs, list[tuple[str, _Pairs, _Pairs]]]
"""Clauses that share what is asked first: (key, what is all to hold, what excludes)."""


def _by_stage(clauses: Iterable[Clause]) -> list[_Stage]:
    stages: dict[_Pairs, list[tuple[str, _Pairs, _Pairs]]] = {}
    for clause in clauses:
        if clause.is_plain:
            continue
        stages.setdefault(_pairs(clause.asked), []).append((clause.key, _pairs(clause.all), _pairs(clause.unless)))
    return list(stages.items())


def _pairs(literals: Iterable[Literal]) -> _Pairs:
    return tuple((literal.fact, literal.wanted) for literal in literals)
