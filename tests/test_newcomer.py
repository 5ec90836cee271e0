"""What a newcomer ran into, each as the test that would have caught it."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cds.advice.cards import Occasion
from cds.advice.statements import Advisor
from cds.advice.unread import unread_card
from cds.chart import read
from cds.errors import RuleBookError
from cds.reasoning.loading import default_rulebook, load_rulebook, shipped_rules
from cds.reasoning.reasoner import Reasoner
from tests.patients.archetypes import patients

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE: dict[str, Any] = json.loads((ROOT / "fhir/examples/trpc5-suspected.json").read_text("utf-8"))
BOOK = default_rulebook()
REASONER = Reasoner(BOOK)
OCCASION = Occasion("d1577c69-dfbe-44ad-ba6d-3e05e953b2ea", "Patient/trpc5-suspected")


def exowatch(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cds.cli", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment}, cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


def results(bundle: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        entry["resource"]
        for entry in bundle["entry"]
        if entry["resource"]["resourceType"] == "Observation"
        and entry["resource"]["code"]["coding"][0]["code"] == "trpc5-ev"
    ]


def changed(change: Callable[[dict[str, Any]], None], *, only_last: bool = False) -> dict[str, Any]:
    bundle = copy.deepcopy(EXAMPLE)
    found = sorted(results(bundle), key=lambda one: str(one["effectiveDateTime"]))
    for one in found[-1:] if only_last else found:
        change(one)
    return bundle


def put(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda one: one.update(fields)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put(code={"coding": [{"system": "http://loinc.org", "code": "trpc5-ev"}]}), "have it declared in rules/labs/"),
        (put(subject={"reference": "Patient/other"}), "belongs to another patient"),
        (put(subject={"reference": "trpc5-suspected"}), "its subject is to be written as Patient/id"),
        (put(status="Final"), "is none that FHIR knows"),
        (put(status="preliminary"), "it does not count yet"),
        (put(resourceType="Obseravtion"), "'Obseravtion' is no resource type"),
    ],
)
def test_results_that_cannot_be_used_are_never_no_advice(change: Callable[[dict[str, Any]], None], words: str) -> None:
    chart = read(changed(change), BOOK.catalogue, patient="trpc5-suspected").as_of("2025-04-21")
    assert REASONER.evaluate(chart).findings == ()
    card = unread_card(chart, OCCASION, "https://exowatch.example/fhir")
    assert card is not None
    assert words in card["detail"].replace("\\", "")


def test_a_preliminary_result_is_named_until_it_counts() -> None:
    bundle = changed(put(status="preliminary"), only_last=True)
    chart = read(bundle, BOOK.catalogue).as_of("2025-04-21")
    assert [item.reason for item in chart.left_out] == ["its status is 'preliminary': it does not count yet"]
    final = copy.deepcopy(results(bundle)[-1]) | {"status": "final", "meta": {"lastUpdated": "2025-04-22T00:00:00Z"}}
    bundle["entry"].append({"resource": final})
    assert read(bundle, BOOK.catalogue).as_of("2025-04-23").left_out == ()


@pytest.mark.parametrize("stated", ["21.04.2025", "2025-05-21", "2025-03", ""])
def test_a_collection_date_that_the_specimen_contradicts_is_not_used_in_silence(stated: str) -> None:
    bundle = changed(put(effectiveDateTime=stated), only_last=True)
    last = results(bundle)[-1]
    specimen = next(
        entry["resource"]
        for entry in bundle["entry"]
        if f"Specimen/{entry['resource'].get('id')}" == last["specimen"]["reference"]
    )
    specimen["collection"] = {"collectedDateTime": "2025-04-21T08:30:00+02:00"}
    found = REASONER.evaluate(read(bundle, BOOK.catalogue).as_of("2025-06-01")).findings[0]
    assert found.state == "data-quality"


@pytest.mark.parametrize("stated", ["2025-04", "2025-04-21", "2025-04-20T23:30:00-06:00"])
def test_a_collection_date_that_the_specimen_makes_exact_is_used(stated: str) -> None:
    bundle = changed(put(effectiveDateTime=stated), only_last=True)
    for entry in bundle["entry"]:
        if f"Specimen/{entry['resource'].get('id')}" == results(bundle)[-1]["specimen"]["reference"]:
            entry["resource"]["collection"] = {"collectedDateTime": "2025-04-21T08:30:00+02:00"}
    assert REASONER.evaluate(read(bundle, BOOK.catalogue).as_of("2025-06-01")).findings[0].state == "suspected"


def test_our_own_codes_are_nobodys_riddle() -> None:
    for one in patients():
        assert read(one.bundle(), BOOK.catalogue).unmapped == (), one.id


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("markers/trpc5-ev.yaml", "haemolysis:", "hemolysis:", "haemolysis"),
        ("wording/advice.yaml", "text: ", "text: Stop paclitaxel. ", "'Stop' directs treatment"),
        (
            "resistance/trpc5-rise-on-chemotherapy.yaml", "summary: ", "summary: Switch to T-DM1. ",
            "'Switch' directs treatment",
        ),
    ],
)  # fmt: skip
def test_a_mistake_in_a_sites_own_rules_is_refused(tmp_path: Path, file: str, old: str, new: str, words: str) -> None:
    rules = tmp_path / "rules"
    shutil.copytree(shipped_rules(), rules)
    text = (rules / file).read_text("utf-8")
    assert old in text
    (rules / file).write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(RuleBookError) as refused:
        load_rulebook(rules)
    assert words in str(refused.value)
    assert file in str(refused.value)


def test_the_rules_of_the_installation_are_used(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    shutil.copytree(shipped_rules(), rules)
    file = rules / "resistance" / "trpc5-rise-on-chemotherapy.yaml"
    file.write_text(file.read_text("utf-8").replace("floor: 2.0", "floor: 9.0", 1), "utf-8")
    stated = json.loads(exowatch("rules", "list", "--json", EXOWATCH_RULES_DIR=str(rules)).stdout)
    assert stated["hash"] == load_rulebook(rules).hash != BOOK.hash
    wrong = exowatch("rules", "list", EXOWATCH_RULES_DIR=str(tmp_path / "nothing"))
    assert wrong.returncode == 2


@pytest.mark.parametrize("content", ["[]", '{"resourceType": "Bundle", "type": "collection"}'])
@pytest.mark.parametrize("command", [("evaluate",), ("evaluate", "--json"), ("evaluate", "--cards")])
def test_an_empty_input_is_no_answer(tmp_path: Path, content: str, command: tuple[str, ...]) -> None:
    file = tmp_path / "empty.json"
    file.write_text(content, "utf-8")
    done = exowatch(*command, str(file))
    assert done.returncode == 2
    assert "there is no patient in it" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("explain", "no-such-file.json", "--rule", "trpc5-rise-on-chemotherapy"),
        ("explain", "rules", "--rule", "trpc5-rise-on-chemotherapy"),
        ("synth", "--patients", "1", "--out", "/proc/x"),
        ("synth", "--patients", "1", "--out", "README.md"),
        ("serve", "--dev", "--port", "99999"),
    ],
)
def test_a_wrong_call_is_named_and_no_traceback(words: tuple[str, ...]) -> None:
    done = exowatch(*words)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()


def test_a_withheld_rule_does_not_hide_that_there_are_results(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    shutil.copytree(shipped_rules(), rules)
    book = load_rulebook(rules)
    withheld = {rule.name: "rests on retracted evidence" for rule in book.rules if rule.watches == "trpc5-ev"}
    from dataclasses import replace

    left = tuple(rule for rule in book.rules if rule.name not in withheld)
    reasoner = Reasoner(replace(book, rules=left, withheld=withheld))
    evaluation = reasoner.evaluate(read(EXAMPLE, book.catalogue).as_of("2025-04-21"))
    assert evaluation.findings == ()
    ((marker, reason),) = evaluation.silent
    assert marker == "trpc5-ev"
    assert "rests on retracted evidence" in reason


def test_what_would_change_a_failed_gate_is_another_sample() -> None:
    one = next(archetype for archetype in patients() if archetype.id == "A36")
    evaluation = REASONER.evaluate(read(one.bundle(), BOOK.catalogue).as_of(str(one.expected[-1].as_of)))
    said = [line for advisory in Advisor(BOOK).advisories(evaluation) for line in advisory.would_change]
    assert any("another sample, of which this does not hold" in line and "haemolys" in line for line in said), said
    assert not any("reagent lot" in line for line in said)


def test_a_drug_that_binds_is_never_called_tolerated() -> None:
    one = next(archetype for archetype in patients() if archetype.id == "A17")
    for expected in one.expected:
        evaluation = REASONER.evaluate(read(one.bundle(), BOOK.catalogue).as_of(str(expected.as_of)))
        for advisory in Advisor(BOOK).advisories(evaluation):
            assert not any("declared to tolerate" in note for note in advisory.notes)
