"""The record as one file, and back: SQLite by its own online backup, PostgreSQL by its own tools."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from cds.errors import ExowatchError
from cds.record.database import Database


class BackupFailed(ExowatchError):
    """The backup or the restore did not work; nothing was put in the place of what was there."""


def backup(database: Database, target: Path) -> None:
    """Write a consistent copy while the service runs. Raises `BackupFailed` if the file exists or cannot be written."""
    if target.exists():
        raise BackupFailed(f"{target} exists. Name another file: a backup never writes over one")
    partial = target.with_name(target.name + ".partial")
    try:
        if database.is_sqlite:
            with closing(sqlite3.connect(_file(database))) as source, closing(sqlite3.connect(partial)) as copy:
                source.backup(copy)
        else:
            _run(database, "pg_dump", "--format=custom", f"--file={partial}")
        partial.replace(target)
    except (OSError, sqlite3.Error) as error:
        raise BackupFailed(f"The backup to {target} failed: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


def restore(database: Database, source: Path) -> None:
    """Put a backup in place of an empty or missing database. Raises `BackupFailed` if there is something in it."""
    if not source.exists():
        raise BackupFailed(f"{source}: no such file")
    if database.is_sqlite:
        _restore_sqlite(database, source)
    else:
        if database.revision() is not None:
            raise BackupFailed(
                "The database is not empty. Restore into a new one, and change the address of the record"
            )
        _run(database, "pg_restore", "--exit-on-error", "--single-transaction", "--no-owner", str(source))
    database.check()


def _restore_sqlite(database: Database, source: Path) -> None:
    target = _file(database)
    if target.exists() and target.stat().st_size:
        raise BackupFailed(
            f"{target} exists. Move it away first, with its -wal and -shm files: nothing is written over"
        )
    partial = target.with_name(target.name + ".partial")
    try:
        with closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)) as copy:
            found = copy.execute("PRAGMA integrity_check").fetchone()
        if found != ("ok",):
            raise BackupFailed(f"{source} is damaged: {found[0]}")
        shutil.copyfile(source, partial)
        partial.replace(target)
    except (OSError, sqlite3.Error) as error:
        raise BackupFailed(f"{source} cannot be restored: {error}. Is it a backup of an embedded database?") from error
    finally:
        partial.unlink(missing_ok=True)


def _file(database: Database) -> Path:
    return Path(str(database.url.database))


def _run(database: Database, program: str, *options: str) -> None:
    """A tool of PostgreSQL; the address goes by its environment, never by a command line that others can read."""
    found = shutil.which(program)
    if found is None:
        raise BackupFailed(f"{program} is not installed (Debian: apt-get install postgresql-client)")
    url = database.url
    named: Mapping[str, str | None] = {
        "PGHOST": url.host, "PGPORT": str(url.port) if url.port else None, "PGUSER": url.username,
        "PGPASSWORD": str(url.password) if url.password else None, "PGDATABASE": url.database,
    }  # fmt: skip
    for option in ("host", "port", "user", "password", "sslmode", "sslrootcert", "sslcert", "sslkey"):
        if isinstance(stated := url.query.get(option), str):  # a socket's folder can only stand here
            named = {**named, f"PG{option.upper()}": stated}
    environment = {**os.environ, **{name: value for name, value in named.items() if value}}
    target = ("--dbname", str(url.database)) if program == "pg_restore" else ()
    done = subprocess.run(  # noqa: S603 - a tool of PostgreSQL, without a shell
        [found, *options[:-1], *target, *options[-1:]], env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise BackupFailed(
            f"{program} failed: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'no reason given'}"
        )
