"""Cases for boundaries that nothing tests: they load, hold of the rule as it is, and close the gap."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cds.cli import app
from cds.reasoning.loading import default_rulebook, load_rulebook, shipped_rules
from cds.reasoning.reasoner import Reasoner
from cds.workbench.proving.boundaries import boundaries
from cds.workbench.proving.reading import load_tests
from cds.workbench.proving.running import run

RULE = "hotair-rise-on-neoadjuvant-chemotherapy"


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """The shipped rules, of which one has lost all its tests."""
    folder = tmp_path / "rules"
    shutil.copytree(shipped_rules(), folder, ignore=shutil.ignore_patterns("bad"))
    for path in (folder / "resistance").glob(f"{RULE}*.test.yaml"):
        path.unlink()
    return folder


def test_a_rule_without_tests_gets_a_case_for_each_boundary_that_holds_and_is_then_tested(bare: Path) -> None:
    result = CliRunner().invoke(app, ["rules", "boundaries", RULE, "--write", "--rules", str(bare)])
    assert result.exit_code == 0, result.output
    book = load_rulebook(bare)
    tests = [test for test in load_tests(bare, book) if test.rule == RULE]
    assert len(tests) > 20
    assert all(test.because == "computed; to be reviewed" for test in tests)
    assert run(tests, Reasoner(book)) == []
    found = boundaries(book.rule(RULE), tests, book)
    assert [one.name for one in found.missing if one.text] == []
    assert len(found.missing) <= 2
    assert len(found.tested) > 15
    names = " ".join(test.name for test in tests)
    for situation in (
        "no reference",
        "stale",
        "two numbers",
        "known later",
        "unreadable",
        "does not convert",
        "without a unit",
    ):
        assert situation in names


def test_what_was_written_is_not_written_over(bare: Path) -> None:
    path = bare / "resistance" / f"{RULE}.boundaries.test.yaml"
    path.write_text(f"rule: {RULE}\ncases: {{}}\n", encoding="utf-8")
    result = CliRunner().invoke(app, ["rules", "boundaries", RULE, "--write", "--rules", str(bare)])
    assert "is there already" in str(result.exception)
    assert "cases: {}" in path.read_text(encoding="utf-8")


def test_of_a_rule_that_is_tested_nothing_is_missing() -> None:
    book = default_rulebook()
    assert boundaries(book.rule(RULE), load_tests(shipped_rules(), book), book).missing == ()
