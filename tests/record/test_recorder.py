"""Advice that lives over time: patients of the evidence, visit by visit, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import func, select

from cds.record import tables
from cds.record.audit import verify
from cds.record.database import Database
from cds.record.lifecycle import Kind, Standing
from cds.record.recorder import Recorder
from tests.patients.archetypes import patient
from tests.record.visits import REASONER, asked, visit

BOOK = REASONER.rulebook


def history(database: Database, question: str = "trpc5-rise-on-chemotherapy") -> list[tuple[str, str, str]]:
    with database.reading() as connection:
        rows = connection.execute(
            select(tables.event.c.kind, tables.event.c.reason, tables.event.c.state)
            .join(tables.advisory, tables.advisory.c.id == tables.event.c.advisory_id)
            .where(tables.advisory.c.question == question)
            .order_by(tables.advisory.c.opened, tables.event.c.number)
        ).all()
    return [(kind, reason, state) for kind, reason, state in rows]


def standings(database: Database) -> list[str]:
    with database.reading() as connection:
        return list(connection.execute(select(tables.advisory.c.standing)).scalars())


def test_a_corrected_result_withdraws_what_was_advised(database: Database) -> None:
    """A29: 6.2 on 28 April, corrected to 2.6 on 2 May."""
    recorder = Recorder(database, BOOK)
    assert visit(recorder, "A29", "2025-01-02").events == ()
    visit(recorder, "A29", "2025-03-31")
    visit(recorder, "A29", "2025-04-28")
    after = visit(recorder, "A29", "2025-05-02")
    assert history(database) == [
        ("opened", "claimed", "watch"),
        ("confirmed", "second-sample", "suspected"),
        ("withdrawn", "corrected", "no-flag"),
    ]
    assert standings(database) == [Standing.WITHDRAWN]
    (told,) = after.withdrawals
    assert (told.reason, told.was.state) == ("corrected", "suspected")
    assert visit(recorder, "A29", "2025-05-03").withdrawals == after.withdrawals


def test_a_result_entered_in_error_leaves_what_the_others_support(database: Database) -> None:
    """A30: the sample of 28 April was another patient's; that of 31 March still stands."""
    recorder = Recorder(database, BOOK)
    for day in ("2025-03-31", "2025-04-28", "2025-04-30"):
        known = visit(recorder, "A30", day)
    assert history(database) == [
        ("opened", "claimed", "watch"),
        ("confirmed", "second-sample", "suspected"),
        ("withdrawn", "entered-in-error", "watch"),
        ("opened", "remaining-results", "watch"),
    ]
    assert standings(database) == [Standing.OPEN]
    assert [told.was.state for told in known.withdrawals] == ["suspected"]


def test_the_same_evaluation_again_changes_nothing(database: Database) -> None:
    recorder = Recorder(database, BOOK)
    first = visit(recorder, "A01", "2025-12-31")
    assert [step.kind for _, step in first.events] == [Kind.OPENED]
    for _ in range(3):
        again = visit(recorder, "A01", "2025-12-31")
        assert (again.events, again.advisories) == ((), first.advisories)
    with database.reading() as connection:
        assert connection.execute(select(func.count()).select_from(tables.inputs)).scalar() == 1
        assert connection.execute(select(func.count()).select_from(tables.evaluation)).scalar() == 4


def test_results_that_are_not_sent_leave_an_advisory_open(database: Database) -> None:
    recorder = Recorder(database, BOOK)
    visit(recorder, "A01", "2025-12-31")
    bundle = patient("A01").bundle()
    without = [entry for entry in bundle["entry"] if entry["resource"]["resourceType"] != "Observation"]
    known = recorder.record(asked({**bundle, "entry": without}, "2025-12-31"))
    assert [(step.kind, step.reason) for _, step in known.events] == [(Kind.NOT_REASSESSABLE, "results-missing")]
    assert visit(recorder, "A01", "2025-12-31").events[0][1].reason == "reassessable-again"


@pytest.mark.parametrize("server", ["https://other.example/fhir", ""])
def test_the_same_id_on_another_server_is_another_patient(database: Database, server: str) -> None:
    recorder = Recorder(database, BOOK)
    visit(recorder, "A01", "2025-12-31")
    one = asked(patient("A01").bundle(), "2025-12-31")
    one.who = type(one.who)("here", server, one.who.reference)
    assert [step.kind for _, step in recorder.record(one).events] == [Kind.OPENED]
    assert len(standings(database)) == 2


def test_concurrent_evaluations_of_one_patient_make_one_advisory(
    database: Database, connect: Callable[[], Database]
) -> None:
    recorders = [Recorder(connect(), BOOK) for _ in range(4)]
    work = asked(patient("A01").bundle(), "2025-12-31")

    def record(number: int) -> int:
        return len(recorders[number % 4].record(work).events)

    with ThreadPoolExecutor(32) as threads:
        events = sum(threads.map(record, range(32)))
    assert events == 1
    assert standings(database) == [Standing.OPEN]
    with database.reading() as connection:
        assert connection.execute(select(func.count()).select_from(tables.evaluation)).scalar() == 32


def test_of_several_who_use_a_rule_book_first_one_keeps_its_texts(
    database: Database, connect: Callable[[], Database]
) -> None:
    names = ("A01", "A02", "A06", "A21", "A29", "A30")
    recorders = [Recorder(connect(), BOOK) for _ in names]
    start = Barrier(len(names))

    def first(recorder: Recorder, name: str) -> None:
        day = str(max(expected.as_of for expected in patient(name).expected))
        work = asked(patient(name).bundle(), day)
        start.wait(30)
        recorder.record(work)

    with ThreadPoolExecutor(len(names)) as threads:
        list(threads.map(first, recorders, names))
    with database.reading() as connection:
        kept = connection.execute(select(func.count()).select_from(tables.rule_text)).scalar_one()
        verdict = verify(connection, {})
    assert kept == sum(rule.status in ("active", "shadow") for rule in BOOK.rules)
    assert verdict.broken == ()
