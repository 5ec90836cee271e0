"""What an agenda and minutes say of cases that were decided elsewhere, carried over, withdrawn or left, and how one gets to them."""

from __future__ import annotations

import io
import re
from datetime import timedelta

import pytest
from pypdf import PdfReader

from cds.board.sheets import found_told
from cds.legible import day
from cds.record.agendas import unpacked
from cds.record.database import Database
from cds.record.identity import Identity
from tests.pages.boards import FLAGGED, NOW, SOON, TODAY, WATCHED, Browser, House, text_of
from tests.pages.test_board import DAYS, deciding, seen_in
from tests.pages.test_meetings import FORM, drafted, key_of, planned, seen
from tests.patients.archetypes import patient
from tests.record.boards import called
from tests.record.visits import asked


@pytest.fixture
def house(database: Database) -> House:
    found = House(database)
    found.now = NOW
    return found


def printed(browser: Browser, here: str) -> str:
    pages = PdfReader(io.BytesIO(browser.http.get(f"{here}/sheet.pdf").content)).pages
    return " ".join(" ".join(page.extract_text() for page in pages).split())


def closed(chair: Browser, here: str, **form: str) -> str:
    return chair.done(here, do="close", **seen(chair.get(here)), **{**FORM, **form})


def test_a_decision_about_withdrawn_advice_is_none_about_what_stands(house: House) -> None:
    key, chair = house.visit("A30", "2025-04-28", family="Withdrawn"), house.browser("chair")
    path, here, own = deciding(house, key), planned(house, key), f"/board/patients/{key}"
    asked = {"disposition": "repeat-test", "note": "Soon", "action": ["imaging"], "due-imaging": SOON}
    chair.done(path, **seen_in(chair.get(path)), **asked)
    assert 'value="repeat-test" required checked' in chair.get(path)
    house.visit("A30", "2025-04-30", family="Withdrawn")
    for said in (text_of(chair.get(own)), text_of(chair.get(path))):
        assert "(about advice since withdrawn)" in said
        assert re.search(
            r"was entered in error; changed or taken back: TRPC5-EV [0-9.]+ × 10⁶ particles/mL, \d+ \w+ 2025: taken back",
            said,
        )
    assert "Withdrawn suspected a result on which it rested was entered in error" in text_of(chair.get(own))
    form = chair.get(path)
    assert "required checked" not in form  # what is said now is chosen anew
    assert ">Soon</textarea>" not in form
    assert re.search(r'name="action" value="imaging" checked', form)  # and what is still to be done goes on
    agenda = text_of(chair.get(here))
    for words in (f"suspected, withdrawn {day(house.now.date())}", "(about advice since withdrawn)"):
        assert words in agenda, words
        assert words in printed(chair, here), words
    chair.acknowledge(own)
    assert "An action that was decided on it is still open." in text_of(chair.get(own))
    house.now += timedelta(minutes=1)
    closed(chair, here)
    assert f"suspected, withdrawn {day(house.now.date())}" in printed(chair, here)
    (action,) = house.recorder.follow_up.actions("default", patient=key)
    chair.done(f"{own}/actions/{action.id}", status="done")
    assert "An action that was decided on it" not in text_of(chair.get(own))
    form = chair.get(path)
    assert not re.search(
        r'name="action" value="imaging" checked|name="stated"', form
    )  # what is done is not asked for anew


def test_minutes_say_what_became_of_a_case_that_was_not_decided(house: House) -> None:
    keys = [house.visit(name, DAYS.get(name, ""), family=f"Family{name}") for name in (FLAGGED, WATCHED)]
    here, later, chair = planned(house, *keys), planned(house, day=SOON), house.browser("chair")
    closed(chair, here, quorum="")
    assert chair.get(here).count("<div>not discussed</div>") == len(keys)
    assert printed(chair, here).count("not discussed") == len(keys)
    for said in (text_of(chair.get(here)), printed(chair, here)):
        assert "Quorum: not stated" in said
    chair.done(here, do="carry", to=key_of(later))
    for said in (text_of(chair.get(here)), printed(chair, here)):
        assert said.count(f"carried over to the meeting of {day(SOON)}") == len(keys)
        assert "not discussed" not in said.partition("Carry over what")[0]


