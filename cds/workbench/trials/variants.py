"""A rule book in which one rule is asked otherwise than it is written: without floor, without gates, with a flat threshold.

`RuleBook`s are data, so a variant is asked by the same reasoner as the rule itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from cds.reasoning.change import Change, Pair
from cds.reasoning.kinds import Days
from cds.reasoning.rulebook import Rise, Rule, RuleBook

_FAR = 10**6  # days; as far as any window reaches
_NEVER = Days(_FAR, _FAR)


@dataclass(frozen=True, slots=True)
class Variant:
    """How a rule is asked. `flat`: every change is judged against this ratio instead of a reference change."""

    floor: bool = True
    gates: bool = True
    flat: float | None = None


def leaves(book: RuleBook, rule: Rule) -> list[Rule]:
    """The rules that look at samples: the rule itself, or those that it combines."""
    return [book.rule(name) for name in rule.combines.values()] if rule.combines else [rule]


def changes(rule: Rule) -> list[Change]:
    """The changes of which the rule's facts speak."""
    return [spec.params for spec in rule.facts if spec.kind == "value" and isinstance(spec.params, Change)]


def varied(book: RuleBook, name: str, variant: Variant) -> RuleBook:
    """The book with the rule called `name`, and what it combines, asked as `variant` says; KeyError if there is none.

    Without gates the clauses of the shared gates are not asked but whether the rule applies, and every window of days is open.
    """
    if variant == Variant():
        return book
    asked = {name, *book.rule(name).combines.values()}
    rules = tuple(_rule(rule, variant) if rule.name in asked else rule for rule in book.rules)
    return replace(book, rules=rules, _by_name={rule.name: rule for rule in rules})


def _rule(rule: Rule, variant: Variant) -> Rule:
    again = _Again(variant)
    facts = tuple(replace(spec, params=again(spec.params)) for spec in rule.facts)
    limits = {key: again(value) for key, value in rule.limits.items()}
    if variant.gates:
        return replace(rule, facts=facts, limits=limits)
    anchor = replace(rule.anchor, until=_FAR) if rule.anchor.operation else rule.anchor
    clauses = tuple(clause for clause in rule.clauses if clause.gate in ("", "therapy"))
    return replace(rule, facts=facts, limits=limits, anchor=anchor, clauses=clauses)


class _Again:
    """The parameters of facts once more, changed; what two facts shared they share again, as answers are kept by identity."""

    def __init__(self, variant: Variant) -> None:
        self._variant = variant
        self._known: dict[int, Any] = {}

    def __call__(self, value: Any) -> Any:
        found = self._known.get(id(value))
        if found is None:
            found = self._known[id(value)] = self._changed(value)
        return found

    def _changed(self, value: Any) -> Any:
        own: Mapping[type, Callable[[Any], Any]] = {Rise: self._rise, Pair: self._pair, Days: self._days}
        if type(value) in own:
            return own[type(value)](value)
        if type(value) is tuple:
            return tuple([self(item) for item in value])
        if isinstance(value, Change):
            return replace(value, rise=self(value.rise))
        return value

    def _rise(self, rise: Rise) -> Rise:
        if self._variant.flat is not None:
            return replace(rise, floor=self._variant.flat, z=0.0)
        return rise if self._variant.floor else replace(rise, floor=1.0)

    def _pair(self, pair: Pair) -> Pair:
        pair = replace(pair, changes=tuple(self(change) for change in pair.changes))
        if self._variant.gates:
            return pair
        return replace(
            pair, first_from=0, first_to=_FAR, second_from=0, second_to=_FAR, apart_from=0, apart_to=_FAR
        )  # fmt: skip

    def _days(self, window: Days) -> Days:
        if self._variant.gates:
            return window
        # "before a day" is a guard, which is lifted; "within days" is open.
        return _NEVER if window.first is None else Days(0, None)
