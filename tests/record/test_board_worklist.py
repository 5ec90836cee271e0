"""The worklist: every question's last answer, filtered, searched, sorted, counted; nothing that waits for somebody is missing."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update

from cds.reasoning.loading import load_rulebook, shipped_rules
from cds.reasoning.reasoner import Reasoner
from cds.record import tables
from cds.record.answers import urgency
from cds.record.audit import verify
from cds.record.database import Database
from cds.record.decisions import Decision, NoSuchAdvisory, Planned
from cds.record.lifecycle import CLAIMS
from cds.record.recorder import Recorder
from cds.record.rule_texts import rule_text, versions
from cds.record.withdrawals import Withdrawal
from cds.record.worklist import PAGE, SORTS, Filter, Row, every, listed, of_patient
from tests.patients.archetypes import patient, patients
from tests.record.boards import TENANT, called, named_visit, rows
from tests.record.visits import REASONER, asked, visit, who

BOOK = REASONER.rulebook
TRPC5 = "trpc5-rise-on-chemotherapy"


@pytest.fixture
def board(database: Database) -> Database:
    """Every patient of the evidence, at every visit that it names; family names are their ids."""
    recorder = Recorder(database, BOOK)
    for one in patients():
        for expected in one.expected:
            named_visit(recorder, one.id, str(expected.as_of))
    return database


def entries(database: Database) -> list[str]:
    with database.reading() as connection:
        assert verify(connection, {}).holds
        return list(connection.execute(select(tables.audit.c.rows).order_by(tables.audit.c.number)).scalars())


# what is kept ----------------------------------------------------------------------------------------------------------


def test_every_rule_of_every_patient_has_the_answer_of_their_last_evaluation(board: Database) -> None:
    for one in patients():
        last = max(expected.as_of for expected in one.expected)
        evaluation = asked(one.bundle(last), str(last)).evaluation
        found = {row.question: row for name in [one.id] for row in _all(board, name)}
        active = {name: each for name, each in evaluation.answers.items() if each.rule.status == "active"}
        assert {name: row.state for name, row in found.items()} == {
            name: each.state for name, each in active.items()
        }, one.id
        for name, row in found.items():
            assert row.rule_hash == active[name].rule.hash
            assert row.markers == active[name].markers


def _all(database: Database, family: str) -> list[Row]:
    found = rows(database, text=f"MRN-{family}", states=("not-applicable", "out-of-scope")) or rows(
        database, text=f"MRN-{family}"
    )
    exact = [row for row in found if row.named.family == family]
    return of_patient(database, TENANT, exact[0].patient) if exact else []


def test_what_cannot_be_judged_is_listed_with_what_is_missing(board: Database) -> None:
    for state in ("not-evaluable", "data-quality"):
        found = rows(board, states=(state,))
        assert found
        for row in found:
            assert row.missing
            assert "cannot be judged" in row.headline or "need checking" in row.headline
            assert row.advisory == ""
    (held,) = (row for row in rows(board) if row.named.family == "A36")
    assert held.missing == ("specimen haemolysed",)


def test_what_does_not_apply_is_listed_last_and_is_no_news(board: Database) -> None:
    everything = rows(board)
    hidden = rows(board, states=("not-applicable", "out-of-scope"))
    assert hidden
    assert everything[-len(hidden) :] == hidden
    assert listed(board, TENANT, Filter()).counts.all == len(everything)
    news = rows(board, since="2000-01-01")
    assert {row.state for row in news}.isdisjoint({"not-applicable", "out-of-scope"})
    assert listed(board, TENANT, Filter(), new_since="2000-01-01").counts.new == len(news)
    for row in hidden:
        assert row.id in {one.id for one in rows(board, text=f"{row.named.family}, {row.named.given}")}


def test_the_same_evaluation_again_writes_no_answer(database: Database) -> None:
    recorder = Recorder(database, BOOK)
    for _ in range(2):
        visit(recorder, "A01", "2025-12-31")
    first, second = entries(database)
    assert '"answer"' in first
    assert '"rule_text"' in first
    assert '"answer"' not in second
    assert '"rule_text"' not in second


def test_a_state_has_its_since_until_it_changes(database: Database) -> None:
    recorder = Recorder(database, BOOK)
    seen: list[tuple[str, str]] = []
    for day in ("2025-03-31", "2025-04-01", "2025-04-28"):
        visit(recorder, "A29", day)
        (row,) = rows(database)
        seen.append((row.state, row.since))
    assert [state for state, _ in seen] == ["watch", "watch", "suspected"]
    assert seen[0][1] == seen[1][1] < seen[2][1]


def test_what_an_advisory_claims_stands_while_the_newest_data_cannot_be_judged(database: Database) -> None:
    recorder = Recorder(database, BOOK)
    visit(recorder, "A01", "2025-12-31")
    bundle = patient("A01").bundle()
    for entry in bundle["entry"]:
        resource = entry["resource"]
        if resource["resourceType"] == "Observation" and resource["status"] == "final":
            resource.pop("method", None)  # nobody can tell any more how it was measured
            resource.pop("specimen", None)
    recorder.record(asked(bundle, "2025-12-31"))
    (row,) = rows(database)
    assert (row.state, row.claim, row.standing) == ("not-evaluable", "suspected", "not-reassessable")
    for state in ("suspected", "not-evaluable"):
        assert [one.id for one in rows(database, states=(state,))] == [row.id]
    assert listed(database, TENANT, Filter()).counts.states == {"suspected": 1, "not-evaluable": 1}


def test_a_question_that_is_not_asked_any_more_stays_only_for_open_advice(database: Database) -> None:
    recorder = Recorder(database, BOOK)
    visit(recorder, "A01", "2025-12-31")
    visit(recorder, "A02", "2025-05-12")
    for name, day in (("A01", "2025-12-31"), ("A02", "2025-05-12")):
        bundle = patient(name).bundle()
        without = [entry for entry in bundle["entry"] if entry["resource"]["resourceType"] != "Observation"]
        recorder.record(asked({**bundle, "entry": without}, day))
    (row,) = rows(database)
    assert (row.who.reference, row.state, row.claim) == ("Patient/a01", "suspected", "suspected")
    assert row.standing == "not-reassessable"
    assert any(',""]' in one for one in entries(database))


def test_rules_in_shadow_have_no_answers(database: Database, tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    shutil.copytree(shipped_rules(), rules)
    file = rules / "resistance" / f"{TRPC5}.yaml"
    file.write_text(file.read_text("utf-8").replace("status: active", "status: shadow", 1), "utf-8")
    reasoner = Reasoner(load_rulebook(rules))
    Recorder(database, reasoner.rulebook).record(asked(patient("A01").bundle(), "2025-12-31", reasoner=reasoner))
    assert TRPC5 not in {row.question for row in rows(database)}
    (version,) = versions(database, TRPC5)  # but how it read is kept
    assert "status: shadow" in version.text


def test_a_rule_is_kept_as_it_read(database: Database, tmp_path: Path) -> None:
    visit(Recorder(database, BOOK), "A01", "2025-12-31")
    rules = tmp_path / "rules"
    shutil.copytree(shipped_rules(), rules)
    file = rules / "resistance" / f"{TRPC5}.yaml"
    file.write_text(file.read_text("utf-8").replace("floor: 2.0", "floor: 2.5", 1), "utf-8")
    reasoner = Reasoner(load_rulebook(rules))
    for _ in range(2):
        other = Recorder(database, reasoner.rulebook)
        other.record(asked(patient("A01").bundle(), "2025-12-31", reasoner=reasoner))
    newer, older = versions(database, TRPC5)
    assert "floor: 2.5" in newer.text
    assert "floor: 2.0" in older.text
    assert older == rule_text(database, BOOK.rule(TRPC5).hash)
    assert rule_text(database, "nothing") is None
    assert newer.first > older.first
    entries(database)


# withdrawn advice --------------------------------------------------------------------------------------------------------


def test_withdrawn_advice_is_listed_with_what_it_was_until_somebody_acknowledges_it(database: Database) -> None:
    recorder = Recorder(database, BOOK)
    visit(recorder, "A08", "2025-05-15")
    for day in ("2025-03-31", "2025-04-28", "2025-05-02"):
        named_visit(recorder, "A29", day)
    (first,) = (row for row in rows(database) if row.withdrawn)
    assert (first.named.family, first.state, first.standing) == ("A29", "no-flag", "withdrawn")
    assert rows(database)[0].state == rows(database)[0].claim  # that is not in the box on top
    assert first.withdrawal is not None
    assert replace(first.withdrawal, number=0, at="") == Withdrawal("suspected", "corrected", "", 0)
    assert [one.id for one in rows(database, standing="withdrawn")] == [first.id]
    assert listed(database, TENANT, Filter()).counts.withdrawn == 1
    named_visit(recorder, "A29", "2025-05-03")
    (again,) = rows(database, standing="withdrawn")
    assert again.withdrawn == first.withdrawn
    assert recorder.reviews.acknowledge(TENANT, first.advisory, "oncologist") is True
    assert recorder.reviews.acknowledge(TENANT, first.advisory, "oncologist") is False
    assert rows(database, standing="withdrawn") == []
    assert listed(database, TENANT, Filter()).counts.withdrawn == 0
    named_visit(recorder, "A29", "2025-05-04")
    assert rows(database, standing="withdrawn") == []
    entries(database)
    with pytest.raises(NoSuchAdvisory):
        recorder.reviews.acknowledge("elsewhere", first.advisory, "oncologist")


def test_what_was_withdrawn_and_opened_anew_is_both(database: Database) -> None:
    recorder = Recorder(database, BOOK)
    for day in ("2025-03-31", "2025-04-28", "2025-04-30"):
        visit(recorder, "A30", day)
    (row,) = rows(database)
    assert (row.state, row.claim, row.standing, bool(row.withdrawn)) == ("watch", "watch", "open", True)


def test_advice_about_a_line_of_the_past_is_listed_when_it_is_withdrawn(database: Database) -> None:
    """The therapy was changed on advice, which a result turns out not to have supported."""
    recorder = Recorder(database, BOOK)
    named_visit(recorder, "A01", "2025-04-28")
    bundle = patient("A01").bundle()
    for entry in bundle["entry"]:
        resource = entry["resource"]
        if resource["resourceType"] == "Observation":
            resource["status"] = "entered-in-error"
    kept = [entry for entry in bundle["entry"] if not entry["resource"]["resourceType"].startswith("Medication")]
    work = asked({**bundle, "entry": kept}, "2025-12-31")
    work.person = called(work.who, "A01")
    known = recorder.record(work)
    assert [step.kind for _, step in known.events] == ["withdrawn"]
    (row,) = rows(database, standing="withdrawn")
    assert row.named.family == "A01"
    assert recorder.reviews.acknowledge(TENANT, row.advisory, "oncologist")
    recorder.record(work)
    assert rows(database) == []
    entries(database)


# filters, search, sorts --------------------------------------------------------------------------------------------------


def test_filters(board: Database) -> None:
    everything = rows(board)
    for chosen, holds in (
        ({"states": ("suspected", "watch")}, lambda row: {row.state, row.claim} & {"suspected", "watch"}),
        ({"marker": "pdl1-ev"}, lambda row: "pdl1-ev" in row.markers),
        ({"therapy": "endocrine-therapy"}, lambda row: row.therapy == "endocrine-therapy"),
        ({"standing": "open"}, lambda row: row.standing == "open"),
        (
            {"marker": "trpc5-ev", "states": ("no-flag",)},
            lambda row: "trpc5-ev" in row.markers and row.state == "no-flag",
        ),
    ):
        found = rows(board, **chosen)
        assert found
        assert {row.id for row in found} == {row.id for row in everything if holds(row)}, chosen
    assert rows(board, marker="pdl1") == rows(board, marker="%") == rows(board, therapy="nothing") == []


def test_search(board: Database) -> None:
    found: dict[str, set[str]] = {
        "MRN-A29": {"A29"},
        "mrn-a3": {"A30", "A32a", "A34", "A35", "A36", "A39"},
        "A01": {"A01"},
        "anna a01": {"A01"},
        "A01, Anna": {"A01"},
        "MRNA29": {"A29"},
        "Patient/a01": {"A01"},
        "https://ehr.example/fhir/Patient/a01": {"A01"},
        **{text: set() for text in ("nna", "%", "_01", "'; DROP TABLE person; --", "\\")},
    }
    for text, families in found.items():
        assert {row.named.family for row in rows(board, text=text)} == families, text


def test_search_by_an_identifier_whole(database: Database) -> None:
    work = asked(patient("A01").bundle(), "2025-12-31")
    work.person = replace(called(work.who, "A01"), identifiers=(("https://insurer.example", "X 9"), ("urn:x", "K-77")))
    Recorder(database, BOOK).record(work)
    assert len(rows(database, text="K-77")) == 1
    assert rows(database, text="K-7") == []


_PLACES = {
    "suspected": 0,
    "discordant": 1,
    "persistent": 2,
    "watch": 3,
    "hold": 4,
    "data-quality": 5,
    "not-evaluable": 6,
}


def test_every_sort_has_its_order_and_the_same_rows(board: Database) -> None:
    everything = {row.id for row in rows(board)}
    keys: dict[str, Any] = {
        "rank": lambda row: (not row.claim, _PLACES.get(row.claim or row.state, 9)),
        "slope": lambda row: (row.slope is None, -(row.slope or 0)),
        "fold": lambda row: (row.fold is None, -(row.fold or 0)),
        "since": lambda row: row.since,
        "due": lambda row: (not row.due, row.due),
        "name": lambda row: row.named.family.casefold(),
    }
    for sort in SORTS:
        found = rows(board, sort=sort)
        assert {row.id for row in found} == everything, sort
        assert [keys[sort](row) for row in found] == sorted(keys[sort](row) for row in found), sort
        assert found == rows(board, sort=sort)
    (first, *_) = rows(board)
    assert first.claim == "suspected"
    decision = Decision(first.advisory, first.revision, "accept", "chair")
    Recorder(board, BOOK).reviews.decide(decision)
    open_ = [row for row in rows(board) if row.claim]
    assert open_[-1].id == first.id  # what is decided stands below what is not


def test_decisions_and_due_days(board: Database) -> None:
    reviews = Recorder(board, BOOK).reviews
    flagged = rows(board, states=("suspected",))
    one, other, third = flagged[:3]
    plan = (Planned("imaging", "2025-06-01"), Planned("repeat-marker", "2025-05-01"))
    reviews.decide(Decision(one.advisory, one.revision, "accept", "board", actions=plan))
    reviews.decide(Decision(other.advisory, other.revision, "not-discussed", "board", reason="no-time"))
    reviews.decide(Decision(third.advisory, third.revision, "watch", "board", actions=plan[:1]))
    assert {row.id for row in rows(board, decided="yes")} == {one.id, third.id}
    assert [row.id for row in rows(board, decided="accept")] == [one.id]
    assert [row.id for row in rows(board, decided="not-discussed")] == [other.id]
    undecided = {row.id for row in rows(board, decided="no")}
    assert other.id in undecided
    assert undecided == {row.id for row in rows(board) if row.claim} - {one.id, third.id}
    assert [(row.id, row.due) for row in rows(board, due="2025-05-31")] == [(one.id, "2025-05-01")]
    assert rows(board, due="2025-05-01") == []  # what is due today is not overdue yet
    assert [row.id for row in rows(board, sort="due")][:2] == [one.id, third.id]
    assert listed(board, TENANT, Filter(), today=date(2025, 5, 15)).counts.overdue == 1
    (shown,) = rows(board, decided="accept")
    assert shown.decision is not None
    assert (shown.decision.code, shown.decision.by, shown.decision.current) == ("accept", "board", True)


def test_a_decision_about_an_older_revision_is_shown_as_such(database: Database) -> None:
    recorder = Recorder(database, BOOK)
    visit(recorder, "A29", "2025-03-31")
    (row,) = rows(database)
    recorder.reviews.decide(Decision(row.advisory, row.revision, "watch", "board"))
    visit(recorder, "A29", "2025-04-28")
    (row,) = rows(database, decided="no")
    assert row.decision is not None
    assert (row.decision.code, row.decision.current) == ("watch", False)


def test_new_since(database: Database) -> None:
    recorder = Recorder(database, BOOK)
    visit(recorder, "A01", "2025-12-31")
    (row,) = rows(database)
    visit(recorder, "A13", "2025-04-07")
    after = row.since + "~"
    assert {one.who.reference for one in rows(database, since=after)} == {"Patient/a13"}
    assert listed(database, TENANT, Filter(), new_since=after).counts.new == 1
    assert listed(database, TENANT, Filter()).counts.new == 0
    assert listed(database, TENANT, Filter(), new_since=row.since[:10]).counts.new == 2


def test_pages(database: Database) -> None:
    recorder = Recorder(database, BOOK)
    bundle = patient("A01").bundle()
    for number in range(PAGE + 3):
        recorder.record(asked(bundle, "2025-12-31", identity=who(f"Patient/{number}")))
    for sort in SORTS:
        first, second = (listed(database, TENANT, Filter(sort=sort, page=page)) for page in (1, 2))
        assert (first.total, first.pages, len(first.rows), len(second.rows)) == (PAGE + 3, 2, PAGE, 3)
        assert len({row.id for row in (*first.rows, *second.rows)}) == PAGE + 3
        assert every(database, TENANT, Filter(sort=sort)) == [*first.rows, *second.rows]
    assert len(every(database, TENANT, Filter(), 3)) == 3
    assert listed(database, TENANT, Filter(page=0)).rows == listed(database, TENANT, Filter()).rows
    assert listed(database, TENANT, Filter(page=99)).rows == ()


def test_each_tenant_sees_its_own(board: Database) -> None:
    assert listed(board, "elsewhere", Filter(), new_since="2000").rows == ()
    assert listed(board, "elsewhere", Filter()).counts.states == {}
    assert of_patient(board, "elsewhere", rows(board)[0].patient) == []


def test_outcomes_that_are_due_are_counted(database: Database) -> None:
    visit(Recorder(database, BOOK), "A01", "2025-12-31")
    today = datetime.now(UTC).date()
    assert listed(database, TENANT, Filter(), today=today).counts.outcomes == 0
    assert listed(database, TENANT, Filter(), today=today + timedelta(days=100)).counts.outcomes == 1


@given(st.sampled_from([*CLAIMS, "hold", "no-flag", "not-applicable", "of-a-site"]), st.sampled_from(["", *CLAIMS]))
def test_urgency_is_that_of_the_claim_or_the_state(state: str, claim: str) -> None:
    assert urgency(state, claim) == min(urgency(state), urgency(claim or state))
    assert urgency(state, claim, "2025-01-01") < urgency(state, claim)
    assert urgency("of-a-site") < urgency("not-applicable")


def test_an_answer_that_was_edited_is_found(database: Database) -> None:
    visit(Recorder(database, BOOK), "A01", "2025-12-31")
    with database.writing() as connection:
        connection.execute(update(tables.answer).where(tables.answer.c.spoken), {"slope": 0.5})
        assert any("answer" in one and "was edited" in one for one in verify(connection, {}).broken)
