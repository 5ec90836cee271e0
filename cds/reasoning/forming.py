"""Forming facts: what a question asks of its chart, in stages; what is the same for all rules of a marker only once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from cds.chart.model import Chart, Tri
from cds.reasoning.kinds import KINDS
from cds.reasoning.kinds.kind import Kind
from cds.reasoning.oracle import kleene_and, truth
from cds.reasoning.question import Question, Shared
from cds.reasoning.rulebook import FactSpec, RuleBook

Facts = dict[str, Tri]

_Asked = tuple[str, Kind, Any]
"""Name of a fact, its kind, its parameters."""


class _Stage(NamedTuple):
    """The facts of one stage of a rule, by what their answers depend on."""

    common: tuple[_Asked, ...]  # on the chart and its latest sample: every rule of the marker has the same answers
    common_names: tuple[str, ...]  # by which rules that ask the same find each other's answers
    faults: tuple[_Asked, ...]
    no_faults: Facts  # their answers for a chart without faults
    own: tuple[_Asked, ...]


class Forming:
    """Forms questions and facts for a rule book; safe to share between threads."""

    def __init__(self, rulebook: RuleBook):
        self._book = rulebook
        self._stages = {
            (rule.name, stage): _stage(spec for spec in rule.facts if spec.lazy == stage and spec.kind in KINDS)
            for rule in rulebook.rules
            for stage in ("always", "applies", "judged")
        }
        self._tests = {rule.watches: self._tests_of(rule.watches) for rule in rulebook.rules if rule.watches}

    def shared(self, chart: Chart, marker: str) -> Shared:
        """What all questions about a marker of a chart have in common."""
        found = Shared(chart, marker)
        own = self._book.catalogue.markers[marker]
        for kind, params in self._tests[marker]:
            if kind.of_sample is not None and not kind.never(chart, own):
                tests = found.method_tests if kind.depends == "method" else found.sample_tests
                tests.append((kind.of_sample, params))
        return found

    def facts(self, question: Question) -> Facts:
        """Every fact that is asked; what comes after a gate that ends the asking is not formed."""
        facts: Facts = {}
        name = question.rule.name
        _form(question, self._stages[name, "always"], facts)
        _add_conditions(question, facts)
        if facts["applies"] is True:
            _form(question, self._stages[name, "applies"], facts)
            facts["judged"] = not question.only_baseline
            if facts["judged"]:
                _form(question, self._stages[name, "judged"], facts)
        return facts

    def _tests_of(self, marker: str) -> list[tuple[Kind, Any]]:
        """What makes a sample unusable wherever it stands. Faults are asked for by themselves."""
        checks = self._book.catalogue.markers[marker].checks
        return [
            (KINDS[spec.kind], spec.params)
            for gate in self._book.gates
            if gate.every_sample
            for spec, _, _ in gate.fails_on
            if not (spec.kind == "check" and spec.params not in checks)
        ]


def _stage(specs: Iterable[FactSpec]) -> _Stage:
    asked = [(spec.name, KINDS[spec.kind], spec.params) for spec in specs]
    common = tuple(one for one in asked if one[1].depends != "question")
    faults = tuple(one for one in asked if one[1] is KINDS["fault"])
    own = tuple(one for one in asked if one not in common and one not in faults)
    return _Stage(common, tuple(name for name, _, _ in common), faults, {name: False for name, _, _ in faults}, own)


def _form(question: Question, stage: _Stage, facts: Facts) -> None:
    common = question.shared.facts.get(stage.common_names)
    if common is None:
        common = question.shared.facts[stage.common_names] = {}
        _ask(question, stage.common, common)
    facts |= common
    if question.faulty:
        _ask(question, stage.faults, facts)
    else:
        facts |= stage.no_faults
    _ask(question, stage.own, facts)


def _ask(question: Question, asked: Iterable[_Asked], facts: Facts) -> None:
    latest, chart, marker = question.latest, question.chart, question.marker
    for name, kind, params in asked:
        if kind.value is not None:
            facts[name] = kind.value(question, params)
        elif latest is None or kind.never(chart, marker):
            facts[name] = False
        else:
            facts[name] = None if kind.of_sample is None else kind.of_sample(question, params, latest)


def _add_conditions(question: Question, facts: Facts) -> None:
    """A rule's co-conditions are part of whether it applies; without any therapy nothing can be said of that."""
    if not question.chart.lines and not question.chart.operations:
        return
    for literal in question.rule.only_if:
        facts["applies"] = kleene_and(facts["applies"], truth(literal, facts))
