"""The audit: a hash chain over everything that is recorded, with checkpoints outside the database.

Each entry holds salted digests of the rows that its transaction wrote, and the link of the entry before it. So an edited or
deleted row, an edited, deleted or reordered entry, and a chain rewritten from its beginning are all found; what was cut off or
added after the last checkpoint cannot be told from what never happened, and is counted. Erasing a patient deletes the
salt: the digests stay, the chain holds, and nothing in it can be traced to the patient any more.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, Table, func, insert, select

from cds.errors import ExowatchError
from cds.record.database import Database
from cds.record.tables import OF_NOBODY, OF_PATIENT, account, audit, metadata, patient

GENESIS = "0" * 64
_LOCK = 0x45584F57  # any number that nothing else in the database uses
_LOG = logging.getLogger("exowatch.record")
_CHECKPOINT_EVERY = 64
_GO_ON = (
    "patient", "advisory", "identifier", "arrival", "account", "person", "answer", "action", "agenda", "meeting",
)  # fmt: skip
"""Tables whose rows change; all others are written once, and moved only when two patients are merged."""
_NOT_DIGESTED = {
    "patient": frozenset({"salt", "due"}),
    "account": frozenset({"salt", "failures", "locked_until"}),
}
"""By table: what the service notes for itself, and the salts."""

TOLD = frozenset({"page", "sitting", "times"})
"""What an entry may tell besides the rows that it wrote: the page that was seen, the id of the meeting that it showed (a `meeting`
would be a row), how often something happened."""
RowKey = tuple[str, str]
"""(table, id)."""


def now() -> str:
    """This instant, as it is stored."""
    return instant(datetime.now(UTC))


def instant(moment: datetime) -> str:
    """An aware datetime as it is stored: UTC, to the microsecond, so that text sorts as time does."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def after(moment: str, at: datetime) -> str:
    """An instant, or the one right after `moment` if the clock that gave it says that this has not come yet."""
    last = datetime.fromisoformat(moment.replace("Z", "+00:00"))
    return instant(max(at, last + timedelta(microseconds=1)))


def canonical(content: Any) -> str:
    """JSON with one spelling for one content."""
    return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


_ADDED_LATER = {
    table.name: frozenset(column.name for column in table.columns if column.info.get("later"))
    for table in metadata.tables.values()
}
_NOTHING: frozenset[str] = frozenset()


def digest_of(table: Table, row: Mapping[str, Any], salt: str) -> str:
    """The salted digest of a row. A column that was added later counts from when it holds something."""
    aside, later = _NOT_DIGESTED.get(table.name, _NOTHING), _ADDED_LATER[table.name]
    content = {
        name: hashlib.sha256(value).hexdigest() if isinstance(value, bytes) else value
        for name, value in row.items()
        if name not in aside and not (value is None and name in later)
    }
    return salted(canonical(content), salt)


def salted(text: str, salt: str) -> str:
    """A digest of a text that cannot be computed without the patient's salt."""
    return hmac.new(bytes.fromhex(salt), text.encode(), hashlib.sha256).hexdigest()


@dataclass(slots=True)
class Entry:
    """What one transaction did: `rows` are those that it wrote, with their content; `erased` those that it deleted."""

    tenant: str
    actor: str
    action: str
    subject: str = ""
    rows: list[tuple[str, str, str]] = field(
        default_factory=list
    )  # table, id, salted digest; or what is told, its text, ""

    def wrote(self, table: Table, row: Mapping[str, Any], salt: str) -> None:
        """Note a row that was inserted, or updated to this content."""
        self.rows.append((table.name, row["id"], digest_of(table, row, salt)))

    def told(self, what: str, text: str) -> None:
        """Note one of `TOLD`, in words of ours and never of a person."""
        self.rows.append((what, text, ""))

    def erased(self, table: Table, key: str) -> None:
        """Note a row that was deleted for good."""
        self.rows.append((table.name, key, ""))


