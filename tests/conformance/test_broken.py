"""Services that are wrong on purpose, each in one way: the row that says so must fail."""

from __future__ import annotations

import copy
import json
import socket
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from joserfc.jwk import ECKey, KeySet
from starlette.testclient import TestClient

from cds.conformance import ROWS, Probe, Signer, run
from cds.conformance.probe import Fails
from cds.reasoning.loading import default_rulebook
from cds.reasoning.reasoner import Reasoner
from cds.record.database import Database
from cds.record.recorder import Recorder
from cds.service.app import create_app
from cds.service.clients import load_clients
from cds.service.keys import KeyRing
from cds.service.trust import Trust
from cds.settings import Settings
from tests.conformance.ours import BASE, ISSUER
from tests.service.conftest import local

Answer = tuple[int, Any]
Fault = Callable[[str, str, Any, Answer], Answer]
"""(method, path, request body, right answer) → what a broken service answers instead."""


class Broken:
    """A client of the service that sees its answers altered."""

    def __init__(self, client: TestClient, fault: Fault):
        self._client, self._fault = client, fault

    def request(self, method: str, address: str, **more: Any) -> httpx2.Response:
        answer = self._client.request(method, address, **more)
        path = address.partition("//")[2].partition("/")[2]
        status, body = self._fault(
            method, f"/{path}", more.get("json"), (answer.status_code, answer.json() if answer.content else None)
        )
        if (status, body) == (answer.status_code, answer.json() if answer.content else None):
            return answer
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return httpx2.Response(status, content=content, headers={"Content-Type": "application/json"})


def on_card(change: Callable[[dict[str, Any]], Any]) -> Fault:
    def fault(_method: str, _path: str, _body: Any, answer: Answer) -> Answer:
        status, found = copy.deepcopy(answer)
        for card in (found or {}).get("cards") or ():
            change(card)
        return status, found

    return fault


def on_service(change: Callable[[dict[str, Any]], Any]) -> Fault:
    def fault(method: str, path: str, _body: Any, answer: Answer) -> Answer:
        status, found = copy.deepcopy(answer)
        if method == "GET" and path == "/cds-services":
            for service in found["services"]:
                change(service)
        return status, found

    return fault


def errors_like_the_framework(_method: str, _path: str, _body: Any, answer: Answer) -> Answer:
    return answer if answer[0] < 400 else (422, {"detail": [{"loc": ["body"], "msg": "wrong"}]})


def no_cards_for_errors(_method: str, path: str, _body: Any, answer: Answer) -> Answer:
    return (200, {"cards": []}) if answer[0] >= 400 and "/feedback" not in path else answer


def faults_for_bad_requests(_method: str, _path: str, _body: Any, answer: Answer) -> Answer:
    return (
        (500, {"resourceType": "OperationOutcome", "issue": [{"severity": "fatal", "code": "exception"}]})
        if answer[0] == 400
        else answer
    )


def unnamed_keys(_method: str, _path: str, _body: Any, answer: Answer) -> Answer:
    return (
        (412, {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "required"}]})
        if answer[0] == 412
        else answer
    )


def patient_in_errors(_method: str, _path: str, body: Any, answer: Answer) -> Answer:
    status, found = copy.deepcopy(answer)
    if status >= 400 and isinstance(body, dict) and "context" in body:
        found["issue"][0]["diagnostics"] = f"could not evaluate {body['context'].get('patientId')}"
    return status, found


def any_hook(_method: str, _path: str, body: Any, answer: Answer) -> Answer:
    return (
        (200, {"cards": []})
        if answer[0] == 400 and isinstance(body, dict) and "hook" in str(answer[1]["issue"][0])
        else answer
    )


def takes_any_feedback(_method: str, path: str, _body: Any, answer: Answer) -> Answer:
    return (200, {}) if path.endswith("/feedback") and answer[0] == 400 else answer


def not_json(_method: str, path: str, _body: Any, answer: Answer) -> Answer:
    return (answer[0], b"<html>not found</html>") if answer[0] == 404 else answer


