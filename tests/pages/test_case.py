"""A case whose advice is not what the newest data say: it is shown and decided about all the same, on page and paper."""

from __future__ import annotations

import copy
import csv
import io
import re
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pypdf import PdfReader
from sqlalchemy import event, insert, select, update

from cds.board.sheets import meeting_sheet
from cds.board.words import label
from cds.legible import day as shown_day
from cds.record import tables
from cds.record.audit import Entry, append
from cds.record.database import Database
from cds.record.decisions import Decision, Planned
from cds.record.identity import merge_into
from cds.service.persons import person_of
from cds.workbench.synth.fhir_output import to_bundle
from cds.workbench.synth.person import Imaging
from tests.pages.boards import FLAGGED, NOW, SOON, UNJUDGED, WATCHED, House, text_of
from tests.pages.test_board import DAYS, advisory_of, deciding, seen_in
from tests.patients.archetypes import patient
from tests.record.boards import called
from tests.record.visits import REASONER


@pytest.fixture
def house(database: Database) -> House:
    return House(database)


def changed(house: House, day: str, family: str = "Aalto", **person: Any) -> str:
    """A visit of the flagged patient on that day, with something in their data otherwise; their row."""
    bundle = to_bundle(replace(patient(FLAGGED).person, **person), date.fromisoformat(day))
    return house.take(bundle, day, lambda who: called(who, family))


def paper(house: House, key: str) -> str:
    """What the sheet of a patient says."""
    data = house.browser("reader").http.get(f"/board/patients/{key}/sheet.pdf").content
    (sheet,) = PdfReader(io.BytesIO(data)).pages
    return " ".join(sheet.extract_text().split())


def squeezed(text: str) -> str:
    return re.sub(r"\W", "", text).lower()


# advice and newest data --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("person", "why"),
    [
        ({"disease": "dcis", "metastasis": None}, "outside the scope"),
        ({"measurements": ()}, "results are not in the newest data"),
        ({"therapies": ()}, "newest data cannot be judged"),
    ],
    ids=["out of scope", "no results", "no treatment"],
)
def test_open_advice_is_shown_and_decided_about_whatever_the_newest_data_are(
    house: House, person: Mapping[str, Any], why: str
) -> None:
    changed(house, "2025-04-21")
    key = changed(house, "2025-04-22", **person)
    browser = house.browser("chair")
    assert "suspected" in browser.get("/board?decided=no")
    said = text_of(browser.get(f"/board/patients/{key}"))
    for words in ("Advice still open: suspected", "advice open since", "Decide", why):
        assert words in said, words
    printed = squeezed(paper(house, key))
    assert squeezed("Advice still open:") in printed
    assert "suspected" in printed
    path = deciding(house, key)
    page = browser.get(path)
    assert "suspected" in text_of(page)
    assert "Decided: watch" in text_of(browser.done(path, **seen_in(page), disposition="watch"))


def test_a_case_that_was_out_of_scope_for_once_opens_again(house: House) -> None:
    changed(house, "2025-04-21")
    changed(house, "2025-04-22", disease="dcis", metastasis=None)
    key = changed(house, "2025-04-23")
    said = text_of(house.browser("reader").get(f"/board/patients/{key}"))
    assert "the newest data say that this patient is not one for whom the rules were made" in said
    assert "advice open since" in said


