"""What a trial under noise found, for authors: states of stable and of changing patients, and the operating curve."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cds.reasoning.rulebook import RuleBook
from cds.workbench.trials import plots
from cds.workbench.trials.noise import STABLE, Conditions, Course, Estimate, Outcome, Trial
from cds.workbench.trials.variants import Variant

Table = tuple[list[str], list[list[str]]]
"""Heads of columns, and rows."""


@dataclass(frozen=True, slots=True)
class Point:
    """A flat threshold and what comes of it: flags, and first crossings, of stable and of changing patients."""

    threshold: float
    stable_flagged: Estimate
    changed_flagged: Estimate
    stable_crossed: Estimate
    changed_crossed: Estimate


@dataclass(frozen=True, slots=True)
class Noise:
    """One rule under noise. `flags` are the states whose cards warn, `crosses` those with `watch`, the first crossing."""

    trial: Trial
    variant: Variant
    course: Course
    seed: int
    stable: Outcome
    changed: Outcome
    flags: tuple[str, ...]
    crosses: tuple[str, ...]
    curve: tuple[Point, ...]
    order: tuple[str, ...]  # of the states

    @property
    def states(self) -> list[str]:
        """Every state that came out, the strongest first."""
        said = {state for outcome in (self.stable, self.changed) for states in outcome.sequences for state in states}
        return sorted(said, key=self.order.index)

    def introduction(self) -> Iterator[str]:
        """Under which conditions the rule was asked, line by line."""
        conditions, trial = self.trial.conditions, self.trial
        yield f"{trial.rule.name}: {self.stable.runs:,} patients for each figure, seed {self.seed}"
        before = ", ".join(f"{day}" for day in conditions.baseline_days)
        yield f"  samples     before the line on day {before}; follow-ups on day {', '.join(map(str, conditions.days))}"
        for marker, (cva, cvi) in trial.variation.items():
            said = "stated by the laboratory" if conditions.stated else "the rule goes by the marker's file"
            yield f"  variation   {marker}: analytical {cva * 100:g} %, within person {cvi * 100:g} %; {said}"
        if conditions.total_ev_cv:
            yield f"              total EV count: {conditions.total_ev_cv * 100:g} %"
        limits = ", ".join(f"{ratio:.2f}" for ratio in trial.thresholds()) or "none"
        off = [word for word, on in (("floor", self.variant.floor), ("gates", self.variant.gates)) if not on]
        yield f"  limits      {limits} times the reference{f'; {chr(32).join(off)} off' if off else ''}"
        over = f" over {self.course.over} days" if self.course.over else ""
        yield f"  change      to {self.course.height:g} times as much from day {self.course.onset} on{over}"
        if self.trial.waits_for_fall:
            yield "  note        the rule waits for a fall: of patients who are stable a flag is right; try --rise 0.2"
        asked = self.stable.patterns + self.changed.patterns
        checked = self.stable.checked + self.changed.checked
        yield f"  asked       the rule itself, once for each of {asked:,} patterns; {checked:,} draws in full besides, all alike"

    def states_table(self) -> Table:
        """How often each state stands at each follow-up, and at any, of stable and of changing patients."""
        days = self.trial.conditions.days
        rows = []
        for name, outcome in (("stable", self.stable), ("changing", self.changed)):
            for state in self.states:
                by_day = [percent(outcome.at(place, (state,))) for place in range(len(days))]
                rows.append([name, state, percent(outcome.ever((state,)), with_error=True), *by_day])
        return ["patients", "state", "ever", *(f"d{day}" for day in days)], rows

    def curve_table(self) -> Table:
        """The operating curve; the rule as it was asked stands first."""
        own = Point(0.0, self.stable.ever(self.flags), self.changed.ever(self.flags), self.stable.ever(self.crosses),
                    self.changed.ever(self.crosses))  # fmt: skip
        rows = [
            [
                "as written" if point is own else f"{point.threshold:g}",
                *(percent(one, with_error=True) for one in (point.stable_flagged, point.changed_flagged, point.stable_crossed, point.changed_crossed)),
            ]
            for point in (own, *self.curve)
        ]  # fmt: skip
        flag = " or ".join(self.flags)
        return ["threshold", f"{flag}: stable", f"{flag}: changing", "or watch: stable", "or watch: changing"], rows

    def picture(self) -> str:
        """The operating curve as SVG: how often stable and changing patients are flagged, or only watched, by the limit."""
        flag, change = " or ".join(self.flags), f"change to {self.course.height:g}×"
        lines = [
            plots.Steps(f"{name}: {whose}", [(one.threshold, getattr(one, of).share) for one in self.curve], look)
            for name, whose, of, look in (
                (flag, change, "changed_flagged", "a"), (flag, "stable", "stable_flagged", "b"),
                ("or watch", change, "changed_crossed", "c"), ("or watch", "stable", "stable_crossed", "d"),
            )
        ]  # fmt: skip
        title = f"{self.trial.rule.name}: share of patients flagged, by a flat limit in the place of the rule's own"
        return plots.by_limit(title, lines, self.trial.thresholds()) + "\n"

    def data(self) -> dict[str, Any]:
        """The same for a program; probabilities with their Monte-Carlo standard errors."""
        conditions = self.trial.conditions
        return {
            "rule": self.trial.rule.name, "hash": self.trial.rule.hash, "runs": self.stable.runs, "seed": self.seed,
            "baselines": conditions.baseline_days, "follow_ups": conditions.days, "floor": self.variant.floor, "gates": self.variant.gates,
            "variation": {marker: {"analytical": cva, "within_person": cvi} for marker, (cva, cvi) in self.trial.variation.items()},
            "stated": conditions.stated, "limits": self.trial.thresholds(),
            "change": {"to": self.course.height, "from_day": self.course.onset, "over_days": self.course.over},
            "stable": self._data(self.stable), "changing": self._data(self.changed), "flags": self.flags,
            "curve": [
                {
                    "threshold": point.threshold, "stable_flagged": point.stable_flagged._asdict(),
                    "changing_flagged": point.changed_flagged._asdict(), "stable_crossed": point.stable_crossed._asdict(),
                    "changing_crossed": point.changed_crossed._asdict(),
                }
                for point in self.curve
            ],
        }  # fmt: skip

    def _data(self, outcome: Outcome) -> dict[str, Any]:
        days = self.trial.conditions.days
        return {
            state: {
                "ever": outcome.ever((state,))._asdict(),
                "by_day": {str(day): outcome.at(place, (state,)).share for place, day in enumerate(days)},
            }
            for state in self.states
        }


def under_noise(
    book: RuleBook,
    name: str,
    conditions: Conditions,
    course: Course,
    variant: Variant,
    thresholds: Sequence[float],
    runs: int,
    seed: int,
    progress: Callable[[], object],
) -> Noise:
    """Try one rule, and its operating curve on the same draws; `progress` is called `steps(thresholds)` times."""  # fmt: skip
    flags = tuple(
        state.name for state in book.states if state.indicator == "warning" and _concludes(book, name, state.name)
    )
    crosses = (*flags, "watch")

    def tried(trial: Trial, one: Course) -> Outcome:
        outcome = trial.run(one, runs, seed)
        progress()
        return outcome

    points = []
    for threshold in thresholds:
        flat = Trial(book, name, conditions, Variant(gates=variant.gates, flat=threshold))
        stable, changed = tried(flat, STABLE), tried(flat, course)
        points.append(
            Point(threshold, stable.ever(flags), changed.ever(flags), stable.ever(crosses), changed.ever(crosses))
        )
    trial = Trial(book, name, conditions, variant)
    return Noise(
        trial, variant, course, seed, tried(trial, STABLE), tried(trial, course), flags, crosses, tuple(points),
        tuple(state.name for state in book.states),
    )  # fmt: skip


def steps(thresholds: Sequence[float]) -> int:
    """How often `under_noise` tells of progress."""
    return 2 + 2 * len(thresholds)


def _concludes(book: RuleBook, rule: str, state: str) -> bool:
    return any(clause.state == state for clause in book.rule(rule).clauses)


def percent(estimate: Estimate, *, with_error: bool = False) -> str:
    """A probability in per cent, with its standard error if wanted; never rounded to none or all."""
    share = estimate.share * 100
    shown = (
        "0"
        if share == 0
        else "100"
        if share == 100
        else "< 0.1"
        if share < 0.05
        else "> 99.9"
        if share > 99.95
        else f"{share:.1f}"
    )
    return f"{shown} ± {estimate.error * 100:.1f} %" if with_error else f"{shown} %"
