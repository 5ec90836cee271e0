"""C, D and E: calls of a service, and the data that come with them or from the client's server."""

from __future__ import annotations

import copy
import json
import statistics
import uuid
from typing import Any

import httpx2

from cds.conformance.probe import Fails, Json, NotHere, Probe, changed, parsed, without
from cds.conformance.rows import require, row
from cds.conformance.servers import FhirServer, stranger

_SERIES = 5
_SLOW = 0.5
"""Seconds: "on the order of 500 ms" in the specification."""
_TOKEN = "probe-access-token"  # noqa: S105 - what a test server is to be shown


def _refused(probe: Probe, service: Json, body: Any, what: str, statuses: tuple[int, ...] = (400,)) -> None:
    answer = probe.call(service, body)
    require(answer.status_code in statuses, f"{what} gets status {answer.status_code}")
    require("cards" not in parsed(answer), f"{what} gets cards")


@row("C1", "SHALL", "a call goes to {base}/cds-services/{id}; an unknown id is an error")
def calls_are_answered(probe: Probe) -> None:
    require(bool(probe.answers), "no answer")
    service = probe.hooked
    answer = probe.call({**service, "id": f"no-such-{uuid.uuid4().hex[:8]}"}, probe.request(service))
    require(answer.status_code in (404, 401), f"an unknown id gets status {answer.status_code}")


@row("C2", "SHALL", "`hook` is there, and is one that this service answers")
def hook_is_checked(probe: Probe) -> None:
    service = probe.hooked
    body = probe.request(service)
    _refused(probe, service, without(body, "hook"), "no hook")
    for hook in ("", 5, "order-dispatch" if service["hook"] != "order-dispatch" else "patient-view"):
        _refused(probe, service, changed(body, hook, "hook"), f"hook {hook!r}")


@row("C3", "SHALL", "`hookInstance` is a UUID, in large or small letters")
def instance_is_checked(probe: Probe) -> None:
    service = probe.hooked
    body = probe.request(service)
    _refused(probe, service, without(body, "hookInstance"), "no hookInstance")
    _refused(probe, service, changed(body, "abc", "hookInstance"), "a hookInstance that is no UUID")
    status = probe.call(service, changed(body, str(uuid.uuid4()).upper(), "hookInstance")).status_code
    require(status == 200, f"a UUID in large letters gets status {status}")


@row("C4", "SHALL", "a token for a FHIR server comes with the server")
def token_needs_server(probe: Probe) -> None:
    service = probe.hooked
    _refused(
        probe, service, probe.request(service) | {"fhirAuthorization": _authorization()}, "a token without a server"
    )


@row("C5", "SHALL", "the FHIR server is named by https, but on this machine")
def server_by_https(probe: Probe) -> None:
    service = probe.hooked
    _refused(
        probe, service, probe.request(service) | {"fhirServer": "http://ehr.example/fhir"}, "a FHIR server by http"
    )


@row("C7", "SHALL", "`context` is an object with the fields of the hook")
def context_is_checked(probe: Probe) -> None:
    service = probe.hooked
    body = probe.request(service)
    _refused(probe, service, without(body, "context"), "no context")
    _refused(probe, service, changed(body, [], "context"), "a context that is a list")
    for field in ("patientId", "userId"):
        _refused(probe, service, without(body, "context", field), f"no {field}")
    _refused(probe, service, changed(body, "Patient/1", "context", "patientId"), "a patientId with a type")


@row("C8", "MAY", "prefetch may be missing, in part or wholly")
def prefetch_may_be_missing(probe: Probe) -> None:
    service = probe.hooked
    body = probe.request(service)
    for sent in (without(body, "prefetch"), changed(body, {}, "prefetch")):
        status = probe.call(service, sent).status_code
        require(status in (200, 412), f"status {status}")


@row("C9", "SHALL", "what is not known of a request does no harm")
def unknown_fields(probe: Probe) -> None:
    service = probe.hooked
    body = probe.request(service)
    plain = _told(probe, service, body)
    more = copy.deepcopy(body) | {"extension": {"org.example.x": {"y": [None]}}, "unheard": [1, None]}
    more["context"]["unheard"] = {"a": 1}
    more["prefetch"]["unheard"] = {"resourceType": "Basic", "id": "x"}
    require(_told(probe, service, more) == plain, "other cards for fields that are not known")


@row("C10", "SHALL", "FHIR of another version is refused, not misread")
def other_fhir_versions(probe: Probe) -> None:
    service = probe.of("order-sign", "order-select")
    body = probe.request(service)
    old = {"resourceType": "MedicationOrder", "id": "draft-1", "status": "draft"}
    body["context"]["draftOrders"]["entry"] = [{"resource": old}]
    if "selections" in body["context"]:
        body["context"]["selections"] = ["MedicationOrder/draft-1"]
    _refused(probe, service, body, "an order of DSTU2", (400, 412))


