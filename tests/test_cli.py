"""The command line as people and programs use it: the integrator's example, its variants, folders, errors, exit codes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "fhir" / "examples" / "trpc5-suspected.json"
DAY = ("--as-of", "2025-04-21")


def exowatch(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cds.cli", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def changed(tmp_path: Path, change: Callable[[list[dict[str, Any]]], None]) -> str:
    """A copy of the example with its entries changed; its path."""
    bundle = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    change(bundle["entry"])
    path = tmp_path / "record.json"
    path.write_text(json.dumps(bundle), encoding="utf-8")
    return str(path)


def results(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The TRPC5 Observations, oldest first."""
    found = [
        entry["resource"]
        for entry in entries
        if entry["resource"]["resourceType"] == "Observation"
        and entry["resource"]["code"]["coding"][0]["code"] == "trpc5-ev"
    ]
    return sorted(found, key=lambda resource: str(resource["effectiveDateTime"]))


def without(entries: list[dict[str, Any]], gone: list[dict[str, Any]]) -> None:
    entries[:] = [entry for entry in entries if entry["resource"] not in gone]


def test_the_example_is_suspected_with_its_trace() -> None:
    done = exowatch("evaluate", str(EXAMPLE), *DAY)
    assert done.returncode == 0, done.stderr
    for part in (
        "[suspected, certainty very low]",
        "6.3 10*6/mL",
        "3.32 ×",
        "limit 2.03 ×",
        "reference change value",
        "day 105",
    ):
        assert part in done.stdout
    assert "Do not start, stop or change treatment on this information alone." in done.stdout


def test_without_the_confirming_sample_it_is_watched(tmp_path: Path) -> None:
    path = changed(tmp_path, lambda entries: without(entries, results(entries)[-1:]))
    assert "[watch]" in exowatch("evaluate", path, *DAY).stdout


def test_without_the_baseline_it_cannot_be_judged_and_says_so(tmp_path: Path) -> None:
    path = changed(tmp_path, lambda entries: without(entries, results(entries)[:2]))
    printed = exowatch("evaluate", path, *DAY).stdout
    assert "[not-evaluable]" in printed
    assert "before the treatment" in printed


def test_with_another_method_it_cannot_be_judged_and_names_the_method(tmp_path: Path) -> None:
    def other_method(entries: list[dict[str, Any]]) -> None:
        results(entries)[-1]["method"]["coding"][0]["code"] = "elisa"

    printed = exowatch("evaluate", changed(tmp_path, other_method), *DAY).stdout
    assert "[not-evaluable]" in printed
    assert "method" in printed


def test_json_is_for_programs_and_cards_are_for_ehrs() -> None:
    answer = json.loads(exowatch("evaluate", str(EXAMPLE), *DAY, "--json").stdout)
    assert [finding["state"] for finding in answer["findings"]] == ["suspected"]
    assert answer["as_of"] == "2025-04-21"
    cards = json.loads(exowatch("evaluate", str(EXAMPLE), *DAY, "--cards").stdout)["cards"]
    assert [card["indicator"] for card in cards] == ["warning"]
    lines = exowatch("evaluate", str(EXAMPLE), str(EXAMPLE), *DAY, "--cards", "--json").stdout.splitlines()
    assert [json.loads(line) for line in lines] == [
        {"patient": "Patient/trpc5-suspected", "as_of": DAY[1], "cards": cards}
    ] * 2


def test_explain_says_why_why_not_and_what_would_change_it() -> None:
    done = exowatch("explain", str(EXAMPLE), "--rule", "trpc5-rise-on-chemotherapy", "--as-of", "2025-03-24")
    assert done.returncode == 0, done.stderr
    for part in ("[watch]", "Gates", "Why not", "suspected", "Missing: nothing", "What would change it", "2025-04-07"):
        assert part in done.stdout


def test_a_folder_ndjson_and_a_hook_request_are_read(tmp_path: Path) -> None:
    bundle = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    resources = [entry["resource"] for entry in bundle["entry"]]
    (tmp_path / "one.json").write_text(json.dumps(bundle), encoding="utf-8")
    (tmp_path / "two.ndjson").write_text("\n".join(map(json.dumps, resources)), encoding="utf-8")
    patient = next(resource for resource in resources if resource["resourceType"] == "Patient")
    rest = {
        "resourceType": "Bundle",
        "type": "searchset",
        "entry": [{"resource": r} for r in resources if r is not patient],
    }
    request = {
        "hook": "patient-view",
        "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea",
        "context": {"userId": "Practitioner/1", "patientId": patient["id"]},
        "prefetch": {"patient": patient, "everything": rest, "nothing": None},
    }
    (tmp_path / "three.json").write_text(json.dumps(request), encoding="utf-8")
    done = exowatch("evaluate", str(tmp_path), *DAY, "--json")
    states = [[f["state"] for f in json.loads(line)["findings"]] for line in done.stdout.splitlines()]
    assert states == [["suspected"]] * 3


