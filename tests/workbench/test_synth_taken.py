"""Synthetic patients come to a real record: their EHR opens their charts, their laboratories send; nothing waits but on purpose."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from cds.intake.files import received
from cds.intake.interfaces import load_interfaces
from cds.layers import shipped_rules
from cds.reasoning.loading import default_rulebook
from cds.reasoning.reasoner import Reasoner
from cds.record.database import Database
from cds.record.recorder import Recorder
from cds.service.desk import Caller, Desk
from cds.service.reception import Reception, Report
from cds.settings import load_settings
from cds.workbench.synth import Design, write_cohort
from cds.workbench.synth.design import FAULTS

PATIENTS = 40
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
HARD = Design(months=6, faults=0.2, fault_mix=dict.fromkeys(FAULTS, 1.0), merged=0.1, deceased=0.1)
BOOK = default_rulebook()


def test_what_laboratories_send_of_patients_who_are_known(tmp_path: Path) -> None:
    write_cohort(5, PATIENTS, 1, tmp_path / "ehr", form="hooks", design=HARD)
    write_cohort(5, PATIENTS, 1, tmp_path / "lab", form="hl7v2", design=HARD)
    truths = [json.loads(line) for line in (tmp_path / "lab" / "truth.jsonl").read_text(encoding="utf-8").splitlines()]
    database = Database(f"sqlite:///{tmp_path}/record.sqlite", deadline=10)
    database.upgrade()
    recorder = Recorder(database, BOOK, clock=lambda: NOW)
    desk = Desk(load_settings(open_mode=True), Reasoner(BOOK), lambda: NOW, recorder)
    for truth in truths:
        request = json.loads((tmp_path / "ehr" / f"patient-{truth['index'] + 1:06d}.json").read_bytes())
        assert (
            desk.answer("exowatch-patient-view", json.dumps(request).encode(), Caller("ehr", "default")).left_out == 0
        )
    interfaces = load_interfaces(shipped_rules(), BOOK.catalogue.declarations)
    reception = Reception(recorder.arrivals, interfaces, BOOK.catalogue, "default", lambda: NOW)
    sent = tmp_path / "lab" / "example-lab.hl7"
    report = reception.file(sent.read_bytes(), sent.name)
    database.close()
    messages = sent.read_text(encoding="utf-8").split("MSH|")[1:]
    assert refused(report, messages) == {
        fault["result"]
        for truth in truths
        for fault in truth["faults"]
        if fault["kind"] in ("missing-unit", "wrong-unit")
    }
    # Waiting are those that stand under a former number, which the EHR has never told of, and nothing else.
    former = "".join(f"MSH|{message}" for message in messages if "PID|1||9" in message)
    theirs = received(former.encode(), sent.name, interfaces, BOOK.catalogue, NOW)
    observations = [one for one in theirs.resources if one["resourceType"] == "Observation"]
    assert sum(report.kept.waiting.values()) == len(observations) > 0
    assert report.kept.aside == 0


def refused(report: Report, messages: list[str]) -> set[str]:
    """The results of the messages in which something was refused."""
    numbers = {int(one.where.split(",")[0].removeprefix("message ")) for one in report.refused}
    return {messages[number - 1].split("|")[8].rsplit(".", 1)[0] for number in numbers}
