"""Meetings: planned, ordered, carried over, held and closed; of two people who change one, one hears of the other."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, select, update

from cds.record import tables
from cds.record.agendas import AlreadyHeld, Cancelled, ChangedMeanwhile, NoSuchMeeting
from cds.record.audit import verify
from cds.record.database import Database
from cds.record.decisions import Decision, NotAccepted, Planned
from cds.record.erasure import merge
from cds.record.identity import NoSuchPatient
from cds.record.meetings import MOST_MINUTES, Meetings
from cds.record.recorder import Recorder
from tests.patients.archetypes import patient
from tests.record.boards import TENANT, called, rows
from tests.record.visits import REASONER, asked, who

BOOK = REASONER.rulebook


@pytest.fixture
def recorder(database: Database) -> Recorder:
    """A record of four patients with names."""
    found = Recorder(database, BOOK)
    for number in range(4):
        work = asked(patient("A01").bundle(), "2025-12-31", identity=who(f"Patient/{number}"))
        work.person = called(work.who, f"Name{number}")
        found.record(work)
    return found


def patient_row(recorder: Recorder, number: int) -> str:
    return rows(recorder.database, text=f"name{number}")[0].patient


def families(recorder: Recorder, meeting: str) -> list[str]:
    agenda = recorder.meetings.agenda(TENANT, meeting)
    assert [case.position for case in agenda] == sorted({case.position for case in agenda})
    return [case.named.family.removeprefix("Name") for case in agenda]


def planned(recorder: Recorder, *numbers: int, day: str = "2026-01-05") -> str:
    meeting = recorder.meetings.plan(TENANT, "Breast board", day, "chair")
    for number in numbers:
        recorder.meetings.add(TENANT, meeting, patient_row(recorder, number), "chair")
    return meeting


def holds(recorder: Recorder) -> bool:
    with recorder.database.reading() as connection:
        return verify(connection, {}).holds


def test_a_meeting_is_planned_changed_and_held(recorder: Recorder) -> None:
    meetings = recorder.meetings
    meeting = meetings.plan(TENANT, " Breast board ", "2026-01-05", "chair")
    assert meetings.last_held(TENANT) == ""
    assert (
        meetings.change(TENANT, meeting, 1, "chair", day="2026-01-06", attendees=["oncologist", " ", "surgeon "]) == 2
    )
    assert meetings.change(TENANT, meeting, 2, "chair", quorum=True, minutes="One case.\r\nDone. ", close=True) == 3
    found = meetings.meeting(TENANT, meeting)
    assert (found.board, found.day, found.status, found.quorum) == ("Breast board", "2026-01-06", "held", True)
    assert (found.attendees, found.minutes, found.revision) == (("oncologist", "surgeon"), "One case.\nDone.", 3)
    assert meetings.last_held(TENANT) == meetings.last_held(TENANT, "Breast board") == "2026-01-06"
    assert meetings.last_held(TENANT, "Other board") == meetings.last_held("elsewhere") == ""
    with pytest.raises(AlreadyHeld, match="the meeting of 2026-01-06 was held"):
        meetings.change(TENANT, meeting, 3, "chair", minutes="Otherwise")
    later = meetings.plan(TENANT, "Breast board", "2026-01-12", "chair")
    assert [one.id for one in meetings.meetings(TENANT)] == [later, meeting]
    assert [one.id for one in meetings.meetings(TENANT, status="planned")] == [later]
    assert holds(recorder)


def test_of_two_who_change_a_meeting_one_hears_of_the_other(
    recorder: Recorder, connect: Callable[[], Database]
) -> None:
    meeting = planned(recorder)
    desks = [Meetings(connect()) for _ in range(2)]

    def change(number: int) -> str:
        try:
            desks[number].change(TENANT, meeting, 1, f"chair-{number}", minutes=str(number))
        except ChangedMeanwhile as refused:
            return refused.by
        return "won"

    with ThreadPoolExecutor(2) as threads:
        said = list(threads.map(change, range(2)))
    assert sorted(said) == sorted(["won", f"chair-{said.index('won')}"])
    assert recorder.meetings.meeting(TENANT, meeting).minutes == str(said.index("won"))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"board": " "}, "board"),
        ({"board": "x" * 129}, "board"),
        ({"day": "soon"}, "day"),
        ({"minutes": "x" * (MOST_MINUTES + 1)}, "minutes"),
        ({"minutes": "a\0"}, "minutes"),
        ({"attendees": ["x"] * 101}, "attendees"),
        ({"attendees": ["x" * 129]}, "attendees"),
        ({"attendees": ["a\nb"]}, "attendees"),
    ],
)
def test_what_no_meeting_can_be_is_named(recorder: Recorder, changes: dict[str, object], field: str) -> None:
    meeting = planned(recorder)
    with pytest.raises(NotAccepted) as refused:
        recorder.meetings.change(TENANT, meeting, 1, "chair", **changes)  # type: ignore[arg-type]  # fields by name
    assert refused.value.field == field


def test_a_meeting_is_not_closed_before_its_day(recorder: Recorder) -> None:
    noon = datetime(2026, 1, 4, 9, 59, tzinfo=UTC)  # in Kiribati the next day begins in a minute
    meetings = Meetings(recorder.database, clock=lambda: noon)
    meeting = meetings.plan(TENANT, "Breast board", "2026-01-05", "chair")
    with pytest.raises(NotAccepted, match="its day, 2026-01-05, is still to come") as refused:
        meetings.change(TENANT, meeting, 1, "chair", close=True)
    assert refused.value.field == "close"
    noon += timedelta(minutes=1)
    assert meetings.change(TENANT, meeting, 1, "chair", close=True) == 2
    found = meetings.meeting(TENANT, meeting)
    assert (found.at, found.size) == ("2026-01-04T10:00:00.000000Z", 0)


def test_a_meeting_of_a_day_to_come_is_not_the_last_one(recorder: Recorder) -> None:
    meetings = recorder.meetings
    meetings.change(TENANT, planned(recorder), 1, "chair", close=True)
    wrong = planned(recorder, day="2205-01-12")
    with recorder.database.writing() as connection:  # as it could be closed once
        connection.execute(update(tables.meeting).where(tables.meeting.c.id == wrong), {"status": "held"})
    assert meetings.last_held(TENANT) == meetings.last_held(TENANT, "Breast board") == "2026-01-05"


def test_a_meeting_that_is_not_held_is_cancelled_and_counts_nowhere(recorder: Recorder) -> None:
    meetings, meeting, later = recorder.meetings, planned(recorder, 0, 1), planned(recorder, day="2026-01-12")
    first, second = meetings.agenda(TENANT, meeting)
    for _ in range(2):
        for cancel in (lambda: meetings.may_cancel(TENANT, meeting), lambda: cancelled(recorder, meeting)):
            with pytest.raises(NotAccepted) as refused:
                cancel()
            assert refused.value.field == "cancel_cases"
        meetings.mark(TENANT, meeting, first.id, "chair", discussed=True)  # who was discussed was so at a meeting
    meetings.mark(TENANT, meeting, first.id, "chair", discussed=False)
    meetings.remove(TENANT, meeting, second.id, "chair")
    assert meetings.carry(TENANT, meeting, later, "chair") == 1
    meetings.may_cancel(TENANT, meeting)
    with pytest.raises(ChangedMeanwhile):
        meetings.change(TENANT, meeting, 7, "chair", cancel=True)
    assert cancelled(recorder, meeting) == 2
    assert [one.id for status in ("", "planned", "held") for one in meetings.meetings(TENANT, status=status)] == [
        later, later,
    ]  # fmt: skip
    assert meetings.meetings(TENANT, day="2026-01-05") == []
    assert meetings.last_held(TENANT) == meetings.last_held(TENANT, "Breast board") == ""
    assert [one.id for one in meetings.awaiting(TENANT, first.patient)] == [later]
    assert (meetings.meeting(TENANT, meeting).status, statuses(recorder, meeting)) == ("cancelled", ["carried"])
    changes: tuple[Callable[[], object], ...] = (
        lambda: meetings.add(TENANT, meeting, first.patient, "chair"),
        lambda: meetings.carry(TENANT, later, meeting, "chair"),
        lambda: meetings.change(TENANT, meeting, 2, "chair", minutes="Held after all", close=True),
        lambda: meetings.may_cancel(TENANT, meeting),
    )
    for change in changes:
        with pytest.raises(Cancelled, match="the meeting of 2026-01-05 was cancelled"):
            change()
    with pytest.raises(NotAccepted, match="was cancelled"):
        decide(recorder, 0, meeting)
    assert holds(recorder)


def cancelled(recorder: Recorder, meeting: str) -> int:
    return recorder.meetings.change(TENANT, meeting, 1, "chair", cancel=True)


def test_a_meeting_that_has_decided_is_not_cancelled(recorder: Recorder) -> None:
    meeting = planned(recorder)
    decide(recorder, 0, meeting)
    with pytest.raises(NotAccepted, match="it was held") as refused:
        cancelled(recorder, meeting)
    assert refused.value.field == "cancel"
    with pytest.raises(NoSuchMeeting):
        recorder.meetings.may_cancel("elsewhere", meeting)


def test_who_is_put_on_an_agenda_while_it_is_cancelled_is_not_lost(
    recorder: Recorder, connect: Callable[[], Database]
) -> None:
    keys, desks = [patient_row(recorder, number) for number in range(4)], [Meetings(connect()) for _ in range(4)]
    for _ in range(6):
        meeting = planned(recorder)

        def work(number: int, meeting: str = meeting) -> bool:
            try:
                if number == 2:
                    desks[number].change(TENANT, meeting, 1, "chair", cancel=True)
                else:
                    desks[number].add(TENANT, meeting, keys[number], "chair")
            except (NotAccepted, Cancelled):
                return False
            return True

        with ThreadPoolExecutor(4) as threads:
            done = list(threads.map(work, range(4)))
        assert done in ([True, True, False, True], [False, False, True, False])


# the agenda --------------------------------------------------------------------------------------------------------------


def test_cases_are_added_ordered_and_removed(recorder: Recorder) -> None:
    meetings = recorder.meetings
    meeting = planned(recorder, 0, 1, 2)
    assert families(recorder, meeting) == ["0", "1", "2"]
    cases = {case.named.family: case.id for case in meetings.agenda(TENANT, meeting)}
    meetings.add(TENANT, meeting, patient_row(recorder, 1), "chair")  # again
    assert {case.named.family: case.id for case in meetings.agenda(TENANT, meeting)} == cases
    meetings.move(TENANT, meeting, cases["Name2"], "chair", -1)
    assert families(recorder, meeting) == ["0", "2", "1"]
    meetings.move(TENANT, meeting, cases["Name0"], "chair", 1)
    for _ in range(2):  # at the end it stays
        meetings.move(TENANT, meeting, cases["Name2"], "chair", -1)
        meetings.move(TENANT, meeting, cases["Name1"], "chair", 1)
    assert families(recorder, meeting) == ["2", "0", "1"]
    meetings.remove(TENANT, meeting, cases["Name0"], "chair")
    assert families(recorder, meeting) == ["2", "1"]
    meetings.mark(TENANT, meeting, cases["Name2"], "chair", discussed=True)
    assert [case.status for case in meetings.agenda(TENANT, meeting)] == ["discussed", "open"]
    for missing in (cases["Name0"], "nothing"):
        with pytest.raises(NoSuchMeeting):
            meetings.remove(TENANT, meeting, missing, "chair")
        with pytest.raises(NoSuchMeeting):
            meetings.move(TENANT, meeting, missing, "chair", 1)
    assert holds(recorder)


def test_patients_are_put_on_an_agenda_together_or_not_at_all(recorder: Recorder) -> None:
    meetings, meeting = recorder.meetings, planned(recorder)
    keys = [patient_row(recorder, number) for number in (2, 0, 1)]
    with pytest.raises(NoSuchPatient):
        meetings.add_all(TENANT, meeting, [keys[0], "nobody", keys[1]], "chair")
    assert families(recorder, meeting) == []
    meetings.add_all(TENANT, meeting, [*keys, keys[0]], "chair")
    assert families(recorder, meeting) == ["2", "0", "1"]
    assert [one.size for one in meetings.meetings(TENANT)] == [3]
    with recorder.database.reading() as connection:
        audit = tables.audit.c
        entries = connection.execute(select(audit.subject).where(audit.action == "agenda")).scalars().all()
    assert len(set(entries)) == 3  # of each patient one
    assert "" not in entries
    assert holds(recorder)


def test_many_are_put_on_an_agenda_at_one_reading(recorder: Recorder) -> None:
    meetings, keys = recorder.meetings, [patient_row(recorder, number) for number in range(4)]
    few, many, later = planned(recorder), planned(recorder, 1, 0), planned(recorder, day="2026-01-12")
    (case, _) = meetings.agenda(TENANT, many)
    meetings.mark(TENANT, many, case.id, "chair", discussed=True)
    assert meetings.carry(TENANT, many, later, "chair") == 1
    said: list[str] = []
    event.listen(recorder.database.engine, "before_cursor_execute", lambda *call: said.append(call[2]))

    def reads(meeting: str, *patients: str) -> int:
        """How often that reads, but for the end of the audit, which is read for each entry as the one that it follows."""
        said.clear()
        meetings.add_all(TENANT, meeting, patients, "chair")
        return sum(one.startswith("SELECT") and "FROM audit" not in one and "pg_advisory" not in one for one in said)

    assert reads(few, keys[2]) == reads(many, *keys[::-1]) > 0
    assert (families(recorder, many), statuses(recorder, many)) == (
        ["1", "3", "2", "0"], ["discussed", "open", "open", "open"],
    )  # fmt: skip
    assert holds(recorder)


def test_who_was_merged_stands_on_an_agenda_once(recorder: Recorder) -> None:
    meeting, keys = planned(recorder), [patient_row(recorder, number) for number in range(3)]
    merge(recorder.database, who("Patient/0"), who("Patient/1"), "registry")
    merge(recorder.database, who("Patient/2"), who("Patient/0"), "registry")
    assert recorder.meetings.add_all(TENANT, meeting, keys, "chair") == 1
    assert [case.patient for case in recorder.meetings.agenda(TENANT, meeting)] == [keys[2]]
    assert holds(recorder)


def test_nobody_puts_more_patients_on_an_agenda_at_once_than_a_board_can_mean(recorder: Recorder) -> None:
    meetings, meeting = recorder.meetings, planned(recorder)
    keys = [patient_row(recorder, 0), *map(str, range(200))]
    with pytest.raises(NotAccepted, match="at most 200") as refused:
        meetings.add_all(TENANT, meeting, keys, "chair")
    assert refused.value.field == "patients"
    with pytest.raises(NoSuchPatient):  # as many as there may be
        meetings.add_all(TENANT, meeting, [*keys[:-1], keys[0]], "chair")
    assert families(recorder, meeting) == []


def test_what_was_not_discussed_is_carried_over(recorder: Recorder) -> None:
    meetings = recorder.meetings
    meeting, later = planned(recorder, 0, 1, 2), planned(recorder, 2, 3, day="2026-01-12")
    case = meetings.agenda(TENANT, meeting)[0]
    meetings.mark(TENANT, meeting, case.id, "chair", discussed=True)
    meetings.change(TENANT, meeting, 1, "chair", close=True)
    assert meetings.carry(TENANT, meeting, later, "chair") == 2
    assert families(recorder, later) == ["2", "3", "1"]  # who stands there is not put there twice
    assert [case.carried_from for case in meetings.agenda(TENANT, later)] == ["2026-01-05", "", "2026-01-05"]
    assert [case.carried_to for case in meetings.agenda(TENANT, meeting)] == ["", "2026-01-12", "2026-01-12"]
    assert [case.status for case in meetings.agenda(TENANT, meeting)] == ["discussed", "carried", "carried"]
    assert meetings.carry(TENANT, meeting, later, "chair") == 0
    with pytest.raises(NotAccepted):
        meetings.carry(TENANT, later, later, "chair")
    with pytest.raises(AlreadyHeld):
        meetings.carry(TENANT, later, meeting, "chair")
    assert holds(recorder)


def statuses(recorder: Recorder, meeting: str) -> list[str]:
    return [case.status for case in recorder.meetings.agenda(TENANT, meeting)]


def test_a_case_that_is_carried_there_and_back_is_open_again(recorder: Recorder) -> None:
    meetings, key = recorder.meetings, patient_row(recorder, 0)
    first, later = planned(recorder, 0, 1), planned(recorder, 2, day="2026-01-12")
    last = planned(recorder, day="2026-01-19")
    meetings.mark(TENANT, first, meetings.agenda(TENANT, first)[1].id, "chair", discussed=True)
    assert meetings.carry(TENANT, first, later, "chair") == 1
    assert meetings.carry(TENANT, later, first, "chair") == 2
    assert (families(recorder, first), statuses(recorder, first)) == (["1", "2", "0"], ["discussed", "open", "open"])
    assert [case.carried_to for case in meetings.agenda(TENANT, later)] == ["2026-01-05", "2026-01-05"]
    assert [one.id for one in meetings.awaiting(TENANT, key)] == [first]
    assert meetings.add_all(TENANT, later, [key], "chair") == 1  # by hand, where they were carried away
    assert (families(recorder, later), statuses(recorder, later)) == (["2", "0"], ["carried", "open"])
    assert meetings.add_all(TENANT, later, [key], "chair") == 0
    assert meetings.carry(TENANT, first, last, "chair") == 2
    assert [case.carried_to for case in meetings.agenda(TENANT, first)] == ["", "2026-01-19", "2026-01-19"]
    assert [one.id for one in meetings.awaiting(TENANT, key)] == [later, last]
    assert holds(recorder)


def test_what_became_of_a_case_is_not_overwritten(recorder: Recorder) -> None:
    meetings, meeting, later = recorder.meetings, planned(recorder, 0, 1), planned(recorder, day="2026-01-12")
    gone, stays = meetings.agenda(TENANT, meeting)
    for discussed in (True, True, False, False, True):  # said twice it is said once
        meetings.mark(TENANT, meeting, stays.id, "chair", discussed=discussed)
    meetings.carry(TENANT, meeting, later, "chair")
    before = meetings.agenda(TENANT, meeting)
    changes: tuple[Callable[[], None], ...] = (
        lambda: meetings.mark(TENANT, meeting, gone.id, "chair", discussed=True),
        lambda: meetings.mark(TENANT, meeting, gone.id, "chair", discussed=False),
        lambda: meetings.remove(TENANT, meeting, gone.id, "chair"),
    )
    for change in changes:
        with pytest.raises(NotAccepted, match="carried over to another meeting") as refused:
            change()
        assert refused.value.field == "carried"
    assert meetings.agenda(TENANT, meeting) == before
    assert (statuses(recorder, meeting), statuses(recorder, later)) == (["carried", "discussed"], ["open"])
    decide(recorder, 1, meeting)
    with pytest.raises(NotAccepted, match="has decided about it"):
        meetings.mark(TENANT, meeting, stays.id, "chair", discussed=False)
    meetings.mark(TENANT, meeting, stays.id, "chair", discussed=True)
    assert statuses(recorder, meeting) == ["carried", "discussed"]
    assert holds(recorder)


def test_an_open_case_that_is_carried_to_where_it_was_discussed_is_open_there(recorder: Recorder) -> None:
    meetings = recorder.meetings
    first, later = planned(recorder, 0, 1, 2), planned(recorder, 0, 1, 2, day="2026-01-12")
    meetings.mark(TENANT, later, meetings.agenda(TENANT, later)[0].id, "chair", discussed=True)
    decide(recorder, 1, later, "watch")  # all that is advised about them: nothing of it is open
    meetings.mark(TENANT, later, meetings.agenda(TENANT, later)[2].id, "chair", discussed=True)
    decide(recorder, 2, later, "not-discussed", reason="no-time")
    assert statuses(recorder, later) == ["discussed"] * 3
    assert meetings.add_all(TENANT, later, [patient_row(recorder, 0)], "chair") == 0  # nobody says that more is open
    assert meetings.carry(TENANT, first, later, "chair") == 3
    assert (families(recorder, later), statuses(recorder, later)) == (["1", "0", "2"], ["discussed", "open", "open"])
    assert holds(recorder)


def test_what_a_meeting_decided_about_advice_that_changed_since_does_not_settle_a_case(recorder: Recorder) -> None:
    first, later = planned(recorder, 0), planned(recorder, 0, day="2026-01-12")
    decide(recorder, 0, later, "watch")
    with recorder.database.writing() as connection:
        connection.execute(update(tables.advisory), {"revision": 2})
    recorder.meetings.carry(TENANT, first, later, "chair")
    assert statuses(recorder, later) == ["open"]


def test_a_case_that_many_carry_to_and_fro_is_open_somewhere(
    recorder: Recorder, connect: Callable[[], Database]
) -> None:
    both = planned(recorder, 0, 1, 2, 3), planned(recorder, 1, 3, day="2026-01-12")
    desks = [Meetings(connect()) for _ in range(4)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: desks[n % 4].carry(TENANT, both[n % 2], both[1 - n % 2], "chair"), range(24)))
    for number in range(4):
        assert recorder.meetings.awaiting(TENANT, patient_row(recorder, number)), number
        assert [families(recorder, one).count(str(number)) for one in both] in ([1, 1], [1, 0])
    assert holds(recorder)


def test_the_agenda_of_a_held_meeting_stays(recorder: Recorder) -> None:
    meetings = recorder.meetings
    meeting = planned(recorder, 0)
    (case,) = meetings.agenda(TENANT, meeting)
    meetings.change(TENANT, meeting, 1, "chair", close=True)
    changes: tuple[Callable[[], None], ...] = (
        lambda: meetings.add(TENANT, meeting, patient_row(recorder, 1), "chair"),
        lambda: meetings.remove(TENANT, meeting, case.id, "chair"),
        lambda: meetings.move(TENANT, meeting, case.id, "chair", 1),
        lambda: meetings.mark(TENANT, meeting, case.id, "chair", discussed=True),
    )
    for change in changes:
        with pytest.raises(AlreadyHeld):
            change()
    assert families(recorder, meeting) == ["0"]


# what is found and decided -----------------------------------------------------------------------------------------------


def decide(recorder: Recorder, number: int, meeting: str, code: str = "accept", **more: Any) -> str:
    """A decision about a patient at a meeting; its id."""
    (row,) = rows(recorder.database, text=f"name{number}")
    made = recorder.reviews.decisions(TENANT, advisory=row.advisory)
    return recorder.reviews.decide(
        Decision(row.advisory, row.revision, code, "board-7", seen=len(made), meeting=meeting, **more), TENANT
    )


def test_a_held_meeting_keeps_what_was_found_and_decided(recorder: Recorder) -> None:
    meetings = recorder.meetings
    meeting, later = planned(recorder, 0, 1, 2), planned(recorder, day="2026-01-12")
    decision = decide(recorder, 0, meeting)
    recorder.reviews.second(decision, "prof-2", agrees=True)
    before = meetings.agenda(TENANT, meeting)
    (found,) = before[0].found or ()
    assert (found.state, found.markers, found.claim, found.revision) == ("suspected", ("trpc5-ev",), "suspected", 1)
    meetings.change(TENANT, meeting, 1, "chair", close=True)
    assert meetings.agenda(TENANT, meeting) == before
    meetings.carry(TENANT, meeting, later, "chair")
    recorder.reviews.second(decision, "prof-3", agrees=False)
    for number in (0, 1):  # decided there, and carried over from there
        with pytest.raises(NotAccepted, match="was held and is closed") as refused:
            decide(recorder, number, meeting, "watch")
        assert refused.value.field == "meeting"
    bundle = patient("A01").bundle()
    bundle["entry"] = [one for one in bundle["entry"] if one["resource"]["resourceType"] != "Observation"]
    recorder.record(asked(bundle, "2025-12-31", identity=who("Patient/0")))
    decide(recorder, 0, later, "watch")
    after = meetings.agenda(TENANT, meeting)
    assert [one.found for one in after] == [one.found for one in before]
    assert [replace(one, newest=True) for one in after[0].decisions] == list(before[0].decisions)
    assert [one.status for one in after] == ["discussed", "carried", "carried"]
    now = {case.named.family: case for case in meetings.agenda(TENANT, later)}["Name0"]
    assert [(one.state, one.revision) for one in now.found or ()] != [(found.state, found.revision)]
    assert [one.code for one in now.decisions] == ["watch"]
    assert holds(recorder)


def test_what_was_found_at_a_meeting_of_before_is_not_known(recorder: Recorder) -> None:
    meeting = planned(recorder, 0)
    recorder.meetings.change(TENANT, meeting, 1, "chair", close=True)
    with recorder.database.writing() as connection:
        connection.execute(update(tables.agenda), {"found": None})
    assert [case.found for case in recorder.meetings.agenda(TENANT, meeting)] == [None]


def test_an_agenda_says_what_advice_still_claims(recorder: Recorder) -> None:
    bundle = patient("A01").bundle()
    for entry in bundle["entry"]:
        if entry["resource"]["resourceType"] == "Observation":
            entry["resource"].pop("method", None)
            entry["resource"].pop("specimen", None)
    recorder.record(asked(bundle, "2025-12-31", identity=who("Patient/0")))
    (case,) = recorder.meetings.agenda(TENANT, planned(recorder, 0))
    assert [(one.state, one.claim) for one in case.found or ()] == [("not-evaluable", "suspected")]


def test_whoever_is_decided_about_at_a_meeting_stands_on_its_agenda(recorder: Recorder) -> None:
    meetings, meeting, later = recorder.meetings, planned(recorder, 3), planned(recorder, 1, day="2026-01-12")
    meetings.carry(TENANT, later, meeting, "chair")
    decide(recorder, 0, meeting)
    decide(recorder, 2, meeting, "not-discussed", reason="no-time")
    decide(recorder, 1, later)  # it was carried over, and discussed after all
    assert families(recorder, meeting) == ["3", "1", "0", "2"]
    assert [one.status for one in meetings.agenda(TENANT, meeting)] == ["open", "open", "discussed", "open"]
    assert [one.status for one in meetings.agenda(TENANT, later)] == ["discussed"]
    for case in meetings.agenda(TENANT, meeting)[2:]:
        with pytest.raises(NotAccepted, match="its minutes are to say so"):
            meetings.remove(TENANT, meeting, case.id, "chair")
    assert holds(recorder)


def test_a_meeting_that_has_decided_is_not_moved_to_a_day_to_come(recorder: Recorder) -> None:
    noon = datetime(2026, 1, 5, 12, tzinfo=UTC)
    meetings, meeting, other = Meetings(recorder.database, clock=lambda: noon), planned(recorder, 0), planned(recorder)
    decide(recorder, 0, meeting)
    for day in ("2026-01-06", "2027-01-05"):
        with pytest.raises(NotAccepted, match="still to come") as refused:
            meetings.change(TENANT, meeting, 1, "chair", day=day)
        assert refused.value.field == "moved"
    assert meetings.change(TENANT, other, 1, "chair", day="2026-01-06") == 2  # nothing was decided there
    noon += timedelta(days=1)
    assert meetings.change(TENANT, meeting, 1, "chair", day="2026-01-06") == 2
    noon -= timedelta(days=1)  # of a clock that was set back nothing else is kept
    assert meetings.change(TENANT, meeting, 2, "chair", day="2026-01-06", minutes="One case") == 3


def test_minutes_name_every_action_that_their_decision_states(recorder: Recorder) -> None:
    meeting, imaging = planned(recorder, 0), Planned("imaging", "2026-02-01")
    decide(recorder, 0, meeting, actions=(imaging,))
    decide(recorder, 0, meeting, actions=(imaging, Planned("trial")), note="Another word")
    (case,) = recorder.meetings.agenda(TENANT, meeting)
    assert [one.actions for one in case.decisions] == [(imaging, Planned("trial"))]


def test_boards_act_by_the_clock_of_the_record(database: Database) -> None:
    then = datetime(2026, 1, 5, 16, 30, tzinfo=UTC)
    recorder = Recorder(database, BOOK, clock=lambda: then)
    work = asked(patient("A01").bundle(), "2025-12-31", identity=who("Patient/0"))
    work.person = called(work.who, "Name0")
    recorder.record(work)
    meeting = planned(recorder, 0)
    decide(recorder, 0, meeting, actions=(Planned("trial"),))
    (case,) = recorder.meetings.agenda(TENANT, meeting)
    (action,) = recorder.follow_up.actions(TENANT, patient=case.patient)
    recorder.follow_up.close(TENANT, action.id, "done", "nurse")
    (action,) = recorder.follow_up.actions(TENANT, patient=case.patient)
    said = {recorder.meetings.meeting(TENANT, meeting).at, case.decisions[0].at, action.at, action.closed}
    assert said == {"2026-01-05T16:30:00.000000Z"}
    assert holds(recorder)


def test_meetings_and_patients_of_others_are_not_there(recorder: Recorder) -> None:
    meetings = recorder.meetings
    meeting = planned(recorder, 0)
    for ask in (
        lambda: meetings.meeting("elsewhere", meeting),
        lambda: meetings.agenda("elsewhere", meeting),
        lambda: meetings.change("elsewhere", meeting, 1, "chair", minutes=""),
        lambda: meetings.carry("elsewhere", meeting, "none", "chair"),
        lambda: meetings.add(TENANT, "none", patient_row(recorder, 1), "chair"),
    ):
        with pytest.raises(NoSuchMeeting):
            ask()
    for tenant, key in ((TENANT, "none"), ("elsewhere", patient_row(recorder, 1))):
        with pytest.raises(NoSuchPatient):
            meetings.add(tenant, meeting, key, "chair")


def test_many_add_the_same_patients_at_once(recorder: Recorder, connect: Callable[[], Database]) -> None:
    meeting = planned(recorder)
    keys = [patient_row(recorder, number) for number in range(4)]
    desks = [Meetings(connect()) for _ in range(4)]
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda n: desks[n % 4].add(TENANT, meeting, keys[n % 4 - n % 3], "chair"), range(32)))
    assert len(families(recorder, meeting)) == 4
    assert holds(recorder)


def test_agendas_change_while_patients_are_merged(recorder: Recorder, connect: Callable[[], Database]) -> None:
    meeting, later = planned(recorder, 0, 1, 2, 3), planned(recorder, day="2026-01-12")
    desks, cases = [Meetings(connect()) for _ in range(3)], recorder.meetings.agenda(TENANT, meeting)
    database = connect()

    def work(number: int) -> None:
        if number == 5:
            merge(database, who("Patient/0"), who("Patient/1"), "registry")
        elif number == 9:
            desks[0].carry(TENANT, meeting, later, "chair")
        else:
            desks[number % 3].move(TENANT, meeting, cases[number % 4].id, "chair", 1 if number % 2 else -1)

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(work, range(14)))
    assert holds(recorder)
    assert len(families(recorder, later)) in (3, 4)
