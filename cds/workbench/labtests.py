"""Tests of a laboratory's file: `labs/NAME.test.yaml` beside it. What it sends, and what is to become of each result.

    laboratory: example-lab
    cases:
      a result and its total count:
        message:                              # MSH and PID are put before it
          - OBR|1||F1|EV^^99EEL|||20250408083000
          - OBX|1|NM|EV-TRPC5^^99EEL||5.6|10*6{particles}/mL|||||F
        expect: [trpc5-ev 5.6 10*6{particles}/mL 2025-04-08]
      a row:
        row: {Patient: 4711, Probe: S1, Entnahme: 08.04.2025, TRPC5-EV: "5,6"}
        expect: [trpc5-ev 5.6]

Each expectation begins one of the lines that come of it, and each line is expected: `trpc5-ev 5.6 …` for a result as the
chart reads it, with its faults at the end, `refused CODE: reason`, `withdrawn`, or `left out: reason`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime

from cds.chart import read_all
from cds.chart.catalogue import Catalogue
from cds.errors import InputError, Problem
from cds.intake.files import received
from cds.intake.interfaces import Interface, Layout
from cds.layers import Rules, rule_files
from cds.mistakes import Mistake
from cds.source import Section, raise_if_any

_LATER = date(2200, 1, 1)
_NOW = datetime(2200, 1, 1, tzinfo=UTC)
_HEAD = ("MSH|^~\\&|LIS|LAB|EHR|SITE|20250101||ORU^R01|1|P|2.5.1", "PID|1||TEST-1^^^TEST")


@dataclass(frozen=True, slots=True)
class LabTest:
    """One case: the bytes that a laboratory sends, and how the lines that come of them begin."""

    laboratory: str
    name: str
    file: str
    line: int
    data: bytes
    expect: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LabFailure:
    """A case whose lines are others than expected."""

    test: LabTest
    got: tuple[str, ...]

    def __str__(self) -> str:
        wanted = "\n    ".join(self.test.expect) or "nothing"
        found = "\n    ".join(self.got) or "nothing"
        return f"{self.test.file}:{self.test.line}: {self.test.name}\n  expected\n    {wanted}\n  got\n    {found}"


def load_lab_tests(rules: Rules, interfaces: Mapping[str, Interface]) -> list[LabTest]:
    """Every case of every `labs/*.test.yaml` under `rules`. Raises `RuleBookError` with all mistakes found."""
    problems: list[Problem] = []
    tests: list[LabTest] = []
    for file in rule_files(rules).of("labs", tests=True):
        section = file.read(problems)
        if section is None:
            continue
        section.keys("laboratory", "cases")
        interface = interfaces.get(section.choice("laboratory", tuple(interfaces)))
        if interface is not None:
            tests += [_case(name, case, section.file, interface) for name, case in section.named("cases")]
    raise_if_any(problems)
    return tests


def run_lab_tests(
    tests: list[LabTest], interfaces: Mapping[str, Interface], catalogue: Catalogue
) -> Iterator[LabFailure | None]:
    """For each test its failure; None if it holds."""
    for test in tests:
        got = tuple(_lines(test, interfaces, catalogue))
        open_ = list(got)
        for wanted in test.expect:
            open_ = _without_first(open_, wanted)
        yield None if len(got) == len(test.expect) and not open_ else LabFailure(test, got)


def _without_first(lines: list[str], beginning: str) -> list[str]:
    place = next((number for number, line in enumerate(lines) if line.startswith(beginning)), None)
    return lines if place is None else [*lines[:place], *lines[place + 1 :]]


def _case(name: str, case: Section, file: str, interface: Interface) -> LabTest:
    case.keys("expect", optional=("message", "row", "rows"))
    data = b""
    if ("message" in case) + ("row" in case) + ("rows" in case) != 1:
        case.problem(
            "say what is sent, once",
            "'message': its segments, 'row': its columns, or 'rows'",
            mistake=Mistake.NOTHING_SENT,
        )
    elif "message" in case:
        segments = case.texts("message")
        stated = {segment[:3] for segment in segments}
        data = "\r".join([*(head for head in _HEAD if head[:3] not in stated), *segments, ""]).encode()
    elif interface.table is None:
        case.problem(
            "the laboratory's file does not say how its tables are written",
            "add 'receives: table'",
            mistake=Mistake.NOTHING_SENT,
        )
    else:
        rows = case.sections("row") or case.sections("rows")
        data = _table([{column: row.text(column) for column in row.value} for row in rows], rows, interface.table)
    return LabTest(interface.laboratory.name, name, file, case.place[0], data, case.texts("expect"))


def _table(rows: list[dict[str, str]], sections: list[Section], layout: Layout) -> bytes:
    names = sorted(layout.named)
    for section in sections:
        section.keys(optional=names)
    written = io.StringIO(newline="")
    table = csv.writer(written, delimiter=layout.delimiter)
    table.writerow(names)
    table.writerows([row.get(name, "") for name in names] for row in rows)
    return written.getvalue().encode(layout.encoding)


def _lines(test: LabTest, interfaces: Mapping[str, Interface], catalogue: Catalogue) -> Iterator[str]:
    try:
        found = received(test.data, "test", interfaces, catalogue, _NOW, test.laboratory)
    except InputError as error:
        yield f"refused as a whole: {error}"
        return
    yield from (f"refused {one.what}: {one.reason}" for one in found.refused)
    yield from ("withdrawn" for one in found.resources if one.get("status") in ("entered-in-error", "cancelled"))
    for record in read_all(found.resources, catalogue) if found.resources else ():
        chart = record.as_of(_LATER)
        for marker, results in chart.results.items():
            for result in results:
                faults = f" ({', '.join(sorted(result.faults))})" if result.faults else ""
                yield f"{marker} {result.shown} {result.collected or 'without a day'}{faults}"
        yield from (f"left out: {one.reason}" for one in chart.left_out)
