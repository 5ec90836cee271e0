"""The results of a delivery, person by person, as the record takes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cds.record import spelling
from cds.record.arrivals import Part
from cds.record.ownership import Owner


def by_person(resources: Iterable[Mapping[str, Any]]) -> list[Part]:
    """One part for each Patient among mapped resources: whose results they are, and what was sent of them."""
    owners: dict[str, Owner] = {}
    parts: dict[str, list[Mapping[str, Any]]] = {}
    belongs: dict[str, str] = {}  # Observation → Patient
    unowned: list[Mapping[str, Any]] = []
    said: dict[tuple[str, str], Mapping[str, Any]] = {}
    for resource in resources:
        name = resource["resourceType"], resource["id"]
        if said.get(name) == resource:  # a Specimen that each of its results brings along
            continue
        said[name] = resource
        if resource["resourceType"] == "Patient":
            owners[f"Patient/{resource['id']}"] = _owner(resource)
        elif "subject" in resource:
            patient = resource["subject"]["reference"]
            parts.setdefault(patient, []).append(resource)
            belongs[f"{resource['resourceType']}/{resource['id']}"] = patient
        else:
            unowned.append(resource)
    for resource in unowned:
        for one in {belongs[name] for name in _targets(resource, belongs)}:
            parts[one].append(resource)
    return [
        Part(owners[patient], own, sum(one["resourceType"] == "Observation" for one in own))
        for patient, own in parts.items()
        if any(one["resourceType"] == "Observation" for one in own)
    ]


def _owner(patient: Mapping[str, Any]) -> Owner:
    """Whose results they are, in the spelling in which patients are kept."""
    stated = [(one.get("system", ""), one["value"]) for one in patient.get("identifier", ())]
    identifiers = sorted((spelling.text(system), spelling.text(value)) for system, value in stated)
    link = next((one["other"]["reference"] for one in patient.get("link", ())), "")
    return Owner(tuple(identifiers), spelling.born(patient.get("birthDate")), spelling.reference(link))


def _targets(resource: Mapping[str, Any], belongs: Mapping[str, str]) -> list[str]:
    """What a Provenance is about; any other resource without a subject goes with whoever refers to it: so with everybody."""
    if resource["resourceType"] == "Provenance":
        return [one["reference"] for one in resource["target"]]
    return list(belongs)
