"""The service with its record: advice lives over time in front of the client, and is never given unrecorded."""

from __future__ import annotations

import copy
import json
import os
import re
import signal
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import func, select
from starlette.testclient import TestClient

from cds.record import tables
from cds.record.audit import Checkpoints, verify
from cds.record.database import Database
from cds.record.identity import identified
from cds.record.listing import advisories, history, standing_counts
from cds.record.recorder import Recorder
from cds.record.responses import Answer, Responses
from cds.service.app import create_app
from cds.service.metrics import Tally, exposition
from cds.settings import Settings
from cds.workbench.synth.requests import hook_request
from tests.patients.archetypes import patient
from tests.record.postgresql import Cluster
from tests.record.visits import REASONER, asked, who

SERVICE = "/cds-services/exowatch-patient-view"


class Ehr:
    """A client whose clock can be set, in front of the service with its record."""

    def __init__(self, database: Database, clock: Callable[[], datetime] | None = None):
        self.day = datetime(2025, 5, 2, 9, tzinfo=UTC)
        recorder = Recorder(database, REASONER.rulebook, None, clock=clock)
        # How long a call may wait is the matter of other tests.
        settings = Settings(open_mode=True, deadline_ms=10_000)
        app = create_app(settings, REASONER, recorder=recorder, clock=lambda: self.day)
        self.client = TestClient(
            app, base_url="http://localhost", client=("127.0.0.1", 50000), raise_server_exceptions=False
        )
        services = self.client.get("/cds-services").json()["services"]
        self._service = next(service for service in services if service["hook"] == "patient-view")

    def opens(self, name: str, day: str, **changes: Any) -> Any:
        """The answer when somebody opens the chart of a patient of the evidence on that day."""
        self.day = datetime.fromisoformat(f"{day}T23:00:00+00:00")
        return self.client.post(SERVICE, json={**self.request(name, day), **changes})

    def request(self, name: str, day: str) -> dict[str, Any]:
        bundle = patient(name).bundle(datetime.fromisoformat(day).date())
        return {**hook_request(_plain(bundle), self._service), "hookInstance": str(uuid.uuid4())}


def _plain(bundle: dict[str, Any]) -> dict[str, Any]:
    """The bundle as JSON has it."""
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(bundle))
    return found


@pytest.fixture
def ehr(database: Database) -> Ehr:
    return Ehr(database)


