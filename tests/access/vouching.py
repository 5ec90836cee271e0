"""Somebody who vouches for people, on loopback: an OpenID provider, and an EHR that launches apps; it checks what it is asked."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from tests.exchange.servers import Server, says, serving

CLIENT, SECRET = "exowatch", "s3cret of the client%"


class Voucher:
    """A provider whose answers a test can bend. It knows one client, and one person."""

    def __init__(self, clock: Callable[[], datetime]):
        self._clock = clock
        self.base = ""
        self.server: Server | None = None
        self.key = ECKey.generate_key("P-256", {"kid": "one"})
        self.keys: list[ECKey | RSAKey] = [self.key]
        self.claims: dict[str, Any] = {
            "sub": "u-17",
            "preferred_username": "Anna.Berg",
            "name": "Dr Anna Berg",
            "groups": ["board"],
        }
        self.granted: dict[str, Any] = {}
        self.bent: dict[str, Any] = {}  # claims that are other than they should be; None: left out
        self.signed: Callable[[dict[str, Any]], str] = self.by_key
        self.codes: dict[str, dict[str, str]] = {}
        self.asked: list[dict[str, str]] = []  # what came to the authorization endpoint
        self.about: dict[str, Any] = {}  # what its configuration says otherwise
        self.odd: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}  # by path
        self.sent: dict[str, str] = {}  # what comes back to the client, otherwise
        self.public = False

    # what it says of itself ------------------------------------------------------------------------------------------

    def configuration(self) -> dict[str, Any]:
        return {
            "issuer": self.base, "authorization_endpoint": f"{self.base}/authorize?tenant=a", "token_endpoint": f"{self.base}/token",
            "jwks_uri": f"{self.base}/keys", "authorization_response_iss_parameter_supported": True, **self.about,
        }  # fmt: skip

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(request.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path in self.odd:
            return self.odd[parts.path](request)
        if parts.path in ("/.well-known/openid-configuration", "/fhir/.well-known/smart-configuration"):
            return says(json.dumps(self.configuration()).encode())(request)
        if parts.path == "/keys":
            return says(json.dumps({"keys": [one.as_dict(private=False) for one in self.keys]}).encode())(request)
        if parts.path == "/authorize":
            return self._authorize(request, query)
        if parts.path == "/token":
            body = request.rfile.read().decode()
            return self._token(
                request, {name: values[0] for name, values in parse_qs(body, keep_blank_values=True).items()}
            )
        return says(b"", 404)(request)

    def _authorize(self, request: BaseHTTPRequestHandler, query: dict[str, str]) -> None:
        self.asked.append(query)
        assert (query["client_id"], query["response_type"], query["code_challenge_method"]) == (CLIENT, "code", "S256")
        code = secrets.token_urlsafe(16)
        self.codes[code] = query
        back = {"code": code, "state": query["state"], "iss": self.base, **self.sent}
        stated = urlencode({name: value for name, value in back.items() if value is not None})
        says(b"", 302, Location=f"{query['redirect_uri']}?{stated}")(request)

    def _token(self, request: BaseHTTPRequestHandler, form: dict[str, str]) -> None:
        asked = self.codes.pop(form.get("code", ""), None)
        challenge = (
            base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
            .decode()
            .rstrip("=")
        )
        if (
            asked is None
            or form["redirect_uri"] != asked["redirect_uri"]
            or challenge != asked["code_challenge"]
            or form["grant_type"] != "authorization_code"
        ):
            return says(b'{"error": "invalid_grant"}', 400)(request)
        if not self._is_client(request.headers.get("Authorization", ""), form):
            return says(b'{"error": "invalid_client"}', 401)(request)
        token = self.signed(self.stated(asked["nonce"]))
        granted = {"access_token": "a" * 20, "token_type": "Bearer", "id_token": token, **self.granted}
        return says(json.dumps({name: value for name, value in granted.items() if value is not None}).encode())(request)

    def _is_client(self, authorization: str, form: Mapping[str, str]) -> bool:
        if self.public:
            return form.get("client_id") == CLIENT and "client_secret" not in form and not authorization
        if "client_secret_post" in self.about.get("token_endpoint_auth_methods_supported", []):
            return (form.get("client_id"), form.get("client_secret")) == (CLIENT, SECRET)
        pair = base64.b64encode(f"{CLIENT}:s3cret+of+the+client%25".encode()).decode()
        return authorization == f"Basic {pair}" and "client_secret" not in form

    # what it says of people ------------------------------------------------------------------------------------------

    def stated(self, nonce: str) -> dict[str, Any]:
        now = int(self._clock().timestamp())
        claims = {
            "iss": self.base,
            "aud": CLIENT,
            "exp": now + 300,
            "iat": now,
            "nonce": nonce,
            **self.claims,
            **self.bent,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def by_key(self, claims: dict[str, Any], key: ECKey | RSAKey | OctKey | None = None, **header: Any) -> str:
        algorithm = header.pop("alg", "ES256")
        return jwt.encode({"alg": algorithm, "kid": "one", **header}, claims, key or self.key, algorithms=[algorithm])

    def by_hand(self, claims: dict[str, Any], algorithm: str, secret: bytes = b"") -> str:
        """A token as no library makes it: unsigned, or with the text of a public key for a secret."""
        signed = f"{_part(json.dumps({'alg': algorithm, 'kid': 'one'}).encode())}.{_part(json.dumps(claims).encode())}"
        return f"{signed}.{_part(hmac.digest(secret, signed.encode(), 'sha256')) if secret else ''}"

    def goes(self, address: str) -> str:
        """A browser at the provider: where it is sent back to."""
        return httpx2.get(address, trust_env=False).headers["Location"]


def _part(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


@contextmanager
def vouching(clock: Callable[[], datetime]) -> Iterator[Voucher]:
    """A provider that is there as long as the context lasts."""
    found = Voucher(clock)
    with serving(found.answer) as server:
        found.base, found.server = server.base, server
        yield found


def provider_file(folder: Path, text: str) -> Path:
    """A file about sign-in, with the secret beside it."""
    (folder / "clinic.secret").write_text(f"{SECRET}\n", encoding="utf-8")
    path = folder / "sign-in.yaml"
    path.write_text(text, encoding="utf-8")
    return path
