"""Callers: they open charts again and again, as EHRs do, each call with a token of its own, and answer some of the cards."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from typing import Any

import httpx2
import msgspec

from cds.workbench.synth.requests import hook_request
from tests.hosts.site import BASE, ISSUER, Site
from tests.patients.archetypes import patient
from tests.service.tokens import claims, signed

SERVICE = "/cds-services/exowatch-patient-view"
_NAMES = ("A01", "A29", "A30")
_PATIENTS = 40


@dataclass(slots=True)
class Call:
    """One call and its answer; `status` is 0 if none came."""

    at: float
    seconds: float
    status: int
    said: str = ""


@dataclass(slots=True)
class Load:
    """What the callers were told. `cards` and `feedback` were acknowledged: they must be on record."""

    calls: list[Call] = field(default_factory=list)
    cards: set[str] = field(default_factory=set)
    feedback: set[str] = field(default_factory=set)  # cards that were answered

    @property
    def failed(self) -> list[Call]:
        return [one for one in self.calls if one.status != 200]


def authorized(site: Site, path: str, token: str | None = None, **said: Any) -> dict[str, str]:
    """The header of a call to a path, with a new token unless one is given."""
    token = token or signed(claims(iss=ISSUER, aud=f"{BASE}{path}", **said), site.key)
    return {"Authorization": f"Bearer {token}"}


@cache
def _request(name: str) -> bytes:
    """The request about a patient of the evidence."""
    return msgspec.json.encode(hook_request(patient(name).bundle(date(2025, 4, 28)), _service()))


def _service() -> dict[str, Any]:
    from cds.reasoning.loading import default_rulebook
    from cds.service.discovery import services

    return services(default_rulebook().catalogue)[SERVICE.rpartition("/")[2]].definition()


def request(rng: random.Random) -> dict[str, Any]:
    """A chart that is opened: of one of forty patients."""
    number = rng.randrange(_PATIENTS)
    body: dict[str, Any] = msgspec.json.decode(_request(_NAMES[number % len(_NAMES)]))
    body["hookInstance"] = str(uuid.UUID(int=rng.getrandbits(128), version=4))
    body["fhirServer"] = f"https://ehr-{number}.example/fhir"
    return body


class Caller:
    """Calls one after the other until it is told to stop."""

    def __init__(self, site: Site, load: Load, seed: int, pause: float):
        self._pause = pause
        self._site, self._load, self._rng = site, load, random.Random(seed)
        self._client = site.client()

    def run(self, over: threading.Event) -> None:
        with self._client:
            while not over.is_set():
                self._visit()
                time.sleep(self._pause)

    def _visit(self) -> None:
        body = request(self._rng)
        cards = self._cards(body)
        if cards is not None and self._rng.random() < 0.1:
            self._cards(body)  # the same call again, perhaps at another host
        if cards and self._rng.random() < 0.3:
            self._answer(self._rng.choice(cards))

    def _cards(self, body: dict[str, Any]) -> list[str] | None:
        answer = self._post(SERVICE, body)
        if answer is None:
            return None
        cards = [card["uuid"] for card in answer["cards"]]
        self._load.cards |= {*cards}
        return cards

    def _answer(self, card: str) -> None:
        outcome = {"card": card, "outcome": "overridden", "outcomeTimestamp": "2026-01-01T10:00:00Z"}
        reason = {"code": "wrong-moment", "system": "https://exowatch.example/fhir/CodeSystem/exowatch-override-reason"}
        taken = self._post(f"{SERVICE}/feedback", {"feedback": [{**outcome, "overrideReason": {"reason": reason}}]})
        if taken is not None and taken["new"] + taken["known"] == 1:
            self._load.feedback.add(card)

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        begun, at = time.monotonic(), time.time()
        status, said = 0, ""
        try:
            answer = self._client.post(f"/exowatch{path}", json=body, headers=authorized(self._site, path))
            status, said = answer.status_code, answer.text
        except httpx2.HTTPError as error:
            said = type(error).__name__
        self._load.calls.append(Call(at, time.monotonic() - begun, status, said[:300] if status != 200 else ""))
        found: dict[str, Any] | None = msgspec.json.decode(said) if status == 200 else None
        return found


@contextmanager
def calling(site: Site, callers: int = 4, seed: int = 1, pause: float = 0.15) -> Iterator[Load]:
    """Callers at work for as long as the context lasts; each pauses for so many seconds between two things."""
    load, over = Load(), threading.Event()
    threads = [
        threading.Thread(target=Caller(site, load, seed * 100 + number, pause).run, args=(over,))
        for number in range(callers)
    ]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        over.set()
        for thread in threads:
            thread.join()
