"""The rule book: every rule, gate and state as immutable data, content-hashed. `cds.reasoning.loading` makes it from YAML.

A rule asks one *question*: what does this marker say about this therapy line? Its *facts* are three-valued statements
about a chart; its *clauses* conclude a state (or add a note) when their facts hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cds.chart.catalogue import Catalogue
from cds.reasoning.evidence import EvidenceCatalogue

WANTED = {True: "true", False: "false", None: "unknown"}
"""How a three-valued truth is written to the engine and in traces."""


@dataclass(frozen=True, slots=True)
class Literal:
    """`fact` is to be `wanted`: True, False ("not fact") or None ("unknown fact")."""

    fact: str
    wanted: bool | None = True

    def __str__(self) -> str:
        return {True: "", False: "not ", None: "unknown "}[self.wanted] + self.fact


@dataclass(frozen=True, slots=True)
class Clause:
    """One way to reach a state, or to earn a note.

    It is true if every literal of `all` is true and none of `unless` is; unknown if no literal of `all` is false, one is
    unknown, and none of `unless` is true. It is false, whatever else, unless every literal of `asked` is true: what is
    not asked is neither true nor unknown.
    """

    key: str  # unique in its rule: "TR-01" or "gate/specimen/haemolysed"
    state: str  # a state of the rule book; "" for a note
    all: tuple[Literal, ...]
    unless: tuple[Literal, ...] = ()
    asked: tuple[Literal, ...] = ()
    note: str = ""  # key of a wording note that the clause adds
    certainty: str = ""
    gate: str = ""  # the gate that the clause belongs to, if it does

    @property
    def is_plain(self) -> bool:
        """Whether it is a note of a gate: it says no more than its one fact, so neither engine nor oracle is asked.

        The engine takes only so many conditions, and every rule has these.
        """
        return bool(self.gate and self.note)


@dataclass(frozen=True, slots=True)
class FactSpec:
    """One named fact: its kind (see `cds.reasoning.kinds`) and that kind's own, checked parameters."""

    name: str
    kind: str
    params: Any
    can_be_unknown: bool
    lazy: str = "judged"  # the question's stage from which it is formed: always | applies | judged


@dataclass(frozen=True, slots=True)
class State:
    """A state, in order of precedence. `indicator`: CDS Hooks indicator of its card; "" for no card."""

    name: str
    indicator: str
    about_marker: bool  # says nothing of one rule alone: several rules of a marker with this state make one finding


@dataclass(frozen=True, slots=True)
class Windows:
    """Spans that all rules share, in days; see rules/gates/."""

    baseline_before: int  # a baseline lies at most so long before the line
    late_baseline: int  # last day of a late baseline
    lasting: Mapping[str, tuple[int, bool]]  # class → (days after its end, whether another line's begin cuts it short)
    fault_before: int  # faults of single values count from so long before the line
    elements: tuple[str, ...]  # method elements that must be stated and equal


@dataclass(frozen=True, slots=True)
class Gate:
    """A test that all rules share: the facts on which a sample or a question fails it."""

    name: str
    title: str
    asked: str  # always | applies | judged
    every_sample: bool  # a sample that fails is unusable wherever it stands
    fails_on: tuple[tuple[FactSpec, str, bool], ...]  # fact, the state it leads to, whether unknown is not-evaluable
    facts: tuple[FactSpec, ...]  # facts that rules may use
    notes: tuple[FactSpec, ...] = ()  # facts that only add a note, of their own name, to every rule that asks the gate

    @property
    def of_reference(self) -> bool:
        """Whether it asks for nothing but what a sample is compared with."""
        return all(spec.kind in ("reference", "unstated") for spec, _, _ in self.fails_on)


@dataclass(frozen=True, slots=True)
class Anchor:
    """What a question is about: a line of one of `therapies`, or the latest curative operation."""

    therapies: tuple[str, ...] = ()
    not_during: tuple[str, ...] = ()  # therapy classes that make the rule not apply
    operation: bool = False
    until: int = 0  # operation: last day on which the rule applies by itself
    second_until: int = 0  # operation: last day on which it applies to a second sample
    second_of: str = ""  # operation: the pair fact whose first sample makes it a second


@dataclass(frozen=True, slots=True)
class Rise:
    """How a change of ratio is judged: max(reference change value, floor)."""

    floor: float
    z: float
    because: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule file; `hash` is the SHA-256 of everything that can change its answers."""

    name: str
    title: str
    status: str  # draft | shadow | active | retired
    since: str
    review_by: str
    summary: str
    evidence: tuple[str, ...]
    contradicting: tuple[str, ...]
    watches: str  # a marker; "" for a rule on findings
    combines: Mapping[str, str]  # name → component rule, for a rule on findings
    part: bool  # a component: its finding is used by another rule and not shown by itself
    anchor: Anchor
    reference: str  # baseline | nadir | none
    nadir_after_operation: int
    stale_after: int
    only_if: tuple[Literal, ...]
    facts: tuple[FactSpec, ...]  # in the order in which they are formed, shared ones included
    clauses: tuple[Clause, ...]  # gates' clauses first
    limits: Mapping[str, Any]
    advise: Mapping[str, tuple[str, ...]]  # state → advice keys
    false_alarms: tuple[str, ...]
    not_for: tuple[str, ...]
    file: str
    hash: str = ""
    text: str = field(default="", compare=False, repr=False)  # what `hash` covers, its own file first, as YAML

    def fact(self, name: str) -> FactSpec:
        """The fact called `name`; KeyError if the rule has none."""
        for spec in self.facts:
            if spec.name == name:
                return spec
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class RuleBook:
    """All rules with what they rest on; `hash` is the SHA-256 over every file that was read."""

    rules: tuple[Rule, ...]
    withheld: Mapping[str, str]  # rule → why it was not loaded (it rests on retracted evidence)
    gates: tuple[Gate, ...]
    states: tuple[State, ...]
    windows: Windows
    catalogue: Catalogue
    evidence: EvidenceCatalogue
    wording: Mapping[str, Any]
    hash: str
    _by_name: Mapping[str, Rule] = field(default_factory=dict, repr=False)
    resting: frozenset[str] = frozenset()  # rules that are retired, or still being written, and so are not asked

    def rule(self, name: str) -> Rule:
        """The rule called `name`; KeyError if there is none."""
        return self._by_name[name]

    def rank(self, state: str) -> int:
        """The place of `state` in the order of precedence, 0 first."""
        return next(place for place, known in enumerate(self.states) if known.name == state)
