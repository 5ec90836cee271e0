"""Transactions that leave an entry in the audit, and entries about what was only looked at."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection, select

from cds.record import tables
from cds.record.audit import GENESIS, Checkpoints, Entry, Verdict, append, instant, link_of, salted, verify
from cds.record.database import Database
from cds.record.identity import NoSuchPatient

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Noted:
    """An entry as it can be shown."""

    number: int
    at: str
    actor: str
    action: str
    account: str  # login name of the account that it is about; "" if about none
    subject: str  # salted digest of the patient whom it is about: the same in all entries about one; "" if about none
    page: str  # path of the page that was seen or asked for, with names in the place of what it was about; "" for none
    times: int  # how often it happened
    meeting: str = ""  # id of the meeting that was seen; "" for none
    board: str = ""  # which board met there
    day: str = ""  # of that meeting


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries are asked for; "" for any."""

    actor: str = ""
    action: str = ""
    subject: str = ""
    day: str = ""  # in UTC, as 2026-01-31


@dataclass(frozen=True, slots=True)
class Stretch:
    """Entries of a tenant, the newest first; `holds`: each is as it was written, and follows from the one before it."""

    entries: tuple[Noted, ...]
    holds: bool
    more: bool  # whether there are earlier ones


_ANY = Wanted()


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

    def looked(self, tenant: str, actor: str, page: str, patient: str = "", meeting: str = "") -> None:
        """Somebody saw a page: about the patient with that row ("view"), or about none or many ("list"), as those of a meeting.

        Raises `NoSuchPatient` if the tenant has no such patient, and `RecordUnavailable`.
        """

        def noted(connection: Connection) -> tuple[None, Entry]:
            entry = Entry(tenant, actor, "view" if patient else "list", _subject(connection, tenant, patient))
            if patient and not entry.subject:
                raise NoSuchPatient(f"The record holds no patient of row '{patient}' (tenant '{tenant}')")
            entry.told("page", page)
            if meeting:
                entry.told("sitting", meeting)
            return None, entry

        self.write(noted)

    def kept_out(self, tenant: str, actor: str, page: str, patient: str = "", *, changes: bool) -> None:
        """Somebody who is signed in asked for what is not theirs to see, or (`changes`) to do. Raises `RecordUnavailable`."""

        def noted(connection: Connection) -> tuple[None, Entry]:
            action = "change-refused" if changes else "view-refused"
            entry = Entry(tenant, actor, action, _subject(connection, tenant, patient))
            entry.told("page", page)
            return None, entry

        self.write(noted)

    def stretch(self, tenant: str, most: int, wanted: Wanted = _ANY, before: int = 0) -> Stretch:
        """The newest entries of a tenant that are asked for, or those before a number.

        Raises `RecordUnavailable`, and `ExowatchError` for a file of checkpoints that cannot be read.
        """
        audit, account = tables.audit, tables.account
        asked = select(audit).where(audit.c.tenant == tenant).order_by(audit.c.number.desc()).limit(most + 1)
        for column, value in (
            (audit.c.actor, wanted.actor),
            (audit.c.action, wanted.action),
            (audit.c.subject, wanted.subject),
        ):
            if value:
                asked = asked.where(column == value)
        if wanted.day:
            asked = asked.where(
                audit.c.at >= wanted.day, audit.c.at < f"{wanted.day}U"
            )  # "T" stands between day and time
        if before:
            asked = asked.where(audit.c.number < before)
        points = self._points()

        def reading(connection: Connection) -> Stretch:
            rows = [dict(row) for row in connection.execute(asked).mappings()]
            shown = rows[:most]
            earlier = select(audit.c.number, audit.c.link).where(
                audit.c.number.in_([row["number"] - 1 for row in shown])
            )
            links = {row.number: row.link for row in connection.execute(earlier)}
            named = select(account.c.id, account.c.name).where(account.c.tenant == tenant)
            names = {row.id: row.name for row in connection.execute(named)}
            told, met = [_told(row) for row in shown], tables.meeting.c
            seen = {one["sitting"] for one in told if "sitting" in one}
            sat = select(met.id, met.board, met.day).where(met.tenant == tenant, met.id.in_(seen))
            sittings = {row.id: (row.board, row.day) for row in connection.execute(sat)}
            holds = all(
                row["link"] == link_of(row) == points.get(row["number"], row["link"])
                and row["previous"] == (links.get(row["number"] - 1, "") if row["number"] > 1 else GENESIS)
                for row in shown
            )
            noted = tuple(_noted(row, one, names, sittings) for row, one in zip(shown, told, strict=True))
            return Stretch(noted, holds, len(rows) > most)

        return self.database.asked(reading)

    def verified(self) -> Verdict:
        """Everything that is recorded, checked against the chain and its checkpoints, however long that takes.

        Raises `RecordUnavailable`, and `ExowatchError` for a file of checkpoints that cannot be read.
        """
        with self.database.reading() as connection:
            return verify(connection, self._points())

    def _points(self) -> dict[int, str]:
        return {} if self._checkpoints is None else self._checkpoints.read()


def _subject(connection: Connection, tenant: str, patient: str) -> str:
    """The salted digest of the patient with that row; "" if the tenant has none."""
    table = tables.patient
    wanted = select(table.c.salt).where(table.c.id == patient, table.c.tenant == tenant)
    salt = connection.execute(wanted).scalar() if patient else None
    return "" if salt is None else salted(patient, salt)


def _told(row: Mapping[str, Any]) -> dict[str, str]:
    """What the rows of an entry tell, by what it is; nothing if it was edited, which the chain tells."""
    told: dict[str, str] = {}
    try:
        for what, key, _ in json.loads(row["rows"]):
            told.setdefault(what, key)
    except (ValueError, TypeError):
        return {}
    return told


def _noted(
    row: Mapping[str, Any], told: Mapping[str, str], names: Mapping[str, str], sittings: Mapping[str, tuple[str, str]]
) -> Noted:
    """An entry as it can be shown, with the names of accounts and of meetings by their ids."""
    times, meeting = told.get("times", ""), told.get("sitting", "")
    return Noted(
        row["number"], row["at"], row["actor"], row["action"], names.get(told.get("account", ""), ""), row["subject"],
        told.get("page", ""), int(times) if times.isdecimal() else 1, meeting, *sittings.get(meeting, ("", "")),
    )  # fmt: skip
