"""Who comes in: for each call its caller, or the one 401 (or 503, while it cannot be told whether a token was used before)."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection

from fastapi import Request

from cds.exchange import Exchange, Permit
from cds.record.database import RecordUnavailable
from cds.record.meant import Reach
from cds.service.clients import Client
from cds.service.desk import Caller
from cds.service.problems import Problem
from cds.service.trust import Trust
from cds.settings import Settings

_LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


class Door:
    """Admits callers; without `trust` everybody, as `open`."""

    def __init__(self, trust: Trust | None, settings: Settings):
        self._trust = trust
        self._base = settings.public_base_url
        self._tenant = settings.tenant
        self._exchanges: dict[str, Exchange] = {}
        nearby = Permit(
            frozenset(), _LOOPBACK, plain=True, public=False, anywhere=True,
            outside="in open mode only servers of this machine are asked",
        )  # fmt: skip
        self._nearby = Exchange(nearby)

    def admits(self, what: str) -> Callable[[Request], None]:
        """A dependency that sets `request.state.caller` to a client that may do `what` ("call" or "record").

        Raises `Problem` 401 without saying why, 403 for a client that may do something else, 503.
        """

        def admit(request: Request) -> None:
            request.state.caller = self._caller(request, what)

        return admit

    def _caller(self, request: Request, what: str) -> Caller:
        if self._trust is None:
            return Caller("open", self._tenant, self._nearby)
        path = request.url.path.removeprefix(str(request.scope.get("root_path", "")))
        try:
            client = self._trust.client(request.headers.get("authorization"), self._audiences(path))
        except RecordUnavailable:
            raise Problem(503, "transient", "it cannot be told whether the token was used before; ask again") from None
        if what not in client.may:
            raise Problem(
                403, "forbidden", "this client may not do that; see 'may' in the file of clients", client=client.name
            )
        reach = Reach(client.name, client.origins, client.home)
        return Caller(client.name, client.tenant or self._tenant, self._servers_of(client), reach)

    def _servers_of(self, client: Client) -> Exchange | None:
        if not client.fhir.origins:
            return None
        if client.name not in self._exchanges:
            self._exchanges[client.name] = Exchange(client.fhir)
        return self._exchanges[client.name]

    def _audiences(self, path: str) -> Collection[str]:
        """The addresses that mean the endpoint: its own; for feedback that of the service too, for FHIR that of all of it."""
        own = path.rstrip("/")
        meant = {own, own.removesuffix("/feedback")}
        if own.startswith("/fhir/"):
            meant.add("/fhir")
        return {f"{self._base}{one}{slash}" for one in meant for slash in ("", "/")}
