"""Transactions that leave an entry in the audit, and entries about what was only looked at."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection, select

from cds.record import tables
from cds.record.audit import Checkpoints, Entry, Verdict, append, instant, link_of, salted, verify
from cds.record.database import Database
from cds.record.identity import NoSuchPatient

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Noted:
    """An entry as it can be shown. `account` is the login name of the account that it is about; "" if about none."""

    number: int
    at: str
    actor: str
    action: str
    account: str
    of_patient: bool


@dataclass(frozen=True, slots=True)
class Stretch:
    """Entries of a tenant, the newest first; `holds`: the stretch of the chain in which they stand is unbroken."""

    entries: tuple[Noted, ...]
    holds: bool
    earlier: int  # number of the last entry before it; 0 for none


class Trail:
    """Writes with an audit entry, within the database's deadline; safe to share between threads.

    `clock` says when things are done (default: now); the audit has its own.
    """

    def __init__(
        self, database: Database, checkpoints: Checkpoints | None = None, clock: Callable[[], datetime] | None = None
    ):
        self.database = database
        self.clock = clock or partial(datetime.now, UTC)
        self._checkpoints = checkpoints

    def now(self) -> str:
        """This instant by the clock, as it is stored."""
        return instant(self.clock())

    def write(self, work: Callable[[Connection], tuple[T, Entry | None]]) -> T:
        """What `work` gives, in one transaction with the entry that it gives (None: nothing to be told was done).

        Raises `RecordUnavailable`, and what `work` raises: then nothing was written.
        """

        def writing() -> T:
            with self.database.writing() as connection:
                result, entry = work(connection)
                number = 0 if entry is None else append(self.database, connection, entry)
            if number and self._checkpoints is not None:
                self._checkpoints.keep_up(self.database, number)
            return result

        return self.database.in_time(writing)

    def looked(self, tenant: str, actor: str, patient: str = "") -> None:
        """Somebody saw a page: about the patient with that row ("view"), or about none or many ("list").

        Raises `NoSuchPatient` if the tenant has no such patient, and `RecordUnavailable`.
        """

        def noted(connection: Connection) -> tuple[None, Entry]:
            if not patient:
                return None, Entry(tenant, actor, "list")
            wanted = select(tables.patient.c.salt).where(
                tables.patient.c.id == patient, tables.patient.c.tenant == tenant
            )
            salt = connection.execute(wanted).scalar()
            if salt is None:
                raise NoSuchPatient(f"The record holds no patient of row '{patient}' (tenant '{tenant}')")
            return None, Entry(tenant, actor, "view", salted(patient, salt))

        self.write(noted)

    def stretch(self, tenant: str, most: int, before: int = 0) -> Stretch:
        """The newest entries, or those before a number: of the last `most` of the chain those of the tenant.

        Raises `RecordUnavailable`, and `ExowatchError` for a file of checkpoints that cannot be read.
        """
        audit, account = tables.audit, tables.account
        wanted = select(audit).order_by(audit.c.number.desc()).limit(most + 1)
        if before:
            wanted = wanted.where(audit.c.number < before)
        points = self._points()

        def reading() -> Stretch:
            with self.database.reading() as connection:
                rows = [dict(row) for row in connection.execute(wanted).mappings()]
                named = select(account.c.id, account.c.name).where(account.c.tenant == tenant)
                names = {row.id: row.name for row in connection.execute(named)}
            shown = tuple(
                Noted(row["number"], row["at"], row["actor"], row["action"], _about(row, names), bool(row["subject"]))
                for row in rows[:most]
                if row["tenant"] == tenant
            )
            return Stretch(shown, _is_unbroken(rows, points), rows[most]["number"] if len(rows) > most else 0)

        return self.database.in_time(reading)

    def verified(self) -> Verdict:
        """Everything that is recorded, checked against the chain and its checkpoints, however long that takes.

        Raises `RecordUnavailable`, and `ExowatchError` for a file of checkpoints that cannot be read.
        """
        with self.database.reading() as connection:
            return verify(connection, self._points())

    def _points(self) -> dict[int, str]:
        return {} if self._checkpoints is None else self._checkpoints.read()


def _about(row: dict[str, Any], names: dict[str, str]) -> str:
    """The account that an entry is about."""
    try:
        return next((names.get(key, "") for table, key, _ in json.loads(row["rows"]) if table == "account"), "")
    except (ValueError, TypeError):
        return ""  # it was edited, which the chain tells


def _is_unbroken(rows: list[dict[str, Any]], points: dict[int, str]) -> bool:
    """Whether each entry says what its link covers, follows the one below it, and is the one that a checkpoint saw."""
    own = all(row["link"] == link_of(row) == points.get(row["number"], row["link"]) for row in rows)
    return own and all(
        (later["previous"], later["number"]) == (row["link"], row["number"] + 1)
        for later, row in itertools.pairwise(rows)
    )
