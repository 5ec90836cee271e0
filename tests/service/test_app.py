"""The service as a process: who may ask, what happens when something breaks, what is logged, many at once."""

from __future__ import annotations

import json
import logging
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import uvicorn
from starlette.testclient import TestClient

from cds.chart.model import Chart
from cds.errors import Disagreement, EngineFault, ExowatchError
from cds.reasoning.findings import Evaluation
from cds.reasoning.reasoner import Reasoner
from cds.service.app import RefusedToStart, create_app
from cds.service.logs import JsonLines
from cds.settings import Settings, SettingsError, load_settings
from tests.service.conftest import PATIENT, local, now
from tests.service.test_hooks import VIEW, refusal

Body = dict[str, Any]


def test_without_trust_the_service_does_not_start(reasoner: Reasoner) -> None:
    with pytest.raises(RefusedToStart, match="EXOWATCH_CLIENTS_FILE"):
        create_app(Settings(), reasoner)


@pytest.mark.parametrize(
    ("base", "client", "headers"),
    [
        ("http://localhost", "10.0.0.7", {}),
        ("http://evil.example", "127.0.0.1", {}),
        ("http://localhost", "127.0.0.1", {"x-forwarded-for": "10.0.0.7"}),
    ],
)
def test_open_mode_answers_this_machine_only(
    reasoner: Reasoner, base: str, client: str, headers: dict[str, str]
) -> None:
    app = create_app(Settings(open_mode=True), reasoner)
    refusal(TestClient(app, base_url=base, client=(client, 1)).get("/cds-services", headers=headers), 403)


def test_a_fault_anywhere_is_answered_as_any_refusal_is(reasoner: Reasoner, caplog: pytest.LogCaptureFixture) -> None:
    app = create_app(Settings(open_mode=True, allowed_origins=("https://sandbox.example",)), reasoner)

    @app.get("/broken")
    def broken() -> None:
        raise ZeroDivisionError("Erika Mustermann")

    client = TestClient(app, base_url="http://localhost", client=("127.0.0.1", 1))
    answer = client.get("/broken", headers={"origin": "https://sandbox.example"})
    assert "this says nothing about the patient" in refusal(answer, 500)["issue"][0]["diagnostics"]
    assert answer.headers["access-control-allow-origin"] == "https://sandbox.example"
    logged = "".join(JsonLines().format(record) for record in caplog.records)
    assert "ZeroDivisionError" in logged
    assert "Mustermann" not in logged


@pytest.mark.parametrize(
    "base", ["http://localhost:8000", "http://127.0.0.1:8000", "http://[::1]:8000", "http://[::1]"]
)
def test_every_name_of_this_machine_will_do(reasoner: Reasoner, base: str) -> None:
    app = create_app(Settings(open_mode=True), reasoner)
    assert TestClient(app, base_url=base, client=("127.0.0.1", 1)).get("/health").status_code == 200


