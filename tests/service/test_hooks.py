"""CDS Hooks over HTTP: discovery, cards, and refusals that name the place."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B.operationoutcome import OperationOutcome
from starlette.testclient import TestClient

from cds.layers import shipped_rules
from cds.reasoning.loading import load_rulebook
from cds.reasoning.reasoner import Reasoner
from cds.service.app import create_app
from cds.service.discovery import asks_for, length, services, templates
from cds.settings import Settings
from tests.advice.test_cards import check_card
from tests.service.conftest import PATIENT, ROOT, local, now

VIEW, SIGN = "/cds-services/exowatch-patient-view", "/cds-services/exowatch-order-sign"
SAMPLES = ROOT.parent / "shared" / "samples" / "cdshooks"
Body = dict[str, Any]


def refusal(response: Any, status: int) -> dict[str, Any]:
    """The OperationOutcome of a refusal."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"].split(";")[0] == "application/json"
    found: dict[str, Any] = response.json()
    OperationOutcome.model_validate(found)
    assert PATIENT not in response.text
    return found


def places(outcome: dict[str, Any]) -> list[str]:
    return [issue["expression"][0] for issue in outcome["issue"] if "expression" in issue]


def test_a_book_without_the_example_laboratories_asks_for_none_of_their_codes(tmp_path: Path) -> None:
    """As docs/laboratories.md says that a site may have it."""
    shutil.copytree(shipped_rules(), tmp_path / "our-rules")
    asked = {}
    for step in ("with", "without"):
        found = templates(load_rulebook(tmp_path / "our-rules").catalogue)
        asked[step] = " ".join(one.query for one in found)
        for file in (tmp_path / "our-rules/labs").glob("example-*"):
            file.unlink()
    assert "-lab.example" in asked["with"]
    assert "-lab.example" not in asked["without"]


# discovery ---------------------------------------------------------------------------------------------------------


def test_discovery_names_the_markers_of_the_rule_book(reasoner: Reasoner) -> None:
    catalogue = reasoner.rulebook.catalogue
    own = replace(catalogue.markers["pdl1-ev"], name="uchl1-ev", short="EV-UCH-L1")
    more = replace(catalogue, markers={**catalogue.markers, "uchl1-ev": own})
    said = services(more)["exowatch-patient-view"].description
    assert "(EV-HOTAIR, EV-PD-L1, EV-TGF-β1, EV-UCH-L1, TRPC5-EV)" in said


