"""Lint: every mistake of an author is found by the code that its file or page says, with the way out."""

from __future__ import annotations

import ast
import json
import re
import shutil
from datetime import date
from pathlib import Path

import pytest

from cds.layers import shipped_rules
from cds.mistakes import Mistake
from cds.workbench.authoring import report
from cds.workbench.authoring.lint import lint, lint_book
from tests.authoring.examples import BAD, EXAMPLE, PAGES, ROOT, blocks, written
from tests.test_cli import exowatch
from tools.lint_pages import INDEX, index

TODAY = date(2026, 11, 26)
BY_CODE = {mistake.code: mistake for mistake in Mistake}
CASES = sorted(path for path in BAD.iterdir() if path.name != "README.md")
COMES_WITH = {
    "EX306": {"EX307"},  # a book without states has no gates that could state windows
    "EX710": {"EX711"},  # a quiet state that nobody expects is untested too
    "EX712": {"EX720"},  # words of a single file's suspicion stand in another file
    "EX726": {"EX717"},  # no rule reads the marker of a single file
    "EX727": {"EX717"},
}


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_mistake_is_caught_by_the_code_that_its_name_says(path: Path) -> None:
    code, _, slug = path.stem.partition("-")
    assert BY_CODE[code].slug == slug
    problems = lint([path], TODAY)
    found = {problem.mistake.code for problem in problems}
    assert code in found
    assert found - {code} <= COMES_WITH.get(code, set()), "\n".join(map(str, problems))
    for problem in problems:
        assert problem.hint, f"nothing says how to mend: {problem}"
        if code not in ("EX306", "EX307"):
            assert str(path) in problem.file


@pytest.mark.parametrize(
    ("fact", "meant"),
    [
        ("{neoadjuvant: no}", "one of: yes"),
        ("{stale: no}", "one of: yes"),
        ("{bound_drug: no}", "one of: yes"),
        ("{operation: curative, for: 100 d}", "one of: any"),
        ("{disease: hepatic, is: present}", "one of: invasive-breast-cancer"),
        ("{interference: drg}", "did you mean 'drug'?"),
        ("{unstated: metod}", "did you mean 'method'?"),
        ("{drugs_other_than: [trastuzumb]}", "did you mean 'trastuzumab'?"),
    ],
)
@pytest.mark.parametrize("where", ["rule", "gate"])
def test_no_fact_takes_a_word_that_it_does_not_mean(tmp_path: Path, where: str, fact: str, meant: str) -> None:
    name, part = {
        "rule": ("resistance/example.yaml", f"facts:\n  asked: {fact}\n"),
        "gate": ("gates/a-example.yaml", f"asked: applies\nfails_on:\n  asked: {fact}\n"),
    }[where]
    problems = lint_book(written(tmp_path / "site", [(name, part)]), TODAY)
    assert meant in [problem.hint for problem in problems if problem.mistake is Mistake.UNKNOWN_WORD]


@pytest.mark.parametrize(
    ("name", "part", "meant"),
    [
        ("markers/example-ev.yaml", "cv: {analytical: 0.25, within_person: 30 %, because: x}\n", "write it as '25 %'"),
        ("markers/example-ev.yaml", "cv: {analytical: 25, within_person: 30 %, because: x}\n", "write it as '25 %'"),
        ("resistance/example.yaml", "limits:\n  guard: {from: 4 weeks, because: x}\n", "write it as '4 w'"),
        ("resistance/example.yaml", "facts:\n  risen: {value: example-ev, over: baseline, at_least: raise}\n", "did you mean 'rise'? limits of this kind: rise"),
        ("resistance/example.test.yaml", "cases:\n  one:\n    example-ev: {-4: 2.0}\n    expect: {77: Watch}\n", "did you mean 'watch'?"),
    ],
)  # fmt: skip
def test_the_next_step_says_what_was_likely_meant(tmp_path: Path, name: str, part: str, meant: str) -> None:
    problems = lint_book(written(tmp_path / "site", [(name, part)]), TODAY)
    assert meant in [problem.hint for problem in problems]


