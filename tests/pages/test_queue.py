"""People say whose results are: by HTTP what the pages let through, and in a browser how they are used."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient

from cds.record.database import Database
from cds.record.identity import Identity
from cds.record.queue import Queue
from cds.service.pages.local import local_pages
from tests.intake.test_three_labs import observation
from tests.record.test_arrivals import PATIENT, Clinic, one
from tests.test_cli import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

KEY = "k" * 32
MESSAGE = one("2025-03-24", "5.6")
MRN = "https://clinic.example/mrn"
HOSTILE = b"<script>alert(1)</script>"


class Desk:
    """A queue in which something waits for each reason, and a browser's session with its pages."""

    def __init__(self, database: Database):
        self.clinic = Clinic(database).on("2025-01-10")
        assert self.clinic.opens().status_code == 200
        for key in ("p2", "p3"):
            self.clinic.opens({**PATIENT, "id": key, "identifier": [{"system": MRN, "value": "5000"}]})
        for changed in (
            MESSAGE.replace(b"4711^^^CLINIC", b"4712^^^CLINIC"), MESSAGE.replace(b"4711^^^CLINIC", b"4711^^^"),
            MESSAGE.replace(b"19700514", b"19700515"), MESSAGE.replace(b"4711^^^CLINIC", b"5000^^^CLINIC"),
            one("2025-03-25", "<0.5").replace(b"4711^^^CLINIC", HOSTILE + b"^^^CLINIC"),
        ):  # fmt: skip
            self.clinic.sends(changed)
        self.queue = Queue(database)
        self.http = TestClient(
            local_pages(self.queue, "default", KEY),
            base_url="http://localhost",
            client=("127.0.0.1", 5),
            follow_redirects=False,
        )

    def enters(self) -> None:
        assert self.http.get("/", params={"key": KEY}).headers["Location"] == "/queue"

    def waiting(self, why: str) -> str:
        """The id of what waits for that reason, the first of them."""
        return next(one.id for one in self.queue.waiting("default") if one.waits == why)

    def decides(self, key: str, **form: str) -> tuple[int, str]:
        answer = self.http.post(f"/queue/{key}", data={"by": "lab desk", **form})
        return answer.status_code, answer.text


@pytest.fixture
def address(tmp_path: Path) -> str:
    """What people see does not hang on the kind of the database; what is kept is tested on both in tests/record."""
    return f"sqlite:///{tmp_path}/record.sqlite"


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


def test_nobody_sees_it_without_the_address_that_was_printed(desk: Desk) -> None:
    key = desk.waiting("nobody")
    for path in ("/queue", f"/queue/{key}", "/", "/?key=", f"/?key={KEY}x", "/?key=%C3%A4"):
        answer = desk.http.get(path)
        assert (answer.status_code, "4712" in answer.text) == (403, False), path
    assert desk.decides(key, do="aside", sure="yes")[0] == 403
    desk.http.cookies.set("exowatch-desk", "another")
    assert desk.http.get("/queue").status_code == 403
    desk.http.cookies.clear()
    desk.enters()
    (cookie,) = desk.http.cookies.jar
    assert cookie.has_nonstandard_attr("HttpOnly")
    assert desk.http.get("/queue").status_code == 200
    assert desk.http.get("/queue", headers={"Host": "evil.example"}).status_code == 403
    assert desk.http.get("/queue", headers={"X-Forwarded-For": "10.0.0.1"}).status_code == 403


def test_a_page_loads_nothing_and_runs_nothing(desk: Desk) -> None:
    assert desk.http.get("/favicon.ico").status_code == 204
    desk.enters()
    hostile = next(one.id for one in desk.queue.waiting("default") if one.owner.identifiers[0][1] == HOSTILE.decode())
    for path in ("/queue", f"/queue/{hostile}", "/queue/nothing"):
        answer = desk.http.get(path)
        assert "<script" not in answer.text
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["Cache-Control"] == "no-store"
        assert set(re.findall(r'(?:src|href|action)="([^"]+)"', answer.text)) <= {
            "/style.css", "/queue", "#main", *(f"/queue/{one.id}" for one in desk.queue.waiting("default")),
        }  # fmt: skip
    assert "&lt;script&gt;" in desk.http.get(f"/queue/{hostile}").text


def test_what_waits_is_listed_with_its_reason_and_what_was_sent(desk: Desk) -> None:
    desk.enters()
    text = desk.http.get("/queue").text
    for words in (
        "no patient has this identifier: <strong>2</strong>",
        "several patients have it: <strong>1</strong>",
        "4712",
    ):
        assert words in text
    text = desk.http.get(f"/queue/{desk.waiting('contradicts')}").text
    for words in ("5.6 10*6{particles}/mL", "2025-03-24 08:30 +01:00", "message 1, OBX 1, line 4", "born 1970-05-14",
                  "<strong>the laboratory says 1970-05-15</strong>"):  # fmt: skip
        assert words in text, words
    text = desk.http.get(f"/queue/{desk.waiting('several')}").text
    assert text.count('name="patient" value="http') == 2