@pytest.mark.parametrize("path", ["/cds-services", "/cds-services/"])
def test_discovery_names_every_service(client: TestClient, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 200
    services = response.json()["services"]
    assert [(service["id"], service["hook"]) for service in services] == [
        ("exowatch-patient-view", "patient-view"),
        ("exowatch-order-sign", "order-sign"),
        ("exowatch-order-select", "order-select"),
        ("exowatch-encounter-start", "encounter-start"),
        ("exowatch-result-arrived", "org.exowatch.marker-result-arrive"),
    ]
    for service in services:
        assert service.keys() == {"id", "hook", "title", "description", "usageRequirements", "version", "prefetch"}
        assert re.fullmatch(r"\d+\.\d+\.\d+", service["version"])


def test_prefetch_templates_are_portable(client: TestClient) -> None:
    prefetch = client.get("/cds-services").json()["services"][0]["prefetch"]
    for key, template in prefetch.items():
        assert re.fullmatch(r"[A-Za-z0-9_-]+", key)
        assert set(re.findall(r"\{\{(.*?)\}\}", template)) == {"context.patientId"}
        kind, _, query = template.partition("?")
        assert re.fullmatch(r"[A-Z][A-Za-z]+|Patient/\{\{context\.patientId\}\}", kind)
        asked = dict(part.partition("=")[::2] for part in query.split("&") if part)
        assert asked.keys() <= {"patient", "code", "category", "_count"}
        assert not query or asked["_count"] == "1000"
        assert length(template) < 2000
    codes = [code for key in prefetch for code in codes_of(prefetch[key])]
    assert len(codes) == len(set(codes))
    assert len(codes_of(prefetch["observations"])) > 20
    system = "https://exowatch.example/fhir/CodeSystem/exosomal-marker"
    assert {
        f"{system}|trpc5-ev",
        f"{system}|hotair-ev-delta-ct",
        f"{system}|pdl1-soluble",
        f"{system}|total-ev",
    } <= set(codes)
    others = codes_of(prefetch["clinical-observations"])
    assert {"http://loinc.org|85337-4", "http://loinc.org|97509-4"} <= set(others)  # receptors, response by imaging
    assert f"{system}|mir-567-ev" not in codes  # retracted
    assert "http://snomed.info/sct|254837009" not in codes  # a diagnosis is a Condition
    assert "http://loinc.org|83052-1" not in codes  # tissue PD-L1 is another question: not asked for


def codes_of(query: str) -> list[str]:
    return query.partition("code=")[2].partition("&")[0].split(",") if "code=" in query else []


def test_codes_of_a_sites_own_make_more_templates_and_none_too_long(reasoner: Reasoner) -> None:
    catalogue = reasoner.rulebook.catalogue
    meaning = next(iter(catalogue.codes.values()))
    own = {(f"https://laboratory-{number}.hospital.example/codes", f"EV-{number}"): meaning for number in range(100)}
    asked = templates(replace(catalogue, codes={**catalogue.codes, **own}))
    keys = [one.key for one in asked if one.query.startswith("Observation")]
    assert keys[0] == "observations"
    assert keys[-1] == "clinical-observations"
    assert keys[1:-1] == [f"observations-{number}" for number in range(2, len(keys))]
    assert all(one.required for one in asked if one.key in keys)
    assert max(length(one.query) for one in asked) < 2000
    codes = {code for one in asked for code in codes_of(one.query)}
    assert {f"{system}|{code}" for system, code in own} <= codes
    for system, code in own:
        coded = {"resourceType": "Observation", "code": {"coding": [{"system": system, "code": code}]}}
        assert sum(asks_for(one.query, coded) for one in asked) == 1


# cards -------------------------------------------------------------------------------------------------------------


def test_the_shipped_example_is_suspected(client: TestClient, request_body: Body) -> None:
    response = client.post(VIEW, json=request_body)
    assert response.status_code == 200, response.text
    (card,) = response.json()["cards"]
    check_card(card)
    assert card["indicator"] == "warning"
    assert card["summary"].startswith("TRPC5-EV: suspected acquired resistance to chemotherapy")
    assert "21 Apr 2025 (day 105): TRPC5-EV **6.3 × 10⁶/mL**" in card["detail"]
    assert response.headers["cache-control"] == "no-store"


def test_the_same_request_gets_the_same_bytes(client: TestClient, request_body: Body) -> None:
    assert client.post(VIEW, json=request_body).content == client.post(f"{VIEW}/", json=request_body).content


def test_known_none_is_an_empty_list_of_cards(client: TestClient, request_body: Body) -> None:
    empty: Body = {"resourceType": "Bundle", "type": "searchset"}
    patient = request_body["prefetch"]["patient"]
    for nothing in (None, empty, {**empty, "total": 0, "entry": []}):
        request_body["prefetch"] = dict.fromkeys(request_body["prefetch"], nothing) | {"patient": patient}
        response = client.post(VIEW, json=request_body)
        assert (response.status_code, response.content) == (200, b'{"cards":[]}')


def test_a_single_resource_stands_for_a_bundle(client: TestClient, request_body: Body) -> None:
    conditions = request_body["prefetch"]["conditions"]["entry"]
    request_body["prefetch"]["conditions"] = conditions[0]["resource"]
    assert len(client.post(VIEW, json=request_body).json()["cards"]) == 1


def test_what_is_not_known_of_the_protocol_is_left_alone(client: TestClient, request_body: Body) -> None:
    plain = client.post(VIEW, json=request_body).content
    request_body |= {"extension": {"org.example.x": {"y": 1}}, "other": [None]}
    request_body["context"]["extension"] = {"a": 1}
    request_body["prefetch"]["unasked"] = {"resourceType": "Condition", "id": "x"}
    assert client.post(VIEW, json=request_body).content == plain


@pytest.mark.parametrize("how", ["absent", "outcome"])
def test_optional_data_that_could_not_be_had_are_named_on_the_card(
    client: TestClient, request_body: Body, how: str
) -> None:
    if how == "absent":
        del request_body["prefetch"]["medication-statements"]
    else:
        request_body["prefetch"]["medication-statements"] = {
            "resourceType": "OperationOutcome",
            "issue": [{"severity": "error", "code": "forbidden"}],
        }
    (card,) = client.post(VIEW, json=request_body).json()["cards"]
    assert "### Left out" in card["detail"]
    assert "medication-statements" in card["detail"]


def test_an_order_of_the_same_class_is_named(client: TestClient, request_body: Body) -> None:
    order = request_body["prefetch"]["medication-requests"]["entry"][0]["resource"] | {"id": "draft", "status": "draft"}
    request_body["hook"] = "order-sign"
    request_body["context"]["draftOrders"] = {"resourceType": "Bundle", "entry": [{"resource": order}]}
    (card,) = client.post(SIGN, json=request_body).json()["cards"]
    check_card(card)
    assert card["detail"].startswith(
        "The order at hand holds paclitaxel, of the treatment itself that this card is about"
    )
    request_body["context"]["draftOrders"] = {"resourceType": "Bundle", "entry": []}
    (card,) = client.post(SIGN, json=request_body).json()["cards"]
    assert "order at hand" not in card["detail"]


def test_a_retracted_marker_yields_no_card(client: TestClient, request_body: Body) -> None:
    observations = request_body["prefetch"]["observations"]
    observations["entry"] = [entry for entry in observations["entry"] if entry["resource"]["id"] == "trpc5-5"]
    observations["entry"][0]["resource"]["code"]["coding"][0]["code"] = "mir-567-ev"
    assert client.post(VIEW, json=request_body).json() == {"cards": []}


# refusals ----------------------------------------------------------------------------------------------------------


def put(*path: str, value: Any) -> Callable[[Body], None]:
    def change(body: Body) -> None:
        for key in path[:-1]:
            body = body[key]
        body[path[-1]] = value

    return change


def drop(*path: str) -> Callable[[Body], None]:
    def change(body: Body) -> None:
        for key in path[:-1]:
            body = body[key]
        del body[path[-1]]

    return change


TOKEN = {"access_token": "secret-canary", "token_type": "Bearer", "expires_in": 300, "scope": "x", "subject": "s"}
SERVER = put("fhirServer", value="https://ehr.example/fhir")
OUTCOME = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "timeout"}]}

