"""The hooks beside patient-view and order-sign: what each needs, and that all give the same assessment."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from cds.service.logs import JsonLines
from tests.service.conftest import PATIENT
from tests.service.test_hooks import refusal

Body = dict[str, Any]
RESULT = "org.exowatch.marker-result-arrive"
PATHS = {
    "order-select": "/cds-services/exowatch-order-select",
    "encounter-start": "/cds-services/exowatch-encounter-start",
    RESULT: "/cds-services/exowatch-result-arrived",
}


def draft(body: Body, key: str) -> Body:
    order = body["prefetch"]["medication-requests"]["entry"][0]["resource"]
    return {**copy.deepcopy(order), "id": key, "status": "draft"}


def request_of(hook: str, body: Body) -> Body:
    """A complete request of a hook."""
    found = copy.deepcopy(body) | {"hook": hook}
    if hook == "order-select":
        found["context"] |= {
            "selections": ["MedicationRequest/draft-1"],
            "draftOrders": {"resourceType": "Bundle", "entry": [{"resource": draft(body, "draft-1")}]},
        }
    if hook == RESULT:
        del found["context"]["userId"]
        observations = found["prefetch"]["observations"]["entry"]
        results = [one for one in observations if one["resource"]["id"] == "trpc5-5"]
        found["prefetch"]["observations"]["entry"] = [one for one in observations if one not in results]
        found["context"]["results"] = {"resourceType": "Bundle", "type": "collection", "entry": results}
    return found


@pytest.mark.parametrize("hook", PATHS)
def test_every_hook_has_the_same_assessment(client: TestClient, request_body: Body, hook: str) -> None:
    answer = client.post(PATHS[hook], json=request_of(hook, request_body))
    assert answer.status_code == 200, answer.text
    (card,) = answer.json()["cards"]
    assert card["summary"].startswith("TRPC5-EV: suspected acquired resistance to chemotherapy")
    assert ("order at hand" in card["detail"]) == (hook == "order-select")


def test_a_result_that_the_record_has_too_counts_once(client: TestClient, request_body: Body) -> None:
    whole = request_of(RESULT, request_body)
    whole["prefetch"] = request_body["prefetch"]
    again = client.post(PATHS[RESULT], json=whole).json()
    assert again == client.post(PATHS[RESULT], json=request_of(RESULT, request_body)).json()


def test_without_the_new_result_the_assessment_is_another(client: TestClient, request_body: Body) -> None:
    body = request_of(RESULT, request_body)
    body["context"]["results"]["entry"] = []
    (card,) = client.post(PATHS[RESULT], json=body).json()["cards"]
    assert "suspected acquired" not in card["summary"]


def test_only_the_chosen_order_is_spoken_of(client: TestClient, request_body: Body) -> None:
    body = request_of("order-select", request_body)
    other = draft(request_body, "draft-2")
    other["medicationCodeableConcept"] = {
        "coding": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "161"}]
    }
    body["context"]["draftOrders"]["entry"].append({"resource": other})
    assert "order at hand" in client.post(PATHS["order-select"], json=body).json()["cards"][0]["detail"]
    body["context"]["selections"] = ["MedicationRequest/draft-2"]
    assert "order at hand" not in client.post(PATHS["order-select"], json=body).json()["cards"][0]["detail"]


def test_a_draft_that_is_hardly_one_yet(client: TestClient, request_body: Body) -> None:
    """As the sandbox sends it before a drug is chosen: no intent, no medication, no type of Bundle."""
    body = request_of("order-select", request_body)
    bare = {
        "resourceType": "MedicationRequest",
        "id": "request-123",
        "status": "draft",
        "subject": {"reference": f"Patient/{PATIENT}"},
    }
    body["context"] |= {
        "selections": ["MedicationRequest/request-123"],
        "draftOrders": {"resourceType": "Bundle", "entry": [{"resource": bare}]},
    }
    assert client.post(PATHS["order-select"], json=body).status_code == 200


def test_an_order_that_nobody_can_read_is_spoken_of(client: TestClient, request_body: Body) -> None:
    """Else it would look like one that is not of the class which the card is about."""
    body = request_of("order-select", request_body)
    order = body["context"]["draftOrders"]["entry"][0]["resource"]

    def opening(resource: Body) -> str:
        body["context"]["draftOrders"]["entry"] = [{"resource": resource}]
        (card,) = client.post(PATHS["order-select"], json=body).json()["cards"]
        return str(card["detail"]).split("\n\n")[0].replace("\\", "")

    local = {"coding": [{"system": "urn:oid:1.2.3", "code": "TAX"}], "text": "Paclitaxel"}
    said = opening({**order, "medicationCodeableConcept": local})
    assert said.startswith("1 order at hand could not be recognised, so it is not known whether it is of the class")
    assert "MedicationRequest/draft-1: it is called paclitaxel, but no therapy class knows its code" in said
    referring = {key: value for key, value in order.items() if key != "medicationCodeableConcept"}
    said = opening({**referring, "medicationReference": {"reference": "Medication/elsewhere"}})
    assert "MedicationRequest/draft-1: the medication is not in the input" in said
    said = opening({**order, "subject": {"reference": "Patient/another"}})
    assert "MedicationRequest/draft-1: belongs to another patient" in said
    paracetamol = {"coding": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "161"}]}
    assert "order at hand" not in opening({**order, "medicationCodeableConcept": paracetamol})


def test_the_log_counts_an_order_that_nobody_can_read(
    client: TestClient, request_body: Body, caplog: pytest.LogCaptureFixture
) -> None:
    body = request_of("order-select", request_body)
    with caplog.at_level(logging.INFO, logger="exowatch.service"):
        client.post(PATHS["order-select"], json=body)
        body["context"]["draftOrders"]["entry"][0]["resource"]["subject"]["reference"] = "Patient/another"
        client.post(PATHS["order-select"], json=body)
    read, unread = [json.loads(JsonLines().format(one)) for one in caplog.records if one.name == "exowatch.service"]
    assert unread["left_out"] == read["left_out"] + 1


def change(*path: str, to: Any) -> Callable[[Body], None]:
    def changed(body: Body) -> None:
        for key in path[:-1]:
            body = body[key]
        if to is None:
            del body[path[-1]]
        else:
            body[path[-1]] = to

    return changed


@pytest.mark.parametrize(
    ("hook", "made", "place"),
    [
        ("order-select", change("context", "selections", to=None), "context.selections"),
        ("order-select", change("context", "selections", to=[]), "context.selections"),
        ("order-select", change("context", "selections", to="MedicationRequest/draft-1"), "context.selections"),
        ("order-select", change("context", "selections", to=["draft-1"]), "context.selections[0]"),
        ("order-select", change("context", "selections", to=["MedicationRequest/draft-1", 5]), "context.selections[1]"),
        ("order-select", change("context", "draftOrders", to=None), "context.draftOrders"),
        ("encounter-start", change("context", "encounterId", to=None), "context.encounterId"),
        ("encounter-start", change("context", "encounterId", to="Encounter/1"), "context.encounterId"),
        ("encounter-start", change("context", "userId", to=None), "context.userId"),
        (RESULT, change("context", "results", to=None), "context.results"),
        (RESULT, change("context", "results", to={"resourceType": "Observation"}), "context.results"),
        (RESULT, change("context", "patientId", to=None), "context.patientId"),
        (RESULT, change("context", "userId", to="nobody"), "context.userId"),
    ],
)
def test_what_a_hook_needs_is_named(
    client: TestClient, request_body: Body, hook: str, made: Callable[[Body], None], place: str
) -> None:
    body = request_of(hook, request_body)
    made(body)
    assert refusal(client.post(PATHS[hook], json=body), 400)["issue"][0]["expression"] == [place]
