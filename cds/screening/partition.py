"""The shuffle: lines in whatever order → shards, each with all lines of its patients. In bounded memory, through files.

Each piece of the export is dealt to the shards by a digest of the patient and written as one file of parcels, one for each shard.
A parcel is msgpack: a list of (patient, place, changed, line), `place` being the number of the line in the piece. Whoever takes a
shard reads its parcels of all files, in the order of the pieces: the lines of a patient keep the order of the export.
"""

from __future__ import annotations

import os
import secrets
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import msgspec

from cds.chart.clock import when
from cds.screening.export import LONGEST, Broken, Piece, lines
from cds.screening.lines import Identifier, Named, Owned, Refused, Shared, Unread, sort_out

HELD = 24 * 2**20
"""Bytes of lines that one process holds before it writes them."""
SHARED, _PEOPLE, _NAMED = -1, -2, -3  # parcels that are no shard's

Item = tuple[str, int, bool, bytes]
"""Patient, number of the line in its piece (from 0), whether it counts as changed, the line."""


class Parcel(msgspec.Struct, frozen=True, array_like=True):
    """Where some items of a piece stand: of which shard, in which file of the work folder, from which byte, how many bytes."""

    shard: int
    piece: int
    file: str
    start: int
    size: int


class Dealt(msgspec.Struct, frozen=True):
    """What became of a piece. Each of its lines is counted once: blank, owned, named, shared, refused, or of a type in `unread`."""

    number: int
    file: str
    lines: int
    blank: int
    owned: int
    named: int
    shared: int
    refused: int
    unread: dict[str, int]
    types: dict[str, int]  # lines by type of resource, of those that are owned, named, shared or unread
    parcels: list[Parcel]
    broken: str = ""  # why the rest of a compressed file cannot be read


class Quarantined(msgspec.Struct, frozen=True):
    """A line that could not be used; `line` counts from 1 in its file once pieces are put together, from 0 in a piece before."""

    file: str
    line: int
    reason: str
    hint: str


@dataclass(frozen=True, slots=True)
class Deal:
    """A piece that is to be dealt to so many shards. `since`: only what was updated from this instant on counts as changed; `server`:

    that of the export, if it is known.
    """

    export: Path
    work: Path
    piece: Piece
    shards: int
    since: str = ""
    server: str = ""


@dataclass(slots=True)
class _Held:
    """Items that wait to be written."""

    items: dict[int, list[Item]] = field(default_factory=lambda: defaultdict(list))
    size: int = 0


_ENCODER, _REPORT = msgspec.msgpack.Encoder(), msgspec.json.Encoder()
_ITEMS = msgspec.msgpack.Decoder(list[Item])
_NAMES = msgspec.json.Decoder(list[Identifier])
_ADOPTED = "adopted.parcels"


def shard_of(patient: str, shards: int) -> int:
    """The shard of a patient: the same on every machine."""
    return zlib.crc32(patient.encode()) % shards


def report_of(work: Path, number: int) -> Dealt | None:
    """What became of a piece; None if it was not dealt to the end."""
    try:
        return msgspec.json.decode((work / f"{_name(number)}.json").read_bytes(), type=Dealt)
    except FileNotFoundError:
        return None


def deal(job: Deal) -> Dealt:
    """Deal a piece. Writes its parcels, its quarantine and last its report. Raises `OSError`."""
    piece, name = job.piece, _name(job.piece.number)
    held, counts, unread, types = _Held(), Counter[str](), Counter[str](), Counter[str]()
    parcels: list[Parcel] = []
    broken, number = "", -1
    with made(job.work / f"{name}.parcels") as out, made(job.work / f"{name}.quarantine") as quarantine:

        def refuse(refused: Refused) -> None:
            counts["refused"] += 1
            line = Quarantined(piece.file, number, refused.reason, refused.hint)
            quarantine.write(_REPORT.encode(line) + b"\n")

        try:
            for number, line in enumerate(lines(job.export, piece)):
                if line is None:
                    refuse(_TOO_LONG)
                    continue
                if not line.strip():
                    counts["blank"] += 1
                    continue
                found = sort_out(line, job.server)
                if not isinstance(found, Refused):
                    types[found.kind] += 1
                if isinstance(found, Owned):
                    counts["owned"] += 1
                    changed = not job.since or _is_changed(found.updated, job.since)
                    held.items[shard_of(found.patient, job.shards)].append((found.patient, number, changed, line))
                    if found.identifiers:
                        known = _REPORT.encode(found.identifiers)
                        held.items[_PEOPLE].append((found.patient, number, False, known))
                elif isinstance(found, Named):
                    counts["named"] += 1
                    changed = not job.since or _is_changed(found.updated, job.since)
                    who = _REPORT.encode(found.identifiers).decode()
                    held.items[_NAMED].append((who, number, changed, line))
                elif isinstance(found, Shared):
                    counts["shared"] += 1
                    changed = bool(job.since) and _is_changed(found.updated, job.since)
                    held.items[SHARED].append((found.name, number, changed, line))
                elif isinstance(found, Unread):
                    unread[found.kind] += 1
                else:
                    refuse(found)
                held.size += len(line)
                if held.size > HELD:
                    parcels += _written(held, out, f"{name}.parcels", piece.number)
        except Broken as error:
            broken = str(error)
            number += 1
            refuse(Refused(f"the compressed file cannot be read further: {error}", "fetch this file again"))
        parcels += _written(held, out, f"{name}.parcels", piece.number)
    counted = {key: counts[key] for key in ("blank", "owned", "named", "shared", "refused")}
    dealt = Dealt(
        piece.number,
        piece.file,
        number + 1,
        **counted,
        unread=dict(sorted(unread.items())),
        types=dict(sorted(types.items())),
        parcels=parcels,
        broken=broken,
    )
    keep(job.work / f"{name}.json", _REPORT.encode(dealt))
    return dealt


