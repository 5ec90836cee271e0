"""Replay, export, erasure and merge: the past as it was, and gone where it must."""

from __future__ import annotations

import json
import shutil
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import func, select

from cds.reasoning.loading import load_rulebook, shipped_rules
from cds.reasoning.reasoner import Reasoner
from cds.record import tables
from cds.record.audit import verify
from cds.record.database import Database
from cds.record.erasure import erase, export, merge
from cds.record.identity import NoSuchPatient
from cds.record.recorder import Recorder
from cds.record.replay import NoSuchEvaluation, replay
from tests.patients.archetypes import patients
from tests.record.visits import REASONER, asked, visit, who

BOOK = REASONER.rulebook


def test_every_patient_of_the_evidence_replays_byte_for_byte(database: Database) -> None:
    recorder = Recorder(database, BOOK)
    ids = [
        recorder.record(asked(one.bundle(), str(expected.as_of))).evaluation_id
        for one in patients()
        for expected in one.expected
    ]
    for key in ids:
        again = replay(database, REASONER, key)
        assert again.same, again.differences
        assert again.other == again.differences == ()


def test_other_rules_say_what_they_would_have_said(database: Database, tmp_path: Path) -> None:
    key = visit(Recorder(database, BOOK), "A01", "2025-12-31").evaluation_id
    rules = tmp_path / "rules"
    shutil.copytree(shipped_rules(), rules)
    file = rules / "resistance" / "trpc5-rise-on-chemotherapy.yaml"
    text = file.read_text("utf-8")
    assert "floor: 2.0" in text
    file.write_text(text.replace("floor: 2.0", "floor: 200.0", 1), "utf-8")
    found = replay(database, Reasoner(load_rulebook(rules)), key[:8])
    assert not found.same
    assert [one.split(":")[0] for one in found.other] == ["rulebook"]
    assert found.states["trpc5-rise-on-chemotherapy"] == ("suspected", "no-flag")
    assert any("state: suspected → no-flag" in one for one in found.differences)


def test_an_unknown_evaluation_is_named(database: Database) -> None:
    with pytest.raises(NoSuchEvaluation, match="begins with 'nope'"):
        replay(database, REASONER, "nope")


def count(database: Database) -> dict[str, int]:
    with database.reading() as connection:
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (tables.patient, *tables.OF_PATIENT)
        }


def test_what_is_stored_of_a_patient_can_be_exported(database: Database) -> None:
    recorder = Recorder(database, BOOK)
    known = visit(recorder, "A30", "2025-04-28")
    found = export(database, who(known_reference(database)))
    assert [one["id"] for one in found["evaluation"]] == [known.evaluation_id]
    assert found["inputs"][0]["content"]["resourceType"] == "Bundle"
    assert found["advisory_event"][0]["said"]["state"] == "suspected"
    assert "salt" not in json.dumps(found["patient"])
    with pytest.raises(NoSuchPatient):
        export(database, who("Patient/unknown"))


def known_reference(database: Database) -> str:
    with database.reading() as connection:
        return str(connection.execute(select(tables.patient.c.reference).limit(1)).scalar_one())


def test_an_erased_patient_leaves_nothing_and_the_chain_holds(database: Database) -> None:
    recorder = Recorder(database, BOOK)
    visit(recorder, "A30", "2025-04-28")
    reference = known_reference(database)
    visit(recorder, "A01", "2025-12-31")
    before = count(database)
    assert erase(database, who(reference), "privacy-office") > 4
    after = count(database)
    assert all(after[name] < before[name] for name in ("patient", "evaluation", "inputs", "advisory", "advisory_event"))
    with database.reading() as connection:
        assert verify(connection, {}).holds
        kept = " ".join(str(tuple(row)) for row in connection.execute(select(tables.audit)))
    assert reference not in kept
    with pytest.raises(NoSuchPatient):
        export(database, who(reference))
    visit(recorder, "A30", "2025-04-28")  # a patient who comes again begins anew
    with database.reading() as connection:
        assert verify(connection, {}).holds


def test_merged_patients_have_one_history(database: Database) -> None:
    recorder = Recorder(database, BOOK)
    bundle = next(one for one in patients() if one.id == "A29").bundle(date(2025, 4, 28))
    for reference in ("Patient/old", "Patient/new"):
        recorder.record(asked(bundle, "2025-04-28", identity=who(reference)))
    merge(database, who("Patient/new"), who("Patient/old"), "registry")
    with database.reading() as connection:
        assert verify(connection, {}).holds
    known = recorder.record(asked(bundle, "2025-04-28", identity=who("Patient/old")))
    assert [(step.kind, step.reason) for _, step in known.events] == [("superseded", "merged")]
    assert len(export(database, who("Patient/new"))["evaluation"]) == 3
    assert erase(database, who("Patient/old"), "privacy-office")
    assert set(count(database).values()) == {0}
    with database.reading() as connection:
        assert verify(connection, {}).holds


def test_merging_back_and_merging_on_make_no_circle_and_no_dead_end(database: Database) -> None:
    recorder = Recorder(database, BOOK)
    bundle = next(one for one in patients() if one.id == "A29").bundle(date(2025, 4, 28))
    for reference in ("Patient/1", "Patient/2", "Patient/3"):
        recorder.record(asked(bundle, "2025-04-28", identity=who(reference)))
    merge(database, who("Patient/1"), who("Patient/2"), "registry")
    merge(database, who("Patient/2"), who("Patient/1"), "registry")  # an operator who undoes a mistake: they are one
    merge(database, who("Patient/2"), who("Patient/3"), "registry")  # goes on to the one that stays
    for reference in ("Patient/1", "Patient/2", "Patient/3"):
        recorder.record(asked(bundle, "2025-04-28", identity=who(reference)))
    with database.reading() as connection:
        owners = set(connection.execute(select(tables.evaluation.c.patient_id)).scalars())
        assert verify(connection, {}).holds
    assert len(owners) == 1


def test_a_hook_that_was_recorded_before_a_merge_replays(database: Database) -> None:
    recorder = Recorder(database, BOOK)
    bundle = patients()[0].bundle()
    captured = {
        "hook": "patient-view",
        "context": {"patientId": patients()[0].id.lower()},
        "prefetch": {"all": bundle},
    }
    own = who(f"Patient/{patients()[0].id.lower()}")
    key = recorder.record(asked(captured, "2025-12-31", identity=own)).evaluation_id
    recorder.record(asked(bundle, "2025-12-31", identity=who("Patient/kept")))
    merge(database, who("Patient/kept"), own, "registry")
    assert replay(database, REASONER, key).same


def test_nothing_of_an_erased_patient_stays_in_the_files(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/record.sqlite", deadline=10)
    database.upgrade()
    recorder = Recorder(database, BOOK)
    recorder.record(asked(patients()[0].bundle(), "2025-12-31", identity=who("Patient/unmistakable-4711")))
    erase(database, who("Patient/unmistakable-4711"), "privacy-office")
    for file in tmp_path.glob("record.sqlite*"):
        assert b"unmistakable-4711" not in file.read_bytes(), file.name
    database.close()
