"""I: what users did with cards."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from cds.conformance.probe import Fails, Json, NotHere, Probe, parsed, path_of
from cds.conformance.rows import require, row


def _feedback(probe: Probe, body: Any, service: Json | None = None) -> Any:
    return probe.send("POST", f"{path_of(service or probe.hooked)}/feedback", json=body)


def _offered(probe: Probe) -> None:
    status = _feedback(probe, {"feedback": [_entry()]}).status_code
    if status in (404, 405):
        raise NotHere("no feedback is taken")
    require(status == 200, f"an entry for a card that nobody knows gets status {status}")


def _entry(**changes: Any) -> Json:
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    entry = {"card": str(uuid.uuid4()), "outcome": "overridden", "outcomeTimestamp": now, **changes}
    return {name: value for name, value in entry.items() if value is not None}


def _bad(probe: Probe, body: Any, what: str) -> None:
    _offered(probe)
    status = _feedback(probe, body).status_code
    require(status == 400, f"{what} gets status {status}")


@row("I1", "MAY", "feedback is taken for every service, and for no other id")
def feedback_is_taken(probe: Probe) -> None:
    _offered(probe)
    for service in probe.services:
        status = _feedback(probe, {"feedback": [_entry()]}, service).status_code
        require(status == 200, f"{service['id']}: status {status}")
    unknown = _feedback(probe, {"feedback": [_entry()]}, {"id": "no-such-service"}).status_code
    require(unknown in (404, 401), f"an unknown id gets status {unknown}")


@row("I2", "SHALL", "feedback goes to the address of the service and /feedback")
def feedback_address(probe: Probe) -> None:
    _offered(probe)


@row("I3", "SHALL", "a body is an object with a list of feedback")
def feedback_bodies(probe: Probe) -> None:
    bodies: list[Any] = [[], {}, {"feedback": {}}, {"feedback": "x"}]
    for body in bodies:
        _bad(probe, body, f"{body}")


@row("I4", "SHALL", "an entry names its card; one that is not known is no error")
def feedback_cards(probe: Probe) -> None:
    _bad(probe, {"feedback": [_entry(card=None)]}, "no card")


@row("I5", "SHALL", "an outcome is accepted or overridden")
def feedback_outcomes(probe: Probe) -> None:
    for outcome in (None, "ignored", 5):
        _bad(probe, {"feedback": [_entry(outcome=outcome)]}, f"outcome {outcome}")


@row("I6", "SHALL", "what was accepted is named, each by its id")
def feedback_accepted(probe: Probe) -> None:
    _bad(probe, {"feedback": [_entry(outcome="accepted")]}, "accepted, and nothing named")
    _bad(probe, {"feedback": [_entry(outcome="accepted", acceptedSuggestions=[{}])]}, "a suggestion without id")


@row("I7", "MAY", "a reason is a code, a comment or both; a display may be missing")
def feedback_reasons(probe: Probe) -> None:
    _offered(probe)
    for reason in ({"reason": {"code": "x", "system": "https://example.org"}}, {"userComment": "words"}):
        status = _feedback(probe, {"feedback": [_entry(overrideReason=reason)]}).status_code
        require(status == 200, f"{reason} gets status {status}")
    _bad(probe, {"feedback": [_entry(overrideReason={})]}, "a reason that says nothing")


@row("I8", "SHALL", "outcomeTimestamp is an instant with an offset")
def feedback_instants(probe: Probe) -> None:
    _offered(probe)
    for at in ("2021-12-11T10:05:31Z", "2021-12-11T10:05:31.123Z", "2021-12-11T10:05:31+00:00"):
        status = _feedback(probe, {"feedback": [_entry(outcomeTimestamp=at)]}).status_code
        require(status == 200, f"{at} gets status {status}")
    for wrong in (None, "2021-12-11T10:05:31", "yesterday"):
        _bad(probe, {"feedback": [_entry(outcomeTimestamp=wrong)]}, f"{wrong}")


@row("I9", "SHALL", "feedback may come in batches, again, and late")
def feedback_again(probe: Probe) -> None:
    _offered(probe)
    batch = {"feedback": [_entry(), _entry(), _entry()]}
    for _ in range(2):
        status = _feedback(probe, batch).status_code
        require(status == 200, f"status {status}")


@row("I11", "SHALL", "feedback needs the same token as a call")
def feedback_needs_a_token(probe: Probe) -> None:
    _offered(probe)
    if probe.signer is None:
        raise NotHere("it is tested without a client's key")
    path = f"{path_of(probe.hooked)}/feedback"
    status = probe.send("POST", path, signed=False, json={"feedback": [_entry()]}).status_code
    require(status == 401, f"without a token: status {status}")
    token = probe.signer.token(probe.audience(path_of(probe.hooked)))
    headers = {"Authorization": f"Bearer {token}"}
    found = probe.send("POST", path, headers=headers, json={"feedback": [_entry()]}).status_code
    require(found == 200, f"a token for the service itself gets status {found}")


@row("I12", "MAY", "feedback is answered with 200")
def feedback_answer(probe: Probe) -> None:
    _offered(probe)
    try:
        parsed(_feedback(probe, {"feedback": [_entry()]}))
    except Fails as failed:
        raise NotHere(f"the body is left open by the specification ({failed})") from None
