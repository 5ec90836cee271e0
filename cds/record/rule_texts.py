"""Rules as they read when they were used: the text behind each hash that an advisory or an answer names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from cds.reasoning.rulebook import RuleBook
from cds.record import tables
from cds.record.audit import Entry, now
from cds.record.database import Database


@dataclass(frozen=True, slots=True)
class RuleText:
    """A rule as it read in one version: every file that its hash covers, its own first."""

    hash: str
    name: str
    text: str
    first: str  # when it was used first


class RuleTexts:
    """Keeps the texts of a rule book; each is written once, by whoever uses it first."""

    def __init__(self, database: Database, book: RuleBook):
        dialect = sqlite if database.is_sqlite else postgresql
        # What it returns, and not a count of rows, which drivers do not give for an insert.
        self._insert = dialect.insert(tables.rule_text).on_conflict_do_nothing().returning(tables.rule_text.c.id)
        self._wanted = {rule.hash: rule for rule in book.rules if rule.status in ("active", "shadow")}
        self._kept = False  # whether a transaction that kept them was committed

    def keep(self, connection: Connection, entry: Entry) -> None:
        """Write those that the record does not have yet; nothing once that is known to be done."""
        if self._kept:
            return
        table = tables.rule_text
        known = set(connection.execute(select(table.c.id).where(table.c.id.in_(self._wanted))).scalars())
        for key in sorted(self._wanted.keys() - known):
            rule = self._wanted[key]
            row = {"id": key, "name": rule.name, "text": rule.text, "at": now()}
            if connection.execute(self._insert, row).first() is not None:  # another process may have been first
                entry.wrote(table, row, "")

    def committed(self) -> None:
        """The transaction in which they were kept has ended well."""
        self._kept = True


def recorded(database: Database, keys: Iterable[str]) -> frozenset[str]:
    """Those of the hashes of rules whose texts are recorded, because they were used. Raises `RecordUnavailable`."""
    table = tables.rule_text
    wanted = select(table.c.id).where(table.c.id.in_(tuple(keys)))
    return database.asked(lambda connection: frozenset(connection.execute(wanted).scalars()))


def rule_text(database: Database, key: str) -> RuleText | None:
    """The rule of that hash as it read then; None if the record has never used it. Raises `RecordUnavailable`."""
    table = tables.rule_text
    wanted = select(table).where(table.c.id == key)
    row = database.asked(lambda connection: connection.execute(wanted).mappings().first())
    return None if row is None else RuleText(row["id"], row["name"], row["text"], row["at"])


def versions(database: Database, name: str) -> list[RuleText]:
    """Every version of a rule that was ever used, the newest first. Raises `RecordUnavailable`."""
    table = tables.rule_text
    with database.reading() as connection:
        rows = connection.execute(select(table).where(table.c.name == name).order_by(table.c.at.desc(), table.c.id))
        return [RuleText(row["id"], row["name"], row["text"], row["at"]) for row in rows.mappings()]
