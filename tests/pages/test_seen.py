"""What somebody had before their eyes when they filled in a form: what happened since is said, and nothing unseen is ended by it."""

from __future__ import annotations

import re

import pytest

from cds.record.database import Database
from cds.record.worklist import Filter, listed
from tests.pages.boards import FLAGGED, SOON, TODAY, House, text_of
from tests.pages.test_board import deciding, seen_in
from tests.pages.test_case import paper, squeezed


@pytest.fixture
def house(database: Database) -> House:
    return House(database)


def test_whoever_mends_a_slip_hears_who_was_first_and_ends_nothing_unseen(house: House) -> None:
    key = house.visit(FLAGGED)
    path = deciding(house, key)
    first, second = house.browser("reviewer"), house.browser("second")
    saw = seen_in(second.get(path))
    first.done(path, **seen_in(first.get(path)), disposition="accept", action=["imaging"], **{"due-imaging": SOON})
    answer = second.post(path, **saw, disposition="reject")  # without a reason
    assert answer.status_code == 409
    said = text_of(answer.text)
    assert "reviewer decided “accepted”" in said
    assert "Choose a reason" in said
    kept = re.findall(r'name="stated" value="([^"]+)" checked', answer.text)
    assert kept == [f"imaging {SOON}"]
    second.done(path, **seen_in(answer.text), disposition="reject", reason="assay-artefact", stated=kept)
    (action,) = house.recorder.follow_up.actions("default", patient=key)
    assert (action.kind, action.status) == ("imaging", "open")


def test_a_slip_about_a_finding_that_changed_says_that_it_changed(house: House) -> None:
    key = house.visit(FLAGGED, "2025-03-24")
    browser, path = house.browser("chair"), deciding(house, key)
    saw = seen_in(browser.get(path))
    house.visit(FLAGGED)
    answer = browser.post(path, **saw, disposition="reject")
    assert answer.status_code == 409
    for words in ("The finding has changed since you opened this page", "Choose a reason"):
        assert words in text_of(answer.text)


def test_an_action_whose_tick_is_taken_away_ends_also_after_a_newer_finding(house: House) -> None:
    key = house.visit(FLAGGED, "2025-03-24")
    browser, path = house.browser("chair"), deciding(house, key)
    browser.done(path, **seen_in(browser.get(path)), disposition="watch", action=["imaging"], **{"due-imaging": SOON})
    house.visit(FLAGGED)
    page = browser.get(path)
    assert re.search(r'name="action" value="imaging" checked', page)
    browser.done(path, **seen_in(page), disposition="accept", **{"due-imaging": SOON})
    (action,) = house.recorder.follow_up.actions("default", patient=key)
    assert (action.kind, action.status) == ("imaging", "replaced")


def test_a_decision_about_an_older_finding_is_marked_wherever_it_is_shown(house: House) -> None:
    key = house.visit(FLAGGED, "2025-03-24")
    browser, path = house.browser("chair"), deciding(house, key)
    browser.done(path, **seen_in(browser.get(path)), disposition="watch")
    own, old = f"/board/patients/{key}", "before the newest finding"
    for place in (own, "/board", path):
        assert old not in text_of(browser.get(place)), place
    house.visit(FLAGGED)
    for place in (own, "/board", path):
        assert old in text_of(browser.get(place)), place
    assert old in browser.http.get("/board/list.csv").text
    assert squeezed(old) in squeezed(paper(house, key))


def test_only_the_withdrawal_that_was_seen_is_acknowledged(house: House) -> None:
    key = house.visit("A30", "2025-04-28", family="Withdrawn")
    house.visit("A30", "2025-04-30", family="Withdrawn")
    browser, own = house.browser("chair"), f"/board/patients/{key}"
    (form,) = set(re.findall(r'action="([^"]*/acknowledge)"', browser.get(own)))
    assert browser.post(form).status_code == 404
    refused = browser.post(form, seen="1")  # of a page on which an earlier withdrawal stood
    assert refused.status_code == 409
    assert "withdrawn again since you opened the page" in text_of(refused.text)
    (row,) = listed(house.database, "default", Filter(standing="withdrawn")).rows
    assert row.patient == key
    assert "Acknowledged." in browser.acknowledge(own)
    again = browser.done(form, seen="99")
    assert "Acknowledged." not in again  # there was nothing left


def test_a_page_beyond_the_last_shows_the_last(house: House) -> None:
    house.visit(FLAGGED, family="Found")
    page = house.browser("reader").get("/board?page=99")
    assert "Found, Anna" in page
    assert "No patient has a finding yet" not in page


def test_who_came_from_an_ehr_is_offered_no_meeting_to_decide_at(house: House) -> None:
    key = house.visit(FLAGGED)
    meeting = house.recorder.meetings.plan("default", "Breast board", TODAY, "chair")
    path = deciding(house, key)
    assert '<select id="meeting"' in house.browser("chair").get(path)
    launched = house.launched(key)
    assert '<select id="meeting"' not in launched.get(path)
    late = house.recorder.meetings.plan("default", "Breast board", SOON, "chair")
    for at in (meeting, late):  # an address, or a form of their own making
        page = launched.get(f"{path}?meeting={at}")
        assert "still to come" not in page
        assert at not in page
        refused = launched.post(f"{path}?meeting={at}", **seen_in(page), disposition="accept", meeting=at)
        assert (refused.status_code, "Choose a meeting that is planned, or none" in refused.text) == (422, True)
    assert house.recorder.reviews.decisions("default", patient=key) == []
    assert house.recorder.meetings.agenda("default", meeting) == []
    launched.done(path, **seen_in(launched.get(path)), disposition="accept")
