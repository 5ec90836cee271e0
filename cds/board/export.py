"""Tables as CSV for spreadsheets: UTF-8 with a mark, RFC 4180, and no text of a record that a spreadsheet would run."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal

from cds.board.case import full_name
from cds.board.legible import number_of
from cds.board.sheets import question_title
from cds.board.words import label, words
from cds.calendar import day_of
from cds.drawing import Table
from cds.record.worklist import Row

Cell = str | int | float | Decimal | date | None

_NUMBER = re.compile(r"-?\d{1,15}(\.\d{1,15})?")
# What a spreadsheet takes for the begin of a formula, also in the wide forms of East Asian keyboards, or of a command.
_SIGNS = "=+\\-@|\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}\N{FULLWIDTH HYPHEN-MINUS}\N{FULLWIDTH COMMERCIAL AT}\N{MINUS SIGN}"
_UNSEEN = ("Cc", "Cf", "Cs", "Co")
_QUOTES = "\"'`\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}"
_BEGINS = re.compile(rf"[\s{_QUOTES}]*[{_SIGNS}\t\r]")
_ENDS = r";,\t\r\n"
# Behind what another spreadsheet may take for the end of a cell; a number that ends it, as in "first; -5 days", runs nothing.
_WITHIN = re.compile(rf"([{_ENDS}][\s{_QUOTES}]*)(?=[{_SIGNS}])(?!-\d+(?:\.\d+)?(?: [a-z]+)?\Z)")


def csv_of(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> bytes:
    """A table for a spreadsheet, every cell between quotation marks but for numbers.

    Numbers stay numbers and days are written as 2025-04-21. A text that would begin a formula, at its start or after what another
    spreadsheet might take for the end of a cell, gets an apostrophe before it; characters that cannot be seen are left out.
    """
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow([guarded(name) for name in header])
    for row in rows:
        writer.writerow([_cell(one) for one in row])
    return "\N{ZERO WIDTH NO-BREAK SPACE}".encode() + out.getvalue().encode("utf-8", "replace")


def course_csv(table: Table, name: str, born: str, number: str) -> bytes:
    """The course of a patient in rows, each with who the patient is."""
    w = words()
    header = (
        w.meetings.patient, w.patient.born, w.patient.number, w.patient.table_day, w.common.until, w.patient.table_of_line,
        w.patient.table_what, w.patient.table_value, w.patient.table_how, w.patient.table_role,
    )  # fmt: skip
    rows = (
        (name, born, number, row.day, row.end, row.of_line, row.what, row.value, row.by, row.remark)
        for row in table.rows
    )
    return csv_of(header, [*rows, _intended(len(header))])


def worklist_csv(rows: Iterable[Row], titles: Mapping[str, str]) -> bytes:
    """The worklist as it is shown, a line for each question. `titles` are those of markers and therapy classes, by their keys."""
    w, of = words(), words().worklist
    header = (
        of.patient, w.patient.born, w.patient.number, of.question, of.state, f"{of.state} {w.common.since}", of.claimed.strip(": "),
        w.meetings.finding, w.patient.missing, of.change, of.slope, of.latest, of.decision, f"{of.decision} {w.meetings.day.lower()}", of.decision_about, of.withdrawn_since, of.next,
    )  # fmt: skip
    return csv_of(header, [*(_listed(row, titles) for row in rows), _intended(len(header))])


def _intended(width: int) -> Sequence[Cell]:
    """The last row: what this is for, and what it is not."""
    return (" ".join((words().common.footer, words().common.fixed)), *[""] * (width - 1))


def _listed(row: Row, titles: Mapping[str, str]) -> Sequence[Cell]:
    decision, of = row.decision, words().worklist
    return (
        full_name(row.named), row.named.born, number_of(row.named, row.who), question_title(row, titles), label("states", row.state),
        day_of(row.since), label("states", row.claim) if row.claim else "", row.headline, "; ".join(row.missing), _figure(row.fold),
        _figure(row.slope), row.latest[:10], label("dispositions", decision.code) if decision is not None else "",
        decision.day if decision is not None else "", of.decision_old if decision is not None and not decision.current else "",
        day_of(row.withdrawn), row.due,
    )  # fmt: skip


def _figure(value: float | None) -> float | None:
    """As many digits as a measurement has, and one more."""
    return None if value is None else float(f"{value:.4g}")


def guarded(text: str) -> str:
    """The text so that no spreadsheet runs it: inert, and still what a person reads."""
    said = text
    if not (text.isascii() and text.isprintable()):  # most are, and a long list has many
        said = "".join(one for one in text if one in "\t\r\n" or unicodedata.category(one) not in _UNSEEN)
    if _NUMBER.fullmatch(said):
        return said
    said = _WITHIN.sub(r"\1'", said)
    return f"'{said}" if _BEGINS.match(said) else said


def _cell(value: Cell) -> str | int | float | Decimal:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, date):
        return value.isoformat()
    return guarded(value) if isinstance(value, str) else value
