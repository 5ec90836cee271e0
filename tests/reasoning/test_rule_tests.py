"""The tests beside the rules hold, there are many, and their runner fails when it should."""

from __future__ import annotations

from pathlib import Path

import pytest

from cds.errors import RuleBookError
from cds.reasoning.loading import default_rulebook, shipped_rules
from cds.reasoning.reasoner import Reasoner
from cds.workbench.proving.cases import RuleTest
from cds.workbench.proving.reading import load_tests
from cds.workbench.proving.running import run

BOOK = default_rulebook()
REASONER = Reasoner(BOOK)
TESTS = load_tests(shipped_rules(), BOOK)


@pytest.mark.parametrize("test", TESTS, ids=lambda test: f"{test.rule}: {test.name}")
def test_beside_the_rule(test: RuleTest) -> None:
    failures = run([test], REASONER)
    assert not failures, "\n".join(str(failure) for failure in failures)


@pytest.mark.parametrize(
    ("rule", "least"),
    [
        ("trpc5-rise-on-chemotherapy", 40),
        ("hotair-after-surgery", 14),
        ("hotair-rise-on-endocrine-therapy", 14),
        ("hotair-rise-on-neoadjuvant-chemotherapy", 8),
        ("pdl1-rise-on-checkpoint-inhibitor", 20),
        ("pdl1-on-chemotherapy", 4),
        ("tgfb1-pdl1-rise-on-her2-therapy", 18),
        ("tgfb1-rise-on-her2-therapy", 8),
        ("pdl1-rise-on-her2-therapy", 8),
    ],
)
def test_every_rule_has_many_cases(rule: str, least: int) -> None:
    assert sum(test.rule == rule for test in TESTS) >= least


def test_no_case_stands_twice() -> None:
    names = [(test.rule, test.name) for test in TESTS]
    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_every_clause_of_every_rule_is_reached() -> None:
    reached = _reached()
    missed = {
        f"{rule.name}: {clause.key}"
        for rule in BOOK.rules
        for clause in rule.clauses
        if clause.state and not clause.gate and clause.key not in reached[rule.name]
    }
    assert missed == set()


def test_every_note_of_every_rule_is_reached() -> None:
    reached = _reached()
    everywhere = {"male-outside-cohorts", "assumed-ongoing"}  # one fact of the chart, worded alike: once is enough
    noted = set().union(*reached.values())
    missed = {
        f"{rule.name}: {clause.note}"
        for rule in BOOK.rules
        for clause in rule.clauses
        if clause.note
        and clause.note not in (noted if clause.gate or clause.note in everywhere else reached[rule.name])
    }
    assert missed == set()


def test_every_gate_is_failed() -> None:
    reached = set().union(*_reached().values())
    gates = {clause.key for rule in BOOK.rules for clause in rule.clauses if clause.gate and clause.state}
    # A statement on drug tolerance is asked for, not its answer: that check cannot be failed, only left out.
    assert gates - reached == {"specimen/drug-tolerance-not-stated"}


def _reached() -> dict[str, set[str]]:
    """By rule, the clauses and notes among the reasons of some case; a part's from the cases of the rule it is part of too."""
    reached: dict[str, set[str]] = {rule.name: set() for rule in BOOK.rules}
    for test in TESTS:
        for day in test.expect:
            whole = REASONER.evaluate(test.chart(day)).answers.values()
            for finding in (*whole, *(part for combined in whole for part in combined.parts)):
                reached[finding.rule.name].update(clause.key for clause in finding.holding)
                reached[finding.rule.name].update(finding.notes)
    return reached


def written(tmp_path: Path, case: str, rule: str = "trpc5-rise-on-chemotherapy") -> Path:
    text = f"rule: {rule}\ngiven: {{cytotoxic-chemotherapy: 0..}}\ncases:\n  a case:\n{case}"
    (tmp_path / "wrong.test.yaml").write_text(text, encoding="utf-8")
    return tmp_path


