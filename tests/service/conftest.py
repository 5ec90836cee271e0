"""The service as a client meets it: through HTTP, with the shipped rules."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from cds.reasoning.loading import default_rulebook
from cds.reasoning.reasoner import Reasoner
from cds.service.app import create_app
from cds.service.discovery import asks_for, templates
from cds.settings import Settings

ROOT = Path(__file__).parents[2]
NOW = datetime(2025, 4, 22, 9, 0, tzinfo=UTC)
PATIENT = "trpc5-suspected"


def now() -> datetime:
    return NOW


def local(app: Any) -> TestClient:
    """A client on the loopback address, as development mode wants it."""
    return TestClient(app, base_url="http://localhost", client=("127.0.0.1", 50000), raise_server_exceptions=False)


@pytest.fixture(scope="session")
def reasoner() -> Reasoner:
    return Reasoner(default_rulebook())


@pytest.fixture(scope="session")
def client(reasoner: Reasoner) -> Iterator[TestClient]:
    with local(create_app(Settings(open_mode=True, max_body_bytes=400_000), reasoner, clock=now)) as found:
        yield found


@pytest.fixture(scope="session")
def example() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "fhir/examples/trpc5-suspected.json").read_text("utf-8"))
    return found


@pytest.fixture
def request_body(example: dict[str, Any]) -> dict[str, Any]:
    """A complete patient-view request for the shipped example, free to be changed."""
    resources = [entry["resource"] for entry in copy.deepcopy(example)["entry"]]
    prefetch: dict[str, Any] = {
        one.key: {
            "resourceType": "Bundle",
            "type": "searchset",
            "entry": [{"resource": resource} for resource in resources if asks_for(one.query, resource)],
        }
        for one in templates(default_rulebook().catalogue)
    }
    prefetch["patient"] = next(resource for resource in resources if resource["resourceType"] == "Patient")
    return {
        "hook": "patient-view",
        "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea",
        "context": {"userId": "Practitioner/example", "patientId": PATIENT, "encounterId": "e-1"},
        "prefetch": prefetch,
    }
