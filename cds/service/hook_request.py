"""A CDS Hooks request, read strictly: every mistake is refused with its place, before anything is evaluated.

Requests of CDS Hooks 1.0 to 3.0 are taken; fields and extensions that are not known are left alone.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import msgspec

from cds.chart.envelope import unpack
from cds.errors import InputError
from cds.record import spelling
from cds.service.problems import Problem

RESULT_ARRIVED = "org.exowatch.marker-result-arrive"
"""Our own hook, for a laboratory system that has received a result: no standard hook tells of one."""
LOOPBACK = ("localhost", "127.0.0.1", "::1")

_DECODER = msgspec.json.Decoder(float_hook=Decimal)  # decimals stay as written: 1.50 is not 1.5
_REFERENCE = re.compile(r"([A-Z][A-Za-z]+)/[^\s/?#]{1,255}")
_TOKEN = re.compile(r"[ -~]{1,16000}")
_PROFESSIONALS = ("Practitioner", "PractitionerRole")
_OTHERS = ("Patient", "RelatedPerson")
_NOT_R4 = ("MedicationOrder", "DiagnosticOrder", "ProcedureRequest", "ReferralRequest", "DeviceUseRequest")


@dataclass(frozen=True, slots=True)
class HookRequest:
    """What a call is about; `prefetch` is as it was sent."""

    hook: str
    instance: str
    patient: str  # the bare id
    encounter: str
    prefetch: Mapping[str, Any]
    draft_orders: tuple[dict[str, Any], ...]
    server: str = ""  # base URL of the client's FHIR server in its one spelling, if it names one
    token: str = field(default="", repr=False)  # for that server; never stored, never logged
    results: Mapping[str, Any] | None = None  # the Bundle of results that have arrived


def read_request(body: bytes, hook: str, *, open_mode: bool = False) -> HookRequest:
    """The request for a service of `hook`. Raises `Problem` 400 (403 for users who are no health professionals)."""
    request = _decoded(body)
    stated = _text(request, "hook", "hook")
    if stated != hook:
        raise Problem(400, "value", f"this service answers '{hook}' and no other hook", "hook")
    instance = _text(request, "hookInstance", "hookInstance")
    try:
        instance = str(uuid.UUID(instance))
    except ValueError:
        raise Problem(400, "value", "it is to be a UUID", "hookInstance") from None
    context = request.get("context")
    if not isinstance(context, dict):
        raise Problem(400, "required", "it is to be an object with the fields of the hook", "context")
    patient = _identifier(context, "patientId")
    needs_encounter = hook == "encounter-start"
    encounter = _identifier(context, "encounterId") if needs_encounter or "encounterId" in context else ""
    if hook != RESULT_ARRIVED or "userId" in context:  # a result arrives without a user
        _check_user(context)
    server = _server(request, open_mode)
    _check_token(request, patient)
    prefetch = request.get("prefetch", {})
    if not isinstance(prefetch, dict):
        raise Problem(400, "structure", "it is to be an object of prefetch key and resource", "prefetch")
    orders = tuple(_orders(context)) if hook in ("order-sign", "order-select") else ()
    if hook == "order-select":
        orders = _selected(context, orders)
    results = _results(context) if hook == RESULT_ARRIVED else None
    token = (request.get("fhirAuthorization") or {}).get("access_token", "")
    return HookRequest(stated, instance, patient, encounter, prefetch, orders, server, token, results)


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        request = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ArithmeticError):
        text = "the body is not one JSON object"
        try:
            unpack(body)  # knows the likely cause and the line
        except InputError as error:
            text = str(error)
        raise Problem(400, "structure", text) from None
    if not isinstance(request, dict):
        raise Problem(400, "structure", "the body is to be a JSON object: a CDS Hooks request")
    return request


def _text(values: Mapping[str, Any], key: str, place: str) -> str:
    value = values.get(key)
    if not isinstance(value, str) or not value.strip():
        raise Problem(400, "required", "it is to be a text that is not empty", place)
    return value


def _identifier(context: Mapping[str, Any], key: str) -> str:
    place = f"context.{key}"
    value = _text(context, key, place)
    if not spelling.is_id(value):
        raise Problem(400, "value", "it is to be the bare id, without a resource type, slash or blank", place)
    return value


def _check_user(context: Mapping[str, Any]) -> None:
    found = _REFERENCE.fullmatch(_text(context, "userId", "context.userId"))
    if found is None or found[1] not in (*_PROFESSIONALS, *_OTHERS):
        kinds = ", ".join((*_PROFESSIONALS, *_OTHERS))
        raise Problem(400, "value", f"it is to be Type/id, the type one of {kinds}", "context.userId")
    if found[1] in _OTHERS:
        raise Problem(403, "forbidden", "this advice is for health professionals", "context.userId")


def _server(request: Mapping[str, Any], open_mode: bool) -> str:
    """The client's FHIR server, "" if it names none."""
    stated = request.get("fhirServer")
    if stated is None:
        return ""
    try:
        server = spelling.server(stated if isinstance(stated, str) else "")
        local = open_mode and urlsplit(server).hostname in LOOPBACK
    except ValueError:
        server, local = "", False
    if not (server.startswith("https://") or local):
        text = f"it is to be an absolute https address of at most {spelling.MOST_SERVER} characters, without query or fragment"
        raise Problem(400, "value", text, "fhirServer")
    return server


