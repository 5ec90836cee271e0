"""What a client does not prefetch comes from its FHIR server, or is missing and said to be: never taken for "there is none"."""

from __future__ import annotations

import copy
import json
import logging
import re
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient

from cds.reasoning.reasoner import Reasoner
from cds.service.app import create_app
from cds.service.server import running
from cds.settings import Settings
from tests.exchange.servers import Answer, Server, certificate_for, drip, drip_heads, says, serving, silence
from tests.service.conftest import PATIENT, local, now
from tests.service.fhir_server import fhir_server
from tests.service.test_hooks import VIEW, refusal
from tests.service.test_trust import CLIENT, Site
from tests.service.tokens import claims, signed

Body = dict[str, Any]
TOKEN = "canary-7c1f0d7a-access-token"
AUTHORIZATION = {
    "access_token": TOKEN, "token_type": "Bearer", "expires_in": 300, "scope": "patient/*.read", "subject": "exowatch",
}  # fmt: skip


def from_server(body: Body, server: Server, keep: tuple[str, ...] = ()) -> Body:
    """The request with only some of its prefetch, and a FHIR server for the rest."""
    asked = copy.deepcopy(body)
    asked["prefetch"] = {key: value for key, value in asked["prefetch"].items() if key in keep}
    return asked | {"fhirServer": f"{server.base}/fhir", "fhirAuthorization": AUTHORIZATION}


def without(body: Body, *keys: str) -> tuple[str, ...]:
    return tuple(key for key in body["prefetch"] if key not in keys)


def cards(answer: Any) -> list[Mapping[str, Any]]:
    assert answer.status_code == 200, answer.text
    return [{key: value for key, value in card.items() if key != "uuid"} for card in answer.json()["cards"]]


def told(found: Any) -> str:
    return json.dumps(found, sort_keys=True)