def test_advice_that_is_opened_again_stands_since_then(house: House) -> None:
    house.now = datetime(2025, 4, 1, tzinfo=UTC)
    key = changed(house, "2025-04-21")
    sick = patient(FLAGGED).person
    for day, version in (("2025-05-12", "2.0"), ("2025-06-16", "6.4")):
        last = sick.measurements[-1]
        value = replace(last.versions[-1], value=Decimal(version), issued=f"{day}T12:00:00+00:00")
        again = replace(
            last, id=f"{last.id}-{day}", specimen_id=f"{last.specimen_id}-{day}", collected=day, versions=(value,)
        )
        sick = replace(sick, measurements=(*sick.measurements, again))
        house.take(to_bundle(sick, date.fromisoformat(day)), day, lambda who: called(who, "Aalto"))
    browser = house.browser("chair")
    page = browser.get(f"/board/patients/{key}")
    assert "advice open since 16 Jun 2025" in text_of(page)
    assert squeezed("advice open since 16 Jun 2025") in squeezed(paper(house, key))
    (advice,) = {one for one in re.findall(r"/advisories/([0-9a-f-]{36})/", page)}
    assert house.recorder.follow_up.clock("default", advice)[0].due == "2025-09-16"
    found = [text_of(browser.get(f"/board/patients/{key}?evaluation={one}"))
             for one in re.findall(r"\?evaluation=([0-9a-f-]{36})", page)]  # fmt: skip
    assert any("advice open since 21 Apr 2025" in said for said in found)
    assert any("no advice stood then; it was opened on 16 Jun 2025" in said for said in found)


def test_a_page_asks_for_all_outcomes_at_once(house: House) -> None:
    """However often advice was opened for a patient, their page asks the record as many questions."""
    key = house.visit(FLAGGED)
    browser, asked = house.browser("reader"), []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    def looked() -> tuple[int, str]:
        asked.clear()
        page = browser.get(f"/board/patients/{key}")
        return len(asked), page

    event.listen(house.database.engine, "before_cursor_execute", note)
    few, _ = looked()
    with house.database.writing() as connection:
        (advice,) = connection.execute(select(tables.advisory)).mappings().all()
        events = connection.execute(select(tables.event)).mappings().all()
        for number in range(20):
            one = {"advisory_id": str(uuid.uuid4())}
            copy = {**advice, "id": one["advisory_id"], "line_start": f"2020-01-{number + 1:02}", "standing": "closed"}
            connection.execute(insert(tables.advisory), copy)
            connection.execute(insert(tables.event), [{**row, **one, "id": str(uuid.uuid4())} for row in events])
    many, page = looked()
    assert page.count('name="months" value="3"') + text_of(page).count("3 months after") >= 21
    assert few == many


def test_every_reason_of_a_history_has_words(house: House) -> None:
    key = house.visit(FLAGGED)
    browser = house.browser("reader")
    for state in (*(one.name for one in REASONER.rulebook.states), "of-this-site-alone"):
        with house.database.writing() as connection:
            connection.execute(update(tables.event), {"reason": state, "state": state})
        assert label("reasons", state) in text_of(browser.get(f"/board/patients/{key}"))


def test_two_open_advisories_of_which_one_answer_speaks_are_both_there(house: House) -> None:
    key = house.visit(FLAGGED)
    with house.database.writing() as connection:
        row = dict(connection.execute(select(tables.advisory)).mappings().one())
        connection.execute(insert(tables.advisory), {**row, "id": "f" * 36, "opened": "2025-01-05T10:00:00.000000Z"})
    page = house.browser("chair").get(f"/board/patients/{key}")
    assert len(set(re.findall(r"/advisories/([0-9a-f-]{36})/decision", page))) == 2


def test_advice_that_ends_while_somebody_writes_leaves_what_was_written(house: House) -> None:
    house.visit("A29", "2025-03-31")
    key = house.visit("A29", "2025-04-28", family="Aalto")
    browser, path = house.browser("chair"), deciding(house, key)
    saw = seen_in(browser.get(path))
    house.visit("A29", "2025-05-02", family="Aalto")
    sent = {"reason": "other", "note": "A long careful note", "references": "28301834", "action": ["trial"]}
    answer = browser.post(path, **saw, disposition="reject", **sent)
    assert answer.status_code == 409
    said = text_of(answer.text)
    for words in (
        "This advice stands no more",
        "A long careful note",
        "28301834",
        "look for a trial",
        "rejected",
        "withdrawn since",
    ):
        assert words in said, words
    assert "<button>" not in answer.text.partition("<main")[2]
    assert "What you wrote" not in browser.get(path)
    assert house.recorder.reviews.decisions("default", patient=key) == []


