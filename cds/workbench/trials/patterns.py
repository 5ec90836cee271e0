"""On which sides of a rule's limits a patient's samples lie: draws that agree in this are the same to the rule."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from cds.chart.model import Chart
from cds.reasoning.change import Change, Pair, coefficients, compare
from cds.reasoning.forming import Forming
from cds.reasoning.question import Question
from cds.reasoning.rulebook import Rule, RuleBook
from cds.reasoning.statistics import TOLERANCE, reference_change
from cds.workbench.trials.variants import changes, leaves


class Drawn(NamedTuple):
    """Natural logarithms: of the values, marker by marker in the order of their days, and of the total EV counts."""

    values: Sequence[Sequence[float]]
    total_ev: Sequence[float]


class Limit(NamedTuple):
    """A limit that one sample reaches or not over what it is compared with."""

    marker: int
    sample: int
    compared: tuple[int, ...]
    lowest: bool  # with the lowest of them, else with their geometric mean
    per_ev: bool
    log_ratio: float

    def reached(self, drawn: Drawn) -> bool:
        """Whether this draw's sample does."""
        values = drawn.values[self.marker]
        if self.per_ev:
            values = [value - count for value, count in zip(values, drawn.total_ev, strict=True)]
        compared = [values[one] for one in self.compared]
        base = min(compared) if self.lowest else sum(compared) / len(compared)
        return values[self.sample] - base >= self.log_ratio

    @property
    def ratio(self) -> float:
        """The same as a plain ratio."""
        return math.exp(self.log_ratio)


def limits(book: RuleBook, rule: Rule, chart: Chart, markers: Sequence[str]) -> list[Limit]:
    """Every limit of the rule for the samples of a chart in which all are usable and above the limit of detection.

    What is compared with what, and by how much, is the answer of the rule's own question to that chart.
    """
    found: list[Limit] = []
    for leaf in leaves(book, rule):
        question = Question(chart, leaf, book, Forming(book).shared(chart, leaf.watches))
        found += dict.fromkeys(_of(question, markers.index(leaf.watches)))
    return found


def _of(question: Question, marker: int) -> Iterator[Limit]:
    for change in changes(question.rule):
        yield from _changes(question, change, marker)
    concluding = {
        literal.fact for clause in question.rule.clauses if clause.state for literal in (*clause.all, *clause.unless)
    }
    for spec in question.rule.facts:
        if isinstance(spec.params, Pair) and spec.kind == "pair" and spec.params.over_lowest:
            yield from _over_lowest(question, spec.params.changes[0], marker)
        elif spec.kind == "rising" and spec.name in concluding:
            for earlier, later in pairwise(question.judged()):
                yield Limit(marker, later.index, (earlier.index,), False, False, 0.0)


def _changes(question: Question, change: Change, marker: int) -> Iterator[Limit]:
    for sample in question.judged():
        found = compare(question, change, sample)
        if found is not None:
            threshold = math.log(found.threshold) + math.log1p(-TOLERANCE)
            compared = tuple(one.index for one in found.reference.samples)
            lowest = found.reference.kind == "nadir"
            yield Limit(
                marker, sample.index, compared, lowest, change.per_ev, -threshold if change.not_fallen else threshold
            )


def _over_lowest(question: Question, change: Change, marker: int) -> Iterator[Limit]:
    judged = question.judged()
    for place, first in enumerate(judged[1:], 1):
        for sample in judged[place:]:
            cva, cvi, _ = coefficients(question, sample)
            threshold = max(reference_change(cva, cvi, change.rise.z, 1), change.rise.floor)
            before = tuple(one.index for one in judged if one.collected < first.collected)
            yield Limit(marker, sample.index, before, True, False, math.log(threshold) + math.log1p(-TOLERANCE))
