"""Values beyond their limit that confirm nothing: the near misses, each with what kept it from counting."""

from __future__ import annotations

from collections.abc import Mapping

from cds.chart.model import Chart
from cds.reasoning.change import Pair, holds
from cds.reasoning.findings import Finding
from cds.reasoning.forming import Forming
from cds.reasoning.question import Question, Sample
from cds.reasoning.rulebook import RuleBook

TOO_EARLY = "too early to count"
"""How what is said of a value ends that is beyond its limit on a day on which none is counted yet."""


def crossings(finding: Finding, chart: Chart, book: RuleBook, *, open_: bool) -> Mapping[str, str]:
    """By result what is to be said of a value beyond its limit, for every judged one but the pair that confirms.

    `open_`: a second sample may still confirm the latest. Empty for a rule that asks for no second sample.
    """
    pair = next((spec.params for spec in finding.rule.facts if isinstance(spec.params, Pair)), None)
    if pair is None or not finding.judged:
        return {}
    question = Question(chart, finding.rule, book, Forming(book).shared(chart, finding.rule.watches))
    judged = {id(result) for result in finding.judged}
    confirming = {id(result) for result in finding.pair or ()}
    found: dict[str, str] = {}
    for sample in question.judged():
        if id(sample.result) in judged - confirming and holds(question, pair.changes[0], sample):
            found[sample.result.ref] = _said(question, pair, sample, finding, open_)
    return found


def _said(question: Question, pair: Pair, sample: Sample, finding: Finding, open_: bool) -> str:
    beyond = "not fallen to the limit" if pair.changes[0].not_fallen else "above the limit"
    if finding.pair is not None and sample.collected >= (finding.pair[0].collected or sample.collected):
        return beyond
    others = [holds(question, change, sample) for change in pair.changes[1:]]
    if False in others:
        return f"{beyond}, but not per total EV"
    if None in others:
        return f"{beyond}; total EV is missing"
    if sample.day < pair.first_from:
        return f"{beyond}, {TOO_EARLY}"
    if sample is question.latest and open_:
        return f"{beyond} for the first time, not confirmed so far"
    return f"{beyond}, not confirmed"
