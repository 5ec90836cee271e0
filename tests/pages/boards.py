"""A board to test: patients of the evidence whose visits are recorded, people who may sign in, and browsers without scripts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import httpx2
from starlette.testclient import TestClient

from cds.reasoning.loading import shipped_rules
from cds.record.accounts import Accounts
from cds.record.database import Database
from cds.record.identity import Identity, survivor
from cds.record.ownership import Person
from cds.record.recorder import Recorder
from cds.record.sessions import Sessions, Vouched
from cds.service.app import create_app
from cds.settings import Settings
from cds.workbench.bench import add_author_pages
from tests.access.people import PASSWORD
from tests.patients.archetypes import patient
from tests.record.boards import called
from tests.record.visits import REASONER, asked

TENANT = "default"
NOW = datetime.now().astimezone()
"""The instant at which all pages of a run are visited: while it is tested midnight does not come."""
TODAY, SOON = NOW.date().isoformat(), (NOW.date() + timedelta(days=20)).isoformat()
FLAGGED, WATCHED, UNJUDGED, TWO = "A01", "A02", "A06", "A21"
"""Patients of the evidence: suspected, watch, cannot be judged, and one with two markers."""


class House:
    """The service on a record in which some patients of the evidence were evaluated.

    `now` is when things are recorded. Pages are visited at `NOW`.
    """

    def __init__(self, database: Database, **people: str):
        self.database = database
        self.now = datetime(2025, 12, 1, 12, 0, tzinfo=UTC)
        self.recorder = Recorder(database, REASONER.rulebook, clock=lambda: self.now)
        pages = [partial(add_author_pages, reasoner=REASONER, rules=shipped_rules())]
        self.app = create_app(
            Settings(open_mode=True), REASONER, recorder=self.recorder, clock=lambda: NOW, pages=pages
        )
        accounts = Accounts(database, clock=lambda: NOW)
        for name, role in {
            "chair": "chair",
            "reviewer": "reviewer",
            "second": "reviewer",
            "reader": "reader",
            **people,
        }.items():
            accounts.add(TENANT, name, PASSWORD, [role], "tests")

    def visit(self, name: str, day: str = "", *, family: str = "", given: str = "Anna", number: str = "") -> str:
        """Record a visit of a patient of the evidence on that day (default: the last expected one); the patient's row."""
        one = patient(name)
        day = day or max(str(expected.as_of) for expected in one.expected)
        return self.take(
            one.bundle(date.fromisoformat(day)), day, lambda who: called(who, family or name, given, number)
        )

    def take(
        self, bundle: Mapping[str, Any], day: str, person: Callable[[Identity], Person | None] = lambda _: None
    ) -> str:
        """Record a visit with those data, and of a person if their record was read; the patient's row."""
        self.now = max(self.now, datetime.fromisoformat(f"{day}T20:00:00+00:00"))
        work = asked(bundle, day)
        work.who = Identity(TENANT, work.who.server, work.who.reference)
        work.person = person(work.who)
        self.recorder.record(work)
        with self.database.reading() as connection:
            row = survivor(connection, work.who)
        assert row is not None
        return str(row["id"])

    def browser(self, name: str = "") -> Browser:
        browser = Browser(self.app)
        if name:
            browser.sign_in(name)
        return browser

    def launched(self, patient: str, role: str = "reviewer") -> Browser:
        """The browser of somebody whom an EHR sent about one patient."""
        sessions = Sessions(
            Accounts(self.database, clock=lambda: NOW), idle=timedelta(minutes=30), longest=timedelta(hours=12)
        )
        browser, who = Browser(self.app), Vouched("https://ehr.example/fhir", "u1", "emma", "Emma", [role])
        browser.http.cookies.set("exowatch", sessions.vouched(TENANT, who, patient=patient))
        browser.csrf = csrf_in(browser.get(f"/board/patients/{patient}"))
        return browser


class Browser:
    """A browser without scripts that fills in forms as pages have them."""

    def __init__(self, app: Any):
        self.http = TestClient(app, base_url="http://localhost", client=("127.0.0.1", 5), follow_redirects=False)
        self.csrf = ""

    def sign_in(self, name: str) -> None:
        page = self.http.get("/sign-in").text
        answer = self.http.post(
            "/sign-in", data={"csrf": csrf_in(page), "name": name, "password": PASSWORD, "next": "/account"}
        )
        assert answer.status_code == 303, answer.text
        self.csrf = csrf_in(self.http.get("/account").text)

    def get(self, path: str, status: int = 200) -> str:
        answer = self.http.get(path)
        assert answer.status_code == status, (path, answer.status_code, answer.text[-600:])
        return str(answer.text)

    def post(self, path: str, **form: Any) -> httpx2.Response:
        return self.http.post(path, data={"csrf": self.csrf, **form})

    def done(self, path: str, **form: Any) -> str:
        """Send a form that is to be taken; the page to which it leads."""
        answer = self.post(path, **form)
        assert answer.status_code == 303, (path, answer.status_code, text_of(answer.text)[-800:])
        return self.get(answer.headers["Location"].partition("#")[0])

    def acknowledge(self, at: str) -> str:
        """Acknowledge the first withdrawal that a page shows, as its form says it was seen; the page to which that leads."""
        found = re.search(r'action="([^"]*/acknowledge)".*?name="seen" value="([0-9]+)"', self.get(at), re.S)
        assert found, text_of(self.get(at))
        return self.done(found[1], seen=found[2])


def csrf_in(page: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found, page[:400]
    return found[1]


def text_of(page: str) -> str:
    """What a page says, without its tags."""
    return " ".join(re.sub(r"<[^>]+>", " ", page.partition("<main")[2].partition(">")[2]).split())
