"""A connection to SQLite or PostgreSQL: transactions that serialise writers, and one error for a database that is away."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from cds.errors import ExowatchError

T = TypeVar("T")

_WRITER = "exowatch_writer"
_SCHEMA = 0x45584F53  # any number that nothing else in the database uses
_CONNECTIONS = 8
_PATIENCE = 3
"""How many deadlines a whole transaction may take, and a writer may wait for another."""
_SILENT = (1.0, 5.0)
"""Seconds for which a transaction that writes may say nothing to PostgreSQL, at least and at most; between them, its deadline: above
what a busy process needs to come back to it, and below what a writer waits."""


class RecordUnavailable(ExowatchError):
    """The database is away, slow, full or read-only: nothing was recorded, so nothing may be said.

    `cause` is what kind of fault the driver saw, for a log: no data.
    """

    def __init__(self, message: str, cause: str = ""):
        super().__init__(message)
        self.cause = cause or message


class SchemaMismatch(ExowatchError):
    """The database has another schema than this version needs; says what to do."""


class Database:
    """One database, for all threads of a process. `deadline`: the longest, in seconds, that anything here waits for it.

    Raises `ExowatchError` for an address that means neither SQLite nor PostgreSQL.
    """

    def __init__(self, address: str, *, deadline: float = 0.4):
        self._threads = ThreadPoolExecutor(_CONNECTIONS, thread_name_prefix="record")
        self._awaited = threading.local()  # .late: whether the caller of `in_time` has gone away
        try:
            self.url = make_url(address)
        except ArgumentError:
            raise ExowatchError(f"The database address cannot be read. {_ADDRESSES}") from None
        kind = self.url.get_backend_name()
        if kind not in ("sqlite", "postgresql"):
            raise ExowatchError(f"'{kind}' is no database that the record can use. {_ADDRESSES}")
        self.deadline = deadline
        self.is_sqlite = kind == "sqlite"
        self.engine = self._sqlite() if self.is_sqlite else self._postgresql()
        least, most = _SILENT
        patience, silent = _PATIENCE * max(self.deadline, least), min(max(self.deadline, least), most)
        self._patience = {"silent": str(int(silent * 1000)), "patience": str(int(patience * 1000))}
        self._closed = threading.Event()
        event.listen(self.engine, "checkin", self._closes)

    def close(self) -> None:
        """Close all connections: those at work, for which nobody waits here, once that is over."""
        self._closed.set()
        self.engine.dispose()
        self._threads.shutdown(wait=False)

    def _closes(self, connection: Any, record: Any) -> None:
        # One that comes back after `dispose` is of a pool that nobody has any more.
        if connection is not None and self._closed.is_set():
            record.invalidate()

    def in_time(self, work: Callable[[], T], longest: float | None = None) -> T:
        """What `work` gives, which may wait for the database at several places. Raises `RecordUnavailable` if that takes too long.

        `longest` is in seconds, for work that is known to be long; otherwise three deadlines.

        A server that has stopped without saying so holds a connection for ever: so another thread waits for it. What it
        wrote is rolled back if its caller has been told that nothing was recorded.
        """
        late = threading.Event()

        def awaited() -> T:
            self._awaited.late = late
            return work()

        working = self._threads.submit(awaited)
        done, _ = wait([working], _PATIENCE * self.deadline if longest is None else longest)
        if not done:
            late.set()
            working.cancel()
            raise RecordUnavailable("the database did not answer in time")
        return working.result()

    def asked(self, work: Callable[[Connection], T], longest: float | None = None) -> T:
        """What `work` reads, all of it as of one moment, in time: see `in_time`. Raises `RecordUnavailable`."""

        def reading() -> T:
            with self.reading() as connection:
                return work(connection)

        return self.in_time(reading, longest)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that writes: committed at the end, rolled back by any error. Raises `RecordUnavailable`.

        On PostgreSQL one that says nothing for a while (see `_SILENT`) loses its locks and its connection: a host that hangs in
        the midst of it would otherwise keep all others from writing for as long as it hangs.
        """
        with self._transaction({_WRITER: True}) as connection:
            if not self.is_sqlite:
                connection.execute(_AMONG_WRITERS, self._patience)
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads, all of it as of one moment. Raises `RecordUnavailable`."""
        options = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with self._transaction(options) as connection:
            yield connection

    @contextmanager
    def _transaction(self, options: dict[str, Any]) -> Iterator[Connection]:
        try:
            with self.engine.connect().execution_options(**options) as connection, connection.begin():
                yield connection
                late: threading.Event | None = getattr(self._awaited, "late", None)
                if late is not None and late.is_set():
                    raise RecordUnavailable("the database answered too late")
        except PoolTimeout as error:
            raise RecordUnavailable("the database is busy: no connection became free in time") from error
        except DBAPIError as error:
            if _is_ours(error):
                raise
            cause = _cause(error)
            raise RecordUnavailable(
                f"the database does not answer as it should ({cause}){_hint(error)}", cause
            ) from error

    def forget(self) -> None:
        """Leave nothing of what was deleted in SQLite's log beside the database; raises `RecordUnavailable` if it is in use."""
        if self.is_sqlite:
            with self.engine.connect() as connection:
                driver = connection.connection.driver_connection
                busy = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] if driver is not None else 0
            if busy:
                raise RecordUnavailable(
                    "what was erased is gone from the record, but SQLite's log could not be emptied while others read: run "
                    "`exowatch db backup`, or stop the service for a moment and start it again"
                )

    # schema --------------------------------------------------------------------------------------------------------

    def upgrade(self, revision: str = "head") -> None:
        """Bring the schema to `revision`. Raises `RecordUnavailable`."""
        with self._transaction({_WRITER: True}) as connection:
            self.lock(connection, _SCHEMA)  # of several hosts that are told so at once the others find it done
            command.upgrade(migrations(connection), revision)

    def downgrade(self, revision: str) -> None:
        """Bring the schema back to `revision`; data that it has no place for are lost."""
        with self._transaction({_WRITER: True}) as connection:
            command.downgrade(migrations(connection), revision)

    def revision(self) -> str | None:
        """The schema's revision; None for an empty database."""
        with self.reading() as connection:
            return MigrationContext.configure(connection).get_current_revision()

    def check(self) -> None:
        """Raises `SchemaMismatch` unless the schema is the one that this version needs, `RecordUnavailable` if it is away."""
        found, needed = self.revision(), head()
        if found is None:
            raise SchemaMismatch("The database is empty. Run `exowatch db upgrade`")
        if found != needed:
            raise SchemaMismatch(
                f"The database has schema {found}, this version needs {needed}. Run `exowatch db upgrade`; if the schema "
                "is the newer one, run the version of Exowatch that made it"
            )

    # connections ---------------------------------------------------------------------------------------------------

    def _sqlite(self) -> Engine:
        if self.url.database in (None, "", ":memory:"):
            raise ExowatchError("The record needs a file: a database in memory forgets what was advised")
        engine = create_engine(
            self.url,
            poolclass=QueuePool,
            pool_size=_CONNECTIONS,
            max_overflow=0,
            pool_timeout=self.deadline,
            connect_args={"timeout": self.deadline, "check_same_thread": False},
            hide_parameters=True,
        )

        @event.listens_for(engine, "connect")
        def settle(connection: Any, _record: Any) -> None:
            connection.isolation_level = None  # the driver begins no transaction of its own: see `begin`
            cursor = connection.cursor()
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            # A writer takes the lock at once: one that upgrades from reading can fail at its first write.
            writes = connection.get_execution_options().get(_WRITER)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

        return engine

    def _postgresql(self) -> Engine:
        milliseconds = max(1, int(self.deadline * 1000))
        engine = create_engine(
            self.url.set(drivername="postgresql+psycopg"),
            pool_size=_CONNECTIONS,
            max_overflow=0,
            pool_timeout=self.deadline,
            pool_pre_ping=True,
            connect_args={
                "connect_timeout": 2,
                "tcp_user_timeout": max(2000, milliseconds),
                "options": f"-c statement_timeout={milliseconds} -c lock_timeout={milliseconds} -c timezone=UTC",
            },
            hide_parameters=True,
        )
        event.listen(engine, "handle_error", _without_data)
        return engine

    def lock(self, connection: Connection, what: int) -> None:
        """Let only one transaction at a time pass, until it ends; a writer of SQLite is alone anyway."""
        if not self.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:what)"), {"what": what})

    def lock_if_free(self, connection: Connection, what: int) -> bool:
        """The same where nobody waits: whether this transaction is the one."""
        if self.is_sqlite:
            return True
        return bool(connection.execute(text("SELECT pg_try_advisory_xact_lock(:what)"), {"what": what}).scalar_one())