def append(database: Database, connection: Connection, entry: Entry) -> int:
    """Add an entry to the chain, in the transaction that wrote its rows; its number."""
    database.lock(connection, _LOCK)
    last = connection.execute(select(audit.c.number, audit.c.link).order_by(audit.c.number.desc()).limit(1)).first()
    number, previous = (1, GENESIS) if last is None else (last.number + 1, last.link)
    values = {
        "number": number,
        "at": now(),
        "tenant": entry.tenant,
        "actor": entry.actor,
        "action": entry.action,
        "subject": entry.subject,
        "rows": canonical(entry.rows),
        "previous": previous,
    }
    connection.execute(insert(audit), values | {"link": link_of(values)})
    return number


def link_of(values: Mapping[str, Any]) -> str:
    """The link of an entry, from all else that it says."""
    return hashlib.sha256(canonical({name: values[name] for name in values if name != "link"}).encode()).hexdigest()


# checkpoints -----------------------------------------------------------------------------------------------------------


class Checkpoints:
    """A file beside the database, to be kept where who can write the database cannot write: one line for each checkpoint."""

    def __init__(self, path: Path):
        self.path = path
        self._last: int | None = None  # number of the last entry that this process saw covered

    def keep_up(self, database: Database, number: int) -> None:
        """Write a checkpoint if entry `number`, just written, lies far enough behind the last one.

        What was recorded stands without it: if none can be written that is logged, the next covers it, and `verify` counts
        what lies between.
        """
        try:
            if self._last is None:
                self._last = max(self.read(), default=0)
            if number - self._last >= _CHECKPOINT_EVERY:
                with database.reading() as connection:
                    self._last = self.write(connection)
        except (OSError, ExowatchError) as error:
            _LOG.error("no checkpoint could be written: %s", type(error).__name__)

    def cover(self, database: Database) -> None:
        """Write a checkpoint of all that is recorded, unless the last entry has one; nothing for an empty record.

        For the start and the end of a service: a quiet one has a file too, and what lies after it is short. Never fails: why none
        could be written is logged.
        """
        try:
            with database.reading() as connection:
                last = _tip(connection)
                if last is not None and self.read().get(last.number) != last.link:
                    self._last = self.write(connection)
        except (OSError, ExowatchError) as error:
            _LOG.error("no checkpoint could be written: %s", type(error).__name__)

    def write(self, connection: Connection) -> int:
        """Note how far the chain goes; the number of its last entry, 0 for none."""
        last = _tip(connection)
        if last is None:
            return 0
        line = canonical({"number": last.number, "link": last.link, "at": now()}) + "\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, line.encode())  # one write: lines of several processes do not mix
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return int(last.number)

    def read(self, *others: Path) -> dict[int, str]:
        """Links by entry number, from this file and those of other hosts. Raises `ExowatchError` for a file that cannot be read as one of these."""
        found: dict[int, str] = {}
        for path in (self.path, *others) if self.path.exists() else others:
            for number, line in enumerate(_lines(path), 1):
                try:
                    point = json.loads(line)
                    number_, link = int(point["number"]), str(point["link"])
                    # Two links for one entry: the chain was rewritten between two checkpoints, and no link can be right.
                    found[number_] = link if found.get(number_, link) == link else ""
                except (ValueError, KeyError, TypeError):
                    raise ExowatchError(
                        f"{path}: line {number} is no checkpoint. The file was edited, or a disk was full"
                    ) from None
        return found


def _tip(connection: Connection) -> Row[int, str] | None:
    """Number and link of the last entry; None for an empty chain."""
    return connection.execute(select(audit.c.number, audit.c.link).order_by(audit.c.number.desc()).limit(1)).first()


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ExowatchError(f"{path}: these checkpoints cannot be read ({type(error).__name__})") from None


