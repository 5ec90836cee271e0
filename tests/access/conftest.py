"""A house to sign in to, for every test that asks for one; and one that a provider vouches for people in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cds.record.database import Database
from tests.access.clinic import Clinic
from tests.access.people import House


@pytest.fixture
def house(database: Database) -> House:
    return House(database).open()


@pytest.fixture
def near(sqlite: Database) -> House:
    """One kind of database is enough where the record hardly matters."""
    return House(sqlite).open()


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., Clinic]]:
    with ExitStack() as stack:
        yield lambda database, **options: Clinic(database, tmp_path, stack, **options)


@pytest.fixture
def clinic(sqlite: Database, opened: Callable[..., Clinic]) -> Clinic:
    return opened(sqlite)
