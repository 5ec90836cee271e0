"""What is hard about exports that others write: the same as one evaluation of the whole input, or said."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cds.chart import Moment, read_all
from cds.errors import InputError
from cds.reasoning.loading import load_rulebook
from cds.reasoning.reasoner import Reasoner
from cds.record.content import answer
from cds.screening.crew import CrewLost, Processes
from cds.screening.outputs import Lost
from cds.screening.plan import Asked
from cds.screening.run import Nobody, screen
from tests.screening.exports import BOOK, DAY, Here, Json, by_patient, lines, patients, screened, write
from tests.test_cli import ROOT

REASONER = Reasoner(BOOK)


def at_once(data: bytes) -> list[bytes]:
    """The findings of an input that is read as a whole, in the order of their ids."""
    found = [REASONER.evaluate(record.as_of(Moment.parse(DAY))) for record in read_all(data, BOOK.catalogue)]
    measured = sorted((one for one in found if one.answers or one.silent), key=lambda one: one.chart.patient)
    return [answer(one) for one in measured]


def found_in(out: Path) -> list[bytes]:
    return (out / "findings.ndjson").read_bytes().splitlines()


def exported(folder: Path, rows: list[bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "All.ndjson").write_bytes(b"\n".join(rows) + b"\n")
    return folder


def with_medications(resources: list[Json]) -> list[Json]:
    """The same with each medication in a resource of its own."""
    found: list[Json] = []
    for one in json.loads(json.dumps(resources)):
        stated = one.pop("medicationCodeableConcept", None)
        if stated is not None:
            name = f"m{len(found)}"
            found.append({"resourceType": "Medication", "id": name, "code": stated})
            one["medicationReference"] = {"reference": f"Medication/{name}"}
        found.append(one)
    return found


def escaped(rows: list[bytes]) -> list[bytes]:
    return [row.replace(b"/", rb"\/") for row in rows]


def by_number(rows: list[bytes]) -> list[bytes]:
    return [row.replace(b"Medication/", rb"\u004dedication\u002f") for row in rows]


def odd_ids(rows: list[bytes]) -> list[bytes]:
    return [
        row.replace(b"Medication/m", b"Medication/m_" + b"x" * 70).replace(b'"id": "m', b'"id": "m_' + b"x" * 70)
        for row in rows
    ]


@pytest.mark.parametrize("written", [list, escaped, by_number, odd_ids], ids=lambda one: one.__name__)
def test_what_is_shared_is_found_however_its_name_is_written(tmp_path: Path, written: Any) -> None:
    rows = written([json.dumps(one).encode() for one in with_medications(patients(20))])
    wanted = at_once(b"\n".join(rows))
    assert any(b'"suspected"' in one for one in wanted)
    found = screened(exported(tmp_path / "export", rows), tmp_path / "out")
    assert found_in(tmp_path / "out") == wanted
    assert found.shared > 0
    assert found.is_whole


@pytest.mark.parametrize("system", ["http://hospital.example/mrn", "urn:oid:1.2.3", "mrn"])
def test_whoever_is_named_by_an_identifier_alone_is_evaluated(tmp_path: Path, system: str) -> None:
    rows = []
    for whose, theirs in by_patient(patients(4)).items():
        for one in theirs:
            if one["resourceType"] != "Patient":
                rows.append(json.dumps({**one, "subject": {"identifier": {"system": system, "value": whose}}}).encode())
    wanted = at_once(b"\n".join(rows))
    assert wanted
    screened(exported(tmp_path / "export", rows), tmp_path / "out")
    assert found_in(tmp_path / "out") == wanted


def test_a_patient_of_another_server_is_not_ours(tmp_path: Path) -> None:
    resources = patients(4)
    for one in resources[5:]:
        if one["resourceType"] == "Observation":
            one["subject"]["reference"] = f"https://other.example/fhir/{one['subject']['reference']}"
    export = write(tmp_path / "export", resources)
    moved = sum(str(one.get("subject", {}).get("reference", "")).startswith("https") for one in resources)
    (export / "fetch.json").write_text(
        '{"request": {"server": "https://EHR.example:443/fhir/"}, "complete": true}', "utf-8"
    )
    found = screened(export, tmp_path / "out")
    assert found.refused == moved > 0
    assert {one["reason"] for one in lines(tmp_path / "out" / "quarantine.ndjson")} == {
        "it is of a patient of another server"
    }


@pytest.mark.parametrize("wrong", [b"\xe4", b"\xff", b'", "x": 1e99999999999999999999, "y": "'])
def test_a_bad_sign_in_one_line_harms_nobody_else(tmp_path: Path, wrong: bytes) -> None:
    rows = [json.dumps(one).encode() for one in with_medications(patients(12))]
    place = next(number for number, row in enumerate(rows) if b'"Observation"' in row[:40])
    shared = next(number for number, row in enumerate(rows) if b'"Medication"' in row[:40])
    for number in (place, shared):
        rows[number] = rows[number][:-1] + b', "language": "' + wrong + b'"}'
    wanted = at_once(b"\n".join(rows[:shared] + rows[shared + 1 :]))
    found = screened(exported(tmp_path / "export", rows), tmp_path / "out")
    assert found_in(tmp_path / "out") == wanted
    assert (found.refused, found.unjudged) == (2, 0)
    assert sorted(one["line"] for one in lines(tmp_path / "out" / "quarantine.ndjson")) == sorted(
        [place + 1, shared + 1]
    )


def test_whose_results_could_not_be_read_has_not_none(tmp_path: Path) -> None:
    resources = patients(2)
    for one in resources:
        if one["resourceType"] == "Observation":
            one["status"] = "preliminary"
    found = screened(write(tmp_path / "export", resources), tmp_path / "out")
    assert (found.unread, found.unmeasured, found.measured) == (2, 0, 0)
    assert not found.is_whole
    page = (tmp_path / "out" / "summary.html").read_text("utf-8")
    assert "Of 2 patients something may be a result, and could not be read" in page


def test_a_result_beside_others_that_was_not_read_is_told(tmp_path: Path) -> None:
    resources = patients(2)
    mine = next(one for one in resources if "exosomal-marker" in json.dumps(one.get("code")))
    mine["status"] = "preliminary"
    found = screened(write(tmp_path / "export", resources), tmp_path / "out")
    assert (found.measured, found.unread, found.partly) == (2, 0, 1)
    page = (tmp_path / "out" / "summary.html").read_text("utf-8")
    assert "Not everything could be evaluated" in page
    assert "Of 1 patient with a result something else that may be a result was not read" in page


def test_a_corrected_medication_is_a_change_of_whoever_takes_it(tmp_path: Path) -> None:
    resources = with_medications(patients(6))
    for one in resources:
        one["meta"] = {"lastUpdated": "2020-01-01T00:00:00Z"}
    medication = next(one for one in resources if one["resourceType"] == "Medication")
    medication["meta"] = {"lastUpdated": "2026-10-05T00:00:00Z"}
    takes = next(one for one in resources if medication["id"] in str(one.get("medicationReference")))
    found = screened(write(tmp_path / "export", resources), tmp_path / "out", since="2026-10-01T00:00:00Z")
    assert found.unchanged == 5
    assert [one["patient"] for one in lines(tmp_path / "out" / "findings.ndjson")] == [takes["subject"]["reference"]]


def test_what_is_not_read_and_what_the_server_left_out_is_named(tmp_path: Path) -> None:
    export = write(tmp_path / "export", patients(2))
    (export / "Observation.ndjson.zst").write_bytes(b"x")
    (export / "more").mkdir()
    (export / "more" / "Observation.ndjson").write_bytes(b"{}")
    (export / "errors").mkdir()
    (export / "errors" / "OperationOutcome.0001.ndjson").write_bytes(b"{}\n")
    (export / "README.txt").write_text("by the IT department", "utf-8")
    found = screened(export, tmp_path / "out")
    assert found.ignored == ["Observation.ndjson.zst", "more"]
    assert found.errors == ["errors/OperationOutcome.0001.ndjson"]
    assert not found.is_whole
    page = (tmp_path / "out" / "summary.html").read_text("utf-8")
    assert "Not read, and may hold resources: Observation.ndjson.zst, more" in page
    assert "The server could not export everything" in page


def test_file_names_of_other_systems(tmp_path: Path) -> None:
    export = write(tmp_path / "export", patients(2))
    (export / "Observation.0000.ndjson").rename(export / "OBSERVATION.NDJSON")
    assert screened(export, tmp_path / "out").measured == 2
    os.rename(export / "OBSERVATION.NDJSON", os.fsencode(export) + b"/Obs\xe4.ndjson")
    with pytest.raises(InputError, match="cannot be written down"):
        screened(export, tmp_path / "again")


# runs --------------------------------------------------------------------------------------------------------------------


def test_processes_that_are_kept_take_the_rules_of_each_run(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    subprocess.run(["cp", "-r", str(ROOT / "rules"), str(rules)], check=True)
    rule = rules / "resistance" / "trpc5-rise-on-chemotherapy.yaml"
    rule.write_text(rule.read_text("utf-8").replace("floor: 2.0", "floor: 2.5"), "utf-8")
    other = load_rulebook(rules)
    assert other.hash != BOOK.hash
    export = write(tmp_path / "export", patients(3))
    with Processes(1) as crew:
        for book, name in ((BOOK, "one"), (other, "two"), (BOOK, "three")):
            screen(Asked(export, tmp_path / name, book, DAY), crew, Nobody())
            assert {one["rulebook"] for one in lines(tmp_path / name / "findings.ndjson")} == {book.hash}


def test_two_calls_in_one_folder_do_not_mix(tmp_path: Path) -> None:
    export, out = write(tmp_path / "export", patients(1)), tmp_path / "out"
    out.mkdir()
    holder = os.open(out, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    with pytest.raises(InputError, match="another call of `exowatch screen` is at work in it"):
        screened(export, out)
    os.close(holder)
    assert screened(export, out).is_whole


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_who_gave_them_work(tmp_path: Path, sent: signal.Signals) -> None:
    export, out = write(tmp_path / "export", patients(150), files=2), tmp_path / "out"
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
    running = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(out.glob("work/shard-*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    workers = children(running.pid)
    assert workers
    running.send_signal(sent)
    _, said = running.communicate(timeout=30)
    if sent == signal.SIGTERM:
        assert running.returncode == 130
        assert "the same command goes on" in said
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [pid for pid in workers if Path(f"/proc/{pid}").exists()] == []
    assert screened(export, out).patients == 150


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    return [int(one) for one in found if "spawn_main" in Path(f"/proc/{one}/cmdline").read_text("utf-8")]


def test_what_a_disk_has_lost_is_noticed(tmp_path: Path) -> None:
    """Parts that are empty once the machine is up again."""
    export, out = write(tmp_path / "export", patients(12)), tmp_path / "out"

    class Stops(Here):
        def run(self, work: Any, jobs: Any, setup: Any) -> Any:
            yield from super().run(work, jobs, setup)
            if work.__name__ == "evaluated":
                raise CrewLost("the power is gone")

    with pytest.raises(CrewLost):
        screened(export, out, Stops())
    emptied = next(path for path in sorted(out.glob("work/*.findings")) if path.stat().st_size)
    emptied.write_bytes(b"")
    with pytest.raises(Lost, match=r"lines of findings\.ndjson were counted"):
        screened(export, out)
    assert not (out / "summary.json").exists()
    assert screened(export, out, restart=True).measured == 12


def test_a_run_that_was_killed_before_its_plan_or_after_its_summary_goes_on(tmp_path: Path) -> None:
    export, out = write(tmp_path / "export", patients(2)), tmp_path / "out"
    (out / "work").mkdir(parents=True)
    (out / "work" / "plan.json.0a1b2c3d.tmp").write_bytes(b"{")
    first = screened(export, out)
    (out / "work").mkdir()
    (out / "work" / "piece-00000.parcels").write_bytes(b"")
    assert screened(export, out) == first
    assert not (out / "work").exists()


def test_a_full_disk_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    export, out = write(tmp_path / "export", patients(30)), tmp_path / "out"
    limited = f"ulimit -f 20; exec {sys.executable} -m cds.cli screen {export} --out {out} --as-of {DAY} --workers 1"
    done = subprocess.run(
        ["bash", "-c", f"trap '' XFSZ; {limited}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert "Likely the disk is full" in " ".join(done.stderr.split())
    assert screened(export, out).patients == 30


def test_whole_records_are_their_owners_alone(tmp_path: Path) -> None:
    export, out = write(tmp_path / "export", patients(2)), tmp_path / "out"
    command = [sys.executable, "-m", "cds.cli", "screen", str(export), "--out", str(out), "--as-of", DAY]
    assert subprocess.run(["bash", "-c", 'umask 022; exec "$@"', "-", *command], cwd=ROOT, check=False).returncode == 0
    assert out.stat().st_mode & 0o077 == 0
    assert [path.name for path in out.iterdir() if path.stat().st_mode & 0o077] == []


# what is not all there ----------------------------------------------------------------------------------------------------


def test_less_than_the_manifest_says_is_named(tmp_path: Path) -> None:
    export = write(tmp_path / "export", patients(4))
    file = export / "Observation.0000.ndjson"
    rows = file.read_bytes().splitlines()
    output = [
        {"type": "Observation", "url": "https://ehr.example/1", "count": len(rows)},
        {"type": "Patient", "count": 4},
    ]
    (export / "manifest.json").write_text(json.dumps({"output": output}), "utf-8")
    assert screened(export, tmp_path / "whole").missing == []
    file.write_bytes(b"\n".join(rows[:-3]) + b"\n")
    found = screened(export, tmp_path / "cut")
    assert found.missing == [f"Observation: {len(rows):,} in the manifest, {len(rows) - 3:,} in the files"]
    assert not found.is_whole
    assert "Missing: Observation" in (tmp_path / "cut" / "summary.html").read_text("utf-8")
    file.unlink()
    assert "there is no Observation in the export" in screened(export, tmp_path / "none").missing


def test_a_fetched_folder_is_compared_with_what_was_fetched(tmp_path: Path) -> None:
    export = write(tmp_path / "export", patients(2))
    files = [
        {"kind": "output", "type": "Condition", "resources": 999},
        {"kind": "error", "type": "OperationOutcome", "resources": 7},
    ]
    stated = {"request": {"server": "https://ehr.example/fhir", "since": ""}, "complete": True, "files": files}
    (export / "fetch.json").write_text(json.dumps(stated), "utf-8")
    (missing,) = screened(export, tmp_path / "out").missing
    assert missing.startswith("Condition: 999 in the manifest, ")


def test_patients_of_whom_there_is_no_patient_resource_are_counted(tmp_path: Path) -> None:
    resources = [one for one in patients(5) if one["resourceType"] != "Patient"]
    found = screened(write(tmp_path / "export", resources), tmp_path / "out")
    assert (found.nameless, found.patients, found.is_whole) == (5, 5, False)


def test_two_people_with_one_id_are_not_judged(tmp_path: Path) -> None:
    """As where the exports of two servers lie in one folder; a newer version of one Patient is no other person."""
    resources = patients(3)
    first = next(one for one in resources if one["resourceType"] == "Patient")
    other = {**first, "birthDate": "1950-05-05"}
    found = screened(write(tmp_path / "export", [*resources, other]), tmp_path / "out")
    assert found.unjudged == 1
    (line,) = lines(tmp_path / "out" / "unjudged.ndjson")
    assert line["patient"] == f"Patient/{first['id']}"
    assert "exports of two servers" in line["reason"]
    other["meta"] = {"versionId": "9", "lastUpdated": "2026-11-01T00:00:00Z"}
    assert screened(write(tmp_path / "newer", [*resources, other]), tmp_path / "newer-out").unjudged == 0


def test_a_mark_of_utf8_at_the_beginning_of_a_file_is_no_sign_of_its_first_line(tmp_path: Path) -> None:
    export = write(tmp_path / "export", patients(3))
    screened(export, tmp_path / "plain")
    for file in export.iterdir():
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    found = screened(export, tmp_path / "marked")
    assert found.refused == 0
    assert found_in(tmp_path / "marked") == found_in(tmp_path / "plain")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x1f\x8b\x08\x00", "compressed with gzip. Next step: name it .ndjson.gz"),
        ('{"a": 1}\n'.encode("utf-16"), "UTF-16"),
        (b'{\n  "resourceType": "Patient"\n}', "JSON over several lines"),
        (b'[{"resourceType": "Patient"}]', "one JSON list"),
        (b"<html>", "XML or HTML. Next step: ask the server for application/fhir+ndjson"),
        (b"%PDF-1.7", "a PDF. Next step: take it out"),
    ],
)
def test_a_file_of_something_else_is_said_once(tmp_path: Path, content: bytes, said: str) -> None:
    export = write(tmp_path / "export", patients(1))
    (export / "Extra.ndjson").write_bytes(content)
    with pytest.raises(InputError, match=re.escape(said)):
        screened(export, tmp_path / "out")


def test_restart_deletes_nothing_where_somebody_has_put_a_file(tmp_path: Path) -> None:
    export, out = write(tmp_path / "export", patients(2)), tmp_path / "out"
    screened(export, out)
    (out / "notes.txt").write_text("mine", "utf-8")
    before = sorted(path.name for path in out.iterdir())
    with pytest.raises(InputError, match="holds other files"):
        screened(export, out, restart=True)
    assert sorted(path.name for path in out.iterdir()) == before