def system_actions(_method: str, _path: str, _body: Any, answer: Answer) -> Answer:
    status, found = copy.deepcopy(answer)
    if isinstance(found, dict) and "cards" in found:
        found["systemActions"] = [{"type": "create", "description": "x", "resource": {"resourceType": "Task"}}]
    return status, found


def resources_as_text(card: dict[str, Any]) -> None:
    for suggestion in card.get("suggestions", ()):
        for action in suggestion["actions"]:
            action["resource"] = json.dumps(action["resource"])


def orders_that_are_active(card: dict[str, Any]) -> None:
    for suggestion in card.get("suggestions", ()):
        for action in suggestion["actions"]:
            action["resource"] |= {"status": "active", "intent": "order"}


def on_prefetch(old: str, new: str) -> Fault:
    def change(service: dict[str, Any]) -> None:
        service["prefetch"] = {key: query.replace(old, new) for key, query in service["prefetch"].items()}

    return on_service(change)


def failures_that_read_as_none(_method: str, _path: str, body: Any, answer: Answer) -> Answer:
    prefetch = body.get("prefetch") if isinstance(body, dict) else None
    sent = prefetch.values() if isinstance(prefetch, dict) else ()
    failed = any(isinstance(one, dict) and one.get("resourceType") == "OperationOutcome" for one in sent)
    return (200, {"cards": []}) if failed else answer


def asks_whoever_is_named(_method: str, _path: str, body: Any, answer: Answer) -> Answer:
    server = urlsplit(body.get("fhirServer", "")) if isinstance(body, dict) else urlsplit("")
    if server.hostname and server.port:
        socket.create_connection((server.hostname, server.port), 1).close()
    return answer


def answers_about_any_server(_method: str, path: str, body: Any, answer: Answer) -> Answer:
    named = isinstance(body, dict) and "fhirServer" in body and "/feedback" not in path
    return (200, {"cards": []}) if named else answer