def test_cases_that_nobody_reviewed_are_one_problem_of_their_file(tmp_path: Path) -> None:
    tests = (EXAMPLE / "resistance/example.test.yaml").read_text("utf-8")
    computed, count = re.subn(r"(?m)^(  [^\s#].*:\n)(?=    )", r"\1    because: computed; to be reviewed\n", tests)
    assert count > 1
    problems = lint_book(written(tmp_path / "site", [("resistance/example.test.yaml", computed)]), TODAY)
    (found,) = (problem for problem in problems if problem.mistake is Mistake.NOT_REVIEWED)
    assert f"what {count} cases expect (lines {found.line}, " in found.message


@pytest.mark.parametrize(
    ("summary", "told"),
    [
        ("A 3-fold rise is watched.", True),
        ("A rise under anti-PD-1 is watched.", False),
        ("A rise under a CDK4-6 inhibitor is watched.", False),
    ],
)
def test_a_fold_in_a_summary_is_a_number(tmp_path: Path, summary: str, told: bool) -> None:
    problems = lint_book(written(tmp_path / "site", [("resistance/example.yaml", f"summary: {summary}\n")]), TODAY)
    assert (Mistake.NUMBER_IN_SUMMARY in {problem.mistake for problem in problems}) is told


def test_a_study_from_memory_is_told_to_be_read_and_not_to_be_of_another_kind(tmp_path: Path) -> None:
    study = (EXAMPLE / "evidence/studies-example.yaml").read_text("utf-8").replace("verification: V", "verification: M")
    rise = "conclude:\n  suspected:\n    - {id: rise, all: [risen], certainty: very-low}\n  no-flag:\n    - {id: no-rise, all: [not risen]}\n"
    parts = [("evidence/studies-example.yaml", study), ("resistance/example.yaml", rise)]
    problems = lint_book(written(tmp_path / "site", parts), TODAY)
    (found,) = (problem for problem in problems if problem.mistake is Mistake.ABOVE_ITS_EVIDENCE)
    assert "'example-2026' is known from memory (verification: M), which does not count" in found.message
    assert "verification: V" in found.hint
    assert "cohort" not in found.message + found.hint


def test_a_day_is_shared_by_findings_that_are_combined(tmp_path: Path) -> None:
    rule = (shipped_rules() / "resistance" / "tgfb1-pdl1-rise-on-her2-therapy.yaml").read_text("utf-8")
    place = tmp_path / "tgfb1-pdl1-rise-on-her2-therapy.yaml"
    place.write_text(rule.replace("same_day: [tgfb1,", "same_day: [tgfb,"), "utf-8")
    assert [problem.mistake.code for problem in lint([place], TODAY)] == ["EX108"]


def test_a_rule_that_does_not_load_is_named_alone_and_not_once_for_each_word_of_its_tests(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE, tmp_path / "site")
    rule = tmp_path / "site/resistance/example.yaml"
    rule.write_text(rule.read_text("utf-8").replace("summary: ", "summary: of two: "), "utf-8")
    assert [problem.mistake.code for problem in lint([tmp_path / "site"], TODAY)] == ["EX101"]


def test_every_mistake_has_its_file() -> None:
    assert {path.stem[:5] for path in CASES} == BY_CODE.keys() - {"EX114"}  # that one is a folder without files
    assert len(CASES) >= 60


@pytest.mark.parametrize("mistake", Mistake, ids=lambda mistake: mistake.code)
def test_the_page_of_a_code_shows_it_and_its_way_out(tmp_path: Path, mistake: Mistake) -> None:
    page = (PAGES / f"{mistake.code}.md").read_text("utf-8")
    assert page.startswith(f"# {mistake.code}: {mistake.slug.replace('-', ' ')}\n\n**{mistake.severity}.** ")
    for heading in ("Bad", "Good", "Why", "How to mend it"):
        assert f"\n## {heading}\n" in page
    bad, good = blocks(page, "Bad"), blocks(page, "Good")
    assert bool(bad) == bool(good) == (mistake.code not in ("EX114", "EX226", "EX306", "EX307"))
    if bad:
        assert mistake in {problem.mistake for problem in lint_book(written(tmp_path / "bad", bad), TODAY)}
        after = {problem.mistake for problem in lint_book(written(tmp_path / "good", good), TODAY)}
        assert mistake not in after
        assert not [one for one in after if one.severity == "error"]


