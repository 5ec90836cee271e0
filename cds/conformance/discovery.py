"""A, B and the templates of D: how the service speaks, and what it offers."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from cds.conformance.probe import NotHere, Probe, parsed, path_of
from cds.conformance.rows import require, row

_HOOKS = {
    "patient-view", "order-select", "order-sign", "order-dispatch", "encounter-start", "encounter-discharge",
    "appointment-book", "problem-list-item-create", "medication-refill", "allergyintolerance-create",
}  # fmt: skip
_REVERSE_DOMAIN = re.compile(r"[a-z]{2,}(\.[a-z0-9-]+){2,}")
_TOKENS = {"context.patientId", "context.userId", "context.encounterId"}
_USERS = {"userPractitionerId", "userPractitionerRoleId", "userPatientId", "userRelatedPersonId"}
_TOKENS_AND_REFERENCES = {
    "_id", "account", "actor", "appointment", "appointment-type", "attester", "author", "authored-by", "based-on", "beneficiary",
    "bodysite", "care-team", "category", "class", "clinical-status", "code", "component-code", "context", "criticality", "device",
    "encounter", "event", "evidence", "focus", "general-practitioner", "group-identifier", "identifier", "instantiates-canonical",
    "insurer", "intent", "lifecycle-status", "location", "manufacturer", "medication", "organization", "owner", "part-of",
    "participant", "patient", "payor", "performer", "practitioner", "priority", "procedure", "reaction", "reason-code",
    "reason-reference", "recorder", "related", "replaces", "requester", "requisition", "result", "role", "route", "schedule", "series",
    "service-category", "service-type", "serviced-provider", "severity", "site", "source", "specialty", "specimen", "stage", "status",
    "subject", "target", "target-disease", "type", "use", "vaccine-code", "verification-status",
}  # fmt: skip
"""Search parameters of FHIR R4 whose values are tokens or references."""
_DATES = {
    "_lastUpdated", "abatement-date", "authored", "authored-on", "authoredon", "birthdate", "collected", "created", "date", "death-date",
    "effective", "effective-time", "issued", "last-date", "occurrence", "onset", "onset-date", "period", "planned-date", "recorded",
    "recorded-date", "relevant-period", "start-date", "started", "target-date", "timing", "whenhandedover", "whenprepared",
}  # fmt: skip
"""Those whose values are dates."""
_DATE = re.compile(r"(eq|lt|gt|ge|le)?(\d{4}(-\d\d){0,2}(T[\d:.+Z-]+)?|\{\{[^{}]+\}\})")
_SORTED = re.compile(r"-?[_a-z][A-Za-z-]*")


def _walk(value: Any, path: str = "") -> list[tuple[str, Any]]:
    found = [(path, value)]
    if isinstance(value, dict):
        for key, one in value.items():
            found += _walk(one, f"{path}.{key}")
    elif isinstance(value, list):
        for number, one in enumerate(value):
            found += _walk(one, f"{path}[{number}]")
    return found


def _everything(probe: Probe) -> list[tuple[str, Any]]:
    """Every value of discovery and of the answers, with its place."""
    found = _walk(parsed(probe.discovery))
    for service, answer in probe.answers:
        found += [(f"{service['id']}{path}", value) for path, value in _walk(answer)]
    return found


@row("A1", "SHALL", "JSON in both directions, in errors too; anything else is refused")
def json_only(probe: Probe) -> None:
    service = probe.hooked
    for answer in (probe.discovery, probe.call(service), probe.call({"id": "no-such-service"}, {})):
        require(answer.headers.get("content-type", "").split(";")[0] == "application/json", "Content-Type is not JSON")
        parsed(answer)
    headers = {"Content-Type": "text/plain"}
    refused = probe.send("POST", path_of(service), content=b"<xml/>", headers=headers)
    require(refused.status_code in (400, 415), f"a body that is no JSON gets status {refused.status_code}")


@row("A2", "SHALL", "TLS, but on this machine")
def over_tls(probe: Probe) -> None:
    if probe.is_here:
        raise NotHere("it is on this machine")
    require(urlsplit(probe.base).scheme == "https", "it is called without TLS")
    answer = probe.without_tls("/cds-services")
    if answer is not None and answer.status_code == 200:
        require('"services"' not in answer.text, "it answers without TLS too")


@row("A3", "SHALL", "FHIR resources are objects, never texts")
def resources_are_objects(probe: Probe) -> None:
    for path, value in _everything(probe):
        if path.endswith(".resource"):
            require(isinstance(value, dict) and isinstance(value.get("resourceType"), str), f"{path} is no resource")


@row("A4", "SHOULD NOT", "neither comments nor trailing commas")
def strict_json(probe: Probe) -> None:
    parsed(probe.discovery)
    require(bool(probe.answers), "no answer")


@row("A5", "SHALL NOT", "no nulls")
def no_nulls(probe: Probe) -> None:
    for path, value in _everything(probe):
        require(value is not None, f"{path} is null")


@row("A6", "SHALL NOT", "no empty texts, lists or objects but `cards` and `services`")
def nothing_empty(probe: Probe) -> None:
    for path, value in _everything(probe):
        if path.rsplit(".", 1)[-1] not in ("cards", "services"):
            require(value not in ("", [], {}), f"{path} is empty")


@row("A7", "SHALL", "what has no value is left out")
def nothing_without_value(probe: Probe) -> None:
    no_nulls(probe)
    nothing_empty(probe)


@row("A8", "SHALL NOT", "no texts of blanks alone")
def no_blanks(probe: Probe) -> None:
    for path, value in _everything(probe):
        require(not isinstance(value, str) or bool(value.strip()), f"{path} is blank")


@row("B1", "SHALL", "discovery at {base}/cds-services")
def discovery_is_there(probe: Probe) -> None:
    require(probe.discovery.status_code == 200, f"status {probe.discovery.status_code}")


@row("B2", "SHALL", "an object with `services`, a list")
def services_is_a_list(probe: Probe) -> None:
    require(isinstance(parsed(probe.discovery).get("services"), list), "'services' is no list")
    require(len(probe.services) == len(parsed(probe.discovery)["services"]), "a service is no object, or has no id")


@row("B4", "SHALL", "success is 200")
def discovery_is_200(probe: Probe) -> None:
    require(probe.discovery.status_code == 200, f"status {probe.discovery.status_code}")


def _each(probe: Probe, field: str, so: Any, text: str) -> None:
    require(bool(probe.services), "no service is offered")
    for service in probe.services:
        require(bool(so(service.get(field))), f"{service['id']}: {field} {text}")


@row("B6", "SHALL", "each service names its hook, of the catalogue or in reverse domain notation")
def hooks(probe: Probe) -> None:
    _each(probe, "hook", lambda hook: hook in _HOOKS or _REVERSE_DOMAIN.fullmatch(str(hook)), "is no hook")


@row("B7", "RECOMMENDED", "each service has a title")
def titles(probe: Probe) -> None:
    _each(probe, "title", lambda title: isinstance(title, str) and title.strip(), "is missing")


@row("B8", "SHALL", "each service has a description that is safe as text and as Markdown")
def descriptions(probe: Probe) -> None:
    _each(
        probe,
        "description",
        lambda text: isinstance(text, str) and text.strip() and "<" not in text,
        "is missing or unsafe",
    )


@row("B9", "SHALL", "the id is a path segment, and calls go there")
def ids_are_routed(probe: Probe) -> None:
    _each(probe, "id", lambda key: re.fullmatch(r"[A-Za-z0-9._~-]+", key), "is no path segment")
    for service in probe.services:
        status = probe.send("POST", path_of(service), json={}).status_code
        require(status not in (404, 405), f"POST to {path_of(service)} gets status {status}")


@row("B10", "MAY", "prefetch, if any, maps keys to queries")
def prefetch_form(probe: Probe) -> None:
    for service in probe.services:
        stated = service.get("prefetch")
        if stated is None:
            continue
        require(isinstance(stated, dict) and bool(stated), f"{service['id']}: prefetch is no object, or empty")
        for key, query in stated.items():
            require(bool(re.fullmatch(r"[A-Za-z0-9_-]+", key)), f"{service['id']}: the key '{key}' is no plain word")
            require(isinstance(query, str) and bool(query.strip()), f"{service['id']}: {key} is no query")


@row("B11", "MAY", "usageRequirements, if any, is a text")
def usage(probe: Probe) -> None:
    _each(
        probe, "usageRequirements", lambda text: text is None or (isinstance(text, str) and text.strip()), "is no text"
    )


@row("B12", "RECOMMENDED", "version, if any, is a semantic version")
def versions(probe: Probe) -> None:
    _each(
        probe,
        "version",
        lambda text: text is None or re.fullmatch(r"\d+\.\d+\.\d+(-[\w.]+)?", str(text)),
        "is no version",
    )


@row("B13", "MAY", "hookVersion, if any, is that of the published hook")
def hook_versions(probe: Probe) -> None:
    published = {
        "patient-view": "1.0",
        "encounter-start": "1.0",
        "encounter-discharge": "1.0",
        "appointment-book": "1.0",
    }
    for service in probe.services:
        stated = service.get("hookVersion")
        require(
            stated is None or stated == published.get(str(service.get("hook")), stated), f"{service['id']}: {stated}"
        )


@row("B15", "MAY", "two services of one id have different hooks")
def ids_are_unique(probe: Probe) -> None:
    found = [(service["id"], service.get("hook")) for service in probe.services]
    require(len(found) == len(set(found)), "an id stands twice for one hook")


@row("B16", "MAY", "extensions, if any, are objects with names in reverse domain notation")
def extensions(probe: Probe) -> None:
    for path, value in _everything(probe):
        if path.endswith(".extension") and not isinstance(value, list):
            require(isinstance(value, dict) and all("." in name for name in value), f"{path} is no such object")


@row("B17", "SHOULD", "usage is told to people")
def told_to_people(probe: Probe) -> None:
    _each(probe, "usageRequirements", lambda text: isinstance(text, str) and len(text) > 20, "says nothing")


@row("B18", "SHALL NOT", "no actionSelectionBehavior to a client that is not known to support it")
def no_new_behaviour(probe: Probe) -> None:
    for path, _ in _everything(probe):
        require(not path.endswith(".actionSelectionBehavior"), f"{path} is there")


# templates ----------------------------------------------------------------------------------------------------------


def _templates(probe: Probe) -> list[tuple[str, str]]:
    found = [
        (f"{one['id']} {key}", query) for one in probe.services for key, query in (one.get("prefetch") or {}).items()
    ]
    if not found:
        raise NotHere("no prefetch is asked for")
    return found


@row("D1", "SHALL", "data to be prefetched have a template with a key")
def templates_are_published(probe: Probe) -> None:
    _templates(probe)


@row("D2", "SHALL", "a template is a read or a search, relative to the FHIR server")
def templates_are_relative(probe: Probe) -> None:
    for name, query in _templates(probe):
        require(bool(re.match(r"[A-Z][A-Za-z]+(/\{\{[^}]+\}\}$|\?.+)", query)), f"{name}: '{query[:60]}'")


@row("D3", "SHALL", "tokens stand between {{ and }}")
def tokens_are_balanced(probe: Probe) -> None:
    for name, query in _templates(probe):
        rest = re.sub(r"\{\{[^{}]+\}\}", "", query)
        require("{" not in rest and "}" not in rest, f"{name}: '{query[:60]}'")


def _tokens(probe: Probe) -> set[str]:
    return {token for _, query in _templates(probe) for token in re.findall(r"\{\{([^{}]+)\}\}", query)}


@row("D4", "SHALL", "a token is a field of the context, or an id of the user")
def tokens_are_fields(probe: Probe) -> None:
    for token in _tokens(probe):
        require(token in _USERS or bool(re.fullmatch(r"context\.[A-Za-z]+", token)), f"'{token}' is neither")


@row("D5", "SHALL", "fields of the context are named context.…")
def tokens_are_named(probe: Probe) -> None:
    tokens_are_fields(probe)


@row("D6", "SHALL", "only fields that a hook allows as tokens")
def tokens_are_allowed(probe: Probe) -> None:
    for token in _tokens(probe) - _USERS:
        require(token in _TOKENS, f"'{token}' is not among them")


@row("D10", "SHOULD", "queries keep to the portable subset")
def queries_are_portable(probe: Probe) -> None:
    for name, query in _templates(probe):
        for part in query.partition("?")[2].split("&") if "?" in query else ():
            parameter, _, value = part.partition("=")
            require(_is_portable(parameter, value), f"{name}: '{part[:60]}' is not portable")


def _is_portable(parameter: str, value: str) -> bool:
    """Whether it is of the subset of the specification: references, tokens (`:in` alone), dates (eq, lt, gt, ge, le), _count, _sort."""
    name, _, modifier = parameter.partition(":")
    if not value or modifier not in ("", "in"):
        return False
    if modifier or name in _TOKENS_AND_REFERENCES:
        return name in _TOKENS_AND_REFERENCES
    values = value.split(",")
    if name in _DATES:
        return all(_DATE.fullmatch(one) for one in values)
    return value.isdigit() if name == "_count" else name == "_sort" and all(_SORTED.fullmatch(one) for one in values)
