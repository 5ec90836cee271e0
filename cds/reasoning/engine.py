"""The rule engine: durable_rules, used in the only way in which it gives right answers.

One rule set for each rule and thread, one fixed state, one flat fact per question that holds only the words true, false and
unknown, every fact retracted before the call returns. Which rules fire is read from the engine's own (C) face: of the
library's Python host, with its timer threads, its actions that swallow exceptions and its state that is written anew at each
firing, nothing is left to go wrong. This is the only file that imports durable_rules.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from typing import Any

from cds.chart.model import Tri
from cds.errors import EngineFault
from cds.reasoning.compilation import Compiled, compile_rule
from cds.reasoning.rulebook import WANTED, Rule

try:
    import durable_rules_engine as durable
except ImportError as error:  # pragma: no cover - only where the engine was built for another Python
    raise ImportError(
        "the rule engine durable_rules cannot be imported: it works on Python 3.11 and 3.12 only (its C code uses a call that "
        "3.13 removed). Next step: make the environment anew with one of these, `make clean && make test`"
    ) from error

Answer = frozenset[tuple[str, str]]
"""What an evaluator says of a question: (clause key, "") for a true clause, (clause key, fact) for one that `fact` holds back."""

_FIRED, _NOTHING_FIRED = 0, 1
"""What asserting a fact answers; anything else is a fault (2: the fact is there already)."""


class _RuleSet:
    """One rule in the engine, for the use of one thread."""

    def __init__(self, name: str, compiled: Compiled):
        self._handle: int = durable.create_ruleset(name, json.dumps(compiled.definition))
        self._meaning = compiled.meaning
        self._words = {
            (fact, value): f',"{short}":"{word}"'
            for fact, short in compiled.properties.items()
            for value, word in WANTED.items()
            if value is not False or fact in compiled.told_if_false
        }

    def answer(self, facts: Mapping[str, Tri]) -> Answer:
        told = "".join(filter(None, map(self._words.get, facts.items())))
        fact = f'{{"id":"q","q":"q"{told}}}'
        code, state = durable.assert_fact(self._handle, fact)
        if code not in (_FIRED, _NOTHING_FIRED):
            raise EngineFault(f"the last question was not taken back (code {code})")
        fired = []
        if code == _FIRED:
            started: Any = durable.start_action_for_state(self._handle, state)
            match = started and started[1]
            while match:  # {"r7": {"m": {the fact}}}
                fired.append(self._meaning[match.split('"', 2)[1]])
                match = durable.complete_and_start_action(self._handle, state)
        durable.retract_fact(self._handle, fact)
        return frozenset(fired)


class Engine:
    """All rules of a book, compiled; may be called from any thread."""

    def __init__(self, rules: Iterable[Rule]):
        self._compiled = {rule.name: compile_rule(rule) for rule in rules}
        self._local = threading.local()

    def answer(self, rule: str, facts: Mapping[str, Tri]) -> Answer:
        """The clauses that hold, and those that an unknown fact holds back. Raises `EngineFault`."""
        try:
            rule_sets: dict[str, _RuleSet] = self._local.rule_sets
        except AttributeError:
            rule_sets = self._local.rule_sets = {}
        # Taken out while it is asked: one whose state is not to be trusted after a fault never comes back.
        rule_set = rule_sets.pop(rule, None)
        try:
            if rule_set is None:
                rule_set = _RuleSet(rule, self._compiled[rule])
            answer = rule_set.answer(facts)
        except Exception as error:
            raise EngineFault(f"the rule engine refused a fact of rule {rule}: {error}") from error
        rule_sets[rule] = rule_set
        return answer
