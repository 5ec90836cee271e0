"""Forms that are not taken, in Debian's Chromium without scripts: a session that ended, a mistake that is said, a head that stays on top."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import delete

from cds.record import tables
from cds.record.database import Database
from tests.access.people import PASSWORD
from tests.access.test_in_a_browser import listening, served
from tests.pages.boards import FLAGGED, House

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

COVERED = """one => {
  const mine = one.getBoundingClientRect(), head = document.querySelector(".person").getBoundingClientRect();
  return !document.querySelector(".person").contains(one) && mine.top < head.bottom - 1 && mine.top >= head.top - 1
}"""
PHONE = {"width": 375, "height": 740}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with closing(Database(f"sqlite:///{tmp_path}/record.sqlite", deadline=10)) as database:
        database.upgrade()
        yield House(database)


@pytest.fixture
def page(browser: Browser, house: House) -> Iterator[Page]:
    with listening() as (socket_, port), served(house, socket_):
        context = browser.new_context(base_url=f"http://localhost:{port}", java_script_enabled=False)
        context.set_default_timeout(10_000)
        yield context.new_page()
        context.close()


def signs_in(page: Page) -> None:
    page.get_by_label("Name").fill("reviewer")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def test_a_decision_outlives_the_session_in_which_it_was_written(page: Page, house: House) -> None:
    key = house.visit(FLAGGED, "2025-04-21", family="Aalto")
    page.goto(f"/board/patients/{key}")
    signs_in(page)
    page.get_by_role("link", name="Decide").first.click()
    page.get_by_label("Reject: the finding is not taken up").check()
    page.get_by_label("Reason").select_option("other")
    page.get_by_role("textbox", name="Note").fill("Drawn two days after the operation;\n“repeat” it & look again.")
    with house.database.writing() as connection:
        connection.execute(delete(tables.session))
    page.get_by_role("button", name="Record the decision").click()
    page.get_by_role("heading", name="You are signed out").wait_for()
    assert page.get_by_text("“repeat” it & look again.").is_visible()
    assert house.recorder.reviews.decisions("default", patient=key) == []
    signs_in(page)
    page.get_by_role("heading", name="Send what you wrote").wait_for()
    page.keyboard.press("Enter")  # the focus is where one goes on
    page.get_by_text("The decision is recorded.").wait_for()
    (decided,) = house.recorder.reviews.decisions("default", patient=key)
    assert (decided.by, decided.code, decided.reason) == ("reviewer", "reject", "other")
    assert decided.note == "Drawn two days after the operation;\n“repeat” it & look again."


def test_a_mistake_is_in_the_title_and_has_the_focus(page: Page, house: House) -> None:
    key = house.visit(FLAGGED, "2025-04-21")
    page.goto(f"/board/patients/{key}")
    signs_in(page)
    page.get_by_role("link", name="Decide").first.click()
    assert not page.title().startswith("Error")
    page.get_by_label("Reject: the finding is not taken up").check()
    page.get_by_role("button", name="Record the decision").click()
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert page.title().startswith("Error: ")
    assert alert.evaluate("one => one === document.activeElement")


@pytest.mark.parametrize("size", [{"width": 1280, "height": 900}, PHONE], ids=["wide", "phone"])
def test_what_stays_on_top_covers_nothing_to_which_a_link_leads(page: Page, house: House, size: dict[str, int]) -> None:
    key = house.visit(FLAGGED, "2025-04-21")
    page.set_viewport_size(size)  # type: ignore[arg-type]  # a plain dictionary
    page.goto(f"/board/patients/{key}")
    signs_in(page)
    for place in page.locator("main [id]:is(section, h2, tr)").all():
        page.goto(f"/board/patients/{key}#{place.get_attribute('id')}")
        assert not place.evaluate(COVERED), place
    links = page.locator("main a, main button, main summary, main [tabindex='0']").all()
    assert len(links) > 10
    for one in reversed(links):  # as by shift and tab, from below
        if one.is_visible():
            one.focus()
            assert not one.evaluate(COVERED), one
