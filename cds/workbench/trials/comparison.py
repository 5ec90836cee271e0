"""Which patients of a cohort two versions of the rules see otherwise: from which state to which, and when first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import date

from cds.workbench.trials.cohorts import condition_of
from cds.workbench.trials.lives import Life

UNASKED = "not asked"


@dataclass(frozen=True, slots=True)
class Flip:
    """A patient of whom a rule says something else, on the first visit on which it does."""

    patient: str
    day: date
    before: str
    after: str
    has: bool  # the condition that the rule is to find


@dataclass(slots=True)
class RuleFlips:
    """What of one rule's patients changed. `flags` are those who are flagged by one version alone: newly, no more."""

    rule: str
    flips: list[Flip] = field(default_factory=list)
    visits: int = 0
    newly: list[Flip] = field(default_factory=list)
    no_more: list[Flip] = field(default_factory=list)

    def kinds(self) -> list[tuple[str, str, list[Flip]]]:
        """The first changes by state before and after, the commonest first."""
        counted = Counter((flip.before, flip.after) for flip in self.flips)
        return [
            (before, after, [flip for flip in self.flips if (flip.before, flip.after) == (before, after)])
            for (before, after), _ in counted.most_common()
        ]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two versions over a cohort: `patients` in all, `changed` of whom any rule says something else.

    `asked` are the rules that either version asked of anybody.
    """

    patients: int
    changed: int
    rules: tuple[RuleFlips, ...]
    asked: tuple[str, ...]


def compared(pairs: Iterable[tuple[Life, ...]], flags: Collection[str]) -> Comparison:
    """Lives under both versions, patient by patient. `flags` are the states whose cards warn."""
    rules: dict[str, RuleFlips] = {}
    asked: set[str] = set()
    patients = changed = 0
    for before, after in pairs:
        patients += 1
        names = sorted({*before.states, *after.states})
        asked.update(names)
        differs = False
        for name in names:
            differs |= _flip(before, after, name, flags, rules)
        changed += differs
    return Comparison(patients, changed, tuple(rules[name] for name in sorted(rules)), tuple(sorted(asked)))


def _flip(before: Life, after: Life, rule: str, flags: Collection[str], rules: dict[str, RuleFlips]) -> bool:
    """Whether the rule says something else of the patient; noted if so."""
    series = [
        dict(zip(life.days, life.states.get(rule, [""] * len(life.days)), strict=True)) for life in (before, after)
    ]
    days = sorted({*series[0], *series[1]})
    said = [(day, series[0].get(day) or UNASKED, series[1].get(day) or UNASKED) for day in days]
    other = [one for one in said if one[1] != one[2]]
    if not other:
        return False
    found = rules.setdefault(rule, RuleFlips(rule))
    found.visits += len(other)
    truth = before.truth
    day, was, now = other[0]
    flip = Flip(str(truth["patient"]), day, was, now, condition_of(truth))
    found.flips.append(flip)
    flagged = [any(state in flags for state in one.values()) for one in series]
    if flagged == [False, True]:
        found.newly.append(flip)
    elif flagged == [True, False]:
        found.no_more.append(flip)
    return True
