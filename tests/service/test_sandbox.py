"""The official CDS Hooks sandbox, as it was seen to behave: a page of another origin, its prefetch, its feedback."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest

from cds.reasoning.reasoner import Reasoner
from cds.record.database import Database
from cds.record.responses import Responses
from cds.service.server import running
from tests.exchange.servers import Answer, says, serving
from tests.service.conftest import PATIENT
from tests.service.fhir_server import fhir_server
from tests.service.test_hooks import VIEW, places, refusal
from tests.service.tokens import keys, signed

Body = dict[str, Any]
ORIGIN = "http://localhost:8080"
HEADERS = {"Origin": ORIGIN, "Accept": "application/json", "Content-Type": "application/json"}


class Sandbox:
    """Calls a service about one patient of a FHIR server."""

    def __init__(self, service: str, server: str):
        self._service = httpx2.Client(base_url=service, headers=HEADERS, timeout=20)
        self._fhir = httpx2.Client(base_url=f"{server}/fhir", headers={"Accept": "application/json+fhir"}, timeout=20)
        self._server = f"{server}/fhir"
        self._told = 0

    def close(self) -> None:
        self._service.close()
        self._fhir.close()

    def preflight(self, path: str) -> httpx2.Response:
        asked = {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        }
        return self._service.options(path, headers=asked)

    def opens(self) -> httpx2.Response:
        """Patient-view: each template by POST, then by GET; what failed is not in the prefetch at all."""
        (view,) = [
            one for one in self._service.get("/cds-services").json()["services"] if one["hook"] == "patient-view"
        ]
        prefetch: dict[str, Any] = {}
        for key, template in view["prefetch"].items():
            path, _, query = template.replace("{{context.patientId}}", PATIENT).partition("?")
            answer = self._fhir.get(f"/{path}") if not query else self._searched(path, query)
            if answer.status_code == 200:
                prefetch[key] = answer.json()
        body = {
            "hookInstance": str(uuid.uuid4()), "hook": "patient-view", "fhirServer": self._server, "prefetch": prefetch,
            "context": {"patientId": PATIENT, "userId": "Practitioner/COREPRACTITIONER1"},
        }  # fmt: skip
        return self._posts(VIEW, body)

    def _searched(self, kind: str, query: str) -> httpx2.Response:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        found = self._fhir.post(f"/{kind}/_search", content=query, headers=form)
        return found if found.status_code == 200 else self._fhir.get(f"/{kind}?{query}")

    def tells(self, **said: Any) -> httpx2.Response:
        self._told += 1
        at = time.strftime(f"%Y-%m-%dT%H:%M:%S.{self._told:03}Z", time.gmtime())
        return self._posts(f"{VIEW}/feedback", {"feedback": [{"outcomeTimestamp": at, **said}]})

    def _posts(self, path: str, body: Body) -> httpx2.Response:
        now = int(time.time())
        token = {"iss": "https://sandbox.cds-hooks.org", "aud": f"{self._service.base_url}{path}", "iat": now,
                 "exp": now + 300, "jti": str(uuid.uuid4())}  # fmt: skip
        header = {"jku": "https://sandbox.cds-hooks.org/.well-known/jwks.json"}
        sent = {"Authorization": f"Bearer {signed(token, keys().elliptic, 'ES384', **header)}"}
        return self._service.post(path, json=body, headers=sent)


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/record.sqlite"


@pytest.fixture
def sandbox(
    reasoner: Reasoner, request_body: Body, address: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Sandbox]]:
    """Opens the sandbox on a FHIR server with these oddities."""
    monkeypatch.setenv("EXOWATCH_ALLOWED_ORIGINS", ORIGIN)
    monkeypatch.setenv("EXOWATCH_FETCH_MS", "5000")

    def open_on(**odd: Answer) -> Sandbox:
        server = opened.enter_context(serving(fhir_server(request_body["prefetch"], odd=odd)))
        found = Sandbox(base, server.base)
        opened.callback(found.close)
        return found

    with running(reasoner, database=address) as base, ExitStack() as opened:
        yield open_on


def test_the_card_is_shown_and_what_is_done_with_it_arrives(sandbox: Callable[..., Sandbox], address: str) -> None:
    page = sandbox()
    for path in (VIEW, f"{VIEW}/feedback"):
        allowed = page.preflight(path)
        assert allowed.headers["x-request-id"], path
        assert allowed.status_code == 200
        assert allowed.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert "authorization" in allowed.headers["Access-Control-Allow-Headers"].lower()
    shown = page.opens()
    assert shown.headers["Access-Control-Allow-Origin"] == ORIGIN
    (card,) = shown.json()["cards"]
    assert "suspected acquired resistance" in card["summary"]
    accepted = page.tells(
        card=card["uuid"], outcome="accepted", acceptedSuggestions=[{"id": card["suggestions"][0]["uuid"]}]
    )
    assert accepted.json() == {"new": 1, "known": 0, "unknownCards": []}
    # A page that was open since before it is dismissed: once without any reason, and with one without display, which is the last word.
    assert page.tells(card=card["uuid"], outcome="overridden").json()["new"] == 1
    reason = {key: card["overrideReasons"][0][key] for key in ("code", "system")}
    assert page.tells(card=card["uuid"], outcome="overridden", overrideReason={"reason": reason}).json()["new"] == 1
    (left,) = page.opens().json()["cards"]  # that a suspicion stands is said, however often it was dismissed
    assert (left["source"]["topic"]["code"], "suggestions" in left) == ("standing-finding", False)
    database = Database(address)
    (counted,) = Responses(database).counts()
    assert counted["reasons"] == {reason["code"]: 1}
    database.close()


def test_keys_that_the_sandbox_drops_are_asked_for_and_named(sandbox: Callable[..., Sandbox]) -> None:
    (card,) = sandbox(Immunization=says(b"", 404)).opens().json()["cards"]
    assert "immunizations: not in the prefetch" in card["detail"].replace("\\", "")
    needed = refusal(sandbox(Observation=says(b"", 500)).opens(), 412)
    assert places(needed) == ["prefetch.observations", "prefetch.clinical-observations"]
