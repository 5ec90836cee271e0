"""Migrations: up, down and up again with rows in every table, on both databases; models and migrations agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pytest_alembic.config import Config
from pytest_alembic.runner import MigrationContext, runner
from pytest_alembic.tests import (
    test_model_definitions_match_ddl as models_match,
)
from pytest_alembic.tests import (
    test_single_head_revision as single_head,
)
from pytest_alembic.tests import (
    test_up_down_consistency as up_and_down,
)
from pytest_alembic.tests import (
    test_upgrade as upgrade_works,
)
from sqlalchemy import inspect, literal_column, select, table

from cds.record import tables
from cds.record.database import Database, SchemaMismatch, head, migrations
from cds.record.recorder import Recorder
from tests.record.visits import REASONER, visit


@pytest.fixture
def context(connect: Callable[[], Database]) -> Iterator[MigrationContext]:
    database = connect()
    with runner(Config(alembic_config=migrations()), database.engine) as found:
        yield found


@pytest.mark.parametrize("check", [single_head, upgrade_works, models_match, up_and_down])
def test_the_four_checks_of_pytest_alembic(
    context: MigrationContext, check: Callable[[MigrationContext], None]
) -> None:
    check(context)


def test_down_and_up_with_rows_in_every_table(database: Database) -> None:
    visit(Recorder(database, REASONER.rulebook), "A29", "2025-04-28")
    database.downgrade("base")
    with database.reading() as connection:
        assert inspect(connection).get_table_names() in ([], ["alembic_version"])
    database.upgrade()
    assert database.revision() == head()
    visit(Recorder(database, REASONER.rulebook), "A29", "2025-04-28")
    with database.reading() as connection:
        assert len(connection.execute(select(tables.evaluation.c.id)).all()) == 1


@pytest.mark.parametrize("revision", ["0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010"])
def test_a_step_down_and_up_keeps_every_row_that_there_is_a_place_for(database: Database, revision: str) -> None:
    visit(Recorder(database, REASONER.rulebook), "A29", "2025-04-28")

    def shape() -> dict[str, list[str]]:
        with database.reading() as connection:
            found = inspect(connection)
            return {name: [one["name"] for one in found.get_columns(name)] for name in found.get_table_names()}

    def rows(columns: dict[str, list[str]]) -> dict[str, list[dict[str, Any]]]:
        """What stands in those columns."""
        with database.reading() as connection:
            return {
                name: [
                    dict(row)
                    for row in connection.execute(
                        select(*(literal_column(f'"{one}"').label(one) for one in own)).select_from(table(name))
                    ).mappings()
                ]
                for name, own in columns.items()
                if name != "alembic_version"
            }

    def of(columns: dict[str, list[str]], found: dict[str, list[dict[str, Any]]]) -> dict[str, list[str]]:
        return {
            name: sorted(repr([row[column] for column in own]) for row in found[name])
            for name, own in columns.items()
            if name != "alembic_version"
        }

    full = shape()
    before = rows(full)
    database.downgrade(revision)
    assert database.revision() == revision
    old = shape()
    assert of(old, rows(old)) == of(old, before)
    database.upgrade()
    assert (database.revision(), shape()) == (head(), full)
    assert of(old, rows(full)) == of(old, before)
    assert any(before.values())


def test_an_empty_or_other_schema_is_named(connect: Callable[[], Database]) -> None:
    database = connect()
    with pytest.raises(SchemaMismatch, match=r"empty\. Run `exowatch db upgrade`"):
        database.check()
    database.upgrade()
    database.check()
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'ffff'")
    with pytest.raises(SchemaMismatch, match="has schema ffff, this version needs"):
        database.check()