BROKEN: dict[str, tuple[Fault, set[str]]] = {
    "null for a missing link": (on_card(lambda card: card.update(links=None)), {"A5", "A7"}),
    "an empty list of links": (on_card(lambda card: card.update(links=[])), {"A6", "G17"}),
    "a blank label": (on_card(lambda card: card["source"].update(label="  ")), {"A8", "G6"}),
    "a long summary": (on_card(lambda card: card.update(summary="x" * 141)), {"G2"}),
    "a summary of two lines": (on_card(lambda card: card.update(summary="a b c\nd")), {"G2"}),
    "HTML in detail": (on_card(lambda card: card.update(detail=f"<b>x</b> {card['detail']}")), {"G3"}),
    "an old indicator": (on_card(lambda card: card.update(indicator="hard-stop")), {"G4"}),
    "uuids in large letters": (on_card(lambda card: card.update(uuid=card["uuid"].upper())), {"G1"}),
    "no source": (on_card(lambda card: card.pop("source")), {"G5", "G6"}),
    "a relative source": (on_card(lambda card: card["source"].update(url="/study")), {"G7"}),
    "a topic without system": (on_card(lambda card: card["source"].update(topic={"code": "x"})), {"G9", "G34"}),
    "no selectionBehavior": (on_card(lambda card: card.pop("selectionBehavior", None)), {"G11"}),
    "reasons without display": (on_card(lambda card: [one.pop("display") for one in card["overrideReasons"]]), {"G15"}),
    "resources as text": (on_card(resources_as_text), {"A3", "G26"}),
    "active orders": (on_card(orders_that_are_active), {"G26"}),
    "invented fields": (on_card(lambda card: card.update(severity=3)), {"K6"}),
    "undated cards": (on_card(lambda card: card.update(detail="Phase 2 trial, 2021, 59 patients, 2019")), {"J24"}),
    "system actions": (system_actions, {"F2", "H2"}),
    "no description": (on_service(lambda service: service.pop("description")), {"B8"}),
    "a hook that is none": (on_service(lambda service: service.update(hook="patientview")), {"B6"}),
    "an id with a slash": (on_service(lambda service: service.update(id=f"x/{service['id']}")), {"B9"}),
    "a version that is none": (on_service(lambda service: service.update(version="STU2")), {"B12"}),
    "an absolute template": (on_prefetch("Condition?", "https://ehr.example/Condition?"), {"D2"}),
    "a half token": (on_prefetch("patient={{context.patientId}}", "patient={{context.patientId"), {"D3"}),
    "a token of draft orders": (
        on_prefetch("patient={{context.patientId}}", "patient={{context.draftOrders}}"),
        {"D6"},
    ),
    **{
        f"a search by {part}": (on_prefetch("patient=", f"{part}&patient="), {"D10"})
        for part in (
            "patient.name=x",
            "_include=Observation:specimen",
            "_summary=data",
            "_elements=code",
            "_has:x:y:z=1",
            "_filter=x",
            "code:text=x",
            "code:below=x",
            "patient:Patient=1",
            "date=sa2020-01-01",
            "date=2020-01-01,ne2021",
            "date:missing=true",
            "code-value-quantity=x",
            "value-quantity=5",
            "name=x",
            "_count=all",
            "_count=",
            "_sort=",
            "_sort=date desc",
            "sort:desc=date",
            "_count:in=5",
            "",
            "code",
        )
    },
    "errors of the framework": (errors_like_the_framework, {"F6"}),
    "no cards where it failed": (no_cards_for_errors, {"C1", "C2", "C7", "D18"}),
    "faults for bad requests": (faults_for_bad_requests, {"C2", "C3", "F5"}),
    "412 without the key": (unnamed_keys, {"D18"}),
    "the patient in errors": (patient_in_errors, {"F7"}),
    "any hook": (any_hook, {"C2"}),
    "errors in HTML": (not_json, {"A1"}),
    "what failed taken for nothing": (failures_that_read_as_none, {"D12"}),
    "a server that nobody listed asked": (asks_whoever_is_named, {"E10"}),
    "cards about a server that nobody listed": (answers_about_any_server, {"E10"}),
    "any feedback": (takes_any_feedback, {"I3", "I4", "I5", "I6", "I8"}),
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    reasoner = Reasoner(default_rulebook())
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('broken')}/record.sqlite", deadline=5)
    database.upgrade()
    app = create_app(Settings(open_mode=True), reasoner, recorder=Recorder(database, reasoner.rulebook))
    with local(app) as client:
        yield client
    database.close()


def outcomes(probe: Probe, rows: Collection[str] = ()) -> dict[str, str]:
    return {one.row.number: one.outcome for one in run(probe, rows)}


def test_the_service_as_it_is_fails_nowhere(service: TestClient) -> None:
    found = outcomes(Probe("http://localhost", client=service))
    assert [row for row, outcome in found.items() if outcome == "failed"] == []
    assert len(BROKEN) >= 10


