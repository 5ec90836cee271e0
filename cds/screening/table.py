"""Findings as a table of Parquet: a row for each finding, for those who count and plot with other tools."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import pyarrow
import pyarrow.parquet

from cds.reasoning.rulebook import RuleBook

_ROWS = 20_000
_SCHEMA = pyarrow.schema(
    [
        ("patient", pyarrow.string()),
        ("rule", pyarrow.string()),
        ("marker", pyarrow.string()),  # several joined by +
        ("state", pyarrow.string()),
        ("shown", pyarrow.bool_()),  # False: of a rule in shadow, or another rule speaks for the marker
        ("clause", pyarrow.string()),
        ("therapy", pyarrow.string()),  # class of the line; null where there is none
        ("line_start", pyarrow.date32()),
        ("operation", pyarrow.date32()),
        ("day", pyarrow.int32()),  # day of the line, or since the operation, of the latest sample
        ("collected", pyarrow.date32()),  # of the latest sample
        ("latest", pyarrow.string()),  # reference of its result
        (
            "notes",
            pyarrow.list_(pyarrow.string()),
        ),  # "stale": the newest sample is old; "export-not-whole": it may be wrong
        ("fold", pyarrow.float64()),  # at least so many times the reference, of the first fact that compares, by name
        ("fold_high", pyarrow.float64()),  # at most; null: no upper end
        ("limit", pyarrow.float64()),
        ("missing", pyarrow.list_(pyarrow.string())),  # facts that keep it from being evaluable
        ("rule_version", pyarrow.string()),
    ]
)


def write_table(findings: Path, out: BinaryIO, book: RuleBook, notes: Sequence[str] = ()) -> None:
    """The findings of a file of them as Parquet, `_ROWS` rows at a time; `notes` stand at each."""
    markers = {rule.name: _markers(rule.name, book) for rule in book.rules}
    with findings.open("rb") as lines, pyarrow.parquet.ParquetWriter(out, _SCHEMA, compression="zstd") as writer:
        rows = (row for line in lines for row in _rows(msgspec.json.decode(line), markers, notes))
        while batch := list(islice(rows, _ROWS)):
            writer.write_table(pyarrow.Table.from_pylist(batch, schema=_SCHEMA))


def _markers(name: str, book: RuleBook) -> str:
    """The markers that a rule reads, also through the rules that it combines."""
    rule = next(one for one in book.rules if one.name == name)
    return rule.watches or "+".join(_markers(part, book) for part in rule.combines.values())


def _rows(line: dict[str, Any], markers: dict[str, str], notes: Sequence[str]) -> Iterator[dict[str, Any]]:
    for rule, found in line["answers"].items():
        therapy, start, *_ = found["line"] or (None, None)
        low, high, limit = next(iter(found["ratios"].values()), (None, None, None))
        yield {
            "patient": line["patient"], "rule": rule, "marker": markers[rule], "state": found["state"],
            "shown": rule in line["shown"], "clause": found["clause"], "therapy": therapy, "line_start": _day(start),
            "operation": _day(found["operation"]), "day": found["day"],
            "collected": _collected(_day(start) or _day(found["operation"]), found["day"]), "latest": found["latest"],
            "notes": [*found["notes"], *notes],
            "fold": _figure(low), "fold_high": _figure(high), "limit": _figure(limit),
            "missing": found["missing"], "rule_version": found["rule"],
        }  # fmt: skip


def _day(stated: str | None) -> date | None:
    return date.fromisoformat(stated) if stated else None


def _collected(anchor: date | None, day: int | None) -> date | None:
    return anchor + timedelta(days=day) if anchor is not None and day is not None else None


def _figure(stated: float | str | None) -> float | None:
    return float(stated) if stated is not None else None
