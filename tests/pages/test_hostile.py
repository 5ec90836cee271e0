"""Hostile words through every text field, into page, card, picture, PDF and table: inert everywhere."""

from __future__ import annotations

import csv
import io
import re
from xml.etree import ElementTree

import pytest
from pypdf import PdfReader

from cds.record.database import Database
from tests.pages.boards import FLAGGED, House
from tests.pages.test_board import SOON, deciding, seen_in
from tests.record.conftest import *  # noqa: F403 - the record on both databases

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
HANDLERS = re.compile(r"<[^>]*\son\w+\s*=", re.I)
TAGS = re.compile(r"<(script|iframe|img|base|object|embed|meta|style)\b([^>]*)>", re.I)


@pytest.fixture
def house(database: Database) -> House:
    if not database.is_sqlite:
        pytest.skip("what is escaped does not depend on the database")
    return House(database)


def inert(page: str) -> None:
    """Nothing in a page runs, loads or leads elsewhere but what is ours."""
    for tag, rest in TAGS.findall(page):
        assert (tag, rest.strip()) in (
            ("script", 'src="/script.js" defer'), ("meta", 'charset="utf-8"'),
            ("meta", 'name="viewport" content="width=device-width, initial-scale=1"'),
        ), (tag, rest)  # fmt: skip
    # Only tags of ours stand there: what a record says is text, in which no < is left.
    assert HANDLERS.search(page) is None
    for address in re.findall(r'(?:href|src|action)="([^"]*)"', page):
        assert address.startswith(("/", "#", "https://")), address
        assert "evil" not in address


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


@pytest.mark.parametrize("payload", FORMULAS)
def test_tables_run_nothing(house: House, payload: str) -> None:
    key = house.visit(FLAGGED, family=payload, given="x", number=payload)
    browser = house.browser("reader")
    for path in ("/board/list.csv", f"/board/patients/{key}/table.csv"):
        answer = browser.http.get(path)
        assert answer.headers["content-disposition"].startswith("attachment")
        for row in csv.reader(io.StringIO(answer.content.decode("utf-8-sig"))):
            for cell in row:
                if not re.fullmatch(r"-?\d+(\.\d+)?(e-?\d+)?", cell):
                    assert cell.lstrip(" \"'")[:1] not in ("=", "+", "@") or cell.startswith("'"), cell


@pytest.mark.parametrize("payload", PAYLOADS)
def test_what_people_write(house: House, payload: str) -> None:
    key = house.visit(FLAGGED)
    browser, path = house.browser("chair"), deciding(house, key)
    form = {"disposition": "reject", "reason": "other", "note": payload}
    answer = browser.post(path, **seen_in(browser.get(path)), **form, references=payload)  # refused: shown again
    inert(answer.text)
    answer = browser.post(path, **seen_in(browser.get(path)), **form)
    meeting = house.recorder.meetings.plan("default", "Board", SOON, "chair")
    browser.post(f"/board/meetings/{meeting}", do="save", revision="1", attendees=payload, minutes=payload)
    browser.post("/board/meetings", board=payload, day=SOON)
    browser.post("/board/agenda", meeting=meeting, patient=[key])
    for address in (
        f"/board/patients/{key}",
        path,
        f"/board/meetings/{meeting}",
        "/board/meetings",
        "/board/meetings?done=" + "x",
    ):
        inert(browser.get(address))
    for address in (f"/board/patients/{key}/sheet.pdf", f"/board/meetings/{meeting}/sheet.pdf"):
        sheet = browser.http.get(address)
        assert (sheet.status_code, sheet.headers["content-type"]) == (200, "application/pdf")
        text = "".join(page.extract_text() for page in PdfReader(io.BytesIO(sheet.content)).pages)
        assert "root:" not in text
        assert "/JavaScript" not in sheet.content.decode("latin-1")
        assert "evil.example" not in "".join(
            str(page.get("/Annots", "")) for page in PdfReader(io.BytesIO(sheet.content)).pages
        )
    for payloads in (f"/board?text={payload}", f"/board/patients/{key}?done={payload}"):
        inert(browser.http.get(payloads).text)
