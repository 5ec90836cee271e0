"""The board as people use it: Debian's Chromium on a service that really runs, with a made-up clinic in its record.

Each way of looking (wide, phone, 200 % zoom, dark, without scripts) signs in, finds a case, reads why, decides, loses against a second
reviewer, follows up and prints. `BOARD_PICTURES=docs/board` keeps the pictures that the README shows.
"""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pytest
from axe_playwright_python.sync_playwright import Axe
from pypdf import PdfReader

from cds.record.accounts import Accounts
from cds.record.database import Database
from cds.settings import Settings
from cds.workbench.clinic import TENANT, fill
from tests.access.people import PASSWORD
from tests.record.visits import REASONER
from tests.test_cli import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, Locator, Page

WIDE = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
NEWEST = """() => {
  const box = document.querySelector(".course").getBoundingClientRect();
  return Math.abs(document.querySelector(".course svg").getBoundingClientRect().right - box.right) < 2;
}"""
"""Whether a drawing, also one that is wider than the page, shows its end."""
WAYS = {
    "wide": {"viewport": {"width": 1280, "height": 900}},
    "phone": {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True},
    "zoomed": {"viewport": {"width": 640, "height": 450}},  # what is left of 1280 × 900 at 200 %
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "scriptless": {"viewport": {"width": 1280, "height": 900}, "java_script_enabled": False},
}
DUE = (date.today() + timedelta(days=30)).isoformat()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service whose record holds the clinic; everybody in it may sign in with one password."""
    file = tmp_path_factory.mktemp("board") / "record.sqlite"
    with closing(Database(f"sqlite:///{file}", deadline=10)) as database:
        database.upgrade()
        fill(database, REASONER, Settings(open_mode=True), date.today(), lambda: None)
        accounts = Accounts(database)
        for name in ("reader", "reviewer", "chair", "author", "auditor", "admin"):
            accounts.add(TENANT, name, PASSWORD, [name], "tests", shown=name.capitalize())
        accounts.add(TENANT, "second", PASSWORD, ["reviewer"], "tests", shown="Second reviewer")
    with served(file) as found:
        yield found


@contextmanager
def served(file: Path) -> Iterator[str]:
    environment = {**os.environ, "EXOWATCH_DATABASE_URL": f"sqlite:///{file}", "EXOWATCH_DEADLINE_MS": "5000"}
    command = [sys.executable, "-m", "cds.cli", "serve", "--dev", "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        line = next(line for line in process.stdout if '"serving"' in line)
        found = line.partition('"address": "')[2].partition('"')[0]
        assert httpx2.get(f"{found}/ready", timeout=20).status_code == 200
        yield found
        process.send_signal(signal.SIGINT)
        assert process.wait(20) in (0, -signal.SIGINT, 130)


@contextmanager
def opened(browser: Browser, address: str, name: str, way: str = "wide") -> Iterator[Page]:
    """A page of somebody who has signed in."""
    context = browser.new_context(base_url=address, **WAYS[way])  # type: ignore[arg-type]  # a table of options
    context.set_default_timeout(10_000)
    page = context.new_page()
    page.goto("/board")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Sign out").wait_for()
    yield page
    context.close()


def arrives(page: Page, heading: str) -> Locator:
    """The heading of the page to which something has led."""
    found = page.get_by_role("heading", level=1).filter(has_text=heading)
    found.wait_for(state="attached")
    return found


def picture(page: Page, name: str) -> None:
    """Keep what a person sees, where pictures are wanted."""
    folder = Path(os.environ.get("BOARD_PICTURES", ROOT / "build" / "screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"{name}.png")
    assert (folder / f"{name}.png").stat().st_size > 10_000, "an empty page"


@pytest.mark.parametrize("way", WAYS)
def test_a_case_from_the_list_to_the_follow_up(browser: Browser, address: str, way: str) -> None:
    with opened(browser, address, "reviewer", way) as page, opened(browser, address, "second") as other:
        arrives(page, "Patients with marker findings")
        assert not page.evaluate(WIDE)
        page.goto("/board?state=watch&decided=no")  # what no other way has decided about
        name = page.locator("td a.name").last.inner_text()
        page.get_by_label("Name or record number").fill(name.partition(",")[0])
        page.get_by_role("button", name="Filter").click()
        page.locator("td a.name", has_text=name).first.click()
        arrives(page, name)
        for words in ("It rests on", "Numbers", "What would change it", "Gates", "Evidence"):
            assert page.get_by_text(words, exact=False).first.is_visible(), words
        assert not page.evaluate(WIDE)
        if way == "wide":
            picture(page, "case")
        here = page.url
        page.get_by_role("link", name="Decide").first.click()
        arrives(page, "Decide about a finding")
        assert not page.evaluate(WIDE)
        other.goto(page.url)
        if way == "wide":
            picture(page, "decision")
        page.get_by_label("Watch: the finding is neither").check()
        page.get_by_role("checkbox", name="imaging").check()
        page.locator("#due-imaging").fill(DUE)
        page.get_by_role("button", name="Record the decision").click()
        assert "The decision is recorded." in page.locator(".done").inner_text()
        # the second reviewer had the form open all the while
        other.get_by_label("Reject: the finding is not taken up").check()
        other.get_by_label("Reason").select_option("sample-timing")
        other.get_by_role("button", name="Record the decision").click()
        assert "reviewer decided “watch”" in other.get_by_role("alert").inner_text()
        assert other.get_by_label("Reject: the finding is not taken up").is_checked()
        other.goto(here)
        other.get_by_role("button", name="I agree").click()
        assert "second reader" in other.locator(".done").inner_text()
        # follow-up
        page.goto(here)
        row = page.locator("tr", has_text="imaging").filter(has=page.get_by_role("button", name="Close"))
        row.get_by_label("How far it was done").select_option("done")
        row.get_by_role("button", name="Close").click()
        assert "what became of it" in page.locator(".done").inner_text()
        # on paper
        page.emulate_media(media="print")
        assert page.locator(".person").is_visible()
        assert page.get_by_role("navigation").count() == 0
        assert [one for one in page.get_by_role("button").all() if one.is_visible()] == []
        assert page.get_by_text("Do not start, stop or change treatment").first.is_visible()
        if way == "wide":
            page.locator(".person .name").evaluate("one => { one.textContent = 'Extraordinarily-Long ' .repeat(4) }")
            sheets = PdfReader(io.BytesIO(page.pdf(format="A4"))).pages
            assert len(sheets) > 2
            for sheet in sheets:  # two ways to tell who it is, in the room that is left for them
                assert re.search(r"Extraordinarily.*born.*record no\.", " ".join(sheet.extract_text().split()))
            page.set_viewport_size({"width": 700, "height": 900})
            room = page.evaluate("parseFloat(getComputedStyle(document.body).paddingTop)")
            assert page.locator(".person").evaluate("one => one.getBoundingClientRect().bottom") < room


BESIDE = """all => all.filter(cell => {
  const inside = document.createRange();
  inside.selectNodeContents(cell);
  const edge = cell.getBoundingClientRect().left + parseFloat(getComputedStyle(cell).paddingLeft) - 1;
  return [...inside.getClientRects()].some(one => one.width > 2 && one.left < edge);
}).map(cell => cell.innerText)"""
"""Cells of which something stands in the margin of their labels."""
LINES = "all => [...new Set(all.map(one => one.getClientRects().length))]"


def test_on_a_phone_the_list_is_cards_and_nothing_stands_among_the_labels(browser: Browser, address: str) -> None:
    with opened(browser, address, "reader", "phone") as page:
        assert not page.get_by_label("Name or record number").is_visible()
        assert page.evaluate("document.querySelector('.worklist tbody tr').getBoundingClientRect().height") < 260
        assert page.locator(".worklist .chip").evaluate_all("all => Math.max(...all.map(one => one.offsetHeight))") < 60
        assert page.locator(".worklist .line bdi, .worklist .whole").evaluate_all(LINES) == [1]
        page.get_by_text("Search and filter").click()
        page.get_by_label("Name or record number").fill("nobody")
        page.get_by_role("button", name="Filter").click()
        assert page.get_by_label("Name or record number").input_value() == "nobody"  # what filters is seen
        page.goto("/board?state=hold")
        page.locator("td a.name").first.click()
        page.locator(".person").wait_for()
        page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
        assert page.locator("td[data-label]").evaluate_all(BESIDE) == []
        assert page.locator(".figure .ratio").evaluate_all(LINES) == [1]
        page.locator(".person .number").evaluate("one => one.textContent = '9'.repeat(60)")
        assert not page.evaluate(WIDE)


def test_the_drawing_that_is_kept_looks_as_it_does_on_the_page(browser: Browser, address: str, tmp_path: Path) -> None:
    def looks(page: Page) -> str:
        script = "[...document.querySelectorAll('svg .c-limit, svg .c-expected, svg .c-axis')].map((one) => {"
        script += " const look = getComputedStyle(one); return [look.stroke, look.fill, look.strokeDasharray] })"
        return str(page.evaluate(script))

    with opened(browser, address, "reader") as page:
        page.goto("/board?state=suspected")
        page.locator("td a.name").first.click()
        with page.expect_download() as kept:
            page.get_by_role("link", name="The drawing (SVG)").click()
        kept.value.save_as(tmp_path / "course.svg")
        on_the_page = looks(page)
        page.goto((tmp_path / "course.svg").as_uri())
        assert looks(page) == on_the_page


def test_everything_by_keyboard(browser: Browser, address: str) -> None:
    context = browser.new_context(base_url=address)
    page = context.new_page()
    page.goto("/board")
    tab_to(page, page.get_by_label("Name"))
    page.keyboard.type("chair")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    arrives(page, "Patients with marker findings")
    page.keyboard.press("Tab")
    assert page.locator(":focus").inner_text() == "To the content"
    page.goto("/board?state=discordant&decided=no")
    tab_to(page, page.locator("td a.name").first)
    page.keyboard.press("Enter")
    page.locator(".person").wait_for()
    tab_to(page, page.locator(".course svg"))
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    told = page.locator("output.c-cursor")
    assert told.inner_text().strip()
    tab_to(page, page.get_by_role("link", name="Decide").first)
    page.keyboard.press("Enter")
    arrives(page, "Decide about a finding")
    tab_to(page, page.locator("input[name=disposition]").first)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Space")
    tab_to(page, page.get_by_role("button", name="Record the decision"))
    page.keyboard.press("Enter")
    assert "The decision is recorded." in page.locator(".done").inner_text()
    context.close()


def tab_to(page: Page, wanted: Locator, most: int = 120) -> None:
    """Press Tab until that has the focus."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if wanted.evaluate("one => one === document.activeElement"):
            return
    raise AssertionError(f"{wanted} is not reached by {most} tabs")