@pytest.mark.parametrize(("series", "fails"), [([0.6] * 5, True), ([0.6, 0.6, 0.1], False), ([0.1], False)])
def test_a_service_is_slow_if_no_series_was_quick(service: TestClient, series: list[float], fails: bool) -> None:
    class Timed(Probe):
        def call(self, *_: Any, **__: Any) -> Any:
            self.took.append(series[len(self.took) // 10])

    probe = Timed("http://localhost", client=service)
    if fails:
        with pytest.raises(Fails, match="longer than 600 ms"):
            ROWS["C11"].check(probe)
    else:
        ROWS["C11"].check(probe)
    assert len(probe.took) == 10 * len(series)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_service_is_caught(service: TestClient, name: str) -> None:
    fault, rows = BROKEN[name]
    found = outcomes(Probe("http://localhost", client=Broken(service, fault)), rows)
    failed = {number for number, outcome in found.items() if outcome == "failed"}
    assert rows == failed


@pytest.mark.parametrize(
    "part",
    [
        "_count=50", "_sort=-date,_lastUpdated", "code:in=https://valueset.example", "date=ge2020-01-01,lt2021", "date=2020",
        "_lastUpdated=gt2020-01-01T10:00:00Z", "date={{context.patientId}}", "status=final", "category=a|b,c",
    ],
)  # fmt: skip
def test_what_every_client_can_search_is_portable(service: TestClient, part: str) -> None:
    sound = Broken(service, on_prefetch("patient=", f"{part}&patient="))
    assert outcomes(Probe("http://localhost", client=sound), ["D10"]) == {"D10": "passed"}


class Elsewhere:
    """A client of the service as on another machine, which answers by TLS, and without as it is told."""

    def __init__(self, client: TestClient, plainly: Callable[[], httpx2.Response]):
        self._client, self._plainly = client, plainly

    def request(self, method: str, address: str, **more: Any) -> httpx2.Response:
        if address.startswith("http://"):
            return self._plainly()
        path = address.removeprefix("https://cds.example:8443")
        answer: httpx2.Response = self._client.request(method, f"http://localhost{path}", **more)
        return answer


def unreachable() -> httpx2.Response:
    raise httpx2.ConnectError("nobody is there")


@pytest.mark.parametrize(
    ("plainly", "outcome"),
    [
        (unreachable, "passed"),
        (lambda: httpx2.Response(301, headers={"Location": "https://cds.example:8443/cds-services"}), "passed"),
        (lambda: httpx2.Response(400, text="The plain HTTP request was sent to HTTPS port"), "passed"),
        (lambda: httpx2.Response(200, text="<html>welcome</html>"), "passed"),
        (lambda: httpx2.Response(200, json={"services": []}), "failed"),
    ],
)
def test_a_service_that_speaks_without_tls_is_caught(
    service: TestClient, plainly: Callable[[], httpx2.Response], outcome: str
) -> None:
    probe = Probe("https://cds.example:8443", client=Elsewhere(service, plainly))
    assert outcomes(probe, ["A2"]) == {"A2": outcome}


def test_a_service_without_tls_is_caught(service: TestClient) -> None:
    plain = Elsewhere(service, lambda: service.get("http://localhost/cds-services"))
    assert outcomes(Probe("http://cds.example", client=plain), ["A2"]) == {"A2": "failed"}


# trust --------------------------------------------------------------------------------------------------------------


class Careless(Trust):
    """Looks at some things less closely than it should."""

    def __init__(self, *given: Any, ignore: str):
        super().__init__(*given)
        self._ignore = ignore

    def client(self, authorization: str | None, audiences: Any) -> Any:
        (client,) = self._clients.values()
        if self._ignore == "everything":
            return client
        if self._ignore == "audience":
            audiences = _Anything()
        return super().client(authorization, audiences)


class _Anything(frozenset[str]):
    def __iter__(self) -> Iterator[str]:
        return iter(("https://other.example", f"{BASE}/cds-services/another"))


@pytest.mark.parametrize(
    ("ignore", "rows"),
    [
        ("", set()),
        ("everything", {"J2", "J4", "J5", "J6", "J8", "J10", "J12"}),
        ("audience", {"J9"}),
        ("replay", {"J12"}),
    ],
)
def test_a_careless_service_is_caught(tmp_path: Path, ignore: str, rows: set[str]) -> None:
    key = ECKey.generate_key("P-384", {"kid": "probe"})
    (tmp_path / "keys.json").write_text(json.dumps(KeySet([key]).as_dict(private=False)), "utf-8")
    (tmp_path / "clients.yaml").write_text(f"clients: [{{name: p, issuer: {ISSUER}, keys: keys.json}}]", "utf-8")
    reasoner = Reasoner(default_rulebook())
    database = Database(f"sqlite:///{tmp_path}/record.sqlite", deadline=5)
    database.upgrade()
    recorder = Recorder(database, reasoner.rulebook)
    first = recorder.responses.first_use if ignore != "replay" else (lambda *_: True)
    trust = Careless(load_clients(tmp_path / "clients.yaml"), KeyRing(), first, ignore=ignore)
    app = create_app(Settings(public_base_url=BASE), reasoner, recorder=recorder, trust=trust)
    probe = Probe(
        "https://localhost", Signer(ISSUER, key, base=BASE), client=TestClient(app, base_url="https://localhost")
    )
    found = outcomes(probe, rows)
    failed = {number for number, outcome in found.items() if outcome == "failed"}
    assert rows == failed
    database.close()
