"""The folder into which an export is fetched: what was asked for, what is there, and what is on its way.

DIR/fetch.json                    what was asked for, the job, the files that the server made; no token
DIR/Observation.0001.ndjson       whole, or not there; .ndjson.gz if the server sent it compressed
DIR/errors/  DIR/deleted/         what the server says went wrong, and what was deleted there
DIR/parts/                        what is on its way; gone at the end
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from cds.errors import InputError
from cds.exchange.bulk import Kind, Manifest, Stopped, Wanted, without_query

STATE = "fetch.json"
_PARTS, _PLACES = "parts", {"output": "", "error": "errors", "deleted": "deleted"}
_ANSWER = "errors/answer.txt"
_FORMAT = 1
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Entry(msgspec.Struct, rename="camel", omit_defaults=True):
    """A file of the export, and what is known of it here."""

    kind: Kind
    type: str
    name: str  # without its ending
    address: str
    count: int | None = None
    file: str = ""  # its name in the folder, once it is whole
    bytes: int = 0
    resources: int = 0
    proved: bool = True  # whether the server said how long it is, or how many resources it holds


class State(msgspec.Struct, rename="camel"):
    """What fetch.json says."""

    request: Wanted
    format: int = _FORMAT
    job: str = ""  # where the server tells of it; "" if there is none, or none any more
    transaction_time: str = ""
    requires_access_token: bool = True
    files: list[Entry] = msgspec.field(default_factory=list)
    complete: bool = False

    def take(self, manifest: Manifest) -> None:
        """The files that the server made, each with the name that it will have here."""
        numbers: Counter[tuple[str, str]] = Counter()
        self.files = []
        for one in manifest.files:
            numbers[one.kind, one.type] += 1
            name = f"{one.type}.{numbers[one.kind, one.type]:04}"
            self.files.append(Entry(one.kind, one.type, name, one.address, one.count))
        self.transaction_time, self.requires_access_token = manifest.time, manifest.token


class Sent(msgspec.Struct, omit_defaults=True):
    """What the server said of a file whose first part is here: by it one tells whether the rest is of the same file."""

    address: str
    encoding: str = ""
    tag: str = ""
    modified: str = ""
    total: int | None = None
    framed: bool = True  # whether its end can be told from a broken connection

    def same(self, other: Sent) -> bool:
        """Whether both are surely of the same bytes."""
        known = [
            (own, its)
            for own, its in ((self.tag, other.tag), (self.modified, other.modified), (self.total, other.total))
            if own and its
        ]
        return self.encoding == other.encoding and bool(known) and all(own == its for own, its in known)


class Folder:
    """One folder, held by one process."""

    def __init__(self, path: Path):
        self.path = path
        self._parts = path / _PARTS

    # what is known ---------------------------------------------------------------------------------------------------

    def state(self) -> State | None:
        """What an earlier call has left; None if there was none. Raises `InputError`."""
        path = self.path / STATE
        try:
            state = msgspec.json.decode(path.read_bytes(), type=State)
        except FileNotFoundError:
            found = sorted(one.name for one in self.path.iterdir() if one.name.endswith((".ndjson", ".ndjson.gz")))
            found += [one for one in ("errors", "deleted") if (self.path / one).exists()]
            if found:
                raise InputError(
                    f"{self.path} holds {found[0]}, and no {STATE} says where that is from. Name another folder, so that two exports do not mix"
                ) from None
            return None
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise InputError(
                f"{path} cannot be read: it was edited or damaged. Restore it, or name another folder"
            ) from None
        if state.format != _FORMAT:
            raise InputError(
                f"{path} was written by another version of this software: finish with that, or name another folder"
            )
        return state

    def save(self, state: State) -> None:
        """Write what is known, so that there is always one whole version of it."""
        self._parts.mkdir(mode=0o700, exist_ok=True)
        self._write(self.path / STATE, msgspec.json.format(msgspec.json.encode(state), indent=1))

    # files -----------------------------------------------------------------------------------------------------------

    def part(self, entry: Entry) -> Path:
        """Where a file is written while it comes."""
        return self._parts / f"{entry.kind}.{entry.name}.ndjson.part"

    def sent(self, entry: Entry) -> Sent | None:
        """What the server said of the part that is there; None if there is none that can be gone on with."""
        try:
            found = msgspec.json.decode(self._note(entry).read_bytes(), type=Sent)
            self.part(entry).stat()
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None
        return found if found.address == without_query(entry.address) else None

    def expect(self, entry: Entry, sent: Sent) -> None:
        """A part begins from its first byte."""
        self._note(entry).unlink(missing_ok=True)
        with _private(self.part(entry), "wb"):
            pass
        self._write(self._note(entry), msgspec.json.encode(sent))

    @contextmanager
    def writing(self, entry: Entry) -> Iterator[BinaryIO]:
        """The part, to be written on at its end; on disk when the context ends."""
        with _private(self.part(entry), "ab") as file:
            try:
                yield file
            finally:
                file.flush()
            os.fsync(file.fileno())

    def drop(self, entry: Entry) -> None:
        """Go on from the beginning, whatever was there."""
        self._note(entry).unlink(missing_ok=True)

    def place(self, entry: Entry, *, packed: bool, resources: int) -> None:
        """A part is whole: from now on it is a file of the folder."""
        part = self.part(entry)
        folder = self.path / _PLACES[entry.kind]
        folder.mkdir(mode=0o700, exist_ok=True)
        entry.file = f"{_PLACES[entry.kind]}/{entry.name}.ndjson{'.gz' * packed}".removeprefix("/")
        entry.bytes, entry.resources = part.stat().st_size, resources
        sent = self.sent(entry)
        entry.proved = entry.count is not None or sent is None or sent.framed
        part.replace(self.path / entry.file)
        _settle(folder)
        self._note(entry).unlink(missing_ok=True)

    def found(self, entry: Entry) -> Path | None:
        """The file, if it is there; it is whole, unless somebody changed it since: see `Entry.bytes`."""
        for path in self._names(entry):
            if path.is_file() and (not entry.bytes or path.stat().st_size == entry.bytes):
                return path
        return None

    def keep(self, answer: bytes) -> Path:
        """Where what a server answered can be read by whoever may read the export."""
        path = self.path / _ANSWER
        path.parent.mkdir(mode=0o700, exist_ok=True)
        self._write(path, answer)
        return path

    def clean(self) -> None:
        """Nothing is on its way any more, and nothing stands in the way."""
        with suppress(OSError):
            (self.path / _ANSWER).unlink()
            (self.path / _ANSWER).parent.rmdir()
        for one in self._parts.iterdir() if self._parts.is_dir() else ():
            one.unlink()
        with suppress(FileNotFoundError):
            self._parts.rmdir()

    def remove(self, state: State) -> None:
        """Remove what an export has brought."""
        for entry in state.files:
            for path in self._names(entry):
                path.unlink(missing_ok=True)
        self.clean()
        for place in ("errors", "deleted"):
            with suppress(OSError):
                (self.path / place).rmdir()

    def _names(self, entry: Entry) -> tuple[Path, Path]:
        plain = self.path / _PLACES[entry.kind] / f"{entry.name}.ndjson"
        return plain, plain.with_name(f"{plain.name}.gz")

    def _note(self, entry: Entry) -> Path:
        return self._parts / f"{entry.kind}.{entry.name}.json"

    def _write(self, path: Path, content: bytes) -> None:
        new = self._parts / f"{path.name}.new"
        with _private(new, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        _settle(path.parent)


@contextmanager
def opened(path: Path) -> Iterator[Folder]:
    """The folder, made if it is not there, for this process alone. Raises `InputError`; `Stopped` when the disk is full."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        held = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except (FileExistsError, NotADirectoryError):
        raise InputError(f"{path} is no folder: name one that is, or that does not exist yet") from None
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"Another process is fetching into {path}: wait for it, or name another folder") from None
        yield Folder(path)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise Stopped(
            f"{path} takes no more: {error.strerror}. What is there stays; make room, and the same command goes on"
        ) from None
    finally:
        os.close(held)


def _private(path: Path, mode: str) -> BinaryIO:
    """A file that only its owner reads: it holds people's records."""
    return cast(BinaryIO, open(path, mode, opener=lambda name, flags: os.open(name, flags, 0o600)))


def _settle(folder: Path) -> None:
    """Names are on disk, too."""
    known = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(known)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that has no such thing
            raise
    finally:
        os.close(known)
