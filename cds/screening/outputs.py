"""What is finished of a run, put together: each file in one order, whoever wrote its parts."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path

import msgspec

from cds.errors import ExowatchError
from cds.reasoning.rulebook import RuleBook
from cds.screening.partition import Dealt, Quarantined, made, quarantine_of, starts_of
from cds.screening.shard import Evaluated
from cds.screening.summary import Summary, page
from cds.screening.table import write_table

FINDINGS, TABLE = "findings.ndjson", "findings.parquet"
NOT_USED, QUARANTINE, UNJUDGED = "not-used.ndjson", "quarantine.ndjson", "unjudged.ndjson"
UNRECORDED = "unrecorded.ndjson"
SUMMARY, PAGE = "summary.json", "summary.html"
OUTPUTS = (FINDINGS, TABLE, NOT_USED, QUARANTINE, UNJUDGED, UNRECORDED, PAGE, SUMMARY)
_AT_ONCE = 100
"""So many files are read at a time."""


class Lost(ExowatchError):
    """What went in is not what came out: a fault of this program or of a disk, and no result can be trusted."""


def put_together(
    out: Path,
    work: Path,
    pieces: Sequence[Dealt],
    shared: Sequence[Quarantined],
    shards: Sequence[Evaluated],
    book: RuleBook,
    *,
    whole: bool = True,
) -> None:
    """Write findings, their table, and what could not be used; `whole`: nothing of the export is known to be missing. Raises `Lost` if lines are missing of what was counted."""
    _merged(work, shards, "findings", out / FINDINGS, sum(one.measured for one in shards))
    _merged(work, shards, "left-out", out / NOT_USED, sum(one.left_out for one in shards))
    _merged(work, shards, "unjudged", out / UNJUDGED, sum(one.unjudged for one in shards))
    starts = starts_of(pieces)
    write_lines(
        out / QUARANTINE,
        chain(
            (line for one in pieces for line in quarantine_of(work, one, starts[one.number][1])),
            shared,
            _refused(work, shards),
        ),
    )
    with made(out / TABLE, settled=True) as file:
        write_table(out / FINDINGS, file, book, () if whole else ("export-not-whole",))


def write_summary(out: Path, summary: Summary, book: RuleBook) -> None:
    """Write the summary, last of all: where it is, everything is."""
    with made(out / PAGE, settled=True) as file:
        file.write(page(summary, book).encode())
    with made(out / SUMMARY, settled=True) as file:
        file.write(msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n")


def write_lines(path: Path, lines: Iterable[msgspec.Struct]) -> None:
    """A file of NDJSON."""
    with made(path, settled=True) as file:
        for line in lines:
            file.write(msgspec.json.encode(line) + b"\n")


def _refused(work: Path, shards: Sequence[Evaluated]) -> list[Quarantined]:
    """The lines of patients that could not be read to their end, by file and line."""
    found = [
        msgspec.json.decode(line, type=Quarantined)
        for done in shards
        for stem in done.parts
        for line in (work / f"{stem}.refused").read_bytes().splitlines()
    ]
    if len(found) != sum(done.refused for done in shards):
        raise Lost(_LOST.format(counted=sum(done.refused for done in shards), found=len(found), what="refused lines"))
    return sorted(found, key=lambda one: (one.file, one.line))


class _OfPatient(msgspec.Struct):
    patient: str


_PATIENT = msgspec.json.Decoder(_OfPatient)
_LOST = (
    "{counted:,} {what} were counted, {found:,} are on disk. Nothing of this run can be trusted: likely the disk lost something. Run again "
    "with --restart"
)


def _patient(line: bytes) -> str:
    return _PATIENT.decode(line).patient


def _merged(work: Path, shards: Sequence[Evaluated], kind: str, to: Path, counted: int) -> None:
    """Files in the order of patients → one; a stable merge, so that the lines of a patient stay in their order."""
    parts = [work / f"{stem}.{kind}" for done in shards for stem in done.parts]
    level = 0
    while len(parts) > _AT_ONCE:
        fewer = []
        for number in range(0, len(parts), _AT_ONCE):
            some = work / f"{to.name}.{level}.{number}"
            _merge(parts[number : number + _AT_ONCE], some, settled=False)
            fewer.append(some)
        parts, level = fewer, level + 1
    found = _merge(parts, to, settled=True)
    if found != counted:
        raise Lost(_LOST.format(counted=counted, found=found, what=f"lines of {to.name}"))


def _merge(parts: Sequence[Path], to: Path, *, settled: bool) -> int:
    """How many lines there are."""
    number = 0
    with ExitStack() as stack, made(to, settled=settled) as file:
        opened = [stack.enter_context(path.open("rb")) for path in parts]
        for line in heapq.merge(*opened, key=_patient):
            file.write(line)
            number += 1
    return number
