"""The PostgreSQL of these tests orders text by a language, as a hospital's does; what is listed is the same on both databases."""

from __future__ import annotations

import psycopg

from cds.record.accounts import Accounts
from cds.record.database import Database
from tests.record.postgresql import Cluster


def test_text_is_ordered_by_a_language(cluster: Cluster) -> None:
    with psycopg.connect(cluster.address("postgres")) as connection:
        row = connection.execute("SELECT 'a' < 'B', 'Ä' < 'b', 'a-b' < 'aa'").fetchone()
    assert row is not None
    assert row[:2] == (True, True)  # byte by byte neither is so


def test_accounts_are_listed_alike(database: Database) -> None:
    accounts = Accounts(database)
    names = ["a.b", "a-b", "ab", "a1", "z+1", "a_b", "b@c", "a@c"]
    for name in names:
        accounts.add("default", name, "correct horse battery staple", ["reader"], "tests")
    assert [one.name for one in accounts.listed("default")] == sorted(names)