REFUSALS: list[tuple[str, list[Callable[[Body], None]], int, str]] = [
    ("no hook", [drop("hook")], 400, "hook"),
    ("another hook", [put("hook", value="order-sign")], 400, "hook"),
    ("a hook that is no text", [put("hook", value=7)], 400, "hook"),
    ("no instance", [drop("hookInstance")], 400, "hookInstance"),
    ("an instance that is no UUID", [put("hookInstance", value="1")], 400, "hookInstance"),
    ("no context", [drop("context")], 400, "context"),
    ("a context that is a list", [put("context", value=[])], 400, "context"),
    ("no patient", [drop("context", "patientId")], 400, "context.patientId"),
    ("a blank patient", [put("context", "patientId", value=" ")], 400, "context.patientId"),
    ("a patient with a type", [put("context", "patientId", value="Patient/1")], 400, "context.patientId"),
    ("an encounter with a type", [put("context", "encounterId", value="Encounter/1")], 400, "context.encounterId"),
    ("no user", [drop("context", "userId")], 400, "context.userId"),
    ("a user without a type", [put("context", "userId", value="example")], 400, "context.userId"),
    ("a user who is a patient", [put("context", "userId", value="Patient/1")], 403, "context.userId"),
    ("a plain http server", [put("fhirServer", value="http://ehr.example/fhir")], 400, "fhirServer"),
    ("a server that cannot be read", [put("fhirServer", value="https://[x")], 400, "fhirServer"),
    ("a server with a query", [put("fhirServer", value="https://ehr.example/fhir?x=1")], 400, "fhirServer"),
    ("a server with a fragment", [put("fhirServer", value="https://ehr.example/fhir#")], 400, "fhirServer"),
    (
        "a token with letters that none has",
        [SERVER, put("fhirAuthorization", value=TOKEN | {"access_token": "t\u00f6ken"})],
        400,
        "fhirAuthorization.access_token",
    ),
    ("a token without a server", [put("fhirAuthorization", value=TOKEN)], 400, "fhirServer"),
    (
        "a token of another patient",
        [SERVER, put("fhirAuthorization", value=TOKEN | {"patient": "other"})],
        400,
        "fhirAuthorization.patient",
    ),
    (
        "another type of token",
        [SERVER, put("fhirAuthorization", value=TOKEN | {"token_type": "bearer"})],
        400,
        "fhirAuthorization.token_type",
    ),
    (
        "an expiry that is a text",
        [SERVER, put("fhirAuthorization", value=TOKEN | {"expires_in": "300"})],
        400,
        "fhirAuthorization.expires_in",
    ),
    ("a prefetch that is a list", [put("prefetch", value=[])], 400, "prefetch"),
    ("no prefetch", [drop("prefetch")], 412, "prefetch.patient"),
    ("a required key missing", [drop("prefetch", "observations")], 412, "prefetch.observations"),
    ("required data not obtained", [put("prefetch", "conditions", value=OUTCOME)], 412, "prefetch.conditions"),
    (
        "another resource than was searched for",
        [put("prefetch", "observations", value={"resourceType": "Parameters"})],
        412,
        "prefetch.observations",
    ),
    (
        "fewer results than there are",
        [put("prefetch", "observations", value={"resourceType": "Bundle", "total": 500, "entry": []})],
        412,
        "prefetch.observations",
    ),
    ("no patient resource", [put("prefetch", "patient", value=None)], 412, "prefetch.patient"),
    ("a key that is no resource", [put("prefetch", "procedures", value="none")], 400, "prefetch.procedures"),
    ("another patient", [put("prefetch", "patient", "id", value="other")], 400, "prefetch.patient.id"),
    ("a patient that is none", [put("prefetch", "patient", value={"resourceType": "Group"})], 400, "prefetch.patient"),
]


