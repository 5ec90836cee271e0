"""Tokens of a client as CDS Hooks has them, and every way in which one can be wrong."""

from __future__ import annotations

import base64
import hmac
import json
import time
import uuid
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

from joserfc import jws
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, KeySet, RSAKey

BASE = "https://cds.example/exowatch"
ISSUER = "https://ehr.example/oauth2"
SERVICE = f"{BASE}/cds-services/exowatch-patient-view"

Claims = dict[str, Any]


@dataclass
class Keys:
    """The key pairs of a client."""

    elliptic: ECKey = field(default_factory=lambda: ECKey.generate_key("P-384", {"kid": "ec-1", "alg": "ES384"}))
    rsa: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "rsa/1+=", "use": "sig"}))
    plain: ECKey = field(default_factory=lambda: ECKey.generate_key("P-384", {"kid": "ec-2"}))
    stranger: ECKey = field(default_factory=lambda: ECKey.generate_key("P-384", {"kid": "ec-1"}))
    weak: RSAKey = field(default_factory=lambda: _weak())
    small: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256", {"kid": "p256"}))
    sealing: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "enc", "use": "enc"}))

    def public(self) -> dict[str, Any]:
        """The JWK Set that the client publishes."""
        keys = (self.elliptic, self.rsa, self.plain, self.weak, self.small, self.sealing)
        return dict(KeySet([*keys]).as_dict(private=False))


def _weak() -> RSAKey:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        return RSAKey.generate_key(1024, {"kid": "weak"})


@cache
def keys() -> Keys:
    """The client's; made once, for RSA keys take a while."""
    return Keys()


def claims(**changes: Any) -> Claims:
    """What a good token says; `changes` with the value None leave a claim out."""
    now = int(time.time())
    said = {"iss": ISSUER, "aud": SERVICE, "iat": now, "exp": now + 300, "jti": str(uuid.uuid4()), **changes}
    return {name: value for name, value in said.items() if value is not None}


def signed(
    said: Mapping[str, Any] | bytes, key: ECKey | RSAKey | None = None, algorithm: str = "ES384", **header: Any
) -> str:
    """A token, put together by hand: what is to be refused, a library would not make. Header fields that are None are left out."""
    key = key or keys().elliptic
    stated = {"alg": algorithm, "typ": "JWT", "kid": key.kid, **header}
    whole = {name: value for name, value in stated.items() if value is not None}
    payload = said if isinstance(said, bytes) else json.dumps(said).encode()
    made = f"{packed(json.dumps(whole).encode())}.{packed(payload)}"
    model = jws.JWSRegistry(algorithms=[algorithm]).get_alg(algorithm)
    return f"{made}.{packed(model.sign(made.encode(), key))}"


