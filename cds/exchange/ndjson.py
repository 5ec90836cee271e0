"""Whether a file of NDJSON is whole: as many lines as were promised, of the right kind, and the last one to its end.

A file may be of any size and so may a line: memory stays small.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from cds.errors import ExowatchError

_PIECE = 1 << 20
_MOST_LINE = 1 << 24
"""Bytes up to which a line is looked into; what a longer one says is left to who reads the file."""
_TAIL = 64
_GZIP = b"\x1f\x8b"


class NotWhole(ExowatchError):
    """A file that is cut off, damaged, or something else than was promised; says what is wrong, without its content."""


class _Kind(msgspec.Struct):
    resource: str = msgspec.field(default="", name="resourceType")


_KIND = msgspec.json.Decoder(_Kind)


def is_gzip(path: Path) -> bool:
    """Whether the file is compressed, whatever its server said of it."""
    with path.open("rb") as file:
        return file.read(2) == _GZIP


def lines(path: Path) -> Iterator[bytes]:
    """The lines that are not blank; one longer than 16 MB lacks its middle. Raises `NotWhole` for damaged gzip."""
    with _opened(path) as file:
        line, tail = bytearray(), b""
        while piece := file.readline(_PIECE):
            if len(line) < _MOST_LINE:
                line += piece
            else:
                tail = piece[-_TAIL:]
            if piece.endswith(b"\n"):
                if line.strip():
                    yield bytes(line) + tail
                line.clear()
                tail = b""
        if line.strip():
            yield bytes(line) + tail


def checked(path: Path, kind: str, count: int | None) -> int:
    """How many resources the file holds. Raises `NotWhole` unless it is whole: `count` of them, if that many were promised."""
    found, last = 0, b""
    for line in lines(path):
        found += 1
        if found == 1:
            _of_kind(line, kind)
        if b"\0" in line:  # what a machine that lost its power leaves of a file; JSON has none
            raise NotWhole(f"line {found} is damaged")
        last = line
    if last and not last.endswith(b"\n") and not _ends(last):
        raise NotWhole(f"its last line, {found}, is cut off")
    if count is not None and found != count:
        raise NotWhole(f"it has {found:,} resources, and the server said {count:,}")
    return found


def _of_kind(line: bytes, kind: str) -> None:
    if len(line) >= _MOST_LINE:
        if not line.lstrip().startswith(b"{"):
            raise NotWhole("its first line is no resource")
        return
    try:
        stated = _KIND.decode(line).resource
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise NotWhole("its first line is no resource: cut off, or no NDJSON") from None
    if stated != kind:
        raise NotWhole(f"its first line is no {kind}")


def _ends(line: bytes) -> bool:
    """Whether a last line without an end of line is a whole one; a long one is looked at only where it ends."""
    if len(line) >= _MOST_LINE:
        return line.rstrip().endswith(b"}")
    try:
        _KIND.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    packed = is_gzip(path)
    try:
        with path.open("rb") as raw:
            yield cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if packed else raw
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise NotWhole("its compressed form is cut off or damaged") from None