def test_a_meeting_by_its_chair(browser: Browser, address: str) -> None:
    with opened(browser, address, "chair") as page:
        picture(page, "worklist")
        page.get_by_role("checkbox").last.check()  # who stands on no agenda yet
        page.get_by_role("button", name="Put on the agenda").click()
        assert "Put on the agenda." in page.locator(".done").inner_text()
        page.get_by_role("link", name="Meetings").click()
        arrives(page, "Meetings")
        page.locator("main table").first.get_by_role("link").first.click()
        arrives(page, "Breast tumour board")
        second = page.locator("tbody tr").nth(1).locator("td a.name").inner_text()
        page.get_by_role("button", name="Earlier").nth(1).click()
        assert "The order is changed." in page.locator(".done").inner_text()
        assert page.locator("tbody tr").first.locator("td a.name").inner_text() == second
        page.get_by_label("Who is there").fill("oncologist\nsurgeon")
        page.get_by_label("There is a quorum").check()
        page.get_by_role("textbox", name="Minutes").fill("All cases were heard.")
        page.evaluate("scrollTo(0, 0)")
        picture(page, "meeting")
        page.get_by_role("button", name="Save").click()
        assert "Saved." in page.locator(".done").inner_text()
        page.get_by_role("link", name="Follow-up").click()
        arrives(page, "Follow-up")
        picture(page, "follow-up")