_TOO_LONG = Refused(f"the line is longer than {LONGEST // 2**20} MiB", "no resource is: look at what wrote it")


def quarantine_of(work: Path, dealt: Dealt, first: int) -> Iterator[Quarantined]:
    """The refused lines of a piece whose first line is the `first` of its file, counted from 1."""
    with (work / f"{_name(dealt.number)}.quarantine").open("rb") as refused:
        for line in refused:
            found = msgspec.json.decode(line, type=Quarantined)
            yield Quarantined(found.file, found.line + first, found.reason, found.hint)


def starts_of(pieces: Sequence[Dealt]) -> dict[int, tuple[str, int]]:
    """Of each piece its file, and the number of its first line in it, counted from 1."""
    found, before = {}, defaultdict[str, int](lambda: 1)
    for one in pieces:
        found[one.number] = (one.file, before[one.file])
        before[one.file] += one.lines
    return found


def parcels_by_shard(dealt: Sequence[Dealt], adopted: Sequence[Parcel], shards: int) -> list[list[Parcel]]:
    """Of each shard its parcels."""
    found: list[list[Parcel]] = [[] for _ in range(shards)]
    for parcel in (*(parcel for one in dealt for parcel in one.parcels), *adopted):
        if parcel.shard >= 0:
            found[parcel.shard].append(parcel)
    return found


def split(work: Path, parcels: Sequence[Parcel], folder: Path, parts: int) -> list[Parcel]:
    """The items of a shard dealt once more, to `parts` parts of it, whose numbers take the place of the shard's."""
    found: list[Parcel] = []
    name, held = f"{folder.name}/items", _Held()
    with made(folder / "items") as out:
        for parcel in parcels:
            for item in items_of(work, parcel):
                held.items[zlib.adler32(item[0].encode()) % parts].append(item)
            found += _written(held, out, name, parcel.piece)
    return found


def adopt(work: Path, dealt: Sequence[Dealt], shards: int) -> list[Parcel]:
    """Parcels of the lines that name their patient by an identifier, now that all patients are known.

    Of several patients with an identifier the last is meant; an identifier that no patient has stands for a patient itself. As
    in `cds.chart.patients`.
    """
    named = of_kind(dealt, _NAMED)
    if not named:
        return []
    wanted: set[Identifier] = set()
    for parcel in named:
        for stated, *_rest in items_of(work, parcel):
            wanted.update(_NAMES.decode(stated))
    known: dict[Identifier, str] = {}
    for parcel in of_kind(dealt, _PEOPLE):
        for patient, _place, _changed, line in items_of(work, parcel):
            known |= dict.fromkeys(wanted.intersection(_NAMES.decode(line)), patient)
    parcels: list[Parcel] = []
    with made(work / _ADOPTED) as out:
        for parcel in named:
            held = _Held()
            for stated, place, changed, line in items_of(work, parcel):
                names = _NAMES.decode(stated)
                patient = next((known[one] for one in names if one in known), "|".join(names[0]))
                held.items[shard_of(patient, shards)].append((patient, place, changed, line))
            parcels += _written(held, out, _ADOPTED, parcel.piece)
    return parcels


def items_of(work: Path, parcel: Parcel) -> list[Item]:
    """What stands in a parcel."""
    with (work / parcel.file).open("rb") as file:
        file.seek(parcel.start)
        return _ITEMS.decode(file.read(parcel.size))


# writing -----------------------------------------------------------------------------------------------------------------


@contextmanager
def made(path: Path, *, settled: bool = False) -> Iterator[BinaryIO]:
    """A file that is there once it is whole; `settled`: and on disk, whatever happens to the machine."""
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with part.open("wb") as out:
            yield out
            if settled:
                out.flush()
                os.fsync(out.fileno())
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    part.replace(path)
    if settled:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # without which the name may be lost
        finally:
            os.close(folder)


def is_part_of(name: str, whole: Sequence[str]) -> bool:
    """Whether a file is what `made` leaves of one of these where its process was killed."""
    stem, _, token = name.removesuffix(".tmp").rpartition(".")
    return name.endswith(".tmp") and stem in whole and len(token) == 8


def keep(path: Path, content: bytes) -> None:
    """Write a small file that is there once it is whole."""
    with made(path) as out:
        out.write(content)


def _written(held: _Held, out: BinaryIO, name: str, piece: int) -> list[Parcel]:
    """Write what is held, and let go of it."""
    parcels = []
    for shard in sorted(held.items):
        start, content = out.tell(), _ENCODER.encode(held.items[shard])
        out.write(content)
        parcels.append(Parcel(shard, piece, name, start, len(content)))
    held.items.clear()
    held.size = 0
    return parcels


def of_kind(dealt: Sequence[Dealt], kind: int) -> list[Parcel]:
    return [parcel for one in dealt for parcel in one.parcels if parcel.shard == kind]


def _is_changed(updated: str, since: str) -> bool:
    """Whether something may have been updated from an instant on: what does not say when, may."""
    stated, bound = when(updated), when(since)
    if stated is None or stated.instant is None or bound is None or bound.instant is None:
        return True
    return stated.instant >= bound.instant


def _name(number: int) -> str:
    return f"piece-{number:05d}"
