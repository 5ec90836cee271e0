"""Decisions of boards: what they may say, who is first, amendments that overwrite nothing, second readings, meetings."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from cds.record import tables
from cds.record.audit import verify
from cds.record.codes import ACTIONS, DISPOSITIONS, LEVELS, NOT_DONE, REASONS, RETIRED, WITHOUT_A_DAY
from cds.record.database import Database
from cds.record.decisions import (
    MOST_NOTE,
    AlreadyDecided,
    Decision,
    Ended,
    NoSuchAdvisory,
    NotAccepted,
    Planned,
    checked,
    reference,
)  # fmt: skip
from cds.record.recorder import Recorder
from cds.record.reviews import Reviews
from tests.record.boards import TENANT, advisory
from tests.record.visits import REASONER, visit

BOOK = REASONER.rulebook
IMAGING, TRIAL = Planned("imaging", "2026-02-01"), Planned("trial")


@pytest.fixture
def recorder(database: Database) -> Recorder:
    """A record with one open advisory."""
    found = Recorder(database, BOOK)
    visit(found, "A01", "2025-12-31")
    return found


def about(database: Database, code: str = "accept", by: str = "board-7", **more: Any) -> Decision:
    return Decision(*advisory(database), code, by, **more)


def holds(database: Database) -> bool:
    with database.reading() as connection:
        return verify(connection, {}).holds


# what a decision may say -----------------------------------------------------------------------------------------------

FULL = Decision(
    "a", 1, "reject", " board-7 ", 0, "other", " why \r\n so ", (IMAGING, TRIAL), "m2B", True,
    ("PMID: 28301834", "https://doi.org/10.1000/182", "28301834"),
)  # fmt: skip


def test_what_is_decided_is_stored_in_one_form() -> None:
    found = checked(FULL)
    assert (found.by, found.note, found.references) == ("board-7", "why \n so", ("28301834", "10.1000/182"))
    assert checked(found) == found


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"code": "stop-therapy"}, "code", "none of: accept"),
        *(({"code": code}, "code", "none of") for code in RETIRED),
        ({"reason": ""}, "reason", "needs one of"),
        ({"code": "not-discussed", "reason": ""}, "reason", "needs one of"),
        ({"reason": "because"}, "reason", "none of: assay-artefact"),
        ({"note": " "}, "note", "needs a note"),
        ({"note": "x" * (MOST_NOTE + 1)}, "note", "at most 2000"),
        ({"note": "a\0b"}, "note", "control characters"),
        ({"note": "a\ud800"}, "note", "control characters"),
        ({"level": "m9"}, "level", "none of: m1A"),
        ({"by": ""}, "by", "a role or a pseudonym"),
        ({"by": "x" * 129}, "by", "at most 128"),
        ({"by": "a\nb"}, "by", "a role or a pseudonym"),
        ({"references": ("see above",)}, "references", "a PubMed id or a DOI"),
        ({"references": tuple(map(str, range(1, 12)))}, "references", "at most 10"),
        ({"actions": (Planned("switch-therapy", "2026-02-01"),)}, "actions", "none of: repeat-marker"),
        ({"actions": (Planned("imaging"),)}, "actions", "needs a day"),
        ({"actions": (Planned("imaging", "2026-02-30"),)}, "actions", "to be a day"),
        ({"actions": (Planned("imaging", "20260201"),)}, "actions", "to be a day"),
        ({"actions": (IMAGING, IMAGING)}, "actions", "the same"),
        ({"actions": tuple(Planned("imaging", f"2026-01-{day:02}") for day in range(1, 22))}, "actions", "at most 20"),
    ],
)
def test_what_cannot_be_decided_is_named(changes: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(NotAccepted, match=words) as refused:
        checked(replace(FULL, **changes))
    assert refused.value.field == field


def test_a_note_is_never_needed_but_for_other() -> None:
    for code in DISPOSITIONS:
        for reason in REASONS:
            decision = Decision("a", 1, code, "board", reason=reason, note="said" if reason == "other" else "")
            assert checked(decision) == decision
    for code in ("accept", "repeat-test", "watch"):
        checked(Decision("a", 1, code, "board"))
    for kind in ACTIONS:
        day = "" if kind in WITHOUT_A_DAY else "2026-02-01"
        checked(Decision("a", 1, "watch", "board", actions=(Planned(kind, day),)))
    assert (len(NOT_DONE), len(LEVELS)) == (20, 8)


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("1", "1"),
        ("pmid:28301834", "28301834"),
        ("https://pubmed.ncbi.nlm.nih.gov/28301834/", "28301834"),
        ("DOI: 10.1038/s41586-020-2649-2", "10.1038/s41586-020-2649-2"),
    ],
)
def test_references_in_one_form(text: str, stored: str) -> None:
    assert reference(text) == stored


@pytest.mark.parametrize(
    "text", ["", "0", "123456789", "10.1/x", "10.1000/", "10.1000/a b", "javascript:1", "10.1000/" + "x" * 181, "１"]
)
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(NotAccepted):
        reference(text)


# who is first ------------------------------------------------------------------------------------------------------------


def test_a_decision_is_read_as_it_was_made(recorder: Recorder) -> None:
    database = recorder.database
    meeting = recorder.meetings.plan(TENANT, "Breast board", "2026-01-12", "chair")
    decision = replace(FULL, advisory=advisory(database)[0], revision=advisory(database)[1], meeting=meeting)
    key = recorder.reviews.decide(decision, TENANT)
    (found,) = recorder.reviews.decisions(TENANT, advisory=decision.advisory)
    assert (found.id, found.number, found.newest, found.meeting) == (key, 1, True, meeting)
    assert (found.code, found.reason, found.note, found.level) == ("reject", "other", "why \n so", "m2B")
    assert (found.resistance, found.references) == (True, ("28301834", "10.1000/182"))
    assert (found.actions, found.follow_up, found.by) == ((IMAGING, TRIAL), "2026-02-01", "board-7")
    assert recorder.reviews.decisions(TENANT, patient=found.patient) == [found]
    assert recorder.reviews.decisions("elsewhere", advisory=decision.advisory) == []
    assert holds(database)


def test_who_saw_less_hears_who_was_first(recorder: Recorder) -> None:
    database, reviews = recorder.database, recorder.reviews
    reviews.decide(about(database, "watch", "reviewer-1"))
    with pytest.raises(AlreadyDecided, match="reviewer-1 decided 'watch' at 20") as refused:
        reviews.decide(about(database, "accept", "reviewer-2"))
    assert (refused.value.by, refused.value.code) == ("reviewer-1", "watch")
    with pytest.raises(NotAccepted, match="there is no decision 5"):
        reviews.decide(about(database, "accept", "reviewer-2", seen=5))
    with pytest.raises(NoSuchAdvisory):
        reviews.decide(about(database, seen=1), "elsewhere")
    assert len(reviews.decisions(TENANT, advisory=advisory(database)[0])) == 1


def test_of_two_reviewers_exactly_one_wins(recorder: Recorder, connect: Callable[[], Database]) -> None:
    recorder.reviews.decide(about(recorder.database, "watch", "first"))
    desks = [Reviews(connect()) for _ in range(2)]

    def amend(number: int) -> str:
        try:
            desks[number].decide(about(desks[number].database, "accept", f"reviewer-{number}", seen=1))
        except AlreadyDecided as refused:
            return refused.by
        return "won"

    with ThreadPoolExecutor(2) as threads:
        said = list(threads.map(amend, range(2)))
    assert sorted(said) == sorted(["won", f"reviewer-{said.index('won')}"])
    assert holds(recorder.database)


def test_an_amendment_overwrites_nothing(recorder: Recorder) -> None:
    database, reviews = recorder.database, recorder.reviews
    with database.reading() as connection:
        before = connection.execute(select(tables.disposition)).all()
    assert before == []
    first = reviews.decide(about(database, "watch", "reviewer-1", note="Wait"))
    with database.reading() as connection:
        (written,) = connection.execute(select(tables.disposition)).all()
    second = reviews.decide(about(database, "accept", "reviewer-2", seen=1, note="Imaging came"))
    assert reviews.decide(about(database, "accept", "reviewer-2", seen=1, note="Imaging came")) == second
    found = reviews.decisions(TENANT, advisory=advisory(database)[0])
    assert [(one.id, one.number, one.code, one.note, one.newest) for one in found] == [
        (first, 1, "watch", "Wait", False),
        (second, 2, "accept", "Imaging came", True),
    ]
    with database.reading() as connection:
        assert written in connection.execute(select(tables.disposition)).all()
    assert holds(database)


def test_ended_advice_is_not_decided_about(database: Database) -> None:
    recorder = Recorder(database, BOOK)
    for day in ("2025-03-31", "2025-04-28", "2025-05-02"):
        visit(recorder, "A29", day)
    for code, reason in (("accept", ""), ("not-discussed", "no-time")):
        with pytest.raises(Ended, match="withdrawn since"):
            recorder.reviews.decide(about(database, code, reason=reason))


def test_what_was_not_discussed_is_shown_again(recorder: Recorder) -> None:
    database, reviews = recorder.database, recorder.reviews
    reviews.decide(about(database, "not-discussed", reason="no-time"))
    assert visit(recorder, "A01", "2025-12-31").silenced == frozenset()
    reviews.decide(about(database, "accept", seen=1))
    assert len(visit(recorder, "A01", "2025-12-31").silenced) == 1
    reviews.decide(
        about(database, "not-discussed", "chair", seen=2, reason="other", note="It was not; noted by mistake")
    )
    assert visit(recorder, "A01", "2025-12-31").silenced == frozenset()


# actions -----------------------------------------------------------------------------------------------------------------


def actions(recorder: Recorder) -> list[tuple[str, str, str]]:
    found = recorder.follow_up.actions(TENANT, advisory=advisory(recorder.database)[0])
    return [(one.kind, one.due, one.status) for one in found]


def test_an_amendment_ends_the_actions_that_it_does_not_repeat(recorder: Recorder) -> None:
    database, reviews = recorder.database, recorder.reviews
    reviews.decide(about(database, actions=(IMAGING, TRIAL)))
    key = recorder.follow_up.actions(TENANT, advisory=advisory(database)[0])[0].id
    reviews.decide(about(database, seen=1, actions=(IMAGING, Planned("tumour-board", "2026-03-01"))))
    assert actions(recorder) == [
        ("imaging", "2026-02-01", "open"),
        ("tumour-board", "2026-03-01", "open"),
        ("trial", "", "replaced"),
    ]
    assert key in {one.id for one in recorder.follow_up.actions(TENANT, advisory=advisory(database)[0])}
    reviews.decide(about(database, seen=2))
    assert {status for _, _, status in actions(recorder)} == {"replaced"}
    assert holds(database)


def test_a_decision_about_new_evidence_lets_actions_go_on(database: Database) -> None:
    recorder = Recorder(database, BOOK)
    visit(recorder, "A29", "2025-03-31")
    recorder.reviews.decide(about(database, "watch", actions=(IMAGING,)))
    visit(recorder, "A29", "2025-04-28")
    repeat = Planned("repeat-marker", "2026-01-15")
    recorder.reviews.decide(about(database, "accept", seen=1, actions=(repeat, IMAGING)))
    assert actions(recorder) == [("repeat-marker", "2026-01-15", "open"), ("imaging", "2026-02-01", "open")]


def test_what_was_done_is_not_to_be_done_again_because_a_decision_is_amended(recorder: Recorder) -> None:
    database, reviews, follow_up = recorder.database, recorder.reviews, recorder.follow_up
    plan = (IMAGING, TRIAL, Planned("repeat-marker", "2026-03-01"))
    reviews.decide(about(database, actions=plan))
    for one in follow_up.actions(TENANT, advisory=advisory(database)[0])[:2]:
        follow_up.close(TENANT, one.id, "done", "nurse-1")
    stands = [("trial", "", "open"), ("imaging", "2026-02-01", "done"), ("repeat-marker", "2026-03-01", "done")]
    assert actions(recorder) == stands
    reviews.decide(about(database, seen=1, actions=plan, note="A word was mended"))
    assert actions(recorder) == stands
    reviews.decide(about(database, seen=2, actions=(TRIAL,)))
    reviews.decide(about(database, seen=3, actions=(TRIAL, IMAGING)))  # wanted anew, since it was not stated any more
    assert sorted(actions(recorder)) == sorted([*stands, ("imaging", "2026-02-01", "open")])
    assert holds(database)


def test_what_was_taken_back_and_is_stated_again_is_open_again(recorder: Recorder) -> None:
    database, reviews = recorder.database, recorder.reviews
    for seen, plan in enumerate(((IMAGING,), (), (IMAGING,))):
        reviews.decide(about(database, seen=seen, actions=plan))
    assert [status for _, _, status in actions(recorder)] == ["open", "replaced"]


# second readings -----------------------------------------------------------------------------------------------------------


def test_somebody_else_reads_a_decision(recorder: Recorder) -> None:
    database, reviews = recorder.database, recorder.reviews
    key = reviews.decide(about(database))
    one = reviews.second(key, "prof-2", agrees=True, note="Same view")
    assert reviews.second(key, "prof-2", agrees=True, note="Same view") == one
    reviews.second(key, "prof-3", agrees=False)
    with pytest.raises(NotAccepted, match="the author of a decision"):
        reviews.second(key, "Board-7", agrees=True)
    with pytest.raises(AlreadyDecided, match="prof-2 decided 'agrees'"):
        reviews.second(key, "prof-2", agrees=False)
    with pytest.raises(NotAccepted):
        reviews.second(key, "prof-4", agrees=True, note="x" * 2001)
    for missing in (("none", None), (key, "elsewhere")):
        with pytest.raises(NoSuchAdvisory):
            reviews.second(missing[0], "prof-4", agrees=True, tenant=missing[1])
    (found,) = reviews.decisions(TENANT, advisory=advisory(database)[0])
    assert [(said.by, said.agrees, said.note) for said in found.readings] == [
        ("prof-2", True, "Same view"),
        ("prof-3", False, ""),
    ]
    reviews.decide(about(database, "watch", "chair", seen=1))
    with pytest.raises(AlreadyDecided, match="chair decided 'watch'"):
        reviews.second(key, "prof-5", agrees=True)
    assert holds(database)


# meetings ------------------------------------------------------------------------------------------------------------------


def test_a_case_is_discussed_by_the_decision_that_is_made_at_the_meeting(recorder: Recorder) -> None:
    database, meetings = recorder.database, recorder.meetings
    meeting = meetings.plan(TENANT, "Breast board", "2026-01-12", "chair")
    with database.reading() as connection:
        patient = connection.execute(select(tables.patient.c.id)).scalar_one()
    meetings.add(TENANT, meeting, patient, "chair")
    recorder.reviews.decide(about(database, "not-discussed", reason="no-time", meeting=meeting))
    assert [case.status for case in meetings.agenda(TENANT, meeting)] == ["open"]
    recorder.reviews.decide(about(database, seen=1, meeting=meeting))
    assert [case.status for case in meetings.agenda(TENANT, meeting)] == ["discussed"]
    with pytest.raises(NotAccepted, match="there is no meeting"):
        recorder.reviews.decide(about(database, seen=2, meeting="elsewhere"))
    assert holds(database)
