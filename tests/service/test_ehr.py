"""The EHR asked in the service's own name: tokens by signed assertion, whose a result is, and the rest of the record."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from cds.exchange import CannotFetch, Exchange, Permit
from cds.exchange.backend import Backend, Registration
from cds.intake.interfaces import load_interfaces
from cds.reasoning.loading import shipped_rules
from cds.reasoning.reasoner import Reasoner
from cds.record.database import Database
from cds.record.listing import advisories
from cds.record.recorder import Recorder
from cds.service.app import create_app
from cds.service.clients import ClientsError, load_clients
from cds.service.ehr import Ehrs
from cds.service.reception import Reception
from cds.settings import Settings
from tests.exchange.servers import Answer, says, serving, silence
from tests.exchange.test_client import LOOPBACK
from tests.intake.test_labs import SERIES, messages_of
from tests.intake.test_three_labs import observation

KEY = ECKey.generate_key("P-384", {"kid": "exowatch-1"})
MRN = "https://clinic.example/mrn"
PATIENT: dict[str, Any] = {
    "resourceType": "Patient", "id": "p1", "gender": "female", "birthDate": "1970-05-14",
    "identifier": [{"system": MRN, "value": "4711"}],
}  # fmt: skip
THERAPY: dict[str, Any] = {
    "resourceType": "MedicationRequest", "id": "paclitaxel", "status": "active", "intent": "order",
    "subject": {"reference": "Patient/p1"}, "authoredOn": "2025-01-06",
    "medicationCodeableConcept": {
        "coding": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "56946"}]
    },
}  # fmt: skip
CANCER: dict[str, Any] = {
    "resourceType": "Condition", "id": "cancer", "subject": {"reference": "Patient/p1"}, "onsetDateTime": "2024-12-01",
    "code": {"coding": [{"system": "http://snomed.info/sct", "code": "254837009"}]},
}  # fmt: skip


class Ehr:
    """A FHIR server that gives a token for a good assertion, and a record for a good token."""

    def __init__(self) -> None:
        self.patients = [PATIENT]
        self.tokens: list[str] = []
        self.refusing: list[int] = []  # statuses of the next answers
        self.assertions: set[str] = set()
        ehr = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                fields = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                ehr.check(fields)
                ehr.tokens.append(f"token-{len(ehr.tokens)}")
                self.say(200, {"access_token": ehr.tokens[-1], "token_type": "bearer", "expires_in": 300})

            def do_GET(self) -> None:
                if ehr.refusing:
                    return self.say(ehr.refusing.pop(0), {})
                if not ehr.tokens or self.headers["Authorization"] != f"Bearer {ehr.tokens[-1]}":
                    return self.say(401, {})
                parts = urlsplit(self.path)
                kind, _, key = parts.path.removeprefix("/fhir/").partition("/")
                if key:
                    return self.say(200, next(one for one in ehr.patients if one["id"] == key))
                return self.say(200, ehr.search(kind, parse_qs(parts.query)))

            def say(self, status: int, content: Any) -> None:
                body = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://localhost:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def check(self, fields: dict[str, list[str]]) -> None:
        assert fields["grant_type"] == ["client_credentials"]
        assert fields["client_assertion_type"] == ["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"]
        opened = jwt.decode(fields["client_assertion"][0], KeySet([KEY]), algorithms=["ES384"])
        claims = opened.claims
        assert (claims["iss"], claims["sub"], claims["aud"]) == ("exowatch", "exowatch", f"{self.origin}/token")
        assert 0 < claims["exp"] - claims["iat"] <= 300
        assert opened.header["kid"] == "exowatch-1"
        assert claims["jti"] not in self.assertions
        self.assertions.add(claims["jti"])

    def search(self, kind: str, query: dict[str, list[str]]) -> dict[str, Any]:
        found: list[dict[str, Any]] = []
        if kind == "Patient":
            system, _, value = query["identifier"][0].partition("|")
            found = [one for one in self.patients if {"system": system, "value": value} in one["identifier"]]
        elif query["patient"] == ["p1"]:
            found = {"MedicationRequest": [THERAPY], "Condition": [CANCER]}.get(kind, [])
        return {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": one} for one in found]}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def ehr() -> Iterator[Ehr]:
    found = Ehr()
    yield found
    found.close()


def backend_of(ehr: Ehr, **more: Any) -> Backend:
    registration = Registration(f"{ehr.origin}/fhir", f"{ehr.origin}/token", "exowatch", KEY)
    return Backend(registration, Exchange(Permit(frozenset({ehr.origin}), LOOPBACK, plain=True)), **more)


def test_a_token_serves_until_shortly_before_its_end(ehr: Ehr) -> None:
    now = [datetime.now(UTC).timestamp()]
    backend = backend_of(ehr, clock=lambda: now[0])
    for _ in range(3):
        assert json.loads(backend.get("Patient/p1", seconds=5, most=10_000))["id"] == "p1"
    assert len(ehr.tokens) == 1
    now[0] += 280
    assert json.loads(backend.get("Condition?patient=p1", seconds=5, most=10_000))["entry"]
    assert len(ehr.tokens) == 2


def test_a_token_that_is_taken_back_is_renewed_once(ehr: Ehr) -> None:
    backend = backend_of(ehr)
    backend.get("Patient/p1", seconds=5, most=10_000)
    ehr.tokens.append("another")  # what was given before is worth nothing now
    assert json.loads(backend.get("Patient/p1", seconds=5, most=10_000))["id"] == "p1"
    ehr.refusing = [401, 401, 401]
    with pytest.raises(CannotFetch) as refused:
        backend.get("Patient/p1", seconds=5, most=10_000)
    assert refused.value.status == 401


@pytest.mark.parametrize("answer", [says(b"", 401), says(b"{}"), says(b"<html>"), says(b'{"access_token":""}')])
def test_a_token_endpoint_that_gives_none_is_named(answer: Answer) -> None:
    with serving(answer) as server:
        backend = Backend(
            Registration(f"{server.base}/fhir", f"{server.base}/token", "exowatch", KEY),
            Exchange(Permit(frozenset({server.base}), LOOPBACK, plain=True)),
        )
        with pytest.raises(CannotFetch):
            backend.get("Patient/p1", seconds=2, most=10_000)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again_a_few_times(ehr: Ehr, status: int) -> None:
    backend = backend_of(ehr)
    ehr.refusing = [status]
    assert backend.get("Patient/p1", seconds=5, most=10_000)
    ehr.refusing = [status] * 5
    with pytest.raises(CannotFetch):
        backend.get("Patient/p1", seconds=5, most=10_000)
    assert len(ehr.refusing) == 2


@pytest.mark.parametrize("status", [400, 403, 404])
def test_a_refusal_is_not_asked_again(ehr: Ehr, status: int) -> None:
    ehr.refusing = [status, status]
    with pytest.raises(CannotFetch):
        backend_of(ehr).get("Patient/p1", seconds=5, most=10_000)
    assert len(ehr.refusing) == 1


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = Database(f"sqlite:///{tmp_path}/record.sqlite", deadline=10)
    found.upgrade()
    yield found
    found.close()


def settled(state: Any) -> int:
    """For how many patients an evaluation was made."""
    state.matcher.settle()
    done: int = state.follower.settle()
    return done


def site(ehr: Ehr, database: Database, reasoner: Reasoner, *others: Backend) -> Any:
    backends = (backend_of(ehr), *others)
    app = create_app(
        Settings(open_mode=True), reasoner, recorder=Recorder(database, reasoner.rulebook),
        clock=lambda: datetime(2025, 4, 22, 9, tzinfo=UTC),
        interfaces=load_interfaces(shipped_rules(), reasoner.rulebook.catalogue.declarations),
        backends={backend.server: (backend, "default") for backend in backends},
    )  # fmt: skip
    return app.state


def test_the_advisory_opens_though_nobody_ever_opened_the_chart(
    ehr: Ehr, database: Database, reasoner: Reasoner
) -> None:
    state = site(ehr, database, reasoner)
    report = state.reception.file(messages_of(SERIES), "results.hl7")
    assert (report.kept.stored, report.kept.waiting) == (10, {})
    assert settled(state) == 1
    (listed,) = advisories(database, "default")
    assert (listed.state, listed.standing, listed.address) == ("suspected", "open", f"{ehr.origin}/fhir/Patient/p1")


def test_several_patients_of_one_number_are_nobody(ehr: Ehr, database: Database, reasoner: Reasoner) -> None:
    ehr.patients.append({**PATIENT, "id": "p2"})
    state = site(ehr, database, reasoner)
    assert state.reception.file(messages_of(SERIES), "results.hl7").kept.waiting == {"several": 10}
    assert settled(state) == 0


@pytest.fixture
def second() -> Iterator[Ehr]:
    """Another EHR of the same site."""
    found = Ehr()
    yield found
    found.close()


def test_several_ehrs_have_somebody_of_that_number(
    ehr: Ehr, second: Ehr, database: Database, reasoner: Reasoner
) -> None:
    state = site(ehr, database, reasoner, backend_of(second))
    assert state.reception.file(messages_of(SERIES), "results.hl7").kept.waiting == {"several": 10}


def test_while_an_ehr_does_not_answer_nobody_else_is_the_only_one(
    ehr: Ehr, second: Ehr, database: Database, reasoner: Reasoner
) -> None:
    state = site(ehr, database, reasoner, backend_of(second))
    second.refusing = [404] * 10
    assert state.reception.file(messages_of(SERIES), "results.hl7").kept.waiting == {"nobody": 10}
    second.patients, second.refusing = [], []
    assert settled(state) == 1


def test_a_delivery_waits_for_a_silent_ehr_once(database: Database, reasoner: Reasoner) -> None:
    with serving(silence_after_the_token) as server:
        registration = Registration(f"{server.base}/fhir", f"{server.base}/token", "exowatch", KEY)
        backend = Backend(registration, Exchange(Permit(frozenset({server.base}), LOOPBACK, plain=True)))
        asking = Ehrs({backend.server: (backend, "default")}, (), 10_000).asking
        catalogue = reasoner.rulebook.catalogue
        reception = Reception(
            Recorder(database, reasoner.rulebook).arrivals, load_interfaces(shipped_rules(), catalogue.declarations), catalogue,
            "default", lambda: datetime(2025, 4, 22, 9, tzinfo=UTC), lambda: asking(1.0),
        )  # fmt: skip
        entries = [
            {"resource": observation(id=f"o{number}", subject={"identifier": {"system": MRN, "value": f"Z{number}"}})}
            for number in range(20)
        ]
        body = json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}).encode()
        started = time.monotonic()
        assert reception.resources(body, "lab", "test", "default").kept.waiting == {"nobody": 20}
        assert time.monotonic() - started < 8
        assert reception.message(messages_of(SERIES), "test").split(b"\r")[1].split(b"|")[1] == b"AA"
        assert sum("identifier" in path for path, _ in server.asked) == 1


def silence_after_the_token(request: BaseHTTPRequestHandler) -> None:
    if request.path == "/token":
        return says(b'{"access_token":"t","expires_in":300}')(request)
    return silence(request)


def test_another_date_of_birth_contradicts(ehr: Ehr, database: Database, reasoner: Reasoner) -> None:
    ehr.patients[:] = [{**PATIENT, "birthDate": "1971-05-14"}]
    state = site(ehr, database, reasoner)
    assert state.reception.file(messages_of(SERIES), "results.hl7").kept.waiting == {"contradicts": 10}


def test_who_becomes_known_later_gets_what_waited(ehr: Ehr, database: Database, reasoner: Reasoner) -> None:
    """The EHR was away when the results came."""
    state = site(ehr, database, reasoner)
    ehr.refusing = [404] * 5
    assert state.reception.file(messages_of(SERIES), "results.hl7").kept.waiting == {"nobody": 10}
    ehr.refusing = []
    assert settled(state) == 1
    assert [one.state for one in advisories(database, "default")] == ["suspected"]


def test_a_record_that_cannot_be_had_is_tried_again_and_nothing_forgotten(
    ehr: Ehr, database: Database, reasoner: Reasoner
) -> None:
    state = site(ehr, database, reasoner)
    state.reception.file(messages_of(SERIES), "results.hl7")
    ehr.refusing = [403] * 100
    assert settled(state) == 0
    assert advisories(database, "default") == []
    recorder = Recorder(database, reasoner.rulebook)
    assert len(recorder.arrivals.due()) == 1


def test_the_file_of_clients_says_how(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text(json.dumps(KeySet([KEY]).as_dict(private=False)), "utf-8")
    (tmp_path / "private.json").write_text(json.dumps(KEY.as_dict(private=True)), "utf-8")
    (tmp_path / "public.json").write_text(json.dumps(KEY.as_dict(private=False)), "utf-8")
    text = """clients:
  - name: main-ehr
    issuer: https://ehr.example
    keys: keys.json
    fhir: [https://ehr.example]
    backend: {server: "https://ehr.example/fhir/", token: "https://ehr.example/token", client: exowatch, key: private.json}
"""
    file = tmp_path / "clients.yaml"
    file.write_text(text, "utf-8")
    (client,) = load_clients(file).values()
    assert client.backend is not None
    assert (client.backend.server, client.backend.scope) == ("https://ehr.example/fhir", "system/*.read")
    for old, new, words in (
        ("private.json", "public.json", "is no private key"),
        ("private.json", "nothing.json", "there is no file"),
        ('"https://ehr.example/token"', "http://ehr.example/token", "is to be an absolute https address"),
        ("client: exowatch, ", "", "client"),
    ):
        file.write_text(text.replace(old, new), "utf-8")
        with pytest.raises(ClientsError, match=words):
            load_clients(file)
