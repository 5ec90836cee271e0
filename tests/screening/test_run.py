"""Whole runs: the same findings however the export lies and whoever does the work; nothing lost, nothing silent."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cds.chart import Moment, read_all
from cds.errors import InputError
from cds.reasoning.reasoner import Reasoner
from cds.record.content import answer
from cds.screening import shard
from cds.screening.crew import Processes
from cds.screening.partition import made
from cds.screening.summary import Summary
from tests.screening.exports import BOOK, DAY, Json, by_patient, lines, patients, screened, write
from tests.test_cli import ROOT, exowatch

COUNT = 40


@pytest.fixture(scope="module")
def resources() -> list[Json]:
    return patients(COUNT)


@pytest.fixture(scope="module")
def wanted(resources: list[Json]) -> bytes:
    """The findings of everybody as one evaluation of the whole input has them, in the order of their ids."""
    reasoner = Reasoner(BOOK)
    evaluations = [reasoner.evaluate(record.as_of(Moment.parse(DAY))) for record in read_all(resources, BOOK.catalogue)]
    measured = [one for one in evaluations if one.answers or one.silent]
    return b"".join(answer(one) + b"\n" for one in sorted(measured, key=lambda one: one.chart.patient))


@pytest.mark.parametrize(
    "lies", [{}, {"order": 1}, {"order": 2, "files": 3}, {"order": 3, "files": 2, "zipped": True}], ids=str
)
def test_findings_are_those_of_one_evaluation_however_the_export_lies(
    tmp_path: Path, resources: list[Json], wanted: bytes, lies: dict[str, Any]
) -> None:
    found = screened(write(tmp_path / "export", resources, **lies), tmp_path / "out")
    assert (tmp_path / "out" / "findings.ndjson").read_bytes() == wanted
    assert found.is_whole
    assert (found.patients, found.measured) == (COUNT, len(wanted.splitlines()))
    assert found.lines == found.of_patients == len(resources)
    assert not (tmp_path / "out" / "work").exists()


def test_every_output_is_the_same_from_one_and_two_processes_and_again(tmp_path: Path, resources: list[Json]) -> None:
    export = write(tmp_path / "export", resources, order=5, files=2)
    outs = [tmp_path / name for name in ("one", "two", "again")]
    for out, workers in zip(outs, (1, 2, 2), strict=True):
        with Processes(workers) as crew:
            screened(export, out, crew)
    names = sorted(path.name for path in outs[0].iterdir())
    assert names == [
        "findings.ndjson", "findings.parquet", "not-used.ndjson", "quarantine.ndjson", "summary.html", "summary.json", "unjudged.ndjson",
        "unrecorded.ndjson",
    ]  # fmt: skip
    for name in names:
        first, *others = ((out / name).read_bytes() for out in outs)
        assert others == [first, first], name


def test_a_shard_that_is_larger_than_memory_is_to_be_is_taken_in_parts(
    tmp_path: Path, resources: list[Json], wanted: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard, "PART", 8_000)
    screened(write(tmp_path / "export", resources, order=4), tmp_path / "out")
    assert (tmp_path / "out" / "findings.ndjson").read_bytes() == wanted


def test_the_table_has_a_row_for_each_finding(tmp_path: Path, resources: list[Json]) -> None:
    screened(write(tmp_path / "export", resources), tmp_path / "out")
    found = lines(tmp_path / "out" / "findings.ndjson")
    rows = pyarrow.parquet.read_table(tmp_path / "out" / "findings.parquet").to_pylist()
    assert [(row["patient"], row["rule"], row["state"]) for row in rows] == [
        (line["patient"], rule, one["state"]) for line in found for rule, one in line["answers"].items()
    ]
    flagged = [row for row in rows if row["state"] == "suspected" and row["shown"]]
    assert flagged
    for row in flagged:
        assert row["fold"] is None or row["limit"] is None or row["fold"] >= row["limit"] * 0.99
        assert row["marker"]
        assert row["line_start"] is not None


# what cannot be used ------------------------------------------------------------------------------------------------------


def test_what_cannot_be_used_is_named_with_file_and_line(tmp_path: Path) -> None:
    export = write(tmp_path / "export", patients(6))
    file = export / "Observation.0000.ndjson"
    good = file.read_bytes().splitlines()
    broken = json.loads(good[3])
    broken["status"] = "finished"
    file.write_bytes(
        b"\n".join([*good[:3], json.dumps(broken).encode(), b'{"resourceType": "Obs', b"", *good[4:]]) + b"\n"
    )
    (export / "Zzz.ndjson").write_bytes(
        b'{"resourceType":"Claim","id":"1","patient":{"reference":"Patient/1"}}\nnot at all\n'
    )
    found = screened(export, tmp_path / "out")
    quarantined = [(one["file"], one["line"]) for one in lines(tmp_path / "out" / "quarantine.ndjson")]
    assert quarantined == [("Observation.0000.ndjson", 5), ("Zzz.ndjson", 2)]
    (not_used,) = lines(tmp_path / "out" / "not-used.ndjson")
    assert not_used["where"] == "Observation.0000.ndjson:4 status"
    assert not_used["what"] == f"Observation/{broken['id']}"
    assert not_used["hides_results"]
    assert (found.refused, found.blank, found.unread_types, found.not_used) == (2, 1, {"Claim": 1}, 1)
    assert not found.is_whole


def test_line_numbers_go_on_from_piece_to_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export = write(tmp_path / "export", patients(4))
    file = export / "Observation.0000.ndjson"
    good = file.read_bytes().splitlines()
    wrong = [2, len(good) // 2, len(good) - 1]
    file.write_bytes(b"\n".join(b"{" if number in wrong else line for number, line in enumerate(good)))
    monkeypatch.setattr(
        "cds.screening.run.open_export",
        lambda folder: __import__("cds.screening.export", fromlist=["x"]).open_export(folder, 3000),
    )
    screened(export, tmp_path / "out")
    assert [one["line"] for one in lines(tmp_path / "out" / "quarantine.ndjson")] == [number + 1 for number in wrong]


def test_a_compressed_file_cut_short_is_said_everywhere(tmp_path: Path) -> None:
    export = write(tmp_path / "export", patients(10), zipped=True)
    file = export / "Observation.0000.ndjson.gz"
    file.write_bytes(file.read_bytes()[:-200])
    done = exowatch("screen", str(export), "--out", str(tmp_path / "out"), "--as-of", DAY)
    assert done.returncode == 1
    assert "Observation.0000.ndjson.gz: it ends too early" in done.stdout
    assert "The export is not whole" in (tmp_path / "out" / "summary.html").read_text(encoding="utf-8")
    assert "fetch this file again" in (tmp_path / "out" / "quarantine.ndjson").read_text(encoding="utf-8")


def test_medications_and_laboratories_are_found_wherever_they_stand(tmp_path: Path) -> None:
    resources = patients(8)
    moved: list[Json] = []
    shared: list[Json] = []
    for one in json.loads(json.dumps(resources)):
        stated = one.pop("medicationCodeableConcept", None)
        if stated is not None:
            shared.append({"resourceType": "Medication", "id": f"m{len(shared)}", "code": stated})
            one["medicationReference"] = {"reference": f"https://ehr.example/fhir/Medication/m{len(shared) - 1}"}
        moved.append(one)
    assert shared
    found = screened(write(tmp_path / "export", [*moved, *shared], order=1), tmp_path / "out")
    screened(write(tmp_path / "plain", resources), tmp_path / "before")
    assert found.shared == len(shared)
    states = [
        [
            (one["patient"], {rule: answer["state"] for rule, answer in one["answers"].items()})
            for one in lines(out / "findings.ndjson")
        ]
        for out in (tmp_path / "out", tmp_path / "before")
    ]
    assert states[0] == states[1]


def test_a_patient_who_is_named_by_an_identifier_is_found(tmp_path: Path) -> None:
    resources = json.loads(json.dumps(patients(8)))
    people = {f"Patient/{one['id']}": one["identifier"][0] for one in resources if one["resourceType"] == "Patient"}
    screened(write(tmp_path / "plain", resources), tmp_path / "before")
    for number, one in enumerate(resources):
        if one["resourceType"] != "Patient" and number % 2:
            stated = people[one["subject"]["reference"]]
            one["subject"] = {"identifier": {"system": stated["system"], "value": stated["value"]}}
    screened(write(tmp_path / "export", resources, order=2), tmp_path / "out")
    assert (tmp_path / "out" / "findings.ndjson").read_bytes() == (tmp_path / "before" / "findings.ndjson").read_bytes()


# which patients, and as of when -------------------------------------------------------------------------------------------


def test_only_patients_of_whom_something_was_updated(tmp_path: Path) -> None:
    resources = json.loads(json.dumps(patients(10)))
    changed = set(list(by_patient(resources))[2:5])
    for whose, theirs in by_patient(resources).items():
        for one in theirs:
            one["meta"] = {**one.get("meta", {}), "lastUpdated": "2020-01-01T00:00:00Z"}
        if whose in changed:
            theirs[-1]["meta"]["lastUpdated"] = "2026-10-01T02:00:00+02:00"
    export = write(tmp_path / "export", resources, order=1)
    found = screened(export, tmp_path / "out", since="2026-10-01T00:00:00Z")
    assert {one["patient"] for one in lines(tmp_path / "out" / "findings.ndjson")} == changed
    assert (found.unchanged, found.patients) == (7, 10)
    later = screened(export, tmp_path / "later", since="2026-10-01T00:00:01Z")
    assert later.unchanged == 10


def test_what_does_not_say_when_it_was_updated_counts_as_changed(tmp_path: Path) -> None:
    resources = json.loads(json.dumps(patients(3)))
    for one in resources:
        one.pop("meta", None)
    assert (
        screened(write(tmp_path / "export", resources), tmp_path / "out", since="2026-10-01T00:00:00Z").unchanged == 0
    )


def test_history_is_as_it_was_known(tmp_path: Path) -> None:
    export = write(tmp_path / "export", patients(20))
    screened(export, tmp_path / "then", as_of="2026-03-01")
    screened(export, tmp_path / "now")
    then, now = (lines(tmp_path / name / "findings.ndjson") for name in ("then", "now"))
    assert {one["asOf"] for one in then} == {"2026-03-01"}
    assert [one["answers"] for one in then] != [one["answers"] for one in now]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"since": "2026-10-01"}, "is no instant"),
        ({"since": "2026-10-01T00:00:00"}, "is no instant; such as 2026-11-01T00:00:00Z"),
        ({"since": "yesterday"}, "is no instant; such as 2026-11-01T00:00:00Z"),
        ({"since": "2999-01-01T00:00:00Z"}, "has not come yet"),
        ({"as_of": "12.3.2026"}, "is no day"),
    ],
)  # fmt: skip
def test_a_moment_that_is_none_is_refused_before_anything_is_written(
    tmp_path: Path, how: dict[str, Any], said: str
) -> None:
    export = write(tmp_path / "export", patients(1))
    with pytest.raises(InputError, match=said):
        screened(export, tmp_path / "out", **how)
    assert not (tmp_path / "out").exists()


# stopping and going on ----------------------------------------------------------------------------------------------------


def test_a_run_that_is_killed_again_and_again_comes_to_the_same(tmp_path: Path) -> None:
    """With -9, with all its processes, at moments of chance."""
    export = write(tmp_path / "export", patients(COUNT), order=9, files=2)
    screened(export, tmp_path / "whole")
    chance, out, kills = random.Random(3), tmp_path / "out", 0
    command = [
        sys.executable,
        "-m",
        "cds.cli",
        "screen",
        str(export),
        "--out",
        str(out),
        "--as-of",
        DAY,
        "--workers",
        "2",
    ]
    for _ in range(20):
        running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True)
        try:
            running.wait(chance.uniform(2.0, 4.0) + kills)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()
            kills += 1
        else:
            break
    assert running.returncode == 0
    assert kills
    for name in ("findings.ndjson", "findings.parquet", "summary.json"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    export = write(tmp_path / "export", patients(COUNT), files=2)
    out = tmp_path / "out"
    running = subprocess.Popen(
        [sys.executable, "-m", "cds.cli", "screen", str(export), "--out", str(out), "--as-of", DAY, "--workers", "1"],
        cwd=ROOT, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (out / "work" / "plan.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "the same command goes on" in said
    killed = out / "findings.parquet.0123abcd.tmp"  # what is left where files were being put together
    killed.write_bytes(b"PAR1")
    done = exowatch("screen", str(export), "--out", str(out), "--as-of", DAY)
    assert (done.returncode, killed.exists()) == (0, False), done.stderr


def _children(process: int) -> int:
    number = 0
    for stated in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            number += int(stated.read_text().rpartition(")")[2].split()[1]) == process
    return number


def test_ctrl_c_at_a_terminal_while_workers_start_is_told_once(tmp_path: Path) -> None:
    """It reaches the whole group of processes."""
    export = write(tmp_path / "export", patients(COUNT), files=2)
    running = subprocess.Popen(
        [sys.executable, "-m", "cds.cli", "screen", str(export), "--out", str(tmp_path / "out"), "--as-of", DAY, "--workers", "2"],
        cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while _children(running.pid) < 2 and time.monotonic() < deadline:  # one keeps account of what they share
        time.sleep(0.001)
    time.sleep(0.5)  # so that it is no sign to an interpreter that is not there yet
    os.killpg(running.pid, signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "Traceback" not in said
    assert "the same command goes on" in said


def test_a_part_of_a_file_without_a_run_is_somebody_elses(tmp_path: Path) -> None:
    export, out = write(tmp_path / "export", patients(1)), tmp_path / "out"
    out.mkdir()
    (out / "findings.parquet.0123abcd.tmp").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="files of no run"):
        screened(export, out)
    assert [one.name for one in out.iterdir()] == ["findings.parquet.0123abcd.tmp"]


def test_of_a_file_that_was_not_finished_nothing_is_left(tmp_path: Path) -> None:
    def stops() -> None:
        with made(tmp_path / "findings.ndjson") as file:
            file.write(b"{}")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stops()
    assert list(tmp_path.iterdir()) == []


def test_another_run_in_the_same_folder_is_refused_and_nothing_is_lost(tmp_path: Path) -> None:
    export = write(tmp_path / "export", patients(3))
    screened(export, tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    refused: list[tuple[dict[str, Any], str]] = [
        ({"as_of": "2026-01-01"}, "as of another moment"),
        ({"since": "2026-01-01T00:00:00Z"}, "another --since"),
    ]
    for how, said in refused:
        with pytest.raises(InputError, match=said):
            screened(export, tmp_path / "out", **how)
    (export / "Patient.0000.ndjson").write_bytes(b"\n")
    with pytest.raises(InputError, match="another export"):
        screened(export, tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert screened(export, tmp_path / "out", restart=True).blank == 1


def test_a_run_that_is_done_says_what_it_came_to(tmp_path: Path) -> None:
    export = write(tmp_path / "export", patients(3))
    first = screened(export, tmp_path / "out", as_of=None)
    written = (tmp_path / "out" / "findings.ndjson").stat().st_mtime_ns
    assert screened(export, tmp_path / "out", as_of=None) == first
    assert (tmp_path / "out" / "findings.ndjson").stat().st_mtime_ns == written


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    export = write(tmp_path / "export", patients(1))
    (tmp_path / "thesis.txt").write_text("mine", encoding="utf-8")
    for restart in (False, True):
        with pytest.raises(InputError, match="holds other files"):
            screened(export, tmp_path, restart=restart)
    assert (tmp_path / "thesis.txt").read_text(encoding="utf-8") == "mine"


# the command --------------------------------------------------------------------------------------------------------------


def test_the_command_says_what_it_found(tmp_path: Path) -> None:
    export = write(tmp_path / "export", patients(12))
    done = exowatch("screen", str(export), "--out", str(tmp_path / "out"), "--as-of", DAY, "--json")
    assert done.returncode == 0, done.stderr
    stated = msgspec.json.decode(done.stdout, type=Summary)
    assert stated == msgspec.json.decode((tmp_path / "out" / "summary.json").read_bytes(), type=Summary)
    assert stated.patients == 12
    said = exowatch("screen", str(export), "--out", str(tmp_path / "out"), "--as-of", DAY)
    assert "12 patients as of 2026-11-20" in said.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--workers", "2", "--cluster", "tcp://127.0.0.1:1"), "name one of the two"),
        (("--record", "https://ehr.example/fhir", "--as-of", DAY), "leave --as-of out"),
        (("--record", "ehr"), "Write the base URL"),
    ],
)
def test_options_that_do_not_go_together_are_told(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    done = exowatch("screen", str(tmp_path), "--out", str(tmp_path / "out"), *options)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())


@settings(max_examples=10)
@given(seed=st.integers(0, 10**6))
def test_any_disorder_comes_to_the_same(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    folder = tmp_path_factory.mktemp("disorder")
    resources = patients(4, seed=11)
    screened(write(folder / "in-order", resources), folder / "a")
    screened(write(folder / "export", resources, order=seed, files=1 + seed % 3), folder / "b")
    assert (folder / "a" / "findings.ndjson").read_bytes() == (folder / "b" / "findings.ndjson").read_bytes()
