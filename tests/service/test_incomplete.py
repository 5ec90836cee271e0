"""What a client cut off or withheld must not read as what is not there."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

ADDRESS = "/cds-services/exowatch-patient-view"
REFUSED = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "security"}]}


@pytest.mark.parametrize(
    "key", ["conditions", "observations", "clinical-observations", "medication-requests", "procedures"]
)
def test_a_first_page_is_not_the_whole(client: TestClient, request_body: dict[str, Any], key: str) -> None:
    request_body["prefetch"][key]["link"] = [{"relation": "next", "url": "https://ehr.example/fhir?page=2"}]
    answer = client.post(ADDRESS, json=request_body)
    assert answer.status_code == 412
    assert key in answer.text


def test_a_search_that_was_refused_inside_its_bundle_is_not_empty(
    client: TestClient, request_body: dict[str, Any]
) -> None:
    request_body["prefetch"]["procedures"] = {
        "resourceType": "Bundle",
        "type": "searchset",
        "entry": [{"resource": REFUSED}],
    }
    assert client.post(ADDRESS, json=request_body).status_code == 412


def test_an_incomplete_optional_search_is_named_on_the_card(client: TestClient, request_body: dict[str, Any]) -> None:
    request_body["prefetch"]["immunizations"]["link"] = [{"relation": "next", "url": "https://ehr.example/fhir?page=2"}]
    answer = client.post(ADDRESS, json=request_body)
    assert answer.status_code == 200
    assert "immunizations" in answer.json()["cards"][0]["detail"]
