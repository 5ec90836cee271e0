"""An error of the database may be printed, by whoever runs the service: it says what went wrong, and nothing of the record."""

from __future__ import annotations

import traceback
import uuid
from contextlib import closing

import pytest
from sqlalchemy import Executable, insert, text
from sqlalchemy.exc import DataError, IntegrityError

from cds.record import tables
from cds.record.database import Database, RecordUnavailable
from tests.record.postgresql import Cluster

REFERENCE, SALT = "Patient/jane-roe-1970", "5a17" * 16
ROW = {
    "id": "one", "tenant": "here", "server": "https://ehr.example", "reference": REFERENCE, "salt": SALT, "created": "",
}  # fmt: skip


def printed(database: Database, *statements: Executable, error: type[Exception]) -> str:
    """All that is printed of the error in which statements end."""

    def work() -> None:
        with database.writing() as connection:
            for statement in statements:
                connection.execute(statement)

    with pytest.raises(error) as raised:
        work()
    return "".join(traceback.format_exception(raised.value))


def test_a_row_that_cannot_be_written_is_not_printed(database: Database) -> None:
    twice = [insert(tables.patient).values(ROW | {"id": key}) for key in ("one", "two")]
    said = printed(database, *twice, error=IntegrityError)
    assert "INSERT INTO patient" in said
    assert "reference" in said  # the name of the column, or of the constraint
    assert (REFERENCE in said, SALT in said) == (False, False)
    nothing = insert(tables.patient).values(ROW | {"server": None})
    said = printed(database, nothing, error=IntegrityError)
    assert "server" in said
    assert (REFERENCE in said, SALT in said) == (False, False)


def test_what_is_asked_of_a_table_that_is_not_there_is_not_printed(database: Database) -> None:
    asked = text("SELECT salt FROM nowhere WHERE reference = :reference").bindparams(reference=REFERENCE)
    said = printed(database, asked, error=RecordUnavailable)
    assert "nowhere" in said
    assert REFERENCE not in said


def test_a_value_that_postgresql_cannot_read_is_not_printed(cluster: Cluster) -> None:
    """SQLite reads any."""
    with closing(Database(cluster.new(f"t{uuid.uuid4().hex}"), deadline=10)) as database:
        said = printed(database, text("SELECT CAST(:one AS integer)").bindparams(one=REFERENCE), error=DataError)
    assert "22P02" in said
    assert REFERENCE not in said