PAGES = {
    "reader": ("/board", "/board?text=nobody", "/board/meetings", "/board/follow-up", "/board/precision", "/account"),
    "admin": ("/accounts",),
    "auditor": ("/audit",),
}


@pytest.mark.parametrize("way", ["wide", "dark", "phone"])
def test_axe_finds_nothing_serious(browser: Browser, address: str, way: str) -> None:
    for name, paths in PAGES.items():
        with opened(browser, address, name, way) as page:
            for path in paths:
                page.goto(path)
                is_accessible(page, path)
    with opened(browser, address, "chair", way) as page:
        for state in ("suspected", "persistent", "discordant", "hold", "not-evaluable", "data-quality", "no-flag"):
            page.goto(f"/board?state={state}")
            page.locator("td a.name").first.click()
            page.locator(".person").wait_for()
            is_accessible(page, state)
            if page.locator(".course svg").count():
                assert page.evaluate(NEWEST)
                assert page.locator(".sideways").is_visible() == (way == "phone")
        page.goto("/board?state=suspected")
        page.locator("td a.name").first.click()
        page.get_by_role("link", name="The rule as it read").first.click()
        page.locator("pre").wait_for()
        is_accessible(page, "rule")
        page.goto("/board?state=suspected")
        page.locator("td a.name").last.click()
        page.get_by_role("link", name="Decide", exact=False).or_(page.get_by_role("link", name="Amend")).first.click()
        page.get_by_role("button", name="Record the decision").wait_for()
        is_accessible(page, "decision")
        page.goto("/board/meetings")
        is_accessible(page, "meetings of a chair")
        page.locator("main table").first.get_by_role("link").first.click()
        arrives(page, "Breast tumour board")
        is_accessible(page, "meeting")
    context = browser.new_context(base_url=address, **WAYS[way])  # type: ignore[arg-type]  # a table of options
    page = context.new_page()
    page.goto("/sign-in")
    is_accessible(page, "sign-in")
    context.close()


