"""The tests beside the rules hold, there are many, and their runner fails when it should."""

from __future__ import annotations

from pathlib import Path

import pytest

from cds.errors import RuleBookError
from cds.reasoning.loading import default_rulebook, shipped_rules
from cds.reasoning.reasoner import Reasoner
from cds.workbench.ruletests import RuleTest, load_tests, run

BOOK = default_rulebook()
REASONER = Reasoner(BOOK)
TESTS = load_tests(shipped_rules(), BOOK)


@pytest.mark.parametrize("test", TESTS, ids=lambda test: f"{test.rule}: {test.name}")
def test_beside_the_rule(test: RuleTest) -> None:
    failures = run([test], REASONER)
    assert not failures, "\n".join(str(failure) for failure in failures)


def test_every_clause_of_every_shown_rule_is_reached() -> None:
    reached: dict[str, set[str]] = {}
    for test in TESTS:
        for day in test.expect:
            for name, finding in REASONER.evaluate(test.chart(day)).answers.items():
                reached.setdefault(name, set()).update(clause.key for clause in finding.holding)
                reached[name].update(finding.notes)
    missed = {
        f"{rule.name}: {clause.key}"
        for rule in BOOK.rules
        for clause in rule.clauses
        if not rule.part and clause.state and not clause.gate and clause.key not in reached[rule.name]
    }
    assert missed == set()


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
    ],
)
def test_a_wrong_expectation_fails_with_place_day_and_what_was_said(tmp_path: Path, expected: str, got: str) -> None:
    folder = written(tmp_path, f"{RISE}    expect: {{77: {expected}}}\n")
    (failure,) = run(load_tests(folder, BOOK), REASONER)
    said = str(failure)
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
        (f"{RISE}    her2: maybe\n    expect: {{77: watch}}\n", "'her2: maybe' is not known"),
        (f"{RISE}    expect: {{77: watch}}\n    expect: {{77: hold}}\n", "stands here twice"),
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
