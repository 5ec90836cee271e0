"""A new rule from answers: it lints clean, its tests pass, and it brings the marker, the study and the words that it needs."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from cds.errors import InputError
from cds.reasoning.loading import load_rulebook
from cds.reasoning.reasoner import Reasoner
from cds.workbench.authoring.lint import lint
from cds.workbench.authoring.new_rule import write_rule
from cds.workbench.authoring.questions import QUESTIONS, answered, without_outdated
from cds.workbench.authoring.ucum import no_unit
from cds.workbench.proving.covering import cover
from cds.workbench.proving.reading import load_tests
from cds.workbench.proving.running import run
from tests.test_cli import exowatch

TODAY = date(2026, 11, 26)
MARKER = {
    "marker": "uchl1-ev", "marker_title": "UCH-L1: in extracellular vesicles", "analytical_cv": "10", "within_person_cv": "20",
    "limitation": "Only values from before the treatment were studied.",
}  # fmt: skip
STUDY = {
    "evidence": "new-2025", "citation": "New A, et al. J Example 2025;1:2", "kind": "cohort", "seen": "V",
    "direction": "resistance-up. A rise went with progression",
}  # fmt: skip
KNOWN = {"therapy": "cytotoxic-chemotherapy", "evidence": "ning-2017", "summary": "A rise is watched."}


def made(folder: Path, given: dict[str, str]) -> tuple[list[str], list[str], int]:
    """Problems, failures and number of tests of a rule made from these answers."""
    book = load_rulebook(folder if folder.exists() else None, drafts=True)
    answers = answered(given, book, None)
    written = write_rule(folder, answers, book, TODAY)
    problems = [f"{one.mistake} {one}" for one in lint(written, TODAY)]
    book = load_rulebook(folder, drafts=True)
    tests = [test for test in load_tests(folder, book) if test.rule == answers["name"]]
    return problems, [str(failure) for failure in run(tests, Reasoner(book))], len(tests)


@pytest.mark.parametrize(
    "given",
    [
        MARKER | KNOWN,
        MARKER | KNOWN | {"state": "suspected", "suspicion": 'a "loss" of response: early', "floor": "3"},
        MARKER | KNOWN | STUDY | {"state": "suspected", "unit": "10*6{particles}/mL"},
        KNOWN | STUDY | {"marker": "hotair-ev", "therapy": "endocrine-therapy", "reference": "nadir", "guard": "90"},
        KNOWN | {"marker": "tgfb1-ev", "therapy": "anti-pd-1", "guard": "56", "state": "suspected", "floor": "5"},
        KNOWN | {"marker": "pdl1-ev", "therapy": "her2-targeted", "guard": "14", "false_alarms": "infection"},
        KNOWN | {"marker": "trpc5-ev", "therapy": "cdk4-6-inhibitor"},
    ],
    ids=lambda given: f"{given['marker']}-{given['therapy']}",
)
def test_what_is_written_has_nothing_to_mend_and_its_tests_pass(tmp_path: Path, given: dict[str, str]) -> None:
    problems, failures, count = made(tmp_path / "site", given)
    assert (problems, failures) == ([], [])
    assert count >= 11
    (rule,) = (path for path in (tmp_path / "site/resistance").glob("*.yaml") if ".test." not in path.name)
    assert "status: draft" in rule.read_text("utf-8")
    assert "TODO" not in rule.read_text("utf-8")


@pytest.mark.parametrize(
    ("cargo", "asked"),
    [
        ("lncRNA", True),
        ("mRNA", True),
        ("miRNA", False),
        ("mRNA and miRNA", True),
        ("protein", False),
        ("external domain of a protein", False),
    ],
)
def test_of_a_transcript_a_control_for_dna_is_asked(tmp_path: Path, cargo: str, asked: bool) -> None:
    assert made(tmp_path / "site", MARKER | KNOWN | {"cargo": cargo, "unit": "{fold}"})[:2] == ([], [])
    checks = load_rulebook(tmp_path / "site", drafts=True).catalogue.markers["uchl1-ev"].checks
    assert ("dna-control" in checks) is asked


def test_the_tests_that_come_with_it_show_every_condition(tmp_path: Path) -> None:
    made(tmp_path / "site", MARKER | KNOWN)
    book = load_rulebook(tmp_path / "site", drafts=True)
    coverage = cover(
        book.rule("uchl1-rise-on-cytotoxic-chemotherapy"), load_tests(tmp_path / "site", book), Reasoner(book)
    )
    assert coverage.missing == ()


def test_a_second_rule_joins_the_first_in_the_same_files(tmp_path: Path) -> None:
    site = tmp_path / "site"
    assert made(site, MARKER | KNOWN | STUDY | {"state": "suspected"})[:2] == ([], [])
    second = KNOWN | STUDY | {"marker": "uchl1-ev", "therapy": "anti-pd-1", "state": "suspected"}
    del second["citation"], second["kind"], second["direction"], second["seen"]
    assert made(site, second)[:2] == ([], [])
    assert lint([site], TODAY) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"summary": ""}, "summary: it is not answered"),
        ({"therapy": "chemo"}, "therapy: one of: anti-pd-1"),
        ({"therapy": "endocrine-terapy"}, "did you mean 'endocrine-therapy'"),
        ({"floor": "0.5"}, "floor: a number of 1 or above"),
        ({"summary": "A reason to stop the drug."}, "'stop' directs treatment"),
        ({"name": "trpc5-rise-on-chemotherapy"}, "there is a rule 'trpc5-rise-on-chemotherapy' already"),
        ({"guard": "3"}, "guard: a whole day from 14 on"),
        ({"colour": "red"}, "nothing asks for colour"),
    ],
)
def test_a_wrong_or_missing_answer_is_told_before_anything_is_written(
    tmp_path: Path, change: dict[str, str], says: str
) -> None:
    with pytest.raises(InputError) as raised:
        made(tmp_path / "site", MARKER | KNOWN | change)
    assert says in str(raised.value)
    assert not (tmp_path / "site").exists()


def test_nothing_that_is_there_is_written_over(tmp_path: Path) -> None:
    site = tmp_path / "site"
    made(site, MARKER | KNOWN)
    rule = site / "markers" / "other-ev.yaml"
    rule.write_text("mine", "utf-8")
    with pytest.raises(InputError, match="is there already"):
        write_rule(
            site,
            answered(MARKER | KNOWN | {"marker": "other-ev", "name": "other"}, load_rulebook(), None),
            load_rulebook(),
            TODAY,
        )
    assert rule.read_text("utf-8") == "mine"


def test_the_command_takes_answers_from_scripts(tmp_path: Path) -> None:
    words = [word for key, value in (MARKER | KNOWN).items() for word in ("--with", f"{key}={value}")]
    done = exowatch("rules", "new", str(tmp_path / "site"), *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tests pass; 0 problems" in done.stdout
    assert exowatch("rules", "test", "--rules", str(tmp_path / "site")).stdout.endswith(" 0 failed\n")
    listed = exowatch("rules", "new", "nowhere", "--questions").stdout
    assert all(question.key in listed for question in QUESTIONS)


def test_the_command_asks_people_and_asks_again(tmp_path: Path) -> None:
    """At a terminal: proposals are taken with the return key, a wrong answer is asked again."""
    given = MARKER | KNOWN
    answers = [
        "uchl1-ev", given["marker_title"], "", "", "", "ten", "10 %", "1,8", "180", "10", "20", "", given["limitation"], "chemo",
        "cytotoxic-chemotherapy", "ning-2017", "", "", "Stop it.", "A rise is watched.", *[""] * 7,
        "no", "3", "EV-OTHER", "",  # of which the title is proposed anew
        "yes",
    ]  # fmt: skip
    code, said, errors = asked_at_a_terminal(tmp_path / "site", "".join(f"{answer}\n" for answer in answers))
    assert code == 0, said + errors
    for again in (
        "a number, such as 2.0", "write it without the percent sign: 10", "write it with a point, no comma: 1.8",
        "18 stands for 18 %", "yes, or a number from 1 to", "one of: anti-pd-1", "'Stop' directs treatment",
    ):  # fmt: skip
        assert again in said + errors
    assert "tests pass; 0 problems" in said
    assert "short: EV-OTHER" in (tmp_path / "site/markers/uchl1-ev.yaml").read_text("utf-8")
    assert f"write {tmp_path}/site/labs/LABORATORY.yaml" in said


def test_what_was_proposed_from_an_answer_is_asked_again_once_that_is_changed() -> None:
    """Else the words of a rule would stay about the therapy that it was first for."""
    book = load_rulebook(None)
    before = answered({**MARKER, **KNOWN, "state": "suspected"}, book, None)
    now = {**before, "therapy": "endocrine-therapy"}
    kept = without_outdated(before, now, book)
    assert now.keys() - kept.keys() >= {"title", "suspicion"}
    assert kept["floor"] == before["floor"]  # of which the same is proposed
    changed = answered(kept, book, None)
    assert "chemotherapy" not in " ".join(changed[key] for key in ("suspicion", "title", "name"))
    own = {**before, "title": "Something else rising"}
    assert "title" in without_outdated(own, {**own, "therapy": "endocrine-therapy"}, book)


def asked_at_a_terminal(site: Path, typed: str, *words: str) -> tuple[int, str, str]:
    """How `rules new` ends for who types that, what it says, and its errors."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "cds.cli", "rules", "new", str(site), *words]
    process = subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    os.close(theirs)
    os.write(ours, typed.encode())
    said, errors = process.communicate(timeout=120)
    os.close(ours)
    return process.returncode, said, errors