def test_an_earlier_evaluation_is_no_ground_for_a_decision(house: House) -> None:
    house.visit(FLAGGED, "2025-03-24")
    key = house.visit(FLAGGED)
    browser, path = house.browser("chair"), deciding(house, key)
    page = browser.get(f"/board/patients/{key}")
    (old,) = re.findall(r"\?evaluation=([0-9a-f-]{36})", page)
    assert "suspected" in text_of(browser.get(f"{path}?evaluation={old}")).partition("Investigational")[0]
    page = browser.get(f"/board/patients/{key}?evaluation={old}")
    for name in ("sheet.pdf", "course.svg", "table.csv"):  # of what is shown, not of the last one
        assert f"/{name}?evaluation={old}" in page


def test_who_writes_a_decision_is_not_taken_for_a_newer_evaluation(house: House) -> None:
    key = house.visit(FLAGGED)
    browser, path = house.browser("chair"), deciding(house, key)
    saw = seen_in(browser.get(path))
    house.recorder.reviews.decide(
        Decision(advisory_of(house, key), int(saw["revision"]), "accept", "a newer evaluation")
    )
    said = text_of(browser.post(path, **saw, disposition="watch").text)
    assert "a newer evaluation decided “accepted”" in said
    assert "The finding has changed" not in said


# who it is, and what they get ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["stopped", "on-hold", "unknown"])
def test_a_treatment_of_which_nobody_knows_whether_it_goes_on_is_not_given_now(house: House, status: str) -> None:
    bundle = patient(FLAGGED).bundle(date(2025, 4, 21))
    for entry in bundle["entry"]:
        resource = entry["resource"]
        if resource["resourceType"] == "MedicationStatement":
            resource["status"] = status
            resource["effectivePeriod"] = {"start": resource["effectivePeriod"]["start"]}
    key = house.take(bundle, "2025-04-21")
    words = "Cytotoxic chemotherapy (paclitaxel) since 6 Jan 2025, whether it goes on is not recorded"
    assert words in text_of(house.browser("reader").get(f"/board/patients/{key}"))
    assert squeezed(words) in squeezed(paper(house, key))


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        ((), "none recorded"),
        ((("2025-05-24", "PD"), ("2025-03-01", "SD")), "PD, 24 May 2025 (33 days after the newest sample)"),
        ((("2025-05-19", "PD"),), "PD, 19 May 2025 (28 days after the newest sample)"),
        ((("2025-04-21", "PR"), ("2025-04-21", "PD")), "PD, 21 Apr 2025 (on the day of the newest sample)"),
        ((("2025-05-20", "NE"), ("2025-04-20", "SD")), "NE, 20 May 2025 (29 days after the newest sample) SD, 20 Apr 2025 (1 day before the newest sample)"),
    ],
    ids=["none", "far", "near", "same day", "not evaluable"],
)  # fmt: skip
def test_the_newest_imaging_stands_where_one_decides_whether_or_not_a_rule_uses_it(
    house: House, seen: tuple[tuple[str, str], ...], said: str
) -> None:
    changed(house, "2025-04-21")
    scans = tuple(Imaging(date.fromisoformat(one), response) for one, response in seen)
    key = changed(house, "2025-05-26", imaging=scans)
    browser = house.browser("chair")
    for page in (browser.get(f"/board/patients/{key}"), browser.get(deciding(house, key))):
        assert f"Newest imaging {said}" in text_of(page)
    assert squeezed(f"Newest imaging {said}") in squeezed(paper(house, key))


def test_who_decides_sees_what_the_patients_page_says_of_them(house: House) -> None:
    changed(house, "2025-04-21")
    key = changed(house, "2025-04-22", therapies=())
    page = house.browser("chair").get(deciding(house, key))
    head = text_of(page).partition("What the board says to the finding")[0]
    for words in ("Receptors ER", "distant metastases", "Treatment on the day of the data none recorded", "The course"):
        assert words in head, words
    assert re.search(r"(Because|What is missing): \w", head)
    assert "nothing else" not in text_of(page)  # whoever watches may ask for a biopsy all the same
    assert "<svg" in page


