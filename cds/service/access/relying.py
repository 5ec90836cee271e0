"""What we are to whoever vouches for people: a client of OAuth 2 with PKCE that believes an ID token once all of it was checked.

After OpenID Connect Core 1.0 §3.1, RFC 7636, RFC 9207 and SMART App Launch 2. Requests and claims are Authlib's, signatures
joserfc's; what is fetched goes through `cds.exchange`, to the listed servers only.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import parse_qsl, quote_plus, urlsplit

from authlib.oauth2.rfc6749.errors import OAuth2Error
from authlib.oauth2.rfc6749.parameters import (
    parse_authorization_code_response,
    prepare_grant_uri,
    prepare_token_request,
)
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core.claims import CodeIDToken
from joserfc import jws, jwt
from joserfc.errors import JoseError

from cds.errors import ExowatchError
from cds.exchange import CannotFetch, Exchange, NotPermitted
from cds.exchange.network import Permit, origin_of
from cds.record.sessions import Vouched
from cds.service.access.providers import Provider
from cds.service.access.roles import Role
from cds.service.keys import KeyRing, NoKey

_HOLDS = 3600.0
_SECONDS, _MOST = 5.0, 200_000
_LEEWAY = 60
"""Seconds by which clocks may differ."""
_LONGEST_TOKEN = 16_384
_LONGEST_ID = 255
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_NOT_OURS = ("crit", "jwk", "jku", "x5c", "x5u", "b64")
"""Headers that would let a token say by which key it is to be verified."""


class NotVouched(ExowatchError):
    """Nobody was vouched for: something in the answer is not as it must be. Says what, for the log; holds nothing of a token."""


class ProviderAway(ExowatchError):
    """Whoever is to vouch does not answer, or not as it should."""


@dataclass(frozen=True, slots=True)
class Begun:
    """What a browser keeps while it is elsewhere."""

    of: str  # the provider: its key, or the address of the EHR
    state: str
    nonce: str
    verifier: str
    next: str = ""

    def packed(self) -> str:
        """As the value of a cookie."""
        return base64.urlsafe_b64encode(json.dumps(asdict(self)).encode()).decode().rstrip("=")


def begun(packed: str) -> Begun | None:
    """What `Begun.packed` gave; None for anything else."""
    try:
        found = Begun(**json.loads(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4))))
    except (ValueError, TypeError, RecursionError):
        return None
    return found if all(isinstance(one, str) for one in asdict(found).values()) and found.state else None


@dataclass(frozen=True, slots=True)
class _Endpoints:
    issuer: str
    authorize: str
    token: str
    keys: str
    by_form: bool  # the secret goes into the form, for the server takes it nowhere else
    states_issuer: bool  # its answers say whose they are: RFC 9207


@dataclass(frozen=True, slots=True)
class _Keys:
    """Whose keys they are, for the key ring."""

    name: str
    jku: tuple[str, ...]
    keys: Permit
    pinned: None = None


class Relying:
    """One provider; safe to share between threads. `clock` tells the time by which tokens expire, in seconds."""

    def __init__(self, provider: Provider, clock: Callable[[], float]):
        self.provider = provider
        self._clock = clock
        self._exchange = Exchange(provider.permit)
        self._ring = KeyRing(open_mode=provider.permit.plain)
        self._lock = threading.Lock()
        self._known: _Endpoints | None = None
        self._until = 0.0

    def begin(self, callback: str, wanted: str = "", **more: str) -> tuple[str, Begun]:
        """The address to which the browser goes, and what it keeps meanwhile. Raises `ProviderAway`."""
        known = self._endpoints()
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        kept = Begun(self.provider.key or self.provider.iss, state, nonce, verifier, wanted)
        scope = " ".join(filter(None, (self.provider.scope, more.pop("scope", ""))))
        address: str = prepare_grant_uri(
            known.authorize, self.provider.client, "code", callback, scope, kept.state, nonce=kept.nonce,
            code_challenge=create_s256_code_challenge(kept.verifier), code_challenge_method="S256", **more,
        )  # fmt: skip
        return address, kept

    def finish(self, kept: Begun, callback: str, came: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """The claims of who is vouched for, and all that came with them. `came` is the address to which the browser came back.

        Raises `NotVouched`, `ProviderAway`.
        """
        known = self._endpoints()
        code = self._code(kept, known, came)
        granted = self._granted(kept, known, callback, code)
        token = granted.get("id_token")
        if not isinstance(token, str):
            raise NotVouched("the answer holds no ID token")
        return self._claims(token, known, kept.nonce, granted.get("access_token")), granted

    def vouched(self, claims: Mapping[str, Any]) -> Vouched:
        """Whom the claims are about, with the roles that they have here, if any."""
        roles: frozenset[Role] = self.provider.mapped.of(claims)
        name, shown = (_text(claims, key) for key in (self.provider.name_claim, "name"))
        issuer = self.provider.iss or str(claims["iss"])
        return Vouched(issuer, _text(claims, "sub"), name, shown or name, roles)

    def _code(self, kept: Begun, known: _Endpoints, came: str) -> str:
        query = parse_qsl(urlsplit(came).query, keep_blank_values=True)
        names = [name for name, _ in query]
        if any(names.count(one) > 1 for one in ("code", "state", "iss", "error")):
            raise NotVouched("the answer says something twice")
        stated = dict(query)
        if not secrets.compare_digest(stated.get("state", "").encode(), kept.state.encode()):
            raise NotVouched("the answer is to another question")
        if stated.get("iss", known.issuer) != known.issuer or (known.states_issuer and "iss" not in stated):
            raise NotVouched("the answer is another issuer's")
        if "error" in stated:
            raise NotVouched("the provider let nobody in")
        try:
            return str(parse_authorization_code_response(came, kept.state)["code"])
        except OAuth2Error:
            raise NotVouched("the answer holds no code") from None

    def _granted(self, kept: Begun, known: _Endpoints, callback: str, code: str) -> Mapping[str, Any]:
        """What the token endpoint gives for a code."""
        provider = self.provider
        form = prepare_token_request("authorization_code", "", callback, code=code, code_verifier=kept.verifier)
        fields, headers = dict(parse_qsl(form)), {}
        if not provider.secret or known.by_form:
            fields |= {"client_id": provider.client} | ({"client_secret": provider.secret} if provider.secret else {})
        else:
            pair = f"{quote_plus(provider.client)}:{quote_plus(provider.secret)}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        try:
            body = self._exchange.post(known.token, fields, seconds=_SECONDS, most=_MOST, headers=headers)
        except CannotFetch as error:
            if error.status in (400, 401, 403):
                raise NotVouched("the provider does not take the code, or not from us") from None
            raise ProviderAway(str(error)) from None
        except NotPermitted as error:
            raise ProviderAway(str(error)) from None
        return _object(body)

    def _claims(self, token: str, known: _Endpoints, nonce: str, access: Any) -> Mapping[str, Any]:
        """The claims of an ID token, all of it checked."""
        if len(token) > _LONGEST_TOKEN or not _COMPACT.fullmatch(token):
            raise NotVouched("the ID token is none")
        try:
            registry = jws.JWSRegistry(algorithms=list(self.provider.algorithms), strict_check_header=False)
            header = jws.extract_compact(token.encode(), registry=registry).headers()
            algorithm, kid = _text(header, "alg"), _text(header, "kid")
            if algorithm not in self.provider.algorithms or not kid or header.keys() & {*_NOT_OURS}:
                raise NotVouched("the ID token is signed in a way that is not allowed")
            key = self._ring.key(_Keys(known.issuer, (known.keys,), self.provider.permit), kid, None)
            if key.get("alg") not in (None, algorithm):
                raise NotVouched("the ID token is signed in a way that its key is not for")
            found = jwt.decode(token, key, algorithms=[algorithm], registry=registry)
            claims = CodeIDToken(
                found.claims,
                found.header,
                {
                    "iss": {"essential": True, "value": known.issuer},
                    "aud": {"essential": True, "value": self.provider.client},
                },
                {
                    "nonce": nonce,
                    "client_id": self.provider.client,
                    "access_token": access if isinstance(access, str) else None,
                },
            )
            claims.validate(now=int(self._clock()), leeway=_LEEWAY)
        except NoKey:
            raise NotVouched("nothing verifies the ID token") from None
        except (JoseError, ValueError, TypeError, RecursionError) as error:
            what = f"{type(error).__name__} {getattr(error, 'claim', '')}".strip()
            raise NotVouched(f"the ID token does not hold ({what})") from None
        if not 0 < len(_text(claims, "sub")) <= _LONGEST_ID:
            raise NotVouched("the ID token does not say who it is about")
        return dict(claims)

    # what a provider says of itself ------------------------------------------------------------------------------------

    def _endpoints(self) -> _Endpoints:
        """Where it does what; asked once an hour. Raises `ProviderAway`."""
        with self._lock:
            if self._known is not None and time.monotonic() < self._until:
                return self._known
        known = self._of_ehr() if self.provider.iss else self._of_issuer(self.provider.issuer)
        with self._lock:
            self._known, self._until = known, time.monotonic() + _HOLDS
        return known

    def _of_issuer(self, issuer: str) -> _Endpoints:
        stated = self._fetched(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if stated.get("issuer") != issuer:
            raise ProviderAway("the configuration is another issuer's")
        return self._read(stated, issuer)

    def _of_ehr(self) -> _Endpoints:
        """The EHR's own configuration; where it says nothing of ID tokens, that of its issuer too."""
        stated = self._fetched(f"{self.provider.iss}/.well-known/smart-configuration")
        issuer = self.provider.issuer or _text(stated, "issuer") or self.provider.iss
        if not _text(stated, "jwks_uri"):
            about = self._fetched(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
            if about.get("issuer") != issuer:
                raise ProviderAway("the configuration is another issuer's")
            stated = {**stated, "jwks_uri": about.get("jwks_uri")}
        return self._read(stated, issuer)

    def _read(self, stated: Mapping[str, Any], issuer: str) -> _Endpoints:
        names = ("authorization_endpoint", "token_endpoint", "jwks_uri")
        authorize, token, keys = (_text(stated, name) for name in names)
        try:
            for address in (authorize, token, keys):
                origin_of(address, plain=self.provider.permit.plain)
        except NotPermitted as error:
            raise ProviderAway(f"the configuration does not say where things are: {error}") from None
        methods = stated.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        by_form = isinstance(methods, list) and "client_secret_basic" not in methods
        states = stated.get("authorization_response_iss_parameter_supported") is True
        return _Endpoints(issuer, authorize, token, keys, by_form, states)

    def _fetched(self, address: str) -> Mapping[str, Any]:
        try:
            body = self._exchange.get(address, seconds=_SECONDS, most=_MOST, headers={"Accept": "application/json"})
        except (CannotFetch, NotPermitted) as error:
            raise ProviderAway(str(error)) from None
        return _object(body)


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ProviderAway("the answer is no JSON object")
    return found


def _text(values: Mapping[str, Any], name: str) -> str:
    """A text of one line; "" for anything else."""
    value = values.get(name)
    return value.strip() if isinstance(value, str) and value.isprintable() else ""
