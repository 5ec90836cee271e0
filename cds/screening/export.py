"""What a folder of FHIR Bulk Data holds: files of NDJSON, plain or compressed, cut into pieces that are read at a time.

A piece begins and ends between lines, so several processes may read a file; a compressed file is one piece. Nothing is read whole.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import parse_qs, urlsplit

from cds.chart.envelope import NOT_JSON
from cds.errors import InputError

PIECE = 16 * 2**20
"""Bytes of a plain file that are read at a time."""
LONGEST = 16 * 2**20
"""No resource of FHIR is longer; a longer line is no line of an export."""
_MARK = b"\xef\xbb\xbf"  # some systems begin a text of UTF-8 with it
_ENDS = (".ndjson", ".ndjson.gz")
_OURS = ("fetch.json", "manifest.json", "errors", "deleted", "parts")


@dataclass(frozen=True, slots=True)
class File:
    """One file of an export, by its name in the folder."""

    name: str
    size: int

    @property
    def zipped(self) -> bool:
        return self.name.lower().endswith(".gz")


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a file between two lines: bytes `start` up to `end`; of a compressed file all of it."""

    number: int
    file: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Export:
    """The files of an export in the order of their names, and the pieces into which they are cut, in that order."""

    folder: Path
    files: tuple[File, ...]
    pieces: tuple[Piece, ...]
    hash: str  # of the names, sizes and times of change of the files: the same for the same folder
    server: str  # base URL of the FHIR server that it is of; "" if nothing says so
    unread: tuple[str, ...]  # what stands in the folder, may hold data and is not read
    errors: tuple[str, ...]  # where the server says that it could not export something
    counts: Mapping[
        str, int
    ]  # by type how many resources a manifest says there are, 0 if it does not; empty without one
    types: frozenset[str] | None  # that the server was asked for; None if nothing says so

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(file.size for file in self.files)


def open_export(folder: Path, piece: int = PIECE) -> Export:
    """What a folder holds, its files cut into pieces of about `piece` bytes.

    Raises `InputError` for a folder that cannot be read or holds no NDJSON, for one whose download is unfinished, and for an
    export of changes only: rules judge whole records.
    """
    try:
        found = sorted(path for path in folder.iterdir() if path.is_file())
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror or error}. Name the folder of an export") from error
    server, errors, counts, types = _manifest(folder)
    unfinished = [path.name for path in found if path.name.endswith(".part")]
    if unfinished:
        raise InputError(
            f"{folder / unfinished[0]}: this file is not whole. Likely its download was interrupted: finish it, or delete it"
        )
    paths = [path for path in found if path.name.lower().endswith(_ENDS) and not path.name.startswith(".")]
    if not paths:
        raise InputError(
            f"{folder}: there is no .ndjson or .ndjson.gz file in it. Likely it is another folder, or the files stand one "
            "level deeper; for single files of FHIR JSON there is `exowatch evaluate`"
        )
    files, pieces, marks = [], [], []
    for path in paths:
        if not os.access(path, os.R_OK):
            raise InputError(f"{path}: this file cannot be read by this user. Change its permissions, or who calls")
        if not path.name.isprintable():
            raise InputError(f"{folder}: the name of the file {path.name!r} cannot be written down. Rename it")
        stated = path.stat()
        files.append(File(path.name, stated.st_size))
        marks.append((path.name, stated.st_size, stated.st_mtime_ns))
        if not path.name.lower().endswith(".gz"):
            _check_lines(path)
        cuts = [0, stated.st_size] if path.name.lower().endswith(".gz") else _cuts(path, stated.st_size, piece)
        pieces += [(path.name, start, end) for start, end in pairwise(cuts) if start < end]
    numbered = tuple(Piece(number, *one) for number, one in enumerate(pieces))
    digest = hashlib.sha256(json.dumps(marks).encode()).hexdigest()
    return Export(folder, tuple(files), numbered, digest, server, tuple(_unread(folder, paths)), errors, counts, types)


def _unread(folder: Path, read: Sequence[Path]) -> Iterator[str]:
    """What looks as if it held resources, and is none of the files that are read."""
    for path in sorted(folder.iterdir()):
        name = path.name.lower()
        if path in read or name.startswith(".") or name in _OURS:
            continue
        inside = path.is_dir() and any(one.name.lower().endswith(_ENDS) for one in path.iterdir())
        if inside or "ndjson" in name or name.endswith((".json", ".gz", ".zst", ".bz2", ".xz", ".zip")):
            yield path.name


