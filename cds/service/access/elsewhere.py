"""What all flows have in common that leave for another site and come back with a code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response

from cds.record.sessions import SignInRefused
from cds.service.access.gate import SESSION, Gate, notice, redirect
from cds.service.access.relying import Begun, NotVouched, ProviderAway, Relying, begun
from cds.service.logs import WARNING, note

_FLOW = "flow"
"""The cookie that holds what a browser keeps while it is elsewhere."""
_FLOW_SECONDS = 900


class Elsewhere:
    """Leaves for whoever vouches, and takes what comes back once."""

    def __init__(self, gate: Gate):
        self._gate = gate

    def leave(self, relying: Relying, callback: str, wanted: str = "", **more: str) -> Response:
        """To whoever vouches."""
        try:
            address, kept = relying.begin(callback, wanted, **more)
        except ProviderAway as error:
            return self.away(relying, error)
        response = redirect(address)
        self._gate.browser.give(response, _FLOW, kept.packed(), _FLOW_SECONDS)
        return response

    def returned(
        self,
        request: Request,
        relyings: Mapping[str, Relying],
        callback: str,
        admit: Callable[[Relying, Begun, Mapping[str, Any], Mapping[str, Any]], Response],
    ) -> Response:
        """What `admit` answers to who is vouched for, their claims and what came with them; else why nobody is let in."""
        kept = begun(self._gate.browser.cookie(request, _FLOW))
        relying = None if kept is None else relyings.get(kept.of)
        if kept is None or relying is None:
            response = self.unasked("nothing was begun here")
        else:
            try:
                response = admit(relying, kept, *relying.finish(kept, callback, str(request.url)))
            except ProviderAway as error:
                response = self.away(relying, error)
            except NotVouched as error:
                response = self.refused(str(error))
            except SignInRefused:
                note("refused", status=403, code="sign-in", why="no role here, or disabled")
                response = notice(HTTPStatus.FORBIDDEN, "not-let-in", None)  # the record has its entry
        self._gate.browser.take(response, _FLOW)  # an answer counts once
        return response

    def unasked(self, why: str) -> Response:
        """Nobody is let in who did not come by a way of ours: any page can send a browser here, so the log alone has it."""
        note("refused", status=403, code="sign-in", why=why)
        return notice(HTTPStatus.FORBIDDEN, "not-let-in", None)

    def refused(self, why: str, what: str = "not-let-in", status: HTTPStatus = HTTPStatus.FORBIDDEN) -> Response:
        """Nobody is let in, which is noted."""
        note("refused", status=int(status), code="sign-in", why=why)
        self._gate.sessions.refused(self._gate.tenant)
        return notice(status, what, None)

    def away(self, relying: Relying, error: ProviderAway) -> Response:
        note("provider", WARNING, provider=relying.provider.key or relying.provider.iss, why=str(error))
        return notice(HTTPStatus.BAD_GATEWAY, "provider-away", None)

    def before(self, request: Request) -> str:
        """The token of the session that a new one replaces."""
        return self._gate.browser.cookie(request, SESSION)