def test_nothing_is_given_unless_one_patient_is_named(desk: Desk) -> None:
    desk.enters()
    key = desk.waiting("contradicts")
    whom = desk.queue.candidates("default", key)[0].who.address
    for form, words in (
        ({}, "Choose a patient"),
        ({"patient": whom, "other": "Patient/p2"}, "Two patients are named"),
        ({"other": "Patient/nobody"}, "tick “new in this record”"),
        ({"other": "two words"}, "names no patient"),
        ({"patient": whom, "by": " "}, "Say who decides"),
        ({"do": "aside"}, "confirm that you mean it"),
    ):
        status, text = desk.decides(key, **form)
        assert (status, words in text) == (409, True), (form, text)
    assert len(desk.queue.waiting("default")) == 5
    for content, kind in ((b"\xff", "application/x-www-form-urlencoded"), (b"a" * 5000, "application/x-www-form-urlencoded"),
                          (b'{"by": "x"}', "application/json")):  # fmt: skip
        assert desk.http.post(f"/queue/{key}", content=content, headers={"Content-Type": kind}).status_code == 400
    elsewhere = {"Sec-Fetch-Site": "cross-site"}
    sent = {"by": "x", "patient": whom}
    assert desk.http.post(f"/queue/{key}", data=sent, headers=elsewhere).status_code == 400
    assert len(desk.queue.waiting("default")) == 5


def test_results_are_given_corrected_and_set_aside(desk: Desk) -> None:
    desk.enters()
    key = desk.waiting("contradicts")
    first, second = (
        desk.queue.candidates("default", key)[0].who,
        Identity("default", "https://ehr.example/fhir", "Patient/9"),
    )
    assert desk.decides(key, patient=first.address)[0] == 303
    text = desk.http.get(f"/queue?done=given&key={key}").text
    assert f'href="/queue/{key}"' in text
    assert f"Given to <bdi>{first.address}</bdi> by <bdi>lab desk</bdi>" in desk.http.get(f"/queue/{key}").text
    status, text = desk.decides(key, other=second.address, new="yes")
    assert (status, "name not known here" in text, "Nothing is given yet" in text) == (200, True, True)
    assert desk.queue.content("default", key)[0].given == first.address
    assert desk.decides(key, patient=second.address, new="yes")[0] == 303
    assert f"Given to <bdi>{second.address}</bdi>" in desk.http.get(f"/queue/{key}").text
    aside = desk.waiting("nobody")
    assert desk.decides(aside, do="aside", sure="yes")[0] == 303
    assert desk.http.get(f"/queue/{aside}").status_code == 404
    assert desk.decides(aside, patient=first.address)[0] == 404
    assert len(desk.queue.waiting("default")) == 3


ANNA = {
    **PATIENT, "id": "anna", "birthDate": "1961-02-03", "name": [{"family": "Beispiel", "given": ["Anna"]}],
    "identifier": [{"system": MRN, "value": "8815", "type": {"coding": [{"code": "MR"}]}}],
}  # fmt: skip


def test_whoever_names_a_patient_sees_who_that_is_before_anything_is_given(desk: Desk) -> None:
    desk.clinic.opens(ANNA)
    desk.enters()
    key = desk.waiting("nobody")
    for written in ("Patient/anna", "anna"):
        status, text = desk.decides(key, other=written)
        assert status == 200
        for words in ("Beispiel, Anna", "born 1961-02-03", "record number <bdi>8815</bdi>", "the laboratory says 1970-05-14",
                      "Nothing is given yet", 'value="lab desk"'):  # fmt: skip
            assert words in text, words
        assert re.search(r'value="[^"]*/Patient/anna" checked', text)
        assert desk.waiting("nobody") == key
    (address,) = re.findall(r'value="([^"]*/Patient/anna)" checked', text)
    assert desk.decides(key, patient=address)[0] == 303
    assert desk.queue.content("default", key)[0].given == address


def test_a_laboratory_can_be_called_with_its_own_numbers(desk: Desk) -> None:
    desk.enters()
    text = re.sub(r"<[^>]*>", " ", desk.http.get(f"/queue/{desk.waiting('contradicts')}").text)
    text = " ".join(text.split())
    assert "Message number M1" in text
    assert text.count("EV-20250324") == 2
    assert text.count("F20250324") == 2


def test_of_whom_the_laboratory_said_the_same_before_is_shown(desk: Desk) -> None:
    sent = one("2025-04-07", "7.7")
    desk.clinic.sends(sent)  # of p1
    desk.clinic.opens(ANNA)
    desk.clinic.sends(
        sent.replace(b"4711^^^CLINIC", b"8815^^^CLINIC").replace(b"19700514", b"19610203").replace(b"|M1|", b"|M2|")
    )
    desk.enters()
    text = " ".join(re.sub(r"<[^>]*>", " ", desk.http.get(f"/queue/{desk.waiting('claimed')}").text).split())
    assert re.search(r"Sent before as of \S+ ?/ ?\S*.*Patient/ ?p1", text), text
    assert "Beispiel, Anna" in text


