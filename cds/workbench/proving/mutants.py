"""Mutants: one small change to a rule, a gate or a marker's file, of the kinds in which authors err."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from cds.errors import Problem
from cds.reasoning.kinds.sample import EVENTS
from cds.reasoning.rulebook import Rule, RuleBook
from cds.reasoning.rulefile import ASKED, RuleReader
from cds.reasoning.statistics import CONFIDENCES
from cds.source import Section, parse_yaml
from cds.workbench.proving.shared_mutants import of_gates, of_marker

Tree = dict[str, Any]
_STEP = 0.1  # of a threshold that is a ratio
_HAIR = 1e-9  # above a threshold: "more than" in the place of "at least"


@dataclass(frozen=True, slots=True)
class Mutant:
    """`what` was changed, and the book in which it is so: the rules that answer the tests, and no others."""

    target: str  # the rule, or "gates"
    kind: str  # threshold, window, literal, clause …
    what: str
    book: RuleBook
    rule: str = ""  # the mutated rule; "" for gates

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}"


def mutants_of(rule: Rule, book: RuleBook) -> tuple[list[Mutant], int]:
    """The mutants of a rule, and how many more its loader refuses: those are caught before any test."""
    tree = tree_of(rule)
    found: list[Mutant] = []
    refused = 0
    for kind, what, changed in _of_tree(tree, rule, book):
        mutated = read(changed, rule, book)
        if mutated is None:
            refused += 1
        else:
            found.append(Mutant(rule.name, kind, what, book_of(mutated, book), rule.name))
    if rule.watches:
        for what, marker in of_marker(book.catalogue.markers[rule.watches], rule):
            markers = {**book.catalogue.markers, marker.name: marker}
            altered = replace(book, catalogue=replace(book.catalogue, markers=markers))
            found.append(Mutant(rule.name, "marker", what, book_of(rule, altered), rule.name))
    return found, refused


def mutants_of_gates(book: RuleBook) -> tuple[list[Mutant], int]:
    """The mutants of the gates and windows that all rules share."""
    found: list[Mutant] = []
    refused = 0
    for kind, what, altered in of_gates(book):
        mutated = [read(tree_of(rule), rule, altered) if rule.watches else rule for rule in book.rules]
        if None in mutated:
            refused += 1
        else:
            found.append(Mutant("gates", kind, what, with_rules([rule for rule in mutated if rule], altered)))
    return found, refused


def tree_of(rule: Rule) -> Tree:
    """The rule's own file as it was read."""
    section = parse_yaml(rule.text.split("\n--- # ", 1)[0], [], rule.file)
    return {} if section is None else section.value


def read(tree: Tree, rule: Rule, book: RuleBook) -> Rule | None:
    """The rule that a tree states; None if its loader refuses it."""
    problems: list[Problem] = []
    section = Section(rule.file, tree, (), {}, problems)
    gates, states = book.gates, book.states
    mutated = RuleReader(section, gates, states, book.catalogue, book.evidence, book.wording).read()
    return None if problems else replace(mutated, hash=rule.hash)


def book_of(rule: Rule, book: RuleBook) -> RuleBook:
    """The book of those rules that answer the tests which ask `rule`: itself, what combines it, and that one's parts."""
    names = {rule.name, *rule.combines.values()}
    for whole in book.rules:
        if rule.name in whole.combines.values():
            names |= {whole.name, *whole.combines.values()}
    return with_rules([rule if one.name == rule.name else one for one in book.rules if one.name in names], book)


def with_rules(rules: list[Rule], book: RuleBook) -> RuleBook:
    """The same book with these rules alone."""
    return replace(book, rules=tuple(rules), _by_name={rule.name: rule for rule in rules})


# the rule's own file -------------------------------------------------------------------------------------------------

_Change = tuple[str, str, Tree]


def _set(tree: Tree, path: tuple[str | int, ...], value: Any) -> Tree:
    """A copy in which `path` has the value; None takes it away."""
    changed = copy.deepcopy(tree)
    *way, last = path
    inner: Any = changed
    for key in way:
        inner = inner[key]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    return changed


def _of_tree(tree: Tree, rule: Rule, book: RuleBook) -> Iterator[_Change]:
    yield from _limits(tree)
    yield from _spans(tree)
    yield from _about(tree, rule, book)
    yield from _facts(tree, rule, book)
    yield from _literals(tree, ("only_if",), "only_if")
    states = list(tree.get("conclude", {}))
    for state in states:
        entries = tree["conclude"][state]
        for place, entry in enumerate(entries if isinstance(entries, list) else []):
            yield from _clause(tree, ("conclude", state, place), entry.get("id", f"{state}/{place + 1}"), entries)
    for one, other in pairwise(states):
        changed = copy.deepcopy(tree)
        inner = changed["conclude"]
        inner[one], inner[other] = inner[other], inner[one]
        for state in (one, other):
            for entry in inner[state]:
                if state in ("suspected", "persistent"):
                    entry.setdefault("certainty", "very-low")
        yield "order", f"what concludes '{one}' concludes '{other}' and the other way round", changed
    for note in tree.get("notes", {}):
        yield "note", f"notes: '{note}' dropped", _set(tree, ("notes", note), None)
        entry = tree["notes"][note]
        for part in ("all", "unless"):
            yield from _literals(tree, ("notes", note, part), f"notes: {note}: {part}")
        yield from _stage(tree, ("notes", note), entry, f"notes: {note}", "if the rule applies")


