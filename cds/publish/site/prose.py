"""A rule in sentences that a clinician can check against a patient: every fact defined with its numbers, every state by its facts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cds.advice.wording import Wording
from cds.reasoning.change import Change, Pair
from cds.reasoning.combination import ImagingNear, SameDay, StateOf
from cds.reasoning.explanation import figure
from cds.reasoning.kinds.kind import Days
from cds.reasoning.rulebook import Clause, FactSpec, Literal, Rise, Rule, RuleBook
from cds.reasoning.statistics import confidence_of

_REFERENCE = {
    "baseline": "the geometric mean of the usable samples from before it",
    "nadir": "the lowest comparable value so far",
}
_WITHOUT_END = 10**6
_PLACEHOLDER = re.compile(r"\{\w+\}")


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact as people read it: what it is called, and when exactly it is true."""

    name: str
    called: str
    true_if: str
    can_be_unknown: bool


@dataclass(frozen=True, slots=True)
class Way:
    """One way to a state, or to a note: its key in the rule, what all must hold, what must not, and what it is worth."""

    key: str
    all: tuple[str, ...]
    unless: tuple[str, ...]
    certainty: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Conclusion:
    """A state with every way to it; `options` are what a card then offers to consider."""

    state: str
    word: str
    explained: tuple[tuple[str, str], ...]  # what a card says of it: the note with which ("" for the usual), the words
    ways: tuple[Way, ...]
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """A rule in sentences."""

    question: str
    only_if: tuple[str, ...]
    facts: tuple[Fact, ...]
    conclusions: tuple[Conclusion, ...]  # in the order in which they are asked: the first that holds is the state
    notes: tuple[tuple[str, Way], ...]  # what a card adds, and when


class Teller:
    """Puts the rules of one book into sentences."""

    def __init__(self, book: RuleBook):
        self._book = book
        self.words = Wording(book)

    def told(self, rule: Rule) -> Told:
        """The rule in sentences, its gates aside: they are of all rules."""
        ways: dict[str, list[Way]] = {}
        notes: list[tuple[str, Way]] = []
        for clause in rule.clauses:
            if clause.gate:
                continue
            way = self._way(rule, clause)
            if clause.state:
                ways.setdefault(clause.state, []).append(way)
            else:
                notes.append((self._note(clause.note), way))
        own = {literal.fact for clause in rule.clauses if not clause.gate for literal in (*clause.all, *clause.unless)}
        own |= {literal.fact for literal in rule.only_if}
        return Told(
            self.question(rule),
            tuple(self.literal(rule, literal) for literal in rule.only_if),
            tuple(self.fact(spec, rule) for spec in rule.facts if spec.name in own and spec.name != "applies"),
            tuple(
                Conclusion(
                    state.name,
                    self.words.state(state.name),
                    self._explained(rule, state.name),
                    tuple(ways[state.name]),
                    self._options(rule, state.name),
                )
                for state in self._book.states
                if state.name in ways
            ),
            tuple(notes),
        )

    def question(self, rule: Rule) -> str:
        """What the rule asks, and of whom."""
        if rule.combines:
            names = " and ".join(f"“{self._book.rule(name).title}”" for name in rule.combines.values())
            return f"What do {names} say together?"
        marker, anchor = self.words.marker(rule.watches), rule.anchor
        if anchor.operation:
            until = f"to day {anchor.until}" + (
                f", a second sample to day {anchor.second_until}" if anchor.second_until else ""
            )
            asked = f"What does {marker} say after the latest curative operation ({until})?"
        else:
            during = " or ".join(map(self._therapy, anchor.therapies))
            asked = f"What does {marker} say about {during}, while it runs?"
        beside = " or ".join(map(self._therapy, anchor.not_during))
        asked += f" Not asked while {beside} runs." if beside else ""
        after = f", from {rule.nadir_after_operation} days after an operation on" if rule.nadir_after_operation else ""
        if rule.reference == "none":
            return asked
        return f"{asked} The latest sample is compared with {_REFERENCE[rule.reference]}{after}."

    def literal(self, rule: Rule, literal: Literal) -> str:
        """What must be so of a fact."""
        called = self.words.fact(literal.fact)
        if literal.wanted is None:
            return f"it is not known whether: {called}"
        return called if literal.wanted else f"not: {called}"

    def fact(self, spec: FactSpec, rule: Rule) -> Fact:
        """A fact with its definition."""
        tell = _DEFINED.get(spec.kind, _as_named)
        if isinstance(spec.params, (StateOf, SameDay, ImagingNear)):
            tell = _combined
        return Fact(spec.name, self.words.fact(spec.name), tell(self, spec.params, rule), spec.can_be_unknown)

    def rise(self, rise: Rise) -> str:
        """How a limit on a change is built."""
        confidence = confidence_of(rise.z) or f"Z {rise.z:g}"
        return f"the larger of the reference change value ({confidence}) and {figure(rise.floor)}"

    def limit(self, limit: Any) -> str:
        """A named limit."""
        if isinstance(limit, Rise):
            return f"{self.rise(limit)}, as a ratio"
        return _window(limit.first, limit.last) if isinstance(limit, Days) else str(limit)

    def _note(self, key: str) -> str:
        """A note with dots for what is filled in on a card."""
        text = str(self._book.wording.get("cards", {}).get("notes", {}).get(key, {}).get("text", _plain(key)))
        return _PLACEHOLDER.sub("…", text)

    def _way(self, rule: Rule, clause: Clause) -> Way:
        said = [self.literal(rule, literal) for literal in clause.all]
        excluded = [self.literal(rule, literal) for literal in clause.unless]
        return Way(
            clause.key, tuple(said), tuple(excluded), self.words.certainty(clause.certainty),
            self._note(clause.note) if clause.note and clause.state else "",
        )  # fmt: skip

    def _therapy(self, name: str) -> str:
        said = self.words.therapy(name)
        return said[0].lower() + said[1:] if said[1:2].islower() else said

    def _explained(self, rule: Rule, state: str) -> tuple[tuple[str, str], ...]:
        """The usual words of a state, then those that stand instead where a card carries a note of the rule."""
        usual = self.words.explained(state, rule.name)
        notes = dict.fromkeys(clause.note for clause in rule.clauses if clause.note and clause.state in ("", state))
        others = [(self._note(note), self.words.explained(state, rule.name, (note,))) for note in notes]
        return (("", usual), *((note, words) for note, words in others if words != usual))

    def _options(self, rule: Rule, state: str) -> tuple[str, ...]:
        return tuple(self.words.option(key).text for key in rule.advise.get(state, ()))