_AMONG_WRITERS = text(
    "SELECT set_config('idle_in_transaction_session_timeout', :silent, true), set_config('lock_timeout', :patience, true), "
    "set_config('statement_timeout', :patience, true)"
)
_ADDRESSES = "Write sqlite:///file.sqlite, or postgresql://user@host/name"


def migrations(connection: Connection | None = None) -> Config:
    """Alembic's configuration, for a connection if it is to change something."""
    here = Path(__file__).resolve()
    packaged = here.parents[1] / "_data" / "migrations"
    config = Config()
    config.set_main_option("script_location", str(packaged if packaged.is_dir() else here.parents[2] / "migrations"))
    config.attributes["connection"] = connection
    return config


def head() -> str:
    """The revision that this version needs."""
    found = ScriptDirectory.from_config(migrations()).get_current_head()
    assert found is not None  # there is always a first revision
    return found


_DATA = "22"
"""The class of SQLSTATE in which a message repeats the value that it is about."""


def _without_data(context: ExceptionContext) -> None:
    """Take what PostgreSQL repeats of a row (its DETAIL, mostly) from an error: it may be printed."""
    original, wrapped = context.original_exception, context.sqlalchemy_exception
    code = getattr(original, "sqlstate", None)
    if code == _ENDED:  # of one transaction, and not of the others that its process has
        context.is_disconnect, context.invalidate_pool_on_disconnect = True, False
    if code is None or wrapped is None:
        return  # of the driver or the connection, which know no row
    primary = getattr(getattr(original, "diag", None), "message_primary", None)
    said = code if primary is None or code.startswith(_DATA) else f"{code} {primary}"
    original.args = (said,)
    wrapped.args = (f"({type(original).__name__}) {said}",)