def test_the_head_says_which_drug_of_a_treatment_ended_and_when_one_was_operated_on(house: House) -> None:
    bundle = patient(FLAGGED).bundle(date(2025, 4, 21))
    (given,) = (one["resource"] for one in bundle["entry"] if one["resource"]["resourceType"] == "MedicationStatement")
    later = copy.deepcopy(given)
    given |= {"status": "completed", "effectivePeriod": {"start": "2025-01-06", "end": "2025-03-24"}}
    later |= {"id": "later", "status": "active", "effectivePeriod": {"start": "2025-04-07"}}
    later["medicationCodeableConcept"] = {
        "coding": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "1045453"}],
        "text": "eribulin",
    }
    bundle["entry"].append({"fullUrl": "urn:uuid:later", "resource": later})
    key = house.take(bundle, "2025-04-21")
    said = "Cytotoxic chemotherapy (paclitaxel, to 24 Mar 2025; eribulin since 7 Apr 2025) since 6 Jan 2025"
    assert said in text_of(house.browser("reader").get(f"/board/patients/{key}"))
    assert squeezed(said) in squeezed(paper(house, key))
    operated = house.visit("A08", "2025-05-15")
    assert "last operation on the tumour 15 Jan 2025 (" in text_of(
        house.browser("reader").get(f"/board/patients/{operated}")
    )


def test_patients_whose_record_was_never_read_are_told_apart(house: House) -> None:
    browser = house.browser("reader")
    for name in (FLAGGED, WATCHED):
        key = house.take(patient(name).bundle(date(2025, 4, 21)), "2025-04-21")
        with house.database.reading() as connection:
            row = connection.execute(select(tables.patient).where(tables.patient.c.id == key)).mappings().one()
        number = row["reference"].removeprefix("Patient/")
        page = browser.get(f"/board/patients/{key}")
        assert 'datetime=""' not in page
        head, _, foot = page.partition("<footer")
        for part in (head, foot):
            assert re.search(rf"not known, born \d\d? [A-Z][a-z]+ 19\d\d, record no. {number}\b", part)
        assert number in paper(house, key)
        content = browser.http.get(f"/board/patients/{key}/table.csv").content.decode("utf-8-sig")
        assert {line[2] for line in list(csv.reader(io.StringIO(content)))[1:-1]} == {number}


def test_the_drawing_is_a_file_to_keep(house: House) -> None:
    key = house.visit(FLAGGED)
    answer = house.browser("reader").http.get(f"/board/patients/{key}/course.svg")
    assert answer.headers["content-disposition"] == "attachment; filename=course.svg"
    assert answer.text.startswith("<svg")


# decisions ---------------------------------------------------------------------------------------------------------------


def test_amending_a_decision_opens_nothing_again_that_was_done(house: House) -> None:
    key = house.visit(FLAGGED)
    browser, path = house.browser("chair"), deciding(house, key)
    later = (NOW.date() + timedelta(days=40)).isoformat()
    plan = (Planned("imaging", SOON), Planned("imaging", later), Planned("trial"))
    reviews, follow_up = house.recorder.reviews, house.recorder.follow_up
    reviews.decide(
        Decision(advisory_of(house, key), int(seen_in(browser.get(path))["revision"]), "accept", "chair", actions=plan)
    )
    follow_up.close("default", follow_up.actions("default", patient=key)[0].id, "done", "chair")
    page = browser.get(path)
    assert re.search(r"imaging by <time[^>]*>[^<]*</time>: <strong>done", page)
    browser.done(path, **filled(page), note="a word was mended")
    found = [(one.kind, one.due, one.status) for one in follow_up.actions("default", patient=key)]
    assert found == [("imaging", later, "open"), ("trial", "", "open"), ("imaging", SOON, "done")]
    assert set(reviews.decisions("default", patient=key)[-1].actions) == set(plan)


def filled(page: str) -> dict[str, Any]:
    """What a browser sends of the form of a decision if nothing is changed in it."""
    kept = re.findall(r'name="stated" value="([^"]*)"', page)
    actions = re.findall(r'name="action" value="([\w-]+)" checked', page)
    due = {f"due-{kind}": day for kind, day in re.findall(r'name="due-([\w-]+)" value="([^"]*)"', page)}
    (code,) = re.findall(r'name="disposition" value="([\w-]+)" required checked', page)
    return {**seen_in(page), "stated": kept, "action": actions, **due, "disposition": code}