@row("C11", "SHOULD", "an answer within about half a second")
def quick(probe: Probe) -> None:
    """The best of a few series counts: it is the service that is to be quick, whatever else its machine does meanwhile."""
    service, series = probe.hooked, []
    for _ in range(_SERIES):
        for _ in range(10):
            probe.call(service)
        series.append(statistics.median(probe.took[-10:]))
        if series[-1] < _SLOW:
            return
    raise Fails(f"half of the calls took longer than {min(series) * 1000:.0f} ms")


# data ---------------------------------------------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    """Cards without what differs from call to call."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items() if key not in ("uuid", "id")}
    return [_plain(one) for one in value] if isinstance(value, list) else value


def _afresh(probe: Probe, service: Json, body: Json) -> tuple[httpx2.Response, str]:
    """The answer about somebody nobody was asked about, for a service may remember what stands; and what it says of anybody."""
    known = str(body["context"]["patientId"])
    somebody = f"{known}-{uuid.uuid4().hex[:8]}"
    answer = probe.call(service, json.loads(json.dumps(body).replace(known, somebody)))
    return answer, json.dumps(_plain(parsed(answer)), sort_keys=True).replace(somebody, known)


def _told(probe: Probe, service: Json, body: Json) -> str:
    answer = probe.call(service, body)
    require(answer.status_code == 200, f"status {answer.status_code}: {answer.text[:200]}")
    return json.dumps(_plain(parsed(answer)), sort_keys=True)


def _keys(probe: Probe, service: Json) -> list[str]:
    keys = [*(service.get("prefetch") or {})]
    if not keys:
        raise NotHere("no prefetch is asked for")
    return keys


@row("D11", "MAY", "any part of the templates may be honoured: an answer or 412, never a fault")
def subsets(probe: Probe) -> None:
    service = probe.hooked
    body = probe.request(service)
    for key in _keys(probe, service):
        for sent in (without(body, "prefetch", key), changed(body, {key: body["prefetch"][key]}, "prefetch")):
            status = probe.call(service, sent).status_code
            require(status in (200, 412), f"with or without {key}: status {status}")


_FAILED = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "timeout"}]}


@row("D12", "SHOULD", "an OperationOutcome in the prefetch is no data, and not the absence of data")
def outcomes_are_no_data(probe: Probe) -> None:
    service = probe.hooked
    body = probe.request(service)
    whole = _afresh(probe, service, body)[1]
    for key in _keys(probe, service):
        none, without_it = _afresh(probe, service, changed(body, None, "prefetch", key))
        failed, with_failure = _afresh(probe, service, changed(body, _FAILED, "prefetch", key))
        same = failed.status_code == none.status_code == 200 and with_failure == without_it
        if same and without_it != whole:  # so the key matters, and the failure went unnoticed
            raise Fails(f"{key}: the same cards as if there were nothing")
        require(failed.status_code in (200, 412), f"{key}: status {failed.status_code}")


@row("D14", "SHALL", "null and an empty Bundle say that there is nothing: no 412, and the same answer")
def nothing_is_known(probe: Probe) -> None:
    service = probe.hooked
    body = probe.request(service)
    for key, query in (service.get("prefetch") or {}).items():
        if "?" not in query:
            continue
        empty = {"resourceType": "Bundle", "type": "searchset", "total": 0, "entry": []}
        first, *others = (_told(probe, service, changed(body, sent, "prefetch", key)) for sent in (None, empty))
        require([first] == others, f"{key}: null and an empty Bundle get different answers")


@row("D15", "SHALL", "a Bundle of any type, or a single resource; another patient's is not used")
def any_bundle(probe: Probe) -> None:
    service = probe.hooked
    body = probe.request(service)
    plain = _told(probe, service, body)
    for sent in body["prefetch"].values():
        if isinstance(sent, dict) and sent["resourceType"] == "Bundle":
            sent["type"] = "collection"
            sent.pop("total", None)
    require(_told(probe, service, body) == plain, "other cards for Bundles of another type")
    stranger = copy.deepcopy(body)
    for sent in stranger["prefetch"].values():
        for entry in sent.get("entry", ()) if isinstance(sent, dict) else ():
            if entry["resource"]["resourceType"] == "Observation":
                entry["resource"]["subject"] = {"reference": "Patient/somebody-else"}
    answer = probe.call(service, stranger)
    require(
        answer.status_code != 200 or _plain(parsed(answer)) != json.loads(plain), "results of another patient are used"
    )


@row("D18", "SHALL", "412 if required data cannot be had; the key is named")
def precondition(probe: Probe) -> None:
    service = probe.hooked
    body = probe.request(service)
    named = 0
    for key in _keys(probe, service):
        answer = probe.call(service, without(body, "prefetch", key))
        if answer.status_code == 412:
            named += 1
            require(key in answer.text, f"the answer does not name {key}")
    require(named > 0, "no missing key gets 412")


