"""Names and passwords let people in, and nothing else does: by HTTP, on both databases."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from argon2 import profiles
from sqlalchemy import select, update

from cds.record import tables
from cds.record.accounts import TERMINAL, AccountRefused, NoSuchAccount
from cds.record.passwords import TooManyAtOnce, WeakPassword, cost, generated
from cds.record.sessions import FAILURES, SignInRefused
from tests.access.people import PASSWORD, House, cookies


def test_in_to_what_was_wanted_and_out_again(house: House) -> None:
    house.add("Anna", "reviewer", shown="  Dr Anna  Berg ")
    browser = house.browser()
    sent = browser.get("/board?q=a%20b")
    assert (sent.status_code, sent.headers["Location"]) == (303, "/sign-in?next=%2Fboard%3Fq%3Da%2520b")
    form = browser.follows(sent)
    wanted = re.search(r'name="next" value="([^"]*)"', form.text)
    assert wanted is not None
    assert wanted[1] == "/board?q=a%20b"
    answer = browser.signs_in(" ANNA ", next=wanted[1])
    assert (answer.status_code, answer.headers["Location"]) == (303, "/board?q=a%20b")
    assert browser.get("/board").text == "<p>Dr Anna Berg</p>"
    assert browser.get("/sign-in").headers["Location"] == "/board"
    assert browser.get("/").headers["Location"] == "/board"
    token = browser.token()
    out = browser.post("/sign-out", csrf=browser.csrf())
    assert (out.status_code, out.headers["Location"]) == (303, "/sign-in")
    assert browser.token() == ""
    browser.http.cookies.set("exowatch", token)
    assert not browser.is_in()
    assert browser.get("/").headers["Location"] == "/sign-in"
    assert browser.post("/sign-out", csrf="x").headers["Location"] == "/sign-in"
    assert [(actor, action) for actor, action, _ in house.entries()] == [
        (TERMINAL, "account-added"), ("anna", "sign-in"), ("anna", "list"), ("anna", "list"), ("anna", "sign-out"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("roles", "home"),
    [(("reader",), "/board"), (("admin",), "/accounts"), (("auditor",), "/audit"), (("author",), "/board/rules"), (("admin", "chair"), "/board")],
)  # fmt: skip
def test_everybody_begins_at_a_page_that_is_open_to_them(house: House, roles: tuple[str, ...], home: str) -> None:
    house.add("anna", *roles)
    assert house.browser().signs_in("anna").headers["Location"] == home


def test_whoever_is_refused_learns_nothing(house: House) -> None:
    house.add("anna")
    house.add("gone")
    house.accounts.disable("default", "gone", TERMINAL)
    house.add("locked")
    for _ in range(5):
        house.browser().signs_in("locked", "wrong wrong wrong")
    answers = set()
    for name, password in (
        ("anna", "wrong wrong wrong"), ("nobody", PASSWORD), ("gone", PASSWORD), ("locked", PASSWORD), ("", ""),
        ("anna", ""), ("x" * 500, "y" * 5000), ("ANNA' OR 1=1 --", PASSWORD),
    ):  # fmt: skip
        browser = house.browser()
        answer = browser.signs_in(name, password)
        text = re.sub(r' value="[^"]*"| autofocus', "", answer.text)  # what was typed, and where to go on typing
        answers.add((answer.status_code, text, frozenset(cookies(answer))))
        assert not browser.is_in()
    assert len(answers) == 1, answers
    assert house.browser().signs_in("an\0na").status_code == 400
    assert house.browser().signs_in("anna").status_code == 303


@pytest.fixture
def full_cost() -> Iterator[None]:
    cost(profiles.RFC_9106_LOW_MEMORY)
    yield
    cost(profiles.CHEAPEST)


@pytest.mark.usefixtures("full_cost")
def test_a_name_that_nobody_has_takes_as_much_work_as_a_wrong_password(near: House) -> None:
    near.add("anna")
    browser = near.browser()
    entry = browser.entry()

    def work(name: str, status: int = 403) -> float:
        started = time.process_time()  # of all threads: what others do on this machine does not count
        for _ in range(3):
            assert browser.post("/sign-in", csrf=entry, name=name, password="wrong wrong wrong").status_code == status
        return time.process_time() - started

    work("anna")  # the first one also makes what unknown names are compared with
    known, unknown, refused = work("anna"), work("nobody"), work("an\0na", status=400)
    assert 0.5 < unknown / known < 2, (known, unknown)
    assert unknown > 2 * refused, (unknown, refused)  # a name that is none is refused before any password is looked at


def test_five_wrong_passwords_lock_for_a_while_that_grows(house: House) -> None:
    house.add("anna")
    browser = house.browser()

    def wrong(times: int) -> None:
        for _ in range(times):
            assert "do not open an account" in browser.signs_in("anna", "wrong wrong wrong").text

    wrong(4)
    assert browser.signs_in("anna").status_code == 303  # which counts from the beginning
    for minutes in (15, 30, 60):
        wrong(5)
        house.later(minutes=minutes, seconds=-1)
        assert browser.signs_in("anna").status_code == 403
        wrong(1)  # while it is locked nothing counts, so nobody can keep it locked by asking
        house.later(seconds=2)
    assert browser.signs_in("anna").status_code == 303
    wrong(5)
    house.later(minutes=15, seconds=1)
    assert browser.signs_in("anna").status_code == 303
    wrong(5)
    house.accounts.enable("default", "anna", TERMINAL)
    assert browser.signs_in("anna").status_code == 303


def test_guesses_at_the_same_time_count_like_those_one_by_one(house: House) -> None:
    house.add("anna")

    def guess(number: int) -> str:
        while True:
            try:
                return house.gate.sessions.sign_in(
                    "default", "anna", PASSWORD if number == 15 else f"wrong {number} wrong"
                )
            except SignInRefused:
                return ""
            except TooManyAtOnce:  # who is asked to wait asks again
                time.sleep(0.05)

    with ThreadPoolExecutor(8) as threads:
        [*threads.map(guess, range(15))]
    with house.database.reading() as connection:
        assert connection.execute(select(tables.account.c.failures)).scalar_one() == FAILURES
    assert guess(15) == ""


def test_passwords_are_kept_as_hashes_that_keep_up(near: House) -> None:
    near.add("anna")
    account = tables.account

    def kept() -> str:
        with near.database.reading() as connection:
            return str(connection.execute(select(account.c.password)).scalar_one())

    from argon2 import PasswordHasher

    assert kept().startswith("$argon2id$")
    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    with near.database.writing() as connection:
        connection.execute(update(account), {"password": weak})
    assert near.browser().signs_in("anna", "wrong wrong wrong").status_code == 403
    assert kept() == weak
    assert near.browser().signs_in("anna").status_code == 303
    assert kept() != weak
    assert near.browser().signs_in("anna").status_code == 303


@pytest.mark.parametrize("password", ["short", "x" * 11, "x" * 129, "ANNA-of-the-board"])
def test_a_password_that_cannot_be_used(house: House, password: str) -> None:
    with pytest.raises(WeakPassword):
        house.accounts.add("default", "anna-of-the-board", password, ["reader"], TERMINAL)
    assert house.accounts.listed("default") == []


def test_any_other_password_will_do(near: House) -> None:
    for number, password in enumerate(("x" * 12, "x" * 128, "aaaaaaaaaaaa", " spaces and ünïcode 🔬 ", generated())):
        near.accounts.add("default", f"a{number}", password, ["reader"], TERMINAL)
        assert near.browser().signs_in(f"a{number}", password).status_code == 303
    near.accounts.add("default", "composed", "Zu\u0308rich am See", ["reader"], TERMINAL)
    assert near.browser().signs_in("composed", "Z\u00fcrich am See").status_code == 303


@pytest.mark.parametrize("name", ["", "-anna", "an na", "änna", "x" * 65, "unknown", "command line", "<b>", "exowatch"])
def test_a_name_that_cannot_be_used(house: House, name: str) -> None:
    with pytest.raises(AccountRefused):
        house.accounts.add("default", name, PASSWORD, ["reader"], TERMINAL)


def test_an_account_is_one_tenants(house: House) -> None:
    house.accounts.add("elsewhere", "anna", PASSWORD, ["admin"], TERMINAL)
    assert house.browser().signs_in("anna").status_code == 403
    house.add("anna", "reader")
    assert house.browser().signs_in("anna").headers["Location"] == "/board"
    with pytest.raises(AccountRefused, match="already"):
        house.add("Anna")
    with pytest.raises(NoSuchAccount):
        house.accounts.disable("default", "berta", TERMINAL)
    with pytest.raises(AccountRefused, match="at least one role"):
        house.accounts.set_roles("default", "anna", [], TERMINAL)