def test_the_question_before_closing_repeats_who_is_there_and_the_quorum(house: House) -> None:
    here, chair = planned(house), house.browser("chair")
    for quorum, told in (("", "not stated"), ("yes", "yes")):
        asked = chair.post(here, do="hold", **drafted(chair.get(here)), **{**FORM, "quorum": quorum}).text
        assert f"Who is there: oncologist, surgeon . Quorum: {told}" in text_of(asked).partition("Not yet")[0]


def test_a_case_that_was_carried_over_says_why_it_came_and_what_became_of_it(house: House) -> None:
    key = house.visit(WATCHED, DAYS[WATCHED], family="Carried")
    here, later, chair = planned(house, key), planned(house, day=SOON), house.browser("chair")
    closed(chair, here)
    chair.done(here, do="carry", to=key_of(later))
    then = "found then: watch, TRPC5-EV, Cytotoxic chemotherapy"
    assert then in text_of(chair.get(later))
    assert "closed:" not in text_of(chair.get(later))
    house.visit(WATCHED, family="Carried")
    for said in (text_of(chair.get(later)), printed(chair, later)):
        assert f"{then}; closed: a newer value lies below the limit" in said


def test_a_decision_about_an_older_finding_is_called_that_on_an_agenda(house: House) -> None:
    key, chair = house.visit(FLAGGED, "2025-03-24"), house.browser("chair")
    here, path, old = planned(house, key), deciding(house, key), "(before the newest finding)"
    chair.done(path, **seen_in(chair.get(path)), disposition="watch", meeting=key_of(here))
    for said in (text_of(chair.get(here)), printed(chair, here)):
        assert old not in said
    house.visit(FLAGGED)
    for said in (text_of(chair.get(here)), printed(chair, here)):
        assert old in said
    house.now += timedelta(minutes=1)
    closed(chair, here)
    assert old in printed(chair, here)


def test_nothing_is_decided_at_a_meeting_that_is_still_to_come(house: House) -> None:
    key, chair = house.visit(FLAGGED), house.browser("chair")
    later, path = planned(house, key, day=SOON), deciding(house, key)
    form = chair.get(f"{path}?meeting={key_of(later)}")
    assert f"The meeting of {day(SOON)} is still to come." in text_of(form)
    assert key_of(later) not in form.partition('name="meeting"')[2]
    refused = chair.post(path, **seen_in(form), disposition="watch", meeting=key_of(later))
    assert (refused.status_code, f"The meeting of {day(SOON)} is still to come, so nothing" in refused.text) == (
        422,
        True,
    )
    assert house.recorder.reviews.decisions("default", patient=key) == []


def test_an_agenda_tells_the_change_and_the_day_of_each_finding(house: House) -> None:
    key, chair = house.visit(FLAGGED), house.browser("chair")
    here = planned(house, key)
    told = "TRPC5-EV, Cytotoxic chemotherapy; 3.32 × of the reference; newest sample 21 Apr 2025"
    assert told in text_of(chair.get(here))
    assert told in printed(chair, here)
    closed(chair, here)
    house.visit(FLAGGED, "2025-03-24")
    assert told in text_of(chair.get(here))  # its minutes keep what was found
    assert told in printed(chair, here)
    seven = '[["rule", ["trpc5-ev"], "cytotoxic-chemotherapy", "watch", "watch", "a1", 2]]'  # as minutes were kept once
    (old,) = unpacked(seven)
    assert found_told(old, {"trpc5-ev": "TRPC5-EV"}) == "TRPC5-EV, cytotoxic-chemotherapy"


def test_what_another_meeting_decided_names_that_meeting(house: House) -> None:
    key, chair = house.visit(FLAGGED), house.browser("chair")
    here, other, path = planned(house, key), planned(house, key, day=SOON), deciding(house, key)
    chair.done(path, **seen_in(chair.get(path)), disposition="accept", meeting=key_of(here))
    for said in (text_of(chair.get(other)), printed(chair, other)):
        assert f"at the meeting of {day(TODAY)}: accepted" in said
    chair.done(path, **seen_in(chair.get(path)), disposition="watch", meeting="")
    assert "outside a meeting: watch" in text_of(chair.get(other))