@pytest.mark.parametrize(("what", "changes", "status", "place"), REFUSALS, ids=[row[0] for row in REFUSALS])
def test_a_request_that_cannot_be_answered_is_refused_with_its_place(
    client: TestClient, request_body: Body, what: str, changes: list[Callable[[Body], None]], status: int, place: str
) -> None:
    for change in changes:
        change(request_body)
    outcome = refusal(client.post(VIEW, json=request_body), status)
    assert places(outcome)[0] == place
    assert place in outcome["issue"][0]["diagnostics"]
    assert "secret-canary" not in json.dumps(outcome)


def test_every_missing_key_is_named_at_once(client: TestClient, request_body: Body) -> None:
    request_body["prefetch"] = {}
    named = places(refusal(client.post(VIEW, json=request_body), 412))
    keys = ("patient", "conditions", "observations", "clinical-observations", "medication-requests", "procedures")
    assert named == [f"prefetch.{key}" for key in keys]


@pytest.mark.parametrize(
    ("orders", "place"),
    [
        (None, "context.draftOrders"),
        ({"resourceType": "List"}, "context.draftOrders"),
        ({"resourceType": "Bundle", "entry": [{}]}, "context.draftOrders.entry[0].resource"),
        (
            {"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "MedicationOrder"}}]},
            "context.draftOrders.entry[0].resource",
        ),
    ],
)
def test_orders_are_checked(client: TestClient, request_body: Body, orders: Any, place: str) -> None:
    request_body["hook"] = "order-sign"
    request_body["context"]["draftOrders"] = orders
    assert places(refusal(client.post(SIGN, json=request_body), 400)) == [place]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"{", "ends too early"),
        (b'{"hook": "patient-view",}', "line 1"),
        (b"[]", "JSON object"),
        (b'"text"', "JSON object"),
        (b"[" * 100_000, "one JSON object|nested too deeply"),
        (b'{"hook": "\xff"}', "UTF-8"),
        (b'{"hook": NaN}', "line 1"),
        (b'{"a":1}\n{"b":2}', "one JSON object"),
    ],
)
def test_what_is_no_json_object_is_refused(client: TestClient, content: bytes, words: str) -> None:
    outcome = refusal(client.post(VIEW, content=content, headers={"content-type": "application/json"}), 400)
    assert re.search(words, outcome["issue"][0]["diagnostics"])