def test_who_leaves_before_the_files_are_written_can_go_on(tmp_path: Path) -> None:
    answers = answered(MARKER | KNOWN, load_rulebook(None), None)
    words = [word for key, value in answers.items() for word in ("--with", f"{key}={value}")]
    code, said, errors = asked_at_a_terminal(tmp_path / "site", "\x04", *words)
    assert code == 1, said + errors
    assert "1  marker: uchl1-ev" in said
    assert "Nothing is written. This goes on: exowatch rules new" in said
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize(
    "unit",
    [
        "pg/mL",
        "ng/L",
        "{copies}/uL",
        "10*6.{particles}/mL",
        "pg/mg{protein}",
        "1",
        "%",
        "{fold}",
        "[iU]/mL",
        "umol/L",
        "m-1",
    ],
)
def test_a_unit_that_laboratories_use_may_stand(unit: str) -> None:
    assert no_unit(unit) == ""


@pytest.mark.parametrize(
    ("unit", "part"), [("microRNA", "microRNA"), ("banana/mL", "banana"), ("pg/ml.x", "x"), ("AU/mL", "AU")]
)
def test_a_word_that_is_no_unit_is_named(unit: str, part: str) -> None:
    assert no_unit(unit) == part


def test_who_leaves_in_the_midst_of_it_can_go_on(tmp_path: Path) -> None:
    code, said, errors = asked_at_a_terminal(tmp_path / "site", "uchl1-ev\nUCH-L1 on vesicles\n\x04")
    assert code == 1, said + errors
    assert f"exowatch rules new {tmp_path}/site --with marker=uchl1-ev --with 'marker_title=UCH-L1 on vesicles'" in said
    assert not (tmp_path / "site").exists()
