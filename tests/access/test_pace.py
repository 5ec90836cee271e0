"""Nobody without an account keeps programs from being answered, fills the audit, or tries passwords by the thousand."""

from __future__ import annotations

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import msgspec
import pytest
from starlette.testclient import TestClient

from cds.record.accounts import Accounts
from cds.record.audit import verify
from cds.record.database import Database
from cds.record.passwords import TooManyAtOnce, matches
from cds.selfcheck import shipped_example
from cds.service.server import running
from cds.workbench.synth.requests import hook_request
from tests.access.people import PASSWORD, House
from tests.record.visits import REASONER

WRONG = "wrong wrong wrong"


def times(house: House) -> list[str]:
    """For each entry about somebody of whom nothing is known: how often it happened."""
    return [
        dict((what, text) for what, text, _ in json.loads(rows)).get("times", "1")
        for actor, action, rows in house.entries()
        if (actor, action) == ("unknown", "sign-in-refused")
    ]


def test_those_of_whom_nothing_is_known_are_counted_by_the_minute(house: House) -> None:
    for _ in range(7):
        house.browser().signs_in("nobody", WRONG)
    assert times(house) == ["1"]
    house.later(seconds=59)
    house.browser().signs_in("nobody either", WRONG)
    assert times(house) == ["1"]
    house.later(seconds=1)
    house.browser().signs_in("nobody", WRONG)
    assert times(house) == ["1", "8"]
    house.later(hours=1)
    house.browser().signs_in("nobody", WRONG)
    assert times(house) == ["1", "8", "1"]
    house.add("anna")
    for _ in range(2):  # an account that exists has its entry each time
        house.browser().signs_in("anna", WRONG)
    assert times(house) == ["1", "8", "1", "1", "1"]
    with house.database.reading() as connection:
        assert verify(connection, {}).holds
    assert "8 times in a minute" in house.signed_in("audrey", "auditor").get("/audit").text


def test_whoever_guesses_has_to_wait_and_nobody_else(near: House) -> None:
    near.add("anna")
    browser, elsewhere = near.browser(), near.browser()
    elsewhere.http = TestClient(near.app, base_url=near.base, client=("127.0.0.2", 5), follow_redirects=False)
    for _ in range(10):
        assert browser.signs_in("anna").status_code == 303  # who is let in does not count
    answers = [browser.signs_in(f"guess{number}", WRONG) for number in range(31)]
    assert [one.status_code for one in answers] == [403] * 30 + [429]
    assert "Too many names and passwords were tried" in answers[-1].text
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert browser.signs_in("anna").status_code == 429
    assert elsewhere.signs_in("anna").status_code == 303
    near.later(seconds=6)
    assert browser.signs_in("anna").status_code == 303
    near.later(minutes=2)
    assert {browser.signs_in(f"guess{number}", WRONG).status_code for number in range(20)} == {403}


def test_a_name_is_not_cut_and_is_kept_after_a_wrong_password(near: House) -> None:
    near.add("a" * 64)
    browser = near.browser()
    assert browser.signs_in("a" * 65).status_code == 403  # which is another name
    refused = browser.signs_in(" Anna<b>", WRONG)
    assert 'value=" Anna&lt;b&gt;"' in refused.text
    assert WRONG not in refused.text
    assert browser.signs_in("a" * 64).status_code == 303


def test_more_passwords_than_there_are_turns_for(near: House) -> None:
    near.add("anna")
    entry = near.browser().entry()
    over = threading.Event()

    def guess(_: int) -> str:
        while not over.is_set():
            try:
                matches("", WRONG)
            except TooManyAtOnce:
                return "refused"
        return ""

    with ThreadPoolExecutor(120) as threads:
        guesses = threads.map(guess, range(120))
        time.sleep(0.5)
        browser = near.browser()
        browser.http.cookies.set("exowatch-entry", entry)
        started = time.monotonic()
        answer = browser.post("/sign-in", csrf=entry, name="anna", password=PASSWORD)
        took = time.monotonic() - started
        over.set()
        assert "refused" in set(guesses)
    assert answer.status_code in (303, 503)
    assert took < 5
    if answer.status_code == 503:
        assert "Too many at once" in answer.text
        assert "Retry-After" in answer.headers


@pytest.fixture
def served(tmp_path: Path) -> str:
    address = f"sqlite:///{tmp_path}/record.sqlite"
    database = Database(address, deadline=10)
    database.upgrade()
    Accounts(database).add("default", "anna", PASSWORD, ["reader"], "tests")
    database.close()
    return address


def test_forms_that_never_end_hold_no_place_of_a_program(served: str) -> None:
    with running(REASONER, port=0, database=served) as base:
        services = httpx2.get(f"{base}/cds-services").json()["services"]
        service = next(one for one in services if one["hook"] == "patient-view")
        body, url = (
            hook_request(msgspec.json.decode(shipped_example()), service),
            f"{base}/cds-services/{service['id']}",
        )
        host, port = base.removeprefix("http://").split(":")
        begun = (
            f"POST /sign-in HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            "Content-Length: 200\r\n\r\ncsrf="
        )
        slow = [socket.create_connection((host, int(port))) for _ in range(40)]
        for one in slow:
            one.sendall(begun.encode())
        time.sleep(0.5)
        assert httpx2.post(url, json=body).status_code == 200
        refused = httpx2.post(f"{base}/sign-in", data={"name": "anna"})
        assert (refused.status_code, "Too many at once" in refused.text) == (503, True)
        assert refused.headers["Retry-After"]
        assert httpx2.get(f"{base}/sign-in").status_code == 200  # pages that are only read have places of their own
        slow[0].settimeout(20)
        assert slow[0].recv(12) == b"HTTP/1.1 400"  # it is not waited for without an end
        for one in slow:
            one.close()
        assert httpx2.post(url, json=body).status_code == 200
        assert httpx2.post(f"{base}/sign-in", data={"name": "anna"}).status_code == 403
