"""Whoever gets no advice for want of data is told what to send, what was likely meant, and whom the service may not ask."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from cds.reasoning.reasoner import Reasoner
from cds.service.app import create_app
from cds.settings import Settings
from tests.service.conftest import local, now
from tests.service.test_hooks import VIEW, refusal
from tests.service.test_trust import Site, site
from tests.service.tokens import claims, signed

__all__ = ["site"]
Body = dict[str, Any]


def said_of(answer: Any, key: str) -> str:
    """What a 412 says of a key."""
    issues = refusal(answer, 412)["issue"]
    return next(str(one["diagnostics"]) for one in issues if one["expression"] == [f"prefetch.{key}"])


def test_a_key_that_is_missing_comes_with_the_next_step(client: TestClient, request_body: Body) -> None:
    for key in ("patient", "conditions"):
        del request_body["prefetch"][key]
    answer = client.post(VIEW, json=request_body)
    step = "Send it as prefetch.conditions, null or an empty Bundle if there is none; or name fhirServer, with fhirAuthorization"
    assert step in said_of(answer, "conditions")
    assert "Send it as prefetch.patient; or name fhirServer" in said_of(answer, "patient")


@pytest.mark.parametrize(
    ("sent", "key"),
    [("Patient", "patient"), ("Observations", "observations"), ("medicationRequests", "medication-requests"),
     ("MedicationRequest", "medication-requests"), ("procedure", "procedures")],
)  # fmt: skip
def test_a_key_that_is_spelt_otherwise_is_named(client: TestClient, request_body: Body, sent: str, key: str) -> None:
    request_body["prefetch"][sent] = request_body["prefetch"].pop(key)
    said = said_of(client.post(VIEW, json=request_body), key)
    assert f"You sent '{sent}'; did you mean '{key}'? Send it as prefetch.{key}" in said


def test_on_a_card_an_optional_key_that_is_spelt_otherwise_is_named_too(client: TestClient, request_body: Body) -> None:
    request_body["prefetch"]["specimen"] = request_body["prefetch"].pop("specimens")
    (card,) = client.post(VIEW, json=request_body).json()["cards"]
    assert "not in the prefetch (what was sent as 'specimen' may be meant)" in card["detail"].replace("\\", "")


def test_a_strange_key_that_looks_like_none_is_left_alone(client: TestClient, request_body: Body) -> None:
    del request_body["prefetch"]["conditions"]
    request_body["prefetch"] |= {"coverage": None, "conditions\n<b>": None}
    said = said_of(client.post(VIEW, json=request_body), "conditions")
    assert said.startswith("prefetch.conditions: not in the prefetch; needed for")


def test_data_that_the_client_could_not_obtain_come_with_the_next_step(client: TestClient, request_body: Body) -> None:
    request_body["prefetch"]["conditions"] = {"resourceType": "OperationOutcome", "issue": []}
    assert "null says that there is none, and only that" in said_of(client.post(VIEW, json=request_body), "conditions")


@pytest.mark.parametrize(
    "server", ["https://nowhere.invalid/fhir", "https://8.8.8.8/fhir", "https://[2001:4860:4860::8888]"]
)
def test_in_open_mode_a_server_elsewhere_is_not_allowed(reasoner: Reasoner, request_body: Body, server: str) -> None:
    del request_body["prefetch"]["conditions"]
    with local(create_app(Settings(open_mode=True, fetch_ms=10_000), reasoner, clock=now)) as client:
        said = said_of(client.post(VIEW, json=request_body | {"fhirServer": server}), "conditions")
    assert "the FHIR server is not allowed: in open mode only servers of this machine are asked" in said
    assert "cannot be reached" not in said


def test_a_client_without_a_server_on_its_list_is_told_so(site: Site, request_body: Body) -> None:
    del request_body["prefetch"]["conditions"]
    body = request_body | {"fhirServer": "https://ehr.example/fhir"}
    said = said_of(site.asks(body, f"Bearer {signed(claims())}"), "conditions")
    assert "no FHIR server of this client may be asked; see 'fhir' in the file of clients" in said


def test_optional_data_that_were_not_sent_are_named_at_the_top_of_a_card_that_lacks_them(
    client: TestClient, request_body: Body
) -> None:
    del request_body["prefetch"]["specimens"]
    (card,) = client.post(VIEW, json=request_body).json()["cards"]
    said = card["detail"].replace("\\", "").replace("\u2060", "")
    assert "**Not all data could be used: specimens could not be had; see" in said
    assert "so not sent by the EHR (next: have the EHR send them; they may hold tube, isolation" in said


def test_an_address_that_is_none_comes_with_the_next_step(client: TestClient) -> None:
    assert "GET /cds-services lists the services" in client.get("/nowhere").text
    assert "use POST" in client.get(VIEW).text


def test_an_old_newest_sample_has_its_day_in_the_summary(reasoner: Reasoner, request_body: Body) -> None:
    late = now() + timedelta(days=150)
    with local(create_app(Settings(open_mode=True), reasoner, clock=lambda: late)) as client:
        (card,) = client.post(VIEW, json=request_body).json()["cards"]
    assert card["summary"].endswith("(newest sample 21 Apr 2025)")
    assert len(card["summary"]) < 140
