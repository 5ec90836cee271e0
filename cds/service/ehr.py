"""What the EHRs of a site know of a patient, asked in the service's own name when nobody has opened the chart."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import msgspec

from cds.chart.model import LeftOut
from cds.exchange import CannotFetch, NotPermitted
from cds.exchange.backend import Backend
from cds.record.identity import Identity
from cds.record.ownership import Owner, Person, Resolve, Unanswered
from cds.service.discovery import Template
from cds.service.fetching import Fetching
from cds.service.hook_request import RESULT_ARRIVED, HookRequest
from cds.service.logs import WARNING, note
from cds.service.persons import person_of
from cds.service.prefetch import delivered
from cds.service.problems import Problem

_SECONDS = 20.0
_LITTLE = 0.5
_SEARCH_SECONDS, _SEARCH_MOST = 5.0, 500_000
_DECODER = msgspec.json.Decoder(float_hook=Decimal)


class Ehrs:
    """The FHIR servers that a site asks in its own name, by base URL, each with the tenant whose patients it holds."""

    def __init__(self, backends: Mapping[str, tuple[Backend, str]], templates: Iterable[Template], most: int):
        self._backends = backends
        self._templates = tuple(templates)
        self._fetching = Fetching(_SECONDS, most)

    def asking(self, seconds: float = _SEARCH_SECONDS) -> Resolve:
        """Asks who has one of somebody's identifiers at the tenant's EHRs, for so long from now on, whoever is asked about."""
        until = time.monotonic() + seconds
        return lambda tenant, owner: self._people(tenant, owner, until)

    def _people(self, tenant: str, owner: Owner, until: float) -> list[Person]:
        found: dict[str, Person] = {}
        for server, (backend, whose) in self._backends.items():
            if whose != tenant:
                continue
            for system, value in owner.identifiers:
                if system and value:
                    for person in self._named(backend, server, tenant, f"{system}|{value}", until):
                        found[person.who.address] = person
        return list(found.values())

    def _named(self, backend: Backend, server: str, tenant: str, identifier: str, until: float) -> list[Person]:
        left = until - time.monotonic()
        if left <= 0:
            raise Unanswered("there was no time left to ask")
        try:
            body = backend.get(f"Patient?identifier={quote(identifier, safe='')}", seconds=left, most=_SEARCH_MOST)
            bundle = _DECODER.decode(body)
        except (CannotFetch, NotPermitted, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            note("ehr", WARNING, asked="patient", error=type(error).__name__)
            raise Unanswered("an EHR did not answer who that is") from None
        entries = bundle.get("entry") if isinstance(bundle, dict) else None
        found = []
        for entry in entries if isinstance(entries, list) else ():
            resource = entry.get("resource") if isinstance(entry, dict) else None
            key = resource.get("id") if isinstance(resource, dict) else None
            person = person_of(resource, Identity(tenant, server, f"Patient/{key}"), datetime.now(UTC).date())
            # A server that does not know the parameter sends everybody.
            if (
                person is not None
                and key
                and identifier in {f"{system}|{value}" for system, value in person.identifiers}
            ):
                found.append(person)
        return found

    def record_of(self, who: Identity) -> tuple[dict[str, Any], Sequence[LeftOut]] | None:
        """The patient's record as the templates ask for it, and what of it could not be had; None if no EHR of theirs is asked.

        Raises `CannotFetch` if what is needed could not be had.
        """
        backend, _ = self._backends.get(who.server, (None, ""))
        if backend is None:
            return None
        patient = who.reference.removeprefix("Patient/")
        until = time.monotonic() + _SECONDS - _LITTLE
        try:
            for last in (False, True):
                token = backend.token(_SEARCH_SECONDS)
                request = HookRequest(RESULT_ARRIVED, "", patient, "", {}, (), who.server, token)
                found, failed = self._fetching.fetched(backend.exchange, request, self._templates)
                if time.monotonic() >= until:
                    backend.was_silent()
                if last or not any("status 401" in why for why in failed.values()):
                    break
                backend.forget(token)
            return delivered(found, self._templates, patient, 10**9, failed)
        except NotPermitted as error:
            raise CannotFetch(str(error)) from None
        except Problem as problem:
            raise CannotFetch(f"the record could not be had whole: {problem.place}") from None
