"""What the FHIR endpoint can do (CapabilityStatement), its answers to searches (Bundle), and the audit as AuditEvents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cds.publish.vocabulary import PRODUCT, Resource, Vocabulary, narrative, without_nothing

OF_A_PATIENT = {
    "DetectedIssue": ("patient", "identified"),
    "ClinicalImpression": ("patient", "date"),
    "Task": ("patient", "authored-on"),
    "GuidanceResponse": ("patient", "occurrence"),
    "RequestGroup": ("patient", "authored"),
    "Provenance": ("patient", "recorded"),
}
"""Types that belong to a patient, with their search parameters for patient and date."""
_KNOWLEDGE = ("PlanDefinition", "Library", "Device")
_DICOM = "http://dicom.nema.org/resources/ontology/DCM"
_TYPE = "http://terminology.hl7.org/CodeSystem/audit-event-type"
_ACTIONS = {
    "evaluate": "C", "feedback": "C", "decide": "C", "second-read": "C", "outcome": "C", "acknowledge": "C", "receive": "C", "erase": "D", "set-aside": "D", "view": "R", "list": "R",
    "view-refused": "R", "change-refused": "U",
    "sign-in": "E", "sign-in-refused": "E", "sign-out": "E", "password-refused": "E",
}  # fmt: skip
"""What an entry's action is to FHIR: create, read, delete or execute; any other changed something."""
_INTERACTIONS = {"C": "create", "R": "read", "U": "update", "D": "delete", "E": "operation"}
_REFUSED = "-refused"


@dataclass(frozen=True, slots=True)
class Audited:
    """One entry of the audit. `subject` is the salted digest of the patient: who it was, only the record can tell."""

    number: int
    at: str
    actor: str
    action: str
    subject: str
    patient: str  # "Patient/123" where the record still knows it; "" once erased
    link: str


def capability_statement(canonical: str, software: str, date: str) -> Resource:
    """What can be read and searched; nothing can be written."""
    name, _, version = software.partition(" ")
    resources: list[Resource] = []
    for kind in (*OF_A_PATIENT, *_KNOWLEDGE):
        entry: Resource = {"type": kind, "interaction": [{"code": "read"}, {"code": "search-type"}]}
        if kind in OF_A_PATIENT:
            day: Resource = {"name": OF_A_PATIENT[kind][1], "type": "date"}
            if day["name"] != "date":
                day["documentation"] = "also taken as `date`"
            entry["searchParam"] = [{"name": "patient", "type": "reference"}, day]
        resources.append(entry)
    return {
        "resourceType": "CapabilityStatement",
        "id": "exowatch",
        "text": narrative(f"{software}: read and search of advisories; nothing can be written"),
        "url": Vocabulary(canonical).url("CapabilityStatement", "exowatch"),
        "name": PRODUCT,
        "title": "Advisories of Exowatch",
        "status": "active",
        "date": date,
        "kind": "instance",
        "software": without_nothing({"name": name, "version": version}),
        "implementation": {"description": "Advisory decision support for exosomal markers"},
        "fhirVersion": "4.0.1",
        "format": ["json"],
        "rest": [{"mode": "server", "resource": resources}],
    }


def searchset(found: Sequence[Mapping[str, Any]], base: str, address: str) -> Resource:
    """The answer to a search: all of it in one page."""
    return without_nothing(
        {
            "resourceType": "Bundle",
            "type": "searchset",
            "total": len(found),
            "link": [{"relation": "self", "url": address}],
            "entry": [
                {"fullUrl": f"{base}/{one['resourceType']}/{one['id']}", "resource": one, "search": {"mode": "match"}}
                for one in found
            ],
        }
    )


def audit_event(canonical: str, software: str, audited: Audited) -> Resource:
    """One entry of the audit after the IHE Basic Audit Log Patterns (create, read, update, delete), in the form with the patient

    where the record still knows who it is.
    """
    action = _ACTIONS.get(audited.action, "U")
    code = _INTERACTIONS[action]
    known = bool(audited.patient)
    entities: list[Resource] = [
        {
            "what": {"identifier": {"system": f"{canonical}/identifier/audit", "value": str(audited.number)}},
            "type": {"system": _TYPE.replace("event-type", "entity-type"), "code": "2", "display": "System Object"},
            "role": {
                "system": "http://terminology.hl7.org/CodeSystem/object-role", "code": "4", "display": "Domain Resource",
            },
            "detail": [{"type": "link", "valueString": audited.link}],
        }
    ]  # fmt: skip
    if known:
        entities.append(
            {
                "what": {"reference": audited.patient},
                "type": {"system": _TYPE.replace("event-type", "entity-type"), "code": "1", "display": "Person"},
                "role": {
                    "system": "http://terminology.hl7.org/CodeSystem/object-role", "code": "1", "display": "Patient",
                },
            }
        )  # fmt: skip
    return {
        "resourceType": "AuditEvent",
        "id": f"audit-{audited.number}",
        "text": narrative(f"{audited.action} by {audited.actor} at {audited.at}"),
        "type": {"system": _TYPE, "code": "rest", "display": "Restful Operation"},
        "subtype": [
            {"system": "http://hl7.org/fhir/restful-interaction", "code": code, "display": code},
            {"system": f"{canonical}/CodeSystem/exowatch-audit-action", "code": audited.action, "display": audited.action},
        ],
        "action": action,
        "recorded": audited.at,
        "outcome": "4" if audited.action.endswith(_REFUSED) else "0",
        "agent": [
            {
                "type": {"coding": [{"system": _DICOM, "code": "110153", "display": "Source Role ID"}]},
                "who": {"display": audited.actor},
                "requestor": True,
            },
            {
                "type": {"coding": [{"system": _DICOM, "code": "110152", "display": "Destination Role ID"}]},
                "who": {"display": software},
                "requestor": False,
            },
        ],
        "source": {
            "observer": {"display": software},
            "type": [
                {
                    "system": "http://terminology.hl7.org/CodeSystem/security-source-type", "code": "4",
                    "display": "Application Server",
                }
            ],
        },
        "entity": entities,
    }  # fmt: skip
