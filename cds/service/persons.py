"""Who a patient is by the Patient resource of their own record: identifiers, date of birth, ids that were merged into theirs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from cds.chart.clock import relative
from cds.record.identity import Identity
from cds.record.ownership import Person


def person_of(patient: object, who: Identity, today: date) -> Person | None:
    """The person of a Patient resource, or of the first entry of a Bundle; None for anything else.

    Identifiers that are old or have ended, or name no authority, are not among them.
    """
    resource = _patient(patient)
    if resource is None:
        return None
    born = resource.get("birthDate")
    return Person(who, tuple(_identifiers(resource, today)), born if isinstance(born, str) else "")


def replaced(patient: object, server: str) -> list[str]:
    """Ids of the same server that the EHR says this patient replaces (`Patient.link`): their history becomes the patient's."""
    resource = _patient(patient)
    links = resource.get("link") if resource is not None else None
    found = [
        link["other"].get("reference")
        for link in (links if isinstance(links, list) else ())
        if isinstance(link, dict) and link.get("type") == "replaces" and isinstance(link.get("other"), dict)
    ]
    own = f"{server}/Patient/"
    return [
        relative(one)
        for one in found
        if isinstance(one, str) and (one.startswith("Patient/") or (server and one.startswith(own)))
    ]


def _patient(value: object) -> Mapping[str, Any] | None:
    if isinstance(value, dict) and value.get("resourceType") == "Bundle":
        entries = value.get("entry")
        found = [one.get("resource") for one in entries if isinstance(one, dict)] if isinstance(entries, list) else []
        value = found[0] if found else None
    return value if isinstance(value, dict) and value.get("resourceType") == "Patient" else None


def _identifiers(patient: Mapping[str, Any], today: date) -> Iterator[tuple[str, str]]:
    stated = patient.get("identifier")
    for one in stated if isinstance(stated, list) else ():
        if not isinstance(one, dict) or one.get("use") == "old":
            continue
        system, value, period = one.get("system"), one.get("value"), one.get("period")
        end = period.get("end") if isinstance(period, dict) else None
        ended = isinstance(end, str) and end[:10] < today.isoformat()[: len(end)]
        if isinstance(system, str) and isinstance(value, str) and system and value.strip() and not ended:
            yield system, value.strip()