def packed(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unsigned(algorithm: str) -> str:
    header = {"alg": algorithm, "typ": "JWT", "kid": "ec-1"}
    return f"{packed(json.dumps(header).encode())}.{packed(json.dumps(claims()).encode())}."


def with_signature_of_another(said: Claims) -> str:
    head, body, _ = signed(said).split(".")
    return f"{head}.{body}.{signed(claims()).split('.')[2]}"


def changed_after_signing() -> str:
    head, _, signature = signed(claims()).split(".")
    return f"{head}.{packed(json.dumps(claims(exp=int(time.time()) + 999)).encode())}.{signature}"


def hmac_by_the_public_key() -> str:
    """The public key's own bytes as a shared secret: accepted by libraries that let the token choose the algorithm."""
    header = {"alg": "HS256", "typ": "JWT", "kid": keys().rsa.kid}
    made = f"{packed(json.dumps(header).encode())}.{packed(json.dumps(claims()).encode())}"
    return f"{made}.{packed(hmac.digest(keys().rsa.as_pem(private=False), made.encode(), 'sha256'))}"


def twice(name: str, first: str, second: str) -> str:
    said = claims()
    said.pop(name)
    body = json.dumps(said)[:-1] + f', "{name}": {first}, "{name}": {second}}}'
    return signed(body.encode())


def now(seconds: float = 0) -> int:
    return int(time.time() + seconds)


def _bearing(made: Callable[[str], str], how: str) -> str:
    return f"Bearer {made(how)}"


def _without(name: str) -> str:
    return f"Bearer {signed(claims(**{name: None}))}"


Bad = Callable[[], str | None]

BAD: Mapping[str, Bad] = {
    "no header at all": lambda: None,
    "empty": lambda: "",
    "scheme only": lambda: "Bearer",
    "scheme and a blank": lambda: "Bearer ",
    "another scheme": lambda: f"Basic {signed(claims())}",
    "no scheme": lambda: signed(claims()),
    "two tokens": lambda: f"Bearer {signed(claims())} {signed(claims())}",
    "a comma": lambda: f"Bearer {signed(claims())},",
    "not a token": lambda: "Bearer abc",
    "two parts": lambda: "Bearer " + ".".join(signed(claims()).split(".")[:2]),
    "four parts": lambda: f"Bearer {signed(claims())}.x",
    "five parts": lambda: "Bearer a.b.c.d.e",
    "no signature": lambda: "Bearer " + signed(claims()).rpartition(".")[0] + ".",
    "not base64": lambda: "Bearer $$$.###.!!!",
    "header is no JSON": lambda: f"Bearer {packed(b'x')}.{packed(b'{}')}.{packed(b'x')}",
    "header is a list": lambda: f"Bearer {packed(b'[]')}.{packed(b'{}')}.{packed(b'x')}",
    "payload is no JSON": lambda: f"Bearer {signed(b'x')}",
    "payload is a list": lambda: f"Bearer {signed(b'[]')}",
    "payload nested deeply": lambda: f"Bearer {signed(b'[' * 3000)}",
    "far too long": lambda: f"Bearer {signed(claims(filler='x' * 9000))}",
    **{f"alg {name}": partial(_bearing, unsigned, name) for name in ("none", "None", "nOnE", "NONE", "")},
    "HMAC by the public key": lambda: f"Bearer {hmac_by_the_public_key()}",
    "alg not on the list": lambda: f"Bearer {signed(claims(), keys().rsa, 'RS256')}",
    "alg PS384, not on the list": lambda: f"Bearer {signed(claims(), keys().rsa, 'PS384')}",
    "alg ES256 with a small key": lambda: f"Bearer {signed(claims(), keys().small, 'ES256')}",
    "alg of another key type": lambda: f"Bearer {signed(claims(), keys().rsa, 'RS384', kid='ec-1')}",
    "alg missing": lambda: f"Bearer {signed(claims(), alg=None)}",
    "alg a number": lambda: f"Bearer {signed(claims(), alg=5)}",
    "kid missing": lambda: f"Bearer {signed(claims(), kid=None)}",
    "kid empty": lambda: f"Bearer {signed(claims(), kid='')}",
    "kid a number": lambda: f"Bearer {signed(claims(), kid=1)}",
    "kid unknown": lambda: f"Bearer {signed(claims(), kid='ec-9')}",
    "kid a path": lambda: f"Bearer {signed(claims(), kid='../../etc/passwd')}",
    "typ missing": lambda: f"Bearer {signed(claims(), typ=None)}",
    "typ another": lambda: f"Bearer {signed(claims(), typ='at+jwt')}",
    "crit": lambda: f"Bearer {signed(claims(), crit=['exp'], exp=1)}",
    "a key of its own": lambda: f"Bearer {signed(claims(), keys().stranger, jwk=keys().stranger.as_dict(private=False))}",
    "jku a number": lambda: f"Bearer {signed(claims(), jku=5)}",
    "jku a list": lambda: f"Bearer {signed(claims(), jku=['https://ehr.example/keys'])}",
    "signed by a stranger": lambda: f"Bearer {signed(claims(), keys().stranger)}",
    "signed by a weak key": lambda: f"Bearer {signed(claims(), keys().weak, 'RS384')}",
    "signed by a key for encryption": lambda: f"Bearer {signed(claims(), keys().sealing, 'RS384')}",
    "signature of another token": lambda: f"Bearer {with_signature_of_another(claims())}",
    "changed after signing": lambda: f"Bearer {changed_after_signing()}",
    **{f"{name} missing": partial(_without, name) for name in ("iss", "aud", "exp", "iat", "jti")},
    "iss unknown": lambda: f"Bearer {signed(claims(iss='https://evil.example'))}",
    "iss with a slash more": lambda: f"Bearer {signed(claims(iss=ISSUER + '/'))}",
    "iss a list": lambda: f"Bearer {signed(claims(iss=[ISSUER]))}",
    "iss twice": lambda: f"Bearer {twice('iss', json.dumps(ISSUER), json.dumps(ISSUER))}",
    "aud another service": lambda: f"Bearer {signed(claims(aud=f'{BASE}/cds-services/exowatch-order-sign'))}",
    "aud the base": lambda: f"Bearer {signed(claims(aud=BASE))}",
    "aud another host": lambda: f"Bearer {signed(claims(aud=SERVICE.replace('cds.example', 'evil.example')))}",
    "aud by http": lambda: f"Bearer {signed(claims(aud=SERVICE.replace('https', 'http')))}",
    "aud empty": lambda: f"Bearer {signed(claims(aud=''))}",
    "aud an empty list": lambda: f"Bearer {signed(claims(aud=[]))}",
    "aud a list of others": lambda: f"Bearer {signed(claims(aud=['https://a.example', BASE]))}",
    "aud a list with a number": lambda: f"Bearer {signed(claims(aud=[SERVICE, 5]))}",
    "aud an object": lambda: f"Bearer {signed(claims(aud={'url': SERVICE}))}",
    "aud the feedback of the service": lambda: f"Bearer {signed(claims(aud=f'{SERVICE}/feedback'))}",
    "exp past": lambda: f"Bearer {signed(claims(iat=now(-400), exp=now(-100)))}",
    "exp long past": lambda: f"Bearer {signed(claims(iat=1000, exp=2000))}",
    "exp far off": lambda: f"Bearer {signed(claims(exp=now(999_999)))}",
    "exp a text": lambda: f"Bearer {signed(claims(exp=str(now(300))))}",
    "exp true": lambda: f"Bearer {signed(claims(exp=True))}",
    "exp negative": lambda: f"Bearer {signed(claims(exp=-5))}",
    "exp NaN": lambda: f"Bearer {twice_none('exp', 'NaN')}",
    "exp infinite": lambda: f"Bearer {twice_none('exp', 'Infinity')}",
    "exp huge": lambda: f"Bearer {twice_none('exp', '1' + '0' * 400)}",
    "exp twice": lambda: f"Bearer {twice('exp', '1', str(now(300)))}",
    "iat in the future": lambda: f"Bearer {signed(claims(iat=now(200), exp=now(300)))}",
    "iat after exp": lambda: f"Bearer {signed(claims(iat=now(50), exp=now(20)))}",
    "iat a text": lambda: f"Bearer {signed(claims(iat='now'))}",
    "nbf in the future": lambda: f"Bearer {signed(claims(nbf=now(200)))}",
    "nbf a text": lambda: f"Bearer {signed(claims(nbf='soon'))}",
    "jti empty": lambda: f"Bearer {signed(claims(jti=''))}",
    "jti a number": lambda: f"Bearer {signed(claims(jti=5))}",
    "jti far too long": lambda: f"Bearer {signed(claims(jti='x' * 300))}",
}  # fmt: skip
"""What stands in the Authorization header, by what is wrong with it."""


def twice_none(name: str, literal: str) -> str:
    """A token in which a claim is written in a way that only a text can."""
    said = claims()
    said.pop(name)
    return signed((json.dumps(said)[:-1] + f', "{name}": {literal}}}').encode())


GOOD: Mapping[str, Callable[[], str]] = {
    "as most": lambda: signed(claims()),
    "RS384": lambda: signed(claims(), keys().rsa, "RS384"),
    "a key without alg": lambda: signed(claims(), keys().plain),
    "aud a list of one": lambda: signed(claims(aud=[SERVICE])),
    "aud a list of several": lambda: signed(claims(aud=["https://other.example", SERVICE])),
    "aud with a slash": lambda: signed(claims(aud=f"{SERVICE}/")),
    "aud an alias": lambda: signed(claims(aud="exowatch-production")),
    "aud an alias in a list": lambda: signed(claims(aud=["exowatch-production"])),
    "nbf before the issue": lambda: signed(claims(nbf=now(-300))),
    "nbf within the leeway": lambda: signed(claims(nbf=now(30))),
    "iat within the leeway": lambda: signed(claims(iat=now(30))),
    "exp within the leeway": lambda: signed(claims(iat=now(-300), exp=now(-30))),
    "an hour": lambda: signed(claims(exp=now(3590))),
    "instants with a fraction": lambda: signed(claims(iat=now() + 0.5, exp=now() + 300.25)),
    "typ in small letters": lambda: signed(claims(), typ="jwt"),
    "a subject": lambda: signed(claims(sub=ISSUER)),
    "a tenant that nobody asked for": lambda: signed(claims(tenant="hospital-a")),
    "claims that nobody knows": lambda: signed(claims(practitioner="Practitioner/1", list=[1], object={"a": None})),
    "a jku where keys are pinned": lambda: signed(claims(), jku="https://ehr.example/keys.json"),
    "header fields that nobody knows": lambda: signed(claims(), x5t="abc", cty="json"),
    "a jti with blanks": lambda: signed(claims(jti=f"{uuid.uuid4()} a b")),
    "a jti of one letter": lambda: signed(claims(jti="x")),
    "the same jti in other letters": lambda: signed(claims(jti="X")),
    "a jti with umlauts": lambda: signed(claims(jti=f"Ä{uuid.uuid4()}")),
    "RS384 and a list": lambda: signed(claims(aud=[SERVICE]), keys().rsa, "RS384"),
    "RS384 with nbf": lambda: signed(claims(nbf=now(-10)), keys().rsa, "RS384"),
    "exp in a minute": lambda: signed(claims(exp=now(60))),
    "exp at once": lambda: signed(claims(exp=now(1))),
    "an empty object": lambda: signed(claims(extension={})),
    "a scope": lambda: signed(claims(scope="system/*.read")),
    "a text after the id": lambda: signed(claims(jti=f"{uuid.uuid4()}|session")),
}  # fmt: skip
"""Tokens that are to be accepted."""
