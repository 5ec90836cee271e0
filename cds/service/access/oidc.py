"""Signing in by OpenID Connect: out by a link to whoever vouches, back with a code."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response

from cds.service.access.elsewhere import Elsewhere
from cds.service.access.gate import SIGN_IN, Gate, notice
from cds.service.access.relying import Begun, Relying
from cds.service.access.sign_in import let_in, open_page, threaded


class OpenIdConnect(Elsewhere):
    """The providers of a site."""

    def __init__(self, gate: Gate, relyings: Mapping[str, Relying]):
        super().__init__(gate)
        self._relyings = relyings

    def mount(self, app: FastAPI) -> None:
        """Add the addresses to the service."""
        app.add_api_route(f"{SIGN_IN}/{{key}}", open_page(threaded(self._left)), methods=["GET"])
        app.add_api_route(f"{SIGN_IN}/{{key}}/back", open_page(threaded(self._back)), methods=["GET"])

    def _left(self, request: Request) -> Response:
        relying = self._relyings.get(request.path_params["key"])
        if relying is None:
            return notice(HTTPStatus.NOT_FOUND, "not-there", None)
        wanted = self._gate.back_to(request.query_params.get("next", ""))
        return self.leave(relying, self._callback(request), wanted)

    def _back(self, request: Request) -> Response:
        key = request.path_params["key"]
        relyings = {key: self._relyings[key]} if key in self._relyings else {}

        def admit(relying: Relying, kept: Begun, claims: Mapping[str, Any], _granted: Mapping[str, Any]) -> Response:
            token = self._gate.sessions.vouched(self._gate.tenant, relying.vouched(claims), before=self.before(request))
            return let_in(self._gate, token, self._gate.back_to(kept.next))

        return self.returned(request, relyings, self._callback(request), admit)

    def _callback(self, request: Request) -> str:
        return f"{self._gate.browser.base(request)}{SIGN_IN}/{request.path_params['key']}/back"
