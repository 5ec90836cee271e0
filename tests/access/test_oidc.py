"""Somebody else vouches for people: a real provider on loopback, and everything that could be wrong with what it says."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc.jwk import ECKey, OctKey, RSAKey

from cds.record.accounts import TERMINAL, Accounts
from cds.record.database import Database
from tests.access.people import Browser, House
from tests.access.vouching import CLIENT, SECRET, Voucher, provider_file, vouching
from tests.exchange.servers import says
from tests.record.conftest import *  # noqa: F403 - the record on both databases

FILE = """
local: {local}
providers:
  - name: clinic
    label: Account of the <clinic>
    issuer: {base}
    client: exowatch
    {secret}
    roles: {{claim: groups, map: {{board: reviewer, chairs: [chair, reader], keys: admin}}}}
    {more}
"""


class Clinic:
    """A house, and who vouches for people in it."""

    def __init__(self, database: Database, folder: Path, stack: ExitStack, **options: Any):
        self.house: House
        self.voucher = stack.enter_context(vouching(lambda: self.house.now))
        self.voucher.public = options.get("public", False)
        secret = "" if self.voucher.public else "secret_file: clinic.secret"
        text = FILE.format(
            base=self.voucher.base, local=options.get("local", "true"), secret=secret, more=options.get("more", "")
        )
        self.house = House(database, ways=provider_file(folder, text)).open()

    def comes(self, browser: Browser, wanted: str = "") -> Any:
        """The answer to a browser that comes back from the provider."""
        return browser.follows(self.leaves(browser, wanted))

    def leaves(self, browser: Browser, wanted: str = "") -> Any:
        """Where the provider sends a browser back to."""
        out = browser.get("/sign-in/clinic" + (f"?next={wanted}" if wanted else ""))
        assert out.status_code == 303, out.text
        out.headers["Location"] = self.voucher.goes(out.headers["Location"])
        return out


@pytest.fixture
def near(tmp_path: Path) -> Iterator[Database]:
    """One kind of database is enough where the record hardly matters."""
    found = Database(f"sqlite:///{tmp_path}/record.sqlite", deadline=10)
    with closing(found):
        found.upgrade()
        yield found


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., Clinic]]:
    with ExitStack() as stack:
        yield lambda database, **options: Clinic(database, tmp_path, stack, **options)


@pytest.fixture
def clinic(near: Database, opened: Callable[..., Clinic]) -> Clinic:
    return opened(near)


def test_somebody_is_vouched_for(database: Database, opened: Callable[..., Clinic]) -> None:
    clinic = opened(database)
    browser = clinic.house.browser()
    page = browser.get("/sign-in?next=/board/rules")
    assert '<a href="/sign-in/clinic?next=%2Fboard%2Frules">Account of the &lt;clinic&gt;</a>' in page.text
    answer = clinic.comes(browser, "/board/rules")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/board/rules")
    assert browser.get("/board").text == "<p>Dr Anna Berg</p>"
    (account,) = clinic.house.accounts.listed("default")
    assert (account.name, account.issuer, set(account.roles), account.is_local) == (
        "anna.berg",
        clinic.voucher.base,
        {"reviewer"},
        False,
    )
    (asked,) = clinic.voucher.asked
    assert set(asked) == {
        "tenant", "response_type", "client_id", "redirect_uri", "scope", "state", "nonce", "code_challenge", "code_challenge_method",
    }  # fmt: skip
    assert (asked["scope"], asked["redirect_uri"]) == ("openid profile", "http://localhost/sign-in/clinic/back")
    assert len({asked["state"], asked["nonce"], asked["code_challenge"]}) == 3
    told = [(actor, action) for actor, action, _ in clinic.house.entries()]
    assert told == [("anna.berg", "sign-in"), ("anna.berg", "list")]


def test_who_comes_again_is_the_same_and_has_the_roles_of_today(
    database: Database, opened: Callable[..., Clinic]
) -> None:
    clinic = opened(database)
    first, second = clinic.house.browser(), clinic.house.browser()
    clinic.comes(first)
    clinic.comes(second)
    assert first.is_in()
    (account,) = clinic.house.accounts.listed("default")
    clinic.voucher.claims |= {
        "groups": ["chairs", "nonsense", 7],
        "name": "Prof Berg",
        "preferred_username": "somebody-else",
    }
    third = clinic.house.browser()
    assert clinic.comes(third).status_code == 303
    (again,) = clinic.house.accounts.listed("default")
    assert (again.id, again.name, again.shown, set(again.roles)) == (
        account.id,
        "anna.berg",
        "Prof Berg",
        {"chair", "reader"},
    )
    assert (first.is_in(), second.is_in(), third.is_in()) == (False, False, True)
    clinic.voucher.claims["groups"] = ["nonsense"]
    assert clinic.comes(clinic.house.browser()).status_code == 403
    assert not third.is_in()  # whoever has no role any more is out everywhere
    clinic.voucher.claims["groups"] = "keys"
    assert clinic.comes(third).headers["Location"] == "/accounts"
    clinic.house.accounts.disable("default", "anna.berg", TERMINAL)
    assert not third.is_in()
    answer = clinic.comes(third)
    assert (answer.status_code, third.is_in()) == (403, False)


def test_nobody_takes_the_name_of_another(clinic: Clinic) -> None:
    clinic.house.add("anna.berg", "admin")
    assert clinic.comes(clinic.house.browser()).status_code == 303
    for number, name in enumerate(("unknown", "no name\n", "", None, "x" * 70, ["anna"], "command line", "<b>")):
        clinic.voucher.claims |= {"sub": f"v-{number}", "preferred_username": name, "name": None}
        assert clinic.comes(clinic.house.browser()).status_code == 303, name
    names = [one.name for one in clinic.house.accounts.listed("default")]
    assert len(set(names)) == 10
    assert sum(name.startswith("anna.berg+") for name in names) == 1
    assert sum(name.startswith("person-") for name in names) == 8
    assert clinic.house.browser().signs_in("anna.berg").status_code == 303
    for name in names:
        if name != "anna.berg":
            assert clinic.house.browser().signs_in(name, "").status_code == 403


def test_a_new_token_replaces_that_of_before(clinic: Clinic) -> None:
    browser = clinic.house.signed_in("berta")
    before = browser.token()
    clinic.comes(browser)
    assert browser.token() != before
    other = clinic.house.browser()
    other.http.cookies.set("exowatch", before)
    assert not other.is_in()


@pytest.mark.parametrize(
    "wanted", ["//evil.example", "https://evil.example", "/%5cevil.example", "/sign-out", "/no/such"]
)
def test_nobody_is_led_away(clinic: Clinic, wanted: str) -> None:
    assert clinic.comes(clinic.house.browser(), wanted).headers["Location"] == "/board"


def test_a_public_client_and_one_that_sends_its_secret_in_the_form(
    near: Database, opened: Callable[..., Clinic]
) -> None:
    clinic = opened(near)
    clinic.voucher.about["token_endpoint_auth_methods_supported"] = ["client_secret_post", "private_key_jwt"]
    assert clinic.comes(clinic.house.browser()).status_code == 303
    clinic = opened(near, public=True, more="scope: openid\n    algorithms: [RS256]\n    name_claim: email")
    key = RSAKey.generate_key(2048, {"kid": "rsa", "alg": "RS256"})
    clinic.voucher.keys.append(key)
    clinic.voucher.claims |= {"email": "anna@clinic.example"}
    clinic.voucher.signed = lambda claims: clinic.voucher.by_key(claims, key, alg="RS256", kid="rsa")
    assert clinic.comes(clinic.house.browser()).status_code == 303
    assert clinic.voucher.asked[-1]["scope"] == "openid"
    assert "anna@clinic.example" in [one.name for one in clinic.house.accounts.listed("default")]


def test_without_local_accounts_nobody_signs_in_with_a_password(near: Database, opened: Callable[..., Clinic]) -> None:
    clinic = opened(near, local="false")
    clinic.house.add("anna", "admin")
    browser = clinic.house.browser()
    page = browser.get("/sign-in").text
    assert 'type="password"' not in page
    assert "/sign-in/clinic" in page
    assert browser.post("/sign-in", csrf="x", name="anna", password="x").status_code == 404
    assert browser.get("/sign-in/other").status_code == 404


# what could be wrong --------------------------------------------------------------------------------------------------

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


def test_a_provider_that_is_gone(tmp_path: Path, near: Database) -> None:
    with vouching(lambda: house.now) as voucher:
        base = voucher.base
    path = provider_file(tmp_path, FILE.format(base=base, local="true", secret="secret_file: clinic.secret", more=""))
    house = House(near, ways=path).open()
    assert house.browser().get("/sign-in/clinic").status_code == 502
    assert house.browser().get("/sign-in").status_code == 200


def test_keys_rotate(clinic: Clinic) -> None:
    assert clinic.comes(clinic.house.browser()).status_code == 303
    clinic.voucher.key = ECKey.generate_key("P-256", {"kid": "two"})
    clinic.voucher.keys = [clinic.voucher.key]
    clinic.voucher.signed = lambda claims: clinic.voucher.by_key(claims, kid="two")
    # An unknown key is looked for once a minute at most: so nobody makes us ask by inventing names of keys.
    assert clinic.comes(clinic.house.browser()).status_code == 403
    fresh = House(clinic.house.database, ways=clinic.house.settings.sign_in_file).open()
    clinic.house = fresh
    assert clinic.comes(fresh.browser()).status_code == 303


def test_accounts_of_others_have_no_password_here(clinic: Clinic) -> None:
    from cds.record.accounts import AccountRefused

    browser = clinic.house.browser()
    clinic.comes(browser)
    accounts: Accounts = clinic.house.accounts
    with pytest.raises(AccountRefused, match="vouches for"):
        accounts.set_password("default", "anna.berg", "a password of ours", TERMINAL)
    with pytest.raises(AccountRefused, match="vouches for"):
        accounts.set_roles("default", "anna.berg", ["admin"], TERMINAL)
    assert "kept by whoever signs you in" in browser.get("/account").text
    answer = browser.post(
        "/account",
        csrf=browser.get("/account").text.split('name="csrf" value="')[1][:64],
        old="",
        new="x" * 12,
        again="x" * 12,
    )
    assert answer.status_code == 409
    assert browser.is_in()
