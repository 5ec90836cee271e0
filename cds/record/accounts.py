"""People who may sign in: their accounts, what is changed about them, and by whom. Every change ends the sessions it concerns.

Which roles there are, and what they may do, is for the service: here they are words.
"""

from __future__ import annotations

import re
import secrets
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Select, delete, insert, select, update

from cds.errors import ExowatchError
from cds.record import tables
from cds.record.audit import Checkpoints, Entry, instant
from cds.record.database import Database
from cds.record.passwords import hashed
from cds.record.trail import Trail

TERMINAL = "command line"
"""Who changes accounts at a terminal, in the audit; no login name can be it."""
UNKNOWN = "unknown"
"""Whoever could not be let in, in the audit."""
_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")
_TAKEN = (UNKNOWN, "exowatch", "open")  # they mean something else in the audit
_LOCK = 0x45584F41  # any number that nothing else in the database uses
_MOST_ROLES, _LONGEST_SHOWN = 128, 128


class NoSuchAccount(ExowatchError):
    """There is no account of that name."""


class AccountRefused(ExowatchError):
    """The account cannot be made or changed so; says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who may sign in. Times are UTC instants as ISO 8601 text."""

    id: str
    tenant: str
    name: str
    shown: str
    issuer: str  # "" for a password of ours
    roles: frozenset[str]
    one_time: bool  # the password is to be changed before anything else
    disabled: bool
    locked_until: str  # "" or past: it is not locked
    created: str
    changed: str

    @property
    def is_local(self) -> bool:
        return not self.issuer


