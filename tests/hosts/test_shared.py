"""What several hosts share by the database, on both; and what each has of its own."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Table, func, select, update
from starlette.requests import Request

from cds.chart.model import Chart
from cds.reasoning.findings import Evaluation
from cds.reasoning.reasoner import Reasoner
from cds.record import tables
from cds.record.arrivals import Arrivals
from cds.record.audit import Checkpoints
from cds.record.database import Database, head
from cds.record.identity import Identity, patient_of
from cds.service.access.browser import Browser
from cds.service.follower import Follower
from cds.service.server import running
from cds.settings import Settings
from tests.access.people import House
from tests.record.test_arrivals import SERVER, Clinic, code_of, one
from tests.record.test_commands import VISITS, Terminal, lived
from tests.record.visits import REASONER
from tests.service.test_leaving import until

_WRONG = "wrong wrong wrong"
_LONG_AGO = "2025-01-01T00:00:00.000000Z"


@pytest.fixture
def terminal(address: str, tmp_path: Path) -> Terminal:
    return Terminal(address, tmp_path)


def test_hosts_that_upgrade_an_empty_database_at_once_make_one_schema(terminal: Terminal, address: str) -> None:
    with ThreadPoolExecutor(3) as threads, _held(address, 3):
        running = [threads.submit(terminal.run, "db", "upgrade") for _ in range(3)]
    assert all(f"→ {head()}" in one.result() for one in running)
    database = Database(address, deadline=10)
    database.check()
    database.close()


@contextmanager
def _held(address: str, count: int) -> Iterator[None]:
    """On PostgreSQL nobody learns which schema there is until so many ask: then all of them do at once."""
    if not address.startswith("postgresql"):
        yield
        return
    waiting = "SELECT count(*) FROM pg_locks WHERE relation = 'alembic_version'::regclass AND NOT granted"
    with psycopg.connect(address, autocommit=True) as watching, psycopg.connect(address) as holding:
        watching.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        holding.execute("LOCK TABLE alembic_version")
        yield
        until("all of them ask", lambda: watching.execute(waiting).fetchone() == (count,))
        holding.commit()


def due(database: Database, count: int) -> list[Identity]:
    """Patients for whom an evaluation is due."""
    people = [Identity("default", SERVER, f"Patient/d{number}") for number in range(count)]
    with database.writing() as connection:
        for who in people:
            row, _ = patient_of(database, connection, who, _LONG_AGO)
            connection.execute(update(tables.patient).where(tables.patient.c.id == row["id"]), {"due": _LONG_AGO})
    return people


def evaluated(database: Database) -> list[int]:
    """For each patient who was evaluated, how often."""
    counted = select(func.count()).select_from(tables.evaluation).group_by(tables.evaluation.c.patient_id)
    with database.reading() as connection:
        return list(connection.execute(counted).scalars())


def follower(database: Database) -> Follower:
    return Follower(Clinic(database).app.state.desk, Arrivals(database))


def test_hosts_that_follow_what_arrives_evaluate_each_patient_once(
    database: Database, connect: Callable[[], Database]
) -> None:
    people = due(database, 24)
    hosts = [follower(connect()) for _ in range(3)]
    with ThreadPoolExecutor(3) as threads:
        done = [*threads.map(lambda host: host.settle(), hosts)]
    assert sum(done) == len(people)
    assert evaluated(database) == [1] * len(people)
    assert Arrivals(database).due() == []


def test_of_two_hosts_that_evaluate_a_patient_at_once_one_records_it(
    database: Database, connect: Callable[[], Database]
) -> None:
    """Both have read that it is due before either has recorded it."""
    (who,) = due(database, 1)
    both = threading.Barrier(2, timeout=20)
    desks = [Clinic(connect()).app.state.desk for _ in range(2)]
    for desk in desks:
        desk._reasoner = _Together(desk._reasoner, both)
    with ThreadPoolExecutor(2) as threads:
        found = [*threads.map(lambda desk: desk.reassess(who, {}, ()), desks)]
    assert sum(one is not None for one in found) == 1
    assert evaluated(database) == [1]


class _Together:
    """A reasoner that waits for another before it answers the first time."""

    def __init__(self, of: Reasoner, both: threading.Barrier):
        self._of, self._both, self._first = of, both, True
        self.rulebook = of.rulebook

    def evaluate(self, chart: Chart) -> Evaluation:
        if self._first:
            self._first = False
            self._both.wait()
        return self._of.evaluate(chart)


def test_a_message_that_is_sent_to_several_hosts_is_stored_once_and_acknowledged_by_each(
    connect: Callable[[], Database], database: Database
) -> None:
    hosts = [Clinic(connect()).on("2025-04-22") for _ in range(3)]
    assert hosts[0].opens().status_code == 200
    message = one("2025-04-21", "6.3")
    with ThreadPoolExecutor(6) as threads:
        said = [*threads.map(lambda host: host.app.state.reception.message(message, "test"), hosts * 2)]
    assert [code_of(one) for one in said] == ["AA"] * 6
    assert {count(database, table) for table in (tables.delivery, tables.arrival)} == {1}
    assert sum(host.settles() for host in hosts) == 1


def count(database: Database, table: Table) -> int:
    with database.reading() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def test_checkpoints_of_all_hosts_cover_the_audit_together(migrated_file: Path, tmp_path: Path) -> None:
    shutil.copy(migrated_file, tmp_path / "record.sqlite")
    address = f"sqlite:///{tmp_path}/record.sqlite"
    here, other = tmp_path / "points.jsonl", tmp_path / "other.jsonl"
    terminal = Terminal(address, tmp_path)
    lived(address, days=VISITS[:1])
    mark(address, here)
    lived(address, days=VISITS[1:])
    mark(address, other)
    both = json.loads(terminal.run("audit", "verify", "--json", "--checkpoints", str(other)))
    assert (both["checkpoint"], both["uncovered"], both["holds"]) == (3, 0, True)
    # A chain that was rewritten to please one host's checkpoints is not what the other saw.
    point = json.loads(here.read_text("utf-8"))
    other.write_text(json.dumps({**point, "link": "0" * 64}) + "\n", "utf-8")
    assert "the chain was rewritten" in terminal.run("audit", "verify", "--checkpoints", str(other), expect=1)
    (tmp_path / "folder.jsonl").mkdir()
    assert "cannot be read" in terminal.run("audit", "verify", "--checkpoints", "folder.jsonl", expect=2)


def test_a_host_without_a_checkpoint_yet_keeps_nobody_from_checking_the_rest(
    migrated_file: Path, tmp_path: Path
) -> None:
    shutil.copy(migrated_file, tmp_path / "record.sqlite")
    address = f"sqlite:///{tmp_path}/record.sqlite"
    terminal = Terminal(address, tmp_path)
    lived(address)
    said = terminal.run("audit", "verify", "--checkpoints", "young.jsonl")
    for name in (str(tmp_path / "points.jsonl"), "young.jsonl"):
        assert f"{name}: no checkpoint yet" in said
    assert "3 entries after the last checkpoint" in said
    mark(address, tmp_path / "other.jsonl")
    found = json.loads(
        terminal.run(
            "audit", "verify", "--json", "--checkpoints", "young.jsonl", "--checkpoints", str(tmp_path / "other.jsonl")
        )
    )
    assert (found["checkpoint"], found["uncovered"], found["holds"]) == (3, 0, True)
    assert found["absent"] == [str(tmp_path / "points.jsonl"), "young.jsonl"]
    point = json.loads((tmp_path / "other.jsonl").read_text("utf-8"))
    (tmp_path / "other.jsonl").write_text(json.dumps({**point, "link": "0" * 64}) + "\n", "utf-8")
    words = ("audit", "verify", "--checkpoints", "young.jsonl", "--checkpoints", str(tmp_path / "other.jsonl"))
    assert "the chain was rewritten" in terminal.run(*words, expect=1)


def test_a_quiet_service_has_a_checkpoint_from_its_start_and_from_its_end(migrated_file: Path, tmp_path: Path) -> None:
    shutil.copy(migrated_file, tmp_path / "record.sqlite")
    address = f"sqlite:///{tmp_path}/record.sqlite"
    points = Checkpoints(tmp_path / "record.sqlite.checkpoints.jsonl")
    with running(REASONER, database=address):
        assert not points.path.exists()  # nothing is recorded
    lived(address, days=VISITS[:1])
    with running(REASONER, database=address):
        assert list(points.read()) == [1]
        lived(address, days=VISITS[1:])
        assert list(points.read()) == [1]
    assert list(points.read()) == [1, 3]
    with running(REASONER, database=address):
        pass
    assert len(points.path.read_text("utf-8").splitlines()) == 2, "what is covered is not written again"


def mark(address: str, file: Path) -> None:
    """A host writes a checkpoint."""
    database = Database(address, deadline=10)
    with database.reading() as connection:
        Checkpoints(file).write(connection)
    database.close()


@pytest.mark.parametrize(
    ("stated", "proxied", "found"),
    [
        (("203.0.113.7",), True, "203.0.113.7"),
        (("198.51.100.1, 203.0.113.7",), True, "203.0.113.7"),  # what stands before the proxy's own word is anybody's
        (("198.51.100.1", "203.0.113.7"), True, "203.0.113.7"),
        (("2001:db8::0:7",), True, "2001:db8::7"),  # in one spelling
        (("of Mrs Smith",), True, "127.0.0.1"),
        ((), True, "127.0.0.1"),
        (("203.0.113.7",), False, "127.0.0.1"),  # without a proxy nobody says from where they come
    ],
)
def test_where_a_browser_is_says_the_proxy_in_front(stated: Sequence[str], proxied: bool, found: str) -> None:
    headers = [(b"x-forwarded-for", one.encode()) for one in stated]
    request = Request({"type": "http", "client": ("127.0.0.1", 5), "headers": headers})
    assert Browser(Settings(behind_proxy=proxied)).address(request) == found


def test_behind_a_proxy_who_guesses_has_to_wait_and_nobody_else(migrated_file: Path, tmp_path: Path) -> None:
    shutil.copy(migrated_file, tmp_path / "record.sqlite")
    database = Database(f"sqlite:///{tmp_path}/record.sqlite", deadline=10)
    browser = House(database, behind_proxy=True).browser()
    entry = browser.entry()

    def tries(address: str) -> int:
        sent = {"X-Forwarded-For": f"198.51.100.1, {address}"}
        return browser.post("/sign-in", headers=sent, csrf=entry, name="nobody", password=_WRONG).status_code

    assert [tries("203.0.113.7") for _ in range(31)] == [403] * 30 + [429]
    assert tries("203.0.113.8") == 403
    database.close()