def _manifest(folder: Path) -> tuple[str, tuple[str, ...], Mapping[str, int], frozenset[str] | None]:
    """What a folder says of how it was fetched: from which server, where its errors are, how much there is of each type, and

    which types were asked for.

    It must be whole, and not only what changed since some day.
    """
    server, errors = "", [f"errors/{path.name}" for path in sorted(folder.glob("errors/*")) if path.stat().st_size]
    counts, types = Counter[str](), None
    for name in ("fetch.json", "manifest.json"):
        try:
            stated = json.loads((folder / name).read_bytes())
        except (OSError, ValueError):
            continue
        if not isinstance(stated, dict):
            continue
        if stated.get("complete") is False:
            raise InputError(
                f"{folder / name}: this export is not whole yet. Call `exowatch bulk fetch` again: it goes on where it stopped"
            )
        request = stated.get("request")
        if (isinstance(request, dict) and request.get("since")) or "_since=" in str(request):
            raise InputError(
                f"{folder / name}: this export holds only what changed since some day. Rules judge whole records: fetch "
                "everything, and let `--since` choose the patients of whom something changed"
            )
        if isinstance(request, dict) and isinstance(request.get("server"), str):
            server = request["server"]
        asked = request.get("types") if isinstance(request, dict) else _types(str(request))
        types = frozenset(map(str, asked)) if isinstance(asked, list) and asked else types
        if isinstance(stated.get("error"), list) and stated["error"]:
            errors.append(f"{name}, error")
        for one in [*_items(stated, "output"), *_items(stated, "files")]:
            count = one.get("count", one.get("resources"))
            if isinstance(one.get("type"), str) and one.get("kind", "output") == "output":
                counts[one["type"]] += count if isinstance(count, int) else 0
    return server, tuple(errors), counts, types


def _types(request: str) -> list[str]:
    """The types that the URL of a request names in `_type`; empty for all."""
    stated = parse_qs(urlsplit(request).query).get("_type", [])
    return [one.strip() for part in stated for one in part.split(",") if one.strip()]


def _items(stated: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    found = stated.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


_NOT_LINES = NOT_JSON | {
    b"<": ("it is XML or HTML", "ask the server for application/fhir+ndjson"),
    b"%P": ("it is a PDF", "take it out of the folder of the export"),
    b"\x1f\x8b": ("it is compressed with gzip", "name it .ndjson.gz"),
    b"(\xb5/\xfd": ("it is compressed with zstandard", "unpack it first"),
    b"{\n": ("it is JSON over several lines", "write each resource on one line"),
    b"{\r": ("it is JSON over several lines", "write each resource on one line"),
    b"[": ("it is one JSON list", "write each resource on one line"),
}


def _check_lines(path: Path) -> None:
    """Raises `InputError` for a file whose first signs are those of something else."""
    with path.open("rb") as file:
        first = file.read(8).removeprefix(_MARK)
    for signs, (what, hint) in _NOT_LINES.items():
        if first.startswith(signs):
            raise InputError(f"{path}: it is no NDJSON: {what}. Next step: {hint}")


def _cuts(path: Path, size: int, piece: int) -> list[int]:
    """Places between lines, about `piece` bytes apart, from 0 to the end."""
    cuts = [0]
    with path.open("rb") as file:
        while cuts[-1] + piece < size:
            file.seek(cuts[-1] + piece - 1)
            while part := file.readline(2**20):
                if part.endswith(b"\n"):
                    break
            cuts.append(file.tell())
    return [*cuts, size] if cuts[-1] < size or len(cuts) == 1 else cuts


class Broken(Exception):
    """A compressed file that cannot be unpacked to its end; says why."""


def lines(folder: Path, piece: Piece) -> Iterator[bytes | None]:
    """The lines of a piece without their ends, blank ones too; None for one that is longer than `LONGEST`.

    Raises `Broken` after the last line that could be read, and `OSError`.
    """
    path = folder / piece.file
    zipped = piece.file.lower().endswith(".gz")
    with gzip.open(path) if zipped else path.open("rb") as opened:
        file = cast(BinaryIO, opened)
        left = None if zipped else piece.end - piece.start
        if not zipped:
            file.seek(piece.start)
        at_first = piece.start == 0
        while left is None or left > 0:
            try:
                line = file.readline(LONGEST)
                taken = len(line)
                whole = taken < LONGEST or line.endswith(b"\n")
                while not whole:
                    part = file.readline(2**20)
                    taken += len(part)
                    whole = not part or part.endswith(b"\n")
                    line = b""
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise Broken("it ends too early" if isinstance(error, EOFError) else "it is damaged") from None
            if not taken:
                return
            if left is not None:
                left -= taken
            if at_first:
                line, at_first = line.removeprefix(_MARK), False
            yield line.rstrip(b"\r\n") if line else None
