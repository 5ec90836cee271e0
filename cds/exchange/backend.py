"""This service as a client of a FHIR server in its own name: SMART Backend Services, with a signed assertion for each token.

After https://hl7.org/fhir/smart-app-launch/backend-services.html: RS384 or ES384, an assertion of at most five minutes.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from cds.exchange.client import CannotFetch, Exchange

_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_LIVES = 240
_EARLY = 30.0
"""Seconds before its end from which on a token is not used."""
_MOST_TOKEN = 50_000
_TRIES = 3
_PAUSE = 0.5
_QUIET = 30.0
"""Seconds for which a server is not asked again after it let somebody wait in vain: others are told at once."""
_NO_TIME = 0.05
_BUSY = (0, 408, 429, 500, 502, 503, 504)
"""Answers after which the same question may be asked again; 0 is none at all."""


@dataclass(frozen=True, slots=True)
class Registration:
    """How the FHIR server knows this service."""

    server: str  # base URL
    token: str  # address of its token endpoint
    client: str
    key: ECKey | RSAKey
    scope: str = "system/*.read"
    files: frozenset[str] = frozenset()  # origins from which it hands out the files of an export, beside its own


class Backend:
    """One FHIR server, asked in the service's own name; safe to share between threads."""

    def __init__(self, registration: Registration, exchange: Exchange, clock: Callable[[], float] = time.time):
        self.server = registration.server
        self.exchange = exchange
        self._registration, self._clock = registration, clock
        self._lock = threading.Lock()
        self._token, self._until = "", 0.0
        self._quiet_until = float("-inf")

    def token(self, seconds: float) -> str:
        """An access token, the same until shortly before its end. Raises `CannotFetch`, `NotPermitted`."""
        until = time.monotonic() + seconds
        self._unless_silent()
        if not self._lock.acquire(timeout=max(0.0, seconds)):
            raise CannotFetch("the token endpoint did not answer in time")
        try:
            if self._clock() < self._until:
                return self._token
            self._unless_silent()
            body = self.exchange.post(
                self._registration.token,
                {
                    "grant_type": "client_credentials", "client_assertion_type": _TYPE,
                    "client_assertion": self._assertion(), "scope": self._registration.scope,
                },
                seconds=max(0.01, until - time.monotonic()),
                most=_MOST_TOKEN,
            )  # fmt: skip
            self._token, lives = _granted(body)
            self._until = self._clock() + lives - _EARLY
            return self._token
        except CannotFetch:
            if until - time.monotonic() < _NO_TIME:
                self.was_silent()
            raise
        finally:
            self._lock.release()

    def forget(self, token: str) -> None:
        """The server does not take a token: the next call asks for another."""
        if token == self._token:  # who fetches one meanwhile is not waited for: at worst the next call fetches it again
            self._until = 0.0

    def was_silent(self) -> None:
        """Somebody waited for the server in vain: who asks next is told so at once, for a while."""
        self._quiet_until = time.monotonic() + _QUIET

    def _unless_silent(self) -> None:
        if time.monotonic() < self._quiet_until:
            raise CannotFetch("the server let others wait in vain a moment ago")

    def get(self, path: str, *, seconds: float, most: int) -> bytes:
        """The body of a 200 answer; asked again a few times where that can help, all within `seconds`.

        Raises `CannotFetch`, `NotPermitted`.
        """
        until = time.monotonic() + seconds
        self._unless_silent()
        renewed, token = False, ""
        for number in range(1, _TRIES + 1):
            try:
                token = self.token(max(0.01, until - time.monotonic()))
                headers = {"Authorization": f"Bearer {token}", "Accept": "application/fhir+json"}
                return self.exchange.get(
                    f"{self.server}/{path}", seconds=max(0.01, until - time.monotonic()), most=most, headers=headers
                )
            except CannotFetch as error:
                if until - time.monotonic() < _NO_TIME:
                    self.was_silent()
                if error.status == 401 and not renewed:
                    self.forget(token)
                    renewed = True
                elif error.status not in _BUSY or number == _TRIES or until - time.monotonic() < _PAUSE * number:
                    raise
                else:
                    time.sleep(_PAUSE * number)
        raise CannotFetch("the server does not take our tokens", 401)

    def _assertion(self) -> str:
        key, now = self._registration.key, int(self._clock())
        header = {"alg": "RS384" if isinstance(key, RSAKey) else "ES384", "typ": "JWT", "kid": str(key.kid or "")}
        claims = {
            "iss": self._registration.client, "sub": self._registration.client, "aud": self._registration.token,
            "iat": now, "exp": now + _LIVES, "jti": str(uuid.uuid4()),
        }  # fmt: skip
        return jwt.encode(header, claims, key, algorithms=[header["alg"]])


def _granted(body: bytes) -> tuple[str, float]:
    """The token of an answer, and how many seconds it lives."""
    try:
        stated = json.loads(body)
    except (ValueError, RecursionError):
        raise CannotFetch("the token endpoint's answer is no JSON") from None
    token = stated.get("access_token") if isinstance(stated, dict) else None
    lives = stated.get("expires_in", 60) if isinstance(stated, dict) else 0
    if not isinstance(token, str) or not token or not isinstance(lives, (int, float)) or lives < 0:
        raise CannotFetch("the token endpoint's answer holds no token")
    return token, float(lives)
