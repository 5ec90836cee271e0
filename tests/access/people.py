"""A service with nothing but sign-in and a few pages, a clock that a test moves, and browsers in front of it."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI, Response
from httpx2 import Response as Answer
from sqlalchemy import select
from starlette.testclient import TestClient

from cds.record import tables
from cds.record.accounts import TERMINAL, Accounts
from cds.record.database import Database
from cds.record.identity import Identity, survivor
from cds.record.recorder import Recorder
from cds.service.access.gate import Act, Gate, NotThere, Visit
from cds.service.access.mounting import mount
from cds.settings import Settings
from tests.patients.archetypes import patient
from tests.record.visits import REASONER, asked

PASSWORD = "correct horse battery staple"
MORNING = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
HOST = "https://board.example"
ENTRY = "exowatch-entry"


class House:
    """The service: in development mode on loopback, or (`secure`) under an https address."""

    def __init__(
        self, database: Database, *, secure: bool = False, ways: Path | None = None, host: str = HOST, **settings: Any
    ):
        self.database = database
        self.now = MORNING
        self.base = host if secure else "http://localhost"
        self.settings = Settings(
            open_mode=not secure, public_base_url=host if secure else "", sign_in_file=ways, **settings
        )
        self.app = FastAPI(redirect_slashes=False, openapi_url=None)
        self.gate: Gate = mount(self.app, self.settings, Recorder(database, REASONER.rulebook), lambda: self.now)
        self.saw: list[Visit] = []
        for path, method, act in (
            ("/board", "GET", Act.VIEW), ("/board/patients/{patient}", "GET", Act.VIEW),
            ("/board/patients/{patient}", "POST", Act.DECIDE), ("/board/rules", "GET", Act.READ_RULES),
        ):  # fmt: skip
            self.gate.add(path, method, act, self._page)  # type: ignore[arg-type]  # a loop widens the literals
        self.gate.add("/board/odd/{what}", "GET", Act.VIEW, self._odd)
        self.accounts = Accounts(database, clock=lambda: self.now)

    def open(self) -> House:
        """Let the pages be asked for."""
        self.app.include_router(self.gate.router())
        return self

    def _page(self, visit: Visit) -> Response:
        self.saw.append(visit)
        if patient := visit.path.get("patient", ""):
            visit.about(patient)
        return Response(f"<p>{visit.visitor.shown}</p>", media_type="text/html")

    def _odd(self, visit: Visit) -> Response:
        if visit.path["what"] == "gone":
            raise NotThere
        if visit.path["what"] == "other":  # a handler that shows a patient whom the address does not name
            visit.about(self.patient)
            return Response("secret")
        raise RuntimeError("of Mrs Smith")

    patient = ""

    def later(self, **by: float) -> None:
        self.now += timedelta(**by)

    def add(self, name: str, *roles: str, **more: Any) -> None:
        self.accounts.add("default", name, PASSWORD, roles or ("reviewer",), TERMINAL, **more)

    def browser(self) -> Browser:
        return Browser(self)

    def signed_in(self, name: str, *roles: str) -> Browser:
        """A browser in which a new account is signed in."""
        self.add(name, *roles)
        found = self.browser()
        assert found.signs_in(name).status_code == 303
        return found

    def entries(self) -> list[tuple[str, str, str]]:
        """The audit: who, what, and the rows that it names."""
        audit = tables.audit.c
        with self.database.reading() as connection:
            found = connection.execute(select(audit.actor, audit.action, audit.rows).order_by(audit.number))
            return [(row.actor, row.action, row.rows) for row in found]


class Browser:
    """A browser with cookies of its own."""

    def __init__(self, house: House):
        self.house = house
        self.http = TestClient(
            house.app,
            base_url=house.base,
            client=("127.0.0.1", 5),
            follow_redirects=False,
            raise_server_exceptions=False,
        )

    def get(self, path: str, **headers: str) -> Answer:
        return self.http.get(path, headers=headers)

    def post(self, path: str, headers: Any = None, **fields: Any) -> Answer:
        sent = {"Sec-Fetch-Site": "same-origin", **(headers or {})}
        return self.http.post(path, data=fields, headers=sent)

    def entry(self) -> str:
        """What the form of the sign-in page carries; who is signed in already has it open in another tab."""
        answer = self.get("/sign-in")
        if answer.status_code == 303:
            entry = Browser(self.house).entry()
            self.http.cookies.set(ENTRY, entry, domain="localhost.local", path="/")
            return entry
        return csrf_in(answer.text)

    def csrf(self) -> str:
        """What every form of this session carries."""
        return csrf_in(self.get("/account").text)

    def signs_in(self, name: str, password: str = PASSWORD, **fields: Any) -> Answer:
        return self.post("/sign-in", csrf=self.entry(), name=name, password=password, **fields)

    def is_in(self) -> bool:
        """Whether pages open."""
        answer = self.get("/account")
        assert answer.status_code in (200, 303)
        return bool(answer.status_code == 200)

    def token(self, which: int = 0) -> str:
        """The session's; of several that were set the one so many places from the first."""
        found = [one.value or "" for one in self.http.cookies.jar if one.name in ("exowatch", "__Host-exowatch")]
        return found[which] if found else ""

    def follows(self, answer: Answer) -> Answer:
        """Where an answer leads to, at our own address."""
        parts = urlsplit(answer.headers["Location"])
        return self.get(f"{parts.path}?{parts.query}")


def known(database: Database, who: Identity) -> str:
    """The record evaluated that patient once; the id of their row."""
    bundle = patient("A29").bundle(date(2025, 3, 31))
    Recorder(database, REASONER.rulebook).record(asked(bundle, "2025-03-31", identity=who))
    with database.reading() as connection:
        row = survivor(connection, who)
        assert row is not None
        return str(row["id"])


def csrf_in(text: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', text)
    assert found is not None, text
    return found[1]


def cookies(answer: Answer) -> dict[str, set[str]]:
    """The attributes of each cookie that an answer sets."""
    found = {}
    for one in answer.headers.get_list("set-cookie"):
        first, *rest = (part.strip() for part in one.split(";"))
        found[first.partition("=")[0]] = {part.lower() for part in rest}
    return found