_ENDED = "25P03"  # a transaction said nothing for too long
_NOT_SET_UP = ("42501", "42P01", "42703")  # a privilege, a table or a column that is not there


def _is_ours(error: DBAPIError) -> bool:
    """Whether an error says that we wrote nonsense, not that the database is away or not set up for us."""
    if getattr(error.orig, "sqlstate", None) in _NOT_SET_UP:
        return False
    return type(error).__name__ in ("IntegrityError", "ProgrammingError", "DataError", "NotSupportedError")


def _hint(error: DBAPIError) -> str:
    """The next step, where the kind of fault tells it."""
    if getattr(error.orig, "sqlstate", None) == "42501":
        return ". Its role may not do this: run it as the owner of the tables, or see migrations/least-privilege.sql"
    if getattr(error.orig, "sqlstate", None) == _ENDED:
        return ". This process was silent for too long in the midst of writing: it was stopped, or its machine is overloaded"
    if type(error).__name__ == "OperationalError":
        return ". Is it running, with room on its disk, and is EXOWATCH_DATABASE_URL right?"
    return ""


def _cause(error: DBAPIError) -> str:
    """What kind of fault it is, without any of the data that were to be written."""
    original = error.orig
    code = getattr(original, "sqlstate", None) or getattr(original, "sqlite_errorname", None)
    return f"{type(original).__name__}{f' {code}' if code else ''}"
