"""What belongs to nobody in particular, a medication or a laboratory, and is found by its name wherever a resource refers to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from cds.chart import reading
from cds.chart.clock import relative
from cds.screening.lines import UNREADABLE, Json, resource_of
from cds.screening.partition import SHARED, Dealt, Quarantined, items_of, of_kind, starts_of


class Gathered(msgspec.Struct, frozen=True):
    """Where the shared lines are found by their names, and those that cannot be read. None: there is none."""

    path: str | None
    refused: list[Quarantined]
    changed: bool = False  # whether one of them counts as changed


def gather(work: Path, dealt: Sequence[Dealt]) -> Gathered:
    """Put the shared lines where `SharedLines` finds them."""
    shared = of_kind(dealt, SHARED)
    if not shared:
        return Gathered(None, [])
    made, path = work / "shared.sqlite.tmp", work / "shared.sqlite"
    made.unlink(missing_ok=True)
    starts, refused, any_changed = starts_of(dealt), list[Quarantined](), False
    with closing(sqlite3.connect(made)) as connection:
        connection.execute("CREATE TABLE line (name TEXT NOT NULL, changed BOOLEAN NOT NULL, content BLOB NOT NULL)")
        for parcel in shared:
            file, first = starts[parcel.piece]
            for name, place, changed, line in items_of(work, parcel):
                if resource_of(line) is None:
                    refused.append(Quarantined(file, first + place, *UNREADABLE))
                    continue
                any_changed |= changed
                connection.execute("INSERT INTO line VALUES (?, ?, ?)", (name, changed, line))
        connection.execute("CREATE INDEX of_name ON line (name)")
        connection.commit()
    made.replace(path)
    return Gathered(str(path), refused, any_changed)


class SharedLines:
    """What resources of patients refer to: a medication, a laboratory. Read by one thread."""

    def __init__(self, path: str | None):
        self._connection = None if path is None else sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True)
        self._found = lru_cache(maxsize=4096)(self._find)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def of(self, resources: Sequence[Json]) -> tuple[list[Json], bool]:
        """The shared resources to which these refer, each version of each in the order of the export; whether one was changed."""
        if self._connection is None:
            return [], False
        names: dict[str, None] = {}
        for one in resources:
            _references(one, names)
        found = [one for name in names for one in self._found(name)]
        return [resource for line, _ in found if (resource := resource_of(line)) is not None], any(
            new for _, new in found
        )

    def _find(self, name: str) -> tuple[tuple[bytes, bool], ...]:
        assert self._connection is not None  # `of` has looked
        wanted = "SELECT content, changed FROM line WHERE name = ? ORDER BY rowid"
        return tuple((content, bool(changed)) for content, changed in self._connection.execute(wanted, (name,)))


def _references(content: Any, names: dict[str, None]) -> None:
    """Collect what references in a resource may call shared ones."""
    if isinstance(content, dict):
        stated = content.get("reference")
        if isinstance(stated, str):
            name = relative(stated)
            if name.partition("/")[0] in reading.SHARED:
                names[name] = None
        for inner in content.values():
            if isinstance(inner, dict | list):
                _references(inner, names)
    elif isinstance(content, list):
        for inner in content:
            _references(inner, names)
