"""Findings into the record: advice as the hook would open, confirm and withdraw it, of the patients whom the hook means."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey
from sqlalchemy import select

from cds.errors import InputError
from cds.reasoning.reasoner import Reasoner
from cds.record import tables
from cds.record.audit import verify
from cds.record.database import Database
from cds.record.listing import advisories
from cds.record.recorder import Recorder
from cds.screening.plan import Destination
from cds.screening.recording import destination
from cds.service.desk import Caller, Desk
from cds.settings import Settings
from cds.workbench.synth.requests import hook_request
from tests.screening.exports import BOOK, Here, Json, by_patient, lines, patients, screened, write
from tests.test_cli import ROOT

SERVER = "https://ehr.example/fhir"
TO = Destination(SERVER, "default")


@pytest.fixture
def record(database: Database, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    """The record of this installation."""
    monkeypatch.setenv("EXOWATCH_DATABASE_URL", address)
    monkeypatch.setenv("EXOWATCH_CHECKPOINT_FILE", str(tmp_path / "checkpoints.jsonl"))
    return database


def flagged(count: int = 30) -> list[Json]:
    return patients(count, seed=5)


def standing(database: Database) -> dict[tuple[str, str], tuple[str, str]]:
    """Of each patient and question the state and standing of its advice."""
    found = advisories(database, "default", most=1000)
    return {(one.patient, one.question): (one.state, one.standing) for one in found}


def test_advice_is_that_of_the_hook(record: Database, tmp_path: Path) -> None:
    resources = flagged()
    other = Database(f"sqlite:///{tmp_path}/hook.sqlite", deadline=10)
    other.upgrade()
    desk = Desk(Settings(open_mode=True), Reasoner(BOOK), lambda: datetime.now(UTC), Recorder(other, BOOK))
    (service,) = (one for one in desk.discovery()["services"] if one["hook"] == "patient-view")
    for theirs in by_patient(resources).values():
        bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": one} for one in theirs]}
        asked = hook_request(bundle, service)
        asked["fhirServer"] = SERVER
        desk.answer(service["id"], json.dumps(asked).encode(), Caller("ehr", "default"))
    found = screened(write(tmp_path / "export", resources, order=1), tmp_path / "out", as_of=None, record=TO)
    assert standing(record) == standing(other)
    assert standing(record)
    assert found.recorded >= len({patient for patient, _ in standing(record)})
    with record.reading() as connection, other.reading() as hooks:
        people = [
            sorted(one.execute(select(tables.person.c.family, tables.person.c.given, tables.person.c.number)).all())
            for one in (connection, hooks)
        ]
        assert set(people[0]) <= set(people[1])
        assert people[0]
        assert verify(connection, {}).holds
    other.close()


def test_advice_whose_data_are_gone_is_withdrawn(record: Database, tmp_path: Path) -> None:
    resources = flagged()
    screened(write(tmp_path / "first", resources), tmp_path / "one", as_of=None, record=TO)
    before = standing(record)
    assert any(state == "suspected" for state, _ in before.values())
    for one in resources:
        if one["resourceType"] == "Observation":
            one["status"] = "entered-in-error"
            one["meta"] = {"lastUpdated": datetime.now(UTC).isoformat(timespec="seconds")}
    screened(write(tmp_path / "second", resources), tmp_path / "two", as_of=None, record=TO)
    after = standing(record)
    assert set(after) == set(before)
    assert {standing for _, standing in after.values()} == {"withdrawn"}


def test_a_run_that_goes_on_records_nobody_twice(record: Database, tmp_path: Path) -> None:
    export, out = write(tmp_path / "export", flagged(12)), tmp_path / "out"

    class Stops(Here):
        """Is stopped once half of the shards are recorded."""

        def run(self, work: Any, jobs: Any, setup: Any) -> Any:
            for number, made in enumerate(super().run(work, jobs, setup)):
                if work.__name__ == "recorded" and number > len(jobs) // 2:
                    raise KeyboardInterrupt
                yield made

    with pytest.raises(KeyboardInterrupt):
        screened(export, out, Stops(), as_of=None, record=TO)
    found = screened(export, out, as_of=None, record=TO)
    with record.reading() as connection:
        evaluations = connection.execute(select(tables.evaluation.c.patient_id)).scalars().all()
    assert len(evaluations) == len(set(evaluations)) == found.recorded


def test_whoever_cannot_be_recorded_is_listed_and_the_others_are(record: Database, tmp_path: Path) -> None:
    resources = flagged(6)
    (odd, *_), theirs = list(by_patient(resources)), by_patient(resources)
    for one in theirs[odd]:
        one["subject" if one["resourceType"] != "Patient" else "x"] = {"reference": "Device/7"}
    resources = [one for one in resources if one["resourceType"] != "Patient" or f"Patient/{one['id']}" != odd]
    found = screened(write(tmp_path / "export", resources), tmp_path / "out", as_of=None, record=TO)
    assert found.unrecorded == 1
    assert [one["patient"] for one in lines(tmp_path / "out" / "unrecorded.ndjson")] == ["Device/7"]
    assert not found.is_whole
    with record.reading() as connection:
        assert "Device/7" not in connection.execute(select(tables.patient.c.reference)).scalars().all()


def test_the_command_records_and_the_board_shows(record: Database, address: str, tmp_path: Path) -> None:
    export = write(tmp_path / "export", flagged(8))
    command = [sys.executable, "-m", "cds.cli", "screen", str(export), "--out", str(tmp_path / "out"), "--workers", "2"]
    done = subprocess.run([*command, "--record", f"{SERVER}/"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "stand in the record" in done.stdout
    with record.reading() as connection:
        assert set(connection.execute(select(tables.patient.c.server)).scalars()) == {SERVER}


@pytest.mark.parametrize(
    "base", ["https://", "ehr", "https://ehr.example/fhir?x=1", "https://ehr.example/fhir#y", "ftp://ehr.example"]
)
def test_what_is_no_server_is_refused(base: str) -> None:
    with pytest.raises(InputError, match="Write the base URL"):
        destination(base)


CLIENTS = """clients:
  - {name: one, issuer: "https://one.example", keys: one.json, may: [call], tenant: a, fhir: ["https://one.example/fhir"]}
  - {name: two, issuer: "https://two.example", keys: one.json, may: [call], tenant: b, fhir: ["https://two.example/fhir"]}
  - {name: three, issuer: "https://three.example", keys: one.json, may: [call], fhir: ["https://two.example/fhir"]}