# verification ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verdict:
    """What verification found. `broken` names what does not hold, the first broken link first; empty if all holds."""

    entries: int
    rows: int
    checkpoint: int  # number of the last entry that a checkpoint covers; 0 for none
    broken: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return not self.broken

    @property
    def uncovered(self) -> int:
        """How many entries lie after the last checkpoint: cutting them off could not be told."""
        return max(0, self.entries - self.checkpoint)


def verify(connection: Connection, checkpoints: Mapping[int, str], *, most: int = 100) -> Verdict:
    """Check the chain, its checkpoints, and every recorded row against it; at most `most` faults are named."""
    broken: list[str] = []
    expected: dict[RowKey, str] = {}
    previous, count = GENESIS, 0
    for row in _stream(connection):
        count += 1
        number = row["number"]
        if number != count:
            broken.append(f"entry {count} is missing" if number > count else f"entry {number} stands twice")
            count = number
        if row["previous"] != previous:
            broken.append(f"entry {number} does not follow from the one before it")
        if row["link"] != link_of(row):
            broken.append(f"entry {number} was edited")
        if number in checkpoints and checkpoints[number] != row["link"]:
            broken.append(f"entry {number} is not the one that the checkpoint saw: the chain was rewritten")
        previous = row["link"]
        try:
            written = [(table, key, digest) for table, key, digest in json.loads(row["rows"])]
            moves = row["action"] in ("merge", "evaluate") and any(table == "patient" for table, _, _ in written)
            for table, key, digest in written:
                known = expected.get((table, key), digest)
                if known != digest and digest and table not in _GO_ON and not moves:
                    broken.append(f"entry {number} writes {table} {key} anew, which is written once")
                expected[table, key] = digest
        except (ValueError, TypeError):
            pass  # named above: it was edited
        if len(broken) >= most:
            break
    tip = max(checkpoints, default=0)
    if tip > count:
        broken.append(f"entries {count + 1} to {tip} are missing: a checkpoint saw them")
    rows = 0
    for fault in _rows_that_differ(connection, expected):
        if fault is None:
            rows += 1
        elif len(broken) < most:
            broken.append(fault)
    return Verdict(count, rows, tip, tuple(broken))


def _stream(connection: Connection) -> Iterator[dict[str, Any]]:
    """Every entry of the chain, without holding them all."""
    result = connection.execute(select(audit).order_by(audit.c.number).execution_options(yield_per=500))
    yield from map(dict, result.mappings())


def _rows_that_differ(connection: Connection, expected: dict[RowKey, str]) -> Iterable[str | None]:
    """For each recorded row None, or what is wrong with it."""
    salts: dict[str, str] = {}
    for table in (patient, account):
        for row in connection.execute(select(table.c.id, table.c.salt)).mappings():
            salts[row["id"]] = row["salt"]
    for table in (patient, account, *OF_NOBODY, *OF_PATIENT):
        owner = "patient_id" if table in OF_PATIENT else "id"
        for row in connection.execute(select(table).execution_options(yield_per=500)).mappings():
            wanted = expected.pop((table.name, row["id"]), None)
            if wanted is None and row[owner] is None:  # results of nobody yet: recorded once they are somebody's
                continue
            try:
                found = digest_of(table, dict(row), salts.get(row[owner], ""))
            except ValueError:
                found = ""
            if wanted is None:
                yield f"{table.name} {row['id']} was never recorded"
            elif wanted == "":
                yield f"{table.name} {row['id']} was erased, and is there"
            elif found != wanted:
                yield f"{table.name} {row['id']} was edited"
            else:
                yield None
    for (name, key), digest in expected.items():
        if name not in metadata.tables and name not in TOLD:
            yield f"{name} is no table of the record"
        elif digest:
            yield f"{name} {key} is missing"


def entries(connection: Connection) -> int:
    """How many entries the chain has."""
    return int(connection.execute(select(func.count()).select_from(audit)).scalar_one())
