"""Stored answers come back evaluation by evaluation: of every rule, in their order, of one tenant, in pages or at once."""

from __future__ import annotations

import pytest

from cds.reasoning.loading import default_rulebook
from cds.record import stored
from cds.record.database import Database
from cds.record.identity import Identity
from cds.record.recorder import Recorder
from cds.record.stored import answered
from tests.patients.archetypes import patient
from tests.record.visits import asked

BOOK = default_rulebook()
TRPC5 = "trpc5-rise-on-chemotherapy"


def test_every_answer_in_its_order(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(database, BOOK)
    for name, day in (("A01", "2025-03-24"), ("A02", "2025-04-21"), ("A01", "2025-04-21"), ("A05", "2025-05-26")):
        recorder.record(asked(patient(name).bundle(), day))
    recorder.record(asked(patient("A01").bundle(), "2025-04-21", identity=Identity("elsewhere", "", "Patient/a01")))
    whole = list(answered(database, "here"))
    assert [(one.patient.rpartition("/")[2], one.as_of, one.answers[TRPC5][0]) for one in whole] == [
        ("a01", "2025-03-24", "watch"),
        ("a02", "2025-04-21", "watch"),
        ("a01", "2025-04-21", "suspected"),
        ("a05", "2025-05-26", "no-flag"),
    ]
    assert {one.answers[TRPC5][1] for one in whole} == {BOOK.rule(TRPC5).hash}
    assert whole[0].patient == "https://ehr.example/fhir/Patient/a01"
    (other,) = answered(database, "elsewhere")
    assert other.patient == "Patient/a01"
    monkeypatch.setattr(stored, "_PAGE", 2)
    assert list(answered(database, "here")) == whole
    assert list(answered(database, "nowhere")) == []
