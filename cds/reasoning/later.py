"""What a sample that is still to come would be asked, by all that is known today."""

from __future__ import annotations

from datetime import date

from msgspec.structs import replace

from cds.chart.model import Chart
from cds.reasoning.findings import Finding
from cds.reasoning.kinds import KINDS
from cds.reasoning.oracle import truth
from cds.reasoning.question import Question, Shared
from cds.reasoning.rulebook import RuleBook


def asked_later(finding: Finding, chart: Chart, book: RuleBook, day: date) -> Question | None:
    """The question that a usable sample of `day` would put to the finding's rule; None unless the rule would surely apply to it.

    The day is after that of the latest sample. What may still happen until then, planned treatment too, is not foreseen.
    """
    rule, latest = finding.rule, finding.latest
    if latest is None:
        return None
    references = [sample.result for one in finding.comparisons.values() for sample in one.reference.samples]
    known = {
        id(one): one for one in (*references, *finding.judged) if one.collected is not None and one.collected < day
    }
    coming = replace(latest, collected=day, collected_time=None, faults=frozenset())
    then = replace(chart, as_of=max(day, chart.as_of), results={rule.watches: (*known.values(), coming)})
    question = Question(then, rule, book, Shared(then, rule.watches))
    wanted = {"applies", *(literal.fact for literal in rule.only_if)}
    facts = {
        spec.name: kind.value(question, spec.params)
        for spec in rule.facts
        if spec.name in wanted and (kind := KINDS[spec.kind]).value is not None
    }
    surely = facts["applies"] is True and all(truth(literal, facts) is True for literal in rule.only_if)
    return question if surely else None
