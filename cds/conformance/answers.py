"""F: what the service answers, and how it says that it cannot."""

from __future__ import annotations

import json
import re

import httpx2

from cds.conformance.probe import Json, Probe, changed, parsed, path_of
from cds.conformance.rows import require, row


@row("F1", "SHALL", "success is 200 with `cards`, a list")
def cards_are_a_list(probe: Probe) -> None:
    for service, answer in probe.answers:
        require(isinstance(answer.get("cards"), list), f"{service['id']}: cards is no list")


@row("F2", "MAY", "no system actions unless they were agreed on")
def no_system_actions(probe: Probe) -> None:
    for service, answer in probe.answers:
        require("systemActions" not in answer, f"{service['id']}: there are some")


@row("F3", "SHOULD", "nothing to say is an empty list of cards")
def nothing_to_say(probe: Probe) -> None:
    service = probe.hooked
    body = probe.request(service)
    for key, query in (service.get("prefetch") or {}).items():
        if "?" in query:
            body["prefetch"][key] = None
    # Somebody nobody was asked about: a service may remember what stands of the patient of the other rows.
    known = str(body["context"]["patientId"])
    body = json.loads(json.dumps(body).replace(known, f"{known}-new"))
    answer = probe.call(service, body)
    require(
        answer.status_code == 200 and parsed(answer) == {"cards": []},
        f"status {answer.status_code}: {answer.text[:100]}",
    )


def _errors(probe: Probe) -> list[tuple[str, httpx2.Response]]:
    service = probe.hooked
    body = probe.request(service)
    found = [
        ("no JSON", probe.send("POST", path_of(service), content=b"{", headers={"Content-Type": "application/json"})),
        ("an empty object", probe.call(service, {})),
        ("a list", probe.call(service, [])),
        ("an unknown id", probe.call({"id": "no-such-service"}, body)),
        ("another method", probe.send("DELETE", path_of(service))),
        ("no prefetch", probe.call(service, changed(body, {}, "prefetch"))),
    ]
    return [(what, answer) for what, answer in found if answer.status_code != 200]


@row("F5", "MAY", "errors have a status of their own, and none is a fault")
def statuses(probe: Probe) -> None:
    for what, answer in _errors(probe):
        require(400 <= answer.status_code < 500, f"{what} gets status {answer.status_code}")


@row("F6", "SHOULD", "errors are OperationOutcomes")
def outcomes(probe: Probe) -> None:
    for what, answer in _errors(probe):
        found = parsed(answer)
        issues: list[Json] = found.get("issue") or []
        require(found.get("resourceType") == "OperationOutcome", f"{what}: no OperationOutcome")
        require(bool(issues), f"{what}: no issue")
        require(
            all({"severity", "code"} <= issue.keys() for issue in issues), f"{what}: an issue without severity or code"
        )


@row("F7", "SHALL NOT", "errors hold nothing of the patient, and no stack traces")
def errors_are_discreet(probe: Probe) -> None:
    patient = probe.request(probe.hooked)["context"]["patientId"]
    for what, answer in _errors(probe):
        require(patient not in answer.text, f"{what}: the answer names the patient")
        require(
            not re.search(r"Traceback|File \"|at [\w.]+\(\w+\.java", answer.text),
            f"{what}: the answer holds a stack trace",
        )
