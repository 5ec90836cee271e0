"""The runner of rule tests: its short series, what it says of a failure, and that it fails for each way a case can be wrong."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from cds.cli import app
from cds.errors import RuleBookError
from cds.reasoning.loading import default_rulebook, shipped_rules
from cds.reasoning.reasoner import Reasoner
from cds.workbench.proving.cases import RuleTest
from cds.workbench.proving.reading import load_tests, read_case
from cds.workbench.proving.running import chosen, run

BOOK = default_rulebook()
REASONER = Reasoner(BOOK)
FAILING = sorted((Path(__file__).parent / "failing").glob("*.yaml"))
TRPC5 = "trpc5-rise-on-chemotherapy"


@pytest.mark.parametrize("fixture", FAILING, ids=lambda path: path.stem)
def test_the_runner_fails_where_it_must_and_says_why(fixture: Path, tmp_path: Path) -> None:
    text = fixture.read_text(encoding="utf-8")
    says = text.splitlines()[0].removeprefix("# says: ")
    (tmp_path / "wrong.test.yaml").write_text(text, encoding="utf-8")
    try:
        said = "\n".join(str(failure) for failure in run(load_tests(tmp_path, BOOK), REASONER))
    except RuleBookError as error:
        said = str(error)
    assert says in said
    assert "wrong.test.yaml:" in said


def case(series: str, expect: str = "watch", day: str = "77", **more: str) -> RuleTest:
    stated = {"cytotoxic-chemotherapy": "0..", "trpc5-ev": series, "expect": {day: expect}, **more}
    return read_case(stated, TRPC5, BOOK)


def drawn(test: RuleTest) -> dict[int, str]:
    chart = test.chart(1000)
    return {(r.collected - chart.as_of).days + 1000: r.shown for r in chart.results["trpc5-ev"] if r.collected}


@pytest.mark.parametrize(
    ("series", "values"),
    [
        ("2.0", {0: "2.0"}),
        ("2.0 from -4", {-4: "2.0"}),
        ("1.0 x4 q21d from -63", {-63: "1.0", -42: "1.0", -21: "1.0", 0: "1.0"}),
        ("1.0 q21d, 2.0, 3.0", {0: "1.0", 21: "2.0", 42: "3.0"}),
        ("1.0 x2 q3w", {0: "1.0", 21: "1.0"}),
        ("1.0 q21d, rise to 2.6 over 3", {0: "1.0", 21: "1.533", 42: "2.067", 63: "2.6"}),
        ("3.0 q7d, fall to 1.0 over 2", {0: "3.0", 7: "2", 14: "1.0"}),
        ("120 q28d, rise to 262 over 2", {0: "120", 28: "191", 56: "262"}),
        ("1.0 q21d, miss 2, 2.7", {0: "1.0", 63: "2.7"}),
        ("1.0 x2 q21d, 2.7 q7d, 2.8", {0: "1.0", 21: "1.0", 42: "2.7", 49: "2.8"}),
        ("1.0 x2 q21d, 2.7 from 77, 2.8", {0: "1.0", 21: "1.0", 77: "2.7", 98: "2.8"}),
        ("<0.5 x2 q21d", {0: "<0.5", 21: "<0.5"}),
        (
            "1.0 x4 q21d from -63, rise to 2.6 over 3, miss 1, 2.7",
            {-63: "1.0", -42: "1.0", -21: "1.0", 0: "1.0", 21: "1.533", 42: "2.067", 63: "2.6", 105: "2.7"},
        ),
    ],
)
def test_a_short_series_is_written_out(series: str, values: dict[int, str]) -> None:
    assert drawn(case(series)) == values


def test_a_short_series_says_the_same_as_its_map() -> None:
    short = case("2.0 from -4, 5.6 haemolysed from 77, 6.3 ev=none lod=0.1 from 105")
    long = read_case(
        {
            "cytotoxic-chemotherapy": "0..",
            "trpc5-ev": {"-4": "2.0", "77": "5.6 haemolysed", "105": "6.3 ev=none lod=0.1"},
            "expect": {"77": "watch"},
        },
        TRPC5,
        BOOK,
    )
    assert short.chart(200) == long.chart(200)


def test_annotations_hold_of_every_sample_of_a_step() -> None:
    test = case("2.0 q21d, rise to 4.0 over 2 haemolysed")
    assert [r.checks["haemolysis"] for r in test.chart(100).results["trpc5-ev"]] == [True, False, False]


def test_quiet_is_every_state_without_a_card() -> None:
    for day, series in (("77", "2.0 x5 q21d from -4"), ("0", "2.0 from -4"), ("-5", "2.0 from -4")):
        stated = {"cytotoxic-chemotherapy": "0..", "trpc5-ev": series, "quiet": day}
        assert run([read_case(stated, TRPC5, BOOK)], REASONER) == []


def test_a_clause_that_an_unknown_holds_back_can_be_expected() -> None:
    series = "2.0 ev=none from -4, 5.6 ev=none from 77, 6.3 ev=none from 105"
    assert run([case(series, "watch TR-02 open=TR-01", "105")], REASONER) == []


def test_a_failure_says_which_clause_held_and_which_fact_kept_the_expected_one_away() -> None:
    (failure,) = run([case("2.0 from -4, 5.6 from 77", "suspected")], REASONER)
    assert failure.trace == ("held: TR-02 (risen, unless not risen_per_ev)", "TR-01 was kept away: confirmed is false")


def test_a_filter_takes_names_rules_files_and_wildcards() -> None:
    tests = load_tests(shipped_rules(), BOOK)
    assert {test.rule for test in chosen(tests, TRPC5)} == {TRPC5}
    assert {test.name for test in chosen(tests, "slow drift*stays")} == {
        test.name for test in tests if "slow drift" in test.name and "stays" in test.name
    }
    assert chosen(tests, "") == tests
    assert chosen(tests, "no case is called so") == []


def rules_with(tmp_path: Path, fixture: str) -> Path:
    import shutil

    folder = tmp_path / "rules"
    shutil.copytree(shipped_rules(), folder)
    text = (Path(__file__).parent / "failing" / fixture).read_text(encoding="utf-8")
    (folder / "resistance" / "wrong.test.yaml").write_text(text, encoding="utf-8")
    return folder


def test_the_command_ends_with_1_and_writes_junit(tmp_path: Path) -> None:
    folder, report = rules_with(tmp_path, "one-day-of-two.yaml"), tmp_path / "report.xml"
    called = ["rules", "test", "--rules", str(folder), "--filter", "wrong.test", "--junit", str(report)]
    result = CliRunner().invoke(app, called)
    assert result.exit_code == 1
    assert "0 passed, 1 failed" in result.output
    (suite,) = ElementTree.parse(report).getroot()  # noqa: S314 - our own file
    assert (suite.get("tests"), suite.get("failures")) == ("1", "1")
    (failed,) = suite.iter("failure")
    assert failed.get("message") == "day 105: expected watch, got suspected TR-01 very-low"
    assert "TR-01" in (failed.text or "")


def test_the_command_ends_with_0_and_says_as_json_what_it_ran() -> None:
    result = CliRunner().invoke(app, ["rules", "test", "--filter", "pdl1-on-chemotherapy", "--json"])
    assert result.exit_code == 0
    assert json.loads(result.output)["failures"] == []


def test_nothing_to_test_is_a_wrong_call() -> None:
    result = CliRunner().invoke(app, ["rules", "test", "--filter", "no case is called so"])
    assert result.exit_code != 0
    assert "no case is called so" in str(result.exception)
