"""What a rule says of patients in whom nothing, or one known change, happens, when all that varies is measurement and person.

Every sample is the true level times a log-normal factor whose coefficient of variation is sqrt(CVA² + CVI²), as the reference
change value has it (`cds.reasoning.statistics`). Draws that lie on the same sides of all limits of a rule are the same to it:
the rule itself, engine and oracle, is asked once for each such pattern. A share of all draws is asked in full besides; one
that is answered otherwise than its pattern ends the trial.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from cds.chart.model import Chart
from cds.errors import Disagreement, InputError
from cds.reasoning.reasoner import Reasoner
from cds.reasoning.rulebook import RuleBook
from cds.workbench.trials.patterns import Drawn, limits
from cds.workbench.trials.stand_in import StandIn
from cds.workbench.trials.variants import Variant, changes, leaves, varied

_CHECKED = 200  # so many draws of a trial are asked in full
_MOST = 60  # follow-ups
_SERIES = re.compile(r"(\d+)(?:\s+q(\d+)d?\s+x(\d+))?")


@dataclass(frozen=True, slots=True)
class Course:
    """How the true level moves: from 1 to `height` times as much, from day `onset` on, over so many days."""

    height: float = 1.0
    onset: int = 0
    over: int = 0

    def log_level(self, day: int) -> float:
        """The natural logarithm of the level on a day."""
        if day < self.onset:
            return 0.0
        return math.log(self.height) * (min(1.0, (day - self.onset) / self.over) if self.over else 1.0)


STABLE = Course()


@dataclass(frozen=True, slots=True)
class Conditions:
    """When samples are drawn and how much they vary; coefficients of variation are fractions, None: those of the marker's file.

    `stated`: the laboratory states them with its results, so that the rule goes by them; else it goes by the marker's file.
    """

    days: tuple[int, ...] = tuple(range(63, 204, 28))
    baselines: int = 1
    cva: float | None = None
    cvi: float | None = None
    total_ev_cv: float = 0.0
    stated: bool = True

    @property
    def baseline_days(self) -> tuple[int, ...]:
        """A week apart, the last a week before the line."""
        return tuple(range(-7 * self.baselines, 0, 7))


class Estimate(NamedTuple):
    """A probability out of draws, and its Monte-Carlo standard error."""

    share: float
    error: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the rule said in `runs` draws: how often each sequence of states, one for each follow-up, came out."""

    runs: int
    sequences: Mapping[tuple[str, ...], int]
    patterns: int  # so many times the rule was asked because of a new pattern
    checked: int  # so many draws were asked in full besides, and answered alike

    def at(self, place: int, states: Collection[str]) -> Estimate:
        """How often one of the states stands at follow-up number `place`, from 0."""
        return self._estimate(lambda said: said[place] in states)

    def ever(self, states: Collection[str], first: int | None = None) -> Estimate:
        """How often one of the states stands at one follow-up at least; with `first`, at one of so many first follow-ups."""
        return self._estimate(lambda said: any(state in states for state in said[:first]))

    def _estimate(self, counts: Callable[[tuple[str, ...]], bool]) -> Estimate:
        share = sum(number for said, number in self.sequences.items() if counts(said)) / self.runs
        return Estimate(share, math.sqrt(share * (1 - share) / self.runs))


def schedule(text: str) -> tuple[int, ...]:
    """Days of follow-ups out of `63 q28d x6` (first day, every, how often) or `42, 77, 105`. Raises `InputError`."""
    days: list[int] = []
    for part in text.split(","):
        found = _SERIES.fullmatch(part.strip())
        if not found:
            raise InputError(
                f"--schedule: '{part.strip()}' is no schedule. Write '63 q28d x6' (first day, every so many days, how often) or '42, 77, 105'"
            )
        days += [int(found[1]) + int(found[2] or 0) * number for number in range(min(int(found[3] or 1), _MOST + 1))]
    if sorted(set(days)) != days or not 1 <= len(days) <= _MOST:
        raise InputError(f"--schedule: '{text}' must name one to {_MOST} days, each once, in their order")
    return tuple(days)


