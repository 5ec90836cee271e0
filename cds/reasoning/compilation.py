"""Rules to durable_rules JSON, in the one safe shape: single-pattern conjunctions over short words.

For each clause one engine rule says "true", and for each of its facts that may be unknown another says "held back by this
fact". Property names are short; numbers, joins, `$or`, absence and chaining never occur.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cds.mistakes import Mistake
from cds.reasoning.rulebook import WANTED, Clause, Literal, Rule
from cds.source import Section

MOST_CONDITIONS = 60
"""The engine refuses a fact that makes more than 64 conditions true (its error 303): stay below for every patient."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """One rule for the engine. `told_if_false` are the facts of which some condition wants to know that they are false; the
    others are left out of an engine fact when false, which halves its size and changes no answer. `definition[name]` is an engine rule; `meaning[name]` is (clause key, fact that holds it
    back or "" if the clause is true); `properties` maps fact names to the engine's property names."""

    rule: Rule
    properties: Mapping[str, str]
    definition: Mapping[str, Any]
    meaning: Mapping[str, tuple[str, str]]
    told_if_false: frozenset[str]


def compile_rule(rule: Rule) -> Compiled:
    """The engine's form of a rule."""
    clauses = [clause for clause in rule.clauses if not clause.is_plain]
    names = sorted({lit.fact for clause in clauses for lit in (*clause.all, *clause.unless, *clause.asked)})
    properties = {name: f"f{number}" for number, name in enumerate(names)}
    can_be_unknown = {spec.name for spec in rule.facts if spec.can_be_unknown}
    definition: dict[str, Any] = {}
    meaning: dict[str, tuple[str, str]] = {}

    def add(clause: Clause, held_by: str, conditions: list[dict[str, Any]]) -> None:
        name = f"r{len(definition)}"
        definition[name] = {"all": [{"m": {"$and": [{"q": "q"}, *conditions]}}]}
        meaning[name] = (clause.key, held_by)

    for clause in clauses:
        always = [_is(properties, lit) for lit in clause.asked] + [_is_not(properties, lit) for lit in clause.unless]
        add(clause, "", [*(_is(properties, lit) for lit in clause.all), *always])
        for held in clause.all:
            if held.wanted is None or held.fact not in can_be_unknown:
                continue
            others = [
                _is_not(properties, Literal(lit.fact, not lit.wanted))
                if lit.wanted is not None and lit.fact in can_be_unknown
                else _is(properties, lit)
                for lit in clause.all
                if lit is not held
            ]
            add(clause, held.fact, [{properties[held.fact]: WANTED[None]}, *others, *always])
    told = {
        condition for entry in definition.values() for condition in _true_of_false(entry["all"][0]["m"]["$and"][1:])
    }
    return Compiled(
        rule, properties, definition, meaning, frozenset(name for name, short in properties.items() if short in told)
    )


def _true_of_false(conditions: list[dict[str, Any]]) -> list[str]:
    """The properties of which a condition holds when they are "false"."""
    return [
        name
        for condition in conditions
        for name, word in condition.get("$neq", condition).items()
        if ("$neq" in condition) != (word == WANTED[False])
    ]


def _is(properties: Mapping[str, str], literal: Literal) -> dict[str, Any]:
    return {properties[literal.fact]: WANTED[literal.wanted]}


def _is_not(properties: Mapping[str, str], literal: Literal) -> dict[str, Any]:
    return {"$neq": {properties[literal.fact]: WANTED[literal.wanted]}}


def most_conditions(compiled: Compiled) -> int:
    """The most distinct conditions that one fact can make true, whatever the patient."""
    by_property: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for entry in compiled.definition.values():
        for condition in entry["all"][0]["m"]["$and"][1:]:
            if "$neq" in condition:
                ((name, word),) = condition["$neq"].items()
                by_property[name].add(("$neq", word))
            else:
                ((name, word),) = condition.items()
                by_property[name].add(("", word))
    return sum(
        max(sum((operator == "") == (word == value) for operator, word in conditions) for value in WANTED.values())
        for conditions in by_property.values()
    )


def check_limits(rule: Rule, section: Section) -> None:
    """Note at the rule's file what the engine could not take of it."""
    most = most_conditions(compile_rule(rule))
    if most > MOST_CONDITIONS:
        section.problem(
            f"a patient could make {most} conditions true; the engine takes {MOST_CONDITIONS}",
            "split the rule in two, or move notes to a rule of their own",
            at="conclude",
            mistake=Mistake.TOO_MANY_CONDITIONS,
        )
