"""A record as the request of an EHR whose user opens a chart."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from cds.service.discovery import asks_for


def hook_request(bundle: Mapping[str, Any], service: Mapping[str, Any], occasion: str = "") -> dict[str, Any]:
    """A patient-view request whose prefetch holds what the service asks for, taken from a Bundle."""
    resources = [entry["resource"] for entry in bundle["entry"]]
    patient = next(resource for resource in resources if resource["resourceType"] == "Patient")
    prefetch: dict[str, Any] = {}
    for key, query in service["prefetch"].items():
        if query.startswith("Patient/"):
            prefetch[key] = patient
            continue
        found = [{"resource": resource} for resource in resources if asks_for(query, resource)]
        prefetch[key] = {"resourceType": "Bundle", "type": "searchset", "entry": found} if found else None
    return {
        "hook": service["hook"],
        "hookInstance": str(
            uuid.uuid5(uuid.NAMESPACE_URL, f"https://exowatch.example/demo/{patient['id']}/{occasion}")
        ),
        "context": {"userId": "Practitioner/demo", "patientId": patient["id"]},
        "prefetch": prefetch,
    }
