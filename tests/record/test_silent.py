"""Who has stopped without saying so, the database's server or another host of ours, keeps nobody waiting."""

from __future__ import annotations

import gc
import signal
import threading
import time
import uuid
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import text

from cds.record.audit import Entry, append
from cds.record.cases import owner, stored_case
from cds.record.database import Database, RecordUnavailable
from cds.record.recorder import Recorder
from cds.record.rule_texts import rule_text
from cds.record.worklist import Filter, listed, of_patient
from tests.record.boards import TENANT, rows
from tests.record.postgresql import Cluster
from tests.record.visits import REASONER, visit

TODAY = date(2026, 1, 5)


def test_whoever_reads_hears_that_the_record_is_away(cluster: Cluster) -> None:
    address = cluster.new(f"t{uuid.uuid4().hex}")
    first = Database(address, deadline=30)
    first.upgrade()
    visit(Recorder(first, REASONER.rulebook), "A01", "2025-12-31")
    ((patient, advisory, rule),) = [(row.patient, row.advisory, row.rule_hash) for row in rows(first)]
    meeting = Recorder(first, REASONER.rulebook).meetings.plan(TENANT, "Board", "2026-01-05", "chair")
    first.close()
    database = Database(address, deadline=0.3)
    recorder = Recorder(database, REASONER.rulebook)
    reads: dict[str, Callable[[], object]] = {
        "list": lambda: listed(database, TENANT, Filter(), today=TODAY),
        "answers": lambda: of_patient(database, TENANT, patient),
        "case": lambda: stored_case(database, TENANT, patient),
        "owner": lambda: owner(database, TENANT, patient, "advisory", advisory),
        "rule": lambda: rule_text(database, rule),
        "decisions": lambda: recorder.reviews.decisions(TENANT, patient=patient),
        "actions": lambda: recorder.follow_up.actions(TENANT, patient=patient),
        "outcomes": lambda: recorder.follow_up.outcomes(TENANT, advisory),
        "clock": lambda: recorder.follow_up.clock(TENANT, advisory),
        "overdue": lambda: recorder.follow_up.overdue(TENANT, TODAY),
        "meetings": lambda: recorder.meetings.meetings(TENANT),
        "meeting": lambda: recorder.meetings.meeting(TENANT, meeting),
        "agenda": lambda: recorder.meetings.agenda(TENANT, meeting),
        "last": lambda: recorder.meetings.last_held(TENANT),
    }
    for read in reads.values():
        read()
    cluster.signal(signal.SIGSTOP)
    try:
        for name, read in reads.items():
            started = time.monotonic()
            with pytest.raises(RecordUnavailable):
                read()
            assert time.monotonic() - started < 3, name
    finally:
        cluster.signal(signal.SIGCONT)
    while not _answers(reads["list"]):
        time.sleep(0.2)
    database.close()


def test_a_host_that_hangs_in_the_midst_of_writing_lets_the_others_write(cluster: Cluster) -> None:
    address = cluster.new(f"t{uuid.uuid4().hex}")
    hanging, other = Database(address, deadline=1), Database(address, deadline=1)
    hanging.upgrade()

    def hangs() -> None:
        with hanging.writing() as connection:
            append(hanging, connection, Entry(TENANT, "test", "note"))
            started = time.monotonic()
            with other.writing() as elsewhere:  # which waits for the lock that the first has
                assert append(other, elsewhere, Entry(TENANT, "test", "note")) == 1  # of the first nothing was written
            assert time.monotonic() - started < 1.9
            connection.execute(text("SELECT 1"))

    with pytest.raises(RecordUnavailable):
        hangs()
    with hanging.writing() as connection:  # with a new connection
        assert append(hanging, connection, Entry(TENANT, "test", "note")) == 2
    for database in (hanging, other):
        database.close()


def test_a_process_that_is_busy_in_the_midst_of_writing_is_no_host_that_hangs(cluster: Cluster) -> None:
    """Threads that wait for one another are silent for many a deadline where nothing is wrong; one that is ended costs no other."""
    database = Database(cluster.new(f"t{uuid.uuid4().hex}"), deadline=0.1)
    with database.writing() as connection:
        connection.execute(text("SELECT 1"))
        time.sleep(0.6)
        assert connection.execute(text("SELECT 2")).scalar_one() == 2
    with database.reading() as connection, database.reading() as another:
        before = {one.execute(text("SELECT pg_backend_pid()")).scalar_one() for one in (connection, another)}

    def hangs() -> None:
        with database.writing() as connection:
            connection.execute(text("SELECT 1"))
            time.sleep(1.5)
            connection.execute(text("SELECT 1"))

    with pytest.raises(RecordUnavailable) as caught:
        hangs()
    assert "25P03" in caught.value.cause
    assert "silent for too long" in str(caught.value)
    with database.reading() as connection, database.reading() as another:
        after = {one.execute(text("SELECT pg_backend_pid()")).scalar_one() for one in (connection, another)}
    assert len(before & after) == 1
    database.close()


def test_a_database_that_was_closed_serves_who_comes_late(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/record.sqlite", deadline=5)
    database.close()
    for _ in range(3):
        with database.reading() as connection:
            assert connection.execute(text("SELECT 1")).scalar_one() == 1


def test_work_that_ends_after_the_database_was_closed_leaves_no_connection(cluster: Cluster) -> None:
    database = Database(cluster.new(f"t{uuid.uuid4().hex}"), deadline=20)
    begun, over = threading.Event(), threading.Event()
    at_work: list[threading.Thread] = []

    def work() -> None:
        at_work.append(threading.current_thread())
        with database.reading() as connection:
            connection.execute(text("SELECT 1"))
            begun.set()
            over.wait(20)

    with pytest.raises(RecordUnavailable):
        database.in_time(work, 0.5)
    assert begun.wait(20)
    database.close()
    over.set()
    at_work[0].join()
    gc.collect()  # a connection that is still open would warn here, and warnings are errors


def _answers(read: Callable[[], object]) -> bool:
    try:
        return read() is not None
    except RecordUnavailable:
        return False