def test_who_moves_a_case_goes_on_from_its_row(house: House) -> None:
    keys = [house.visit(name, DAYS.get(name, "")) for name in (FLAGGED, WATCHED)]
    here, chair = planned(house, *keys), house.browser("chair")
    first, second = house.recorder.meetings.agenda("default", key_of(here))
    for do, case in (("down", first), ("up", first), ("up", second)):
        place = chair.post(here, do=f"{do} {case.id}").headers["Location"]
        assert "#" not in place  # with a fragment no browser would set the focus
        (button,) = re.findall(r"<[^>]* autofocus>", chair.get(place))
        assert f' {case.id}"' in button
        assert "disabled" not in button


def test_a_patient_is_put_on_an_agenda_from_their_page(house: House) -> None:
    key, chair = house.visit(FLAGGED), house.browser("chair")
    own = f"/board/patients/{key}"
    assert "Put on the agenda" not in chair.get(own)
    here = planned(house)
    assert "Put on the agenda" not in house.browser("reader").get(own)
    page = chair.done("/board/agenda", **{"from": "patient"}, meeting=key_of(here), patient=key)
    assert "Put on the agenda." in page
    assert f'<a href="{here}">' in page
    assert 'name="meeting"' not in page  # there is no other
    assert [one.patient for one in house.recorder.meetings.agenda("default", key_of(here))] == [key]


def test_a_list_leads_to_the_meeting_on_whose_agenda_patients_were_put(house: House) -> None:
    key, here, chair = house.visit(FLAGGED, family="Chosen"), planned(house), house.browser("chair")
    said = chair.done("/board/agenda", meeting=key_of(here), patient=key)
    done = re.search(r'<p class="done".*?</p>', said, re.S)
    assert done
    assert f'href="{here}"' in done[0]
    assert "Chosen, Anna" in done[0]


def test_who_came_back_from_another_agenda_can_be_put_and_found_there(house: House) -> None:
    key, chair = house.visit(FLAGGED, family="Chosen"), house.browser("chair")
    here, later = planned(house, key), planned(house, day=SOON)
    chair.done(here, do="carry", to=key_of(later))
    said = text_of(chair.done("/board/agenda", meeting=key_of(here), patient=key))
    assert "Put on the agenda." in said.partition("Findings by state")[0]
    assert "carried over to" not in text_of(chair.get(here)).partition("Carry over what")[0]
    own = chair.get(f"/board/patients/{key}")
    assert all(f'href="{one}"' in own for one in (here, later))


def test_of_many_who_were_put_on_an_agenda_the_rest_is_counted(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle, here, chair = patient(FLAGGED).bundle(), planned(house), house.browser("chair")
    for number in range(22):
        work = asked(
            bundle, "2025-12-31", identity=Identity("default", "https://ehr.example/fhir", f"Patient/{number}")
        )
        work.person = called(work.who, f"Family{number:02}")
        house.recorder.record(work)
    monkeypatch.setattr("cds.record.worklist.PAGE", 11)
    (first, second) = (chair.get(f"/board?sort=name&page={number}") for number in (1, 2))
    keys = [key for page in (first, second) for key in re.findall(r'name="patient" value="([^"]+)"', page)]
    (form,) = re.findall(r'action="(/board/agenda[^"]*)"', second)
    answer = chair.post(form.replace("&amp;", "&"), meeting=key_of(here), patient=[*keys, keys[0]])
    page = chair.get(answer.headers["Location"])
    done = re.search(r'<p class="done".*?</p>', page, re.S)
    assert done
    assert (done[0].count("Family"), "; and 2 more" in " ".join(text_of(f"<main>{done[0]}").split())) == (20, True)
    assert re.findall(r'name="patient" value="([^"]+)"', page) == keys[11:]  # the list is where it was
    few = chair.done("/board/agenda", meeting=key_of(here), patient=keys[:20])
    assert "more" not in few.partition('<p class="done"')[2].partition("</p>")[0]


def test_an_agenda_says_of_whom_nothing_is_found(house: House) -> None:
    key, chair = house.visit("A39", "2025-04-07", family="Nothing"), house.browser("chair")
    here = planned(house, key)
    (case,) = house.recorder.meetings.agenda("default", key_of(here))
    assert case.found == ()
    for said in (text_of(chair.get(here)), printed(chair, here)):
        assert "no finding; the rules in use are not about this patient now" in said
