"""A rule in shadow is evaluated and kept, and shown to nobody on any way out; its author can ask what it would have said."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from datetime import UTC, date, datetime, time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cds.chart import read
from cds.cli import app
from cds.errors import InputError
from cds.layers import shipped_rules
from cds.reasoning.loading import load_rulebook
from cds.reasoning.reasoner import Reasoner
from cds.record.database import Database
from cds.record.recorder import Recorder
from cds.record.stored import answered
from cds.record.worklist import Filter, listed
from cds.service.desk import Caller, Desk
from cds.service.fhir import FhirEndpoint
from cds.settings import load_settings
from cds.workbench.clinic import Clock
from cds.workbench.synth.requests import hook_request
from cds.workbench.trials.shadow import Heard, in_shadow, listened
from tests.patients.archetypes import patient

TRPC5 = "trpc5-rise-on-chemotherapy"
DAYS = ("2025-03-24", "2025-04-21")


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """The shipped rules, with the one about TRPC5 in shadow."""
    folder = tmp_path / "rules"
    shutil.copytree(shipped_rules(), folder)
    file = folder / "resistance" / f"{TRPC5}.yaml"
    file.write_text(file.read_text("utf-8").replace("status: active", "status: shadow", 1), "utf-8")
    return folder


def served(folder: Path, database: Database) -> tuple[str, list[str]]:
    """What the service lets out of one patient's visits: its answers with the FHIR endpoint's, and the board's states."""
    reasoner = Reasoner(load_rulebook(folder))
    clock = Clock()
    settings = load_settings(open_mode=True, tenant="here", rules_dir=folder)
    desk = Desk(settings, reasoner, clock, Recorder(database, reasoner.rulebook, clock=clock))
    service = next(one for one in desk.discovery()["services"] if one["hook"] == "patient-view")
    said = []
    for day in DAYS:
        clock.now = datetime.combine(date.fromisoformat(day), time(23, 50), UTC)
        asked = hook_request(patient("A01").bundle(date.fromisoformat(day)), service, day)
        said.append(json.dumps(desk.answer(service["id"], json.dumps(asked).encode(), Caller("ehr", "here")).cards))
    endpoint = FhirEndpoint(settings, reasoner.rulebook, database, "/fhir")
    of_patients = [
        one
        for one in endpoint.everything()
        if one["resourceType"] not in ("Library", "PlanDefinition", "ActivityDefinition")
    ]
    shown = [row.state for row in listed(database, "here", Filter()).rows]
    return "\n".join([*said, json.dumps(of_patients, default=str)]), shown


@pytest.fixture
def database(tmp_path: Path) -> Database:
    found = Database(f"sqlite:///{tmp_path}/record.sqlite", deadline=10)
    found.upgrade()
    return found


def test_nothing_of_a_rule_in_shadow_goes_out(rules: Path, database: Database, tmp_path: Path) -> None:
    said, shown = served(rules, database)
    kept = list(answered(database, "here"))
    database.close()
    assert [one.answers[TRPC5][0] for one in kept] == ["watch", "suspected"]  # it was asked, and is kept
    assert TRPC5 not in said
    assert "suspected" not in said.lower()
    assert "suspected" not in shown
    other = Database(f"sqlite:///{tmp_path}/other.sqlite", deadline=10)
    other.upgrade()
    said, shown = served(shipped_rules(), other)  # the same patient, the same ways out: so nothing was overlooked
    other.close()
    assert TRPC5 in said
    assert "suspected" in said.lower()
    assert "suspected" in shown


def test_evaluating_a_file_shows_nothing_of_it(rules: Path, tmp_path: Path) -> None:
    file = tmp_path / "a01.json"
    file.write_text(json.dumps(patient("A01").bundle(), default=str), encoding="utf-8")
    shown = CliRunner().invoke(app, ["evaluate", str(file), "--as-of", DAYS[1], "--rules", str(rules), "--cards"])
    assert json.loads(shown.output) == {"cards": []}


