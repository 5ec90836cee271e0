"""Nothing opens that is not permitted: every route × every role, paths that no route names, sessions of one patient, and the headers."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import pytest
from fastapi import FastAPI
from starlette.routing import BaseRoute
from starlette.testclient import TestClient

from cds.reasoning.loading import shipped_rules
from cds.record.accounts import TERMINAL, Accounts
from cds.record.audit import verify
from cds.record.database import Database
from cds.record.identity import Identity
from cds.record.recorder import Recorder
from cds.record.sessions import Vouched
from cds.service.access.gate import Act, Gate, Role, Visit
from cds.service.access.roles import PERMITTED, ROLES
from cds.service.app import create_app
from cds.service.pages.rendering import HEADERS
from cds.settings import Settings
from cds.workbench.bench import add_author_pages
from tests.access.people import PASSWORD, House, csrf_in, known
from tests.record.visits import REASONER

EXPECTED = {
    "view": {"reader", "reviewer", "chair"},
    "decide": {"reviewer", "chair"},
    "hold-meetings": {"chair"},
    "read-rules": {"reader", "reviewer", "chair", "author"},
    "try-rules": {"author"},
    "read-audit": {"auditor"},
    "keep-accounts": {"admin"},
    "keep-own-account": {"reader", "reviewer", "chair", "author", "auditor", "admin"},
}
"""Written once more, by hand: whoever changes who may do what changes it here too."""
OPEN = {
    "/", "/sign-in", "/sign-out", "/style.css", "/favicon.ico", "/script.js", "/cds-services", "/cds-services/", "/cds-services/{service}",
    "/cds-services/{service}/", "/cds-services/{service}/feedback", "/cds-services/{service}/feedback/", "/fhir/metadata",
    "/fhir/{kind}", "/fhir/{kind}/{key}", "/metrics", "/advisories/{advisory}/dispositions", "/results", "/results/",
    "/rules", "/rules/", "/rules/{name}", "/health", "/ready",
}  # fmt: skip
"""What is not behind the gate: signing in, and what other programs call."""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    found = Database(f"sqlite:///{tmp_path_factory.mktemp('gate')}/record.sqlite", deadline=10)
    with closing(found):
        found.upgrade()
        yield found


@pytest.fixture(scope="module")
def service(database: Database) -> FastAPI:
    """The service as it is run, with every page that it has."""
    pages = [partial(add_author_pages, reasoner=REASONER, rules=shipped_rules())]
    return create_app(Settings(open_mode=True), REASONER, recorder=Recorder(database, REASONER.rulebook), pages=pages)


def client(service: FastAPI) -> TestClient:
    return TestClient(
        service,
        base_url="http://localhost",
        client=("127.0.0.1", 5),
        follow_redirects=False,
        raise_server_exceptions=False,
    )


@pytest.fixture(scope="module")
def browsers(service: FastAPI, database: Database) -> dict[str, tuple[TestClient, str]]:
    """A browser for each role, in which somebody is signed in, and what its forms carry."""
    accounts = Accounts(database)
    found = {}
    for role in ROLES:
        accounts.add("default", role, PASSWORD, [role], TERMINAL)
        browser = client(service)
        entry = csrf_in(browser.get("/sign-in").text)
        browser.post("/sign-in", data={"csrf": entry, "name": role, "password": PASSWORD})
        found[role] = browser, csrf_in(browser.get("/account").text)
    return found


def routes(service: FastAPI) -> list[tuple[str, str, Act]]:
    gate: Gate = service.state.gate
    return [(one.path, one.method, one.act) for one in gate.routes]


def somewhere(path: str) -> str:
    return re.sub(r"\{[^}]+\}", "00000000-0000-0000-0000-000000000000", path)


def test_the_table_of_acts_is_the_one_that_was_agreed() -> None:
    assert {act.value: {role.value for role in roles} for act, roles in PERMITTED.items()} == EXPECTED
    assert set(PERMITTED) == set(Act)
    assert set(ROLES) == {role.value for role in Role} == set().union(*EXPECTED.values())


def test_every_route_opens_to_the_roles_that_may_and_to_no_other(
    service: FastAPI, browsers: dict[str, tuple[TestClient, str]]
) -> None:
    asked_ = 0
    for (path, method, act), role in itertools.product(routes(service), ROLES):
        browser, csrf = browsers[role]
        answer = browser.request(method, somewhere(path), data={"csrf": csrf} if method == "POST" else None)
        refused = answer.status_code == 403 and "This page is not open to you" in answer.text
        assert refused == (role not in EXPECTED[act.value]), (method, path, role, answer.status_code)
        assert not answer.headers.get("Location", "").startswith("/sign-in"), (method, path, role)
        assert answer.status_code != 401
        asked_ += 1
    assert asked_ >= 5 * len(ROLES)


def test_without_a_session_no_route_opens(service: FastAPI, database: Database) -> None:
    for path, method, _ in routes(service):
        for cookie in ("", "x", "f" * 43, "0" * 5000):
            browser = client(service)
            headers = {"Cookie": f"exowatch={cookie}"} if cookie else {}
            answer = browser.request(
                method, somewhere(path), headers=headers, data={"csrf": "x"} if method == "POST" else None
            )
            if method == "GET":
                assert answer.status_code == 303, path
                assert answer.headers["Location"].startswith("/sign-in?next=%2F")
            else:
                assert answer.status_code == 401, path
                assert "You are signed out" in answer.text


def test_what_no_route_names_is_not_there(service: FastAPI, browsers: dict[str, tuple[TestClient, str]]) -> None:
    firsts = {f"/{path.split('/')[1]}" for path, _, _ in routes(service)}
    assert firsts >= {"/accounts", "/account", "/audit"}
    for first, rest in itertools.product(
        firsts, ("/nothing/of/that/kind/at/all", "/", "/..%2faccounts", "/%00", "/.env")
    ):
        nobody = client(service).get(f"{first}{rest}")
        assert nobody.status_code == 303, (first, rest)
        for role in ROLES:
            answer = browsers[role][0].get(f"{first}{rest}")
            assert answer.status_code in (403, 404), (first, rest, role)
            assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        answer = browsers["admin"][0].request(method, "/accounts")
        assert (answer.status_code, "There is no such page" in answer.text) == (404, True)
        assert client(service).request(method, "/accounts").status_code == 401


def test_nothing_else_is_open(service: FastAPI) -> None:
    def paths(found: list[BaseRoute]) -> Iterator[str]:
        for route in found:
            inner = getattr(route, "original_router", None)
            yield from paths(inner.routes) if inner is not None else [str(route.path)]  # type: ignore[attr-defined]  # every route of ours has a path

    behind = {path for path, _, _ in routes(service)}
    nothing = {f"/{path.split('/')[1]}{rest}" for path in behind for rest in ("", "/{rest:path}")}
    every = set(paths(service.router.routes))
    assert every >= behind | nothing | {"/sign-in"}
    assert every - behind - nothing <= OPEN, every - behind - nothing - OPEN


def test_the_icon_that_browsers_ask_for_unasked_is_no_error(service: FastAPI) -> None:
    answer = client(service).get("/favicon.ico")
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["Cache-Control"] == "max-age=86400"
    assert {name: answer.headers[name] for name in HEADERS if name != "Cache-Control"} == {
        name: value for name, value in HEADERS.items() if name != "Cache-Control"
    }


def test_the_calls_of_other_programs_are_answered_as_before(service: FastAPI) -> None:
    browser = client(service)
    assert "services" in browser.get("/cds-services").json()
    for path in ("/nothing", "/cds-services/nothing/x", "/fhir/Nothing"):
        assert browser.get(path).json()["resourceType"] == "OperationOutcome"


@pytest.mark.parametrize(("path", "method", "act"), [
    ("/page", "GET", None), ("/page", "GET", "view"), ("/page", "GET", ""), ("page", "GET", Act.VIEW), ("/accounts", "GET", Act.VIEW),
])  # fmt: skip
def test_a_route_without_an_act_cannot_be_added(database: Database, path: str, method: str, act: Any) -> None:
    gate = House(database).gate
    before = gate.routes
    with pytest.raises(ValueError, match=r"names no act|is no path, or stands here twice"):
        gate.add(path, cast(Literal["GET"], method), act, lambda visit: cast(Any, visit))
    assert gate.routes == before


# what handlers do -----------------------------------------------------------------------------------------------------


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    database = Database(f"sqlite:///{tmp_path}/record.sqlite", deadline=10)
    with closing(database):
        database.upgrade()
        yield House(database)


def row_of(house: House, name: str = "a29") -> str:
    """A patient of the record."""
    return known(house.database, Identity("default", "https://ehr.example/fhir", f"Patient/{name}"))


def test_every_view_is_audited_with_a_digest_of_the_patient(house: House) -> None:
    row = row_of(house)
    browser = house.open().signed_in("anna", "reader")
    before = len(house.entries())
    assert browser.get(f"/board/patients/{row}").status_code == 200
    assert browser.get("/board").status_code == 200
    assert browser.get("/board/patients/nobody").status_code == 404  # a handler's patient who is not there
    assert browser.get("/accounts").status_code == 403
    assert browser.get("/board/odd/gone").status_code == 404
    assert browser.get("/board/patients/%00").status_code == browser.get("/board?q=%00").status_code == 404
    assert browser.get("/nothing").status_code == 404
    told = house.entries()[before:]
    assert [(actor, action) for actor, action, _ in told] == [
        ("anna", "view"),
        ("anna", "list"),
        ("anna", "view-refused"),
    ]
    assert row not in str(told)
    with house.database.reading() as connection:
        found = connection.exec_driver_sql("SELECT subject FROM audit WHERE action IN ('view', 'evaluate')").all()
        assert verify(connection, {}).holds
    assert len({one.subject for one in found}) == 1
    assert found[0].subject


def test_a_patient_of_another_tenant_is_not_there(house: House) -> None:
    row = row_of(house)
    with house.database.writing() as connection:
        connection.exec_driver_sql("UPDATE patient SET tenant = 'elsewhere'")
    answer = house.open().signed_in("anna").get(f"/board/patients/{row}")
    assert (answer.status_code, "Anna" in answer.text) == (404, False)


def test_what_goes_wrong_is_said_without_detail(house: House) -> None:
    browser = house.open().signed_in("anna")
    answer = browser.get("/board/odd/broken")
    assert answer.status_code == 500
    assert "Something went wrong" in answer.text
    assert "Smith" not in answer.text


def test_a_record_that_is_away_is_said_to_be(house: House) -> None:
    browser = house.open().signed_in("anna")
    csrf, entry = browser.csrf(), house.browser()
    house.database.engine.dispose()
    path = house.database.url.database
    assert path is not None
    Path(path).rename(f"{path}.away")
    Path(path).mkdir()
    for answer in (browser.get("/board"), browser.post("/board/patients/1", csrf=csrf), browser.get("/"), browser.get("/sign-in"),
                   browser.post("/sign-out", csrf=csrf), entry.signs_in("anna")):  # fmt: skip
        assert (answer.status_code, "The record is away" in answer.text) == (503, True)
        assert answer.headers["Retry-After"] == "5"
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


def test_whoever_came_for_one_patient_sees_no_other(house: House) -> None:
    mine, other = row_of(house), row_of(house, "b30")
    house.patient = other
    browser = house.open().browser()
    who = Vouched("https://ehr.example/fhir", "7", "practitioner7", "Dr Chen", ["chair", "admin", "auditor"])
    token = house.gate.sessions.vouched("default", who, patient=mine)
    browser.http.cookies.set("exowatch", token)
    assert browser.get("/").headers["Location"] == f"/board/patients/{mine}"
    session = house.gate.sessions.find("default", token)
    assert session is not None
    assert browser.get(f"/board/patients/{mine}").status_code == 200
    assert browser.post(f"/board/patients/{mine}", csrf=session.csrf).status_code == 200
    assert browser.get("/board/rules").status_code == 200  # which tell of nobody
    before = len(house.entries())
    for path in (
        f"/board/patients/{other}",
        "/board",
        "/accounts",
        "/account",
        "/audit",
        "/board/odd/other",
        "/board/patients/nobody",
    ):
        answer = browser.get(path)
        assert (answer.status_code, "secret" in answer.text) == (403, False), path
    assert browser.post(f"/board/patients/{other}", csrf=session.csrf).status_code == 403
    assert "one patient" in browser.get(f"/board/patients/{other}").text
    told = [(actor, action) for actor, action, _ in house.entries()[before:]]
    refused = [("practitioner7", "view-refused")]
    assert told == [*refused * 7, ("practitioner7", "change-refused"), *refused]
    assert len(house.saw) == 3  # no handler was asked about another patient, nor to change anything of theirs
    assert browser.get("/nothing").status_code == 404
    assert browser.get("/sign-in").status_code == 200  # they may sign in themselves, to see others
    house.add("anna")
    assert browser.signs_in("anna").status_code == 303
    assert house.gate.sessions.find("default", token) is None
    assert browser.post("/sign-out", csrf=session.csrf).status_code == 403


def test_a_password_of_somebody_else_opens_its_change_only(house: House) -> None:
    house.open().add("anna", "chair", one_time=True)
    browser = house.browser()
    browser.signs_in("anna")
    csrf = browser.csrf()
    for answer in (
        browser.get("/board"),
        browser.get("/board/patients/1"),
        browser.post("/board/patients/1", csrf=csrf),
    ):
        assert (answer.status_code, answer.headers["Location"]) == (303, "/account")
    assert house.saw == []
    assert "before anything else opens" in browser.get("/account").text
    assert (
        browser.post(
            "/account", csrf=csrf, old=PASSWORD, new="another of my own", again="another of my own"
        ).status_code
        == 303
    )
    assert browser.get("/board").status_code == 200


def test_a_visitor_is_who_the_page_is_told(house: House) -> None:
    browser = house.open().signed_in("anna", "chair", "reader")
    browser.get("/board?a=1&a=2&b=&c=%C3%A4")
    (visit,) = house.saw
    assert isinstance(visit, Visit)
    assert visit.query == {"a": "1", "b": "", "c": "ä"}
    assert (visit.form, visit.path, visit.visitor.patient, visit.visitor.tenant) == ({}, {}, "", "default")
    assert visit.visitor.roles == {Role.CHAIR, Role.READER}
    assert visit.visitor.may(Act.HOLD_MEETINGS)
    assert not visit.visitor.may(Act.KEEP_ACCOUNTS)


def test_every_page_has_the_headers_that_keep_it_to_itself(house: House) -> None:
    browser = house.open().signed_in("anna")
    nobody = house.browser()
    for answer in (
        browser.get("/board"), browser.get("/account"), browser.get("/nothing/x"), browser.get("/board/nothing/x"),
        browser.get("/accounts"), browser.post("/account"), browser.get("/board/odd/broken"), nobody.get("/sign-in"), nobody.get("/board"),
        nobody.post("/board/patients/1"), nobody.signs_in("x"), nobody.get("/"),
    ):  # fmt: skip
        if answer.headers["Content-Type" if answer.status_code != 303 else "Location"].startswith("application/json"):
            continue  # outside the pages
        policy = answer.headers["Content-Security-Policy"]
        assert set(policy.split("; ")) == {
            "default-src 'none'", "style-src 'self'", "script-src 'self'", "img-src 'self'", "form-action 'self'",
            "frame-ancestors 'none'", "base-uri 'none'",
        }  # fmt: skip
        for name, value in (
            ("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Opener-Policy", "same-origin"), ("Cross-Origin-Resource-Policy", "same-origin"),
        ):  # fmt: skip
            assert answer.headers[name] == value, (name, answer.url)
        assert not re.search(r"<script|<style|style=|\son\w+=|javascript:", answer.text)
