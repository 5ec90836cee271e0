"""A case of a rule's tests: a synthetic patient by day, and what the rule is to say on some of the days."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, NamedTuple

import msgspec

from cds.chart.model import Chart, Diagnosis, Event, Imaging, Line, Operation, Result
from cds.chart.occasions import in_order

DAY_0 = date(2025, 1, 6)
ALWAYS = -(10**6)
"""The day since which something has been known that no case dates."""

TO_REVIEW = "computed; to be reviewed"
"""The reason of a case whose expectation was computed from the rule: it shows nothing until somebody has said why it is right."""

QUIET = "quiet"
"""Expected of a day on which the rule must show no card; see `Expectation`."""


@dataclass(frozen=True, slots=True)
class Stated:
    """A result with the days on which it became known and was withdrawn again."""

    result: Result
    known: int
    until: int | None


class Expectation(NamedTuple):
    """A state (`quiet`: any for which no card is shown; `none`: no answer), the reasons that it must have, those it must not.

    Reasons are clauses, notes, the certainty, and `open=CLAUSE` for a clause that only something unknown holds back.
    """

    state: str
    reasons: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join((self.state, *self.reasons, *(("not", *self.absent) if self.absent else ())))


@dataclass(slots=True)
class RuleTest:
    """One case. `stated` is what its file says of it, what is given to all cases of the file included."""

    rule: str
    name: str
    file: str
    line: int
    because: str = ""
    stated: Mapping[str, Any] = field(default_factory=dict)
    age: int | None = 55
    sex: str = "female"
    diagnosis: Diagnosis = Diagnosis(True, er=True, pr=True, her2=False)  # noqa: RUF009 - immutable
    lines: list[tuple[int | None, int | None, Line]] = field(default_factory=list)
    operations: list[tuple[int, Operation]] = field(default_factory=list)
    events: list[tuple[int, Event]] = field(default_factory=list)
    imaging: list[tuple[int, Imaging]] = field(default_factory=list)
    results: list[Stated] = field(default_factory=list)
    expect: dict[int, Expectation] = field(default_factory=dict)

    def chart(self, day: int) -> Chart:
        """The patient as of a day: what begins or becomes known later is not there, what ends later has not ended."""
        by_marker: dict[str, list[Result]] = {}
        for stated in self.results:
            if stated.known <= day and (stated.until is None or day < stated.until):
                by_marker.setdefault(stated.result.marker, []).append(stated.result)
        return Chart(
            patient="Patient/test",
            as_of=date_of(day),
            birth_date=None if self.age is None else date(DAY_0.year - self.age - 1, 12, 31),
            sex=self.sex,
            diagnosis=self.diagnosis,
            lines=tuple(
                sorted(
                    (_as_of(entry, day) for entry in self.lines if entry[0] is None or entry[0] <= day),
                    key=lambda line: line.start or date.min,
                )
            ),
            operations=tuple(
                sorted((entry for known, entry in self.operations if known <= day), key=lambda entry: entry.day)
            ),
            events=tuple(event for known, event in self.events if known <= day),
            imaging=tuple(sorted((scan for known, scan in self.imaging if known <= day), key=lambda scan: scan.day)),
            results={marker: in_order(found, date_of(day)) for marker, found in by_marker.items()},
        )


def date_of(day: int) -> date:
    """The calendar day of a day of the case."""
    return DAY_0 + timedelta(days=day)


def _as_of(entry: tuple[int | None, int | None, Line], day: int) -> Line:
    _, end, line = entry
    return line if end is None or end <= day else msgspec.structs.replace(line, end=None)