def _clause(tree: Tree, path: tuple[str | int, ...], key: str, entries: list[Any]) -> Iterator[_Change]:
    entry = entries[int(path[-1])]
    if len(entries) > 1:
        yield "clause", f"{key} dropped", _set(tree, path, None)
    else:
        yield "clause", f"{key} dropped", _set(tree, path[:-1], None)
    for part in ("all", "unless"):
        yield from _literals(tree, (*path, part), f"{key}: {part}")
    if "note" in entry:
        yield "note", f"{key}: note '{entry['note']}' dropped", _set(tree, (*path, "note"), None)
    if "certainty" in entry:
        other = "low" if entry["certainty"] == "very-low" else "very-low"
        yield "certainty", f"{key}: certainty {entry['certainty']} → {other}", _set(tree, (*path, "certainty"), other)
    own = (
        "always"
        if "combines" in tree
        else "if the rule applies"
        if tree.get("reference") == "none"
        else "if the sample is judged"
    )
    if "combines" not in tree:
        yield from _stage(tree, path, entry, key, own)


def _stage(tree: Tree, path: tuple[str | int, ...], entry: Tree, key: str, default: str) -> Iterator[_Change]:
    now = entry.get("asked", default)
    for stage in ASKED:
        if stage != now:
            yield "stage", f"{key}: asked '{now}' → '{stage}'", _set(tree, (*path, "asked"), stage)


def _literals(tree: Tree, path: tuple[str | int, ...], where: str) -> Iterator[_Change]:
    inner: Any = tree
    for key in path:
        inner = inner.get(key, []) if isinstance(inner, dict) else inner[key]
    literals = [inner] if isinstance(inner, str) else list(inner)
    for place, text in enumerate(literals):
        rest = literals[:place] + literals[place + 1 :]
        yield "literal", f"{where}: '{text}' dropped", _set(tree, path, rest)
        word, _, fact = text.partition(" ")
        other = fact if word in ("not", "unknown") else f"not {text}"
        turned = [*literals[:place], other, *literals[place + 1 :]]
        yield "literal", f"{where}: '{text}' → '{other}'", _set(tree, path, turned)


def _limits(tree: Tree) -> Iterator[_Change]:
    for name, entry in tree.get("limits", {}).items():
        if "ratio" in entry:
            floor = float(entry["floor"])
            path = ("limits", name, "floor")
            for other in (round(floor - _STEP, 6), round(floor + _STEP, 6)):
                yield "threshold", f"limits: {name}: floor {entry['floor']} → {other}", _set(tree, path, str(other))
            more = _set(tree, path, repr(floor * (1 + _HAIR)))
            yield "comparator", f"limits: {name}: at least {entry['floor']} → more than {entry['floor']}", more
            now = entry.get("confidence", next(iter(CONFIDENCES)))
            for other_confidence in CONFIDENCES:
                if other_confidence != now:
                    changed = _set(tree, ("limits", name, "confidence"), other_confidence)
                    yield "confidence", f"limits: {name}: {now} → {other_confidence}", changed
        for key in ("from", "to"):
            if key in entry:
                yield from _day_steps(tree, ("limits", name, key), entry[key], f"limits: {name}: {key}")
                yield "window", f"limits: {name}: '{key}' dropped", _set(tree, ("limits", name, key), None)


def _day_steps(tree: Tree, path: tuple[str | int, ...], text: str, where: str) -> Iterator[_Change]:
    found = re.fullmatch(r"(-?\d+)\s*([dw]?)", text)
    if found:
        days = int(found[1]) * (7 if found[2] == "w" else 1)
        for other in (days - 1, days + 1):
            yield "window", f"{where} {days} d → {other} d", _set(tree, path, f"{other} d")


def _spans(tree: Tree) -> Iterator[_Change]:
    for path in (("stale_after",), ("after", "until"), ("after", "second_until"), ("nadir", "after_operation")):
        inner: Any = tree
        for key in path:
            inner = inner.get(key, {})
        if isinstance(inner, str):
            yield from _day_steps(tree, path, inner, ": ".join(path))


