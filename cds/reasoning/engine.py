"""The rule engine: durable_rules, used in the only way in which it gives right answers.

A quiet host (no timer threads), one host per thread, one fixed state, one flat fact per question that holds only the words
true, false and unknown, actions that only append to a list, every fact retracted before the call returns. This is the only
file that imports `durable`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from cds.chart.model import Tri
from cds.errors import EngineFault
from cds.reasoning.compilation import Compiled, compile_rule
from cds.reasoning.rulebook import WANTED, Rule

try:
    from durable.engine import Host, MessageNotHandledException
except ImportError as error:  # pragma: no cover - only where the engine was built for another Python
    raise ImportError(
        "the rule engine durable_rules cannot be imported: it works on Python 3.11 and 3.12 only (its C code uses a call that "
        "3.13 removed). Next step: make the environment anew with one of these, `make clean && make test`"
    ) from error

Answer = frozenset[tuple[str, str]]
"""What an evaluator says of a question: (clause key, "") for a true clause, (clause key, fact) for one that `fact` holds back."""


class _QuietHost(Host):  # type: ignore[misc]
    """Without timers: theirs is a second thread in a library that is not safe with two."""

    def _run(self) -> None:
        pass


class _Desk:
    """One thread's host, with the list that its actions append to. A rule is registered when it is first asked."""

    def __init__(self) -> None:
        self.host = _QuietHost()
        self.fired: list[tuple[str, str]] = []
        self.busy = False
        self._registered: set[str] = set()

    def register(self, ruleset: str, compiled: Compiled) -> None:
        if ruleset not in self._registered:
            rules = {
                key: {**entry, "run": self._noting(compiled.meaning[key])} for key, entry in compiled.definition.items()
            }
            self.host.register_rulesets({ruleset: rules})
            self._registered.add(ruleset)

    def _noting(self, meaning: tuple[str, str]) -> Callable[[Any], None]:
        append = self.fired.append

        def note(_closure: Any) -> None:
            append(meaning)

        return note


class Engine:
    """All rules of a book, compiled; may be called from any thread."""

    def __init__(self, rules: Iterable[Rule]):
        self._compiled = {rule.name: compile_rule(rule) for rule in rules}
        self._rulesets = {name: f"rule{number}" for number, name in enumerate(self._compiled)}
        self._local = threading.local()

    def answer(self, rule: str, facts: Mapping[str, Tri]) -> Answer:
        """The clauses that hold, and those that an unknown fact holds back. Raises `EngineFault`."""
        desk: _Desk | None = getattr(self._local, "desk", None)
        if desk is None:
            desk = self._local.desk = _Desk()
        if desk.busy:
            raise EngineFault("the engine was entered twice by one thread; actions must not evaluate")
        compiled, ruleset = self._compiled[rule], self._rulesets[rule]
        desk.register(ruleset, compiled)
        fact: dict[str, str] = {"id": "q", "q": "q"}
        for name, value in facts.items():
            if name in compiled.properties and (value is not False or name in compiled.told_if_false):
                fact[compiled.properties[name]] = WANTED[value]
        desk.busy = True
        desk.fired.clear()
        try:
            self._ask(desk, ruleset, rule, fact)
        except BaseException as error:
            self._local.desk = None  # its state is not to be trusted any more: the next call begins with a new one
            if isinstance(error, EngineFault) or not isinstance(error, Exception):
                raise
            raise EngineFault(f"the rule engine refused a fact of rule {rule}: {error}") from error
        desk.busy = False
        return frozenset(desk.fired)

    @staticmethod
    def _ask(desk: _Desk, ruleset: str, rule: str, fact: dict[str, str]) -> None:
        try:
            state = desk.host.assert_fact(ruleset, fact)
        except MessageNotHandledException:
            state = None  # nothing fired
        if state and "exception" in state:
            raise EngineFault(f"an action of rule {rule} failed: {state['exception']}")
        desk.host.retract_fact(ruleset, fact)
