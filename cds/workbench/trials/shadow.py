"""What rules in shadow would have said, had they been shown: on a record's stored evaluations, or on a cohort."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from cds.reasoning.rulebook import RuleBook
from cds.workbench.trials.lives import Life


@dataclass(frozen=True, slots=True)
class Heard:
    """One evaluation: of whom, as of when, and each rule's state."""

    patient: str
    as_of: str
    states: Mapping[str, str]


@dataclass(slots=True)
class Shadowed:
    """What one rule said. `last` holds for each patient the last state and its day, `flagged` who was ever flagged, and when first;

    `alone` are those of them whom no shown rule of the same markers ever flagged.
    """

    rule: str
    evaluations: int = 0
    said: Counter[str] = field(default_factory=Counter)
    last: dict[str, tuple[str, str]] = field(default_factory=dict)
    flagged: dict[str, str] = field(default_factory=dict)
    alone: list[str] = field(default_factory=list)

    def by_state(self, order: Collection[str]) -> list[tuple[str, int, list[str]]]:
        """Each state with the evaluations that had it and the patients whose last state it is."""
        return [
            (state, self.said[state], [patient for patient, (now, _) in self.last.items() if now == state])
            for state in order
            if self.said[state]
        ]


def in_shadow(book: RuleBook) -> list[str]:
    """The rules that are evaluated and shown to nobody."""
    return [rule.name for rule in book.rules if rule.status == "shadow" and not rule.part]


def listened(heard: Iterable[Heard], rules: Collection[str], book: RuleBook) -> list[Shadowed]:
    """What these rules said, in the order of their names; evaluations are to come in the order in which they were made."""
    flags = {state.name for state in book.states if state.indicator == "warning"}
    markers = {rule.name: _markers(book, rule.name) for rule in book.rules}
    shown = [rule.name for rule in book.rules if rule.status == "active" and not rule.part]
    found = {name: Shadowed(name) for name in sorted(rules)}
    seen: dict[str, set[str]] = {name: set() for name in found}  # whom a shown rule flagged
    for one in heard:
        for name, shadowed in found.items():
            state = one.states.get(name)
            if any(one.states.get(other) in flags and markers[other] & markers[name] for other in shown):
                seen[name].add(one.patient)
            if state is None:
                continue
            shadowed.evaluations += 1
            shadowed.said[state] += 1
            shadowed.last[one.patient] = state, one.as_of
            if state in flags:
                shadowed.flagged.setdefault(one.patient, one.as_of)
    for name, shadowed in found.items():
        shadowed.alone = [patient for patient in shadowed.flagged if patient not in seen[name]]
    return list(found.values())


def of_lives(lives: Iterable[Life]) -> Iterator[Heard]:
    """The visits of a cohort's patients."""
    for life in lives:
        for place, day in enumerate(life.days):
            states = {name: states[place] for name, states in life.states.items() if states[place]}
            yield Heard(str(life.truth["patient"]), day.isoformat(), states)


def _markers(book: RuleBook, name: str) -> frozenset[str]:
    rule = book.rule(name)
    return frozenset([rule.watches] if rule.watches else [book.rule(part).watches for part in rule.combines.values()])
