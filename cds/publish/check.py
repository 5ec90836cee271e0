"""What is wrong with a FHIR R4 resource, as far as can be told offline: by fhir.resources, and by what that does not check.

fhir.resources checks fields, cardinalities and dates. It takes any code for a required one, and knows no invariants: those
are here, by their names in the specification.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from fhir.resources.R4B import get_fhir_model_class
from pydantic import ValidationError

Json = Mapping[str, Any]

_PUBLICATION = ("draft", "active", "retired", "unknown")
_REQUEST = ("draft", "active", "on-hold", "revoked", "completed", "entered-in-error", "unknown")
_OBSERVATION = (
    "registered", "preliminary", "final", "amended", "corrected", "cancelled", "entered-in-error", "unknown",
)  # fmt: skip
_REQUIRED: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("AuditEvent", "action"): ("C", "R", "U", "D", "E"),
    ("AuditEvent", "outcome"): ("0", "4", "8", "12"),
    ("Bundle", "type"): (
        "document", "message", "transaction", "transaction-response", "batch", "batch-response", "history", "searchset",
        "collection",
    ),
    ("CapabilityStatement", "kind"): ("instance", "capability", "requirements"),
    ("CapabilityStatement", "status"): _PUBLICATION,
    ("ClinicalImpression", "status"): ("in-progress", "completed", "entered-in-error"),
    ("CodeSystem", "content"): ("not-present", "example", "fragment", "complete", "supplement"),
    ("CodeSystem", "status"): _PUBLICATION,
    ("ConceptMap", "status"): _PUBLICATION,
    ("CommunicationRequest", "status"): _REQUEST,
    ("DetectedIssue", "severity"): ("high", "moderate", "low"),
    ("DetectedIssue", "status"): _OBSERVATION,
    ("Device", "status"): ("active", "inactive", "entered-in-error", "unknown"),
    ("GuidanceResponse", "status"): (
        "success", "data-requested", "data-required", "in-progress", "failure", "entered-in-error",
    ),
    ("Library", "status"): _PUBLICATION,
    ("Observation", "status"): _OBSERVATION,
    ("PlanDefinition", "status"): _PUBLICATION,
    ("RequestGroup", "intent"): (
        "proposal", "plan", "directive", "order", "original-order", "reflex-order", "filler-order", "instance-order", "option",
    ),
    ("RequestGroup", "priority"): ("routine", "urgent", "asap", "stat"),
    ("RequestGroup", "status"): _REQUEST,
    ("ServiceRequest", "intent"): (
        "proposal", "plan", "directive", "order", "original-order", "reflex-order", "filler-order", "instance-order", "option",
    ),
    ("ServiceRequest", "status"): _REQUEST,
    ("StructureDefinition", "status"): _PUBLICATION,
    ("Task", "intent"): (
        "unknown", "proposal", "plan", "order", "original-order", "reflex-order", "filler-order", "instance-order", "option",
    ),
    ("Task", "status"): (
        "draft", "requested", "received", "accepted", "rejected", "ready", "cancelled", "in-progress", "on-hold", "failed",
        "completed", "entered-in-error",
    ),
    ("ValueSet", "status"): _PUBLICATION,
}  # fmt: skip
_ONLY_LATER = ("valueCodeableReference", "valueRatioRange", "subjectCanonical", "valueInteger64")
"""Elements of R4B and R5 that an R4 server does not know."""

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_CODE = re.compile(r"[^\s]+( [^\s]+)*")
_ABSOLUTE = re.compile(r"(https?://|urn:)\S+")
_REFERENCE = re.compile(
    r"(#\S*|urn:(uuid|oid):\S+|(https?://\S+/)?[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}(/_history/\S+)?)"
)
_COMPARATORS = ("<", "<=", ">=", ">")


def problems(resource: Json) -> list[str]:
    """Everything that is wrong, each as `place: what`; empty for a resource against which nothing speaks."""
    kind = resource.get("resourceType")
    if not isinstance(kind, str):
        return ["resourceType: missing"]
    found = list(_by_the_models(kind, resource))
    found += _of_resource(resource, kind, contained=False)
    return found


def _by_the_models(kind: str, resource: Json) -> Iterator[str]:
    try:
        model = get_fhir_model_class(kind)
    except (KeyError, ValueError):
        yield f"{kind}: no resource type"
        return
    try:
        model.model_validate_json(json.dumps(resource, default=_figure))
    except ValidationError as error:
        for one in error.errors():
            yield f"{kind}.{'.'.join(str(part) for part in one['loc'])}: {one['msg']}"
    except (KeyError, RecursionError) as error:
        yield f"{kind}: {type(error).__name__} while it was read"


def _figure(value: object) -> object:
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(type(value).__name__)


def _of_resource(resource: Json, path: str, *, contained: bool) -> Iterator[str]:
    kind = str(resource.get("resourceType"))
    name = resource.get("id")
    if name is not None and not (isinstance(name, str) and _ID.fullmatch(name)):
        yield f"{path}.id: '{name}' is no id"
    for (type_, element), codes in _REQUIRED.items():
        if type_ == kind and element in resource and resource[element] not in codes:
            yield f"{path}.{element}: '{resource[element]}' is not of the required codes"
    if kind == "Observation" and "dataAbsentReason" in resource and any(key.startswith("value") for key in resource):
        yield f"{path}: obs-6: a value and a reason for its absence"
    if kind == "Bundle":
        for number, entry in enumerate(resource.get("entry", ())):
            if "resource" in entry:
                yield from _of_resource(entry["resource"], f"{path}.entry[{number}].resource", contained=False)
        return
    if kind == "Task" and resource.get("lastModified", "~") < resource.get("authoredOn", ""):
        yield f"{path}: inv-1: it was changed before it was authored"
    if kind == "RequestGroup":
        yield from _of_actions(resource.get("action", ()), f"{path}.action")
    inner = resource.get("contained", ())
    if contained and inner:
        yield f"{path}: dom-2: a contained resource contains others"
    yield from _of_contained(resource, inner, path)
    if not contained and not resource.get("text"):
        yield f"{path}: dom-6: no narrative"
    yield from _of_elements(resource, path)


def _of_contained(resource: Json, inner: Any, path: str) -> Iterator[str]:
    referred = {ref for ref in _all_references(resource) if ref.startswith("#")}
    names = [one.get("id") for one in inner]
    for number, one in enumerate(inner):
        place = f"{path}.contained[{number}]"
        if f"#{one.get('id')}" not in referred and "#" not in set(_all_references(one)):
            yield f"{place}: dom-3: nothing refers to it"
        meta = one.get("meta", {})
        if "versionId" in meta or "lastUpdated" in meta:
            yield f"{place}: dom-4: a contained resource has a version"
        if "security" in meta:
            yield f"{place}: dom-5: a contained resource has a security label"
        yield from _of_resource(one, place, contained=True)
    for reference in sorted(referred):
        if reference != "#" and reference[1:] not in names:
            yield f"{path}: ref-1: {reference} is not contained"


def _of_actions(actions: Any, path: str) -> Iterator[str]:
    for number, action in enumerate(actions):
        place = f"{path}[{number}]"
        if ("resource" in action) == ("action" in action):
            yield f"{place}: rqg-1: a resource or actions, but not both"
        yield from _of_actions(action.get("action", ()), f"{place}.action")


def _all_references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        reference = value.get("reference")
        if isinstance(reference, str):
            yield reference
        for key, inner in value.items():
            if key != "contained":
                yield from _all_references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _all_references(inner)


def _of_elements(value: Any, path: str) -> Iterator[str]:
    """What can be wrong with an element wherever it stands."""
    if isinstance(value, list):
        if not value:
            yield f"{path}: an empty list"
        for number, inner in enumerate(value):
            yield from _of_elements(inner, f"{path}[{number}]")
        return
    if not isinstance(value, dict):
        if value == "" or (isinstance(value, str) and value != value.strip() and not path.endswith(("div", "data"))):
            yield f"{path}: empty, or with spaces around it"
        return
    if not value:
        yield f"{path}: an empty element"
    for key, inner in value.items():
        if key in _ONLY_LATER:
            yield f"{path}.{key}: not in R4"
        if key == "contained":
            continue
        yield from _of_elements(inner, f"{path}.{key}")
    yield from _of_period(value, path)
    yield from _of_quantity(value, path)
    reference = value.get("reference")
    is_reference = isinstance(reference, str) and set(value) <= {
        "reference",
        "display",
        "type",
        "identifier",
        "extension",
        "id",
    }
    if is_reference and not _REFERENCE.fullmatch(str(reference)):
        yield f"{path}.reference: '{reference}' is neither relative nor absolute"
    if "code" in value and "system" in value:
        if not _CODE.fullmatch(str(value["code"])):
            yield f"{path}.code: '{value['code']}' is no code"
        if not _ABSOLUTE.fullmatch(str(value["system"])):
            yield f"{path}.system: '{value['system']}' is not absolute"
    if "url" in value and "resourceType" in value and not _ABSOLUTE.fullmatch(str(value["url"])):
        yield f"{path}.url: a canonical URL is absolute"


def _of_period(value: Json, path: str) -> Iterator[str]:
    start, end = value.get("start"), value.get("end")
    if isinstance(start, str) and isinstance(end, str):
        length = min(len(start), len(end))
        if end[:length] < start[:length]:
            yield f"{path}: per-1: it ends before it starts"


def _of_quantity(value: Json, path: str) -> Iterator[str]:
    last = path.rpartition(".")[2].partition("[")[0]
    if last.lower().endswith("quantity") or ("comparator" in value and "value" in value):
        if "code" in value and "system" not in value:
            yield f"{path}: qty-3: a code without its system"
        if value.get("comparator") is not None and value["comparator"] not in _COMPARATORS:
            yield f"{path}.comparator: '{value['comparator']}' is none"