def is_accessible(page: Page, where: str) -> None:
    found = Axe().run(page).response["violations"]
    told = [
        f"{one['id']} ({one['impact']}): {one['help']}: {node['html'][:160]}" for one in found for node in one["nodes"][:3]
        if one["impact"] in ("serious", "critical")
    ]  # fmt: skip
    assert told == [], f"{where}: " + "\n".join(told)


def test_the_page_needs_nothing_from_elsewhere_and_says_nothing_to_the_console(browser: Browser, address: str) -> None:
    with opened(browser, address, "reader") as page:
        asked: list[str] = []
        said: list[str] = []
        page.on("request", lambda one: asked.append(one.url))
        page.on("console", lambda one: said.append(one.text))
        page.goto("/board?state=suspected")
        page.locator("td a.name").first.click()
        page.locator(".person").wait_for()
        assert [one for one in asked if not one.startswith(address)] == []
        assert said == []


def test_who_leaves_what_was_written_is_asked(browser: Browser, address: str) -> None:
    with opened(browser, address, "chair") as page:
        asked: list[str] = []

        def stays(dialog: Dialog) -> None:
            asked.append(dialog.type)
            dialog.dismiss()

        page.on("dialog", stays)
        page.goto("/board/meetings")
        page.locator("main table").first.get_by_role("link").first.click()
        arrives(page, "Breast tumour board")
        page.get_by_role("link", name="Follow-up").click()  # nothing was written
        arrives(page, "Follow-up")
        page.go_back()
        arrives(page, "Breast tumour board")
        page.get_by_label("Minutes").press_sequentially("Not to be lost")
        page.get_by_role("link", name="Follow-up").click(no_wait_after=True)
        page.wait_for_timeout(300)
        assert asked == ["beforeunload"]
        assert "Not to be lost" in page.get_by_label("Minutes").input_value()  # others of this file write there too
        page.get_by_role("button", name="Decide").or_(page.get_by_role("button", name="Amend")).first.click()
        arrives(page, "Decide about a finding")
        page.go_back()
        page.reload()
        assert "Not to be lost" in page.get_by_label("Minutes").input_value()  # others of this file write there too
        assert asked == ["beforeunload"]
