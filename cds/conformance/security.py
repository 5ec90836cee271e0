"""J and K: whom the service answers, and from which pages."""

from __future__ import annotations

import base64
import json
import re
import time
import uuid
from collections.abc import Mapping
from typing import Any

from joserfc.jwk import ECKey

from cds.conformance.probe import NotHere, Probe, Signer, parsed, path_of
from cds.conformance.rows import require, row

_MONTH = "(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_A_DAY = re.compile(
    rf"\b(?:20\d\d-\d\d-\d\d|\d{{1,2}}\.? {_MONTH}\.?,? 20\d\d|{_MONTH}\.? \d{{1,2}}, 20\d\d|\d{{1,2}}[./]\d{{1,2}}[./]20\d\d)\b",
    re.I,
)
"""A day as services write it: 2025-04-21, 21 Apr 2025, April 21, 2025, 21.04.2025."""


def _signer(probe: Probe) -> Signer:
    if probe.signer is None:
        raise NotHere("it is tested without a client's key (--client)")
    return probe.signer


def _status(probe: Probe, authorization: str | None, path: str | None = None) -> int:
    headers = {} if authorization is None else {"Authorization": authorization}
    service = probe.hooked
    answer = probe.send("POST", path or path_of(service), signed=False, json=probe.request(service), headers=headers)
    if answer.status_code != 200:
        require("cards" not in parsed(answer), "cards in an error")
    return answer.status_code


def _refused(probe: Probe, authorization: str | None, what: str) -> None:
    status = _status(probe, authorization)
    require(status == 401, f"{what} gets status {status}")


def _token(probe: Probe, *, header: Mapping[str, Any] | None = None, **changes: Any) -> str:
    return f"Bearer {_signer(probe).token(probe.audience(path_of(probe.hooked)), header=header, **changes)}"


