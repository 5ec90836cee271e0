"""Signing in and out. A browser holds a random token, the record only its digest; each sign-in makes a new one.

To whoever is refused all reasons look and take alike: a name that nobody has, a wrong password, an account that is locked or
disabled. What was typed goes nowhere.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, delete, insert, or_, select, update

from cds.errors import ExowatchError
from cds.record import tables
from cds.record.accounts import (
    UNKNOWN,
    Account,
    Accounts,
    account_of,
    end_sessions,
    entry_of,
    first,
    joined,
    new_row,
    spelled,
)
from cds.record.audit import Entry, instant
from cds.record.passwords import WeakPassword, hashed, is_outdated, is_same, matches

FAILURES = 5
"""Wrong passwords after which an account is locked, and again after as many more."""
_FIRST_LOCK, _LONGEST_LOCK = timedelta(minutes=15), timedelta(hours=24)
_NOTED_EVERY = timedelta(minutes=1)
"""How exactly it is noted when a session was last used; and how often at most that nobody knows who was refused."""


class SignInRefused(ExowatchError):
    """Nobody was let in; does not say why."""


@dataclass(frozen=True, slots=True)
class Session:
    """Whose browser it is."""

    account: Account
    patient: str  # row of the only patient whom it opens; "" for all
    csrf: str  # what a form of this session carries; nobody can tell it without the token


@dataclass(frozen=True, slots=True)
class Vouched:
    """Whom another issuer vouches for."""

    issuer: str
    subject: str
    name: str  # a login name, if it is free
    shown: str
    roles: Collection[str]


class Sessions:
    """The sessions of all tenants; safe to share between threads and processes.

    `idle`: after so long without a request one ends; `longest`: after so long it ends anyway.
    """

    def __init__(self, accounts: Accounts, *, idle: timedelta, longest: timedelta):
        self.accounts = accounts
        self._trail = accounts.trail
        self._idle, self._longest = idle, longest
        self._strangers = _Strangers()

    def sign_in(self, tenant: str, name: str, password: str, before: str = "") -> str:
        """The token of a new session for who has that name and password; `before` is the browser's old one, which ends.

        Raises `SignInRefused`, `RecordUnavailable`.
        """
        account = tables.account
        wanted = select(account).where(
            account.c.tenant == tenant, account.c.name == spelled(name), account.c.issuer == ""
        )
        found = self._read(wanted)
        right = matches(found["password"] if found is not None else "", password)
        if found is None:
            self.refused(tenant)
            raise SignInRefused("not let in")
        renewed = hashed(password, "") if right and is_outdated(found["password"]) else ""

        def work(connection: Connection) -> tuple[str, Entry]:
            row = first(connection, select(account).where(account.c.id == found["id"]).with_for_update())
            if row is None:
                return "", Entry(tenant, UNKNOWN, "sign-in-refused")
            now = self.accounts.instant()
            if row["disabled"] or row["locked_until"] > now:
                return "", entry_of(UNKNOWN, "sign-in-refused", row)
            if not right or row["password"] != found["password"]:
                return "", entry_of(UNKNOWN, "sign-in-refused", self._failed(connection, row))
            if renewed:
                row = self.accounts.updated(connection, row, {"password": renewed})
            _set(connection, row["id"], {"failures": 0, "locked_until": ""})
            return self._begun(connection, row["id"], before), entry_of(row["name"], "sign-in", row)

        token = self._trail.write(work)
        if not token:
            raise SignInRefused("not let in")
        return token

    def vouched(self, tenant: str, who: Vouched, *, patient: str = "", before: str = "") -> str:
        """The token of a new session for whom an issuer vouches for, whose account is made, or changed to what it says.

        Raises `SignInRefused` for who is disabled here or has no role; sessions that they still have end then.
        """

        def work(connection: Connection) -> tuple[str, Entry]:
            account = tables.account
            wanted = select(account).where(
                account.c.tenant == tenant, account.c.issuer == who.issuer, account.c.subject == who.subject
            )
            row = first(connection, wanted.with_for_update())
            if not who.roles or (row is not None and row["disabled"]):
                if row is None:
                    return "", Entry(tenant, UNKNOWN, "sign-in-refused")
                end_sessions(connection, row["id"])
                return "", entry_of(UNKNOWN, "sign-in-refused", row)
            if row is None:
                mark = hashlib.sha256(f"{who.issuer} {who.subject}".encode()).hexdigest()[:10]
                name = self.accounts.free_name(connection, tenant, who.name, mark)
                row = first(connection, wanted)  # it may have been made while we waited
            if row is None:
                row = new_row(tenant, name, self.accounts.instant(), who.roles, shown=who.shown) | {
                    "issuer": who.issuer, "subject": who.subject,
                }  # fmt: skip
                self.accounts.inserted(connection, row)
            else:
                said = {"roles": joined(who.roles), "shown": " ".join(who.shown.split())[:128] or row["name"]}
                if said["roles"] != row["roles"]:
                    end_sessions(connection, row["id"])
                if said != {key: row[key] for key in said}:
                    row = self.accounts.updated(connection, row, said)
            return self._begun(connection, row["id"], before, patient), entry_of(row["name"], "sign-in", row)

        token = self._trail.write(work)
        if not token:
            raise SignInRefused("not let in")
        return token

    def refused(self, tenant: str) -> None:
        """Note that somebody was refused of whom nothing is known: at most one entry a minute, which says how often it was.

        Whoever needs no account to be refused could otherwise fill the audit, of which nothing is ever deleted.
        """
        times = self._strangers.times(tenant, self.accounts.moment())
        if times:
            entry = Entry(tenant, UNKNOWN, "sign-in-refused")
            if times > 1:
                entry.told("times", str(times))
            self._trail.write(lambda _connection: (None, entry))

    def find(self, tenant: str, token: str) -> Session | None:
        """Whose session it is; None for none that goes on. Raises `RecordUnavailable`."""
        session, account = tables.session, tables.account
        digest, now = _digest(token), self.accounts.moment()
        wanted = (
            select(account, session.c.patient, session.c.seen.label("seen"))
            .join(session, session.c.account_id == account.c.id)
            .where(
                session.c.digest == digest, account.c.tenant == tenant, account.c.disabled.is_(False),
                session.c.created > instant(now - self._longest), session.c.seen > instant(now - self._idle),
            )
        )  # fmt: skip
        row = self._read(wanted)
        if row is None:
            return None
        if row["seen"] <= instant(now - min(_NOTED_EVERY, self._idle / 4)):
            seen = update(session).where(session.c.digest == digest).values(seen=instant(now))
            self._trail.write(lambda connection: (connection.execute(seen), None))
        return Session(account_of(row), row["patient"], csrf_of(token))

    def sign_out(self, token: str) -> None:
        """End a session; nothing happens if it has ended. Raises `RecordUnavailable`."""

        def work(connection: Connection) -> tuple[None, Entry | None]:
            session, account = tables.session, tables.account
            wanted = select(account).join(session, session.c.account_id == account.c.id)
            row = first(connection, wanted.where(session.c.digest == _digest(token)))
            connection.execute(delete(session).where(session.c.digest == _digest(token)))
            return None, None if row is None else entry_of(row["name"], "sign-out", row)

        self._trail.write(work)

    def change_password(self, whose: Account, old: str, new: str) -> str:
        """Another password for somebody who is signed in; all their sessions end, and the token is of a new one.

        Raises `SignInRefused` if the old one is wrong (which counts as at the sign-in), or there is none; `WeakPassword`, also
        for the old one; `RecordUnavailable`.
        """
        account = tables.account
        key, name = whose.id, whose.name
        found = self._read(select(account).where(account.c.id == key))
        right = matches(found["password"] if found is not None else "", old)
        if right and is_same(old, new):
            raise WeakPassword("That is the present password: choose another")
        changes = {"password": hashed(new, name), "one_time": False, "failures": 0, "locked_until": ""}

        def work(connection: Connection) -> tuple[str, Entry]:
            row = first(connection, select(account).where(account.c.id == key).with_for_update())
            if row is None:
                return "", Entry(whose.tenant, name, "password-refused")
            if row["disabled"] or row["locked_until"] > self.accounts.instant():
                return "", entry_of(name, "password-refused", row)
            if not right or found is None or row["password"] != found["password"]:
                return "", entry_of(name, "password-refused", self._failed(connection, row))
            changed = self.accounts.updated(connection, row, changes)
            end_sessions(connection, key)
            return self._begun(connection, key, ""), entry_of(name, "account-password", changed)

        token = self._trail.write(work)
        if not token:
            raise SignInRefused("the password is not changed")
        return token

    def _read(self, wanted: Select[Any]) -> dict[str, Any] | None:
        """The first row that was asked for, within the deadline."""

        def reading() -> dict[str, Any] | None:
            with self._trail.database.reading() as connection:
                return first(connection, wanted)

        return self._trail.database.in_time(reading)

    def _failed(self, connection: Connection, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """Count a wrong password, which may lock the account."""
        failures = row["failures"] + 1
        until = "" if failures % FAILURES else instant(self.accounts.moment() + _lock(failures))
        _set(connection, row["id"], {"failures": failures, "locked_until": until})
        return row

    def _begun(self, connection: Connection, account: str, before: str, patient: str = "") -> str:
        """A new session, in place of the browser's one before; those that are over are forgotten."""
        session, now = tables.session, self.accounts.moment()
        over = or_(
            session.c.created <= instant(now - self._longest), session.c.seen <= instant(now - self._idle),
            session.c.digest == _digest(before),
        )  # fmt: skip
        connection.execute(delete(session).where(over))
        token = secrets.token_urlsafe(32)
        values = {
            "digest": _digest(token), "account_id": account, "patient": patient, "created": instant(now), "seen": instant(now),
        }  # fmt: skip
        connection.execute(insert(session), values)
        return token


class _Strangers:
    """How often somebody was refused of whom nothing is known, since that was last noted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since: dict[str, datetime] = {}  # by tenant: when it was noted last
        self._times: Counter[str] = Counter()

    def times(self, tenant: str, now: datetime) -> int:
        """One more; how many are to be noted now, 0 if it is too early for another entry."""
        with self._lock:
            self._times[tenant] += 1
            last = self._since.get(tenant)
            if last is not None and timedelta(0) <= now - last < _NOTED_EVERY:
                return 0
            self._since[tenant] = now
            return self._times.pop(tenant)


def _lock(failures: int) -> timedelta:
    """How long the next sign-in has to wait: twice as long each time."""
    doublings = min(failures // FAILURES - 1, 10)
    return min(_FIRST_LOCK * (1 << doublings), _LONGEST_LOCK)


def _set(connection: Connection, account: str, values: Mapping[str, Any]) -> None:
    """Change what is no part of the audit."""
    connection.execute(update(tables.account).where(tables.account.c.id == account), values)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def csrf_of(token: str) -> str:
    """What the forms of a session carry, also once it has ended: whoever cannot read the token cannot tell it."""
    return hmac.new(token.encode(), b"form", hashlib.sha256).hexdigest()
