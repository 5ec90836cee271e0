"""What the kinds of facts imply of each other: why some combinations of a rule's facts are on no chart.

Each implication is a statement "one of these holds", with a reason in words. They are declared here once for each pair of
kinds, and held against random charts (tests/proving/test_implications.py): against the facts that are formed of them, and
where medicine decides, against the naive reference too. An infeasible pair of `exowatch rules cover` rests on them alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import combinations, product
from typing import NamedTuple, TypeVar

from cds.chart.catalogue import Marker
from cds.chart.model import Tri
from cds.reasoning.change import Change, Pair
from cds.reasoning.combination import ImagingNear, SameDay, StateOf
from cds.reasoning.kinds import Days
from cds.reasoning.rulebook import FactSpec, Rule, RuleBook

Values = tuple[Tri, ...]


class Atom(NamedTuple):
    """The fact, if it was asked, has one of these values."""

    fact: str
    values: Values


class Implication(NamedTuple):
    """At least one of `atoms` is true of every chart, because of `reason`."""

    atoms: tuple[Atom, ...]
    reason: str

    def __str__(self) -> str:
        *conditions, last = self.atoms
        if not conditions:
            return f"{_said(last)}: {self.reason}"
        return f"{_said(last)} unless {', or '.join(_said(atom) for atom in conditions)}: {self.reason}"

    def holds(self, facts: Mapping[str, Tri]) -> bool:
        """Whether it is true of these facts; of a fact that was not asked nothing is claimed."""
        return any(atom.fact not in facts or facts[atom.fact] in atom.values for atom in self.atoms)


def _said(atom: Atom) -> str:
    words = {True: "true", False: "false", None: "unknown"}
    return f"{atom.fact} is {' or '.join(words[value] for value in atom.values)}"


def unless(fact: str, *values: Tri) -> Atom:
    """The atom that is true where `fact` has none of these values."""
    return Atom(fact, tuple(value for value in (True, False, None) if value not in values))


def implications(rule: Rule, book: RuleBook) -> tuple[Implication, ...]:
    """All that is implied between the facts of a rule."""
    if rule.combines:
        return tuple(_of_combination(rule, book))
    marker = book.catalogue.markers[rule.watches]
    found: list[Implication] = []
    for part in (_constants, _references, _changes, _pairs, _imaging, _therapy):
        found += part(rule.facts, marker)
    return (*found, *_days(rule.facts))


def _of(facts: Iterable[FactSpec], kind: str) -> list[FactSpec]:
    return [spec for spec in facts if spec.kind == kind]


def _constants(facts: Sequence[FactSpec], marker: Marker) -> Iterator[Implication]:
    for spec in facts:
        if spec.kind == "value" and isinstance(spec.params, Change) and not spec.params.per_ev:
            yield Implication((unless(spec.name, None),), "a plain ratio is either formed or there is no reference")
        elif spec.kind == "pair" and isinstance(spec.params, Pair) and not any(c.per_ev for c in spec.params.changes):
            yield Implication((unless(spec.name, None),), "only a ratio per vesicle can be unknown in a pair")
        elif spec.kind == "check":
            asked = marker.checks.get(spec.params)
            if asked is None:
                yield Implication((Atom(spec.name, (False,)),), f"{marker.name} does not ask for {spec.params}")
            elif asked == "stated":
                yield Implication(
                    (unless(spec.name, True),), f"either answer on {spec.params} will do, it is only to be stated"
                )
        elif spec.kind == "specimen" and not marker.specimens:
            yield Implication((Atom(spec.name, (False,)),), f"{marker.name} may be measured in any specimen")
        elif spec.kind in ("interference", "bound_drug") and not marker.bound_by:
            yield Implication((Atom(spec.name, (False,)),), f"no drug binds {marker.name}")


def _no_reference(facts: Sequence[FactSpec]) -> list[str]:
    return [spec.name for spec in _of(facts, "reference") if spec.params[0] in ("missing", "not-comparable")]


def _references(facts: Sequence[FactSpec], _marker: Marker) -> Iterator[Implication]:
    missing = _no_reference(facts)
    for one, other in combinations(missing, 2):
        yield Implication(
            (unless(one, True), unless(other, True)), "a reference is not there, or there and not comparable"
        )
    for spec in _of(facts, "reference"):
        if spec.params[0] == "only":
            yield Implication((unless(spec.name, True), Atom("judged", (False,))), "a baseline is not judged")
            yield Implication((unless(spec.name, False), Atom("judged", (True,))), "what is no baseline is judged")
            for name in missing:
                yield Implication((unless(spec.name, True), unless(name, True)), "a baseline is compared with nothing")
        if spec.params[0] == "late":
            reason = "what is only a baseline is compared with none, and confirms nothing"
            yield Implication((unless(spec.name, True), Atom("judged", (True,))), reason)
            pair = _name_of(facts, spec.params[1])
            if pair:
                for name in missing:
                    reason = "of an unconfirmed rise only the latest sample's own reference counts"
                    yield Implication((Atom(pair, (True,)), unless(name, True), unless(spec.name, True)), reason)


def _changes(facts: Sequence[FactSpec], _marker: Marker) -> Iterator[Implication]:
    missing = _no_reference(facts)
    for spec in _of(facts, "value"):
        for name in missing:
            alone: Values = (None,) if spec.params.per_ev else (False,)
            yield Implication((unless(name, True), Atom(spec.name, alone)), "without a reference there is no change")
    for spec in _of(facts, "cannot_exclude"):
        for name in missing:
            yield Implication((unless(name, True), Atom(spec.name, (False,))), "without a reference there is no change")
        change = _name_of(facts, spec.params)
        if change:
            reason = "what can be claimed need not be left open"
            yield Implication((unless(change, True), Atom(spec.name, (False,))), reason)
    for spec in _of(facts, "rising"):
        for name in missing:
            yield Implication((unless(name, True), Atom(spec.name, (False,))), "without a reference no drift is told")


def _pairs(facts: Sequence[FactSpec], _marker: Marker) -> Iterator[Implication]:
    missing = [Atom(name, (True,)) for name in _no_reference(facts)]
    for spec in _of(facts, "pair"):
        for change in spec.params.changes:
            name = _name_of(facts, change)
            if name:
                reason = "the run of samples that confirms ends with the latest, if that has a reference"
                yield Implication((*missing, unless(spec.name, True), Atom(name, (True,))), reason)
                yield Implication((*missing, unless(spec.name, None), unless(name, False)), reason)
        for other in _of(facts, "pair"):
            if spec.params.over_lowest and not other.params.over_lowest and _same_windows(spec.params, other.params):
                reason = f"{spec.name} asks all that {other.name} asks, and more"
                yield Implication((unless(spec.name, True), Atom(other.name, (True,))), reason)


def _same_windows(one: Pair, other: Pair) -> bool:
    return _windows(one) == _windows(other) and one.changes == other.changes


def _windows(pair: Pair) -> tuple[int, ...]:
    return (pair.first_from, pair.first_to, pair.second_from, pair.second_to, pair.apart_from, pair.apart_to)


def _imaging(facts: Sequence[FactSpec], _marker: Marker) -> Iterator[Implication]:
    for one, other in combinations(_of(facts, "imaging"), 2):
        (responses, within, pair), (others, also_within, other_pair) = one.params, other.params
        names = [name for name in (_name_of(facts, pair), _name_of(facts, other_pair)) if name]
        if not responses & others and within == also_within:
            reason = "near one set of samples only the most recent response counts; a confirming pair widens the set"
            confirmed = tuple(Atom(name, (True,)) for name in dict.fromkeys(names)) if pair != other_pair else ()
            yield Implication((*confirmed, unless(one.name, True), unless(other.name, True)), reason)


def _therapy(facts: Sequence[FactSpec], _marker: Marker) -> Iterator[Implication]:
    for spec in _of(facts, "off_therapy"):
        yield Implication((unless("applies", True), Atom(spec.name, (False,))), "on the therapy nothing is off it")
    for bound, about in product(_of(facts, "interference"), _of(facts, "bound_drug")):
        reason = "the latest sample is one of those on which the state rests"
        yield Implication((unless(bound.name, True), Atom(about.name, (True,))), reason)
        reason = "a sample of which it is unknown is of no use, so it confirms nothing and the state rests on it alone"
        yield Implication((unless(bound.name, None), Atom(about.name, (None,))), reason)
        yield Implication((unless(about.name, None), Atom(bound.name, (None,))), reason)


def _name_of(facts: Iterable[FactSpec], params: object) -> str:
    """The fact with just these parameters; "" if the rule has none."""
    return next((spec.name for spec in facts if params is not None and spec.params is params), "")


# windows of days, states of parts: what no day and no state satisfies -------------------------------------------------


def _days(facts: Sequence[FactSpec]) -> Iterator[Implication]:
    """No day of the line makes these true together. A confirmed pair needs a day on which its second sample may lie."""
    tests: dict[str, Callable[[int], Values]] = {}
    for spec in _of(facts, "day"):
        tests[spec.name] = partial(_in_window, spec.params)
    for spec in _of(facts, "pair"):
        earliest = max(spec.params.second_from, spec.params.first_from + spec.params.apart_from)
        tests[spec.name] = partial(_from, earliest)
    if any(spec.kind == "day" for spec in facts):
        yield from _excluded(tests, range(-60, 500), "no day of the line lies in these windows and outside those")


def _in_window(window: Days, day: int) -> Values:
    return (window.holds(day),)


def _from(first: int, day: int) -> Values:
    return (True, False, None) if day >= first else (False,)


def _among(states: Sequence[str], state: str) -> Values:
    return (state in states,)


_T = TypeVar("_T")


def _excluded(tests: Mapping[str, Callable[[_T], Values]], domain: Iterable[_T], reason: str) -> Iterator[Implication]:
    """The combinations of up to three facts that no element of the domain allows, the shortest only."""
    allowed = [{name: test(one) for name, test in tests.items()} for one in domain]
    found: list[Mapping[str, Tri]] = []
    for size in (1, 2, 3):
        for names in combinations(tests, size):
            for values in product((True, False), repeat=size):
                wanted = dict(zip(names, values, strict=True))
                if any(known.items() <= wanted.items() for known in found):
                    continue
                if not any(all(value in one[name] for name, value in wanted.items()) for one in allowed):
                    found.append(wanted)
                    yield Implication(tuple(unless(name, value) for name, value in wanted.items()), reason)


def _of_combination(rule: Rule, book: RuleBook) -> Iterator[Implication]:
    states = [state.name for state in book.states]
    by_part: dict[str, list[FactSpec]] = {name: [] for name in rule.combines}
    for spec in rule.facts:
        if isinstance(spec.params, StateOf):
            by_part[spec.params.component].append(spec)
    for name, specs in by_part.items():
        part = book.rule(rule.combines[name])
        can_be = {clause.state for clause in part.clauses if clause.state} | {"not-evaluable"}
        domain = [state for state in states if state in can_be]
        tests = {spec.name: partial(_among, spec.params.states) for spec in specs}
        yield from _excluded(tests, [*domain, "not measured"], f"{name} has one state")
    speaking = [spec for specs in by_part.values() for spec in specs]
    said = {state for spec in speaking for state in spec.params.states}
    silent = {
        clause.state for part in rule.combines.values() for clause in book.rule(part).clauses if clause.state
    } - said
    if silent <= {"not-applicable"}:
        reason = "of parts that all do not apply nothing is asked"
        yield Implication(tuple(Atom(spec.name, (True,)) for spec in speaking), reason)
    for one, other in combinations(by_part, 2):
        for left, right in product(by_part[one], by_part[other]):
            scopes = ("out-of-scope" in left.params.states, "out-of-scope" in right.params.states)
            if scopes[0] != scopes[1]:
                reason = "whether a patient is in scope does not depend on the analyte"
                yield Implication((unless(left.name, True), unless(right.name, True)), reason)
    images = [spec for spec in rule.facts if isinstance(spec.params, ImagingNear)]
    for first, second in combinations(images, 2):
        if not first.params.responses & second.params.responses and first.params.within == second.params.within:
            reason = "near the same samples only the most recent response counts"
            yield Implication((unless(first.name, True), unless(second.name, True)), reason)
    judged = [spec for specs in by_part.values() for spec in specs if set(spec.params.states) & set(_JUDGED)]
    for spec in images:
        atoms = tuple(Atom(known.name, (True,)) for known in judged)
        yield Implication((*atoms, unless(spec.name, True)), "imaging counts near samples that were judged")
    for spec in (spec for spec in rule.facts if isinstance(spec.params, SameDay)):
        yield Implication((unless(spec.name, None),), "days are known")


_JUDGED = ("suspected", "persistent", "watch", "no-flag")
