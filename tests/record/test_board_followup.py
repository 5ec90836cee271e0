"""What became of decisions: actions done or not and why, outcomes after 3, 6 and 12 months, the clock, and precision."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, select, update

from cds.calendar import today
from cds.record import tables
from cds.record.audit import verify
from cds.record.codes import MONTHS, NOT_DONE
from cds.record.database import Database
from cds.record.decisions import AlreadyDecided, Decision, NoSuchAdvisory, NotAccepted, Planned
from cds.record.followup import FollowUp
from cds.record.overdue import AllOverdue, months_after
from cds.record.precision import precision, wilson
from cds.record.recorder import Recorder
from cds.record.worklist import Filter, listed
from tests.patients.archetypes import patient
from tests.record.boards import A_SEASON, A_YEAR, TENANT, advisory, behind, rows
from tests.record.visits import REASONER, asked, visit, who

BOOK = REASONER.rulebook
TODAY = datetime.now(UTC).date()
LOOKED_AT = date(2026, 11, 2)


@pytest.fixture
def recorder(database: Database) -> Recorder:
    """A record with one open advisory, about which a board decided to do two things."""
    found = Recorder(database, BOOK, clock=behind(A_SEASON))
    visit(found, "A01", "2025-12-31")
    plan = (Planned("imaging", "2026-02-01"), Planned("trial"))
    found.reviews.decide(Decision(*advisory(database), "accept", "board-7", actions=plan))
    return found


def holds(database: Database) -> bool:
    with database.reading() as connection:
        return verify(connection, {}).holds


# actions ---------------------------------------------------------------------------------------------------------------


def test_an_action_is_done_or_not_and_why(recorder: Recorder) -> None:
    follow_up = recorder.follow_up
    imaging, trial = follow_up.actions(TENANT, advisory=advisory(recorder.database)[0])
    follow_up.close(TENANT, imaging.id, "done", "nurse-1")
    follow_up.close(TENANT, imaging.id, "done", "nurse-1")  # sent again
    follow_up.close(TENANT, trial.id, "not-done", "nurse-1", reason="trial-closed")
    with pytest.raises(AlreadyDecided, match="nurse-1 decided 'done'"):
        follow_up.close(TENANT, imaging.id, "partly", "nurse-2")
    follow_up.close(TENANT, imaging.id, "partly", "nurse-2", reason="sample-failed", seen="done")
    found = {one.kind: one for one in follow_up.actions(TENANT, patient=imaging.patient)}
    assert (found["imaging"].status, found["imaging"].reason, found["imaging"].by) == (
        "partly",
        "sample-failed",
        "nurse-2",
    )
    assert (found["trial"].status, found["trial"].reason) == ("not-done", "trial-closed")
    assert rows(recorder.database)[0].due == ""
    assert holds(recorder.database)


def test_what_was_corrected_stays_known(recorder: Recorder) -> None:
    """ "Done" by a slip is followed by what is true, and neither who said it nor when is lost."""
    follow_up, key = recorder.follow_up, advisory(recorder.database)[0]
    imaging, _ = follow_up.actions(TENANT, advisory=key)
    follow_up.close(TENANT, imaging.id, "done", "nurse-1")
    follow_up.close(TENANT, imaging.id, "not-done", "nurse-2", reason="patient-wish", seen="done")
    with pytest.raises(AlreadyDecided, match="nurse-2 decided 'not-done'"):
        follow_up.close(TENANT, imaging.id, "partly", "nurse-3", seen="done")
    follow_up.close(TENANT, imaging.id, "not-done", "nurse-1", reason="toxicity", seen="not-done")
    found = next(one for one in follow_up.actions(TENANT, advisory=key) if one.id == imaging.id)
    assert (found.status, found.reason, found.by) == ("not-done", "toxicity", "nurse-1")
    assert [(one.status, one.reason, one.by) for one in found.earlier] == [
        ("done", "", "nurse-1"),
        ("not-done", "patient-wish", "nurse-2"),
    ]
    assert all(one.at for one in found.earlier)
    assert holds(recorder.database)
    with recorder.database.writing() as connection:  # and it is under the audit like the rest
        connection.execute(update(tables.action).where(tables.action.c.id == imaging.id), {"earlier": "[]"})
    assert not holds(recorder.database)


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [
        ("open", "", "status: 'open' is none of"),
        ("replaced", "", "status: 'replaced' is none of"),
        ("not-done", "", "reason: '' is none of: patient-wish"),
        ("not-done", "because", "reason: 'because' is none of"),
        ("partly", "because", "reason: 'because' is none of"),
        ("done", "patient-wish", "reason: 'done' has none"),
    ],
)
def test_what_cannot_be_said_of_an_action_is_named(recorder: Recorder, status: str, reason: str, words: str) -> None:
    (imaging, _) = recorder.follow_up.actions(TENANT, advisory=advisory(recorder.database)[0])
    with pytest.raises(NotAccepted, match=words):
        recorder.follow_up.close(TENANT, imaging.id, status, "nurse-1", reason=reason)


def test_actions_of_others_are_not_there(recorder: Recorder) -> None:
    (imaging, _) = recorder.follow_up.actions(TENANT, advisory=advisory(recorder.database)[0])
    for tenant, key in (("elsewhere", imaging.id), (TENANT, "none")):
        with pytest.raises(NoSuchAdvisory):
            recorder.follow_up.close(tenant, key, "done", "nurse-1")
    assert recorder.follow_up.actions("elsewhere", patient=imaging.patient) == []


def test_an_action_that_was_replaced_stays_so(recorder: Recorder) -> None:
    (imaging, _) = recorder.follow_up.actions(TENANT, advisory=advisory(recorder.database)[0])
    recorder.reviews.decide(Decision(*advisory(recorder.database), "watch", "board-7", seen=1))
    for seen in ("open", "replaced"):
        with pytest.raises(AlreadyDecided, match="board-7 decided 'replaced'"):
            recorder.follow_up.close(TENANT, imaging.id, "done", "nurse-1", seen=seen)


# outcomes ----------------------------------------------------------------------------------------------------------------


def test_an_outcome_is_stated_and_amended(recorder: Recorder, connect: Callable[[], Database]) -> None:
    key, follow_up = advisory(recorder.database)[0], recorder.follow_up
    first = follow_up.state(TENANT, key, 3, "SD", "unclear", "nurse-1")
    assert follow_up.state(TENANT, key, 3, "SD", "unclear", "nurse-1") == first
    with pytest.raises(AlreadyDecided, match="nurse-1 decided 'SD, resistance unclear'"):
        follow_up.state(TENANT, key, 3, "PD", "yes", "nurse-2")
    desks = [FollowUp(connect()) for _ in range(2)]

    def amend(number: int) -> str:
        try:
            return desks[number].state(TENANT, key, 3, "PD", "yes", f"nurse-{number}", seen=1) and "won"
        except AlreadyDecided as refused:
            return refused.by

    with ThreadPoolExecutor(2) as threads:
        said = list(threads.map(amend, range(2)))
    assert sorted(said) == sorted(["won", f"nurse-{said.index('won')}"])
    assert [(one.number, one.response, one.resistance) for one in follow_up.outcomes(TENANT, key)] == [
        (1, "SD", "unclear"),
        (2, "PD", "yes"),
    ]
    assert follow_up.outcomes("elsewhere", key) == []
    assert holds(recorder.database)


@pytest.mark.parametrize(
    ("stated", "words"),
    [((4, "PD", "yes"), "one of: 3, 6, 12"), ((3, "XX", "yes"), "none of: CR"), ((3, "PD", "perhaps"), "none of: yes")],
)
def test_what_is_no_outcome_is_named(recorder: Recorder, stated: tuple[Any, ...], words: str) -> None:
    months, response, resistance = stated
    with pytest.raises(NotAccepted, match=words):
        recorder.follow_up.state(TENANT, advisory(recorder.database)[0], months, response, resistance, "nurse-1")
    with pytest.raises(NotAccepted, match="there is no outcome 1"):
        recorder.follow_up.state(TENANT, advisory(recorder.database)[0], 3, "PD", "yes", "nurse-1", seen=1)


def test_an_outcome_is_stated_on_the_day_on_which_it_is_due_at_the_earliest(database: Database) -> None:
    """So many months after the advice was opened last: a slip in the line must not answer for a year that is still to come."""
    now = [datetime.now(UTC) - timedelta(days=A_YEAR)]
    recorder = Recorder(database, BOOK, clock=lambda: now[0])
    follow_up = recorder.follow_up
    for day in ("2025-03-31", "2025-04-28"):
        visit(recorder, "A29", day)
    key, _ = advisory(database)
    follow_up.state(TENANT, key, 12, "SD", "no", "nurse-1")
    now[0] = datetime.now(UTC) - timedelta(days=A_SEASON)
    for day in ("2025-05-02", "2025-04-28"):  # withdrawn, and opened anew
        visit(recorder, "A29", day)
    follow_up.state(TENANT, key, 3, "SD", "no", "nurse-1")
    for months, seen in ((6, 0), (12, 1)):
        due = next(one.due for one in follow_up.clock(TENANT, key) if one.months == months)
        with pytest.raises(NotAccepted, match=f"due: the outcome after {months} months is due on {due}"):
            follow_up.state(TENANT, key, months, "PD", "yes", "nurse-1", seen=seen)
    assert [one.months for one in follow_up.outcomes(TENANT, key)] == [3, 12]


@pytest.mark.parametrize(("days", "taken"), [(0, True), (1, False)])
def test_the_day_on_which_an_outcome_is_due_is_one_of_the_place(recorder: Recorder, days: int, taken: bool) -> None:
    key = advisory(recorder.database)[0]
    day = next(day for day in (today() - timedelta(days=88 + n) for n in range(7)) if months_after(day, 3) <= today())
    opened_on(recorder.database, key, day + timedelta(days=days))
    if taken:
        recorder.follow_up.state(TENANT, key, 3, "PD", "yes", "nurse-1")
    else:
        with pytest.raises(NotAccepted, match="is due on"):
            recorder.follow_up.state(TENANT, key, 3, "PD", "yes", "nurse-1")


def noon(day: date) -> str:
    return f"{day}T12:00:00.000000Z"


def opened_on(database: Database, key: str, day: date) -> None:
    with database.writing() as connection:  # the tests below are about the clock, not about the chain
        connection.execute(update(tables.advisory).where(tables.advisory.c.id == key), {"opened": noon(day)})


def test_the_clock_of_an_advisory(recorder: Recorder) -> None:
    key, follow_up = advisory(recorder.database)[0], recorder.follow_up
    opened_on(recorder.database, key, date(2025, 11, 30))
    follow_up.state(TENANT, key, 6, "PD", "yes", "nurse-1")
    clock = follow_up.clock(TENANT, key)
    assert [(one.months, one.due) for one in clock] == [(3, "2026-02-28"), (6, "2026-05-30"), (12, "2026-11-30")]
    assert [one.stated is not None for one in clock] == [False, True, False]
    with pytest.raises(NoSuchAdvisory):
        follow_up.clock("elsewhere", key)


def test_what_is_overdue(recorder: Recorder) -> None:
    key, follow_up = advisory(recorder.database)[0], recorder.follow_up
    opened_on(recorder.database, key, date(2025, 11, 30))

    def overdue(day: str) -> list[tuple[str, str, int]]:
        found = follow_up.overdue(TENANT, date.fromisoformat(day))
        assert (found.all_actions, found.all_outcomes) == (len(found.actions), len(found.outcomes))
        return [(one.kind, one.due, one.months) for one in (*found.actions, *found.outcomes)]

    assert overdue("2026-02-01") == []
    assert overdue("2026-02-28") == [("imaging", "2026-02-01", 0)]
    assert overdue("2026-03-01") == [("imaging", "2026-02-01", 0), ("outcome", "2026-02-28", 3)]
    assert overdue("2026-05-31")[1:] == [("outcome", "2026-05-30", 6)]  # the last that is due tells of those before
    follow_up.state(TENANT, key, 6, "SD", "no", "nurse-1")
    assert overdue("2026-11-30") == [("imaging", "2026-02-01", 0)]
    assert overdue("2026-12-01")[1:] == [("outcome", "2026-11-30", 12)]
    assert follow_up.overdue("elsewhere", date(2027, 1, 1)) == AllOverdue([], 0, [], 0)
    (one,) = follow_up.overdue(TENANT, date(2026, 12, 1)).actions
    assert (one.who.reference, one.question) == ("Patient/a01", "trpc5-rise-on-chemotherapy")


def test_every_outcome_that_is_overdue_stands_on_one_page_by_its_day(recorder: Recorder) -> None:
    """Of advice that was opened anew the months are counted from there; what was stated before says nothing of it."""
    key, last, database = advisory(recorder.database)[0], date(2026, 7, 1), recorder.database
    opened_on(database, key, last)
    expected = [("2026-10-01", key, 3, "2026-07-01")]
    with database.writing() as connection:
        (advised,) = connection.execute(select(tables.advisory)).mappings().all()
        (event,) = connection.execute(select(tables.event)).mappings().all()
        for number in range(1, 41):
            one, opened, anew = f"{number:034}-1", last - timedelta(days=12 * number), number % 3 == 0
            row = {**advised, "id": one, "opened": noon(opened), "line_start": f"{number:010}"}
            connection.execute(insert(tables.advisory), row)
            if number % 4 == 0:  # stated on the first day
                said = {"response": "SD", "resistance": "no", "by": "nurse-1", "at": noon(opened)}
                row = {"patient_id": row["patient_id"], "advisory_id": one, "months": 3, "number": 1, **said}
                connection.execute(insert(tables.outcome), {"id": one, **row})
            for times, days in ((2, 20), (3, 50)) if anew else ():
                row = {**event, "id": f"{number:034}-{times}", "advisory_id": one, "number": times, "kind": "opened"}
                connection.execute(insert(tables.event), {**row, "at": noon(opened + timedelta(days=days))})
            opened += timedelta(days=50 if anew else 0)
            due = [months for months in MONTHS if months_after(opened, months) < LOOKED_AT]
            if due and (number % 4 or anew or due[-1] > 3):
                expected.append((months_after(opened, due[-1]).isoformat(), one, due[-1], opened.isoformat()))

    def found(most: int, page: int = 1) -> list[tuple[str, str, int, str]]:
        shown = recorder.follow_up.overdue(TENANT, LOOKED_AT, most, page)
        assert (shown.all_outcomes, shown.pages) == (len(expected), -(-len(expected) // most))
        return [(one.due, one.advisory, one.months, one.opened) for one in shown.outcomes]

    assert len({months for _, _, months, _ in expected}) == 3
    assert found(1000) == sorted(expected)
    assert [one for page in range(1, 8) for one in found(7, page)] == sorted(expected)
    assert listed(database, TENANT, Filter(), today=LOOKED_AT).counts.outcomes == len(expected)


def test_the_clocks_of_a_patient_are_those_of_each_advisory(recorder: Recorder) -> None:
    key, follow_up = advisory(recorder.database)[0], recorder.follow_up
    follow_up.state(TENANT, key, 3, "SD", "no", "nurse-1")
    follow_up.state(TENANT, key, 3, "PD", "yes", "nurse-1", seen=1)
    (row,) = rows(recorder.database)
    clocks = follow_up.clocks(TENANT, row.patient)
    assert clocks == {key: follow_up.clock(TENANT, key)}
    assert [[one.response for one in due.said] for due in clocks[key]] == [["SD", "PD"], [], []]
    assert clocks[key][0].stated == clocks[key][0].said[-1]
    assert follow_up.clocks("elsewhere", row.patient) == {}


def test_nothing_is_asked_of_advice_that_was_withdrawn(database: Database) -> None:
    recorder = Recorder(database, BOOK)
    for day in ("2025-03-31", "2025-04-28", "2025-05-02"):
        visit(recorder, "A29", day)
    assert recorder.follow_up.overdue(TENANT, TODAY + timedelta(days=400)).all_outcomes == 0
    assert recorder.follow_up.clock(TENANT, advisory(database)[0]) == []


@given(st.dates(date(2000, 1, 1), date(2100, 1, 1)), st.sampled_from(MONTHS))
def test_so_many_months_later(day: date, months: int) -> None:
    later = months_after(day, months)
    assert (later.year * 12 + later.month) - (day.year * 12 + day.month) == months
    assert later.day == day.day or (later + timedelta(days=1)).day == 1


# precision -----------------------------------------------------------------------------------------------------------------


def test_precision_counts_nothing_that_nobody_said(database: Database) -> None:
    recorder = Recorder(database, BOOK, clock=behind(A_YEAR))
    bundle = patient("A01").bundle()
    keys = []
    for number in range(8):
        recorder.record(asked(bundle, "2025-12-31", identity=who(f"Patient/{number}")))
        keys.append(rows(database, text=f"Patient/{number}")[0].advisory)
    for day in ("2025-03-31", "2025-04-28", "2025-05-02"):
        visit(recorder, "A29", day)  # withdrawn: its data were wrong, not the rule
    visit(recorder, "A28", "2025-04-07")  # a watch is no flag
    for day in ("2025-03-31", "2025-04-28", "2025-04-30"):
        visit(recorder, "A30", day)  # withdrawn too, though less is claimed since
    state, decide = recorder.follow_up.state, recorder.reviews.decide
    for key, months, resistance in (
        (keys[0], 3, "yes"), (keys[1], 3, "no"), (keys[1], 12, "yes"), (keys[2], 6, "no"), (keys[3], 3, "yes"),
        (keys[3], 6, "unclear"),
    ):  # fmt: skip
        state(TENANT, key, months, "NE", resistance, "nurse-1")
    decide(Decision(keys[0], 1, "accept", "board"))
    decide(Decision(keys[1], 1, "reject", "board", reason="sample-timing"))
    decide(Decision(keys[1], 1, "accept", "board", seen=1))
    decide(Decision(keys[2], 1, "watch", "board"))
    decide(Decision(keys[3], 1, "not-discussed", "board", reason="no-time"))
    (found,) = precision(database, TENANT)
    assert (found.rule, found.hash) == ("trpc5-rise-on-chemotherapy", BOOK.rule("trpc5-rise-on-chemotherapy").hash)
    assert (found.flags, found.withdrawn) == (8, 2)
    assert (found.confirmed, found.refuted, found.unclear, found.unknown) == (2, 1, 1, 4)
    assert (found.accepted, found.rejected, found.otherwise, found.unanswered) == (2, 0, 1, 5)
    assert found.share == pytest.approx(2 / 3)
    assert (found.low, found.high) == pytest.approx((0.2077, 0.9385), abs=1e-4)
    assert precision(database, "elsewhere") == []


def test_what_was_said_before_a_reopening_says_nothing_of_the_flag_that_stands(database: Database) -> None:
    now = [datetime(2024, 1, 1, 12, tzinfo=UTC)]
    recorder = Recorder(database, BOOK, clock=lambda: now[0])
    for day in ("2025-03-31", "2025-04-28"):
        visit(recorder, "A29", day)
    key, revision = advisory(database)
    recorder.reviews.decide(Decision(key, revision, "reject", "board", reason="sample-timing"))
    now[0] = datetime(2025, 1, 1, 12, tzinfo=UTC)
    recorder.follow_up.state(TENANT, key, 12, "SD", "no", "nurse-1")
    (found,) = precision(database, TENANT)
    assert (found.flags, found.refuted, found.rejected) == (1, 1, 1)
    now[0] += timedelta(days=1)
    visit(recorder, "A29", "2025-05-02")  # withdrawn: a laboratory corrected the value
    (found,) = precision(database, TENANT)
    assert (found.flags, found.withdrawn) == (0, 1)
    now[0] += timedelta(days=1)
    visit(recorder, "A29", "2025-04-28")  # and took the correction back
    assert advisory(database) == (key, 4)
    assert not any(one.stated for one in recorder.follow_up.clock(TENANT, key))
    (found,) = precision(database, TENANT)
    assert (found.flags, found.withdrawn, found.unknown, found.unanswered) == (1, 0, 1, 1)
    now[0] = datetime(2025, 6, 1, 12, tzinfo=UTC)
    recorder.follow_up.state(TENANT, key, 3, "PD", "yes", "nurse-1")
    recorder.reviews.decide(Decision(key, 4, "accept", "board", seen=1))
    (found,) = precision(database, TENANT)  # though twelve months are later than three
    assert (found.flags, found.confirmed, found.refuted, found.accepted, found.rejected) == (1, 1, 0, 1, 0)


def test_what_became_of_a_flag_stays_known_when_a_newer_version_opens_it_anew(database: Database) -> None:
    now = [datetime(2025, 1, 1, 12, tzinfo=UTC)]
    recorder = Recorder(database, BOOK, clock=lambda: now[0])
    visit(recorder, "A01", "2025-12-31")
    recorder.follow_up.state(TENANT, advisory(database)[0], 3, "PD", "yes", "nurse-1")
    now[0] += timedelta(days=100)
    with database.writing() as connection:  # the flag was an older version's
        for table in (tables.event, tables.advisory):
            connection.execute(update(table).values(rule_hash="0" * 64))
    visit(recorder, "A01", "2025-12-31")
    found = {one.hash: (one.flags, one.confirmed, one.unknown) for one in precision(database, TENANT)}
    assert found == {"0" * 64: (1, 1, 0), BOOK.rule("trpc5-rise-on-chemotherapy").hash: (1, 0, 1)}


def test_without_an_outcome_there_is_no_share(database: Database) -> None:
    visit(Recorder(database, BOOK), "A01", "2025-12-31")
    (found,) = precision(database, TENANT)
    assert (found.share, found.low, found.high, found.unanswered) == (None, None, None, 1)


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"), [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662)]
)
def test_the_interval_of_wilson(hits: int, of: int, low: float, high: float) -> None:
    """The last is the example of Newcombe (Stat Med 1998;17:857), method 3."""
    assert wilson(hits, of) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 10_000).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
def test_an_interval_holds_its_share(counted: tuple[int, int]) -> None:
    low, high = wilson(*counted)
    share = counted[0] / counted[1]
    assert 0 <= low <= share <= high <= 1
    assert math.isclose(1 - high, wilson(counted[1] - counted[0], counted[1])[0], abs_tol=1e-12)


def test_reasons_have_labels() -> None:
    assert all(label and label[0].isupper() for label in NOT_DONE.values())
