"""What people answered: feedback, decisions, silence, tokens, and what is counted of them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from cds.advice.advisory import Advisory
from cds.record import tables
from cds.record.audit import Checkpoints
from cds.record.database import Database
from cds.record.decisions import AlreadyDecided, Decision, Ended, NoSuchAdvisory, NotAccepted, Planned, Reassessed
from cds.record.recorder import Known, Recorder, ShownCard
from cds.record.responses import Answer, Responses, Taken
from cds.record.reviews import Reviews
from tests.patients.archetypes import patient
from tests.record.visits import REASONER, asked, every_card, visit

BOOK = REASONER.rulebook
NOON = "2025-05-02T12:00:00Z"


def cards(database: Database) -> list[str]:
    with database.reading() as connection:
        return list(connection.execute(select(tables.card.c.id).order_by(tables.card.c.at)).scalars())


def advisory(database: Database) -> tuple[str, int]:
    with database.reading() as connection:
        row = connection.execute(select(tables.advisory.c.id, tables.advisory.c.revision)).one()
    return row.id, row.revision


def test_feedback_is_taken_once(database: Database) -> None:
    visit(Recorder(database, BOOK), "A01", "2025-12-31")
    (card,) = cards(database)
    responses = Responses(database)
    answer = Answer(card, "overridden", NOON, reason_system="urn:x", reason_code="not-relevant", commented=True)
    assert [responses.feedback([answer], "ehr").new for _ in range(3)] == [1, 0, 0]
    later = Answer(card, "accepted", "2025-05-03T12:00:00Z", [str(uuid.uuid4())])
    assert responses.feedback([answer, later, later], "ehr") == Taken(new=1, again=2)
    (counted,) = responses.counts()
    assert (counted["shown"], counted["accepted"], counted["overridden"]) == (1, 1, 0)
    assert counted["reasons"] == {}


def test_a_card_without_answer_is_counted_as_shown_and_nothing_else(database: Database) -> None:
    recorder = Recorder(database, BOOK)
    for _ in range(3):
        visit(recorder, "A01", "2025-12-31")
    (counted,) = Responses(database).counts()
    assert (counted["shown"], counted["accepted"], counted["overridden"]) == (3, 0, 0)


def test_feedback_for_two_patients_in_two_orders_waits_for_nobody(
    database: Database, connect: Callable[[], Database]
) -> None:
    recorder = Recorder(database, BOOK)
    visit(recorder, "A01", "2025-12-31")
    visit(recorder, "A29", "2025-04-28")
    shown = cards(database)
    desks = [Responses(connect()) for _ in range(4)]

    def send(number: int) -> int:
        order = shown if number % 2 else shown[::-1]
        return (
            desks[number % 4]
            .feedback([Answer(one, "overridden", f"2025-05-02T12:00:{number:02}Z") for one in order], "x")
            .new
        )

    with ThreadPoolExecutor(16) as threads:
        assert sum(threads.map(send, range(32))) == 64


def test_feedback_to_an_unknown_card_is_named_and_the_rest_taken(database: Database) -> None:
    visit(Recorder(database, BOOK), "A01", "2025-12-31")
    (card,) = cards(database)
    nobody = str(uuid.uuid4())
    taken = Responses(database).feedback([Answer(card, "accepted", NOON), Answer(nobody, "accepted", NOON)], "ehr")
    assert taken == Taken(new=1, unknown=[nobody])


def test_what_was_overridden_or_decided_is_silent_until_the_evidence_changes(database: Database) -> None:
    recorder, responses = Recorder(database, BOOK), Responses(database)
    first = visit(recorder, "A29", "2025-03-31")
    (watched,) = first.advisories
    assert first.silenced == frozenset()
    responses.feedback([Answer(cards(database)[0], "overridden", NOON)], "ehr")
    assert visit(recorder, "A29", "2025-03-31").silenced == {watched}
    second = visit(recorder, "A29", "2025-04-28")
    (suspected,) = second.advisories
    assert suspected not in second.silenced
    Reviews(database).decide(Decision(*advisory(database), "accept", "board-7"))
    assert visit(recorder, "A29", "2025-04-28").silenced == {watched, suspected}


def test_a_withdrawal_is_told_until_somebody_answers(database: Database) -> None:
    recorder, responses = Recorder(database, BOOK), Responses(database)
    for day in ("2025-03-31", "2025-04-28", "2025-05-02"):
        known = visit(recorder, "A29", day)
    assert len(known.withdrawals) == 1
    told = cards(database)[-1]
    responses.feedback([Answer(told, "accepted", NOON)], "ehr")
    assert visit(recorder, "A29", "2025-05-02").withdrawals == ()


def test_nobody_is_told_of_the_withdrawal_of_what_nobody_saw(database: Database) -> None:
    recorder = Recorder(database, BOOK)

    def nothing(_known: Known, _said: Sequence[Advisory]) -> list[ShownCard]:
        return []

    for day in ("2025-04-28", "2025-05-02"):
        bundle = patient("A29").bundle(datetime.fromisoformat(day).date())
        known = recorder.record(asked(bundle, day, show=nothing))
    assert [step.kind for _, step in known.events] == ["withdrawn"]
    assert known.withdrawals == ()


def test_of_concurrent_decisions_one_wins_and_the_others_hear_who(
    database: Database, connect: Callable[[], Database]
) -> None:
    visit(Recorder(database, BOOK), "A01", "2025-12-31")
    key, revision = advisory(database)
    desks = [Reviews(connect()) for _ in range(4)]

    def decide(number: int) -> str:
        try:
            desks[number % 4].decide(Decision(key, revision, "watch", f"board-{number}"))
        except AlreadyDecided as refused:
            return refused.by
        return "won"

    with ThreadPoolExecutor(32) as threads:
        outcomes = list(threads.map(decide, range(32)))
    assert outcomes.count("won") == 1
    assert set(outcomes) - {"won"} == {f"board-{outcomes.index('won')}"}


def test_a_decision_about_what_has_changed_since_is_refused(database: Database) -> None:
    recorder = Recorder(database, BOOK)
    visit(recorder, "A29", "2025-03-31")
    key, revision = advisory(database)
    visit(recorder, "A29", "2025-04-28")
    with pytest.raises(Reassessed, match=r"a newer evaluation changed this advisory at 20\S+: it is open"):
        Reviews(database).decide(Decision(key, revision, "watch", "board-1"))


def test_the_same_decision_sent_again_is_one(database: Database) -> None:
    visit(Recorder(database, BOOK), "A01", "2025-12-31")
    decision = Decision(*advisory(database), "accept", "board-7", actions=(Planned("imaging", "2026-02-01"),))
    reviews = Reviews(database)
    assert reviews.decide(decision) == reviews.decide(decision)
    with pytest.raises(AlreadyDecided):
        reviews.decide(replace(decision, actions=()))


def test_there_is_nothing_to_decide_about_advice_that_stands_no_more(database: Database) -> None:
    recorder = Recorder(database, BOOK)
    for day in ("2025-03-31", "2025-04-28", "2025-05-02"):
        visit(recorder, "A29", day)
    with pytest.raises(Ended, match="withdrawn since"):
        Reviews(database).decide(Decision(*advisory(database), "watch", "board-7"))


def test_a_decision_while_the_newest_data_are_missing_silences_what_still_stands(database: Database) -> None:
    recorder = Recorder(database, BOOK)
    (said,) = visit(recorder, "A01", "2025-12-31").advisories
    bundle = patient("A01").bundle()
    without = [entry for entry in bundle["entry"] if entry["resource"]["resourceType"] != "Observation"]
    recorder.record(asked({**bundle, "entry": without}, "2025-12-31"))
    Reviews(database).decide(Decision(*advisory(database), "watch", "board-7"))
    assert visit(recorder, "A01", "2025-12-31").silenced == {said}


def test_checkpoints_are_kept_up_by_answers_too(database: Database, tmp_path: Path) -> None:
    points = Checkpoints(tmp_path / "points.jsonl")
    recorder = Recorder(database, BOOK, points)
    visit(recorder, "A01", "2025-12-31")
    (card,) = cards(database)
    for second in range(64):
        recorder.responses.feedback([Answer(card, "overridden", f"2025-05-02T12:{second:02}:00Z")], "ehr")
    assert set(points.read()) == {64}


def test_a_decision_about_nothing_or_of_no_known_kind_is_refused(database: Database) -> None:
    with pytest.raises(NoSuchAdvisory):
        Reviews(database).decide(Decision("nothing", 1, "watch", "board-1"))
    for code in ("stop-therapy", "disagreed"):  # the latter only stands in older records
        with pytest.raises(NotAccepted, match="is none of: accept"):
            Reviews(database).decide(Decision("nothing", 1, code, "board-1"))


def test_a_token_is_new_once_whoever_asks(database: Database, connect: Callable[[], Database]) -> None:
    workers = [Responses(connect()) for _ in range(4)]
    later = datetime.now(UTC) + timedelta(minutes=5)
    with ThreadPoolExecutor(16) as threads:
        seen = list(threads.map(lambda number: workers[number % 4].first_use("iss", "jti-1", later), range(16)))
    assert seen.count(True) == 1
    assert workers[0].first_use("iss", "jti-2", later)
    assert workers[0].first_use("other", "jti-1", later)


def test_expired_tokens_are_forgotten(database: Database) -> None:
    worker = Responses(database)
    past = datetime.now(UTC) - timedelta(minutes=61)
    assert worker.first_use("iss", "jti", past)
    assert worker.first_use("iss", "jti", past)


def test_a_host_whose_clock_is_ahead_forgets_no_token_that_another_still_takes(database: Database) -> None:
    worker = Responses(database)
    of_late = datetime.now(UTC) - timedelta(minutes=50)
    assert worker.first_use("iss", "jti", of_late)
    assert worker.first_use("iss", "other", of_late)  # which is when what has expired is forgotten
    assert not worker.first_use("iss", "jti", of_late)


def test_every_shown_card_is_known_to_the_advisory_it_is_about(database: Database) -> None:
    known = visit(Recorder(database, BOOK), "A01", "2025-12-31")
    with database.reading() as connection:
        rows = connection.execute(select(tables.card.c.advisory_id, tables.card.c.basis)).all()
    assert {row.basis: row.advisory_id for row in rows} == dict(known.advisories)
    assert every_card(known, []) == []
