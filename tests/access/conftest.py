"""A house to sign in to, for every test that asks for one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cds.record.database import Database
from tests.access.people import House
from tests.record.conftest import *  # noqa: F403 - the record on both databases


@pytest.fixture
def house(database: Database) -> House:
    return House(database).open()


@pytest.fixture
def near(tmp_path: Path) -> Iterator[House]:
    """One kind of database is enough where the record hardly matters."""
    found = Database(f"sqlite:///{tmp_path}/near.sqlite", deadline=10)
    with closing(found):
        found.upgrade()
        yield House(found).open()