# the client's FHIR server -------------------------------------------------------------------------------------------


def _authorization() -> Json:
    return {
        "access_token": _TOKEN, "token_type": "Bearer", "expires_in": 300, "scope": "patient/*.read", "subject": "probe",
    }  # fmt: skip


def _server(probe: Probe) -> FhirServer:
    """The FHIR server on this machine, asked for nothing yet."""
    if not probe.is_here:
        raise NotHere("the service is not on this machine, so it cannot reach a server here")
    if probe.signer is not None:
        raise NotHere("a client's servers are listed by the site, and a test server cannot be")
    probe.server.asked.clear()
    return probe.server


def _elsewhere(body: Json, base: str) -> Json:
    return body | {"fhirServer": base, "fhirAuthorization": _authorization()}


@row("D16", "MAY", "a first page is completed, or said not to be whole")
def pages(probe: Probe) -> None:
    service = probe.hooked
    body = probe.request(service)
    whole = _told(probe, service, body)
    for key, sent in body["prefetch"].items():
        if isinstance(sent, dict) and sent["resourceType"] == "Bundle" and len(sent["entry"]) > 1:
            cut = {
                **sent,
                "entry": sent["entry"][:1],
                "link": [{"relation": "next", "url": "https://ehr.example/next"}],
            }
            answer = probe.call(service, changed(body, cut, "prefetch", key))
            told = json.dumps(_plain(parsed(answer)), sort_keys=True)
            silent = {**sent, "entry": sent["entry"][:1]}
            taken = probe.call(service, changed(body, silent, "prefetch", key))
            same = told == json.dumps(_plain(parsed(taken)), sort_keys=True)
            require(
                answer.status_code == 412 or told == whole or not same, f"{key}: a first page is taken for all of it"
            )


@row("D17", "SHALL", "what is missing is fetched, and nothing else")
def fetched(probe: Probe) -> None:
    service = probe.hooked
    body = probe.request(service)
    for key in _keys(probe, service):
        server = _server(probe)
        answer = probe.call(service, _elsewhere(without(body, "prefetch", key), server.base))
        require(answer.status_code == 200, f"without {key}: status {answer.status_code}")
        require(len(server.asked) == 1, f"without {key}: {len(server.asked)} requests to the FHIR server")


@row("D19", "SHOULD", "the same answer from prefetch and from the FHIR server")
def either_way(probe: Probe) -> None:
    service = probe.hooked
    body = probe.request(service)
    told = _told(probe, service, _elsewhere(changed(body, {}, "prefetch"), _server(probe).base))
    require(told == _told(probe, service, body), "other cards from the FHIR server")


def _asked_without_prefetch(probe: Probe) -> list[tuple[str, str]]:
    service, server = probe.hooked, _server(probe)
    probe.call(service, _elsewhere(changed(probe.request(service), {}, "prefetch"), server.base))
    return server.asked


@row("E1", "MAY", "the FHIR server is asked with the client's token")
def server_is_asked(probe: Probe) -> None:
    require(bool(_asked_without_prefetch(probe)), "it is not asked")


@row("E2", "SHALL", "every request to the FHIR server bears the token")
def token_is_shown(probe: Probe) -> None:
    asked = _asked_without_prefetch(probe)
    if not asked:
        raise NotHere("the FHIR server is not asked")
    require({told for _, told in asked} == {f"Bearer {_TOKEN}"}, "a request without the token, or with another")


@row("E3", "SHALL", "a token is taken only whole: all five fields, of type Bearer")
def token_is_whole(probe: Probe) -> None:
    service = probe.hooked
    body = probe.request(service)
    for change in (
        {"access_token": ""},
        {"token_type": "mac"},
        {"expires_in": "soon"},
        {"scope": None},
        {"subject": 5},
    ):
        stated = {**_authorization(), **change}
        sent = body | {"fhirServer": "https://ehr.example/fhir", "fhirAuthorization": stated}
        status = probe.call(service, sent).status_code
        require(status in (200, 400), f"{change}: status {status}")


_STRANGERS = ("0.0.0.0", "127.0.0.1")  # noqa: S104 - nothing is bound to it


@row("E10", "SHALL", "a FHIR server that is not the client's is not asked")
def strangers_are_not_asked(probe: Probe) -> None:
    service = probe.hooked
    if not probe.is_here:
        raise NotHere("the service is not on this machine, so nobody here sees whom it asks")
    # The first leads to this machine, and is on no list. Without clients a server of loopback may be theirs.
    for host in _STRANGERS if probe.signer is not None else _STRANGERS[:1]:
        with stranger() as server:
            body = _elsewhere(changed(probe.request(service), {}, "prefetch"), f"https://{host}:{server.port}/fhir")
            status = probe.call(service, body).status_code
            require(server.connections == 0, f"it connects to {host}")
        require(status in (400, 401, 403, 412), f"status {status}")
