"""What can be told of clauses from their logic alone: contradictions, clauses that an earlier one always beats, gaps.

Each is certain: it follows from the literals as written, whatever the facts are about.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

from cds.reasoning.rulebook import Clause, Literal, RuleBook
from cds.workbench.authoring.written import Written

_MOST_FACTS = 14
"""More make too many cases to look at; then nothing is said of gaps."""


def contradiction(clause: Clause, never_unknown: frozenset[str]) -> str:
    """Why the clause can never hold; "" if it may."""
    wanted: dict[str, bool | None] = {}
    for literal in clause.all:
        if literal.fact in wanted and wanted[literal.fact] is not literal.wanted:
            return f"'{Literal(literal.fact, wanted[literal.fact])}' and '{literal}' exclude each other"
        if literal.wanted is None and literal.fact in never_unknown:
            return f"'{literal.fact}' is never unknown"
        wanted[literal.fact] = literal.wanted
    for literal in clause.unless:
        if literal in clause.all:
            return f"'{literal}' is to hold, and to block"
    return ""


def shadow(clause: Clause, earlier: Sequence[Clause]) -> Clause | None:
    """The clause among `earlier` that holds whenever this one does; None if there is none."""
    return next((other for other in earlier if _implies(clause, other)), None)


def _implies(clause: Clause, other: Clause) -> bool:
    if not set(other.asked) <= set(clause.asked) or not set(other.all) <= {*clause.all, *clause.asked}:
        return False
    settled = {literal.fact: literal.wanted for literal in (*clause.asked, *clause.all)}
    return all(
        literal in clause.unless or (literal.fact in settled and settled[literal.fact] is not literal.wanted)
        for literal in other.unless
    )


def gap(written: Written) -> dict[str, bool] | None:
    """Facts, all known, with which a sample that is judged leads to no state at all; None if every case leads to one.

    The smallest such case by the number of true facts. Gates are passed in it.
    """
    clauses = [clause for clause, _ in written.clauses() if clause.state]
    names = sorted({lit.fact for clause in clauses for lit in (*clause.all, *clause.unless)} & _own(written))
    if len(names) > _MOST_FACTS:
        return None
    for case in sorted(product((False, True), repeat=len(names)), key=sum):
        facts = dict(zip(names, case, strict=True))
        if not any(_holds(clause, facts) for clause in clauses):
            return facts
    return None


def _own(written: Written) -> set[str]:
    return {spec.name for spec in written.own_facts()}


def _holds(clause: Clause, facts: dict[str, bool]) -> bool:
    said = {"applies": True, "judged": True} | facts
    held = all(said.get(literal.fact, False) is literal.wanted for literal in clause.all)
    return held and not any(said.get(literal.fact, False) is literal.wanted for literal in clause.unless)


def earlier_clauses(written: Written, book: RuleBook, clause: Clause) -> Iterator[Clause]:
    """The clauses of the rule, gates' among them, whose states go before the clause's own."""
    rank = book.rank(clause.state)
    return (other for other in written.rule.clauses if other.state and book.rank(other.state) < rank)
