"""Feedback of CDS Hooks: what users did with cards. Read strictly, taken once, late or repeated as it may come.

Of a comment only that there was one is kept: clinicians write names into them. A card that is not known here is no error, for
cards can outlive a record; it is counted and named in the answer.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from cds.chart.clock import AHEAD, when
from cds.record.responses import Answer, NoSuchSuggestion, Responses
from cds.service.problems import Problem

_MOST = 1000
_CODING = (("code", 128), ("system", 255))


def take(
    responses: Responses, body: bytes, client: str, tenant: str, reasons: tuple[str, Collection[str]]
) -> dict[str, Any]:
    """Record a batch of feedback: how much was new, how much was known already, which cards nobody knows.

    `reasons` are the code system of the cards' override reasons, and its codes. Raises `Problem` 400 with the place of the first mistake (then nothing is taken), and `RecordUnavailable`.
    """
    try:
        stated = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Problem(400, "structure", "the body is not one JSON object") from None
    entries = stated.get("feedback") if isinstance(stated, dict) else None
    if not isinstance(entries, list) or not entries:
        raise Problem(400, "required", "it is to be a list with at least one entry", "feedback")
    if len(entries) > _MOST:
        raise Problem(413, "too-long", f"at most {_MOST} entries are taken at once", "feedback")
    answers = [_answer(entry, f"feedback[{number}]", reasons) for number, entry in enumerate(entries)]
    try:
        taken = responses.feedback(answers, client, tenant)
    except NoSuchSuggestion as error:
        place = f"feedback[{error.number}].acceptedSuggestions[{error.which}].id"
        raise Problem(400, "value", "the card has no such suggestion; send the uuid of one of its own", place) from None
    return {"new": taken.new, "known": taken.again, "unknownCards": list(taken.unknown)}


def _answer(entry: Any, place: str, reasons: tuple[str, Collection[str]]) -> Answer:
    if not isinstance(entry, dict):
        raise Problem(400, "structure", "it is to be an object", place)
    outcome = entry.get("outcome")
    if outcome not in ("accepted", "overridden"):
        raise Problem(400, "value", "it is to be 'accepted' or 'overridden'", f"{place}.outcome")
    at = entry.get("outcomeTimestamp")
    read = when(at)
    if not isinstance(at, str) or len(at) > 40 or read is None or read.instant is None:
        raise Problem(400, "value", "it is to be an instant such as 2026-05-01T10:05:31Z", f"{place}.outcomeTimestamp")
    # The latest answer counts: one from the future would outlast whatever is said after it. By the clock of this machine, as the
    # record is, whatever moment a chart is read as of.
    if read.instant > datetime.now(UTC) + AHEAD:
        text = "it lies in the future: send when the user answered; a clock may be ahead by five minutes at most"
        raise Problem(400, "value", text, f"{place}.outcomeTimestamp")
    reason = entry.get("overrideReason")
    if reason is not None and (not isinstance(reason, dict) or not (reason.get("reason") or reason.get("userComment"))):
        raise Problem(400, "structure", "it is to hold a reason, a userComment or both", f"{place}.overrideReason")
    coding = (reason or {}).get("reason") or {}
    if not isinstance(coding, dict):
        raise Problem(400, "structure", "it is to be a Coding", f"{place}.overrideReason.reason")
    code, system = (_text(coding, key, f"{place}.overrideReason.reason", most) for key, most in _CODING)
    if code and system in ("", reasons[0]) and code not in reasons[1]:
        text = (
            "no card offers such a reason: send code and system of one of its overrideReasons, or a system of your own"
        )
        raise Problem(400, "code-invalid", text, f"{place}.overrideReason.reason.code")
    return Answer(
        _uuid(entry.get("card"), f"{place}.card"),
        outcome,
        at,
        _suggestions(entry, place) if outcome == "accepted" else (),
        system,
        code,
        bool((reason or {}).get("userComment")),
    )


def _suggestions(entry: Mapping[str, Any], place: str) -> list[str]:
    stated = entry.get("acceptedSuggestions")
    if not isinstance(stated, list) or not stated:
        raise Problem(400, "required", "what was accepted is to be named", f"{place}.acceptedSuggestions")
    return [
        _uuid(one.get("id") if isinstance(one, dict) else None, f"{place}.acceptedSuggestions[{number}].id")
        for number, one in enumerate(stated)
    ]


def _uuid(value: object, place: str) -> str:
    try:
        return str(uuid.UUID(str(value).removeprefix("urn:uuid:")))
    except ValueError:
        raise Problem(400, "value", "it is to be a UUID, as the card had it", place) from None


def _text(coding: Mapping[str, Any], key: str, place: str, most: int) -> str:
    value = coding.get(key, "")
    if not isinstance(value, str) or len(value) > most or "\0" in value:
        raise Problem(400, "value", f"it is to be a text of at most {most} characters", f"{place}.{key}")
    return value