# definitions by kind -----------------------------------------------------------------------------------------------------


def _window(first: int | None, last: int | None) -> str:
    if first is not None and last is not None and last < _WITHOUT_END:
        return f"day {first} to day {last}"
    if last is not None and last < _WITHOUT_END:
        return f"to day {last}"
    return f"from day {first} on" if first is not None else "on any day"


def _change(teller: Teller, change: Change, rule: Rule) -> str:
    value = f"{teller.words.marker(rule.watches)}{' per total EV count' if change.per_ev else ''} in the latest sample"
    if change.not_fallen:
        return f"{value} is above its reference divided by {teller.rise(change.rise)}, from the favourable ends of the intervals"
    return f"{value} is at least {teller.rise(change.rise)} times its reference, from the unfavourable ends of the intervals"


def _pair(teller: Teller, pair: Pair, rule: Rule) -> str:
    both = " and ".join(
        ("not fallen" if one.not_fallen else "risen") + (" per total EV count" if one.per_ev else "")
        for one in pair.changes
    )
    apart = (
        f"{pair.apart_from} to {pair.apart_to} days"
        if pair.apart_to < _WITHOUT_END
        else f"at least {pair.apart_from} days"
    )
    lowest = "; each is at the limit over the lowest earlier value on treatment too" if pair.over_lowest else ""
    return (
        f"two samples, both {both}, of one unbroken run that ends with the latest: the first {_window(pair.first_from, pair.first_to)}, "
        f"the second {_window(pair.second_from, pair.second_to)}, {apart} apart{lowest}"
    )


def _imaging(teller: Teller, params: tuple[frozenset[str], int, Pair | None], rule: Rule) -> str:
    responses, within, pair = params
    rests = "the latest sample and the two that confirm" if pair is not None else "the latest sample"
    return f"the most recent response by imaging within {within} days of {rests} is {_one_of(responses)}"


def _fault(teller: Teller, params: tuple[frozenset[str], str], rule: Rule) -> str:
    faults, where = params
    whose = {
        "latest": "of the latest result", "near": "of the latest result, or of one near enough to be its reference",
        "anywhere": "of any result",
    }  # fmt: skip
    return f"{whose[where]} (fault {_one_of(faults)})"


_LASTING = {
    "g-csf": "treatment with G-CSF", "steroid": "treatment with steroids", "hepatic": "disease of the liver",
    "renal": "disease of the kidney", "autoimmune": "autoimmune disease",
}  # fmt: skip


def _event(teller: Teller, params: tuple[str, int], rule: Rule) -> str:
    kind, days = params
    return f"the sample was drawn during {_LASTING.get(kind) or _plain(kind)}" + (
        f", or within {days} days of its end" if days else ""
    )


