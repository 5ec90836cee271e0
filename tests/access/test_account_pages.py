"""The pages on which accounts are kept, one's own password is changed, and the audit is read."""

from __future__ import annotations

import re

from sqlalchemy import update

from cds.record import tables
from cds.record.accounts import TERMINAL
from cds.record.recorder import Recorder
from tests.access.people import PASSWORD, Browser, House
from tests.record.visits import REASONER, visit


def made(text: str) -> str:
    found = re.search(r"<code>([^<]+)</code>", text)
    assert found is not None, text
    return found[1]


def does(browser: Browser, what: str, name: str, **more: object) -> tuple[int, str]:
    answer = browser.post("/accounts", csrf=browser.csrf(), do=what, name=name, **more)
    if answer.status_code == 303:
        answer = browser.follows(answer)
    return answer.status_code, answer.text


def test_an_admin_keeps_accounts(house: House) -> None:
    admin = house.signed_in("root", "admin")
    status, text = does(admin, "add", " Anna ", shown="Dr <Anna>", role=["reviewer", "nonsense"])
    assert status == 200
    password = made(text)
    assert re.fullmatch(r"([a-z2-9]{5}-){3}[a-z2-9]{5}", password)
    listed = admin.get("/accounts").text
    assert "Dr &lt;Anna&gt;" in listed
    assert "password to be changed" in listed
    assert password not in listed  # it was shown once
    anna = house.browser()
    assert anna.signs_in("anna", password).status_code == 303
    same = anna.post("/account", csrf=anna.csrf(), old=password, new=password, again=password)
    assert (same.status_code, "That is the present password" in same.text) == (409, True)
    assert anna.get("/board").status_code == 303  # a password that somebody else made opens nothing but its change
    assert anna.get("/board").headers["Location"] == "/account"
    renewed = anna.post("/account", csrf=anna.csrf(), old=password, new=PASSWORD, again=PASSWORD)
    assert "Everywhere else you are signed out" in anna.follows(renewed).text
    assert anna.get("/board").status_code == 200
    status, text = does(admin, "roles", "anna", role=["reader", "auditor"])
    assert (status, "<bdi>anna</bdi> has other roles now" in text) == (200, True)
    assert not anna.is_in()
    anna.signs_in("anna")
    assert anna.get("/audit").status_code == 200
    assert does(admin, "disable", "anna")[0] == 200
    assert not anna.is_in()
    assert anna.signs_in("anna").status_code == 403
    assert does(admin, "enable", "anna")[0] == 200
    assert anna.signs_in("anna").status_code == 303
    status, text = does(admin, "password", "anna")
    assert not anna.is_in()
    assert anna.signs_in("anna").status_code == 403
    assert anna.signs_in("anna", made(text)).status_code == 303
    told = [(actor, action) for actor, action, _ in house.entries() if action.startswith("account-")]
    assert told == [
        (TERMINAL, "account-added"), ("root", "account-added"), ("anna", "account-password"), ("root", "account-roles"),
        ("root", "account-disabled"), ("root", "account-enabled"), ("root", "account-password"),
    ]  # fmt: skip


def test_what_cannot_be_done_is_said(house: House) -> None:
    admin = house.signed_in("root", "admin")
    house.add("anna")
    for what, name, more, words in (
        ("add", "anna", {"role": "reader"}, "There is an account &#39;anna&#39; already"),
        ("add", "b c", {"role": "reader"}, "is no login name"),
        ("add", "b" * 80, {"role": "reader"}, "at most 64"),
        ("add", "b", {"role": "reader", "shown": "B" * 129}, "at most 128"),
        ("add", "berta", {}, "at least one role"),
        ("add", "berta", {"role": "emperor"}, "at least one role"),
        ("roles", "anna", {}, "at least one role"),
        ("roles", "nobody", {"role": "reader"}, "There is no account"),
        ("roles", "root", {"role": "reader"}, "This is your own account"),
        ("disable", "ROOT ", {}, "This is your own account"),
        ("", "anna", {}, "does not say what is to be done"),
        ("erase", "anna", {}, "does not say what is to be done"),
    ):
        status, text = does(admin, what, name, **more)
        assert (status, words in text) == (409, True), (what, name, text)
    kept = does(admin, "add", "b c", shown="<Berta>", role=["chair"])[1]
    assert 'value="b c"' in kept
    assert 'value="&lt;Berta&gt;"' in kept
    assert kept.count("checked") == 1 + kept.count('value="reviewer" checked')
    assert [one.name for one in house.accounts.listed("default")] == ["anna", "root"]
    status, text = does(admin, "add", "<script>", role="reader")
    assert "<script>" not in text


def test_no_link_makes_a_page_say_that_something_was_done(house: House) -> None:
    admin = house.signed_in("root", "admin")
    house.add("anna")
    assert "is let in no more" not in admin.get("/accounts?done=disable&name=anna").text
    assert "The password was changed" not in admin.get("/account?done=yes").text
    sent = admin.post("/accounts", csrf=admin.csrf(), do="disable", name="anna")
    assert sent.headers["Location"] == "/accounts"
    assert "anna</bdi> is let in no more" in admin.get("/accounts").text
    assert "is let in no more" not in admin.get("/accounts").text  # it is said once


