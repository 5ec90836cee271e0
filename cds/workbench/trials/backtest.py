"""What rules would have found in a cohort whose truth is known, with a confidence interval for each figure.

A patient is flagged on the first visit on which a rule's state is one whose card warns. Of who has the condition a flag counts
as found from the true onset on; an earlier one is false. Lead time is the days from that flag to the scan that showed
progression: positive if the flag came first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise

from cds.reasoning.rulebook import RuleBook
from cds.workbench.trials.cohorts import condition_of, day_of, subtype_of
from cds.workbench.trials.intervals import Interval, middle, predictive_value, proportion, rate
from cds.workbench.trials.lives import Life, unheard

MONTH = 30.4375
"""Days of a month, on average."""
_MOST_NAMED = 3
_NOT_JUDGED = ("", "not-applicable", "out-of-scope", "not-evaluable", "data-quality", "background")


@dataclass(frozen=True, slots=True)
class Watched:
    """One patient as far as the figures need them. `found`: the day of the first flag from the onset on; None: never."""

    has: bool
    judged: bool  # on one visit at least a rule said more than that it could not judge, or was not for them
    detectable: bool
    found: date | None
    early: bool  # flagged before the onset
    onset: date | None
    progression: date | None
    last: date
    months: float
    alerts: int
    groups: tuple[tuple[str, str], ...]  # (by what, which)


@dataclass(frozen=True, slots=True)
class Figures:
    """Of a group of patients. A figure is None where there is nobody to tell it of; all are where nobody was ever judged."""

    patients: int
    with_condition: int
    sensitivity: Interval | None
    sensitivity_detectable: Interval | None  # of whose marker truly rose far enough, twice in time, on treatment
    specificity: Interval | None
    alerts_per_100_months: Interval | None
    months: float
    alerts: int
    lead_days: Interval | None
    leads: tuple[int, ...]
    before_imaging: Interval | None  # of who progressed, flagged before the scan
    confusion: tuple[int, int, int, int]  # found, missed, falsely flagged, quiet
    early: int  # with the condition, and flagged before its onset
    judged: bool = True

    @property
    def prevalence(self) -> float:
        return self.with_condition / self.patients if self.patients else 0.0

    def predictive_value(self, prevalence: float) -> Interval | None:
        """The share of flags that are true where `prevalence` of all have the condition."""
        if not self.judged:
            return None
        found, missed, wrong, quiet = self.confusion
        return predictive_value((found, found + missed), (quiet, wrong + quiet), prevalence)


@dataclass(frozen=True, slots=True)
class Group:
    """A subgroup: by what, which, and its figures."""

    by: str
    name: str
    figures: Figures


@dataclass(frozen=True, slots=True)
class Backtest:
    """The whole: figures of flags and of flags with first crossings, by group, and how long detection took."""

    cohort: str
    hash: str
    flags: tuple[str, ...]
    whole: Figures
    crossed: Figures  # a first crossing (`watch`) counts as a flag too
    groups: tuple[Group, ...]
    states: tuple[tuple[str, str, int, int], ...]  # rule, state, patients who ever had it, visits with it
    found_after: tuple[int | None, ...]  # of each patient with a dated onset, days from it to the flag; None: not found
    seen_after: tuple[int | None, ...]  # the same to the scan that showed progression
    watched_for: tuple[int, ...]  # the same to the last visit
    evaluations: int
    order: tuple[str, ...]  # of the states
    unmeasured: int  # patients without any result: they are in no figure
    unheard: tuple[str, ...] = ()  # of each rule that was asked of nobody, or could judge nobody, that it was so
    shadow: tuple[str, ...] = field(
        default=()
    )  # drafts and rules in shadow: they are in the groups, and in no other figure


def backtest(lives: Iterable[Life], book: RuleBook, cohort: str) -> Backtest:
    """Count. Drafts and rules in shadow have groups of their own and count in nothing else.

    A rule's own group are the patients whom the truth says it is for; if it says so of none, all whom the rule judged.
    """
    flags = tuple(state.name for state in book.states if state.indicator == "warning")
    crosses = (*flags, "watch")
    shown = tuple(rule.name for rule in book.rules if rule.status == "active" and not rule.part)
    shadow = tuple(rule.name for rule in book.rules if rule.status != "active" and not rule.part)
    flagged: list[Watched] = []
    crossed: list[Watched] = []
    meant: dict[str, list[Watched]] = {}  # by the rule that the truth says is for them
    others: dict[str, list[Watched]] = {}  # by the other rules that judged them
    unmeasured = 0
    ever: Counter[tuple[str, str]] = Counter()
    stood: Counter[tuple[str, str]] = Counter()
    missing: dict[str, Counter[str]] = {}
    evaluations = 0
    for life in lives:
        if not life.days:
            unmeasured += 1
            continue
        evaluations += len(life.days)
        flagged.append(_watched(life, shown, flags))
        crossed.append(_watched(life, shown, crosses))
        for name, lacking in life.missing.items():
            missing.setdefault(name, Counter()).update(lacking)
        for name, states in life.states.items():
            ever.update((name, state) for state in set(states) if state)
            stood.update((name, state) for state in states if state)
            if life.truth.get("rule") == name:
                meant.setdefault(name, []).append(_watched(life, (name,), flags))
            elif any(state not in _NOT_JUDGED for state in states):
                others.setdefault(name, []).append(_watched(life, (name,), flags))
    by_rule = others | meant
    order = [state.name for state in book.states]
    onsets = [one for one in flagged if one.has and one.onset is not None]
    return Backtest(
        cohort, book.hash, flags, figures(flagged), figures(crossed),
        (
            *(Group("rule", name, figures(by_rule[name])) for name in (*shown, *shadow) if name in by_rule),
            *_by_groups(flagged),
        ),
        tuple(
            (name, state, ever[name, state], stood[name, state])
            for name, state in sorted(ever, key=lambda one: (one[0], order.index(one[1])))
        ),
        tuple(_after(one.found, one) for one in onsets), tuple(_after(one.progression, one) for one in onsets),
        tuple((one.last - one.onset).days for one in onsets if one.onset), evaluations, tuple(order), unmeasured,
        (*unheard(book, {name for name, _ in ever}), *_unjudged((*shown, *shadow), stood, missing)), shadow,
    )  # fmt: skip


def _unjudged(
    rules: Collection[str], stood: Counter[tuple[str, str]], missing: Mapping[str, Counter[str]]
) -> Iterator[str]:
    """A sentence for each rule that was asked and could judge nothing: that it was silent is no sign that it is right."""
    for name in rules:
        states = {state: visits for (rule, state), visits in stood.items() if rule == name}
        if not states.get("not-evaluable") or any(
            state not in _NOT_JUDGED or state == "background" for state in states
        ):
            continue
        lacking = [words for words, _ in missing.get(name, Counter()).most_common(_MOST_NAMED)]
        yield f"{name}: {states['not-evaluable']:,} of {sum(states.values()):,} evaluations not-evaluable" + (
            f"; most often missing: {', '.join(lacking)}" if lacking else ""
        )


def _watched(life: Life, rules: Collection[str], flags: Collection[str]) -> Watched:
    """A patient as these rules see them."""
    truth, series = life.truth, [life.states[name] for name in rules if name in life.states]
    has, onset = condition_of(truth), day_of(truth, "onset")
    days = [day for place, day in enumerate(life.days) if any(states[place] in flags for states in series)]
    counted = [day for day in days if not has or onset is None or day >= onset]
    turns = [(before, now) for states in series for before, now in pairwise(("", *states))]
    grouped = {"scenario": truth.get("scenario"), "subtype": subtype_of(truth), "course": truth.get("course")}
    begin = day_of(truth, "line_start") or life.days[0]
    return Watched(
        has=has,
        judged=any(state not in _NOT_JUDGED for states in series for state in states),
        detectable=bool(truth.get("should_flag", has)),
        found=counted[0] if counted else None,
        early=len(counted) < len(days),
        onset=onset,
        progression=day_of(truth, "progression"),
        last=life.days[-1],
        months=max(0, (life.days[-1] - begin).days) / MONTH,
        alerts=sum(now in flags and before not in flags for before, now in turns),
        groups=tuple((by, str(which)) for by, which in grouped.items() if which),
    )


def figures(watched: Sequence[Watched]) -> Figures:
    """The figures of some patients: none where nobody was judged, for silence is then neither right nor wrong."""
    ill = [one for one in watched if one.has]
    well = [one for one in watched if not one.has]
    found = sum(one.found is not None for one in ill)
    wrong = sum(one.found is not None for one in well)
    seen = [one for one in ill if one.detectable]
    leads = tuple(sorted((one.progression - one.found).days for one in ill if one.progression and one.found))
    progressed = [one for one in ill if one.progression]
    months, alerts = sum(one.months for one in watched), sum(one.alerts for one in watched)
    cells, early = (found, len(ill) - found, wrong, len(well) - wrong), sum(one.early for one in ill)
    if not any(one.judged for one in watched):
        return Figures(
            len(watched), len(ill), None, None, None, None, months, alerts, None, (), None, cells, early, judged=False
        )
    per_month = rate(alerts, months)
    return Figures(
        len(watched), len(ill), proportion(found, len(ill)), proportion(sum(one.found is not None for one in seen), len(seen)),
        proportion(len(well) - wrong, len(well)), per_month and Interval(*(100 * one for one in per_month)), months, alerts,
        middle(leads), leads, proportion(sum(lead > 0 for lead in leads), len(progressed)),
        cells, early,
    )  # fmt: skip


def _by_groups(watched: Sequence[Watched]) -> Iterator[Group]:
    sorts: dict[tuple[str, str], list[Watched]] = {}
    for one in watched:
        for group in one.groups:
            sorts.setdefault(group, []).append(one)
    place = ("scenario", "subtype", "course").index
    for by, name in sorted(sorts, key=lambda group: (place(group[0]), group[1])):
        yield Group(by, name, figures(sorts[by, name]))


def _after(day: date | None, one: Watched) -> int | None:
    return None if day is None or one.onset is None else (day - one.onset).days
