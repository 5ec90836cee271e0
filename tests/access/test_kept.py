"""What somebody writes while their session ends is not lost: it comes back into the same form, and is stored nowhere meanwhile."""

from __future__ import annotations

import html
import json
import re
from typing import Any

import pytest
from httpx2 import Response as Answer

from cds.record import tables
from cds.record.database import Database
from cds.record.identity import Identity
from tests.access.clinic import Clinic
from tests.access.people import PASSWORD, Browser, House, csrf_in, known

NOTE = 'Look again\r\nin "June" <b>& later</b>'
IDENTITY = Identity("default", "https://ehr.example/fhir", "Patient/a29")
FORM: dict[str, Any] = {"note": NOTE, "action": ["imaging", "trial"], "revision": "3", "minutes": ""}


def fields(text: str, action: str) -> dict[str, Any]:
    """What the form of that address would send, as a browser reads it."""
    form = re.search(rf'<form method="post" action="{re.escape(action)}".*?</form>', text, re.S)
    assert form is not None, text
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', form[0], re.S):
        found.setdefault(html.unescape(name), []).append(html.unescape(value))
    return found


def ended(house: House, path: str) -> tuple[Browser, str]:
    """A browser whose session ended while a form of it was open, and what that form carries."""
    browser = house.signed_in("anna", "reviewer")
    csrf = browser.csrf()
    house.later(minutes=31)
    return browser, csrf


def everything(house: House) -> str:
    """All that the database holds, as text."""
    with house.database.reading() as connection:
        return str([connection.execute(table.select()).all() for table in tables.metadata.sorted_tables])


def test_what_was_written_is_sent_after_signing_in(house: House) -> None:
    row = known(house.database, IDENTITY)
    path = f"/board/patients/{row}"
    browser, csrf = ended(house, path)
    answer = browser.post(path, csrf=csrf, **FORM)
    assert (answer.status_code, "You are signed out" in answer.text) == (401, True)
    assert html.escape('Look again\r\nin "June" <b>& later</b>', quote=False).replace('"', "&#34;") in answer.text
    assert "<b>" not in answer.text
    carried = fields(answer.text, "/sign-in")
    assert carried["next"] == [path]
    wrong = browser.post("/sign-in", name="anna", password="wrong wrong wrong", **carried)
    assert wrong.status_code == 403
    carried = fields(wrong.text, "/sign-in")  # a wrong password loses nothing
    assert house.saw == []
    again = browser.post("/sign-in", name="anna", password=PASSWORD, **carried)
    assert again.status_code == 200
    assert "nothing of this was recorded yet" in again.text
    assert "Location" not in again.headers
    assert "June" not in everything(house)
    sent = fields(again.text, path)
    assert sent.pop("csrf") == [csrf_in(browser.get("/account").text)] != [csrf]
    assert sent == {"note": [NOTE], "action": ["imaging", "trial"], "revision": ["3"], "minutes": [""]}
    assert browser.post(path, csrf=browser.csrf(), **sent).status_code == 200
    assert {name: values for name, values in house.saw[-1].form.items() if name != "csrf"} == sent
    assert house.saw[-1].visitor.name == "anna"


def test_only_what_a_page_of_that_session_sent_is_kept(house: House) -> None:
    path = "/board/patients/nobody"
    browser, csrf = ended(house, path)
    nobody = house.browser()
    for answer in (
        browser.post(path, csrf="x" * 64, **FORM),  # filled in by somebody else
        browser.post(path, headers={"Sec-Fetch-Site": "cross-site"}, csrf=csrf, **FORM),
        browser.http.post(path, data={"csrf": csrf, **FORM}),  # of a browser that does not say whence
        nobody.post(path, csrf=csrf, **FORM),  # of another browser
        browser.post("/account", csrf=csrf, old=NOTE, new=NOTE, again=NOTE),  # passwords are nothing to be kept
        browser.post("/board/nothing", csrf=csrf, **FORM),
    ):
        assert (answer.status_code, "June" in answer.text) == (401, False)
        assert 'name="kept"' not in answer.text


@pytest.mark.parametrize("kept", [
    "", "x", "[]", "{}", '{"path": "/account", "fields": {}}', '{"path": "//evil.example", "fields": {}}', '{"path": 1, "fields": {}}',
    '{"path": "/board/patients/1", "fields": []}', '{"path": "/board/patients/1", "fields": {"a": "b"}}',
    '{"path": "/board/patients/1", "fields": {"a": [1]}}', '{"path": "/board", "fields": {"a": ["b"]}}', "[" * 10_000,
])  # fmt: skip
def test_what_is_none_of_ours_is_passed_over(near: House, kept: str) -> None:
    near.add("anna")
    browser = near.browser()
    assert browser.signs_in("anna", kept=kept).status_code == 303
    assert browser.post("/sign-in", kept=kept, do="go-on").status_code == 403


def test_to_go_on_one_has_to_be_signed_in(near: House) -> None:
    kept = json.dumps({"path": "/board/patients/1", "fields": {"note": ["mine"]}})
    near.add("anna")
    browser = near.browser()
    answer = browser.post("/sign-in", kept=kept, do="go-on")
    assert (answer.status_code, "You are signed out" in answer.text, "mine" in answer.text) == (401, True, True)
    browser.signs_in("anna")
    assert "nothing of this was recorded yet" in browser.post("/sign-in", kept=kept, do="go-on").text
    other = browser.post("/sign-in", {"Sec-Fetch-Site": "cross-site"}, kept=kept, do="go-on")
    assert other.status_code == 401  # no page elsewhere shows somebody what they never wrote


def test_who_signs_in_elsewhere_goes_on_too(sqlite: Database, opened: Any) -> None:
    clinic: Clinic = opened(sqlite, local="false")
    house, browser = clinic.house, clinic.house.browser()
    path = "/board/patients/1"
    clinic.voucher.claims["groups"] = ["board"]
    clinic.comes(browser)
    csrf = browser.csrf()
    house.later(minutes=31)
    answer: Answer = browser.post(path, csrf=csrf, **FORM)
    assert 'href="/sign-in/clinic?next=%2Fboard' in answer.text
    assert 'target="_blank"' in answer.text
    carried = fields(answer.text, "/sign-in")
    clinic.comes(browser)  # in another window
    again = browser.post("/sign-in", do="go-on", **carried)
    assert fields(again.text, path)["note"] == [NOTE]
