"""Transactions that leave an entry in the audit, and entries about what was only looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection, select

from cds.record import tables
from cds.record.audit import Checkpoints, Entry, append, salted
from cds.record.database import Database
from cds.record.identity import NoSuchPatient

T = TypeVar("T")


class Trail:
    """Writes with an audit entry, within the database's deadline; safe to share between threads."""

    def __init__(self, database: Database, checkpoints: Checkpoints | None = None):
        self.database = database
        self._checkpoints = checkpoints

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
