"""Mutants: what survives is told with a test that kills it, what is called equivalent is, and engine and oracle agree on them."""

from __future__ import annotations

import json
import random
from functools import cache

import pytest
from typer.testing import CliRunner

from cds.cli import app
from cds.errors import Problem
from cds.reasoning.loading import default_rulebook, shipped_rules
from cds.reasoning.reasoner import Reasoner
from cds.reasoning.rulebook import Rule
from cds.source import parse_yaml
from cds.workbench.proving.cases import RuleTest
from cds.workbench.proving.killing import Score, mutate, said, written
from cds.workbench.proving.mutants import mutants_of
from cds.workbench.proving.reading import load_tests, read_case
from cds.workbench.proving.running import answer_of, run
from tests.reference.random_charts import random_chart

BOOK = default_rulebook()
TESTS = load_tests(shipped_rules(), BOOK)
TRPC5 = BOOK.rule("trpc5-rise-on-chemotherapy")
KINDS = {
    *(
        "threshold",
        "comparator",
        "window",
        "confidence",
        "literal",
        "clause",
        "order",
        "stage",
        "note",
        "certainty",
        "class",
    ),
    *("marker", "reference", "fact", "unit"),
}


@cache
def few() -> Score:
    """The score of the TRPC5 rule without the tests of what each condition decides by itself."""
    return mutate(TRPC5, [test for test in TESTS if ".proof." not in test.file], BOOK)


def test_there_is_a_mutant_of_every_kind() -> None:
    mutants = [mutant for rule in BOOK.rules for mutant in mutants_of(rule, BOOK)[0]]
    assert {mutant.kind for mutant in mutants} == KINDS
    assert len({(mutant.target, str(mutant)) for mutant in mutants}) == len(mutants) > 900


def test_fewer_tests_kill_fewer_mutants() -> None:
    every = mutate(TRPC5, TESTS, BOOK)
    assert few().killed < every.killed
    assert few().tenths < every.tenths == 1000
    assert every.alive == ()


def test_the_test_that_is_printed_for_a_survivor_kills_it_and_passes_as_the_rule_is() -> None:
    told = [one for one in few().alive if one.difference is not None]
    assert 3 * len(told) >= 2 * len(few().alive)
    for survivor in told:
        assert survivor.difference is not None
        problems: list[Problem] = []
        section = parse_yaml(written(survivor.difference), problems, "printed")
        assert section is not None
        assert problems == []
        (stated,) = section.value.values()
        test = read_case(stated, survivor.difference.rule, BOOK)
        assert run([test], Reasoner(BOOK)) == []
        assert run([test], Reasoner(survivor.mutant.book)) != []


@pytest.mark.parametrize("rule", BOOK.rules, ids=lambda rule: rule.name)
def test_no_random_chart_tells_an_equivalent_mutant_from_its_original(rule: Rule) -> None:
    original = Reasoner(BOOK, engine=False)
    equivalent = [one.mutant for one in mutate(rule, TESTS, BOOK).equivalent]
    reasoners = [(mutant, Reasoner(mutant.book, engine=False)) for mutant in equivalent]
    for seed in range(300):
        chart = random_chart(random.Random(64_000_000 + seed))
        expected = said(answer_of(original.evaluate(chart), rule.name))
        for mutant, reasoner in reasoners:
            assert said(answer_of(reasoner.evaluate(chart), rule.name)) == expected, str(mutant)


def test_engine_and_oracle_agree_on_mutants() -> None:
    mutants = mutants_of(TRPC5, BOOK)[0]
    for mutant in mutants[::9]:
        reasoner = Reasoner(mutant.book)  # with the engine, which raises if the two disagree
        for test in TESTS[:40]:
            for day in test.expect:
                reasoner.evaluate(test.chart(day))


def test_the_command_fails_below_the_least_and_speaks_json() -> None:
    result = CliRunner().invoke(app, ["rules", "mutate", "pdl1-on-chemotherapy", "--min", "95", "--json"])
    assert result.exit_code == 0
    (found,) = json.loads(result.output)["rules"]
    assert found["killed"] > 20
    assert found["percent"] == 100


def test_what_no_case_asks_is_never_killed() -> None:
    nothing: list[RuleTest] = []
    assert mutate(BOOK.rule("pdl1-on-chemotherapy"), nothing, BOOK).killed == 0