class Accounts:
    """The accounts of all tenants; safe to share between threads and processes."""

    def __init__(
        self, database: Database, checkpoints: Checkpoints | None = None, clock: Callable[[], datetime] | None = None
    ):
        self.trail = Trail(database, checkpoints)
        self._clock = clock or _now

    def listed(self, tenant: str) -> list[Account]:
        """The accounts of a tenant by name. Raises `RecordUnavailable`."""
        account = tables.account
        wanted = select(account).where(account.c.tenant == tenant)
        rows = self.trail.database.asked(lambda connection: connection.execute(wanted).mappings().all())
        return sorted((account_of(dict(row)) for row in rows), key=lambda one: one.name)

    def one(self, tenant: str, key: str) -> Account:
        """The account of that id. Raises `NoSuchAccount`, `RecordUnavailable`."""
        account = tables.account
        wanted = select(account).where(account.c.tenant == tenant, account.c.id == key)
        row = self.trail.database.asked(lambda connection: first(connection, wanted))
        if row is None:
            raise NoSuchAccount("There is no such account")
        return account_of(row)

    def add(
        self, tenant: str, name: str, password: str, roles: Collection[str], by: str, *, shown: str = "",
        one_time: bool = False,
    ) -> Account:  # fmt: skip
        """A new account with a password of ours. Raises `AccountRefused`, `WeakPassword`, `RecordUnavailable`."""
        name = spelled(name)
        if not _NAME.fullmatch(name) or name in _TAKEN:
            raise AccountRefused(
                f"'{_start(name)}' is no login name: it begins with a letter or a digit, has at most 64 of a-z 0-9 . _ @ + - "
                f"(here are {len(name)}), and is none of {', '.join(_TAKEN)}"
            )
        if len(" ".join(shown.split())) > _LONGEST_SHOWN:
            raise AccountRefused(
                f"'{_start(shown)}' is too long to be shown: at most {_LONGEST_SHOWN} characters (here are {len(shown)})"
            )
        values = new_row(tenant, name, self.instant(), roles, shown=shown) | {
            "subject": name, "password": hashed(password, name), "one_time": one_time,
        }  # fmt: skip

        def work(connection: Connection) -> tuple[Account, Entry]:
            self.trail.database.lock(connection, _LOCK)
            if _named(connection, tenant, name) is not None:
                raise AccountRefused(f"There is an account '{name}' already. Choose another name, or change that one")
            return self.inserted(connection, values), entry_of(by, "account-added", values)

        return self.trail.write(work)

    def set_roles(self, tenant: str, name: str, roles: Collection[str], by: str) -> None:
        """Give an account exactly those roles; its sessions end.

        Raises `NoSuchAccount`, `AccountRefused` for whom another issuer vouches for, who says which roles they have,
        `RecordUnavailable`.
        """
        self._change(tenant, name, "account-roles", by, {"roles": joined(roles)})

    def set_password(self, tenant: str, name: str, password: str, by: str, *, one_time: bool = False) -> None:
        """Give an account another password; it is unlocked, and its sessions end.

        Raises `NoSuchAccount`, `AccountRefused` for whom another issuer vouches for, `WeakPassword`, `RecordUnavailable`.
        """
        changes = {
            "password": hashed(password, spelled(name)), "one_time": one_time, "failures": 0, "locked_until": "",
        }  # fmt: skip
        self._change(tenant, name, "account-password", by, changes)

    def disable(self, tenant: str, name: str, by: str) -> None:
        """Let an account in no more; its sessions end. Raises `NoSuchAccount`, `RecordUnavailable`."""
        self._change(tenant, name, "account-disabled", by, {"disabled": True})

    def enable(self, tenant: str, name: str, by: str) -> None:
        """Let an account in again, also one that wrong passwords locked. Raises `NoSuchAccount`, `RecordUnavailable`."""
        self._change(tenant, name, "account-enabled", by, {"disabled": False, "failures": 0, "locked_until": ""})

    def _change(self, tenant: str, name: str, action: str, by: str, changes: Mapping[str, Any]) -> None:
        def work(connection: Connection) -> tuple[None, Entry]:
            row = _named(connection, tenant, spelled(name), hold=True)
            if row is None:
                raise NoSuchAccount(f"There is no account '{spelled(name)}'. `exowatch accounts list` names them")
            if row["issuer"] and "disabled" not in changes:
                raise AccountRefused(
                    f"{row['issuer']} vouches for '{row['name']}': their password and their roles are changed there. "
                    "Here they can be disabled"
                )
            changed = self.updated(connection, row, changes)
            end_sessions(connection, row["id"])
            return None, entry_of(by, action, changed)

        self.trail.write(work)

    # what sessions build on ------------------------------------------------------------------------------------------

    def instant(self) -> str:
        """This instant by the clock of the accounts."""
        return instant(self._clock())

    def moment(self) -> datetime:
        """The same, aware."""
        return self._clock()

    def inserted(self, connection: Connection, values: Mapping[str, Any]) -> Account:
        """Insert a row; as an account."""
        connection.execute(insert(tables.account), values)
        return account_of(values)

    def updated(self, connection: Connection, row: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change a row that is held; the row as it is now."""
        changes = {**changes, "changed": self.instant()}
        connection.execute(update(tables.account).where(tables.account.c.id == row["id"]), changes)
        return {**row, **changes}

    def free_name(self, connection: Connection, tenant: str, wanted: str, mark: str) -> str:
        """A login name for whom an issuer vouches for: what it calls them if nobody else is called so, told apart by `mark`.

        Nobody else takes the name until the transaction ends.
        """
        self.trail.database.lock(connection, _LOCK)
        name = spelled(wanted)
        if not _NAME.fullmatch(name) or name in _TAKEN:
            name = f"person-{mark}"
        if _named(connection, tenant, name) is not None:
            name = f"{name[: 63 - len(mark)]}+{mark}"
        return name


def spelled(name: str) -> str:
    """A login name in its one spelling."""
    return name.strip().lower()


def _start(text: str) -> str:
    """How a text that is too long begins."""
    return text if len(text) <= 80 else f"{text[:79]}…"


def joined(roles: Collection[str]) -> str:
    """Roles as they are stored. Raises `AccountRefused` if there is none."""
    found = " ".join(sorted(set(roles)))
    if not found or len(found) > _MOST_ROLES:
        raise AccountRefused("An account has at least one role; to let somebody in no more, disable it")
    return found


def new_row(tenant: str, name: str, at: str, roles: Collection[str], *, shown: str = "") -> dict[str, Any]:
    """A row of an account for which nobody vouches yet. Raises `AccountRefused` if it has no role."""
    return {
        "id": str(uuid.uuid4()), "tenant": tenant, "name": name, "shown": " ".join(shown.split())[:_LONGEST_SHOWN] or name, "issuer": "",
        "subject": "", "password": "", "one_time": False, "roles": joined(roles), "failures": 0, "locked_until": "",
        "disabled": False, "salt": secrets.token_hex(32), "created": at, "changed": at,
    }  # fmt: skip


def account_of(row: Mapping[str, Any]) -> Account:
    """A row as it may be shown."""
    return Account(
        row["id"], row["tenant"], row["name"], row["shown"], row["issuer"], frozenset(row["roles"].split()), row["one_time"],
        row["disabled"], row["locked_until"], row["created"], row["changed"],
    )  # fmt: skip


def entry_of(actor: str, action: str, row: Mapping[str, Any]) -> Entry:
    """The entry about an account that was written, or at which somebody knocked."""
    entry = Entry(row["tenant"], actor, action)
    entry.wrote(tables.account, row, row["salt"])
    return entry


def end_sessions(connection: Connection, account: str) -> None:
    """Sign an account out everywhere."""
    connection.execute(delete(tables.session).where(tables.session.c.account_id == account))


def first(connection: Connection, wanted: Select[Any]) -> dict[str, Any] | None:
    """The first row that was asked for."""
    row = connection.execute(wanted).mappings().first()
    return None if row is None else dict(row)


def is_one_person(connection: Connection, tenant: str, one: str, other: str) -> bool:
    """Whether two login names are taken for one person: one name, or accounts of two issuers that are shown by one name."""
    if one.casefold() == other.casefold():
        return True
    account = tables.account
    wanted = select(account.c.shown, account.c.issuer).where(
        account.c.tenant == tenant, account.c.name.in_([one, other])
    )
    found = connection.execute(wanted).all()
    return len({row.issuer for row in found}) == 2 and len({row.shown.casefold() for row in found}) == 1


def _named(connection: Connection, tenant: str, name: str, *, hold: bool = False) -> dict[str, Any] | None:
    account = tables.account
    wanted = select(account).where(account.c.tenant == tenant, account.c.name == name)
    return first(connection, wanted.with_for_update() if hold else wanted)


def _now() -> datetime:
    return datetime.now(UTC)