RISE = "    trpc5-ev: {-4: 2.0, 77: 5.6}\n"


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        ("suspected", "watch"),
        ("no-flag", "watch"),
        ("none", "watch"),
        ("watch TR-01", "watch TR-02"),
        ("watch stale", "watch TR-02"),
        ("watch TR-02 stale", "watch TR-02"),
        ("watch not TR-02", "watch TR-02"),
        ("watch TR-02 not stale TR-02", "watch TR-02"),
    ],
)
def test_a_wrong_expectation_fails_with_place_day_and_what_was_said(tmp_path: Path, expected: str, got: str) -> None:
    folder = written(tmp_path, f"{RISE}    expect: {{77: {expected}}}\n")
    (failure,) = run(load_tests(folder, BOOK), REASONER)
    said = str(failure)
    assert "a case" in said
    assert "wrong.test.yaml:4" in said
    assert f"day 77: expected {expected}, got {got}" in said


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (f"{RISE}    expect: {{77: watching}}\n", "'watching' is no state"),
        (f"{RISE}", "the case expects nothing"),
        ("    trpc6-ev: {77: 5.6}\n    expect: {77: watch}\n", "did you mean 'trpc5-ev'"),
        ("    trpc5-ev: {77: high}\n    expect: {77: watch}\n", "begins with no value"),
        ("    trpc5-ev: {77: 5.6 hemolysed}\n    expect: {77: watch}\n", "'hemolysed' is not known"),
        ("    trpc5-ev: {late: 5.6}\n    expect: {77: watch}\n", "'late' is no day"),
        (f"{RISE}    anti-pd-1: soon\n    expect: {{77: watch}}\n", "is no span of days"),
        ("    trpc5-ev: {77: 5.6 isolatoin=sec}\n    expect: {77: watch}\n", "'isolatoin' is not known"),
        (f"{RISE}    expect: {{later: watch}}\n", "'later' is no day"),
        (f"{RISE}    expect: {{77: }}\n", "nothing is said of this day"),
        (f"{RISE}    imaging: {{77: pd}}\n    expect: {{77: watch}}\n", "'pd' is not known"),
        (f"{RISE}    operation: {{20: major}}\n    expect: {{77: watch}}\n", "'major' is not known"),
        (f"{RISE}    her2: maybe\n    expect: {{77: watch}}\n", "'her2: maybe' is not known"),
        (f"{RISE}    expect: {{77: watch}}\n    expect: {{77: hold}}\n", "stands here twice"),
        (f"{RISE}    expect: {{77: watch, 77: hold}}\n", "'77' stands here twice"),
        (f"{RISE}    expect: {{77: watch}}\n  a case:\n{RISE}    expect: {{77: hold}}\n", "'a case' stands here twice"),
    ],
)
def test_a_mistake_in_a_test_file_is_named_with_its_place(tmp_path: Path, case: str, message: str) -> None:
    with pytest.raises(RuleBookError) as raised:
        load_tests(written(tmp_path, case), BOOK)
    assert message in str(raised.value)
    assert "wrong.test.yaml:" in str(raised.value)


def test_a_test_of_an_unknown_rule_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuleBookError, match="'nothing' is no rule"):
        load_tests(written(tmp_path, f"{RISE}    expect: {{77: watch}}\n", rule="nothing"), BOOK)


def test_what_a_case_states_itself_replaces_what_is_given(tmp_path: Path) -> None:
    case = f"{RISE}    cytotoxic-chemotherapy: 0..20\n    expect: {{77: not-applicable}}\n"
    (test,) = load_tests(written(tmp_path, case), BOOK)
    assert len(test.chart(77).lines) == 1
    assert run([test], REASONER) == []


def test_the_chart_of_a_case_holds_only_what_was_known_on_the_day(tmp_path: Path) -> None:
    case = (
        "    trpc5-ev: {-4: 2.0, 77: 5.6 until=90, 80: 2.0 known=95, 120: 3.0 known=100}\n    imaging: {70: PD known=85}\n"
        "    operation: {75: other}\n    expect: {77: hold}\n"
    )
    (test,) = load_tests(written(tmp_path, case), BOOK)
    known = {day: [result.shown for result in test.chart(day).results["trpc5-ev"]] for day in (-4, 77, 90, 95)}
    assert known == {-4: ["2.0"], 77: ["2.0", "5.6"], 90: ["2.0"], 95: ["2.0", "2.0"]}
    assert "after-as-of" in test.chart(100).results["trpc5-ev"][-1].faults
    assert [len(test.chart(day).imaging) for day in (84, 85)] == [0, 1]
    assert [len(test.chart(day).operations) for day in (74, 75)] == [0, 1]
