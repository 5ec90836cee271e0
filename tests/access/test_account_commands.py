"""The commands about accounts, as a person at a terminal gives them."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from cds.record.audit import Checkpoints
from cds.record.database import Database
from cds.record.sessions import SignInRefused
from tests.access.people import PASSWORD, House
from tests.record.test_commands import Terminal


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/record.sqlite"


@pytest.fixture
def terminal(address: str, tmp_path: Path) -> Terminal:
    found = Terminal(address, tmp_path)
    found.run("db", "upgrade")
    return found


def lets_in(address: str, name: str, password: str) -> bool:
    with closing(Database(address, deadline=10)) as database:
        try:
            return bool(House(database).gate.sessions.sign_in("default", name, password))
        except SignInRefused:
            return False


def typed(address: str, folder: Path, *words: str, lines: tuple[str, ...]) -> tuple[int, str]:
    """A command at a terminal at which somebody types lines; its exit code, and all that the terminal showed."""
    ours, theirs = pty.openpty()
    environment = {
        **os.environ,
        "EXOWATCH_DATABASE_URL": address,
        "EXOWATCH_CHECKPOINT_FILE": str(folder / "points.jsonl"),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "cds.cli", *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        start_new_session=True,
    )
    os.close(theirs)
    shown, waiting = "", [*lines]
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            shown += os.read(ours, 4096).decode()
        except OSError:  # the other end is closed
            break
        if waiting and shown.rstrip().endswith(":"):
            time.sleep(0.2)  # until the terminal echoes nothing
            os.write(ours, f"{waiting.pop(0)}\n".encode())
    os.close(ours)
    return process.wait(60), shown


def test_accounts_from_the_first_to_the_last_command(terminal: Terminal, address: str, tmp_path: Path) -> None:
    assert "exowatch accounts add NAME" in terminal.run("accounts", "list")
    told = terminal.run(
        "accounts", "add", "Anna", "--role", "chair", "--role", "admin", "--shown", "Dr Anna Berg", "--generate"
    )
    assert "anna: admin, chair" in told
    found = re.search(r"password: (\S+)", told)
    assert found is not None
    assert lets_in(address, "anna", found[1])
    (listed,) = json.loads(terminal.run("accounts", "list", "--json"))
    assert {name: listed[name] for name in ("name", "shown", "roles", "issuer", "state")} == {
        "name": "anna", "shown": "Dr Anna Berg", "roles": ["admin", "chair"], "issuer": "", "state": "password to be changed",
    }  # fmt: skip
    shown = " ".join(terminal.run("accounts", "list").split())
    assert shown == "anna Dr Anna Berg admin, chair a password password to be changed"
    assert "anna: reader; signed out everywhere" in terminal.run("accounts", "roles", "anna", "reader")
    terminal.run("accounts", "disable", "anna")
    assert "disabled" in terminal.run("accounts", "list")
    assert not lets_in(address, "anna", found[1])
    terminal.run("accounts", "enable", "anna")
    assert lets_in(address, "anna", found[1])
    other = re.search(r"password: (\S+)", terminal.run("accounts", "password", "anna", "--generate"))
    assert other is not None
    assert lets_in(address, "anna", other[1])
    assert not lets_in(address, "anna", found[1])
    assert "the record holds" in terminal.run("audit", "verify")
    with closing(Database(address, deadline=10)) as database:
        told = str(House(database).entries())
    assert told.count("command line") == 5
    assert found[1] not in told
    exported = tmp_path / "all.ndjson"
    terminal.run("export", str(exported))
    events = [json.loads(line) for line in exported.read_text("utf-8").splitlines()]
    told_as = {
        (one["subtype"][1]["code"], one["action"], one["outcome"])
        for one in events
        if one["resourceType"] == "AuditEvent"
    }
    assert told_as >= {("sign-in", "E", "0"), ("sign-in-refused", "E", "4"), ("account-added", "U", "0")}
    assert Checkpoints(tmp_path / "points.jsonl").read() == {}


def test_a_password_is_asked_for_twice_and_never_shown(terminal: Terminal, address: str, tmp_path: Path) -> None:
    words = ("accounts", "add", "anna", "--role", "reader")
    code, shown = typed(address, tmp_path, *words, lines=(PASSWORD, PASSWORD))
    assert (code, PASSWORD in shown) == (0, False), shown
    assert lets_in(address, "anna", PASSWORD)
    (listed,) = json.loads(terminal.run("accounts", "list", "--json"))
    assert listed["state"] == "open"
    code, shown = typed(address, tmp_path, "accounts", "password", "anna", lines=("too short", "too short"))
    assert (code, "at least 12" in shown) == (2, True), shown


@pytest.mark.parametrize(("words", "told"), [
    (("add", "anna", "--role", "chief", "--generate"), "'chief' is no role; roles are reader, reviewer"),
    (("add", "an na", "--role", "reader", "--generate"), "is no login name"),
    (("roles", "nobody", "reader"), "There is no account 'nobody'"),
    (("roles", "nobody", "boss"), "'boss' is no role"),
    (("password", "nobody", "--generate"), "There is no account 'nobody'"),
    (("disable", "nobody"), "There is no account 'nobody'"),
    (("add", "anna", "--generate"), "--role"),
])  # fmt: skip
def test_what_cannot_be_done_is_said(terminal: Terminal, words: tuple[str, ...], told: str) -> None:
    assert told in terminal.run("accounts", *words, expect=2)
