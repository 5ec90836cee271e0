"""A record to spoil, element by element."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

from tests.patients.archetypes import patient

Json = dict[str, Any]
Path = tuple[str | int, ...]


class Draft:
    """A copy of the record to spoil: `result` is its last result, `specimen` that result's specimen."""

    def __init__(self) -> None:
        self.bundle: Json = copy.deepcopy(patient("A01").bundle())
        self._literals: dict[str, str] = {}
        resources = {entry["resource"]["id"]: entry["resource"] for entry in self.bundle["entry"]}
        self.result: Json = resources["a01-o5"]
        self.specimen: Json = resources["a01-s5"]

    @property
    def entry(self) -> Json:
        found: Json = next(entry for entry in self.bundle["entry"] if entry["resource"] is self.result)
        return found

    def literal(self, text: str) -> str:
        """A stand-in for JSON text that no Python value gives."""
        key = f"@literal{len(self._literals)}@"
        self._literals[key] = text
        return key

    def part(self, name: str) -> Json:
        """The component of a name."""
        found: Json = next(part for part in self.result["component"] if part["code"]["coding"][0]["code"] == name)
        return found

    def to_bytes(self) -> bytes:
        text = json.dumps(self.bundle, ensure_ascii=False, separators=(",", ":"))
        for key, literal in self._literals.items():
            text = text.replace(json.dumps(key), literal)
        return text.encode()


Change = Callable[[Draft], None]
"""Spoils one thing of a draft."""


def at(holder: Any, path: Path) -> Any:
    for step in path:
        holder = holder[step]
    return holder


def put(path: Path, literal: str, of: str = "result") -> Change:
    """Put JSON text in the place of an element."""

    def change(draft: Draft) -> None:
        at(getattr(draft, of), path[:-1])[path[-1]] = draft.literal(literal)

    return change


def drop(path: Path, of: str = "result") -> Change:
    def change(draft: Draft) -> None:
        del at(getattr(draft, of), path[:-1])[path[-1]]

    return change


def both(*changes: Change) -> Change:
    def change(draft: Draft) -> None:
        for each in changes:
            each(draft)

    return change
