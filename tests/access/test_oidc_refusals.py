"""Everything that could be wrong with what a provider says lets nobody in: against a real one on loopback."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc.jwk import ECKey, OctKey

from cds.record.database import Database
from tests.access.clinic import FILE, Clinic
from tests.access.people import House
from tests.access.vouching import CLIENT, SECRET, Voucher, provider_file, vouching
from tests.exchange.servers import says

OTHER = ECKey.generate_key("P-256", {"kid": "one"})


def bent(**claims: Any) -> Callable[[Voucher], None]:
    return lambda voucher: voucher.bent.update(claims)


def signed(how: Callable[[Voucher, dict[str, Any]], str]) -> Callable[[Voucher], None]:
    def bend(voucher: Voucher) -> None:
        voucher.signed = lambda claims: how(voucher, claims)

    return bend


def sent(**fields: Any) -> Callable[[Voucher], None]:
    return lambda voucher: voucher.sent.update(fields)


def tampered(token: str) -> str:
    head, body, signature = token.split(".")
    return f"{head}.{body[:-2]}{'A' if body[-2] != 'A' else 'B'}{body[-1]}.{signature}"


WRONG: dict[str, Callable[[Voucher], None]] = {
    "another state": sent(state="x" * 43),
    "no state": sent(state=None),
    "two states": sent(state="x&state=y"),
    "no code": sent(code=None),
    "another code": sent(code="invented"),
    "the issuer of the answer": sent(iss="https://evil.example"),
    "no issuer of the answer": sent(iss=None),
    "an error": sent(error="access_denied", code=None),
    "an error with a code": sent(error="access_denied"),
    "iss": bent(iss="https://evil.example"),
    "no iss": bent(iss=None),
    "aud": bent(aud="another-client"),
    "aud of several": bent(aud=["another-client", CLIENT]),
    "azp": bent(aud=["another-client", CLIENT], azp="another-client"),
    "no aud": bent(aud=None),
    "nonce": bent(nonce="x" * 43),
    "no nonce": bent(nonce=None),
    "expired": bent(exp=1_700_000_000),
    "no exp": bent(exp=None),
    "exp is no number": bent(exp="tomorrow"),
    "not yet": bent(nbf=4_000_000_000),
    "of the future": bent(iat=4_000_000_000),
    "no iat": bent(iat=None),
    "no sub": bent(sub=None),
    "an empty sub": bent(sub=""),
    "a sub of nothing that can be kept": bent(sub="a\0b"),
    "a long sub": bent(sub="x" * 256),
    "sub is no text": bent(sub=["u-17"]),
    "at_hash": bent(at_hash="AAAAAAAAAAAAAAAAAAAAAA"),
    "no role": bent(groups=["others"]),
    "groups are nonsense": bent(groups={"board": True}),
    "no groups": bent(groups=None),
    "alg none": signed(lambda voucher, claims: voucher.by_hand(claims, "none")),
    "alg none with a signature": signed(lambda voucher, claims: voucher.by_hand(claims, "none", b"x")),
    "alg None": signed(lambda voucher, claims: voucher.by_hand(claims, "None", b"x")),
    "HS256 by the secret": signed(lambda voucher, claims: voucher.by_key(claims, OctKey.import_key(SECRET), alg="HS256")),
    "HS256 by the public key": signed(
        lambda voucher, claims: voucher.by_hand(claims, "HS256", voucher.key.as_pem(private=False))
    ),
    "another key": signed(lambda voucher, claims: voucher.by_key(claims, OTHER)),
    "a key of its own": signed(lambda voucher, claims: voucher.by_key(claims, OTHER, jwk=OTHER.as_dict(private=False))),
    "a key elsewhere": signed(lambda voucher, claims: voucher.by_key(claims, OTHER, jku=f"{voucher.base}/evil")),
    "another kid": signed(lambda voucher, claims: voucher.by_key(claims, kid="two")),
    "no kid": signed(lambda voucher, claims: voucher.by_key(claims, kid="")),
    "an algorithm that is not allowed": signed(
        lambda voucher, claims: voucher.by_key(claims, ECKey.generate_key("P-521", {"kid": "one"}), alg="ES512")
    ),
    "tampered": signed(lambda voucher, claims: tampered(voucher.by_key(claims))),
    "no token": lambda voucher: voucher.granted.update(id_token=None),
    "no token but a number": lambda voucher: voucher.granted.update(id_token=7),
    "rubbish": lambda voucher: voucher.granted.update(id_token="a.b.c"),
    "a long token": lambda voucher: voucher.granted.update(id_token=f"a.{'b' * 20000}.c"),
    "another secret": lambda voucher: setattr(voucher, "public", True),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_nobody_is_let_in_whom_nobody_vouches_for(clinic: Clinic, wrong: str, caplog: pytest.LogCaptureFixture) -> None:
    WRONG[wrong](clinic.voucher)
    browser = clinic.house.browser()
    with caplog.at_level(logging.DEBUG):
        answer = clinic.comes(browser)
    assert (answer.status_code, "You were not let in" in answer.text) == (403, True)
    assert not browser.is_in()
    assert clinic.house.accounts.listed("default") == []
    (entry,) = clinic.house.entries()
    assert entry[:2] == ("unknown", "sign-in-refused")
    logged = str(
        [getattr(one, "fields", one.getMessage()) for one in caplog.records if one.name.startswith("exowatch")]
    )
    for secret in ("u-17", "Berg", SECRET, *clinic.voucher.codes):
        assert secret not in logged


def test_an_answer_counts_once(clinic: Clinic) -> None:
    browser = clinic.house.browser()
    left = clinic.leaves(browser)
    kept = browser.http.cookies.get("exowatch-flow")
    assert browser.follows(left).status_code == 303
    assert browser.follows(left).status_code == 403  # the browser keeps nothing of it any more
    other = clinic.house.browser()
    other.http.cookies.set("exowatch-flow", kept or "")
    assert other.follows(left).status_code == 403  # and the provider takes a code once
    assert not other.is_in()


def test_another_browser_cannot_finish_what_one_began(clinic: Clinic) -> None:
    mallory, victim = clinic.house.browser(), clinic.house.browser()
    answer = clinic.leaves(mallory)
    assert victim.follows(answer).status_code == 403
    assert not victim.is_in()
    clinic.leaves(victim)  # it has begun something of its own
    assert victim.follows(answer).status_code == 403
    assert not victim.is_in()


@pytest.mark.parametrize(
    "kept", ["", "x", "bm90IGpzb24", "W10", "e30", "eyJvZiI6ICJjbGluaWMifQ", "eyJvZiI6IDF9", "%00", "a" * 4000]
)
def test_a_cookie_that_is_none_of_ours(clinic: Clinic, kept: str) -> None:
    browser = clinic.house.browser()
    browser.http.cookies.set("exowatch-flow", kept)
    for path in ("/sign-in/clinic/back?code=a&state=b", "/sign-in/clinic/back", "/sign-in/other/back?code=a&state=b"):
        assert browser.get(path).status_code == 403


def test_the_cookie_of_the_flow_is_hidden_and_short_lived(clinic: Clinic) -> None:
    answer = clinic.house.browser().get("/sign-in/clinic")
    (cookie,) = answer.headers.get_list("set-cookie")
    assert all(part in cookie for part in ("exowatch-flow=", "HttpOnly", "SameSite=lax", "Max-Age=900", "Path=/"))
    query = parse_qs(urlsplit(answer.headers["Location"]).query)
    assert cookie.count(query["state"][0]) == 0


AWAY: dict[str, tuple[str, Callable[[Any], None]]] = {
    "no configuration": ("/.well-known/openid-configuration", says(b"", 404)),
    "a broken configuration": ("/.well-known/openid-configuration", says(b"[]")),
    "one that is no JSON": ("/.well-known/openid-configuration", says(b"<html>")),
    "an endless one": ("/.well-known/openid-configuration", says(b" " * 300_000)),
    "a redirect": ("/.well-known/openid-configuration", says(b"", 302, Location="http://localhost:1/")),
    "an error of the token endpoint": ("/token", says(b"", 500)),
    "a token answer that is no JSON": ("/token", says(b"no")),
}  # fmt: skip


@pytest.mark.parametrize("what", AWAY)
def test_a_provider_that_does_not_answer(clinic: Clinic, what: str) -> None:
    path, answer = AWAY[what]
    clinic.voucher.odd[path] = answer
    browser = clinic.house.browser()
    found = clinic.comes(browser) if path == "/token" else browser.get("/sign-in/clinic")
    assert (found.status_code, "does not answer as it should" in found.text) == (502, True)
    assert not browser.is_in()
    del clinic.voucher.odd[path]
    assert clinic.comes(browser).status_code == 303  # and then it does


@pytest.mark.parametrize("about", [
    {"issuer": "https://evil.example"}, {"issuer": None}, {"token_endpoint": None}, {"jwks_uri": 7}, {"authorization_endpoint": "javascript:x"},
    {"token_endpoint": "file:///etc/passwd"},
])  # fmt: skip
def test_a_configuration_that_cannot_be_used(clinic: Clinic, about: dict[str, Any]) -> None:
    clinic.voucher.about |= about
    assert clinic.house.browser().get("/sign-in/clinic").status_code == 502


def test_nothing_is_sent_to_servers_that_are_not_listed(clinic: Clinic) -> None:
    with vouching(lambda: clinic.house.now) as elsewhere:
        for name in ("token_endpoint", "jwks_uri"):
            clinic.voucher.about = {name: f"{elsewhere.base}/{name}"}
            house = House(clinic.house.database, ways=clinic.house.settings.sign_in_file).open()
            clinic.house = house
            assert clinic.comes(house.browser()).status_code in (403, 502)
        assert elsewhere.server is not None
        assert elsewhere.server.asked == []


def test_a_provider_that_is_gone(tmp_path: Path, sqlite: Database) -> None:
    with vouching(lambda: house.now) as voucher:
        base = voucher.base
    path = provider_file(tmp_path, FILE.format(base=base, local="true", secret="secret_file: clinic.secret", more=""))
    house = House(sqlite, ways=path).open()
    assert house.browser().get("/sign-in/clinic").status_code == 502
    assert house.browser().get("/sign-in").status_code == 200