def _given(teller: Teller, params: tuple[str, int], rule: Rule) -> str:
    kind, days = params
    return f"the sample was drawn within {days} days of {_plain(kind)}"


def _day(teller: Teller, window: Days, rule: Rule) -> str:
    return f"the latest sample lies {_window(window.first, window.last)} of what is asked about"


def _reference(teller: Teller, params: tuple[str, Pair | None], rule: Rule) -> str:
    return {
        "missing": "there is no usable sample from before",
        "not-comparable": "there are samples from before, and none is comparable with the latest",
        "late": "the reference was drawn after treatment had begun",
        "only": "the latest sample can only serve as a reference",
    }[params[0]]


def _other_drugs(teller: Teller, params: tuple[tuple[str, ...], tuple[str, ...]], rule: Rule) -> str:
    studied, beside = params
    also = f", or {_one_of(map(teller.words.therapy, beside))} beside it" if beside else ""
    return f"on the day of the latest sample another drug than {_one_of(studied)} runs in the line{also}"


def _combined(teller: Teller, params: Any, rule: Rule) -> str:
    if isinstance(params, StateOf):
        states = _one_of(teller.words.state(state) for state in params.states)
        return f"the finding of “{teller._book.rule(rule.combines[params.component]).title}” is {states}"
    if isinstance(params, SameDay):
        return "the latest samples of both are of one day"
    return (
        f"the most recent response by imaging within {params.within} days of the samples is {_one_of(params.responses)}"
    )


def _as_named(_teller: Teller, _params: Any, _rule: Rule) -> str:
    return ""


_DEFINED: Mapping[str, Callable[[Teller, Any, Rule], str]] = {
    "value": _change,
    "pair": _pair,
    "cannot_exclude": lambda teller, change, rule: f"because of a limit of detection it cannot be told whether {_change(teller, change, rule)}",
    "rising": lambda _t, count, _r: f"the last {count} usable values rise one by one, the latest among them, and it has a reference",
    "day": _day,
    "disease": lambda _t, absent, _r: f"the record {'excludes' if absent else 'holds'} invasive breast cancer",
    "recorded": lambda _t, what, _r: f"{_plain(what)} disease is recorded" if what == "metastatic" else "another active cancer is recorded",
    "receptor": lambda _t, which, _r: f"{'HER2' if which == 'her2' else 'a hormone receptor'} is positive",
    "her2_doubtful": lambda _t, _p, _r: "HER2 is not known, or has changed",
    "sex": lambda _t, sex, _r: f"the patient is recorded as {sex}",
    "neoadjuvant": lambda _t, _p, _r: "the line is recorded as given before surgery",
    "operated": lambda _t, _p, _r: "the tumour was removed on the line, on the day of the sample or before",
    "cancer_in_other_breast": lambda _t, _p, _r: "a breast cancer is left in a breast that was not operated on",
    "assumed_ongoing": lambda _t, _p, _r: "no end of the line is recorded, and its last dose is recent enough for its kind",
    "bound_drug": lambda _t, _p, _r: "a drug that binds the analyte is present for a sample on which the state rests",
    "stale": lambda _t, _p, rule: f"the latest sample is more than {rule.stale_after} days old",
    "age": lambda _t, under, _r: f"the patient is younger than {under} years",
    "imaging": _imaging,
    "fault": _fault,
    "check": lambda _t, check, _r: f"the sample fails the check for {_plain(check)}, where the marker requires it",
    "event": _event,
    "given": _given,
    "operation": lambda _t, days, _r: f"the sample was drawn within {days} days after an operation",
    "reference": _reference,
    "time_of_day": lambda _t, _p, _r: "the latest sample was drawn before noon and one that it is compared with after it, or the other way round",
    "unstated": lambda _t, _p, _r: "an element of its method, its laboratory or its lot is not stated",
    "specimen": lambda _t, _p, _r: "the specimen is of a type in which the marker must not be measured",
    "interference": lambda _t, _p, _r: "a drug that binds the analyte is present, and the assay is not declared to tolerate it",
    "drugs_other_than": _other_drugs,
    "off_therapy": lambda _t, _p, _r: "the rise would be confirmed against the last line of the class, which has ended",
}  # fmt: skip


def _one_of(names: Any) -> str:
    known: Sequence[str] = sorted(map(_plain, names))
    return known[0] if len(known) == 1 else f"{', '.join(known[:-1])} or {known[-1]}"


def _plain(name: str) -> str:
    return name.upper() if name == "g-csf" else name.replace("-", " ")