def test_a_deep_prefetch_is_refused(client: TestClient, request_body: Body) -> None:
    content = json.dumps(request_body).replace('"prefetch": {', '"prefetch": {"x": ' + "[" * 5_000 + "]" * 5_000 + ", ")
    response = client.post(VIEW, content=content, headers={"content-type": "application/json"})
    assert "nested too deeply" in refusal(response, 400)["issue"][0]["diagnostics"]


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/xml"},
        {"content-type": "application/json; charset=latin-1"},
        {"content-type": "application/json", "content-encoding": "gzip"},
    ],
)
def test_other_content_types_are_refused(client: TestClient, headers: dict[str, str]) -> None:
    refusal(client.post(VIEW, content=b"{}", headers=headers), 415)


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "application/json;charset=UTF-8",
        'application/json; charset="utf-8"',
        "application/fhir+json; charset=utf-8; fhirVersion=4.0",
        "application/fhir+json; fhirVersion=4.0; charset=utf-8",
    ],
)
def test_json_in_utf8_is_taken_whatever_else_its_type_says(client: TestClient, request_body: Body, kind: str) -> None:
    content = json.dumps(request_body).encode()
    assert client.post(VIEW, content=content, headers={"content-type": kind}).status_code == 200


@pytest.mark.parametrize("length", [True, False])
def test_a_body_over_the_limit_is_refused(client: TestClient, length: bool) -> None:
    body = b" " * 400_001
    content: Any = body if length else iter([body[:200_000], body[200_000:]])
    refusal(client.post(VIEW, content=content, headers={"content-type": "application/json"}), 413)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/cds-services/none", 404),
        ("GET", "/nothing", 404),
        ("GET", VIEW, 405),
        ("DELETE", "/cds-services", 405),
        ("GET", "/openapi.json", 404),
    ],
)
def test_unknown_addresses_and_methods_are_refused(client: TestClient, method: str, path: str, status: int) -> None:
    refusal(client.request(method, path, json={} if method == "POST" else None), status)


# the validator's own samples ---------------------------------------------------------------------------------------


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the sample requests are not here")
@pytest.mark.parametrize(
    ("sample", "status", "place"), [("good", 412, "prefetch.patient"), ("bad", 400, "context.patientId")]
)
def test_the_sample_requests_of_the_fhir_validator(client: TestClient, sample: str, status: int, place: str) -> None:
    content = (SAMPLES / f"cdshooks-request-patient-view-{sample}.json").read_bytes()
    response = client.post(VIEW, content=content, headers={"content-type": "application/json"})
    assert places(refusal(response, status))[0] == place


@pytest.mark.parametrize("where", ["prefetch", "context"])
def test_bundles_inside_of_bundles_are_counted(reasoner: Reasoner, request_body: Body, where: str) -> None:
    client = local(create_app(Settings(open_mode=True, max_resources=100), reasoner, clock=now))
    inner = {"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Basic"}}] * 200}
    path = VIEW
    if where == "prefetch":
        request_body["prefetch"]["specimens"] = {"resourceType": "Bundle", "entry": [{"resource": inner}]}
    else:
        path = "/cds-services/exowatch-result-arrived"
        request_body |= {"hook": "org.exowatch.marker-result-arrive"}
        request_body["context"]["results"] = {"resourceType": "Bundle", "entry": [{"resource": inner}]}
    answer = client.post(path, json=request_body)
    assert "at most 100 are read" in refusal(answer, 413)["issue"][0]["diagnostics"]
