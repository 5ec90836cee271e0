"""Somebody else vouches for people: a real provider on loopback, and everything that could be wrong with what it says."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from joserfc.jwk import ECKey, RSAKey

from cds.record.accounts import TERMINAL, Accounts
from cds.record.database import Database
from tests.access.clinic import Clinic
from tests.access.people import House


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
    sqlite: Database, opened: Callable[..., Clinic]
) -> None:
    clinic = opened(sqlite)
    clinic.voucher.about["token_endpoint_auth_methods_supported"] = ["client_secret_post", "private_key_jwt"]
    assert clinic.comes(clinic.house.browser()).status_code == 303
    clinic = opened(sqlite, public=True, more="scope: openid\n    algorithms: [RS256]\n    name_claim: email")
    key = RSAKey.generate_key(2048, {"kid": "rsa", "alg": "RS256"})
    clinic.voucher.keys.append(key)
    clinic.voucher.claims |= {"email": "anna@clinic.example"}
    clinic.voucher.signed = lambda claims: clinic.voucher.by_key(claims, key, alg="RS256", kid="rsa")
    assert clinic.comes(clinic.house.browser()).status_code == 303
    assert clinic.voucher.asked[-1]["scope"] == "openid"
    assert "anna@clinic.example" in [one.name for one in clinic.house.accounts.listed("default")]


def test_without_local_accounts_nobody_signs_in_with_a_password(
    sqlite: Database, opened: Callable[..., Clinic]
) -> None:
    clinic = opened(sqlite, local="false")
    clinic.house.add("anna", "admin")
    browser = clinic.house.browser()
    page = browser.get("/sign-in").text
    assert 'type="password"' not in page
    assert "/sign-in/clinic" in page
    assert browser.post("/sign-in", csrf="x", name="anna", password="x").status_code == 404
    assert browser.get("/sign-in/other").status_code == 404


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
