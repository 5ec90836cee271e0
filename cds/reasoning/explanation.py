"""Why a finding is what it is, why not something else, and what is missing.

Everything here is derived from a `Finding`; nothing is evaluated again. `cds.advice` puts it in words.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from cds.reasoning.change import Comparison
from cds.reasoning.findings import Finding
from cds.reasoning.oracle import truth
from cds.reasoning.rulebook import Clause, Literal, RuleBook
from cds.reasoning.statistics import at_least


@dataclass(frozen=True, slots=True)
class WhyNot:
    """A state that the rule could have concluded, and what kept it away."""

    state: str
    clause: str
    kept_by: tuple[str, ...]  # "not confirmed", "late_baseline", "unknown risen_per_ev" …


@dataclass(frozen=True, slots=True)
class Explanation:
    """The reasons of one finding, as keys of facts; `cds.advice` puts them in words."""

    why: tuple[str, ...]
    why_not: tuple[WhyNot, ...]
    missing: tuple[str, ...]


def explain(finding: Finding, rulebook: RuleBook) -> Explanation:
    """The reasons of a finding."""
    why = tuple(dict.fromkeys(str(literal) for clause in finding.holding for literal in (*clause.asked, *clause.all)))
    rank = rulebook.rank(finding.state)
    why_not = tuple(
        WhyNot(clause.state, clause.key, _kept_away(clause, finding))
        for clause in finding.rule.clauses
        if clause.state and not clause.gate and clause.state != finding.state and rulebook.rank(clause.state) != rank
    )
    return Explanation(why, why_not, finding.missing)


def _kept_away(clause: Clause, finding: Finding) -> tuple[str, ...]:
    kept = [str(literal) for literal in clause.asked if truth(literal, finding.facts) is not True]
    if kept:
        return tuple(_negated(clause.asked, finding))
    kept = list(_negated(clause.all, finding))
    kept += [str(literal) for literal in clause.unless if truth(literal, finding.facts) is True]
    return tuple(kept)


def _negated(literals: tuple[Literal, ...], finding: Finding) -> list[str]:
    found = []
    for literal in literals:
        value = truth(literal, finding.facts)
        if value is False:
            found.append(str(Literal(literal.fact, finding.facts.get(literal.fact))))
        elif value is None:
            found.append(f"unknown {literal.fact}")
    return found


def threshold_value(comparison: Comparison) -> float:
    """The value at which the sample would be just at its threshold, in the unit of the marker's family."""
    return comparison.reference_value.high * comparison.threshold


def limit_of(comparison: Comparison, *, falls: bool) -> float:
    """The ratio that decides: from which on a value has risen, or up to which it has fallen."""
    return 1 / comparison.threshold if falls else comparison.threshold


def rounded_limit(number: float, *, up: bool) -> float:
    """A limit in the digits that `figure` shows, rounded away from what it admits: up if that lies above it, else down.

    Limits are compared unrounded; rounded to the nearest, one that is shown may admit a value that the real one does not.
    """
    if number == 0 or not math.isfinite(number):
        return number
    exact = Decimal(f"{number:.12g}")  # what lies beyond is of the arithmetic
    last = 0 if exact.adjusted() == 3 else exact.adjusted() - 2
    return float(exact.quantize(Decimal(1).scaleb(last), ROUND_CEILING if up else ROUND_FLOOR))


def rounded_beside(number: float, limit: float) -> float:
    """A number in the digits that `figure` shows: the nearest that lies on the same side of the limit as the number itself."""
    nearest = float(f"{number:.3g}")
    crossed = nearest != number and (number - limit) * (nearest - limit) <= 0
    return rounded_limit(number, up=at_least(number, limit)) if crossed else nearest


def figure(number: float) -> str:
    """Three significant digits, without an exponent where a person would not write one."""
    if number == 0:
        return "0"
    if 0.001 <= abs(number) < 10000:
        text = f"{number:.3g}"
        return f"{number:.0f}" if "e" in text else text
    mantissa, exponent = f"{number:.2e}".split("e")
    return f"{mantissa}e{int(exponent)}"