def test_listed_origins_may_call_and_see_refusals(reasoner: Reasoner) -> None:
    app = create_app(Settings(open_mode=True, allowed_origins=("https://sandbox.example",)), reasoner)
    client = local(app)
    asked = {"origin": "https://sandbox.example", "access-control-request-method": "POST"}
    assert client.options(VIEW, headers=asked).status_code == 200
    refused = client.post(VIEW, json={}, headers={"origin": "https://sandbox.example"})
    assert refused.headers["access-control-allow-origin"] == "https://sandbox.example"
    other = client.post(VIEW, json={}, headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers


def test_more_resources_than_the_limit_are_refused(reasoner: Reasoner, request_body: Body) -> None:
    client = local(create_app(Settings(open_mode=True, max_resources=10), reasoner, clock=now))
    refusal(client.post(VIEW, json=request_body), 413)


class Broken(Reasoner):
    """A reasoner that breaks."""

    def __init__(self, whole: Reasoner, error: Exception):
        super().__init__(whole.rulebook)
        self._error = error

    def evaluate(self, chart: Chart) -> Evaluation:
        raise self._error


@pytest.mark.parametrize(
    "error",
    [EngineFault(f"lost {PATIENT}"), Disagreement(PATIENT), ZeroDivisionError(PATIENT), RecursionError(PATIENT)],
)
def test_what_breaks_is_never_an_empty_list_of_cards(
    reasoner: Reasoner, request_body: Body, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    client = local(create_app(Settings(open_mode=True), Broken(reasoner, error), clock=now))
    with caplog.at_level(logging.INFO, logger="exowatch.service"):
        response = client.post(VIEW, json=request_body)
    outcome = refusal(response, 500)
    assert "cards" not in outcome
    assert response.headers["x-request-id"] in outcome["issue"][0]["diagnostics"]
    lines = [JsonLines().format(record) for record in caplog.records if record.name == "exowatch.service"]
    assert any(type(error).__name__ in line for line in lines)
    assert not any(PATIENT in line for line in lines)


def test_health_and_readiness(client: TestClient, reasoner: Reasoner) -> None:
    assert client.get("/health").json() == {"status": "ok"}
    ready = client.get("/ready").json()
    assert (ready["status"], ready["rulebook"]) == ("ready", reasoner.rulebook.hash)


def test_a_process_that_cannot_reason_is_not_ready(reasoner: Reasoner) -> None:
    class Silent(Reasoner):
        def evaluate(self, chart: Chart) -> Evaluation:
            return Evaluation(chart, (), "")

    outcome = refusal(local(create_app(Settings(open_mode=True), Silent(reasoner.rulebook))).get("/ready"), 503)
    assert "not suspected" in outcome["issue"][0]["diagnostics"]


def test_logs_hold_counts_and_nothing_of_the_record(
    client: TestClient, request_body: Body, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="exowatch.service"):
        client.post(VIEW, json=request_body)
        request_body["context"]["patientId"] = "Patient/secret"
        client.post(VIEW, json=request_body)
        client.post("/cds-services/secret", json=request_body)
    lines = [json.loads(JsonLines().format(record)) for record in caplog.records if record.name == "exowatch.service"]
    assert [line["status"] for line in lines] == [200, 400, 404]
    assert lines[0] | {"cards": 1, "findings": {"suspected": 1}, "service": "exowatch-patient-view"} == lines[0]
    assert lines[1]["place"] == "context.patientId"
    # Times and ids of our own are left out: their digits can be those of any value.
    text = json.dumps(
        [{k: v for k, v in line.items() if k not in ("time", "milliseconds", "request")} for line in lines]
    )
    for secret in (PATIENT, "secret", request_body["hookInstance"], "6.3", "1970", "paclitaxel"):
        assert secret not in text


# a real server -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def address(reasoner: Reasoner) -> Iterator[str]:
    app = create_app(Settings(open_mode=True), reasoner, clock=now)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


def test_many_at_once_get_the_same_answer(address: str, request_body: Body) -> None:
    content = json.dumps(request_body).encode()

    def post(_number: int) -> bytes:
        request = urllib.request.Request(address + VIEW, content, {"Content-Type": "application/json"})  # noqa: S310 - an address of this test
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - an address of this test
            return bytes(response.read())

    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(post, range(64)))
    assert len(answers) == 1
    assert b'"indicator":"warning"' in answers.pop()


# settings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"EXOWATCH_OPEN_MOD": "true"}, "did you mean EXOWATCH_OPEN_MODE"),
        ({"EXOWATCH_MAX_BODY_BYTES": "many"}, "EXOWATCH_MAX_BODY_BYTES"),
        ({"EXOWATCH_CANONICAL": "exowatch.example"}, "absolute address"),
        ({"EXOWATCH_LOG_LEVEL": "LOUD"}, "EXOWATCH_LOG_LEVEL"),
    ],
)
def test_settings_that_cannot_be_used_are_named(environment: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        load_settings(environment)


def test_settings_come_from_the_environment_and_the_command_line() -> None:
    environment = {"EXOWATCH_DEVELOPER": "A", "EXOWATCH_ALLOWED_ORIGINS": "https://a, https://b/", "PATH": "/bin"}
    found = load_settings(environment, open_mode=True, contact=None)
    assert (found.developer, found.open_mode, found.contact) == ("A", True, "")
    assert found.origins == ("https://a", "https://b")
    assert (found.about().developer, found.about().software[:8]) == ("A", "Exowatch")
    assert issubclass(SettingsError, ExowatchError)


def test_calls_beyond_what_can_be_answered_are_refused_at_once(reasoner: Reasoner, request_body: Body) -> None:
    free = threading.Event()

    class Held(Reasoner):
        def evaluate(self, chart: Chart) -> Evaluation:
            free.wait(20)
            return super().evaluate(chart)

    client = local(create_app(Settings(open_mode=True, max_waiting=3), Held(reasoner.rulebook), clock=now))
    with client, ThreadPoolExecutor(8) as threads:
        waiting = [threads.submit(client.post, VIEW, json=request_body) for _ in range(8)]
        refused: list[Any] = []
        deadline = time.monotonic() + 15
        while len(refused) < 5 and time.monotonic() < deadline:
            refused = [one for one in waiting if one.done()]
            time.sleep(0.02)
        assert client.get("/health").status_code == 200
        free.set()
        answers = [one.result() for one in waiting]
    assert sorted(answer.status_code for answer in answers) == [200] * 3 + [503] * 5
    for answer in answers:
        if answer.status_code == 503:
            assert answer.headers["Retry-After"] == "5"
            assert refusal(answer, 503)["issue"][0]["code"] == "throttled"