def test_what_came_by_fhir_shows_the_numbers_of_its_sender(desk: Desk) -> None:
    specimen = {
        "resourceType": "Specimen",
        "id": "s",
        "accessionIdentifier": {"value": "ACC-7"},
        "subject": {"identifier": {"value": "0"}},
    }
    result = observation(
        subject={"identifier": {"system": MRN, "value": "77"}}, specimen={"reference": "Specimen/s"},
        basedOn=[{"identifier": {"value": "ORDER-5"}}],
    )  # fmt: skip
    entries = [{"resource": one} for one in (result, specimen)]
    assert desk.clinic.posts({"resourceType": "Bundle", "type": "collection", "entry": entries}).status_code == 202
    desk.enters()
    key = next(one.id for one in desk.queue.waiting("default") if (MRN, "77") in one.owner.identifiers)
    text = desk.http.get(f"/queue/{key}").text
    assert ("ACC-7" in text, "ORDER-5" in text) == (True, True)


def test_a_record_that_is_away_is_said_to_be(desk: Desk, database: Database) -> None:
    desk.enters()
    key = desk.waiting("nobody")
    with database.writing(), closing(Database(str(database.url), deadline=0.2)) as other:
        pages = local_pages(Queue(other), "default", KEY)
        http = TestClient(pages, base_url="http://localhost", client=("127.0.0.1", 5), cookies={"exowatch-desk": KEY})
        answer = http.post(f"/queue/{key}", data={"by": "x", "do": "aside", "sure": "yes"})
    assert (answer.status_code, "nothing was changed" in answer.text) == (503, True)


# in a browser ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def served(desk: Desk, database: Database) -> Iterator[str]:
    """The address that the command prints."""
    environment = {**os.environ, "EXOWATCH_DATABASE_URL": database.url.render_as_string(hide_password=False)}
    command = [sys.executable, "-m", "cds.cli", "labs", "desk"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
        process.send_signal(signal.SIGINT)
        assert process.wait(20) in (0, -signal.SIGINT, 130)


@pytest.fixture(params=["wide", "phone", "zoomed", "dark"])
def page(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    widths = {"wide": 1280, "phone": 360, "zoomed": 640, "dark": 1000}
    context = browser.new_context(
        viewport={"width": widths[request.param], "height": 800},
        java_script_enabled=False,
        color_scheme="dark" if request.param == "dark" else "light",
    )
    context.set_default_timeout(10_000)
    yield context.new_page()
    context.close()


def test_a_person_gives_results_by_keyboard(page: Page, served: str, desk: Desk) -> None:
    page.goto(served)
    assert page.get_by_role("heading", level=1).inner_text() == "Whose results are these?"
    page.keyboard.press("Tab")
    assert page.locator(":focus").inner_text() == "To the content"
    link = page.locator("tr", has_text="another date of birth").get_by_role("link")
    for _ in range(10):
        page.keyboard.press("Tab")
        if link.evaluate("one => one === document.activeElement"):
            break
    page.keyboard.press("Enter")
    assert page.get_by_role("heading", level=1).inner_text() == "2 results of example-lab"
    page.get_by_role("radio").first.focus()
    page.keyboard.press("Space")
    page.get_by_label("Who decides").first.focus()
    page.keyboard.type("lab desk")
    page.keyboard.press("Enter")
    assert "Given." in page.get_by_role("status").inner_text()
    assert len(desk.queue.waiting("default")) == 4


def test_nothing_is_cut_off(page: Page, served: str) -> None:
    page.goto(served)
    wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not page.evaluate(wide)
    page.get_by_role("link", name="Decide").first.click()
    page.get_by_label("Who decides").first.wait_for()  # a click does not wait for the page that it leads to
    assert not page.evaluate(wide)


BROKEN = """() => {
  const found = [];
  const walker = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode;
    if (text.parentElement.closest(".hidden")) continue;
    for (const word of text.data.matchAll(/[A-Za-z]{2,}/g)) {
      const range = document.createRange();
      range.setStart(text, word.index);
      range.setEnd(text, word.index + word[0].length);
      if (new Set([...range.getClientRects()].map(one => Math.round(one.top))).size > 1) found.push(word[0]);
    }
  }
  return found;
}"""
"""Words that stand on two lines."""


@pytest.mark.parametrize("width", [1200, 1000, 375])
def test_no_word_is_broken(browser: Browser, served: str, desk: Desk, width: int) -> None:
    far = {"reference": "https://ehr.university-hospital.example/fhir/Patient/berta"}
    desk.clinic.posts(observation(subject=far))
    context = browser.new_context(viewport={"width": width, "height": 900})
    page = context.new_page()
    page.goto(served)
    assert page.evaluate(BROKEN) == []
    days = page.locator("td time").evaluate_all("all => all.map(one => one.getClientRects().length)")
    assert set(days) == {1}
    page.goto(f"{page.url}/{desk.waiting('contradicts')}")
    assert page.evaluate(BROKEN) == []
    page.goto(f"{page.url.rpartition('/')[0]}/{desk.waiting('several')}")
    assert page.evaluate(BROKEN) == []
    context.close()
