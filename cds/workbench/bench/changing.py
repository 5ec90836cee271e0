"""Other values for a rule's named limits: read as its file would be, and asked, without being written anywhere."""

from __future__ import annotations

import difflib
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from cds.errors import ExowatchError
from cds.layers import RuleFiles
from cds.reasoning.loading import load_rulebook
from cds.reasoning.rulebook import Rule, RuleBook
from cds.reasoning.statistics import CONFIDENCES
from cds.source import parse_yaml, with_value

_PARTS = {"floor": "floor", "confidence": "confidence", "from": "days", "to": "days"}
"""What of a limit can be changed, and of which kind it is."""
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,3})?")
_DAYS = re.compile(r"(-?\d+)\s*([dw]?)")
_LONGEST = 24
_HIGHEST, _FARTHEST = 1000.0, 36_500


class FilesChanged(ExowatchError):
    """The files of the rule book say something else than the one in use: what they say is not what would be compared."""


@dataclass(frozen=True, slots=True)
class Field:
    """One value of a named limit, as its file says it."""

    limit: str
    part: str
    stands: str
    because: str

    @property
    def key(self) -> str:
        """Its name in an address."""
        return f"{self.limit}.{self.part}"

    @property
    def kind(self) -> str:
        """floor | confidence | days"""
        return _PARTS[self.part]

    @property
    def choices(self) -> tuple[str, ...]:
        """What it can be, where there is a choice."""
        return tuple(CONFIDENCES) if self.kind == "confidence" else ()


@dataclass(frozen=True, slots=True)
class Wrong:
    """A value that a limit cannot have, and why, as a code of the words."""

    field: Field
    typed: str
    why: str


@dataclass(frozen=True, slots=True)
class Changed:
    """Other values of a rule's limits. `values` are as its file would say them; `text` is the file then."""

    values: tuple[tuple[Field, str], ...]
    text: str
    diff: tuple[str, ...]
    wrong: tuple[Wrong, ...] = ()


class Limits:
    """The limits of one rule, as its own file says them."""

    def __init__(self, rule: Rule):
        self._rule = rule
        self.text = _own_text(rule)
        section = parse_yaml(self.text, [], rule.file)
        limits = section.section("limits") if section is not None else None
        self.fields: tuple[Field, ...] = ()
        if limits is not None:
            self.fields = tuple(
                Field(name, part, entry.text(part), entry.text("because"))
                for name in limits.value
                for entry in (limits.section(name),)
                for part in _PARTS
                if part in entry
            )

    def changed(self, typed: Mapping[str, str]) -> Changed | None:
        """What somebody typed, by the keys of fields; None if nothing differs from the file. What is wrong stands in it."""
        values: list[tuple[Field, str]] = []
        wrong: list[Wrong] = []
        text = self.text
        for field in self.fields:
            value = " ".join(typed.get(field.key, field.stands).split())
            found = _days(value) if field.kind == "days" else value
            if _same(found, field):
                continue
            why = _refused(found, field)
            if why:
                wrong.append(Wrong(field, value, why))
                continue
            values.append((field, found))
            text = with_value(text, ("limits", field.limit, field.part), found)
        if not values and not wrong:
            return None
        lines = difflib.unified_diff(
            self.text.splitlines(), text.splitlines(), f"a/{self._rule.file}", f"b/{self._rule.file}", n=1, lineterm=""
        )
        return Changed(tuple(values), text, tuple(lines), tuple(wrong))


def with_text(files: RuleFiles, rule: Rule, text: str, book: RuleBook) -> RuleBook:
    """The rule book with another text of one rule. `book` is the one in use.

    Raises `RuleBookError` for a text that is no rule, and `FilesChanged` if anything else is not as in the book in use.
    """
    with tempfile.TemporaryDirectory(prefix="exowatch-") as folder:
        path = Path(folder) / Path(rule.file).name
        path.write_text(text, encoding="utf-8")
        known = files.files.get(rule.file)
        if known is None:
            raise FilesChanged(f"{rule.file} is gone")
        other = replace(files, files={**files.files, rule.file: replace(known, path=path)})
        found = load_rulebook(other)
    combining = {one.name for one in book.rules if rule.name in one.combines.values()}
    free = {rule.name, *combining}
    if _hashes(found, free) != _hashes(book, free) or {one.name for one in found.rules} != {
        one.name for one in book.rules
    }:
        raise FilesChanged(str(files.root))
    return found


def _hashes(book: RuleBook, but: set[str]) -> dict[str, str]:
    return {rule.name: rule.hash for rule in book.rules if rule.name not in but}


def _own_text(rule: Rule) -> str:
    """The rule's own file as it was read for the book in use: the first of those that its hash covers."""
    return rule.text.partition("\n")[2].partition("\n\n--- # ")[0].rstrip() + "\n"


def _days(value: str) -> str:
    """Days as a rule file says them: `60 d`."""
    found = _DAYS.fullmatch(value)
    return f"{int(found[1])} {found[2] or 'd'}" if found is not None and len(value) <= _LONGEST else value


def _same(value: str, field: Field) -> bool:
    if field.kind == "floor" and _NUMBER.fullmatch(value) and _NUMBER.fullmatch(field.stands):
        return float(value) == float(field.stands)
    return value == (_days(field.stands) if field.kind == "days" else field.stands)


def _refused(value: str, field: Field) -> str:
    """Why a value cannot stand there, as a code of the words; "" if it can, as far as its own form goes."""
    if not value:
        return "empty"
    if len(value) > _LONGEST:
        return "number"
    if field.kind == "confidence":
        return "" if value in field.choices else "choice"
    if field.kind == "days":
        found = _DAYS.fullmatch(value)
        if found is None:
            return "days"
        return "far" if abs(int(found[1])) * (7 if found[2] == "w" else 1) > _FARTHEST else ""
    if not _NUMBER.fullmatch(value):
        return "comma" if _NUMBER.fullmatch(value.replace(",", ".")) else "number"
    number = float(value)
    if number < 0:
        return "negative"
    return "below-one" if number < 1 else "far" if number > _HIGHEST else ""