def test_what_it_would_have_said_of_the_record(
    rules: Path, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served(rules, database)
    database.close()
    monkeypatch.setenv("EXOWATCH_DATABASE_URL", f"sqlite:///{tmp_path}/record.sqlite")
    monkeypatch.setenv("EXOWATCH_TENANT", "here")
    run = CliRunner().invoke
    shown = run(app, ["rules", "shadow", "--rules", str(rules), "--names"]).output
    assert f"{TRPC5} (shadow): 2 evaluations of 1 patient of the record" in shown
    assert "suspected: 1 evaluation, last state of 1 patient" in shown
    assert "Patient/a01" in shown
    assert "Patient/a01" not in run(app, ["rules", "shadow", "--rules", str(rules)]).output
    told = json.loads(run(app, ["rules", "shadow", "--rules", str(rules), "--json"]).output)["rules"][0]
    assert told["said"] == {"watch": 1, "suspected": 1}


def test_what_it_would_say_of_a_cohort(rules: Path) -> None:
    run = CliRunner().invoke
    call = ["rules", "shadow", "--rules", str(rules), "--synthetic", "15", "--months", "9", "--json"]
    (one,) = json.loads(run(app, call).output)["rules"]
    assert one["evaluations"] == sum(one["said"].values()) > 0
    assert set(one["alone"]) <= set(one["flagged"]) <= set(one["last"])
    assert run(app, [*call, "--workers", "2"]).output == run(app, call).output


@pytest.mark.parametrize("call", [["backtest"], ["rules", "diff", "SITE", "SITE"], ["rules", "shadow"]])
def test_a_rule_of_whose_marker_nobody_has_a_result_is_named(tmp_path: Path, call: list[str]) -> None:
    site = tmp_path / "site"
    shutil.copytree(Path(__file__).parents[2] / "docs" / "lint" / "example", site)
    file = site / "resistance" / "example.yaml"
    file.write_text(file.read_text("utf-8").replace("status: draft", "status: shadow"), "utf-8")
    words = [str(site) if word == "SITE" else word for word in call]
    done = CliRunner().invoke(app, [*words, "--synthetic", "2", "--rules", str(site)], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    assert "example: no patient of this cohort has a result of example-ev: nothing is shown of this rule" in said


def test_no_rule_in_shadow_and_no_such_rule_are_told(rules: Path) -> None:
    run = CliRunner().invoke
    assert "no rule is in shadow" in run(app, ["rules", "shadow"]).output
    wrong = run(app, ["rules", "shadow", "trpc5-rise"])
    assert isinstance(wrong.exception, InputError)
    assert TRPC5 in str(wrong.exception)
    assert in_shadow(load_rulebook(rules)) == [TRPC5]


def test_counts_by_hand() -> None:
    book = load_rulebook()
    other = "pdl1-rise-on-checkpoint-inhibitor"
    heard = [
        Heard("a", "1", {TRPC5: "watch", other: "suspected"}),
        Heard("a", "2", {TRPC5: "suspected"}),
        Heard("b", "1", {TRPC5: "suspected"}),
        Heard("b", "3", {TRPC5: "no-flag"}),
        Heard("c", "1", {other: "no-flag"}),
    ]
    (found,) = listened(heard, [TRPC5], book)
    assert found.evaluations == 4
    assert found.said == Counter({"suspected": 2, "watch": 1, "no-flag": 1})
    assert found.flagged == {"a": "2", "b": "1"}
    assert found.alone == []  # the rule itself is shown here
    (checkpoint,) = listened(heard, [other], book)
    assert checkpoint.last == {"a": ("suspected", "1"), "c": ("no-flag", "1")}
    assert found.by_state([state.name for state in book.states])[0] == ("suspected", 2, ["a"])


def test_reading_a_record_of_another_patient_changes_nothing(rules: Path) -> None:
    """The rule in shadow leaves the answers of the others as they are."""
    bundle = patient("A01").bundle()
    shown = [
        {
            name: finding.state
            for name, finding in Reasoner(book).evaluate(read(bundle, book.catalogue).as_of(DAYS[1])).answers.items()
        }
        for book in (load_rulebook(rules), load_rulebook())
    ]
    assert shown[0] == shown[1]
