"""Drawings as people see and use them: on a page under a strict policy, by pointer, by keyboard, and without the script."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import pytest

from cds.drawing import Scene, cursor_script, drawing_style, svg
from tests.drawing import hard_cases
from tests.drawing.contact_sheet import drawn, drawn_of_chart, sheet
from tests.test_cli import EXAMPLE

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

POLICY = "default-src 'none'; style-src 'self'; script-src 'self'; base-uri 'none'; form-action 'none'"

OVERLAPS = """() => {
  const found = [];
  for (const svg of document.querySelectorAll('svg.c-course')) {
    const whole = svg.getBoundingClientRect();
    const words = [...svg.querySelectorAll('text')].map((one) => [one.textContent, one.getBoundingClientRect()]);
    words.forEach(([said, box], number) => {
      if (box.left < whole.left - 1 || box.right > whole.right + 1 || box.top < whole.top - 1 || box.bottom > whole.bottom + 1)
        found.push([svg.parentElement.id, 'outside', said.slice(0, 60)]);
      for (const [other, second] of words.slice(number + 1)) {
        const wide = Math.min(box.right, second.right) - Math.max(box.left, second.left);
        const high = Math.min(box.bottom, second.bottom) - Math.max(box.top, second.top);
        if (wide > 1 && high > 3) found.push([svg.parentElement.id, 'overlap', said.slice(0, 40), other.slice(0, 40)]);
      }
    });
  }
  return found;
}"""


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    found = browser.new_page(viewport={"width": 1000, "height": 800})
    yield found
    found.close()


def opened(page: Page, *scenes: Scene, script: bool = True) -> list[str]:
    """A page with drawings, served as a strict site does; what the browser complained of."""
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    figures = "".join(
        f"<figure id='f{n}'>{svg(one, styled=False, prefix=f'd{n}')}</figure>" for n, one in enumerate(scenes)
    )
    asked = "<script src='/cursor.js' defer></script>" if script else ""
    html = (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Course</title>"
        f"<link rel='stylesheet' href='/style.css'>{asked}</head><body><main><h1>Course</h1>{figures}</main></body></html>"
    )
    served = {"/style.css": ("text/css", drawing_style()), "/cursor.js": ("text/javascript", cursor_script())}

    def answer(route: Route) -> None:
        path = route.request.url.removeprefix("http://board.example")
        kind, body = served.get(path, ("text/html; charset=utf-8", html))
        route.fulfill(body=body, headers={"Content-Type": kind, "Content-Security-Policy": POLICY})

    page.route("http://board.example/**", answer)
    page.goto("http://board.example/")
    return said


def example() -> Scene:
    return drawn(EXAMPLE.read_bytes(), "2025-04-21")


def place(page: Page, day: str) -> tuple[float, float]:
    """Where a result's sign stands on the screen."""
    box = page.locator(f"g.c-item[data-day='{day}'] :is(path, rect, circle)").first.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def axe(page: Page) -> list[Any]:
    from axe_playwright_python.sync_playwright import Axe

    return list(Axe().run(page).response["violations"])


def test_words_meet_nowhere_and_none_leaves_its_picture(page: Page) -> None:
    page.set_content(sheet())
    assert page.evaluate(OVERLAPS) == []


def test_the_look_comes_from_the_page_and_nothing_is_refused(page: Page) -> None:
    assert opened(page, example(), drawn_of_chart(hard_cases.everything_at_once())) == []
    look = "document.querySelector('.c-limit').ownerDocument.defaultView.getComputedStyle(document.querySelector('.c-limit')).stroke"
    assert page.evaluate(look) == "rgb(163, 50, 42)"
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(look) == "rgb(240, 138, 128)"
    page.emulate_media(color_scheme="dark", media="print")
    assert page.evaluate(look) == "rgb(163, 50, 42)"  # paper is white


def test_without_the_script_the_drawing_is_an_image_with_a_description(page: Page) -> None:
    assert opened(page, example(), script=False) == []
    image = page.get_by_role("img", name="Course of TRPC5-positive extracellular vesicles")
    assert image.count() == 1
    assert image.get_attribute("tabindex") is None  # nothing to be done there
    assert page.locator("output").count() == 0
    assert axe(page) == []


