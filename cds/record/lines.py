"""The treatment line, or the operation, that a finding and what is stored of a question are about, and what a chart has of both."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, TypeVar

from cds.chart.model import Chart
from cds.reasoning.findings import Finding
from cds.record.lifecycle import Advised, Span, Standing

Row = TypeVar("Row", bound=Mapping[Any, Any])


Seen = tuple[Mapping[str, tuple[str, str]], frozenset[str], tuple[Span, ...], frozenset[str]]
"""Results, voided, spans and revised of a `lifecycle.Found`."""


def seen_in(chart: Chart) -> Seen:
    """What the lifecycle needs to know of a chart, whatever the question."""
    results: dict[str, tuple[str, str]] = {}
    revised: set[str] = set()
    for result in (one for found in chart.results.values() for one in found):
        refs = (result.ref, *result.also)
        results |= dict.fromkeys(refs, (result.shown, str(result.collected)))
        if result.status != "final":
            revised.update(refs)
    spans = [Span(line.therapy, line.start, line.end) for line in chart.lines if not line.planned]
    spans += [Span("", one.day, one.day, operation=True) for one in chart.operations if not one.planned]
    return results, frozenset(chart.voided), tuple(spans), frozenset(revised)


def span_of(finding: Finding) -> Span | None:
    """The line or operation that a finding is about."""
    if finding.operation is not None:
        return Span("", finding.operation.day, finding.operation.day, operation=True)
    if finding.line is None:
        return None
    return Span(finding.line.therapy, finding.line.start, finding.line.end)


def span_of_row(row: Mapping[Any, Any]) -> Span:
    """The line or operation of a stored row."""
    start, end = (date.fromisoformat(row[name]) if row[name] else None for name in ("line_start", "line_end"))
    return Span(row["therapy"], start, end, operation=not row["therapy"])


def columns_of(span: Span | None) -> dict[str, str]:
    """A line or operation as it is stored; blank for none."""
    if span is None:
        return {"therapy": "", "line_start": "", "line_end": ""}
    start, end = (day.isoformat() if day else "" for day in (span.start, span.end))
    return {"therapy": span.therapy, "line_start": start, "line_end": end}


def of_line(rows: Iterable[Row], span: Span | None) -> Row | None:
    """The advisory of that line among those of its question: an open one if there are several, else the newest."""
    same = [row for row in rows if span is not None and span_of_row(row).same(span)]
    return max(same, key=lambda row: (Standing(row["standing"]).is_open, row["opened"]), default=None)


def advised_of(row: Mapping[Any, Any]) -> Advised:
    """What the lifecycle needs to know of a stored advisory."""
    results = {ref: (value, day) for ref, value, day in json.loads(row["results"])}
    ended_by = frozenset(json.loads(row["ended_by"]))
    standing = Standing(row["standing"])
    return Advised(standing, row["state"], row["basis"], row["rule_hash"], span_of_row(row), results, ended_by)
