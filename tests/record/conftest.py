"""The record on both databases: every test that asks for `database` runs on SQLite and on PostgreSQL."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
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
def database(connect: Callable[[], Database]) -> Database:
    """A database with the present schema."""
    found = connect()
    found.upgrade()
    return found