def test_the_cursor_names_what_lies_under_the_pointer_on_all_lanes(page: Page) -> None:
    assert opened(page, example()) == []
    line, said = page.locator(".c-cursor-line"), page.locator("output.c-cursor")
    assert said.inner_text() == ""
    x, y = place(page, "2025-03-24")
    page.mouse.move(x, y + 120)  # anywhere on that day, not on the sign
    assert said.inner_text().startswith(
        "24 Mar 2025, day 77 · 24 Mar 2025 (day 77): TRPC5-EV 5.6 × 10⁶/mL, first of the pair"
    )
    assert "Cytotoxic chemotherapy, paclitaxel: 6 Jan 2025 on, taken as ongoing" in said.inner_text()
    assert line.get_attribute("visibility") == "visible"
    box = line.bounding_box()
    assert box is not None
    assert abs(box["x"] - x) < 1.5
    page.mouse.move(x - 30, y)
    assert "TRPC5-EV" not in said.inner_text()
    assert "paclitaxel" in said.inner_text()
    page.mouse.move(5, 5)
    assert (said.inner_text(), line.get_attribute("visibility")) == ("", "hidden")


def test_the_arrow_keys_go_from_one_result_to_the_next(page: Page) -> None:
    assert opened(page, example()) == []
    said = page.locator("output.c-cursor")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.matches('svg.c-course')")
    days = []
    for _ in range(6):
        page.keyboard.press("ArrowRight")
        days.append(said.inner_text().partition(",")[0])
    assert days == ["20 Dec 2024", "2 Jan 2025", "17 Feb 2025", "24 Mar 2025", "21 Apr 2025", "21 Apr 2025"]
    page.keyboard.press("ArrowLeft")
    assert said.inner_text().startswith("24 Mar 2025")
    page.keyboard.press("Shift+ArrowLeft")
    assert said.inner_text().startswith("23 Mar 2025, day 76 · Cytotoxic")
    page.keyboard.press("Escape")
    assert said.inner_text() == ""
    assert axe(page) == []


def test_the_cursor_knows_folded_days(page: Page) -> None:
    assert opened(page, drawn_of_chart(hard_cases.long_history())) == []
    said = page.locator("output.c-cursor")
    for day, shown in (("2014-10-01", "1 Oct 2014"), ("2025-04-01", "1 Apr 2025")):
        x, y = place(page, day)
        page.mouse.move(x, y)
        assert said.inner_text().startswith(shown)
    fold = page.locator("rect.c-fold").first.bounding_box()
    assert fold is not None
    page.mouse.move(fold["x"] + fold["width"] / 2, fold["y"] + 40)
    under = datetime.strptime(said.inner_text().partition(" · ")[0].partition(",")[0], "%d %b %Y").date()
    assert date(2014, 12, 1) < under < date(2019, 11, 1)
    assert "tamoxifen" in said.inner_text()


def test_several_drawings_stand_in_one_page(page: Page) -> None:
    assert opened(page, example(), drawn_of_chart(hard_cases.replicates())) == []
    assert page.locator("output.c-cursor").count() == 2
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    first, second = page.locator("output.c-cursor").all()
    assert (first.inner_text(), second.inner_text().partition(",")[0]) == ("", "2 Jan 2025")
    assert axe(page) == []


def test_hostile_text_stays_text_on_the_page(page: Page) -> None:
    assert opened(page, drawn_of_chart(hard_cases.hostile())) == []
    assert page.locator("svg script, svg a, svg foreignObject").count() == 0
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    assert "<script>" in page.locator("output.c-cursor").inner_text()
    assert page.locator("output.c-cursor *").count() == 0


def test_the_script_is_small_and_plain() -> None:
    script = cursor_script()
    assert len(script.splitlines()) < 120
    for word in ("eval(", "innerHTML", ".style", "Function(", "http://", "https://", "fetch("):
        assert word not in script.replace("http://www.w3.org/2000/svg", "")