def test_one_unreadable_file_of_a_folder_is_named_and_the_others_are_evaluated(tmp_path: Path) -> None:
    (tmp_path / "good.json").write_bytes(EXAMPLE.read_bytes())
    (tmp_path / "bad.json").write_text('{"resourceType": "Bundle", "entry": [', encoding="utf-8")
    done = exowatch("evaluate", str(tmp_path), *DAY)
    assert done.returncode == 2
    assert "bad.json" in done.stderr
    assert "[suspected" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("evaluate", "nowhere.json"), "no such file"),
        (("evaluate", str(EXAMPLE), "--as-of", "yesterday"), "is no day"),
        (("explain", str(EXAMPLE), "--rule", "nothing"), "there is no rule 'nothing'"),
        (("evidence", "--disposition", "magic"), "no row with disposition 'magic'"),
        (("rules", "list", "--rules", "nowhere"), "no such folder"),
        (("serve",), "EXOWATCH_CLIENTS_FILE"),
        (("serve", "--dev", "--host", "0.0.0.0"), "loopback"),  # noqa: S104 - it is refused
    ],
)
def test_a_wrong_call_is_one_message_and_exit_code_2(arguments: tuple[str, ...], says: str) -> None:
    done = exowatch(*arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_mistyped_command_is_guessed() -> None:
    assert "Did you mean 'evaluate'?" in exowatch("evalute").stderr


@pytest.mark.parametrize(
    ("command", "library"),
    [
        ("evaluate", "sqlalchemy"),
        ("evaluate", "fastapi"),
        ("rules", "sqlalchemy"),
        ("record", "fastapi"),
    ],
)
def test_a_call_waits_for_no_library_of_another_command(command: str, library: str) -> None:
    program = f"import sys; from cds.cli import app; app(['{command}', '--help'], standalone_mode=False); sys.exit('{library}' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_module_that_cannot_be_imported_is_a_fault_of_the_program() -> None:
    program = (
        "import sys, types; from importlib.machinery import ModuleSpec; import cds.cli\n"
        "class Broken:\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'cds.cli.service': raise KeyError('EXOWATCH_THING')\n"
        "sys.meta_path.insert(0, Broken()); cds.cli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "serve"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 70, done.stderr
    assert "fault of Exowatch itself: KeyError" in done.stderr


BROKEN = """
from cds.cli import app, main

@app.command()
def broken() -> None:
    try:
        {}["Patient/jane-roe"]
    except KeyError:
        from cds.calendar import day_of
        day_of("T, Jane Roe")

main()
"""


@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
def test_a_fault_of_the_program_has_a_code_of_its_own_and_says_where_it_is_and_nothing_of_a_record(level: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BROKEN, "broken"], cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "EXOWATCH_LOG_LEVEL": level},
    )  # fmt: skip
    said, _, way = done.stderr.partition("\n")
    assert (done.returncode, done.stdout) == (70, "")
    assert re.match(r"This is a fault of Exowatch itself: ValueError at cds\.calendar:\d+\.", said)
    assert [one in way for one in ("in at_place", "KeyError", "ValueError")] == [level == "DEBUG"] * 3
    assert "roe" not in done.stderr.lower()


def test_evidence_lists_every_system_with_its_disposition() -> None:
    listed = json.loads(exowatch("evidence", "--json").stdout)
    assert {row["disposition"] for row in listed["inventory"]} == {
        "evaluated", "informational", "background", "method", "must-not-use",
    }  # fmt: skip
    retracted = [study for study in listed["studies"] if study["status"] == "retracted"]
    assert [study["rules"] for study in retracted] == [[]]


def test_rule_tests_report_and_fail_as_they_should(tmp_path: Path) -> None:
    done = exowatch("rules", "test")
    assert done.returncode == 0
    assert done.stdout.strip().endswith("passed, 0 failed")


def test_synth_makes_the_same_bytes_for_the_same_seed(tmp_path: Path) -> None:
    for folder, workers in (("a", "1"), ("b", "2")):
        done = exowatch(
            "synth", "--seed", "5", "--patients", "6", "--workers", workers, "--out", str(tmp_path / folder)
        )
        assert done.returncode == 0, done.stderr
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert len(files) == 7
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_output_is_plain_when_piped() -> None:
    for arguments in (("rules", "list"), ("evidence",), ("evaluate", str(EXAMPLE), *DAY)):
        assert "\x1b" not in exowatch(*arguments).stdout


def test_what_says_that_it_is_still_to_come_is_named_now_and_nothing_is_when_looking_back(tmp_path: Path) -> None:
    def later(entries: list[dict[str, Any]]) -> None:
        results(entries)[-1]["issued"] = "2199-04-21T16:00:00+02:00"

    path = changed(tmp_path, later)
    now = exowatch("evaluate", path).stdout
    assert "Left out of this evaluation (1):" in now
    assert "Observation/trpc5-5: its time of report, 2199-04-21T16:00:00+02:00, is still to come" in now
    assert "Left out" not in exowatch("evaluate", path, *DAY).stdout
    assert "Left out" not in exowatch("evaluate", str(EXAMPLE), "--as-of", "2025-01-03").stdout
