"""What page, form and paper say so that nobody reads a case wrong: its age, what was taken back, and whose each number is."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from cds.board.age import SampleAge, sample_age
from cds.board.case import Case, Cases
from cds.board.paper import patient_pdf
from cds.board.sheets import patient_sheet
from cds.board.words import words
from cds.legible import day
from cds.record.database import Database
from tests.board.test_paper import pages_of
from tests.pages.boards import FLAGGED, NOW, SOON, TENANT, TODAY, TWO, UNJUDGED, WATCHED, House, text_of
from tests.pages.test_board import deciding, seen_in
from tests.pages.test_case import paper, squeezed
from tests.record.visits import REASONER


@pytest.fixture
def address(tmp_path: Path) -> str:
    """Words and days do not hang on the kind of the database; what is read is tested on both in tests/record."""
    return f"sqlite:///{tmp_path}/record.sqlite"


@pytest.fixture
def house(database: Database) -> House:
    return House(database)


def case_of(house: House, key: str) -> Case:
    return Cases(house.database, REASONER).case(TENANT, key)


def printed(case: Case, today: date) -> str:
    (said,) = pages_of(patient_pdf(patient_sheet(case, (), today)))
    return " ".join(said.split())


def test_a_case_says_how_old_it_is_on_the_day_on_which_it_is_read(house: House) -> None:
    key = house.visit(FLAGGED, "2025-04-21")
    days = (NOW.date() - date(2025, 4, 21)).days
    browser = house.browser("chair")
    for said in (text_of(browser.get(f"/board/patients/{key}")), text_of(browser.get(deciding(house, key)))):
        assert f"data as of 21 Apr 2025, {days} days before {day(NOW.date())}" in said
        assert f"newest sample 21 Apr 2025, {days} days before" in said
        assert "This evaluation is old" in said
    assert squeezed(f"data as of 21 Apr 2025, {days} days before {day(NOW.date())}") in squeezed(paper(house, key))
    assert squeezed("This evaluation is old") in squeezed(paper(house, key))
    case = case_of(house, key)
    fresh = printed(case, case.as_of + timedelta(days=1))
    assert squeezed("data as of 21 Apr 2025, 1 day before 22 Apr 2025") in squeezed(fresh)
    assert squeezed("is old") not in squeezed(fresh)
    one, same, other = (patient_pdf(patient_sheet(case, (), case.as_of + timedelta(days=after))) for after in (1, 1, 2))
    assert one == same
    assert one != other


def test_how_old_somebody_is_is_told_of_the_day_on_which_it_is_read(house: House) -> None:
    key = house.visit(FLAGGED, "2025-04-21")
    case = case_of(house, key)
    born = case.header.birthday
    assert born is not None
    assert case.header.age(born.replace(year=born.year + 47)) == 47
    assert case.header.age(born.replace(year=born.year + 47) - timedelta(days=1)) == 46
    years = f"{case.header.age(NOW.date())} years"
    assert years in text_of(house.browser("reader").get(f"/board/patients/{key}"))
    assert squeezed(years) in squeezed(paper(house, key))
    later = case.as_of.replace(year=case.as_of.year + 20)
    assert patient_sheet(case, (), later).age == f"{case.header.age(later)} years"


def test_days_for_a_second_sample_that_are_over_are_said_to_be(house: House) -> None:
    key = house.visit(WATCHED, "2025-04-21")
    found = re.search(
        r"would confirm it \(past: these days ended (\d+) days ago\)",
        house.browser("reader").get(f"/board/patients/{key}"),
    )
    assert found
    case = case_of(house, key)
    (last,) = [panel.second.last for panel in case.scene.panels if panel.second is not None]
    assert int(found[1]) == (NOW.date() - last).days
    assert "past:" not in printed(case, last)
    assert squeezed("past: these days ended 1 day ago") in squeezed(printed(case, last + timedelta(days=1)))


def test_the_sheet_says_that_advice_about_which_a_board_decided_was_withdrawn(house: House) -> None:
    house.visit("A29", "2025-03-31")
    key = house.visit("A29", "2025-04-28", family="Aalto")
    browser, path = house.browser("chair"), deciding(house, key)
    decided = {"disposition": "accept", "action": ["imaging"], "due-imaging": SOON}
    browser.done(path, **seen_in(browser.get(path)), **decided)
    assert squeezed(f"What follows: imaging by {day(SOON)}") in squeezed(paper(house, key))
    assert "withdrawn" not in paper(house, key)
    house.visit("A29", "2025-05-02", family="Aalto")
    said = squeezed(paper(house, key))
    assert squeezed("withdrawn 1 Dec 2025: TRPC5-EV") in said
    assert squeezed("Because: a result on which it rested was") in said
    assert squeezed("(withdrawn): accepted") in said
    assert squeezed("suspected acquired resistance to chemotherapy") in said
    browser.acknowledge("/board")
    acknowledged = squeezed(f"Withdrawal acknowledged by chair, {day(house.now.date())}")
    assert acknowledged not in said
    assert acknowledged in squeezed(paper(house, key))


def test_every_number_of_two_markers_has_the_name_of_its_marker(house: House) -> None:
    key = house.visit(TWO)
    browser = house.browser("chair")
    page = browser.get(f"/board/patients/{key}")
    names = ("EV-TGF-β1", "EV-PD-L1")
    for source in (page, browser.get(deciding(house, key))):
        figures = [text_of(f"<main>{one}") for one in re.findall(r'<p class="figure">.*?</p>', source, re.S)]
        assert len(figures) >= 2
        assert all(one.startswith(names) and "of the reference" in one for one in figures)
    said = squeezed(paper(house, key))
    case = case_of(house, key)
    (answer,) = case.answers
    for reading in answer.said.readings:
        assert squeezed(f"{reading.marker} {reading.value}") in said


def test_a_number_stands_with_its_value_and_its_day(house: House) -> None:
    key = house.visit(FLAGGED, "2025-04-21")
    said = text_of(house.browser("reader").get(f"/board/patients/{key}")).replace(" ,", ",").replace(" :", ":")
    assert "TRPC5-EV 6.3 × 10⁶ particles/mL, 21 Apr 2025: 3.32 × of the reference 1.90 × 10⁶ particles/mL" in said
    assert "21 Apr 2025 (total EV 12 × 10⁹ particles/mL): 2.9 × of the reference 1.81 × 10⁻⁴ per EV" in said
    assert squeezed("6.3 × 10⁶ particles/mL second of the pair, latest, total EV 12 × 10⁹") in squeezed(
        paper(house, key)
    )


def test_an_earlier_evaluation_says_which_part_of_its_page_is_of_later(house: House) -> None:
    house.visit(FLAGGED, "2025-03-24")
    key = house.visit(FLAGGED)
    browser = house.browser("reader")
    page = browser.get(f"/board/patients/{key}")
    (old,) = set(re.findall(r"\?evaluation=([0-9a-f-]{36})", page))
    assert re.search(rf'evaluation={old}">.*?</a>, data as of <time datetime="2025-03-24">', page)  # which is which
    said = text_of(browser.get(f"/board/patients/{key}?evaluation={old}"))
    assert "Advice, decisions and follow-up are shown as they stand today" in said


def test_all_that_is_wrong_with_a_decision_is_said_at_once_each_at_its_field(house: House) -> None:
    key = house.visit(FLAGGED)
    browser, path = house.browser("chair"), deciding(house, key)
    sent = {"action": ["imaging"], "due-imaging": "24.12.2026", "references": "my paper"}
    answer = browser.post(path, **seen_in(browser.get(path)), disposition="reject", reason="other", **sent)
    assert answer.status_code == 422
    for field, place in (("note", "note"), ("actions", "actions"), ("references", "references")):
        said = getattr(words().problems, field)
        assert f'<a href="#{place}">{said}</a>' in answer.text
        assert f'<p class="fault" id="{field}-fault">{said}</p>' in answer.text
        assert re.search(rf'id="{place}"[^>]* aria-describedby="[^"]*\b{field}-fault"', answer.text)
    assert "“24.12.2026” is not taken for a day" in answer.text
    assert "reason-fault" not in answer.text
    sent = {"note": "x" * 2001, "action": [], "references": ""}
    long = browser.post(path, **seen_in(browser.get(path)), disposition="watch", **sent).text
    assert words().problems.note_text in long
    assert words().problems.note not in long
    assert "Same tumour: case reports" in text_of(browser.get(path))


def test_no_day_of_an_action_is_lost_and_none_is_meant_for_another_century(house: House) -> None:
    key = house.visit(FLAGGED)
    browser, path = house.browser("chair"), deciding(house, key)
    form = {**seen_in(browser.get(path)), "disposition": "accept"}
    sent = {"action": ["repeat-marker"], "due-repeat-marker": "2226-12-24", "due-imaging": SOON, "note": "My note"}
    answer = browser.post(path, **form, **sent)
    said = text_of(answer.text)
    assert answer.status_code == 422
    assert "You gave a day for: imaging. Tick it, or clear the day" in said
    assert "more than a year ahead: repeat the marker, same method" in said
    assert f'name="due-imaging" value="{SOON}"' in answer.text
    assert "My note" in answer.text
    assert house.recorder.reviews.decisions(TENANT, patient=key) == []
    browser.done(path, **form, **{"action": ["imaging"], "due-imaging": SOON})
    ended = {**form, "seen": "1", "due-imaging": SOON}  # its tick is taken away, and the day that stood there stays
    browser.done(path, **ended)
    assert [one.status for one in house.recorder.follow_up.actions(TENANT, patient=key)] == ["replaced"]


def test_who_comes_second_keeps_their_draft_and_ends_nothing_of_the_first_unseen(house: House) -> None:
    key = house.visit(FLAGGED)
    chair, reviewer, path = house.browser("chair"), house.browser("reviewer"), deciding(house, key)
    saw = seen_in(reviewer.get(path))
    first = {"action": ["repeat-marker"], "due-repeat-marker": SOON}
    chair.done(path, **saw, disposition="repeat-test", **first)
    draft = {"disposition": "reject", "reason": "assay-artefact", "action": ["imaging"], "due-imaging": SOON}
    answer = reviewer.post(path, **saw, **draft)
    assert answer.status_code == 409
    assert f"What follows: repeat the marker, same method by {day(SOON)}" in text_of(answer.text)
    assert re.search(r'<form [^>]*/second" target="_blank">', answer.text)
    assert f'name="stated" value="repeat-marker {SOON}" checked' in answer.text
    kept = [f"repeat-marker {SOON}"]
    reviewer.done(path, **seen_in(answer.text), **draft, stated=kept)
    assert {one.kind: one.status for one in house.recorder.follow_up.actions(TENANT, patient=key)} == {
        "repeat-marker": "open", "imaging": "open",
    }  # fmt: skip
    assert 'target="_blank"' not in chair.get(f"/board/patients/{key}")


def test_where_nothing_can_be_decided_it_is_said_how_a_board_records_what_it_wants(house: House) -> None:
    unjudged, flagged = house.visit(UNJUDGED), house.visit(FLAGGED, "2025-04-21")
    chair, reader = house.browser("chair"), house.browser("reader")
    how = "put the patient on the agenda of a meeting, mark the case there as discussed"
    assert how in text_of(chair.get(f"/board/patients/{unjudged}"))
    assert how not in text_of(reader.get(f"/board/patients/{unjudged}"))
    assert how not in text_of(chair.get(f"/board/patients/{flagged}"))


def test_a_study_that_nobody_checked_says_so_in_words(house: House) -> None:
    key = house.visit(FLAGGED)
    assert "checked not checked" not in house.browser("reader").get(f"/board/patients/{key}")
    assert squeezed("checked not checked") not in squeezed(paper(house, key))
    assert squeezed("retraction status not checked") in squeezed(paper(house, key))


def test_who_acknowledged_a_withdrawal_and_when_stays_known(house: House) -> None:
    key = house.visit("A30", "2025-04-28", family="Withdrawn")
    house.visit("A30", "2025-04-30", family="Withdrawn")
    chair, own = house.browser("chair"), f"/board/patients/{key}"
    assert squeezed("Nobody has acknowledged the withdrawal yet") in squeezed(paper(house, key))
    chair.acknowledge(own)
    when = day(house.now.date())
    assert f"Withdrawal acknowledged, {when} , by chair" in text_of(chair.get(own))
    assert squeezed("withdrawn 1 Dec 2025") not in squeezed(paper(house, key))  # the advice stands again


def test_the_list_says_how_old_an_evaluation_and_its_newest_sample_are(house: House) -> None:
    house.visit(FLAGGED, "2025-04-21")
    days = (NOW.date() - date(2025, 4, 21)).days
    page = house.browser("reader").get("/board")
    assert f'<small class="overdue">{days} days ago</small>' in page
    assert f"data as of 21 Apr 2025 , {days} days ago" in text_of(page)  # an evaluation of then is none of today
    house.visit(WATCHED, TODAY)
    assert text_of(house.browser("reader").get("/board")).count("data as of") == 1
    for collected, said in (
        ("2025-04-21", SampleAge("today", False)),
        ("2025-04-20", SampleAge("1 day ago", False)),
        ("2025-03-10", SampleAge("42 days ago", False)),
        ("2025-03-09", SampleAge("43 days ago", True)),
        ("2025-04-22", None),
        ("2025-04", None),
    ):
        assert sample_age(collected, "2025-04-21") == said, collected


def test_since_when_it_is_suspected_stands_beside_since_when_advice_is_open(house: House) -> None:
    house.now = datetime(2025, 3, 1, tzinfo=UTC)
    key = house.visit(FLAGGED, "2025-03-24")
    reader, own = house.browser("reader"), f"/board/patients/{key}"
    for said in (text_of(reader.get(own)), paper(house, key)):
        assert squeezed("advice open since 24 Mar 2025") in squeezed(said)
        assert squeezed("watch since") not in squeezed(said)
    house.visit(FLAGGED, "2025-04-21")
    for said in (text_of(reader.get(own)), paper(house, key)):
        assert squeezed("advice open since 24 Mar 2025; suspected since 21 Apr 2025") in squeezed(said)


def test_list_and_page_are_of_the_same_day_though_an_evaluation_changed_nothing(house: House) -> None:
    for seen in ("2025-06-20", "2025-07-04"):
        key = house.visit(UNJUDGED, seen)
    reader = house.browser("reader")
    for page in (reader.get("/board"), reader.get(f"/board/patients/{key}")):
        assert re.findall(r"data as of (\d+ \w+ \d+)", text_of(page))[:1] == ["4 Jul 2025"]


@pytest.mark.parametrize(("zone", "opened"), [("UTC", "21 Apr 2025"), ("Pacific/Kiritimati", "22 Apr 2025")])
def test_days_are_those_of_the_place(place: Callable[[str], None], house: House, zone: str, opened: str) -> None:
    """Recorded at eight in the evening, UTC: on a page, on the list, in the table and on paper it is the day of the place."""
    place(zone)
    house.now = datetime(2025, 4, 21, tzinfo=UTC)
    key = house.visit(FLAGGED, "2025-04-21", family="Local")
    browser = house.browser("reader")
    assert f"advice open since {opened}" in text_of(browser.get(f"/board/patients/{key}"))
    assert squeezed(f"advice open since {opened}") in squeezed(paper(house, key))
    assert f"since {opened}" in text_of(browser.get("/board"))
    assert ("2025-04-22" in browser.get("/board/list.csv")) == (opened == "22 Apr 2025")