def _check_token(request: Mapping[str, Any], patient: str) -> None:
    """The token for the FHIR server: nothing is fetched with it here, but a broken one is a broken client's."""
    token = request.get("fhirAuthorization")
    if token is None:
        return
    if request.get("fhirServer") is None:
        raise Problem(400, "required", "fhirAuthorization needs the server that it is for", "fhirServer")
    if not isinstance(token, dict):
        raise Problem(400, "structure", "it is to be an object", "fhirAuthorization")
    for key in ("access_token", "token_type", "scope", "subject"):
        _text(token, key, f"fhirAuthorization.{key}")
    if not _TOKEN.fullmatch(token["access_token"]):
        raise Problem(400, "value", "it holds what no token can", "fhirAuthorization.access_token")
    if token["token_type"] != "Bearer":  # noqa: S105 - the type of a token, not one
        raise Problem(400, "value", "it is to be 'Bearer'", "fhirAuthorization.token_type")
    expires = token.get("expires_in")
    if not isinstance(expires, int) or isinstance(expires, bool):
        raise Problem(400, "value", "it is to be a whole number of seconds", "fhirAuthorization.expires_in")
    if token.get("patient", patient) != patient:
        raise Problem(400, "value", "the token is for another patient than the context", "fhirAuthorization.patient")


def _selected(context: Mapping[str, Any], orders: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
    """The orders that were just chosen; the others on the list are only their context."""
    place = "context.selections"
    stated = context.get("selections")
    if not isinstance(stated, list) or not stated:
        raise Problem(400, "required", "it is to be a list of the orders that were chosen, as Type/id", place)
    known = {f"{order['resourceType']}/{order.get('id')}": order for order in orders}
    for number, one in enumerate(stated):
        if not isinstance(one, str) or one not in known:
            raise Problem(
                400, "value", "it is to name an order of context.draftOrders, as Type/id", f"{place}[{number}]"
            )
    # A Medication that an order refers to comes with it.
    return tuple(order for name, order in known.items() if name in stated or order["resourceType"] == "Medication")


def _results(context: Mapping[str, Any]) -> Mapping[str, Any]:
    bundle = context.get("results")
    if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle":
        raise Problem(400, "required", "it is to be a Bundle of the results that have arrived", "context.results")
    return bundle


def _orders(context: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    bundle = context.get("draftOrders")
    place = "context.draftOrders"
    if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle":
        raise Problem(400, "required", "it is to be a Bundle of the orders at hand", place)
    entries = bundle.get("entry", [])
    if not isinstance(entries, list):
        raise Problem(400, "structure", "it is to be a list", f"{place}.entry")
    for number, entry in enumerate(entries):
        order = entry.get("resource") if isinstance(entry, dict) else None
        where = f"{place}.entry[{number}].resource"
        if not isinstance(order, dict) or not isinstance(order.get("resourceType"), str):
            raise Problem(400, "structure", "it is to be a FHIR resource", where)
        if order["resourceType"] in _NOT_R4:
            raise Problem(400, "not-supported", "it is of an older FHIR version; FHIR R4 is needed", where)
        yield order
