"""SMART App Launch: an EHR opens the board at the patient whose record is open there, and the session opens no other."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response

from cds.record.database import Database
from cds.record.identity import Identity, survivor
from cds.record.spelling import respelt
from cds.service.access.elsewhere import Elsewhere
from cds.service.access.gate import Gate
from cds.service.access.relying import Begun, NotVouched, Relying
from cds.service.access.sign_in import let_in, open_page, threaded

LAUNCH = "/launch"
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
_USER = re.compile(r"(?:https?://[^\s?#]+/)?([A-Za-z]+)/[A-Za-z0-9.-]{1,64}")


class SmartLaunch(Elsewhere):
    """The EHRs of a site, by the base URL of their FHIR servers."""

    def __init__(self, gate: Gate, relyings: Mapping[str, Relying], database: Database):
        super().__init__(gate)
        self._relyings, self._database = relyings, database

    def mount(self, app: FastAPI) -> None:
        """Add the addresses to the service."""
        app.add_api_route(LAUNCH, open_page(threaded(self._launched)), methods=["GET"])
        app.add_api_route(f"{LAUNCH}/back", open_page(threaded(self._back)), methods=["GET"])

    def _launched(self, request: Request) -> Response:
        relying = self._relyings.get(request.query_params.get("iss", "").rstrip("/"))
        if relying is None:
            return self.unasked("the EHR is not on the list")
        launch = request.query_params.get("launch", "")
        more = {"scope": "launch", "launch": launch} if launch else {"scope": "launch/patient"}
        return self.leave(relying, self._callback(request), aud=relying.provider.iss, **more)

    def _back(self, request: Request) -> Response:
        def admit(relying: Relying, _kept: Begun, claims: Mapping[str, Any], granted: Mapping[str, Any]) -> Response:
            if _kind(claims.get("fhirUser")) not in relying.provider.staff:
                raise NotVouched("the EHR does not say that it is staff")
            iss, tenant = relying.provider.iss, self._gate.tenant
            patient = self._patient(Identity(tenant, respelt(iss), f"Patient/{_patient_id(granted)}"))
            if not patient:
                return self.refused("the record does not know the patient", "unknown-patient", HTTPStatus.NOT_FOUND)
            who = relying.vouched(claims)
            token = self._gate.sessions.vouched(tenant, who, patient=patient, before=self.before(request))
            return let_in(self._gate, token, f"/board/patients/{patient}")

        return self.returned(request, self._relyings, self._callback(request), admit)

    def _patient(self, who: Identity) -> str:
        """The patient's row; "" if the record does not know them."""

        def found() -> str:
            with self._database.reading() as connection:
                row = survivor(connection, who)
                return "" if row is None else str(row["id"])

        return self._database.in_time(found)

    def _callback(self, request: Request) -> str:
        return f"{self._gate.browser.base(request)}{LAUNCH}/back"


def _patient_id(granted: Mapping[str, Any]) -> str:
    """The id of the patient whom the EHR has open. Raises `NotVouched` if it does not say so."""
    stated = granted.get("patient")
    if not isinstance(stated, str) or not _ID.fullmatch(stated):
        raise NotVouched("the EHR does not say which patient is open")
    return stated


def _kind(reference: object) -> str:
    """The type in a reference such as https://ehr.example/fhir/Practitioner/7; "" for anything else."""
    found = _USER.fullmatch(reference) if isinstance(reference, str) else None
    return found[1] if found else ""
