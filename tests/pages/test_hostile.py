"""Hostile words through every text field, into page, card, picture, PDF and table: inert everywhere."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlencode, urlsplit
from xml.etree import ElementTree

import pytest
from pypdf import PdfReader

from cds.record.database import Database
from tests.pages.boards import FLAGGED, SOON, House
from tests.pages.boards import WATCHED as WATCH
from tests.pages.test_board import deciding, seen_in

MARKUP = (
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<svg onload=alert(1)>", "<svg/onload=alert(1)>", '"><script>1</script>',
    "'><script>1</script>", "</textarea><script>1</script>", "</title><script>1</script>", "</style><script>1</script>",
    '" autofocus onfocus="alert(1)', "' onmouseover='alert(1)", "javascript:alert(1)", "data:text/html,<script>1</script>",
    "<iframe src=//evil.example>", "<a href=javascript:alert(1)>x</a>", "<form action=//evil.example><input>", "<meta http-equiv=refresh content=0>",
    "<base href=//evil.example>", "<link rel=stylesheet href=//evil.example>", "<style>*{display:none}</style>", "<!--", "-->", "<![CDATA[", "]]>",
    "<?xml version='1.0'?>", "&lt;script&gt;", "&#60;script&#62;", "&amp;", "\u202egnp.exe", "\u2066x\u2069",
)  # fmt: skip
TEMPLATES = ("{{ 7*7 }}", "{% raw %}", "${7*7}", "#{7*7}", "<%= 7*7 %>", "%s%n", "{0.__class__}")
TYPESETTING = (
    '#import "x.typ"',
    '#read("/etc/passwd")',
    "$x^2$",
    "@label",
    "<label>",
    '#eval("1")',
    "\\u{202e}",
    "= Heading",
)
MARKDOWN = (
    "![x](//evil.example/x.png)",
    "[x](javascript:alert(1))",
    "**bold**",
    "`code`",
    "| a | b |",
    "# Heading",
    "<https://evil.example>",
)
FORMULAS = (
    "=1+1", "+1+1", "-1+1", "@SUM(A1)", "=cmd|' /C calc'!A0", '=HYPERLINK("//evil.example","x")', "\t=1+1", "\r=1+1", " =1+1", '"=1+1',
    ";=1+1", ",=1+1",
)  # fmt: skip
PAYLOADS = (*MARKUP, *TEMPLATES, *TYPESETTING, *MARKDOWN, *FORMULAS)
RUNS = {
    ("script", (("src", "/script.js"), ("defer", None))), ("meta", (("charset", "utf-8"),)),
    ("meta", (("name", "viewport"), ("content", "width=device-width, initial-scale=1"))), ("link", (("rel", "stylesheet"), ("href", "/style.css"))),
}  # fmt: skip
"""The tags that run, load or change the meaning of a page, as ours are; every other is somebody else's."""
WATCHED = {
    "script",
    "iframe",
    "img",
    "image",
    "base",
    "object",
    "embed",
    "meta",
    "style",
    "link",
    "foreignobject",
    "animate",
    "set",
    "use",
}


_AT_ONCE = 8
"""Payloads that one patient's pages and one list of meetings hold: each page shows what was written before."""


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """What is escaped does not depend on the kind of the database."""
    with closing(Database(f"sqlite:///{tmp_path}/record.sqlite", deadline=10)) as database:
        database.upgrade()
        yield House(database)


class Tags(HTMLParser):
    """Checks every tag of a page as a browser would see it."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in WATCHED:
            assert (tag, tuple(attrs)) in RUNS, (tag, attrs)
        for name, value in attrs:
            assert not name.startswith("on"), (tag, name)
            assert name not in ("style", "srcdoc", "formaction"), (tag, name)
            if name in ("href", "src", "action", "xlink:href"):
                parts = urlsplit(value or "")
                assert parts.scheme in ("", "https"), value
                assert "evil" not in parts.netloc, value


def inert(page: str) -> None:
    """Nothing in a page runs, loads or leads elsewhere but what is ours."""
    parser = Tags()
    parser.feed(page)
    parser.close()


def test_there_are_enough_of_them() -> None:
    assert len(set(PAYLOADS)) >= 60


def test_names_and_numbers_of_patients(house: House) -> None:
    keys = [house.visit(FLAGGED, family="first")]
    browser = house.browser("chair")
    for payload in PAYLOADS:
        house.visit(FLAGGED, family=payload, given=payload, number=payload)
        for path in ("/board", f"/board/patients/{keys[0]}", "/board/follow-up"):
            inert(browser.get(path))
    picture = browser.get(f"/board/patients/{keys[0]}/course.svg")
    kinds = {shape.tag.rpartition("}")[2] for shape in ElementTree.fromstring(picture).iter()}  # noqa: S314 - our own
    assert "script" not in kinds
    assert "foreignObject" not in kinds


def test_tables_run_nothing(house: House) -> None:
    browser = house.browser("reader")
    for payload in FORMULAS:
        key = house.visit(FLAGGED, family=payload, given="x", number=payload)
        for path in ("/board/list.csv", f"/board/patients/{key}/table.csv"):
            answer = browser.http.get(path)
            assert answer.headers["content-disposition"].startswith("attachment")
            for row in csv.reader(io.StringIO(answer.content.decode("utf-8-sig"))):
                for cell in row:
                    if not re.fullmatch(r"-?\d+(\.\d+)?(e-?\d+)?", cell):
                        assert cell.lstrip(" \"'")[:1] not in ("=", "+", "@") or cell.startswith("'"), cell


@pytest.mark.parametrize("first", range(0, len(PAYLOADS), _AT_ONCE))
def test_what_people_write(house: House, first: int) -> None:
    key, payloads = house.visit(WATCH, "2025-04-21"), PAYLOADS[first : first + _AT_ONCE]
    browser, path = house.browser("chair"), deciding(house, key)
    for number, payload in enumerate(payloads):
        form = {"disposition": "reject", "reason": "other", "note": payload}
        answer = browser.post(path, **seen_in(browser.get(path)), **form, references=payload)
        assert answer.status_code == 422  # shown again as it was written
        inert(answer.text)
        inert(browser.done(path, **seen_in(answer.text), **form))
        meeting = house.recorder.meetings.plan("default", "Board", SOON, "chair")
        here, written = f"/board/meetings/{meeting}", {"attendees": payload, "minutes": payload}
        inert(browser.done(here, do="save", revision="1", board="Board", day=SOON, **written))
        inert(browser.done("/board/meetings", board=payload, day=SOON, sure="yes"))
        inert(browser.done("/board/agenda", meeting=meeting, patient=[key]))
        for address in (f"/board/patients/{key}", path, here, "/board/meetings"):
            inert(browser.get(address))
        for address in ("/board", f"/board/patients/{key}"):
            inert(browser.get(f"{address}?{urlencode(dict.fromkeys(('text', 'done', 'state'), payload))}"))
        if payload in TYPESETTING or number % 8 == 0:
            for address in (f"/board/patients/{key}/sheet.pdf", f"{here}/sheet.pdf"):
                is_only_text(browser.http.get(address).content)
    assert len(house.recorder.reviews.decisions("default", patient=key)) == len(payloads)


def is_only_text(sheet: bytes) -> None:
    reader = PdfReader(io.BytesIO(sheet))
    assert "root:" not in "".join(page.extract_text() for page in reader.pages)
    assert b"/JavaScript" not in sheet
    assert all("/Annots" not in page for page in reader.pages)