def summaries(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text[:400]
    return [card["summary"] for card in answer.json()["cards"]]


def test_a_corrected_result_is_withdrawn_before_whoever_saw_the_advice(ehr: Ehr, database: Database) -> None:
    """A29 lived through the service."""
    assert ["cannot be judged" in one for one in summaries(ehr.opens("A29", "2025-01-02"))] == [True]
    assert ["Withdrawn" in one for one in summaries(ehr.opens("A29", "2025-03-31"))] == [False]
    suspected = summaries(ehr.opens("A29", "2025-04-28"))
    assert len(suspected) == 1
    told = ehr.opens("A29", "2025-05-02").json()["cards"]
    (one,) = told
    assert re.match(r"Withdrawn on \d{1,2} \w{3} \d{4}: earlier advice on TRPC5-EV holds no more", one["summary"])
    detail = told[0]["detail"]
    assert "was corrected by the laboratory" in detail
    assert "6.2" in detail
    assert "Do not start, stop or change treatment" in detail
    Responses(database).feedback([Answer(told[0]["uuid"], "accepted", "2025-05-02T12:05:00Z")], "ehr")
    assert summaries(ehr.opens("A29", "2025-05-03")) == []
    (listed,) = advisories(database, "default")
    assert listed.standing == "withdrawn"
    assert [one.kind for one in history(database, listed.id)] == ["opened", "confirmed", "withdrawn"]


def test_a_result_entered_in_error_is_withdrawn_and_the_rest_said(ehr: Ehr, database: Database) -> None:
    """A30 lived through the service."""
    ehr.opens("A30", "2025-03-31")
    ehr.opens("A30", "2025-04-28")
    cards = ehr.opens("A30", "2025-04-30").json()["cards"]
    assert [card["indicator"] for card in cards] == ["warning", "info"]
    assert "entered in error" in cards[0]["detail"]
    (listed,) = advisories(database, "default")
    assert (listed.state, listed.standing) == ("watch", "open")
    assert [one.kind for one in history(database, listed.id)] == ["opened", "confirmed", "withdrawn", "opened"]


def test_what_was_answered_stays_silent_until_it_changes(ehr: Ehr, database: Database) -> None:
    (card,) = ehr.opens("A29", "2025-03-31").json()["cards"]
    assert len(summaries(ehr.opens("A29", "2025-03-31"))) == 1
    Responses(database).feedback([Answer(card["uuid"], "overridden", "2025-03-31T13:00:00Z")], "ehr")
    assert summaries(ehr.opens("A29", "2025-03-31")) == []
    assert len(summaries(ehr.opens("A29", "2025-04-28"))) == 1


def test_the_same_call_twice_has_the_same_cards(ehr: Ehr) -> None:
    body = ehr.request("A01", "2025-12-31")
    ehr.day = datetime(2025, 12, 31, 12, tzinfo=UTC)
    one, other = (ehr.client.post(SERVICE, json=body).json() for _ in range(2))
    assert one == other


def test_two_servers_have_two_patients(ehr: Ehr, database: Database) -> None:
    for server in ("https://one.example/fhir", "https://two.example/fhir/"):
        ehr.opens("A01", "2025-12-31", fhirServer=server)
    assert {one.server for one in advisories(database, "default")} == {
        "https://one.example/fhir",
        "https://two.example/fhir",
    }


def test_a_patient_who_replaces_another_takes_over_the_history(ehr: Ehr, database: Database) -> None:
    ehr.opens("A29", "2025-03-31")
    body = ehr.request("A29", "2025-04-28")
    new = json.loads(json.dumps(body, default=float).replace("Patient/a29", "Patient/new"))
    new["context"]["patientId"] = new["prefetch"]["patient"]["id"] = "new"
    new["prefetch"]["patient"]["link"] = [{"other": {"reference": "Patient/a29"}, "type": "replaces"}]
    ehr.day = datetime(2025, 4, 28, 23, tzinfo=UTC)
    assert len(summaries(ehr.client.post(SERVICE, json=new))) == 1
    (listed,) = advisories(database, "default")
    assert (listed.patient, listed.standing) == ("Patient/new", "open")
    assert [one.kind for one in history(database, listed.id)] == ["opened", "confirmed"]
    assert (
        ehr.client.get("/fhir/DetectedIssue?patient=a29").json()["entry"][0]["resource"]["patient"]["reference"]
        == "Patient/new"
    )
    with database.reading() as connection:
        assert verify(connection, {}).holds


@pytest.mark.parametrize(
    ("link", "moved"),
    [
        ("https://ehr.example/fhir/Patient/a29", True),
        ("https://other.example/fhir/Patient/a29", False),
        ("https://other.example/?of=https://ehr.example/fhir/Patient/a29", False),
    ],
)
def test_only_a_link_to_a_patient_of_the_same_server_moves_anybody(
    ehr: Ehr, database: Database, link: str, moved: bool
) -> None:
    for name, day in (("A29", "2025-04-28"), ("A01", "2025-12-31")):
        body = json.loads(json.dumps(ehr.request(name, day), default=float))
        body["fhirServer"] = "https://ehr.example/fhir"
        if name == "A01":
            body["prefetch"]["patient"]["link"] = [{"other": {"reference": link}, "type": "replaces"}]
        ehr.day = datetime.fromisoformat(f"{day}T23:00:00+00:00")
        assert ehr.client.post(SERVICE, json=body).status_code == 200
    with database.reading() as connection:
        one, other = (identified(connection, "default", f"Patient/{each}") for each in ("a29", "a01"))
    assert (one == other) is moved


def test_what_was_shown_is_withdrawn_even_after_it_was_closed(ehr: Ehr, database: Database) -> None:
    """A02 is closed by a low value; then what it had rested on turns out to be another patient's."""
    ehr.opens("A02", "2025-04-21")
    ehr.opens("A02", "2025-05-12")
    (listed,) = advisories(database, "default")
    assert listed.standing == "closed"
    (first, *_) = [one for one in history(database, listed.id) if one.said is not None]
    assert first.said is not None
    wrong = first.said.readings[-1].ref
    body = json.loads(json.dumps(ehr.request("A02", "2025-05-12"), default=float))
    for entry in body["prefetch"]["observations"]["entry"]:
        if f"Observation/{entry['resource']['id']}" == wrong:
            entry["resource"]["status"] = "entered-in-error"
    ehr.day = datetime(2025, 5, 13, 23, tzinfo=UTC)
    assert any("Withdrawn" in one for one in summaries(ehr.client.post(SERVICE, json=body)))


# the database away --------------------------------------------------------------------------------------------------


def refused(answer: Any) -> None:
    assert answer.status_code == 503
    assert answer.json()["resourceType"] == "OperationOutcome"
    assert int(answer.headers["Retry-After"]) > 0
    assert "cards" not in answer.json()


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[tuple[Database, Path]]:
    file = tmp_path / "record.sqlite"
    database = Database(f"sqlite:///{file}", deadline=0.2)
    database.upgrade()
    yield database, file
    database.close()


def evaluations(database: Database) -> int:
    with database.reading() as connection:
        return int(connection.execute(select(func.count()).select_from(tables.evaluation)).scalar_one())


def test_a_database_that_is_busy_too_long(embedded: tuple[Database, Path]) -> None:
    database, file = embedded
    ehr = Ehr(database)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    refused(ehr.opens("A01", "2025-12-31"))
    assert time.monotonic() - started < 2
    other.execute("ROLLBACK")
    other.close()
    assert len(summaries(ehr.opens("A01", "2025-12-31"))) == 1


def test_a_database_that_is_full(embedded: tuple[Database, Path]) -> None:
    database, _ = embedded
    ehr = Ehr(database)
    with database.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    limits = {"most": pages}

    from sqlalchemy import event

    @event.listens_for(database.engine, "checkout")
    def limit(connection: Any, _record: Any, _proxy: Any) -> None:
        connection.execute(f"PRAGMA max_page_count={limits['most']}")

    refused(ehr.opens("A01", "2025-12-31"))
    assert evaluations(database) == 0
    limits["most"] = 10**6
    assert len(summaries(ehr.opens("A01", "2025-12-31"))) == 1
    with database.reading() as connection:
        assert verify(connection, {}).holds


def test_a_database_that_is_read_only(embedded: tuple[Database, Path]) -> None:
    database, _ = embedded
    ehr = Ehr(database)
    only = {"on": 1}

    from sqlalchemy import event

    @event.listens_for(database.engine, "checkout")
    def read_only(connection: Any, _record: Any, _proxy: Any) -> None:
        connection.execute(f"PRAGMA query_only={only['on']}")

    refused(ehr.opens("A01", "2025-12-31"))
    only["on"] = 0
    assert len(summaries(ehr.opens("A01", "2025-12-31"))) == 1


def test_a_server_that_is_killed_or_stops_without_saying_so(cluster: Cluster) -> None:
    database = Database(cluster.new(f"t{uuid.uuid4().hex}"), deadline=0.4)
    patient_ = Database(str(database.url.render_as_string(hide_password=False)), deadline=30)
    patient_.upgrade()
    patient_.close()
    ehr = Ehr(database)
    assert len(summaries(ehr.opens("A01", "2025-12-31"))) == 1
    cluster.kill()
    refused(ehr.opens("A01", "2025-12-31"))
    assert ehr.client.get("/ready").status_code == 503
    cluster.start()
    (card,) = ehr.opens("A01", "2025-12-31").json()["cards"]
    (listed,) = advisories(database, "default")
    answered = {"card": card["uuid"], "outcome": "overridden", "outcomeTimestamp": "2026-05-01T10:05:31Z"}
    decided = {"revision": listed.revision, "code": "watch", "by": "board-7"}
    cluster.signal(signal.SIGSTOP)
    try:
        for ask in (
            lambda: ehr.opens("A01", "2025-12-31"),
            lambda: ehr.client.post(f"{SERVICE}/feedback", json={"feedback": [answered]}),
            lambda: ehr.client.post(f"/advisories/{listed.id}/dispositions", json=decided),
            lambda: ehr.client.get("/fhir/DetectedIssue"),
            lambda: ehr.client.get("/ready"),
        ):
            started = time.monotonic()
            refused(ask())
            assert time.monotonic() - started < 3
        assert "exowatch_record_up 0" in ehr.client.get("/metrics").text
    finally:
        cluster.signal(signal.SIGCONT)
    deadline = time.monotonic() + 30
    while (answer := ehr.opens("A01", "2025-12-31")).status_code == 503 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert len(summaries(answer)) == 1
    with database.reading() as connection:
        assert verify(connection, {}).holds
        for table in (tables.feedback, tables.disposition):  # what was answered with 503 is not done later
            assert connection.execute(select(func.count()).select_from(table)).scalar() == 0
    database.close()


def test_of_concurrent_decisions_over_http_one_wins_and_the_others_hear_who(ehr: Ehr, database: Database) -> None:
    ehr.opens("A01", "2025-12-31")
    (listed,) = advisories(database, "default")
    address = f"/advisories/{listed.id}/dispositions"

    def decide(number: int) -> Any:
        body = {
            "revision": listed.revision,
            "code": "accept",
            "by": f"board-{number}",
            "actions": [{"kind": "imaging", "due": "2026-02-01"}],
        }
        return ehr.client.post(address, json=body)

    with ThreadPoolExecutor(32) as threads:
        answers = list(threads.map(decide, range(32)))
    (winner,) = [number for number, answer in enumerate(answers) if answer.status_code == 201]
    for number, answer in enumerate(answers):
        if number != winner:
            assert answer.status_code == 409
            assert f"board-{winner} decided 'accept'" in answer.json()["issue"][0]["diagnostics"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ("{", 400, "one JSON object"),
        ('{"revision": 1, "code": "watch"}', 400, "by"),
        ('{"revision": 1, "code": "watch", "by": " "}', 400, "a role or a pseudonym"),
        ('{"revision": 1, "code": "watch", "by": "b", "followUp": "2026-02-01"}', 400, "nothing but revision"),
        ('{"revision": 1, "code": "disagreed", "by": "b"}', 400, "none of: accept"),
        ('{"revision": 1, "code": "reject", "by": "b"}', 400, "needs one of: assay-artefact"),
        ('{"revision": 1, "code": "reject", "by": "b", "reason": "other"}', 400, "needs a note"),
        ('{"revision": 1, "code": "watch", "by": "b", "level": "5"}', 400, "none of: m1A"),
        ('{"revision": 1, "code": "watch", "by": "b", "references": ["see above"]}', 400, "a PubMed id or a DOI"),
        ('{"revision": 1, "code": "watch", "by": "b", "actions": [{"kind": "imaging"}]}', 400, "needs a day"),
        (
            '{"revision": 1, "code": "watch", "by": "b", "actions": [{"kind": "imaging", "due": "soon"}]}',
            400,
            "to be a day",
        ),
        ('{"revision": 1, "code": "watch", "by": "b"}', 404, "there is no advisory"),
    ],
)
def test_a_decision_that_cannot_be_taken_is_named(ehr: Ehr, body: str, status: int, words: str) -> None:
    answer = ehr.client.post(
        "/advisories/none/dispositions", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == status
    assert words in answer.json()["issue"][0]["diagnostics"]


def test_another_schema_is_not_ready(ehr: Ehr, database: Database) -> None:
    assert ehr.client.get("/ready").status_code == 200
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'ffff'")
    answer = ehr.client.get("/ready")
    assert answer.status_code == 503
    assert "exowatch db upgrade" in answer.json()["issue"][0]["diagnostics"]


def test_a_silent_feed_can_be_alarmed_on(ehr: Ehr, database: Database) -> None:
    assert "exowatch_seconds_since_last_evaluation +Inf" in ehr.client.get("/metrics").text
    ehr.opens("A01", "2025-12-31")
    lines = ehr.client.get("/metrics").text.splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert values["exowatch_record_up"] == "1"
    assert 0 <= float(values["exowatch_seconds_since_last_evaluation"]) < 60
    assert values['exowatch_advisories{standing="open"}'] == "1"
    later = exposition(standing_counts(database), Tally(), datetime.now(UTC) + timedelta(hours=3))
    assert float(later.split("exowatch_seconds_since_last_evaluation ")[-1].split()[0]) > 10_000


def test_answers_are_counted_by_what_was_called_and_status(ehr: Ehr) -> None:
    (card,) = ehr.opens("A29", "2025-04-28").json()["cards"]
    ehr.client.post(SERVICE, json={})
    ehr.client.post("/cds-services/mustermann", json={})
    ehr.client.get("/mustermann")
    for at in ("2026-05-01T10:05:31Z", "yesterday"):
        answered = {"card": card["uuid"], "outcome": "overridden", "outcomeTimestamp": at}
        ehr.client.post(f"{SERVICE}/feedback", json={"feedback": [answered]})
    text = ehr.client.get("/metrics").text
    own = f'process="{os.getpid()}",what='
    for what, status in (
        ("exowatch-patient-view", 200), ("exowatch-patient-view", 400), ("unknown", 404), ("pages", 404), ("feedback", 200),
        ("feedback", 400), ("discovery", 200),
    ):  # fmt: skip
        assert f'exowatch_answers_total{{{own}"{what}",status="{status}"}} 1\n' in text
    assert f'exowatch_answer_seconds_bucket{{{own}"feedback",le="+Inf"}} 2\n' in text
    assert f'exowatch_answer_seconds_count{{{own}"feedback"}} 2\n' in text
    assert f'exowatch_feedback_total{{process="{os.getpid()}",entry="new"}} 1\n' in text
    assert "mustermann" not in text


def test_a_record_that_is_away_is_a_metric_too(tmp_path: Path) -> None:
    away = Ehr(Database(f"sqlite:///{tmp_path}/no/such/folder/file.sqlite", deadline=0.2))
    assert away.client.get("/metrics").text.splitlines()[-1] == "exowatch_record_up 0"


def test_nothing_of_a_patient_stands_in_the_log(ehr: Ehr, capsys: pytest.CaptureFixture[str]) -> None:
    ehr.opens("A29", "2025-04-28")
    written = capsys.readouterr()
    assert "A29" not in written.out + written.err
    assert "Patient/" not in written.out + written.err


def test_checkpoints_are_written_as_the_record_grows(connect: Callable[[], Database], tmp_path: Path) -> None:
    database = connect()
    database.upgrade()
    points = Checkpoints(tmp_path / "points.jsonl")
    recorder = Recorder(database, REASONER.rulebook, points)
    app = create_app(
        Settings(open_mode=True), REASONER, recorder=recorder, clock=lambda: datetime(2025, 12, 31, tzinfo=UTC)
    )
    client = TestClient(app, base_url="http://localhost", client=("127.0.0.1", 50000))
    body = Ehr(database).request("A01", "2025-12-31")
    for _ in range(64):
        assert client.post(SERVICE, json=copy.deepcopy(body)).status_code == 200
    assert set(points.read()) == {64}


def test_a_checkpoint_that_cannot_be_written_keeps_no_card_back(
    connect: Callable[[], Database], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database = connect()
    database.upgrade()
    (tmp_path / "file").write_text("in the way", "utf-8")
    recorder = Recorder(database, REASONER.rulebook, Checkpoints(tmp_path / "file" / "points.jsonl"))
    for number in range(64):
        recorder.record(asked(patient("A01").bundle(), "2025-12-31", identity=who(f"Patient/{number}")))
    assert "no checkpoint could be written" in caplog.text
    with database.reading() as connection:
        assert verify(connection, {}).entries == 64