def test_a_locked_account_is_shown_and_let_in_again(house: House) -> None:
    admin = house.signed_in("root", "admin")
    house.add("anna")
    for _ in range(5):
        house.browser().signs_in("anna", "wrong wrong wrong")
    assert "locked until" in admin.get("/accounts").text
    does(admin, "enable", "anna")
    assert "locked until" not in admin.get("/accounts").text
    assert house.browser().signs_in("anna").status_code == 303


def test_one_s_own_password(house: House) -> None:
    browser, elsewhere = house.signed_in("anna-of-the-board"), house.browser()
    elsewhere.signs_in("anna-of-the-board")
    new = "something quite new"
    for old, first, again, words in (
        ("wrong wrong wrong", new, new, "The present password is not that"),
        (PASSWORD, new, new + "x", "written in two ways"),
        (PASSWORD, "short", "short", "at least 12"),
        (PASSWORD, "x" * 129, "x" * 129, "at most 128"),
        (PASSWORD, "Anna-of-the-Board", "Anna-of-the-Board", "choose another"),
        (PASSWORD, PASSWORD, PASSWORD, "That is the present password"),
    ):
        answer = browser.post("/account", csrf=browser.csrf(), old=old, new=first, again=again)
        assert (answer.status_code, words in answer.text) == (409, True), words
        assert new not in answer.text
        assert "<title>Error: " in answer.text
    token = browser.token()
    answer = browser.post("/account", csrf=browser.csrf(), old=PASSWORD, new=new, again=new)
    assert browser.follows(answer).status_code == 200
    assert browser.token() != token
    assert not elsewhere.is_in()
    assert elsewhere.signs_in("anna-of-the-board").status_code == 403
    assert elsewhere.signs_in("anna-of-the-board", new).status_code == 303


def test_nobody_tries_passwords_in_an_open_session(house: House) -> None:
    browser = house.signed_in("anna")
    csrf = browser.csrf()
    for _ in range(5):
        browser.post("/account", csrf=csrf, old="wrong wrong wrong", new="x" * 12, again="x" * 12)
    assert browser.post("/account", csrf=csrf, old=PASSWORD, new="x" * 12, again="x" * 12).status_code == 409
    house.later(minutes=16)
    assert browser.post("/account", csrf=csrf, old=PASSWORD, new="x" * 12, again="x" * 12).status_code == 303


# the audit ------------------------------------------------------------------------------------------------------------


def test_an_auditor_reads_what_was_done(house: House) -> None:
    visit(Recorder(house.database, REASONER.rulebook), "A29", "2025-03-31")  # of another tenant: not theirs to see
    house.add("anna")
    house.browser().signs_in("anna", "wrong wrong wrong")
    auditor = house.signed_in("audrey", "auditor")
    text = auditor.get("/audit").text
    rows = re.findall(r"<tr>(.*?)</tr>", text, re.S)[1:]
    told = [re.sub(r"<[^>]+>|\s+", " ", row).split() for row in rows]
    assert [one[0] for one in told] == ["5", "4", "3", "2"]
    assert told[0][-5:] == ["audrey", "signed", "in", "account", "audrey"]
    assert told[2][-7:] == ["unknown", "was", "not", "let", "in", "account", "anna"]
    assert "each follows the one before it" in text
    verified = auditor.get("/audit?verify=yes").text
    assert "The record holds. Entries verified: 6;" in verified  # to have read it is one more
    assert house.entries()[-1][:2] == ("audrey", "list")


def test_it_turns_pages(house: House) -> None:
    for _ in range(130):
        house.gate.sessions.refused("default")
        house.later(minutes=1)
    auditor = house.signed_in("audrey", "auditor")
    text = auditor.get("/audit").text
    assert text.count("<tr>") == 101
    found = re.search(r'href="(/audit\?before=\d+)"', text)
    assert found is not None
    earlier = auditor.get(found[1]).text
    assert earlier.count("<tr>") == 1 + 132 - 100
    assert "before=" not in earlier
    for odd in ("x", "-1", "9" * 40, "²", "0", ""):
        assert auditor.get(f"/audit?before={odd}").status_code == 200


def test_a_chain_that_was_changed_is_shown_to_be(house: House) -> None:
    auditor = house.signed_in("audrey", "auditor")
    with house.database.writing() as connection:
        connection.execute(update(tables.audit).where(tables.audit.c.number == 1), {"actor": "mallory"})
    text = auditor.get("/audit").text
    assert "The chain is broken among these entries" in text
    verified = auditor.get("/audit?verify=yes").text
    assert "The record was changed" in verified
    assert "entry 1 was edited" in verified


def test_checkpoints_that_cannot_be_read_are_named(house: House, tmp_path: object) -> None:
    from pathlib import Path

    from fastapi import FastAPI

    from cds.record.audit import Checkpoints
    from cds.service.access.mounting import mount

    points = Path(str(tmp_path)) / "points.jsonl"
    points.write_text("rubbish\n", encoding="utf-8")
    app = FastAPI()
    gate = mount(
        app, house.settings, Recorder(house.database, REASONER.rulebook, Checkpoints(points)), lambda: house.now
    )
    app.include_router(gate.router())
    house.app = app
    auditor = house.signed_in("audrey", "auditor")
    assert "is no checkpoint" in auditor.get("/audit").text