class Trial:
    """One rule, asked in one way, under given conditions.

    Raises `InputError` if it applies to nobody who could be made up; `KeyError` if there is no such rule.
    """

    def __init__(self, book: RuleBook, name: str, conditions: Conditions, variant: Variant | None = None):
        book = varied(book, name, variant or Variant())
        self.rule = book.rule(name)
        self.conditions = conditions
        self._all_days = (*conditions.baseline_days, *conditions.days)
        self._reasoner = Reasoner(book)
        self._patient = StandIn(self._reasoner, self.rule, conditions.baseline_days, conditions.days)
        self.variation = {
            marker: (
                book.catalogue.markers[marker].cva if conditions.cva is None else conditions.cva,
                book.catalogue.markers[marker].cvi if conditions.cvi is None else conditions.cvi,
            )
            for marker in self._patient.markers
        }
        """Analytical and within-person coefficient of variation of each marker, as fractions."""
        even = Drawn([[0.0] * len(self._all_days) for _ in self.variation], [0.0] * len(self._all_days))
        chart = self._chart(conditions.days[-1], even)
        self._limits = limits(book, self.rule, chart, self._patient.markers)
        self.waits_for_fall = any(one.not_fallen for leaf in leaves(book, self.rule) for one in changes(leaf))
        """Whether the rule flags who has not changed, as one does that looks for what an operation has left behind."""
        self._known: dict[tuple[bool, ...], tuple[str, ...]] = {}

    def run(self, course: Course, runs: int, seed: int) -> Outcome:
        """Draw and ask. One seed draws the same patients whatever the rule's variant and the course.

        Raises `Disagreement` if a draw that is asked in full is answered otherwise than its pattern.
        """
        counted: Counter[tuple[str, ...]] = Counter()
        every = max(1, runs // _CHECKED)
        patterns = checked = 0
        for number, drawn in enumerate(self._draws(course, runs, seed)):
            pattern = tuple([limit.reached(drawn) for limit in self._limits])
            said = self._known.get(pattern)
            if said is None:
                said = self._known[pattern] = self._ask(drawn)
                patterns += 1
            elif number % every == 0:
                checked += 1
                if (full := self._ask(drawn)) != said:
                    raise Disagreement(
                        f"{self.rule.name}: a draw was answered {full}, its pattern {said}: the rule asks of the values what the "
                        "patterns do not know. Report this with the rule"
                    )
            counted[said] += 1
        return Outcome(runs, counted, patterns, checked)

    def thresholds(self) -> list[float]:
        """The ratios that a follow-up must reach over its reference, ascending."""
        return sorted({round(limit.ratio, 4) for limit in self._limits if limit.log_ratio})

    def _draws(self, course: Course, runs: int, seed: int) -> Iterator[Drawn]:
        gauss = Random(f"noise/{seed}").gauss  # noqa: S311 - reproducible on purpose
        levels = [course.log_level(day) for day in self._all_days]
        spreads = [_spread(math.hypot(*cvs)) for cvs in self.variation.values()]
        of_ev = _spread(self.conditions.total_ev_cv)
        constant = [0.0] * len(levels)
        for _ in range(runs):
            values = [[level + gauss(0.0, spread) for level in levels] for spread in spreads]
            yield Drawn(values, [gauss(0.0, of_ev) for _ in levels] if of_ev else constant)

    def _chart(self, day: int, drawn: Drawn) -> Chart:
        values = {
            marker: dict(zip(self._all_days, map(math.exp, logs), strict=True))
            for marker, logs in zip(self.variation, drawn.values, strict=True)
        }
        total = dict(zip(self._all_days, map(math.exp, drawn.total_ev), strict=True))
        return self._patient.chart(day, values, total, self.variation if self.conditions.stated else {})

    def _ask(self, drawn: Drawn) -> tuple[str, ...]:
        charts = (self._chart(day, drawn) for day in self.conditions.days)
        return tuple([self._patient.answer(self._reasoner.evaluate(chart)).state for chart in charts])


def _spread(cv: float) -> float:
    """The standard deviation of the logarithm that belongs to a coefficient of variation."""
    return math.sqrt(math.log(1 + cv * cv))
