"""Tables of results (CSV) as a laboratory writes them: what stands where is stated in its file, never guessed."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from cds.errors import InputError
from cds.intake.delivery import Code, Delivery, Name, Person, Sent, SentSpecimen
from cds.intake.interfaces import Layout, ResultColumns
from cds.intake.times import in_zone

_GENDERS = {"f": "female", "female": "female", "w": "female", "m": "male", "male": "male"}
_LONGEST = 40


def read_table(data: bytes, layout: Layout, zone: ZoneInfo | None = None) -> Iterator[Delivery]:
    """The results of each row, as a delivery of its own. Raises `InputError` for a table that has another form than stated."""
    rows = _rows(_decoded(data, layout), layout)
    _, header = next(rows, (0, []))
    names = _named(header, layout)
    reading = _Reading(layout, zone)
    for line, row in rows:
        delivery = Delivery()
        if len(row) != len(header):
            delivery.counted = 1
            delivery.refuse(
                f"line {line}", "row", f"it has {len(row)} fields, the header {len(header)}",
                "likely a delimiter or a quote inside a text: quote it",
            )  # fmt: skip
        else:
            reading.read(line, {name: row[place].strip() for name, place in names.items()}, delivery)
        yield delivery


def _decoded(data: bytes, layout: Layout) -> str:
    try:
        return data.removeprefix(b"\xef\xbb\xbf").decode(layout.encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"line {line}: byte 0x{data[error.start]:02x} is no {layout.encoding}. Save the table so, or state its encoding "
            "in the laboratory's file"
        ) from None


def _rows(text: str, layout: Layout) -> Iterator[tuple[int, list[str]]]:
    """Rows that hold anything, with the line on which each begins."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=layout.delimiter, strict=True)
    line = 0
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield line + 1, row
            line = reader.line_num
    except csv.Error as error:
        raise InputError(
            f"line {line + 1}: the row cannot be taken apart ({error}). Likely a quote that is not closed"
        ) from None


def _named(header: Sequence[str], layout: Layout) -> dict[str, int]:
    """Where each column of the layout stands."""
    names = [name.strip() for name in header]
    if missing := sorted(layout.named - set(names)):
        there = ", ".join(f"'{name}'" for name in names[:30]) or "nothing"
        raise InputError(
            f"line 1: there is no column {', '.join(repr(name) for name in missing)}; there is {there}. Likely another table, "
            "or another delimiter than stated"
        )
    if twice := sorted(name for name in layout.named if names.count(name) > 1):
        raise InputError(f"line 1: the column {twice[0]!r} stands there twice: which of them is meant is not known")
    return {name: names.index(name) for name in layout.named}


class _Reading:
    """Reads rows of one layout."""

    def __init__(self, layout: Layout, zone: ZoneInfo | None):
        self._layout, self._zone = layout, zone
        point = re.escape(layout.decimal)
        self._figure = re.compile(rf"(<=|>=|<|>|≤|≥)?\s*([-+]?\d+(?:{point}\d+)?(?:[eE][-+]?\d+)?)")

    def read(self, line: int, row: Mapping[str, str], delivery: Delivery) -> None:
        measured = [one for one in self._layout.results if row[one.value] or one.code_column]
        delivery.counted = len(measured) or 1
        where = f"line {line}"

        def refused(column: str, reason: str, hint: str) -> None:
            delivery.refuse(f"{where}, column {column}" if column else where, "row", reason, hint, delivery.counted)

        if not measured:
            return refused("", "no column of it holds a result", "leave the row out, or fill it in")
        cell = self._cells(row)
        if not cell("patient"):
            return refused(
                self._layout.columns["patient"], "it does not say whose result it is", "add the patient's number"
            )
        status = "final"
        if stated := cell("status"):
            status = self._layout.statuses.get(stated, "")
            if not status:
                return refused(
                    self._layout.columns["status"], f"what the status '{stated[:40]}' means is not stated",
                    "add it to 'statuses' in the laboratory's file",
                )  # fmt: skip
        times: dict[str, str] = {}
        for name in ("collected", "reported", "birth_date"):
            times[name] = self._time(cell(name))
            if cell(name) and not times[name]:
                return refused(
                    self._layout.columns[name], f"'{cell(name)[:40]}' is not written as {self._layout.shown_times}",
                    "correct it, or add the form to 'dates' in the laboratory's file",
                )  # fmt: skip
        person = Person(
            (Name(cell("patient"), self._layout.authority),), times["birth_date"][:10],
            _GENDERS.get(cell("gender").lower(), ""),
        )  # fmt: skip
        kind, method = cell("specimen_type"), cell("method")
        specimen = SentSpecimen(cell("specimen"), Code(kind) if kind else None, times["collected"])
        for one in measured:
            comparator, value, unit = self._value(row[one.value], one.unit_in_value)
            if not one.unit_in_value:
                unit = row[one.unit_column] if one.unit_column else one.unit
            delivery.sent.append(
                Sent(
                    f"{where}, column {one.value}", person, cell("order") or cell("specimen"), "", (_code(one, row),), value,
                    comparator, unit, status, times["collected"],
                    times["reported"], Code(method) if method else None, cell("device"), cell("result"), specimen,
                )
            )  # fmt: skip

    def _cells(self, row: Mapping[str, str]) -> Callable[[str], str]:
        columns = self._layout.columns
        return lambda name: row[columns[name]] if name in columns else ""

    def _time(self, text: str) -> str:
        for form in self._layout.times:
            try:
                found = datetime.strptime(text, form)
            except ValueError:
                continue
            return in_zone(found.isoformat(), self._zone) if "%H" in form else found.date().isoformat()
        return ""

    def _value(self, text: str, with_unit: bool) -> tuple[str, Decimal | str | None, str]:
        """Comparator, figure and unit of a cell; what is no figure is a text."""
        found = self._figure.match(text)
        unit = text[found.end() :].strip() if found else ""
        if not text or not found or len(found[2]) > _LONGEST or (unit and not with_unit):
            return "", text or None, ""
        comparator = {"≤": "<=", "≥": ">="}.get(found[1] or "", found[1] or "")
        return comparator, Decimal(found[2].replace(self._layout.decimal, ".")), unit


def _code(one: ResultColumns, row: Mapping[str, str]) -> Code:
    system = row[one.system_column] if one.system_column else ""
    return Code(row[one.code_column] if one.code_column else one.code, system)
