"""How long somebody is in, whose forms count, where nobody is led, and what the audit tells: by HTTP, on both databases."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from fastapi import FastAPI, Request
from sqlalchemy import select, update

from cds.record import tables
from cds.record.accounts import TERMINAL
from cds.record.audit import Checkpoints, verify
from cds.record.database import Database
from cds.record.identity import Identity
from cds.record.recorder import Recorder
from cds.service.access.browser import Browser, own_path
from cds.service.access.mounting import mount
from cds.settings import Settings
from tests.access.people import HOST, MORNING, PASSWORD, House, cookies, known
from tests.record.visits import REASONER

# sessions -------------------------------------------------------------------------------------------------------------


def test_the_database_holds_no_token(house: House) -> None:
    browser = house.signed_in("anna")
    with house.database.reading() as connection:
        kept = str([dict(row) for row in connection.execute(select(tables.session)).mappings()])
    assert len(browser.token()) == 43
    assert browser.token() not in kept
    assert browser.csrf() not in kept


def test_each_sign_in_makes_a_new_token(house: House) -> None:
    house.add("anna")
    browser, other = house.browser(), house.browser()
    planted = "f" * 43
    browser.http.cookies.set("exowatch", planted)  # by whoever wants to be in with them
    browser.signs_in("anna")
    first = browser.token(-1)
    assert first not in ("", planted)
    other.http.cookies.set("exowatch", planted)
    assert not other.is_in()
    browser.http.cookies.clear()
    browser.http.cookies.set("exowatch", first)
    assert browser.is_in()
    assert browser.signs_in("anna").status_code == 303
    assert browser.token(-1) != first
    other.http.cookies.clear()
    other.http.cookies.set("exowatch", first)
    assert not other.is_in()


def test_a_session_ends_when_it_is_idle_and_after_twelve_hours(house: House) -> None:
    browser = house.signed_in("anna")
    house.later(minutes=29)
    assert browser.is_in()
    house.later(minutes=29)
    assert browser.is_in()
    house.later(minutes=30)
    assert not browser.is_in()
    browser.signs_in("anna")
    for _ in range(35):
        house.later(minutes=20)
        assert browser.is_in()
    house.later(minutes=19, seconds=59)
    assert browser.is_in()
    house.later(seconds=1)
    assert house.now - MORNING == timedelta(minutes=88, hours=12)
    assert not browser.is_in()
    house.browser().signs_in("anna")
    with house.database.reading() as connection:
        assert len(connection.execute(select(tables.session)).all()) == 1  # what is over is forgotten


def test_the_site_says_how_long(database: Database) -> None:
    house = House(database, session_idle_minutes=5, session_hours=1).open()
    browser = house.signed_in("anna")
    house.later(minutes=5)
    assert not browser.is_in()
    browser.signs_in("anna")
    for _ in range(14):
        house.later(minutes=4)
        assert browser.is_in()
    house.later(minutes=4)
    assert not browser.is_in()


@pytest.mark.parametrize("what", ["disable", "roles", "password", "enable"])
def test_what_is_changed_about_an_account_ends_its_sessions(house: House, what: str) -> None:
    browser, other = house.signed_in("anna"), house.signed_in("berta")
    if what == "roles":
        house.accounts.set_roles("default", "anna", ["reader"], TERMINAL)
    elif what == "password":
        house.accounts.set_password("default", "anna", "another one of mine", TERMINAL)
    elif what == "disable":
        house.accounts.disable("default", "anna", TERMINAL)
    else:
        house.accounts.enable("default", "anna", TERMINAL)
    assert not browser.is_in()
    assert other.is_in()
    assert browser.signs_in("anna").status_code == (403 if what in ("disable", "password") else 303)


def test_a_role_that_no_longer_exists_permits_nothing(house: House) -> None:
    browser = house.signed_in("anna", "chair", "emperor")
    with house.database.writing() as connection:
        connection.execute(update(tables.account), {"roles": "emperor"})
    assert browser.get("/board").status_code == 403
    assert browser.get("/account").status_code == 403


# forms ----------------------------------------------------------------------------------------------------------------


def test_a_form_counts_only_from_a_page_of_the_same_session(house: House) -> None:
    browser, other = house.signed_in("anna"), house.signed_in("berta")
    mine, theirs = browser.csrf(), other.csrf()
    assert mine != theirs
    path = f"/board/patients/{known(house.database, Identity('default', '', 'Patient/a29'))}"
    same = {"Sec-Fetch-Site": "same-origin"}
    for csrf, headers in (
        ("", same), (theirs, same), (mine[:-1], same), (mine + "0", same), (mine, {"Sec-Fetch-Site": "cross-site"}),
        (mine, {"Sec-Fetch-Site": "same-site"}), (mine, {"Sec-Fetch-Site": "none"}),
    ):  # fmt: skip
        answer = browser.post(path, csrf=csrf, headers=headers)
        assert (answer.status_code, house.saw) == (403, []), (csrf, headers)
    for headers, status in (
        ({"Origin": "https://evil.example"}, 403), ({"Origin": "http://localhost:1"}, 403), ({"Origin": "http://localhost"}, 200),
        ({"Origin": "null"}, 200), ({}, 200),
    ):  # fmt: skip
        assert browser.http.post(path, data={"csrf": mine}, headers=headers).status_code == status, headers
    assert browser.http.post(path, data={"csrf": [mine, mine]}, headers=same).status_code == 403
    assert browser.http.post(path, headers=same).status_code == 400
    assert browser.http.post(path, json={"csrf": mine}, headers=same).status_code == 400
    assert browser.http.post(path, files={"csrf": mine.encode()}, headers=same).status_code == 400
    assert browser.post(path, csrf=mine, text="x" * 300_000).status_code == 400
    assert browser.post(path, csrf=mine, **{f"f{number}": "" for number in range(2100)}).status_code == 400
    assert (
        browser.http.post(
            path,
            content=f"csrf={mine}&a=%FF".encode(),
            headers={**same, "Content-Type": "application/x-www-form-urlencoded"},
        ).status_code
        == 400
    )
    for other_path in ("/sign-out", "/account"):
        assert browser.post(other_path, csrf=theirs).status_code == 403
    assert browser.is_in()
    house.saw.clear()
    assert browser.post(path, csrf=mine, a=["1", "2"]).status_code == 200
    (visit,) = house.saw
    assert visit.form == {"csrf": [mine], "a": ["1", "2"]}
    assert (visit.visitor.name, visit.path) == ("anna", {"patient": path.rpartition("/")[2]})


def test_nobody_is_signed_in_by_a_form_of_another_site(house: House) -> None:
    house.add("anna")
    browser = house.browser()
    assert browser.post("/sign-in", name="anna", password=PASSWORD).status_code == 403
    other = house.browser().entry()
    entry = browser.entry()
    for csrf, site in ((other, "same-origin"), ("", "same-origin"), (entry, "cross-site"), (entry, "none")):
        answer = browser.post("/sign-in", csrf=csrf, name="anna", password=PASSWORD, headers={"Sec-Fetch-Site": site})
        assert answer.status_code == 403, (csrf, site)
        assert "too old" in answer.text
    assert not browser.is_in()
    assert browser.http.post("/sign-in", json={}).status_code == 400
    assert browser.post("/sign-in", csrf=entry, name="anna", password=PASSWORD).status_code == 303


AWAY = [
    "//evil.example", "/\\evil.example", "\\\\evil.example", "https://evil.example", "https:evil.example", "https:/evil.example",
    "http:///evil.example", "javascript:alert(1)", "data:text/html,x", "/%0d%0aLocation:%20https://evil.example",
    "/board%0d%0aSet-Cookie:%20a=b", "/board\r\nSet-Cookie: a=b", "/\t/evil.example", "\t//evil.example", "/%09/evil.example",
    "/board/..//evil.example", "/%5cevil.example", "/%2f%2fevil.example", "/%2fevil.example", "evil.example", "@evil.example",
    "/board?a=%0d%0a", "/board?next=\\evil", " /board", "/board evil", "/board#https://evil.example", "", "/", "/sign-out",
    "/no/such/page", "/böard", "/board/patients/" + "x" * 3000, "///evil.example", "/.//evil.example", "?next=/board",
]  # fmt: skip


def test_nobody_is_led_away(near: House) -> None:
    browser = near.signed_in("anna")
    for away in AWAY:
        assert near.gate.back_to(away) == "", away
        assert browser.http.get("/sign-in", params={"next": away}).headers["Location"] == "/board", away
        assert 'name="next" value=""' in near.browser().http.get("/sign-in", params={"next": away}).text
    for away in AWAY[::4]:
        assert near.browser().signs_in("anna", next=away).headers["Location"] == "/board", away
    assert own_path("/board\0") == ""


@pytest.mark.parametrize(
    "path", ["/board", "/board?q=a%20b&state=watch", "/board/patients/1234-abcd?tab=why", "/account"]
)
def test_a_page_of_ours_is_led_to(house: House, path: str) -> None:
    house.add("anna")
    assert house.browser().signs_in("anna", next=path).headers["Location"] == path
    assert own_path(path) == path


# cookies --------------------------------------------------------------------------------------------------------------


def test_cookies_in_development_mode(house: House) -> None:
    house.add("anna")
    browser = house.browser()
    assert cookies(browser.get("/sign-in")) == {"exowatch-entry": {"httponly", "path=/", "samesite=lax"}}
    given = cookies(browser.signs_in("anna"))
    assert given["exowatch"] == {"httponly", "path=/", "samesite=lax"}


def test_cookies_over_https(database: Database) -> None:
    house = House(database, secure=True).open()
    house.add("anna")
    browser = house.browser()
    strict = {"httponly", "path=/", "samesite=lax", "secure"}
    assert cookies(browser.get("/sign-in")) == {"__Host-exowatch-entry": strict}
    given = cookies(browser.signs_in("anna"))
    assert given["__Host-exowatch"] == strict
    assert given["__Host-exowatch-entry"] > strict | {"max-age=0"}
    assert browser.is_in()
    browser.http.cookies.set("exowatch", browser.token(), domain="board.example")
    browser.http.cookies.delete("__Host-exowatch")
    assert not browser.is_in()  # a cookie that any neighbour may set is none of ours
    origin = {"Origin": HOST}
    browser.http.cookies.clear()
    browser.signs_in("anna")
    csrf = browser.csrf()
    assert (
        browser.http.post("/board/patients/1", data={"csrf": csrf}, headers=origin).status_code == 404
    )  # taken, and of nobody
    assert (
        browser.http.post(
            "/board/patients/1", data={"csrf": csrf}, headers={"Origin": f"{HOST}.evil.example"}
        ).status_code
        == 403
    )


def test_pages_live_at_the_root_of_the_host() -> None:
    browser = Browser(Settings(public_base_url=f"{HOST}/exowatch"))
    request = Request({"type": "http", "method": "POST", "headers": [(b"origin", HOST.encode())]})
    assert browser.base(request) == HOST
    assert browser.is_from_us(request)


# the audit ------------------------------------------------------------------------------------------------------------


def test_the_audit_names_who_came_in_and_never_what_was_typed(house: House) -> None:
    house.add("anna")
    browser = house.browser()
    for name, password in (("anna", "a wrong password of anna"), ("mistyped-secret", PASSWORD), ("no name", "")):
        browser.signs_in(name, password)
    browser.signs_in("anna")
    browser.post("/account", csrf=browser.csrf(), old="not the old one", new="x" * 12, again="x" * 12)
    browser.post("/account", csrf=browser.csrf(), old=PASSWORD, new="my own new password", again="my own new password")
    assert browser.is_in()
    house.accounts.set_roles("default", "anna", ["chair"], "berta")
    house.accounts.disable("default", "anna", "berta")
    house.accounts.enable("default", "anna", "berta")
    told = [(actor, action) for actor, action, _ in house.entries() if action != "list"]
    assert told == [
        (TERMINAL, "account-added"), ("unknown", "sign-in-refused"), ("unknown", "sign-in-refused"),
        ("anna", "sign-in"), ("anna", "password-refused"), ("anna", "account-password"), ("berta", "account-roles"),
        ("berta", "account-disabled"), ("berta", "account-enabled"),
    ]  # fmt: skip
    everything = str(house.entries())
    for secret in (
        "wrong password",
        "mistyped",
        "no name",
        PASSWORD,
        "not the old one",
        "my own new",
        "argon2",
        browser.token(),
    ):
        assert secret not in everything, secret
    with house.database.reading() as connection:
        assert verify(connection, {}).holds


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("roles", "admin"),
        ("password", "$argon2id$forged"),
        ("disabled", False),
        ("one_time", True),
        ("name", "mallory"),
    ],
)
def test_an_account_that_is_changed_behind_the_audit_is_found(house: House, column: str, value: object) -> None:
    house.add("anna")
    house.browser().signs_in("anna", "wrong wrong wrong")
    house.accounts.disable("default", "anna", TERMINAL)
    with house.database.writing() as connection:
        connection.execute(update(tables.account), {column: value})
    with house.database.reading() as connection:
        found = verify(connection, {})
    assert not found.holds
    assert "account" in found.broken[0]


def test_checkpoints_are_written_on_the_way(database: Database, tmp_path: Path) -> None:
    points = Checkpoints(tmp_path / "points.jsonl")
    house = House(database)
    gate = mount(FastAPI(), Settings(open_mode=True), Recorder(database, REASONER.rulebook, points), lambda: house.now)
    for _ in range(70):
        gate.sessions.refused("default")
        house.later(minutes=1)
    assert max(points.read()) >= 64
