"""A case drawn for a terminal: values against their limit, therapies as bars, what happened, and the day that was asked.

day           -4                                                            77                 105
trpc5-ev      2.0                                                           5.6*               6.3*
cytotoxic-…    |============================================================================>
asked                                                                                          ^
* at or over 4.53 trpc5-ev: 2.26 times its baseline
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cds.chart.model import Chart
from cds.reasoning.findings import Evaluation, Finding
from cds.workbench.proving.cases import DAY_0

WIDTH = 100
_REMOVED = {True: "curative", None: "doubtful", False: "other"}
_NAMES = 24  # columns for the names of the rows: the longest class of therapy


class _Axis:
    """Days on columns."""

    def __init__(self, days: Sequence[int]):
        self.first, self.last = min(days), max(days)
        self.columns = WIDTH - _NAMES - 8  # the last label needs room of its own

    def at(self, day: int) -> int:
        day = min(max(day, self.first), self.last)
        return 0 if self.first == self.last else round((day - self.first) * self.columns / (self.last - self.first))


def drawn(day: int, evaluation: Evaluation, finding: Finding | None) -> list[str]:
    """The lines of the drawing; of the patient as known on `day`."""
    chart = evaluation.chart
    markers = finding.markers if finding is not None else tuple(sorted(chart.results))
    sampled = [(r.collected - DAY_0).days for m in markers for r in chart.results.get(m, ()) if r.collected is not None]
    axis = _Axis([*sampled, day, 0])
    lines = [_row("day", [(axis.at(one), str(one)) for one in sorted({*sampled, day})])]
    legend: list[str] = []
    for marker in markers:
        limit, told = _limit(finding, marker)
        texts = []
        for result in chart.results.get(marker, ()):
            if result.collected is not None:
                over = limit is not None and result.low is not None and result.low >= limit * (1 - 1e-12)
                texts.append((axis.at((result.collected - DAY_0).days), f"{result.shown}{'*' if over else ''}"))
        lines.append(_row(marker, texts))
        legend += [told] if told else []
    lines += _bars(chart, axis)
    lines += _happened(chart, axis)
    lines.append(_row("asked", [(axis.at(day), "^")]))
    return [line[:WIDTH] for line in (*lines, *legend)]


def _row(name: str, texts: Iterable[tuple[int, str]]) -> str:
    """A name, and texts at their columns; what would cover another moves right."""
    line = f"{name if len(name) < _NAMES else name[: _NAMES - 2] + '…':<{_NAMES}}"
    for column, text in sorted(texts):
        line = line.ljust(_NAMES + column)
        line += text if line.endswith(" ") else f" {text}"
    return line.rstrip()


def _limit(finding: Finding | None, marker: str) -> tuple[float | None, str]:
    """The value from which the latest sample counts as changed, and how it is made; None where nothing is compared."""
    for part in () if finding is None else (finding, *finding.parts):
        for comparison in part.comparisons.values():
            if part.rule.watches == marker and not comparison.per_ev:
                limit = comparison.reference_value.high * comparison.threshold
                kind = comparison.reference.kind.replace("-", " ")
                return limit, f"* at or over {limit:.4g} {marker}: {comparison.threshold:.4g} times its {kind}"
    return None, ""


def _bars(chart: Chart, axis: _Axis) -> Iterable[str]:
    """Each line of therapy as a bar: `|` where it begins, `?` where that is unknown, `>` where it goes on."""
    for line in chart.lines:
        begin = axis.first if line.start is None else (line.start - DAY_0).days
        end = axis.last if line.end is None else (line.end - DAY_0).days
        if begin > axis.last or end < axis.first:
            continue
        left, right = axis.at(begin), axis.at(end)
        head = "?" if line.start is None else "(" if line.planned else "|"
        tail = ("?" if line.extent == "unknown" else ">") if line.end is None else "|"
        bar = head + ("-" if line.planned else "=") * max(right - left - 1, 0) + tail
        yield _row(line.therapy, [(left, bar)])


def _happened(chart: Chart, axis: _Axis) -> Iterable[str]:
    """Operations, imaging and events by their words."""
    operations = [(axis.at((one.day - DAY_0).days), _REMOVED[one.curative]) for one in chart.operations]
    if operations:
        yield _row("operation", operations)
    scans = [(axis.at((one.day - DAY_0).days), one.response) for one in chart.imaging]
    if scans:
        yield _row("imaging", scans)
    for event in chart.events:
        begin = axis.first if event.start is None else (event.start - DAY_0).days
        end = axis.last if event.end is None else (event.end - DAY_0).days
        left, right = axis.at(begin), axis.at(end)
        tail = ">" if event.end is None else "]"
        yield _row(event.kind, [(left, f"[{'-' * max(right - left - 1, 0)}{tail}")])
