"""Debian's Chromium signs in: its cookies, its headers and its reading of the policy are those that count."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest
import uvicorn
from fastapi import FastAPI

from cds.record.database import Database
from tests.access.clinic import FILE
from tests.access.people import PASSWORD, House
from tests.access.vouching import provider_file, vouching
from tests.exchange.servers import certificate_for

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = Database(f"sqlite:///{tmp_path}/record.sqlite", deadline=10)
    with closing(found):
        found.upgrade()
        yield found


class Serving(Protocol):
    """Whatever has the app of a service."""

    app: FastAPI


@contextmanager
def served(house: Serving, listening: socket.socket, certificate: tuple[Path, Path] | None = None) -> Iterator[None]:
    """The service as a process of its own would serve it."""
    files = {} if certificate is None else {"ssl_certfile": certificate[0], "ssl_keyfile": certificate[1]}
    server = uvicorn.Server(uvicorn.Config(house.app, log_config=None, lifespan="off", proxy_headers=False, **files))  # type: ignore[arg-type]  # either of two
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    until = time.monotonic() + 20
    while not server.started and time.monotonic() < until:
        time.sleep(0.02)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(10)


@contextmanager
def listening() -> Iterator[tuple[socket.socket, int]]:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        found.listen()
        yield found, int(found.getsockname()[1])


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(ignore_https_errors=True, java_script_enabled=False)
    context.set_default_timeout(10_000)
    yield context.new_page()
    context.close()


def test_in_and_out_over_https(page: Page, database: Database, tmp_path: Path) -> None:
    with listening() as (socket_, port):
        base = f"https://localhost:{port}"
        house = House(database, secure=True, host=base).open()
        house.add("anna", "chair", shown="Dr Anna Berg")
        with served(house, socket_, certificate_for("localhost", tmp_path)):
            page.goto(f"{base}/board?q=a%20b")
            assert page.url == f"{base}/sign-in?next=%2Fboard%3Fq%3Da%2520b"
            page.get_by_label("Name").fill("anna")
            page.get_by_label("Password").fill("wrong wrong wrong")
            page.keyboard.press("Enter")
            page.get_by_role("alert").wait_for()
            page.get_by_label("Name").fill("anna")
            page.get_by_label("Password").fill(PASSWORD)
            page.keyboard.press("Enter")
            page.get_by_text("Dr Anna Berg").wait_for()
            assert page.url == f"{base}/board?q=a%20b"
            (cookie,) = page.context.cookies()
            assert (cookie["name"], cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (
                "__Host-exowatch",
                True,
                True,
                "Lax",
            )
            page.goto(f"{base}/account")
            page.get_by_label("Present password").fill(PASSWORD)
            for label in ("New password", "New password, once more"):
                page.get_by_label(label, exact=True).fill("my own new password")
            page.get_by_role("button", name="Change the password").click()
            page.get_by_text("The password was changed").wait_for()
            page.get_by_role("button", name="Sign out").click()
            page.wait_for_url(re.compile("/sign-in$"))
            assert [one["name"] for one in page.context.cookies()] == ["__Host-exowatch-entry"]
            page.goto(f"{base}/board")
            assert page.url == f"{base}/sign-in?next=%2Fboard"


def test_by_way_of_a_provider(page: Page, database: Database, tmp_path: Path) -> None:
    with listening() as (socket_, port), vouching(lambda: house.now) as voucher:
        text = FILE.format(base=voucher.base, local="false", secret="secret_file: clinic.secret", more="")
        house = House(database, ways=provider_file(tmp_path, text)).open()
        with served(house, socket_):
            page.goto(f"http://localhost:{port}/board/rules")
            page.get_by_role("link", name="Account of the <clinic>").click()
            page.get_by_text("Dr Anna Berg").wait_for()
            assert page.url == f"http://localhost:{port}/board/rules"
            assert [one["name"] for one in page.context.cookies()] == ["exowatch"]