def stripped(found: list[Mapping[str, Any]]) -> str:
    """Cards without what differs from call to call: uuids, in suggestions too."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(one) for key, one in value.items() if key not in ("uuid", "id")}
        return [plain(one) for one in value] if isinstance(value, list) else value

    return told(plain(found))


@pytest.fixture(scope="module")
def unhurried(reasoner: Reasoner) -> Iterator[TestClient]:
    """A service that waits as long as a machine under test may need."""
    with local(create_app(Settings(open_mode=True, fetch_ms=10_000), reasoner, clock=now)) as found:
        yield found


@pytest.mark.parametrize("page", [0, 1, 3])
def test_the_same_patient_by_either_way_has_the_same_cards(
    unhurried: TestClient, request_body: Body, page: int
) -> None:
    with serving(fhir_server(request_body["prefetch"], page=page)) as server:
        fetched = cards(unhurried.post(VIEW, json=from_server(request_body, server)))
        assert stripped(fetched) == stripped(cards(unhurried.post(VIEW, json=request_body)))
        assert any("suspected" in told(card).lower() for card in fetched)


def test_only_what_is_missing_is_asked_for_with_the_token(client: TestClient, request_body: Body) -> None:
    with serving(fhir_server(request_body["prefetch"])) as server:
        client.post(VIEW, json=from_server(request_body, server, without(request_body, "procedures")))
        ((path, headers),) = server.asked
        assert path == f"/fhir/Procedure?patient={PATIENT}&_count=1000"
        assert headers["Authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize(
    "sent",
    [None, {"resourceType": "Bundle", "type": "searchset"}, {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "timeout"}]}],
)  # fmt: skip
def test_what_the_client_answered_is_not_asked_again(client: TestClient, request_body: Body, sent: Any) -> None:
    with serving(fhir_server(request_body["prefetch"])) as server:
        body = from_server(request_body, server, without(request_body, "procedures"))
        body["prefetch"]["procedures"] = sent
        answer = client.post(VIEW, json=body)
        assert answer.status_code == (412 if sent and sent["resourceType"] == "OperationOutcome" else 200)
        assert server.asked == []


def test_a_first_page_is_completed(unhurried: TestClient, request_body: Body) -> None:
    whole = cards(unhurried.post(VIEW, json=request_body))
    with serving(fhir_server(request_body["prefetch"])) as server:
        body = from_server(request_body, server, tuple(request_body["prefetch"]))
        page = body["prefetch"]["observations"]
        page["entry"] = page["entry"][:1]
        page["link"] = [{"relation": "next", "url": f"{server.base}/fhir/Observation?patient={PATIENT}&at=1"}]
        assert stripped(cards(unhurried.post(VIEW, json=body))) == stripped(whole)


def test_the_token_goes_to_no_other_server(client: TestClient, request_body: Body) -> None:
    with serving(says(b"{}")) as thief:
        page = {"resourceType": "Bundle", "entry": [], "link": [{"relation": "next", "url": f"{thief.base}/fhir/x"}]}
        odd = {"Observation": says(json.dumps(page).encode())}
        with serving(fhir_server(request_body["prefetch"], odd=odd)) as server:
            answer = client.post(VIEW, json=from_server(request_body, server))
        assert "only the first page" in refusal(answer, 412)["issue"][0]["diagnostics"]
        assert thief.asked == []


FAULTS: Mapping[str, Answer] = {
    "401": says(b"", 401),
    "403": says(b"", 403),
    "404": says(b"", 404),
    "500": says(b"oh", 500),
    "a redirect": says(b"", 302, Location="/fhir/Patient/1"),
    "no JSON": says(b"<html>"),
    "cut off": says(b'{"resourceType":"Bundle","entry":[{'),
    "a list": says(b"[]"),
    "an OperationOutcome": says(
        b'{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"forbidden"}]}'
    ),
    "another kind of resource": says(b'{"id":"x"}'),
    "silence": silence,
    "a drip": drip,
    "a head that drips": drip_heads,
    "a resource that was not asked for": says(b'{"resourceType":"Parameters"}'),
    "entries that are no list": says(b'{"resourceType":"Bundle","type":"searchset","entry":{}}'),
    "links that are no list": says(b'{"resourceType":"Bundle","type":"searchset","link":{}}'),
    "fewer than there are": says(b'{"resourceType":"Bundle","type":"searchset","total":99,"entry":[]}'),
    "a warning of the server's": says(
        b'{"resourceType":"Bundle","type":"searchset","entry":[{"resource":{"resourceType":"OperationOutcome",'
        b'"issue":[{"severity":"warning","code":"timeout"}]}}]}'
    ),
    "a closed connection": lambda request: request.connection.close(),
    "nested deeply": says(b'{"resourceType":"Bundle","entry":' + b"[" * 5000),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_the_server_cannot_give_is_missing_and_said_to_be(
    client: TestClient, request_body: Body, fault: str
) -> None:
    started = time.monotonic()
    with serving(fhir_server(request_body["prefetch"], odd={"Condition": FAULTS[fault]})) as server:
        needed = refusal(
            client.post(VIEW, json=from_server(request_body, server, without(request_body, "conditions"))), 412
        )
        assert time.monotonic() - started < 1.5
    assert needed["issue"][0]["expression"] == ["prefetch.conditions"]
    with serving(fhir_server(request_body["prefetch"], odd={"Specimen": FAULTS[fault]})) as server:
        optional = cards(client.post(VIEW, json=from_server(request_body, server, without(request_body, "specimens"))))
    assert re.search(
        r"specimens: (not in the prefetch, and|a Parameters instead|the Bundle cannot|only 0 of 99|the client says)",
        told(optional),
    )


@pytest.mark.parametrize("second", [b'{"resourceType":"Parameters"}', b'{"resourceType":"Bundle","entry":{}}'])
def test_a_second_page_that_is_none_leaves_the_answer_incomplete(
    client: TestClient, request_body: Body, second: bytes
) -> None:
    first = {"resourceType": "Bundle", "entry": [], "link": [{"relation": "Next", "url": "/fhir/Basic?page=2"}]}
    odd = {"Condition": says(json.dumps(first).encode()), "Basic": says(second)}
    with serving(fhir_server(request_body["prefetch"], odd=odd)) as server:
        answer = client.post(VIEW, json=from_server(request_body, server, without(request_body, "conditions")))
        assert [path for path, _ in server.asked][-1] == "/fhir/Basic?page=2"
    assert refusal(answer, 412)["issue"][0]["expression"] == ["prefetch.conditions"]


@pytest.mark.parametrize("fault", ["silence", "a drip", "a head that drips", "500", "no JSON"])
def test_a_full_house_waits_for_a_bad_server_no_longer_than_one_caller(
    reasoner: Reasoner, request_body: Body, tmp_path: Path, fault: str
) -> None:
    def ask(base: str, body: Body) -> float:
        started = time.monotonic()
        refusal(httpx2.post(f"{base}{VIEW}", json=body, timeout=20), 412)
        return time.monotonic() - started

    with (
        serving(fhir_server(request_body["prefetch"], odd={"Condition": FAULTS[fault]})) as server,
        serving(fhir_server(request_body["prefetch"], odd={"Condition": FAULTS["500"]})) as quick,
        running(reasoner, database=f"sqlite:///{tmp_path}/record.sqlite") as base,
        ThreadPoolExecutor(32) as callers,
    ):
        body = from_server(request_body, server, without(request_body, "conditions"))
        at_once = from_server(request_body, quick, without(request_body, "conditions"))
        calm = max(callers.map(lambda _: ask(base, at_once), range(32)))  # what this machine takes for it anyway
        waited = sorted(callers.map(lambda _: ask(base, body), range(32)))
    # If those who wait held the threads of evaluation, the last would wait four times as long as the first.
    assert waited[-1] < calm + 3 * 0.45


def test_another_patients_data_are_refused(client: TestClient, request_body: Body) -> None:
    foreign = copy.deepcopy(request_body["prefetch"]["observations"])
    for entry in foreign["entry"]:
        entry["resource"]["subject"] = {"reference": "Patient/somebody-else"}
    odd = {"Observation": says(json.dumps(foreign).encode())}
    with serving(fhir_server(request_body["prefetch"], odd=odd)) as server:
        shown = told(cards(client.post(VIEW, json=from_server(request_body, server))))
    assert "suspected acquired" not in shown.lower()
    assert "another patient" in shown
    stranger = says(json.dumps({"resourceType": "Patient", "id": "somebody-else"}).encode())
    with serving(fhir_server(request_body["prefetch"], odd={"Patient": stranger})) as server:
        refusal(client.post(VIEW, json=from_server(request_body, server)), 400)


# clients that are trusted -----------------------------------------------------------------------------------------------


@pytest.fixture
def secure(tmp_path: Path, request_body: Body) -> Iterator[tuple[Server, str]]:
    """A FHIR server over TLS, and the entry of the client that has it."""
    certificate = certificate_for("localhost", tmp_path)
    with serving(fhir_server(request_body["prefetch"]), certificate) as server:
        yield (
            server,
            f"{CLIENT}    fhir: [{server.base}]\n    networks: [127.0.0.0/8, '::1/128']\n    certificates: localhost.pem\n",
        )


def test_a_trusted_clients_server_is_asked_and_its_token_kept_nowhere(
    tmp_path: Path, reasoner: Reasoner, request_body: Body, secure: tuple[Server, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("exowatch.service").propagate = True
    server, entry = secure
    site = Site(tmp_path, reasoner, entry)
    assert cards(site.asks(from_server(request_body, server), f"Bearer {signed(claims())}"))
    assert {headers["Authorization"] for _, headers in server.asked} == {f"Bearer {TOKEN}"}
    site.database.close()
    assert TOKEN not in caplog.text
    for file in tmp_path.glob("record.sqlite*"):
        assert TOKEN.encode() not in file.read_bytes()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("fhir: [", "fhir: [https://other.example, "), ""),
        (("fhir: [https://localhost", "fhir: [https://elsewhere.example"), "not on the list"),
        (("127.0.0.0/8, '::1/128'", "10.0.0.0/8"), "is not allowed: its name leads to an address outside"),
        (("    certificates: localhost.pem\n", ""), "cannot be reached"),
    ],
)
def test_a_server_that_is_not_the_clients_is_not_asked(
    tmp_path: Path,
    reasoner: Reasoner,
    request_body: Body,
    secure: tuple[Server, str],
    change: tuple[str, str],
    reason: str,
) -> None:
    server, entry = secure
    site = Site(tmp_path, reasoner, entry.replace(*change))
    answer = site.asks(from_server(request_body, server), f"Bearer {signed(claims())}")
    if not reason:
        assert cards(answer)
        return
    assert reason in refusal(answer, 403 if "list" in reason else 412)["issue"][0]["diagnostics"]
    assert server.asked == []


def test_without_a_token_nobody_is_asked(
    tmp_path: Path, reasoner: Reasoner, request_body: Body, secure: tuple[Server, str]
) -> None:
    server, entry = secure
    body = from_server(request_body, server)
    del body["fhirAuthorization"]
    answer = Site(tmp_path, reasoner, entry).asks(body, f"Bearer {signed(claims())}")
    assert "no token for the FHIR server was sent" in refusal(answer, 412)["issue"][0]["diagnostics"]
    assert server.asked == []


def test_an_untrusted_call_asks_nobody(
    tmp_path: Path, reasoner: Reasoner, request_body: Body, secure: tuple[Server, str]
) -> None:
    server, entry = secure
    assert Site(tmp_path, reasoner, entry).asks(from_server(request_body, server), "Bearer x.y.z").status_code == 401
    assert server.asked == []