"""


def test_the_tenant_is_that_of_the_clients_of_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert destination("https://one.example:443/fhir/") == Destination("https://one.example/fhir", "default")
    key = ECKey.generate_key("P-384", {"kid": "one"}).as_dict(private=False)
    (tmp_path / "one.json").write_text(json.dumps({"keys": [key]}), "utf-8")
    (tmp_path / "clients.yaml").write_text(CLIENTS, "utf-8")
    monkeypatch.setenv("EXOWATCH_CLIENTS_FILE", str(tmp_path / "clients.yaml"))
    assert destination("https://one.example/fhir") == Destination("https://one.example/fhir", "a")
    for base, said in (
        ("https://two.example/fhir", "clients of several tenants"),
        ("https://else.example", "no client may speak"),
    ):
        with pytest.raises(InputError, match=said):
            destination(base)


def test_the_record_of_another_server_than_the_export_is_refused(tmp_path: Path) -> None:
    export = write(tmp_path / "export", patients(1))
    (export / "fetch.json").write_text(
        '{"request": {"server": "https://other.example/fhir"}, "complete": true}', "utf-8"
    )
    with pytest.raises(InputError, match="its patients would be others"):
        screened(export, tmp_path / "out", as_of=None, record=TO)
    assert not os.path.exists(tmp_path / "out")
