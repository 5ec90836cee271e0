"""The record on both databases: every test that asks for `database` runs on SQLite and on PostgreSQL."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cds.record.database import Database
from tests.record.postgresql import Cluster, binaries

KINDS = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    programs = binaries()
    if programs is None:
        if os.environ.get("CI"):
            pytest.fail("CI is to have PostgreSQL: see .ci/run")
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    found = Cluster(programs)
    yield found
    found.stop()


@pytest.fixture(params=KINDS)
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a new, empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/record.sqlite"
    found: Cluster = request.getfixturevalue("cluster")
    return found.new(f"t{uuid.uuid4().hex}")


@pytest.fixture
def connect(address: str) -> Iterator[Callable[[], Database]]:
    """Opens the database; each call gives connections of their own, as another process has them."""
    opened: list[Database] = []

    def connect() -> Database:
        opened.append(Database(address, deadline=10))
        return opened[-1]

    yield connect
    for database in opened:
        database.close()


@pytest.fixture
def database(address: str, request: pytest.FixtureRequest, connect: Callable[[], Database]) -> Database:
    """A database with the present schema: a copy of one that was migrated once, as `test_migrations` does again and again."""
    kind, _, place = address.partition(":///")
    if kind == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_file"), place)
        return connect()
    found: Cluster = request.getfixturevalue("cluster")
    found.fill(address.rpartition("/")[2])
    return connect()


@pytest.fixture
def sqlite(tmp_path: Path, migrated_file: Path) -> Iterator[Database]:
    """One kind of database is enough where the record hardly matters."""
    place = tmp_path / "near.sqlite"
    shutil.copy(migrated_file, place)
    with closing(Database(f"sqlite:///{place}", deadline=10)) as found:
        yield found


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("migrated") / "record.sqlite"
    made = Database(f"sqlite:///{path}", deadline=10)
    made.upgrade()
    made.close()
    return path