def _about(tree: Tree, rule: Rule, book: RuleBook) -> Iterator[_Change]:
    """Marker, therapy class and reference."""
    if rule.watches:
        for marker in book.catalogue.markers.values():
            if marker.name != rule.watches and not marker.must_not_use:
                changed = _everywhere(_set(tree, ("watches",), marker.name), "value", rule.watches, marker.name)
                yield "marker", f"watches: {rule.watches} → {marker.name}", changed
    for key in ("therapy", "not_beside"):
        classes = list(getattr(rule.anchor, "therapies" if key == "therapy" else "not_during"))
        for name in classes:
            rest = [one for one in classes if one != name]
            if rest or key == "not_beside":
                yield "class", f"during: {key}: {name} dropped", _set(tree, ("during", key), rest)
            for other in book.catalogue.therapies.classes:
                if other not in classes:
                    turned = [other if one == name else one for one in classes]
                    yield "class", f"during: {key}: {name} → {other}", _set(tree, ("during", key), turned)
    kinds = {"baseline": "nadir", "nadir": "baseline"}
    if rule.watches and not rule.anchor.operation and rule.reference in kinds:
        other = kinds[rule.reference]
        changed = _everywhere(_set(tree, ("reference",), other), "over", rule.reference, other)
        yield "reference", f"reference: {rule.reference} → {other}", changed


def _everywhere(tree: Tree, key: str, value: str, other: str) -> Tree:
    for entry in tree.get("facts", {}).values():
        if entry.get(key) == value:
            entry[key] = other
    return tree


def _facts(tree: Tree, rule: Rule, book: RuleBook) -> Iterator[_Change]:
    facts: dict[str, Tree] = tree.get("facts", {})
    limits: dict[str, Tree] = tree.get("limits", {})
    windows = [name for name, entry in limits.items() if "ratio" not in entry]
    for name, entry in facts.items():
        where = f"facts: {name}"

        def at(key: str, value: Any, kind: str, what: str, name: str = name) -> _Change:
            return kind, f"facts: {name}: {what}", _set(tree, ("facts", name, key), value)

        if "per" in entry:
            yield at("per", None, "unit", "'per: total-ev' dropped")
        for key in ("within", "for"):
            if key in entry:
                yield from _day_steps(tree, ("facts", name, key), entry[key], f"{where}: {key}")
        for key in ("imaging", "pair", "is", "drugs_other_than", "same_day"):
            items: list[str] = entry[key] if isinstance(entry.get(key), list) and len(entry[key]) > 1 else []
            for item in items:
                rest = [one for one in items if one != item]
                yield at(key, rest, "fact", f"{key}: {item} dropped")
        if "pair" in entry and ("imaging" in entry or "reference" in entry or "bound_drug" in entry):
            yield at("pair", None, "fact", "'pair' dropped")
        for key in ("first", "second", "apart"):
            for other in windows:
                if "pair" in entry and key in entry and other != entry[key]:
                    yield at(key, other, "window", f"{key}: {entry[key]} → {other}")
        if isinstance(entry.get("day"), dict):
            for key, window in entry["day"].items():
                for other in windows:
                    if other != window:
                        yield at("day", {key: other}, "window", f"day: {key} {window} → {key} {other}")
                turned = {"before": "within", "within": "before"}[key]
                yield at("day", {turned: window}, "window", f"day: {key} {window} → {turned} {window}")
        if "rising" in entry:
            for step in (-1, 1):
                other = str(int(entry["rising"]) + step)
                yield at("rising", other, "threshold", f"rising {entry['rising']} → {other}")
        if "beside" in entry:
            yield at("beside", None, "fact", "'beside' dropped")
        if "over_lowest" in entry or ("pair" in entry and "first" in entry):
            other = "no" if entry.get("over_lowest") == "yes" else "yes"
            yield at("over_lowest", other, "fact", f"over_lowest → {other}")
        for key, choices in _CHOICES.items():
            for other in choices if key in entry else ():
                if other != entry[key]:
                    yield at(key, other, "fact", f"{key}: {entry[key]} → {other}")
        if "given" in entry or "event" in entry:
            key = "given" if "given" in entry else "event"
            other_key = "event" if key == "given" else "given"
            changed = _set(
                tree, ("facts", name), {other_key: entry[key], **{k: v for k, v in entry.items() if k != key}}
            )
            yield "fact", f"{where}: {key} → {other_key}", changed
        for other in rule.combines if "finding" in entry else ():
            if other != entry["finding"]:
                yield at("finding", other, "fact", f"finding: {entry['finding']} → {other}")


_CHOICES: dict[str, tuple[str, ...]] = {
    "sex": ("male", "female"),
    "receptor": ("hormone", "her2"),
    "recorded": ("metastatic", "other-cancer"),
    "reference": ("late", "only", "missing", "not-comparable"),
    "event": EVENTS[:4],
    "given": EVENTS[:4],
}
"""Of a fact, words that may be mistaken for each other."""
