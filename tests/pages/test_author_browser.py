"""The pages at `/author` as people use them: Debian's Chromium on a service that really runs; by mouse, by keyboard, on a phone, without scripts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from cds.record.accounts import Accounts
from cds.record.database import Database
from cds.workbench.clinic import TENANT
from tests.access.people import PASSWORD
from tests.pages.test_board_browser import WIDE, arrives, is_accessible, opened, picture, served, tab_to

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

RULE = "/author/rules/trpc5-rise-on-chemotherapy"
RISE = "a rise, and again four weeks later, is suspected"
CALM = "one spike that goes back is never suspected"
SLIDER = "day 77, slider"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    file = tmp_path_factory.mktemp("author") / "record.sqlite"
    with closing(Database(f"sqlite:///{file}", deadline=10)) as database:
        database.upgrade()
        Accounts(database).add(TENANT, "author", PASSWORD, ["author"], "tests", shown="Author of rules")
    with served(file) as found:
        yield found


_TRIAL = 60_000
"""Milliseconds until a trial is ended: it gives way to everything else that the machine does."""


def says(page: Page, words: str) -> None:
    """Wait until the sentence that is read out says that."""
    page.get_by_role("status").filter(has_text=words).first.wait_for()


@pytest.mark.parametrize("way", ["wide", "phone"])
def test_a_rule_is_read_tried_and_changed(browser: Browser, address: str, way: str) -> None:
    with opened(browser, address, "author", way) as page:
        page.get_by_role("link", name="For rule authors").click()
        arrives(page, "For rule authors: read a rule, try it, change its limits")
        page.get_by_role("link", name="TRPC5-positive vesicles rising on chemotherapy", exact=True).click()
        page.get_by_role("heading", name="As it is written").wait_for()
        assert page.get_by_text("The latest sample is compared with the geometric mean").is_visible()
        page.get_by_role("link", name="Try", exact=True).click()
        page.get_by_label("Patient").select_option(CALM)
        page.get_by_role("button", name="Choose").click()
        says(page, "Day 126: no flag.")
        assert page.locator(".course svg .c-limit").count()
        slider = page.get_by_label("day 98, slider")
        box = slider.bounding_box()
        assert box
        slider.click(position={"x": 0.9 * box["width"], "y": box["height"] / 2})
        page.get_by_label("Asked on day").fill("98")
        says(page, "Day 98: suspected. Before it was changed: no flag.")
        assert float(page.get_by_label("day 98", exact=True).input_value()) > 6
        assert page.locator("#result .course svg").get_attribute("tabindex") == "0", (
            "the arrows read the new drawing too"
        )
        is_accessible(page, "try")
        assert not page.evaluate(WIDE)
        picture(page, f"author-try-{way}")
        page.emulate_media(media="print")  # on paper it is told from a patient's sheet
        assert page.get_by_text("Nobody’s record; made up").is_visible()
        assert not page.get_by_role("button", name="Show").is_visible()
        page.emulate_media(media="screen")
        page.get_by_label("day 77", exact=True).fill("abc")
        says(page, "Nothing was evaluated.")
        assert page.get_by_role("alert").get_by_text("“abc” is no number").is_visible()
        assert page.get_by_label("day 77", exact=True).get_attribute("aria-invalid") == "true"
        assert page.get_by_label("day 77", exact=True).get_attribute("aria-describedby") == "why-v77"
        assert page.locator("#why-v77").get_by_text("“abc” is no number").is_visible()
        says(page, "“abc” is no number")
        is_accessible(page, "mistake")
        page.get_by_label("left out: day 77").check()
        says(page, "Day 98: watch. Before it was changed: no flag.")
        assert page.get_by_label("day 77", exact=True).get_attribute("aria-describedby") is None
        assert not page.locator("#why-v77").is_visible()
        shared = page.url
        page.get_by_role("link", name="Change a limit").click()
        page.get_by_label("floor").fill("2.1")
        page.get_by_role("button", name="Try these limits").click(timeout=_TRIAL)
        says(page, "nothing was written")
        assert page.get_by_text("floor: 2.1").is_visible()
        assert not page.evaluate(WIDE)
        is_accessible(page, "limits")
        picture(page, f"author-limits-{way}")
        page.locator(".flips a").first.click()
        says(page, "Before it was changed")
        page.goto(shared)  # an address that somebody sends to a colleague
        says(page, "Day 98: watch. Before it was changed: no flag.")
        assert page.get_by_label("left out: day 77").is_checked()


@pytest.mark.parametrize("way", ["dark", "zoomed"])
def test_every_page_is_accessible_and_no_wider_than_its_window(browser: Browser, address: str, way: str) -> None:
    with opened(browser, address, "author", way) as page:
        for path in (
            "/author",
            RULE,
            f"{RULE}/try?v77=3.6",
            f"{RULE}/try?v77=x&day=y",
            f"{RULE}/limits?limit.rise.floor=x",
        ):
            page.goto(path)
            assert not page.evaluate(WIDE), path
            if way == "dark":  # what is zoomed has the colours and names of what is not
                is_accessible(page, path)


def test_everything_by_keyboard_with_the_focus_where_it_was(browser: Browser, address: str) -> None:
    with opened(browser, address, "author") as page:
        said: list[str] = []
        page.on("console", lambda one: said.append(one.text))
        page.on("pageerror", lambda one: said.append(str(one)))
        page.goto(f"{RULE}/try")
        slider = page.get_by_label(SLIDER)
        tab_to(page, slider)
        for _ in range(20):
            page.keyboard.press("ArrowLeft")
        says(page, "Day 105: watch. Before it was changed: suspected.")
        assert slider.evaluate("one => one === document.activeElement")
        assert slider.get_attribute("aria-valuetext") == "3.6 particles/mL"
        page.keyboard.press("Home")  # the least that a slider can say is still a value
        says(page, "Day 105: watch. Before it was changed: suspected.")
        page.wait_for_url("**v77=0.1&**")
        assert page.locator("#now").is_visible()
        page.keyboard.press("Shift+Tab")
        assert page.get_by_label("day 77", exact=True).evaluate("one => one === document.activeElement")
        page.keyboard.press("Control+A")
        page.keyboard.type("5.6")
        says(page, "Day 105: suspected.")
        assert slider.input_value() == "5.6"
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.press("Space")
        says(page, "Day 105: watch. Before it was changed: suspected.")
        assert "x77=yes" in page.url
        assert said == []


def test_without_scripts_a_button_does_the_same(browser: Browser, address: str) -> None:
    with opened(browser, address, "author", "scriptless") as page:
        page.goto(f"{RULE}/try")
        assert not page.get_by_label(SLIDER).is_visible()
        page.get_by_label("day 77", exact=True).fill("3.6")
        page.get_by_role("button", name="Show").click()
        says(page, "Day 105: watch. Before it was changed: suspected.")
        assert page.get_by_label("day 77", exact=True).input_value() == "3.6"
        page.get_by_label("day 77", exact=True).fill("-1")
        page.get_by_role("button", name="Show").click()
        assert "“-1” is negative" in page.get_by_role("alert").inner_text()
        page.get_by_role("link", name="Put everything back").click()
        says(page, "Day 105: suspected.")


def test_who_was_signed_out_meanwhile_is_asked_to_sign_in_and_comes_back(browser: Browser, address: str) -> None:
    with opened(browser, address, "author") as page:
        page.goto(f"{RULE}/try")
        page.context.clear_cookies()
        page.get_by_label("day 77", exact=True).fill("3.6")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_label("Name").fill("author")
        page.get_by_role("button", name="Sign in").click()
        says(page, "Day 105: watch. Before it was changed: suspected.")
        assert page.get_by_label("day 77", exact=True).input_value() == "3.6"
