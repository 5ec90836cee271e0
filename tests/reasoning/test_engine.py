"""The engine keeps its contract: from many threads, against the oracle, and when something in it goes wrong."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds.chart.model import Tri
from cds.errors import Disagreement
from cds.reasoning.compilation import MOST_CONDITIONS, compile_rule, most_conditions
from cds.reasoning.engine import Engine
from cds.reasoning.loading import default_rulebook
from cds.reasoning.oracle import Oracle, kleene_and
from cds.reasoning.reasoner import Reasoner
from tests.reasoning.charts import chart

BOOK = default_rulebook()
ENGINE = Engine(BOOK.rules)
ORACLE = Oracle(BOOK.rules)
TRUTHS: tuple[Tri, ...] = (True, False, None)


def names(rule: str) -> list[str]:
    return sorted(compile_rule(BOOK.rule(rule)).properties)


def truths(rule: str) -> dict[str, tuple[Tri, ...]]:
    """What each fact of a rule can be: only some kinds can be unknown."""
    unknown = {spec.name for spec in BOOK.rule(rule).facts if spec.can_be_unknown}
    return {name: TRUTHS if name in unknown else (True, False) for name in names(rule)}


@pytest.mark.parametrize("rule", [rule.name for rule in BOOK.rules])
def test_engine_and_oracle_agree_on_random_facts(rule: str) -> None:
    rng = random.Random(7)
    can_be = truths(rule)
    for share in (0.02, 0.1, 0.5):
        for _ in range(500):
            facts: dict[str, Tri] = {
                name: rng.choice(values) if rng.random() < share else name in ("applies", "judged")
                for name, values in can_be.items()
            }
            assert ENGINE.answer(rule, facts) == ORACLE.answer(rule, facts)


@given(st.data())
def test_engine_and_oracle_agree_when_facts_are_left_out(data: st.DataObject) -> None:
    rule = data.draw(st.sampled_from([rule.name for rule in BOOK.rules]))
    can_be = truths(rule)
    formed = data.draw(st.sets(st.sampled_from(names(rule))))
    facts = {name: data.draw(st.sampled_from(can_be[name])) for name in sorted(formed)}
    assert ENGINE.answer(rule, facts) == ORACLE.answer(rule, facts)


def test_a_fact_that_cannot_be_unknown_and_is_raises_instead_of_passing() -> None:
    rule = BOOK.rule("trpc5-rise-on-chemotherapy")
    facts: dict[str, Tri] = dict.fromkeys(names(rule.name), False)
    facts["negative"] = None
    assert ENGINE.answer(rule.name, facts) != Oracle([rule]).answer(rule.name, facts)


@pytest.mark.parametrize("rule", [rule.name for rule in BOOK.rules])
def test_no_patient_makes_more_conditions_true_than_the_engine_takes(rule: str) -> None:
    assert most_conditions(compile_rule(BOOK.rule(rule))) <= MOST_CONDITIONS


def test_the_answer_does_not_depend_on_what_was_asked_before() -> None:
    rule = "trpc5-rise-on-chemotherapy"
    everything: dict[str, Tri] = dict.fromkeys(names(rule), True)
    nothing: dict[str, Tri] = dict.fromkeys(names(rule), False)
    alone = Engine(BOOK.rules).answer(rule, nothing)
    for _ in range(50):
        ENGINE.answer(rule, everything)
        assert ENGINE.answer(rule, nothing) == alone


def test_eight_threads_on_one_reasoner_lose_no_flag() -> None:
    reasoner = Reasoner(BOOK)
    flagged, quiet = chart(), chart(as_of="2025-02-17")
    lost: list[str] = []

    def work(number: int) -> None:
        for place in range(300):
            wanted, patient = ("suspected", flagged) if (place + number) % 2 else ("no-flag", quiet)
            got = reasoner.evaluate(patient).findings[0].state
            if got != wanted:
                lost.append(f"thread {number}, evaluation {place}: {got} instead of {wanted}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lost == []


def test_a_disagreement_names_both_answers() -> None:
    class Forgetful(Engine):
        """An engine that lost a rule, as a broken library would."""

        def answer(self, rule: str, facts: Mapping[str, Tri]) -> frozenset[tuple[str, str]]:
            return frozenset(itertools.islice(super().answer(rule, facts), 1))

    reasoner = Reasoner(BOOK)
    reasoner.engine = Forgetful(BOOK.rules)
    with pytest.raises(Disagreement, match=r"engine .*oracle .*TR-01"):
        reasoner.evaluate(chart())


def test_kleene_tables() -> None:
    table = {
        (True, True): True, (True, False): False, (True, None): None,
        (False, True): False, (False, False): False, (False, None): False,
        (None, True): None, (None, False): False, (None, None): None,
    }  # fmt: skip
    assert {pair: kleene_and(*pair) for pair in table} == table