def test_no_page_is_of_no_code_and_the_index_is_current() -> None:
    assert {path.stem for path in PAGES.glob("EX*.md")} == BY_CODE.keys()
    assert INDEX.read_text("utf-8") == index()


def test_the_shipped_rules_and_the_example_have_nothing_to_mend() -> None:
    assert lint([shipped_rules()], TODAY) == []
    assert lint([EXAMPLE], TODAY) == []


def test_all_problems_of_all_files_are_named_at_once_and_in_order(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE, tmp_path / "site")
    rule, marker = tmp_path / "site/resistance/example.yaml", tmp_path / "site/markers/example-ev.yaml"
    rule.write_text(rule.read_text("utf-8").replace("[risen]", "[rissen]").replace("2027-11-26", "soon"), "utf-8")
    marker.write_text(marker.read_text("utf-8").replace("10 %", "0.1"), "utf-8")
    problems = lint([tmp_path / "site"], TODAY)
    assert [problem.mistake.code for problem in problems] == ["EX110", "EX112", "EX203"]
    assert [Path(problem.file).name for problem in problems] == ["example-ev.yaml", "example.yaml", "example.yaml"]
    assert "did you mean" in problems[2].hint or "risen" in problems[2].hint
    assert lint([rule], TODAY) == problems[1:]


def test_the_command_speaks_to_people_to_programs_and_to_code_hosts() -> None:
    bad = "rules/bad/EX203-unknown-fact.yaml"
    done = exowatch("rules", "lint", bad)
    assert done.returncode == 1
    assert (
        f"{bad}:20:18: error EX203: 'rise' is no fact of this rule" in done.stdout.replace("\n", " ")
        or "EX203" in done.stdout
    )
    assert done.stdout.rstrip().endswith("1 error; docs/lint/EX203.md")
    done = exowatch("rules", "lint", bad, "--format", "github")
    assert done.stdout.startswith(f"::error file={bad},line=")
    assert "title=EX203 unknown-fact::'rise' is no fact of this rule" in done.stdout
    (problem,) = json.loads(exowatch("rules", "lint", bad, "--json").stdout)["problems"]
    assert (problem["code"], problem["severity"], problem["page"]) == ("EX203", "error", "docs/lint/EX203.md")


def test_why_and_what_next_stand_below_each_problem_and_the_page_is_at_hand() -> None:
    done = exowatch("rules", "lint", "rules/bad/EX203-unknown-fact.yaml")
    assert (
        "\n    why:  A typing error, often the name of a limit in the place of a fact's.\n    next: did you mean 'risen'?"
        in done.stdout
    )
    done = exowatch("rules", "lint", "--explain", "ex203")
    assert (done.returncode, done.stdout.startswith("# EX203: unknown fact")) == (0, True)
    done = exowatch("rules", "lint", "--explain", "EX999")
    assert (done.returncode, "there is no code 'EX999'" in done.stderr) == (2, True)
    assert all(report.cause(mistake.code) for mistake in Mistake)


def test_advice_alone_is_no_failure_and_a_wrong_call_is_told() -> None:
    done = exowatch("rules", "lint", "rules/bad/EX722-title-names-a-fear.yaml")
    assert (done.returncode, "advice EX722" in done.stdout) == (0, True)
    done = exowatch("rules", "lint", "rules/nowhere.yaml")
    assert (done.returncode, "no such file or folder" in done.stderr) == (2, True)
    done = exowatch("rules", "lint")
    assert (done.returncode, done.stdout) == (0, "nothing to mend\n")


def test_annotations_cannot_be_broken_by_what_a_file_says() -> None:
    from cds.errors import Problem

    said = report.as_github([Problem("a,b:c.yaml", 1, 2, "50 %\n::error::x", "", Mistake.NOT_YAML)])
    assert said.count("\n") == 0
    assert "file=a%2Cb%3Ac.yaml" in said
    assert "50 %25%0A" in said


def test_no_problem_of_a_rule_book_is_without_its_code() -> None:
    calls = [
        (path.name, call.lineno)
        for folder in ("chart", "reasoning", "workbench")
        for path in sorted((ROOT / "cds" / folder).rglob("*.py"))
        for call in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(call, ast.Call)
        if getattr(call.func, "attr", getattr(call.func, "id", "")) in ("problem", "Problem")
        if "Mistake." not in ast.unparse(call)
    ]
    assert calls == []
