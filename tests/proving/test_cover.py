"""Masking MC/DC: the table agrees with engine and oracle, pairs are what they claim, figures are never rounded up."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from cds.cli import app
from cds.reasoning.forming import Forming
from cds.reasoning.loading import default_rulebook, shipped_rules
from cds.reasoning.reasoner import Reasoner
from cds.reasoning.rulebook import Rule
from cds.workbench.proving.conditions import Table, conditions, literal_truth, wanted_pairs
from cds.workbench.proving.covering import Coverage, Pair, cover, facts_of, percent
from cds.workbench.proving.feasible import Search
from cds.workbench.proving.implications import implications
from cds.workbench.proving.reading import load_tests
from cds.workbench.proving.running import answer_of
from tests.reference.random_charts import random_chart

BOOK = default_rulebook()
REASONER = Reasoner(BOOK)
TESTS = load_tests(shipped_rules(), BOOK)
TRPC5 = BOOK.rule("trpc5-rise-on-chemotherapy")


@pytest.mark.parametrize("rule", BOOK.rules, ids=lambda rule: rule.name)
def test_the_table_says_what_engine_and_oracle_say(rule: Rule) -> None:
    table, forming = Table(rule, BOOK), Forming(BOOK)
    asked = 0
    for seed in range(600):
        chart = random_chart(random.Random(52_000_000 + seed))
        facts = facts_of(REASONER, forming, chart, rule)
        if facts is None:
            continue
        finding = answer_of(REASONER.evaluate(chart), rule.name)
        assert finding is not None
        verdict = table.verdict(facts)
        own = verdict.notes | {note for part in finding.parts for note in part.notes}
        assert (verdict.state, own) == (finding.state, frozenset(finding.notes))
        if finding.holding:
            assert verdict.open == {held.clause for held in finding.cannot_exclude}
        asked += 1
    assert asked > 50


def test_a_pair_has_the_two_truths_and_hangs_on_the_condition_on_both_days() -> None:
    table, forming = Table(TRPC5, BOOK), Forming(BOOK)
    days = {(test.name, day): test.chart(day) for test in TESTS if test.rule == TRPC5.name for day in test.expect}
    for pair in cover(TRPC5, TESTS, REASONER).pairs:
        if pair.shown is None:
            continue
        verdicts = []
        for place, value, other in zip(pair.shown, pair.values, reversed(pair.values), strict=True):
            facts = facts_of(REASONER, forming, days[place.case, place.day], TRPC5)
            assert facts is not None
            assert literal_truth(pair.condition.literal, facts) is value
            assert table.forced(pair.condition, other, facts, table.truths(facts)) != table.verdict(facts)
            verdicts.append(table.verdict(facts))
        assert verdicts[0] != verdicts[1]


def test_an_unknown_is_told_from_both_true_and_false_where_the_language_does() -> None:
    by_name = {str(one): wanted_pairs(one, TRPC5) for one in conditions(TRPC5)}
    assert by_name["TR-01: risen_per_ev"] == ((True, False), (True, None), (False, None))
    assert by_name["TR-02: unless not risen_per_ev"] == ((True, False), (True, None))
    assert by_name["TR-03: early"] == ((True, False),)


def test_a_proof_needs_each_of_its_implications() -> None:
    search = Search(TRPC5, Table(TRPC5, BOOK), implications(TRPC5, BOOK))
    condition = next(one for one in conditions(TRPC5) if str(one) == "TR-01: risen")
    proof = search.proof(condition, False, True)
    assert any("confirmed" in str(one) for one in proof.implications)
    for one in proof.implications:
        fewer = [kept for kept in proof.implications if kept is not one]
        assert Search(TRPC5, Table(TRPC5, BOOK), fewer).deciding(condition, False, True) is not None


def test_without_its_test_a_condition_is_missing_and_what_would_show_it_is_said() -> None:
    fewer = [test for test in TESTS if "male" not in str(test.stated)]
    lost = {str(pair): pair for pair in cover(TRPC5, fewer, REASONER).missing}
    before = {str(pair) for pair in cover(TRPC5, TESTS, REASONER).missing}
    assert set(lost) - before == {
        f"note/male-outside-cohorts: {pair}"
        for pair in ("male [true/false]", "asked if applies [true/false]", "asked if applies [true/unknown]")
    }
    assert "male true" in lost["note/male-outside-cohorts: male [true/false]"].needed


def test_figures_are_never_rounded_up() -> None:
    pair = cover(TRPC5, TESTS, REASONER).pairs[0]
    shown = replace_shown(pair)
    almost = Coverage("a", (shown,) * 9_999 + (pair._replace(shown=None, proof=None),))
    assert (almost.tenths, percent(almost.tenths)) == (999, "99.9 %")
    assert percent(replace(almost, pairs=(shown,) * 3).tenths) == "100 %"


def replace_shown(pair: Pair) -> Pair:
    place = ("a case", 1)
    return pair._replace(shown=(place, place), proof=None)  # type: ignore[arg-type]  # a stand-in that is only counted


def test_the_command_fails_below_the_least_and_speaks_json() -> None:
    called = ["rules", "cover", "pdl1-on-chemotherapy", "--json"]
    result = CliRunner().invoke(app, called)
    assert result.exit_code == 0
    (found,) = json.loads(result.output)["rules"]
    assert found["rule"] == "pdl1-on-chemotherapy"
    assert {"condition", "values", "shown", "infeasible", "needed"} == set(found["pairs"][0])


def test_an_unknown_rule_is_named_with_the_likely_one() -> None:
    result = CliRunner().invoke(app, ["rules", "cover", "pdl1-on-chemo"])
    assert "Did you mean 'pdl1-on-chemotherapy'?" in str(result.exception)
