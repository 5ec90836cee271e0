"""Facts about change: of a value against its reference, and its confirmation."""

from __future__ import annotations

from itertools import pairwise

from cds.chart.model import Tri
from cds.mistakes import Mistake
from cds.reasoning.change import Change, Pair, confirmation, holds, may_hold
from cds.reasoning.kinds.kind import Context, Days, Kind
from cds.reasoning.question import Question, Sample
from cds.reasoning.rulebook import Rise
from cds.source import Section


def _read_change(section: Section, context: Context) -> Change:
    section.keys("value", "over", optional=("per", "at_least", "not_fallen_by"))
    if context.marker:
        section.choice("value", [context.marker])
    section.choice("over", ["baseline", "nadir"])
    section.choice("per", ["total-ev"])
    key = "not_fallen_by" if "not_fallen_by" in section else "at_least"
    if key not in section:
        section.problem(
            "the limit is missing",
            "add 'at_least: …' or 'not_fallen_by: …' with the name of a limit",
            mistake=Mistake.NO_LIMIT_NAMED,
        )
        return Change(Rise(2.0, 1.645))
    return Change(context.limit(section, key, Rise), per_ev="per" in section, not_fallen=key == "not_fallen_by")


def _change(question: Question, change: Change, sample: Sample) -> Tri:
    return holds(question, change, sample)


def _read_pair(section: Section, context: Context) -> Pair:
    section.keys("pair", "first", "second", "apart", optional=("over_lowest",))
    changes = []
    for name in section.texts("pair"):
        spec = context.facts.get(name)
        if spec is None or not isinstance(spec.params, Change):
            section.problem(
                f"'{name}' is no change that a pair can confirm",
                "name a fact of the kind 'value'",
                at="pair",
                mistake=Mistake.NOT_A_CHANGE,
            )
        else:
            changes.append(spec.params)
    first, second, apart = (context.limit(section, key, Days) for key in ("first", "second", "apart"))
    far = 10**6
    return Pair(
        tuple(changes) or (Change(Rise(2.0, 1.645)),),
        first.first or 0,
        far if first.last is None else first.last,
        second.first or 0,
        far if second.last is None else second.last,
        apart.first or 0,
        far if apart.last is None else apart.last,
        section.choice("over_lowest", ["yes", "no"]) == "yes",
    )


def _pair(question: Question, pair: Pair) -> Tri:
    return confirmation(question, pair)[0]


def _read_cannot_exclude(section: Section, context: Context) -> Change:
    section.keys("cannot_exclude")
    spec = context.facts.get(section.text("cannot_exclude"))
    if spec is None or not isinstance(spec.params, Change):
        section.problem(
            "'cannot_exclude' names no change",
            "name a fact of the kind 'value'",
            at="cannot_exclude",
            mistake=Mistake.NOT_A_CHANGE,
        )
        return Change(Rise(2.0, 1.645))
    return spec.params


def _cannot_exclude(question: Question, change: Change, sample: Sample) -> Tri:
    return may_hold(question, change, sample)


def _rising(question: Question, count: int) -> Tri:
    """Whether the last values climb, the latest among them: of one that nothing is compared with no drift can be told."""
    last, latest = question.judged()[-count:], question.latest
    if latest is None or len(last) < count or last[-1] is not latest or question.reference(latest) is None:
        return False
    return all(one.value.high < other.value.low for one, other in pairwise(last))


KINDS = {
    "value": Kind(_read_change, of_sample=_change, can_be_unknown=True),
    "pair": Kind(_read_pair, _pair, can_be_unknown=True),
    "cannot_exclude": Kind(_read_cannot_exclude, of_sample=_cannot_exclude),
    "rising": Kind(lambda s, _c: int(s.keys("rising").number("rising", 3)), _rising),
}
