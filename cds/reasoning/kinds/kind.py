"""What a kind of fact is, and what its reader may ask for."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cds.chart.catalogue import Marker
from cds.chart.lines import TherapyClass
from cds.chart.model import Chart, Tri
from cds.mistakes import Mistake
from cds.reasoning.change import Pair, confirmation
from cds.reasoning.question import Question, Sample
from cds.reasoning.rulebook import FactSpec, Rise
from cds.source import Section

Limits = Mapping[str, Any]
"""The named limits of a rule: `Rise`, `Days` or `Pair`-like windows, by name."""


@dataclass(frozen=True, slots=True)
class Days:
    """A window of days, both ends included; None: open."""

    first: int | None = None
    last: int | None = None
    because: str = ""

    def holds(self, day: int) -> bool:
        return (self.first is None or day >= self.first) and (self.last is None or day <= self.last)


class Context:
    """What a kind may ask for while it reads its parameters: the rule's limits, the facts read before, the therapy classes."""

    def __init__(
        self, limits: Limits, facts: Mapping[str, FactSpec], marker: str, therapies: Mapping[str, TherapyClass]
    ):
        self.limits = limits
        self.facts = facts
        self.marker = marker
        self.therapies = therapies

    def limit(self, section: Section, key: str, kind: type) -> Any:
        """The limit that `key` names; noted as a problem (and a harmless one returned) if it is missing or of another kind."""
        name = section.text(key)
        found = self.limits.get(name)
        if not isinstance(found, kind):
            known = sorted(n for n, v in self.limits.items() if isinstance(v, kind))
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            meant = f"did you mean '{close[0]}'? " if close else ""
            section.problem(
                f"'{name}' is no limit that '{key}' can use",
                f"{meant}limits of this kind: {', '.join(known) or 'none'}",
                at=key,
                mistake=Mistake.UNKNOWN_LIMIT,
            )
            return {Rise: Rise(2.0, 1.645), Days: Days(0, 0)}.get(kind, Days(0, 0))
        return found


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fact. `value(question, params)` answers for the question; `of_sample` for any single sample.

    `depends` says on what the answer depends at most: on the chart, on how a sample was measured ("method"), on the chart
    and the sample, or on anything of the question, its rule included. `never`: it is false of every sample of the chart.
    """

    read: Callable[[Section, Context], Any]
    value: Callable[[Question, Any], Tri] | None = None
    of_sample: Callable[[Question, Any, Sample], Tri] | None = None
    can_be_unknown: bool = False
    stage: str = "judged"
    depends: Literal["chart", "method", "sample", "question"] = "question"
    never: Callable[[Chart, Marker], bool] = lambda _chart, _marker: False


def choice(key: str, *choices: str) -> Callable[[Section, Context], str]:
    def read(section: Section, _context: Context) -> str:
        section.keys(key)
        return section.choice(key, choices)

    return read


def nothing(key: str, word: str = "yes") -> Callable[[Section, Context], None]:
    """Reads a kind that has no parameters: after its key stands `word`, so that `key: no` is not taken for it."""

    def read(section: Section, _context: Context) -> None:
        section.keys(key)
        section.choice(key, [word])

    return read


def read_pair_of(section: Section, context: Context) -> Pair | None:
    """The confirmation that the key `pair` names; None without the key."""
    if "pair" not in section:
        return None
    spec = context.facts.get(section.text("pair"))
    if spec is None or not isinstance(spec.params, Pair):
        section.problem(
            "'pair' names no confirmation", "name a fact of the kind 'pair'", at="pair", mistake=Mistake.NOT_A_PAIR
        )
        return None
    params: Pair = spec.params
    return params


def resting(question: Question, pair: Pair | None) -> list[Sample]:
    """The samples on which the state rests: the latest, and the pair that confirms it."""
    found = confirmation(question, pair)[1] if pair is not None else None
    return [sample for sample in (question.latest, *(found or ())) if sample is not None]