def test_on_paper_the_decision_that_holds_stands_first_whatever_was_decided_before(house: House) -> None:
    key = house.visit(FLAGGED, family="Aalto")
    browser, path = house.browser("chair"), deciding(house, key)
    for number, code in enumerate(("watch", "repeat-test", "watch", "repeat-test", "watch", "repeat-test", "accept")):
        browser.done(path, **seen_in(browser.get(path)), disposition=code, note=f"note {number}")
    said = squeezed(paper(house, key)).partition("decisionssofar")[2]
    made = f"{shown_day(house.now.date())}, by chair"
    assert said.startswith(squeezed(f"TRPC5-EV, Cytotoxic chemotherapy: accepted, {made}. “note 6”"))
    assert said.index("note6") < said.index(squeezed(f"repeat the test, {made} (amended since). “note 5”"))


def test_on_paper_a_long_note_takes_neither_what_follows_nor_that_a_decision_is_old(house: House) -> None:
    key = house.visit(FLAGGED, "2025-03-24")
    browser, path = house.browser("chair"), deciding(house, key)
    note = "Discussed at length with everybody who was there. " * 30
    asked = {"disposition": "watch", "note": note, "action": ["imaging"], "due-imaging": SOON}
    browser.done(path, **seen_in(browser.get(path)), **asked)
    house.visit(FLAGGED)
    said = squeezed(paper(house, key)).partition("decisionssofar")[2]
    old, follows = (
        squeezed("(before the newest finding)"),
        squeezed(f"What follows: imaging by {shown_day(SOON)}. “Discussed"),
    )
    assert 0 < said.index(old) < said.index(follows)


def test_a_decision_that_was_amended_elsewhere_is_none_of_an_agenda_any_more(house: House) -> None:
    key = house.visit(FLAGGED)
    chair, path = house.browser("chair"), deciding(house, key)
    meetings = house.recorder.meetings
    here = meetings.plan("default", "Board", "2025-12-01", "chair")
    asked = {"disposition": "accept", "meeting": here, "action": ["imaging"], "due-imaging": SOON}
    chair.done(path, **seen_in(chair.get(path)), **asked)
    sheet = meeting_sheet(*meetings.sitting("default", here), {}).agenda[0]
    assert (len(sheet.actions), "amended" in " ".join(sheet.decisions)) == (1, False)
    house.now += timedelta(minutes=1)
    chair.done(path, **seen_in(chair.get(path)), disposition="watch", meeting="")
    for held in (False, True):
        if held:
            house.now += timedelta(minutes=1)
            meetings.change("default", here, meetings.meeting("default", here).revision, "chair", close=True)
        sheet = meeting_sheet(*meetings.sitting("default", here), {}).agenda[0]
        assert sheet.actions == ()
        assert "accepted" in sheet.decisions[0]
        assert sheet.decisions[0].endswith("(amended since)")
        assert "(amended since)" in text_of(chair.get(f"/board/meetings/{here}"))
    minutes = meeting_sheet(*meetings.sitting("default", here), {})
    house.now += timedelta(minutes=1)
    chair.done(path, **seen_in(chair.get(path)), disposition="reject", reason="assay-artefact", meeting="")
    assert meeting_sheet(*meetings.sitting("default", here), {}) == minutes


# who came from an EHR -----------------------------------------------------------------------------------------------------


def test_who_came_from_an_ehr_finds_every_door_of_the_page_open(house: House) -> None:
    key = house.visit("A30", "2025-04-28", family="Aalto")
    house.visit("A30", "2025-04-30", family="Aalto")
    browser = house.launched(key)
    page = browser.get(f"/board/patients/{key}")
    links = set(re.findall(r'href="(/[^"#]*)', page)) - {"/style.css"}
    assert links
    for link in links:
        assert browser.http.get(link, follow_redirects=True).status_code == 200, link
    page = browser.acknowledge(f"/board/patients/{key}")
    assert "Acknowledged." in page
    assert "/acknowledge" not in page
    assert "acknowledge" not in house.browser("chair").get("/board")


