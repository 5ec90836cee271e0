"""The commands about the record, as a person at a terminal gives them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from cds.publish.check import problems
from cds.reasoning.loading import default_rulebook
from cds.record import tables
from cds.record.accounts import Accounts
from cds.record.database import Database, head
from cds.record.identity import Identity
from cds.record.recorder import Recorder
from cds.record.sessions import Sessions, SignInRefused, Vouched
from tests.patients.archetypes import patient
from tests.record.postgresql import Cluster, binaries
from tests.record.visits import REASONER, asked

ROOT = Path(__file__).parents[2]


class Terminal:
    """A terminal with the settings of one installation."""

    def __init__(self, address: str, folder: Path):
        self.folder = folder
        self._environment = {
            **os.environ,
            "EXOWATCH_DATABASE_URL": address,
            "EXOWATCH_CHECKPOINT_FILE": str(folder / "points.jsonl"),
            "PYTHONPATH": str(ROOT),
            "PATH": f"{binaries()}:{os.environ['PATH']}",
        }

    def run(self, *words: str, expect: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "cds.cli", *words],
            env=self._environment, cwd=self.folder, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == expect, (words, done.returncode, done.stdout, done.stderr)
        return done.stdout + done.stderr


@pytest.fixture
def terminal(address: str, tmp_path: Path) -> Terminal:
    return Terminal(address, tmp_path)


VISITS = ("2025-03-31", "2025-04-28", "2025-05-02")


def lived(address: str, server: str = "", days: Sequence[str] = VISITS) -> str:
    """A recorded patient; the id of the evaluation."""
    database = Database(address, deadline=10)
    who = Identity("default", server, "Patient/a29")
    key = ""
    for day in days:
        bundle = patient("A29").bundle(date.fromisoformat(day))
        key = Recorder(database, REASONER.rulebook).record(asked(bundle, day, identity=who)).evaluation_id
    database.close()
    return key


def test_from_an_empty_database_to_an_erased_patient(terminal: Terminal, address: str) -> None:
    assert "exowatch db upgrade" in terminal.run("db", "check", expect=2)
    assert f"schema none → {head()}" in terminal.run("db", "upgrade")
    assert f"ok: schema {head()}" in terminal.run("db", "check")
    assert "nothing was advised" in terminal.run("record", "list")
    key = lived(address)
    (listed,) = json.loads(terminal.run("record", "list", "--json"))
    assert (listed["patient"], listed["standing"]) == ("Patient/a29", "withdrawn")
    assert json.loads(terminal.run("record", "list", "--standing", "open", "--json")) == []
    shown = terminal.run("record", "show", listed["id"])
    assert (
        shown.index("opened: claimed") < shown.index("confirmed: second-sample") < shown.index("withdrawn: corrected")
    )
    assert "there is no advisory" in terminal.run("record", "show", "nothing", expect=2)
    (counted,) = json.loads(terminal.run("record", "feedback", "--json"))
    assert (counted["rule"], counted["shown"], counted["accepted"]) == ("trpc5-rise-on-chemotherapy", 2, 0)
    assert "the same findings, byte for byte" in terminal.run("replay", key[:10])
    assert json.loads(terminal.run("replay", key, "--json"))["same"]
    assert "begins with" in terminal.run("replay", "nothing", expect=2)
    terminal.run("record", "export", "Patient/a29", "--out", "out.json")
    assert json.loads((terminal.folder / "out.json").read_text("utf-8"))["patient"][0]["reference"] == "Patient/a29"
    assert "--by" in terminal.run("record", "erase", "Patient/a29", "--yes", expect=2)
    assert "rows deleted" in terminal.run("record", "erase", "Patient/a29", "--by", "privacy-office", "--yes")
    assert "holds nothing of Patient/a29" in terminal.run("record", "export", "Patient/a29", expect=2)
    assert "the record holds" in terminal.run("audit", "verify")


def test_the_record_is_exported_as_fhir(terminal: Terminal, address: str) -> None:
    terminal.run("db", "upgrade")
    lived(address)
    assert "3 AuditEvent" in terminal.run("export", "out.ndjson")
    found = [json.loads(line) for line in (terminal.folder / "out.ndjson").read_text("utf-8").splitlines()]
    assert {one["resourceType"] for one in found} >= {"AuditEvent", "DetectedIssue", "Provenance", "Library", "Device"}
    assert [problem for one in found for problem in problems(one)] == []
    assert "The record holds nothing of Patient/nobody" in terminal.run(
        "export", "one.ndjson", "--patient", "Patient/nobody", expect=2
    )
    assert not (terminal.folder / "one.ndjson").exists()


@pytest.mark.parametrize(
    "address", ["sqlite"], indirect=True
)  # the command: what it does is asked of both by the tests beside this file
def test_two_servers_patients_of_one_id_are_told_apart(terminal: Terminal, address: str) -> None:
    terminal.run("db", "upgrade")
    lived(address)
    elsewhere = "https://ehr.example/fhir"
    lived(address, elsewhere, ("2025-03-31",))
    for command in (["record", "list", "--patient"], ["record", "export"], ["export", "x.ndjson", "--patient"]):
        assert "Say of which one" in terminal.run(*command, "Patient/a29", expect=2)
    assert "Say of which one" in terminal.run("record", "erase", "a29", "--by", "privacy", "--yes", expect=2)
    for who, count in ((["Patient/a29", "--server", ""], 3), ([f"{elsewhere}/Patient/a29"], 1)):
        assert len(json.loads(terminal.run("record", "export", *who))["evaluation"]) == count
    (listed,) = json.loads(terminal.run("record", "list", "--patient", "a29", "--server", elsewhere + "/", "--json"))
    assert (listed["server"], listed["standing"]) == (elsewhere, "open")
    assert "1 AuditEvent, 1 DetectedIssue" in terminal.run(
        "export", "one.ndjson", "--patient", f"{elsewhere}/Patient/a29"
    )
    terminal.run("record", "erase", f"{elsewhere}/Patient/a29", "--by", "privacy", "--yes")
    assert len(json.loads(terminal.run("record", "export", "Patient/a29"))["evaluation"]) == 3


@pytest.mark.parametrize(
    "address", ["sqlite"], indirect=True
)  # the command: what it does is asked of both by the tests beside this file
def test_whom_nobody_has_evaluated_for_long_is_erased(terminal: Terminal, address: str) -> None:
    terminal.run("db", "upgrade")
    lived(address)
    lived(address, "https://ehr.example/fhir", ("2025-03-31",))
    assert "0 patients, 0 rows" in terminal.run("record", "expire", "--before", "2020-01-01", "--by", "privacy")
    assert "which role" in terminal.run("record", "expire", "--before", "2020-01-01", expect=2)
    for wrong in ("yesterday", "2020", "2020-01-01T10:00:00Z"):
        assert "is no day" in terminal.run("record", "expire", "--before", wrong, "--by", "privacy", expect=2)
    later = (datetime.now(UTC) + timedelta(days=2)).date().isoformat()
    assert "2 patients, " in terminal.run("record", "expire", "--before", later, "--by", "privacy", "--yes")
    assert "nothing was advised" in terminal.run("record", "list")
    texts = sum(rule.status in ("active", "shadow") for rule in default_rulebook().rules)  # they are nobody's
    assert f"the record holds: 6 entries, {texts} rows" in terminal.run("audit", "verify")


def test_the_audit_says_what_was_changed(terminal: Terminal, address: str) -> None:
    terminal.run("db", "upgrade")
    lived(address)
    assert "entry 3" in terminal.run("audit", "checkpoint")
    assert json.loads(terminal.run("audit", "verify", "--json"))["uncovered"] == 0
    database = Database(address, deadline=10)
    with database.writing() as connection:
        connection.execute(update(tables.advisory), {"state": "no-flag"})
    database.close()
    said = terminal.run("audit", "verify", expect=1)
    assert "advisory " in said
    assert "was edited" in said
    assert "THE RECORD WAS CHANGED" in said


def test_a_backup_comes_back_whole(
    terminal: Terminal, address: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    terminal.run("db", "upgrade")
    lived(address)
    assert "bytes" in terminal.run("db", "backup", "copy")
    assert "never writes over one" in terminal.run("db", "backup", "copy", expect=2)
    if address.startswith("sqlite"):
        other = f"sqlite:///{tmp_path / 'other.sqlite'}"
        assert "Move it away first" in terminal.run("db", "restore", "copy", expect=2)
    else:
        cluster: Cluster = request.getfixturevalue("cluster")
        other = cluster.new(f"{tmp_path.name}-other")
        assert "not empty" in terminal.run("db", "restore", "copy", expect=2)
    elsewhere = Terminal(other, tmp_path)
    assert "the record holds" in elsewhere.run("db", "restore", "copy")
    assert json.loads(elsewhere.run("record", "list", "--json")) == json.loads(terminal.run("record", "list", "--json"))
    (tmp_path / "broken").write_bytes(b"no backup at all" * 100)
    third = f"sqlite:///{tmp_path / 'third.sqlite'}"
    assert "cannot be restored" in Terminal(third, tmp_path).run("db", "restore", "broken", expect=2)


def test_a_backup_through_a_socket(cluster: Cluster, tmp_path: Path) -> None:
    """The folder of a socket can only stand behind the question mark of an address."""
    for name in ("socket", "socket2"):
        cluster.new(name)
    addresses = [
        f"postgresql://exowatch@/{name}?host={cluster.folder}&port={cluster.port}" for name in ("socket", "socket2")
    ]
    one, other = (Terminal(address, tmp_path) for address in addresses)
    one.run("db", "upgrade")
    lived(addresses[0])
    assert "bytes" in one.run("db", "backup", "copy")
    assert "the record holds" in other.run("db", "restore", "copy")


def test_a_record_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    for address, words in (
        ("mysql://host/name", "is no database that the record can use"),
        ("nonsense", "cannot be read"),
        ("sqlite://", "needs a file"),
        ("postgresql://nobody@127.0.0.1:1/none", "Is it running, with room on its disk"),
        (f"sqlite:///{tmp_path}/no/such/folder/file.sqlite", "does not answer"),
    ):
        assert words in Terminal(address, tmp_path).run("db", "check", expect=2)


def test_the_service_needs_no_more_than_its_role_grants(cluster: Cluster, tmp_path: Path) -> None:
    import psycopg

    owner = cluster.new("roles")
    Terminal(owner, tmp_path).run("db", "upgrade")
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute("CREATE ROLE exowatch_service LOGIN")
    psql = [f"{binaries()}/psql", owner, "-v", "ON_ERROR_STOP=1", "-v", "service=exowatch_service", "-f"]
    subprocess.run([*psql, str(ROOT / "migrations" / "least-privilege.sql")], check=True, capture_output=True)
    service = owner.replace("exowatch@", "exowatch_service@")
    lived(service)
    terminal = Terminal(service, tmp_path)
    terminal.run("accounts", "add", "anna", "--role", "reader", "--generate")
    terminal.run("accounts", "roles", "anna", "chair")
    with closing(Database(service, deadline=10)) as database:
        sessions = Sessions(Accounts(database), idle=timedelta(minutes=1), longest=timedelta(hours=1))
        token = sessions.vouched("default", Vouched("https://login.example", "7", "berta", "", ["reader"]))
        assert sessions.find("default", token) is not None
        sessions.sign_out(token)
        with pytest.raises(SignInRefused):
            sessions.sign_in("default", "anna", "wrong wrong wrong")
    assert "the record holds" in terminal.run("audit", "verify")
    refused = terminal.run("record", "erase", "Patient/a29", "--by", "privacy", "--yes", expect=2)
    assert "run it as the owner of the tables" in refused
    for forbidden in (
        "DELETE FROM audit", "UPDATE audit SET actor = 'x'", "UPDATE evaluation SET client = 'x'", "DELETE FROM advisory",
        "UPDATE patient SET salt = 'x'", "DROP TABLE card", "DELETE FROM account", "UPDATE session SET account_id = 'x'",
    ):  # fmt: skip
        with psycopg.connect(service) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(forbidden.encode())
