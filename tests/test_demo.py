"""The demo writes into a folder of its own, and its board decided on the day on which it met."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from sqlalchemy import select

from cds.record import tables
from cds.record.accounts import Accounts
from cds.record.database import Database
from tests.test_cli import exowatch


def test_a_folder_with_a_record_in_it_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "exowatch.sqlite"
    with closing(Database(f"sqlite:///{file}", deadline=10)) as database:
        database.upgrade()
        Accounts(database).add("default", "real-chair", "correct horse battery staple", ["chair"], "tests")
    (tmp_path / "demo.sqlite").write_text("somebody else's", encoding="utf-8")
    done = exowatch("demo", "--once", "--out", str(tmp_path))
    assert (done.returncode, "did not write" in done.stderr) == (2, True), done.stderr
    assert sorted(one.name for one in tmp_path.glob("[!.]*.sqlite")) == ["demo.sqlite", "exowatch.sqlite"]
    assert (tmp_path / "demo.sqlite").read_text(encoding="utf-8") == "somebody else's"
    with closing(Database(f"sqlite:///{file}", deadline=10)) as database:
        assert [one.name for one in Accounts(database).listed("default")] == ["real-chair"]


def test_the_folder_of_a_demo_before_is_made_anew(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    out.mkdir()
    (out / ".exowatch-demo").touch()
    (out / "demo.sqlite").write_text("of a demo that was broken off", encoding="utf-8")
    done = exowatch("demo", "--once", "--out", str(out))
    assert done.returncode == 0, done.stderr
    with closing(Database(f"sqlite:///{out}/demo.sqlite", deadline=10)) as database, database.reading() as connection:
        wanted = select(tables.disposition.c.at, tables.meeting.c.day).join(
            tables.meeting, tables.meeting.c.id == tables.disposition.c.meeting_id
        )
        found = connection.execute(wanted).all()
    assert len(found) >= 3
    assert [row.at[:10] for row in found] == [row.day for row in found]


def test_the_rules_of_a_site_are_asked_if_they_are_named(tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "resistance").mkdir(parents=True)
    (site / "overlay.yaml").write_text("overlay: site\n", encoding="utf-8")
    (site / "resistance/trpc5-rise-on-chemotherapy.yaml").write_text("status: retired\n", encoding="utf-8")
    done = exowatch("demo", "--once", "--out", str(tmp_path / "demo"), "--rules", str(site))
    assert done.returncode == 0, done.stderr
    assert "These rules show no card for the example" in done.stdout
    found = Database(f"sqlite:///{tmp_path}/demo/demo.sqlite", deadline=10)
    with closing(found) as database, database.reading() as connection:
        asked = set(connection.execute(select(tables.advisory.c.question)).scalars())
    assert "hotair-after-surgery" in asked
    assert "trpc5-rise-on-chemotherapy" not in asked