def test_nothing_is_written_about_another_than_whom_the_ehr_opened(house: House) -> None:
    """The patient whom it opened became one with another while the session ran."""
    one, other = house.visit(FLAGGED), house.visit(WATCHED, DAYS[WATCHED])
    advisory = advisory_of(house, one)
    browser = house.launched(other)
    with house.database.writing() as connection:
        rows = {row["id"]: dict(row) for row in connection.execute(select(tables.patient)).mappings()}
        entry = Entry("default", "tests", "merge")
        merge_into(connection, rows[one], rows[other], entry)
        append(house.database, connection, entry)
    form = {"revision": "1", "seen": "0", "disposition": "watch"}
    here = f"/board/patients/{other}/advisories/{advisory}"
    for path, sent in (
        (f"{here}/decision", form),
        (f"{here}/outcome", {"months": "3", "seen": "0", "response": "SD", "resistance": "no"}),
        (f"{here}/acknowledge", {"seen": "0"}),
    ):
        assert browser.post(path, **sent).status_code == 403, path
    assert house.recorder.reviews.decisions("default", patient=one) == []
    assert house.recorder.follow_up.outcomes("default", advisory) == []


def test_a_case_without_advice_names_no_way_to_decide(house: House) -> None:
    page = house.browser("chair").get(f"/board/patients/{house.visit(UNJUDGED)}")
    assert "/decision" not in page


@pytest.mark.parametrize(
    ("stated", "said"),
    [({"deceasedDateTime": "2025-04-20"}, "died 20 Apr 2025"), ({"deceasedBoolean": True}, "recorded as dead")],
)
def test_that_a_patient_has_died_stands_wherever_they_are_listed(
    house: House, stated: dict[str, Any], said: str
) -> None:
    """The worklist, what is due, an agenda and its sheet: whoever asks a family in, or prints the list, is to know."""
    bundle = patient(FLAGGED).bundle(date(2025, 4, 21))
    (resource,) = (one["resource"] for one in bundle["entry"] if one["resource"]["resourceType"] == "Patient")
    resource |= stated
    key = house.take(bundle, "2025-04-21", lambda who: person_of(resource, who, date(2025, 4, 21)))
    alive = house.visit(WATCHED, DAYS[WATCHED])
    chair = house.browser("chair")
    meeting = house.recorder.meetings.plan("default", "Board", SOON, "chair")
    for one in (key, alive):
        house.recorder.meetings.add("default", meeting, one, "chair")
        plan = {"disposition": "watch", "action": ["imaging"], "due-imaging": SOON}
        path = deciding(house, one)
        chair.done(path, **seen_in(chair.get(path)), **plan)
    for page in ("/board", "/board/follow-up", f"/board/meetings/{meeting}"):
        told = text_of(chair.get(page))
        assert told.count(said) >= 1, page
        assert len(re.findall(r"died|recorded as dead", told)) == told.count(said), page
    pages = PdfReader(io.BytesIO(chair.http.get(f"/board/meetings/{meeting}/sheet.pdf").content)).pages
    printed = squeezed(" ".join(one.extract_text() for one in pages))
    assert printed.count(squeezed(said)) == 1


@pytest.mark.parametrize(
    ("stated", "said"),
    [({"deceasedDateTime": "2025-04-20"}, "died 20 Apr 2025"), ({"deceasedBoolean": True}, "recorded as dead")],
)
def test_that_a_patient_has_died_stands_beside_the_name(house: House, stated: dict[str, Any], said: str) -> None:
    bundle = patient(FLAGGED).bundle(date(2025, 4, 21))
    (person,) = (one["resource"] for one in bundle["entry"] if one["resource"]["resourceType"] == "Patient")
    person |= stated
    key = house.take(bundle, "2025-04-21")
    browser = house.browser("chair")
    for page in (browser.get(f"/board/patients/{key}"), browser.get(deciding(house, key))):
        assert said in text_of(page)
        assert not re.search(r"\(\d+ years", text_of(page))
    assert squeezed(said) in squeezed(paper(house, key))