def _packed(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@row("J2", "SHALL", "a call without a token is refused, where tokens are needed")
def token_is_needed(probe: Probe) -> None:
    _signer(probe)
    _refused(probe, None, "no token")
    require(_status(probe, _token(probe)) == 200, "a good token is refused")


@row("J4", "SHALL", "a token's header has alg, kid and typ")
def headers_are_whole(probe: Probe) -> None:
    for name in ("kid", "typ"):
        _refused(probe, _token(probe, header={name: None}), f"a token without {name}")


@row("J5", "SHALL NOT", "unsigned tokens")
def unsigned(probe: Probe) -> None:
    now = int(time.time())
    claims = {
        "iss": _signer(probe).issuer, "aud": probe.audience(path_of(probe.hooked)), "iat": now, "exp": now + 300,
        "jti": str(uuid.uuid4()),
    }  # fmt: skip
    for name in ("none", "None", "nOnE"):
        head = _packed({"alg": name, "typ": "JWT", "kid": _signer(probe).key.kid})
        _refused(probe, f"Bearer {head}.{_packed(claims)}.", f"alg {name}")


@row("J6", "SHALL NOT", "shared secrets")
def shared_secrets(probe: Probe) -> None:
    import hmac

    signer = _signer(probe)
    now = int(time.time())
    head = _packed({"alg": "HS256", "typ": "JWT", "kid": signer.key.kid})
    audience = probe.audience(path_of(probe.hooked))
    body = _packed({"iss": signer.issuer, "aud": audience, "iat": now, "exp": now + 300, "jti": str(uuid.uuid4())})
    secret = signer.key.as_pem(private=False)
    signature = base64.urlsafe_b64encode(hmac.digest(secret, f"{head}.{body}".encode(), "sha256")).rstrip(b"=").decode()
    _refused(probe, f"Bearer {head}.{body}.{signature}", "HS256 by the public key")


@row("J7", "RECOMMENDED", "ES384 or RS384")
def algorithms(probe: Probe) -> None:
    if _signer(probe).algorithm not in ("ES384", "RS384"):
        raise NotHere(f"this client signs by {_signer(probe).algorithm}")
    require(_status(probe, _token(probe)) == 200, "it is refused")


@row("J8", "SHALL", "iss, aud, exp, iat and jti are there")
def claims_are_whole(probe: Probe) -> None:
    for name in ("iss", "aud", "exp", "iat", "jti"):
        _refused(probe, _token(probe, **{name: None}), f"a token without {name}")


@row("J9", "SHALL", "aud, a text or a list, is the address that is called")
def audiences(probe: Probe) -> None:
    own = probe.audience(path_of(probe.hooked))
    require(_status(probe, _token(probe, aud=[own])) == 200, "a list with the address is refused")
    require(_status(probe, _token(probe, aud=["https://other.example", own])) == 200, "a longer list is refused")
    others: list[Any] = ["https://other.example", probe.audience("/cds-services/another"), []]
    for wrong in others:
        _refused(probe, _token(probe, aud=wrong), f"aud {wrong}")


@row("J10", "SHALL", "a token that has expired is refused")
def expired(probe: Probe) -> None:
    now = int(time.time())
    _refused(probe, _token(probe, iat=now - 900, exp=now - 300), "one that expired five minutes ago")


@row("J11", "SHALL", "a token of the future is refused, and one that lives too long")
def of_the_future(probe: Probe) -> None:
    now = int(time.time())
    _refused(probe, _token(probe, iat=now + 900, exp=now + 1200), "one of the future")
    _refused(probe, _token(probe, exp=now + 10 * 86_400), "one that lives ten days")
    require(_status(probe, _token(probe, exp=now + 1200, nbf=now - 300)) == 200, "one of 20 minutes is refused")


@row("J12", "SHALL", "a token is taken once")
def once(probe: Probe) -> None:
    token = _token(probe)
    require(_status(probe, token) == 200, "a good token is refused")
    _refused(probe, token, "the same token again")


@row("J17", "SHOULD", "every failure has the same answer")
def one_answer(probe: Probe) -> None:
    service = probe.hooked
    stranger = ECKey.generate_key("P-384", {"kid": str(_signer(probe).key.kid)})
    forged = Signer(_signer(probe).issuer, stranger, "ES384").token(probe.audience(path_of(service)))
    found = set()
    for told in (
        None,
        "Bearer x",
        f"Bearer {forged}",
        _token(probe, iss="https://nobody.example"),
        _token(probe, aud="x"),
    ):
        headers = {} if told is None else {"Authorization": told}
        answer = probe.send("POST", path_of(service), signed=False, json=probe.request(service), headers=headers)
        require(answer.status_code == 401, f"status {answer.status_code}")
        found.add(answer.content)
    require(len(found) == 1, f"{len(found)} different answers")


@row("J19", "SHALL", "claims that are not known do no harm; nbf is honoured")
def other_claims(probe: Probe) -> None:
    require(_status(probe, _token(probe, sub="x", practitioner={"a": [1]})) == 200, "further claims are refused")
    _refused(probe, _token(probe, nbf=int(time.time()) + 600), "nbf in ten minutes")


@row("J23", "SHOULD", "links lead to few places")
def links(probe: Probe) -> None:
    hosts = {
        re.sub(r"^https?://([^/]+).*", r"\1", link["url"]) for card in probe.cards for link in card.get("links") or ()
    }
    require(len(hosts) <= 3, f"they lead to {', '.join(sorted(hosts))}")


@row("J24", "SHOULD", "a card says as of when its data are")
def data_as_of(probe: Probe) -> None:
    for card in probe.cards:
        require(bool(_A_DAY.search(str(card.get("detail")))), "a card without any day")


@row("K1", "SHOULD", "a preflight needs no token")
def preflights(probe: Probe) -> None:
    headers = {
        "Origin": "https://probe.example", "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }  # fmt: skip
    answer = probe.send("OPTIONS", path_of(probe.hooked), signed=False, headers=headers)
    if answer.status_code == 405:
        raise NotHere("no browser may call")
    require(answer.status_code != 401, "it is asked for a token")


@row("K2", "SHOULD", "not every origin may call with credentials")
def origins(probe: Probe) -> None:
    answer = probe.send("GET", "/cds-services", headers={"Origin": "https://probe.example"})
    told = answer.headers.get("access-control-allow-origin", "")
    credentials = answer.headers.get("access-control-allow-credentials", "")
    require(not (told in ("*", "https://probe.example") and credentials == "true"), "any origin may, with credentials")


@row("K3", "SHOULD", "the same call has the same answer: cards are of the moment")
def repeatable(probe: Probe) -> None:
    service = probe.hooked
    body = probe.request(service)
    first, second = (parsed(probe.call(service, body))["cards"] for _ in range(2))
    require(len(first) == len(second), "another number of cards")


@row("K5", "SHALL", "`extension` is an object")
def extension_objects(probe: Probe) -> None:
    for where in (*probe.services, *(answer for _, answer in probe.answers), *_cards(probe)):
        require(isinstance(where.get("extension", {}), dict), "an extension that is none")


@row("K6", "SHOULD", "no invented fields")
def no_inventions(probe: Probe) -> None:
    known = {
        "uuid",
        "summary",
        "detail",
        "indicator",
        "source",
        "suggestions",
        "selectionBehavior",
        "overrideReasons",
        "links",
        "extension",
    }
    for card in _cards(probe):
        require(card.keys() <= known, f"{sorted(card.keys() - known)}")
    for _, answer in probe.answers:
        require(answer.keys() <= {"cards", "systemActions", "extension"}, f"{sorted(answer)}")


@row("K7", "SHALL", "hooks of one's own are named in reverse domain notation")
def own_hooks(probe: Probe) -> None:
    for service in probe.services:
        hook = str(service.get("hook"))
        require("." not in hook or bool(re.fullmatch(r"[a-z]{2,}(\.[a-z0-9-]+){2,}", hook)), f"'{hook}'")


def _cards(probe: Probe) -> list[dict[str, Any]]:
    return [card for _, answer in probe.answers for card in answer.get("cards") or ()]
