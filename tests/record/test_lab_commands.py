"""The commands about what laboratories send, as a person at a terminal gives them; on SQLite, for `test_commands` runs on both."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from cds.record.database import Database
from cds.record.identity import Identity
from cds.record.listing import advisories
from cds.record.recorder import Recorder
from tests.intake.test_labs import SERIES, messages_of, row, table
from tests.record.test_commands import Terminal
from tests.record.test_commands import terminal as _terminal
from tests.record.visits import REASONER

pytestmark = pytest.mark.parametrize("address", ["sqlite"], indirect=True)
terminal = _terminal
WHO = Identity("default", "https://ehr.example/fhir", "Patient/7")


@pytest.fixture
def installed(terminal: Terminal, connect: Callable[[], Database]) -> Database:
    terminal.run("db", "upgrade")
    (terminal.folder / "results.hl7").write_bytes(messages_of(SERIES))
    (terminal.folder / "march.csv").write_bytes(table(*(row(day, *values) for day, values in SERIES.items())))
    return connect()


def queue(terminal: Terminal, expect: int = 1) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(terminal.run("labs", "queue", "--json", expect=expect))
    return found


def test_from_a_file_to_an_advisory(terminal: Terminal, installed: Database) -> None:
    said = terminal.run("labs", "take", "results.hl7", expect=1)
    assert "10 results: 10 mapped, 0 refused" in said
    assert "Observations: 10 stored, 0 known before, 10 waiting; 0 patients evaluated" in said
    assert "`exowatch labs queue` shows them" in said
    said = terminal.run("labs", "take", "results.hl7", expect=1)
    assert "Observations: 0 stored, 10 known before, 10 waiting; 0 patients evaluated" in said
    assert "no patient has this identifier" in terminal.run("labs", "queue", expect=1)
    waiting = queue(terminal)
    assert len(waiting) == 5
    shown = json.loads(terminal.run("labs", "queue", waiting[0]["id"]))
    assert {one["resourceType"] for one in shown["resources"]} == {"Observation", "Specimen", "Provenance"}
    assert "--new" in terminal.run("labs", "assign", waiting[0]["id"], WHO.address, "--by", "lab desk", expect=2)
    said = terminal.run("labs", "assign", waiting[0]["id"], WHO.address, "--by", "lab desk", "--new")
    assert f"given to {WHO.address}" in said
    for one in waiting[1:]:
        terminal.run("labs", "assign", one["id"], WHO.address, "--by", "lab desk")
    assert terminal.run("labs", "queue").strip() == "nothing waits"
    said = terminal.run("labs", "take", "results.hl7")
    assert "0 stored, 10 known before, 0 waiting; 1 patient evaluated" in said
    assert queue(terminal, expect=0) == []
    recorder = Recorder(installed, REASONER.rulebook)
    assert len(recorder.arrivals.of(WHO).resources) == 15
    assert advisories(installed, "default") == []  # results alone: the treatment is not known, so nothing is flagged
    terminal.run("audit", "verify")


def test_a_dry_run_shows_what_would_be_stored_and_records_nothing(terminal: Terminal) -> None:
    bad = messages_of(SERIES).replace(b"10*6{particles}/mL", b"{copies}/mL", 1)
    (terminal.folder / "results.hl7").write_bytes(bad)
    # Nothing is recorded, so no record is needed.
    said = terminal.run("labs", "take", "--dry-run", "results.hl7", "--out", "found.ndjson", expect=1)
    assert said == terminal.run("labs", "map", "results.hl7", expect=1)
    for words in ("10 results: 9 mapped, 1 refused", "'{copies}/mL' is no unit of trpc5-ev", "results.hl7, message 2, OBX 1, line 10",
                  "2.0 10*6{particles}/mL", "EV-20250102", "2025-01-02", "4711"):  # fmt: skip
        assert words in said, words
    kinds = [json.loads(line)["resourceType"] for line in (terminal.folder / "found.ndjson").read_text().splitlines()]
    assert kinds.count("Observation") == 9
    terminal.run("db", "upgrade")
    assert queue(terminal, expect=0) == []
    assert "add --dry-run" in terminal.run("labs", "take", "results.hl7", "--out", "found.ndjson", expect=2)
    assert queue(terminal, expect=0) == []


def test_a_record_that_is_not_there_yet_is_said_to_be(terminal: Terminal) -> None:
    (terminal.folder / "results.hl7").write_bytes(messages_of(SERIES))
    assert "exowatch db upgrade" in terminal.run("labs", "take", "results.hl7", expect=2)


def test_what_is_nobodys_here_is_set_aside(terminal: Terminal, installed: Database) -> None:
    terminal.run("labs", "take", "march.csv", "--laboratory", "example-lab", expect=1)
    (waiting,) = queue(terminal)
    assert "content is deleted" in terminal.run("labs", "set-aside", waiting["id"], "--by", "lab desk")
    assert queue(terminal, expect=0) == []
    said = terminal.run("labs", "take", "march.csv", "--laboratory", "example-lab")
    assert "0 stored, 10 known before, 0 waiting, 10 set aside before" in said
    assert queue(terminal, expect=0) == []
    said = terminal.run("labs", "assign", waiting["id"], WHO.address, "--by", "lab desk", "--new", expect=2)
    assert "holds nothing of id" in said


def test_a_message_for_training_is_no_patients(terminal: Terminal, installed: Database) -> None:
    first, *others = messages_of(SERIES).split(b"MSH|")[1:]
    sent = b"".join(b"MSH|" + one for one in (first.replace(b"|P|", b"|T|", 1), *others))
    (terminal.folder / "results.hl7").write_bytes(sent)
    for command in ("map", "take"):
        said = terminal.run("labs", command, "results.hl7", expect=1)
        assert "10 results: 8 mapped, 2 refused" in said
        assert "for training or tests (MSH-11)" in " ".join(said.split())
    assert sum(int(one["results"]) for one in queue(terminal)) == 8


def test_refusals_are_named_and_counted(terminal: Terminal, installed: Database) -> None:
    bad = messages_of(SERIES).replace(b"10*6{particles}/mL", b"{copies}/mL", 1)
    (terminal.folder / "results.hl7").write_bytes(bad)
    said = terminal.run("labs", "take", "results.hl7", expect=1)
    assert "10 results: 9 mapped, 1 refused" in said
    assert "'{copies}/mL' is no unit of trpc5-ev" in said
    told = json.loads(terminal.run("labs", "take", "results.hl7", "--json", expect=1))
    assert (told["counted"], told["mapped"], told["known"], len(told["refused"])) == (10, 9, 9, 1)
    (terminal.folder / "results.hl7").write_bytes(
        messages_of(SERIES) + b"MSH|^~\\&|X|ELSE|||20250101||ORU^R01|1|P|2.5.1\r"
    )
    said = terminal.run("labs", "take", "results.hl7", expect=2)
    assert "Nothing of this file is stored" in " ".join(said.split())
