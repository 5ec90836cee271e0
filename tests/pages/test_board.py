"""The board's pages by HTTP, as a browser without scripts has them: lists, cases, decisions, meetings, what is due."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import update
from starlette.testclient import TestClient

from cds.record import tables
from cds.record.audit import verify
from cds.record.database import Database
from cds.record.recorder import Recorder
from cds.service.app import create_app
from cds.settings import Settings
from cds.workbench.synth.requests import hook_request
from tests.pages.boards import FLAGGED, NOW, SOON, UNJUDGED, WATCHED, House, text_of
from tests.record.visits import REASONER
from tests.test_cli import EXAMPLE

DAYS = {FLAGGED: "2025-04-21", WATCHED: "2025-04-21", UNJUDGED: "2025-05-12"}
"""On which they are found so."""


@pytest.fixture
def house(database: Database) -> House:
    return House(database)


def advisory_of(house: House, patient: str) -> str:
    """The advisory about which the case of a patient offers to decide."""
    page = house.browser("chair").get(f"/board/patients/{patient}")
    found = re.search(r"/advisories/([0-9a-f-]{36})/decision", page)
    assert found, text_of(page)
    return found[1]


def deciding(house: House, patient: str) -> str:
    return f"/board/patients/{patient}/advisories/{advisory_of(house, patient)}/decision"


def seen_in(page: str) -> dict[str, str]:
    """What the form of a decision says that its author saw."""
    found = dict(re.findall(r'name="(revision|seen)" value="(\d+)"', page))
    assert found.keys() == {"revision", "seen"}
    return found


# the list ----------------------------------------------------------------------------------------------------------------


def test_the_list_shows_who_is_flagged_and_who_cannot_be_judged(house: House) -> None:
    for name in (FLAGGED, WATCHED, UNJUDGED):
        house.visit(name, DAYS[name], family=f"Family{name}")
    page = house.browser("reader").get("/board")
    rows = re.findall(r"<tr>\s*<td.*?</tr>", page, re.S)
    said = [text_of(f"<main>{row}") for row in rows]
    assert [row.partition(",")[0] for row in said] == [f"Family{name}" for name in (FLAGGED, WATCHED, UNJUDGED)]
    assert ["suspected" in said[0], "watch" in said[1], "cannot be judged" in said[2]] == [True] * 3
    assert "method" in said[2]  # what is missing is named
    for row in said:
        assert "born 14 May 1970" in row.replace(" ,", ",")
        assert "no. MRN-Family" in row
    tiles = text_of(page)
    assert "1 suspected 1 watch" in tiles
    assert "Choose" not in tiles  # a reader picks nobody


def test_filters_search_and_order_say_what_they_do(house: House) -> None:
    keys = {name: house.visit(name, DAYS[name], family=family) for name, family in
            ((FLAGGED, "Ångström"), (WATCHED, "Zhang"), (UNJUDGED, "Dubois"))}  # fmt: skip
    browser = house.browser("reader")

    def shown(query: str) -> list[str]:
        found = re.findall(r'class="name" href="/board/patients/([^"]+)"', browser.get(f"/board?{query}"))
        return [name for key in found for name, one in keys.items() if one == key]

    assert shown("state=suspected") == [FLAGGED]
    assert shown("text=angstrom") == [FLAGGED]
    assert (
        shown("text=MRN-Zh")
        == shown("text=no.+MRN-Zh")
        == shown("text=Zhang,+Anna")
        == shown("text=mrnzh")
        == [WATCHED]
    )
    assert shown("text=nobody") == []
    assert shown("sort=name") == [FLAGGED, UNJUDGED, WATCHED]
    assert shown("decided=no") == [FLAGGED, WATCHED]
    assert shown("decided=yes") == []
    assert shown("marker=hotair-ev") == []
    for odd in ("state=junk", "sort=;drop", "page=0", f"page=000001{'9' * 29}", "page=²", "page=１", "new=perhaps"):
        assert len(shown(odd)) == 3, odd
    assert "Clear the filter" in browser.get("/board?text=nobody")


def test_an_empty_board_says_so(house: House) -> None:
    assert "No patient has a finding yet" in house.browser("reader").get("/board")


# a case ------------------------------------------------------------------------------------------------------------------


def test_a_case_shows_who_it_is_what_is_found_and_why(house: House) -> None:
    key = house.visit(FLAGGED, family="Aalto", number="4711")
    page = house.browser("reader").get(f"/board/patients/{key}")
    said = text_of(page)
    head, _, foot = page.partition("<footer")
    for part in (head, foot):  # two identifiers on top and at the end, as on every sheet
        assert "Aalto, Anna" in part
        assert "4711" in part
    for words in (
        "born 1 Jan 1970", "suspected", "of the reference", "Limit", "confirmed by a second sample", "What would change it",
        "Do not start, stop or change treatment", "Evidence against it", "version", "Passed", "data as of",
        "Days of line are those of cytotoxic chemotherapy, from 6 Jan 2025",
    ):  # fmt: skip
        assert words in said, words
    assert "<svg" in page
    assert "style=" not in page
    assert "Decide" not in said  # a reader decides nothing


def test_a_case_that_cannot_be_judged_names_why(house: House) -> None:
    said = text_of(house.browser("reader").get(f"/board/patients/{house.visit(UNJUDGED)}"))
    assert "cannot be judged" in said
    assert "method" in said
    assert "no advice stands" in said


def test_advice_about_an_earlier_line_is_not_taken_for_that_of_this_line(house: House) -> None:
    key = house.visit(FLAGGED)
    advisory = advisory_of(house, key)
    with house.database.writing() as connection:
        connection.execute(update(tables.advisory), {"line_start": "2021-01-04", "line_end": "2021-06-01"})
    browser = house.browser("chair")
    of_this_line, _, rest = browser.get(f"/board/patients/{key}").partition("</article>")
    assert "no advice stands" in of_this_line
    assert "Advice still open:" in rest.partition("</article>")[0]
    assert f"/board/patients/{key}/advisories/{advisory}/decision" in rest.partition("</article>")[0]


def test_the_rule_is_shown_as_it_read(house: House) -> None:
    key = house.visit(FLAGGED)
    browser = house.browser("reader")
    link = re.search(r"/board/rules/[\w-]+/[0-9a-f]+", browser.get(f"/board/patients/{key}"))
    assert link
    page = browser.get(link[0])
    assert "rule: trpc5-rise-on-chemotherapy" in page
    assert "This is the version in use." in page
    browser.get(link[0][:-1] + ("0" if link[0][-1] != "0" else "1"), 404)
    browser.get(link[0].replace("trpc5", "hotair"), 404)


def test_an_earlier_evaluation_can_be_looked_at_and_is_not_decided_about(house: House) -> None:
    house.visit(FLAGGED, "2025-03-24")
    key = house.visit(FLAGGED)
    browser = house.browser("chair")
    page = browser.get(f"/board/patients/{key}")
    (earlier,) = re.findall(r"\?evaluation=([0-9a-f-]{36})", page)
    page = browser.get(f"/board/patients/{key}?evaluation={earlier}")
    assert "This is an earlier evaluation" in page
    assert "/decision" not in page
    browser.get(f"/board/patients/{key}?evaluation=nothing", 404)


def test_nothing_of_one_patient_is_reached_through_another(house: House) -> None:
    one, other = house.visit(FLAGGED), house.visit(WATCHED, DAYS[WATCHED])
    mine, theirs = advisory_of(house, one), advisory_of(house, other)
    browser = house.browser("chair")
    browser.get(f"/board/patients/{one}/advisories/{theirs}/decision", 404)
    form = {"revision": "1", "seen": "0", "disposition": "watch"}
    assert browser.post(f"/board/patients/{one}/advisories/{theirs}/decision", **form).status_code == 404
    browser.done(
        f"/board/patients/{one}/advisories/{mine}/decision", **{**form, **seen_in(browser.get(deciding(house, one)))}
    )
    decision = house.recorder.reviews.decisions("default", patient=one)[0].id
    browser = house.browser("second")
    for path, sent in (
        (f"/board/patients/{other}/decisions/{decision}/second", {"agrees": "yes"}),
        (
            f"/board/patients/{other}/advisories/{mine}/outcome",
            {"months": "3", "seen": "0", "response": "SD", "resistance": "no"},
        ),
        (f"/board/patients/{other}/advisories/{mine}/acknowledge", {"seen": "0"}),
        (f"/board/patients/{other}/actions/{decision}", {"status": "done"}),
        (f"/board/patients/nobody/advisories/{mine}/decision", form),
    ):
        assert browser.post(path, **sent).status_code == 404, path
    browser.get("/board/patients/nobody", 404)


def test_patients_of_another_tenant_are_not_there(house: House, database: Database) -> None:
    key = house.visit(FLAGGED)
    with database.writing() as connection:
        connection.execute(update(tables.patient), {"tenant": "elsewhere"})
    house.browser("reader").get(f"/board/patients/{key}", 404)


# deciding ----------------------------------------------------------------------------------------------------------------


def test_a_decision_is_recorded_with_what_follows(house: House) -> None:
    key = house.visit(FLAGGED)
    browser, path = house.browser("chair"), deciding(house, key)
    page = browser.done(
        path, **seen_in(browser.get(path)), disposition="accept", action=["imaging", "trial"], **{"due-imaging": SOON},
        level="m2B", resistance="yes", references="28301834\nhttps://doi.org/10.1000/182", note="",
    )  # fmt: skip
    said = text_of(page)
    for words in (
        "The decision is recorded.",
        "Decided: accepted",
        "by chair",
        "m2B R",
        "28301834",
        "imaging",
    ):
        assert words in said, words
    assert "accepted" in text_of(browser.get("/board"))
    with house.database.reading() as connection:
        assert verify(connection, {}).holds


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({}, "Choose what the board says"),
        ({"disposition": "start-olaparib"}, "Choose what the board says"),
        ({"disposition": "reject"}, "Choose a reason"),
        ({"disposition": "reject", "reason": "other"}, "Say in the note"),
        ({"disposition": "accept", "action": ["imaging"]}, "Give each action its day"),
        ({"disposition": "accept", "action": ["imaging"], "due-imaging": "soon"}, "Give each action its day"),
        ({"disposition": "accept", "references": "see above"}, "Write PubMed numbers"),
        ({"disposition": "accept", "level": "A1"}, "Choose one of the evidence levels"),
        ({"disposition": "accept", "note": "x" * 2001}, "at most 2,000"),
    ],
)
def test_a_decision_that_says_too_little_is_shown_again_as_it_was_written(
    house: House, form: dict[str, str], words: str
) -> None:
    key = house.visit(FLAGGED)
    browser, path = house.browser("chair"), deciding(house, key)
    sent = {"references": "28301834", **form}
    answer = browser.post(path, **seen_in(browser.get(path)), **sent)
    assert answer.status_code == 422
    assert words in text_of(answer.text)
    assert sent["references"] in answer.text
    assert house.recorder.reviews.decisions("default", patient=key) == []


def test_of_two_reviewers_the_second_hears_who_was_first(house: House) -> None:
    key = house.visit(FLAGGED)
    path = deciding(house, key)
    first, second = house.browser("reviewer"), house.browser("second")
    saw = seen_in(first.get(path)), seen_in(second.get(path))
    first.done(path, **saw[0], disposition="watch")
    answer = second.post(path, **saw[1], disposition="reject", reason="assay-artefact", note="I saw the tube")
    assert answer.status_code == 409
    said = text_of(answer.text)
    assert "reviewer decided “watch”" in said
    assert "I saw the tube" in said  # nothing that was written is lost
    page = second.done(
        path, **seen_in(answer.text), disposition="reject", reason="assay-artefact", note="I saw the tube"
    )
    said = text_of(page)
    assert "amendment 1" in said
    assert said.index("watch , ") < said.index("rejected (assay artefact)")  # both stand, in their order


def test_a_newer_evaluation_is_looked_at_before_it_is_decided_about(house: House) -> None:
    house.visit(FLAGGED, "2025-03-24")
    browser, key = house.browser("chair"), house.visit(FLAGGED, "2025-03-24")
    path = deciding(house, key)
    saw = seen_in(browser.get(path))
    house.visit(FLAGGED)
    answer = browser.post(path, **saw, disposition="watch")
    assert answer.status_code == 409
    assert "The finding has changed since you opened this page" in text_of(answer.text)


def test_a_second_reader_is_somebody_else(house: House) -> None:
    key = house.visit(FLAGGED)
    author, path = house.browser("chair"), deciding(house, key)
    page = author.done(path, **seen_in(author.get(path)), disposition="accept")
    assert "I agree" not in page
    decision = house.recorder.reviews.decisions("default", patient=key)[0].id
    second = f"/board/patients/{key}/decisions/{decision}/second"
    assert author.post(second, agrees="yes").status_code == 409
    reader = house.browser("second")
    assert "I agree" in reader.get(f"/board/patients/{key}")
    assert "second reader second" in text_of(reader.done(second, agrees="no")).replace(",", "")
    assert reader.post(second, agrees="yes").status_code == 409
    assert house.browser("reader").post(second, agrees="yes").status_code == 403


def test_actions_are_closed_and_outcomes_recorded(house: House) -> None:
    key = house.visit(FLAGGED)
    browser, path = house.browser("chair"), deciding(house, key)
    browser.done(path, **seen_in(browser.get(path)), disposition="accept", action=["imaging"], **{"due-imaging": SOON})
    (action,) = house.recorder.follow_up.actions("default", patient=key)
    here = f"/board/patients/{key}"
    refused = browser.post(f"{here}/actions/{action.id}", status="not-done")
    assert (refused.status_code, "Choose a reason" in refused.text) == (409, True)
    said = text_of(browser.done(f"{here}/actions/{action.id}", status="not-done", reason="patient-wish"))
    assert "not done (the patient did not want it)" in said
    outcome = f"{here}/advisories/{action.advisory}/outcome"
    form = {"months": "3", "seen": "0", "response": "PD", "resistance": "yes"}
    assert "progressive disease" in text_of(browser.done(outcome, **form))
    assert browser.post(outcome, **{**form, "response": "SD"}).status_code == 409  # somebody else was first
    said = text_of(browser.done(outcome, **{**form, "seen": "1", "response": "SD", "resistance": "no"}))
    assert said.index("progressive disease") < said.index("stable disease; Was it resistance? no")
    rows = text_of(browser.get("/board/precision"))
    assert "too few to tell" in rows
    assert "Wilson" in rows


def test_what_was_said_of_an_action_by_a_slip_is_corrected(house: House) -> None:
    key = house.visit(FLAGGED)
    chair, path, here = house.browser("chair"), deciding(house, key), f"/board/patients/{key}"
    asked = {"disposition": "accept", "action": ["imaging", "trial"], "due-imaging": SOON}
    chair.done(path, **seen_in(chair.get(path)), **asked)
    imaging, _ = house.recorder.follow_up.actions("default", patient=key)
    correction = f"{here}/actions/{imaging.id}/correction"
    assert "/correction" not in chair.get(here)  # nothing was said yet
    page = chair.done(f"{here}/actions/{imaging.id}", status="done")
    assert page.count(f'action="{correction}"') == 1
    assert '<input type="hidden" name="seen" value="done">' in page
    assert "/correction" not in house.browser("reader").get(here)
    assert house.browser("reader").post(correction, status="partly", seen="done").status_code == 403
    said = text_of(chair.done(correction, status="not-done", reason="patient-wish", seen="done"))
    assert re.search(
        r"not done \(the patient did not want it\), [^,]+, by chair before it was corrected: done, [^,]+, by chair",
        said,
    )
    stale = house.browser("second").post(correction, status="partly", seen="done")
    assert (stale.status_code, "chair said “not done”" in text_of(stale.text)) == (409, True)
    unsaid = chair.post(correction, status="not-done", seen="not-done")
    assert (unsaid.status_code, "Choose a reason" in unsaid.text) == (409, True)
    for odd in ("", "open", "replaced", "nonsense"):
        assert chair.post(correction, status="done", seen=odd).status_code == 404, odd
    chair.done(path, **seen_in(chair.get(path)), disposition="watch")  # ends the trial, which was open
    assert chair.get(here).count("/correction") == 1


def test_an_outcome_that_is_not_due_is_refused_in_words(house: House) -> None:
    """The page asks for none before its day; what comes from elsewhere, or from a page of yesterday, is told why."""
    house.now = NOW
    key = house.visit(FLAGGED)
    browser, advisory = house.browser("chair"), advisory_of(house, key)
    form = {"months": "12", "seen": "0", "response": "PD", "resistance": "yes"}
    refused = browser.post(f"/board/patients/{key}/advisories/{advisory}/outcome", **form)
    assert (refused.status_code, "This outcome is not due yet." in text_of(refused.text)) == (409, True)
    assert house.recorder.follow_up.outcomes("default", advisory) == []


def test_what_is_no_number_is_no_page(house: House) -> None:
    key = house.visit(FLAGGED)
    browser, path = house.browser("chair"), deciding(house, key)
    meeting = house.recorder.meetings.plan("default", "Board", SOON, "chair")
    here = f"/board/patients/{key}/advisories/{advisory_of(house, key)}/outcome"
    for odd in ("²", "１", "-1", "1e3", "9" * 30, ""):
        assert browser.post(path, revision=odd, seen="0", disposition="watch").status_code == 404, odd
        assert browser.post(path, revision="1", seen=odd, disposition="watch").status_code == 404, odd
        assert browser.post(here, months=odd, seen="0", response="SD", resistance="no").status_code == 404, odd
        assert browser.post(f"/board/meetings/{meeting}", do="save", revision=odd, minutes="x").status_code == 404, odd
    assert house.recorder.reviews.decisions("default", patient=key) == []


# withdrawn and due -------------------------------------------------------------------------------------------------------


def test_withdrawn_advice_stands_on_top_until_somebody_acknowledges_it(house: House) -> None:
    house.visit("A30", "2025-04-28", family="Withdrawn")
    house.visit("A30", "2025-04-30", family="Withdrawn")
    browser = house.browser("chair")
    page = browser.get("/board")
    box = text_of(page[page.index("<main") :].partition("</section>")[0])
    for said in (
        "it had said suspected , a result on which it rested was entered in error.",
        "Nothing was decided on it",
        "found now:",
    ):
        assert said in box, box
    assert "Withdrawn advice that nobody has acknowledged" in page
    page = browser.acknowledge("/board")
    assert "Acknowledged." in page
    assert "nobody has acknowledged" not in page


def test_what_is_due_is_listed_with_the_patient(house: House) -> None:
    house.visit(FLAGGED, family="Due")
    said = text_of(house.browser("reader").get("/board/follow-up"))
    assert "Due, Anna" in said
    assert "months after the advice was opened ( " in said


def test_a_card_launches_the_board_where_the_ehr_can(database: Database, tmp_path: Path) -> None:
    ways = tmp_path / "sign-in.yaml"
    ways.write_text("smart:\n  - iss: https://ehr.example/fhir\n    client: exowatch\n    gives: [reader]\n", "utf-8")
    settings = Settings(open_mode=True, public_base_url="https://cds.example", sign_in_file=ways)
    recorder = Recorder(database, REASONER.rulebook)
    now = datetime(2025, 4, 21, 12, tzinfo=UTC)
    desk = create_app(settings, REASONER, recorder=recorder, clock=lambda: now)
    http = TestClient(desk, base_url="http://localhost", client=("127.0.0.1", 5))
    service = next(one for one in http.get("/cds-services").json()["services"] if one["hook"] == "patient-view")
    request = hook_request(json.loads(EXAMPLE.read_bytes()), service)
    for server, types in (
        ("https://ehr.example/fhir", ["smart", "absolute"]),
        ("https://other.example/fhir", ["absolute"]),
    ):
        answer = http.post(f"/cds-services/{service['id']}", json={**request, "fhirServer": server}).json()
        (card,) = answer["cards"]
        assert [link["type"] for link in card["links"]] == types
    assert card["links"][0]["url"].startswith("https://cds.example/rules/")
