"""Codes and addresses that the published resources share, under a site's canonical base."""

from __future__ import annotations

import html
import re
import uuid
from collections.abc import Iterable
from typing import Any

Resource = dict[str, Any]

_DEVICES = uuid.UUID("9f3e1a52-0e7b-5d8e-8a0c-6f9a4f0c7b11")
PRODUCT = "Exowatch"

_RELATIVE = re.compile(r"([A-Z][A-Za-z]+)/[A-Za-z0-9.-]{1,64}(?:/_history/[A-Za-z0-9.-]{1,64})?")
OWN = (
    "DetectedIssue", "ClinicalImpression", "Task", "GuidanceResponse", "RequestGroup", "Provenance", "PlanDefinition", "Library",
    "Device",
)  # fmt: skip
"""Types of which this product has resources of its own."""

ISSUES = {
    "suspected": ("suspected-acquired-resistance", "Suspected acquired drug resistance"),
    "persistent": ("persistent-marker", "Marker persisting after curative operation"),
    "watch": ("rise-to-watch", "Marker rise, not confirmed"),
    "discordant": ("rise-against-imaging", "Marker rise that imaging does not support"),
}
"""State → code of a DetectedIssue. FHIR's own code list has no concept for acquired drug resistance."""


class Vocabulary:
    """Canonical addresses of a site."""

    def __init__(self, canonical: str):
        self.base = canonical.rstrip("/")

    def url(self, kind: str, name: str) -> str:
        """The canonical URL of a resource that this product publishes."""
        return f"{self.base}/{kind}/{name}"

    def coding(self, system: str, code: str, display: str) -> Resource:
        return {"system": self.url("CodeSystem", system), "code": code, "display": display}

    def concept(self, system: str, code: str, display: str) -> Resource:
        return {"coding": [self.coding(system, code, display)], "text": display}

    def identifier(self, name: str, value: str) -> Resource:
        return {"system": f"{self.base}/identifier/{name}", "value": value}


def device_id(software: str) -> str:
    """The id of the Device that stands for this software in this version."""
    return str(uuid.uuid5(_DEVICES, software))


def narrative(*paragraphs: str) -> Resource:
    """A generated narrative; every character of the text is escaped."""
    told = "".join(f"<p>{html.escape(text, quote=False)}</p>" for text in paragraphs if text.strip())
    return {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{told or "<p>-</p>"}</div>'}


def on_server(resource: Resource, server: str) -> Resource:
    """A resource whose references to the patient's record are absolute: here they would be read as our own.

    `server` is the base of the FHIR server that holds the record; where it is unknown ("") they stay relative.
    """
    made: Resource = _absolute(resource, server) if server else resource
    return made


def _absolute(content: Any, server: str) -> Any:
    if isinstance(content, list):
        return [_absolute(one, server) for one in content]
    if not isinstance(content, dict):
        return content
    made = {key: _absolute(value, server) for key, value in content.items()}
    found = _RELATIVE.fullmatch(made["reference"]) if isinstance(made.get("reference"), str) else None
    if found is not None and found[1] not in OWN:
        made["reference"] = f"{server}/{made['reference']}"
    return made


def literal_references(refs: Iterable[str]) -> list[Resource]:
    """References without duplicates; what is no literal reference (a place in an input) is left to the text."""
    return [{"reference": ref} for ref in dict.fromkeys(refs) if _is_literal(ref)]


def _is_literal(ref: str) -> bool:
    kind, _, name = ref.rpartition("/")[0].rpartition("/")[2], "", ref.rpartition("/")[2]
    return ref.startswith(("urn:uuid:", "urn:oid:")) or (kind.isalpha() and kind[:1].isupper() and bool(name))


def without_nothing(resource: Resource) -> Resource:
    """Without elements that hold nothing: FHIR has no empty ones."""
    return {key: value for key, value in resource.items() if value not in (None, "", [], {}, ())}
