"""Whom the service answers: the JWT of CDS Hooks, verified. Whatever is wrong with it, the answer is the same 401.

After https://cds-hooks.hl7.org/2.0/#trusting-cds-clients, RFC 7519 and RFC 8725. All that can be checked without a key is
checked first, so that no rubbish makes the service fetch anything.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError

from cds.service.clients import Client
from cds.service.keys import KeyRing, NoKey
from cds.service.logs import note
from cds.service.problems import Problem

_LEEWAY = 60
"""Seconds by which clocks may differ."""
_LONGEST_TOKEN = 8_192
_LONGEST_HEADER = 2_048
_LONGEST_ID = 255
_NOBODY = "unknown"
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")

FirstUse = Callable[[str, str, datetime], bool]
"""Whether a token (issuer, id, when it expires) is seen for the first time by any worker."""


class Untrusted(Problem):
    """The call is not answered. It says nothing of the reason: who may call knows, who may not need not learn it."""

    def __init__(self, client: str) -> None:
        super().__init__(401, "login", "a valid token of a known client is needed", client=client)


class Trust:
    """Verifies tokens against the clients of a site; safe to share between threads."""

    def __init__(
        self,
        clients: Mapping[str, Client],
        keys: KeyRing,
        first_use: FirstUse,
        *,
        clock: Callable[[], float] = time.time,
    ):
        self._clients = clients
        self._keys = keys
        self._first_use = first_use
        self._clock = clock

    def client(self, authorization: str | None, audiences: Collection[str]) -> Client:
        """Who calls. `audiences` are the addresses that mean the endpoint. Raises `Untrusted`, and `RecordUnavailable` where it

        cannot be told whether the token was used before.
        """
        client: Client | None = None
        try:
            token, header, claims = _opened(authorization)
            client = self._clients.get(_text(claims, "iss"))
            _require(client is not None)
            assert client is not None  # for the type checker
            return self._verified(client, token, header, claims, audiences)
        except (_Refused, JoseError, NoKey, ValueError, TypeError, RecursionError):
            # What a token says of itself could be anything: only a name of the site's own file goes into the log.
            raise Untrusted(client.name if client is not None else _NOBODY) from None

    def _verified(
        self,
        client: Client,
        token: str,
        header: Mapping[str, Any],
        claims: Mapping[str, Any],
        audiences: Collection[str],
    ) -> Client:
        algorithm, kid, jku = _text(header, "alg"), _text(header, "kid"), header.get("jku")
        _require(algorithm in client.algorithms and _text(header, "typ").upper() == "JWT")
        _require(not header.keys() & {"crit", "jwk", "x5c", "b64"} and (jku is None or isinstance(jku, str)))
        self._check_claims(claims, client, audiences)
        key = self._keys.key(client, kid, jku)
        stated = key.get("alg")
        _require(stated is None or stated == algorithm)
        jws.deserialize_compact(token.encode("ascii"), key, registry=_registry([algorithm]))
        # Only a token that was signed by the client is remembered: nobody else may use up its ids.
        expires = datetime.fromtimestamp(claims["exp"] + _LEEWAY, UTC)
        if not self._first_use(client.issuer, claims["jti"], expires):
            note("replayed", issuer=client.issuer, jti=_loggable(claims["jti"]))
            raise _Refused
        return client

    def _check_claims(self, claims: Mapping[str, Any], client: Client, audiences: Collection[str]) -> None:
        now = self._clock()
        stated = claims.get("aud")
        named = stated if isinstance(stated, list) else [stated]
        _require(bool(named) and all(isinstance(one, str) and one for one in named))
        _require(not {*named}.isdisjoint({*audiences, *client.audiences}))
        expires, issued = _instant(claims, "exp"), _instant(claims, "iat")
        _require(now - _LEEWAY < expires and issued <= now + _LEEWAY and issued <= expires)
        _require(expires - issued <= client.longest)
        _require("nbf" not in claims or _instant(claims, "nbf") <= now + _LEEWAY)
        _require(len(_text(claims, "jti")) <= _LONGEST_ID)
        if client.tenants:
            _require(_text(claims, "tenant") in client.tenants)


class _Refused(Exception):
    pass


def _opened(authorization: str | None) -> tuple[str, Mapping[str, Any], Mapping[str, Any]]:
    """The token of a header, with what it says: nothing of it is verified yet."""
    scheme, _, token = (authorization or "").partition(" ")
    _require(scheme.lower() == "bearer" and len(token) <= _LONGEST_TOKEN and _COMPACT.fullmatch(token) is not None)
    opened = jws.extract_compact(token.encode("ascii"), registry=_registry(None))
    return token, opened.headers(), _object(opened.payload)


def _require(so: bool) -> None:
    if not so:
        raise _Refused


def _registry(algorithms: list[str] | None) -> jws.JWSRegistry:
    registry = jws.JWSRegistry(algorithms=algorithms, strict_check_header=False)
    registry.max_header_length = _LONGEST_HEADER
    return registry


def _object(payload: bytes | None) -> dict[str, Any]:
    claims = json.loads(payload or b"", object_pairs_hook=_unique)
    _require(isinstance(claims, dict))
    return dict(claims)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object in which nothing stands twice: which of two would count is anybody's guess."""
    found = dict(pairs)
    _require(len(found) == len(pairs))
    return found


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    _require(isinstance(value, str) and bool(value.strip()))
    return str(value)


def _instant(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    _require(isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1e11)
    return float(claims[name])


def _loggable(text: str) -> str:
    """A token's id as a log may hold it: what is no plain id could be anything."""
    return text if re.fullmatch(r"[A-Za-z0-9._:-]{1,80}", text) else "(not shown)"
