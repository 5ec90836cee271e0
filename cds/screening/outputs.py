"""What is finished of a run, put together: each file in one order, whoever wrote its parts."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from cds.reasoning.rulebook import RuleBook
from cds.screening.partition import Dealt, keep, quarantine_of, starts_of
from cds.screening.shard import Evaluated
from cds.screening.summary import Summary, page
from cds.screening.table import write_table

FINDINGS, TABLE = "findings.ndjson", "findings.parquet"
NOT_USED, QUARANTINE, UNJUDGED = "not-used.ndjson", "quarantine.ndjson", "unjudged.ndjson"
OUTPUTS = (FINDINGS, TABLE, NOT_USED, QUARANTINE, UNJUDGED)
SUMMARY, PAGE = "summary.json", "summary.html"
_AT_ONCE = 100
"""So many files are read at a time."""


def put_together(
    out: Path, work: Path, pieces: Sequence[Dealt], shards: Sequence[Evaluated], book: RuleBook, summary: Summary
) -> None:
    """Write the outputs of a run, the summary last: where it is, everything is."""
    stems = [work / stem for done in shards for stem in done.parts]
    for name, kind in ((FINDINGS, "findings"), (NOT_USED, "left-out"), (UNJUDGED, "unjudged")):
        _merged([Path(f"{stem}.{kind}") for stem in stems], out / name, work)
    starts = starts_of(pieces)
    with _whole(out / QUARANTINE) as file:
        for one in pieces:
            for line in quarantine_of(work, one, starts[one.number][1]):
                file.write(msgspec.json.encode(line) + b"\n")
    with _whole(out / TABLE) as file:
        write_table(out / FINDINGS, file, book)
    keep(out / PAGE, page(summary, book).encode())
    keep(out / SUMMARY, msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n")


class _OfPatient(msgspec.Struct):
    patient: str


_PATIENT = msgspec.json.Decoder(_OfPatient)


def _patient(line: bytes) -> str:
    return _PATIENT.decode(line).patient


def _merged(parts: Sequence[Path], to: Path, work: Path) -> None:
    """Files in the order of patients → one; a stable merge, so that the lines of a patient stay in their order."""
    level = 0
    while len(parts) > _AT_ONCE:
        fewer = []
        for number in range(0, len(parts), _AT_ONCE):
            made = work / f"{to.name}.{level}.{number}"
            _merge(parts[number : number + _AT_ONCE], made)
            fewer.append(made)
        parts, level = fewer, level + 1
    _merge(parts, to)


def _merge(parts: Sequence[Path], to: Path) -> None:
    with ExitStack() as stack, _whole(to) as file:
        opened = [stack.enter_context(path.open("rb")) for path in parts]
        for line in heapq.merge(*opened, key=_patient):
            file.write(line)


@contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    """A file that is there once it is whole."""
    made = path.with_name(f"{path.name}.tmp")
    with made.open("wb") as file:
        yield file
    made.replace(path)
