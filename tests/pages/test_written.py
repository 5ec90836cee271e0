"""Pages write days, powers of ten and units as clinicians do, whoever the patient is."""

from __future__ import annotations

import re
from pathlib import Path

from cds.record.database import Database
from tests.pages.boards import House, text_of
from tests.patients.archetypes import patients

MACHINE = re.compile(
    r"\b\d{4}-\d\d-\d\d\b|(?<![\da-f])\d+(?:\.\d+)?[eE][-+]?\d+(?![\da-f])|10\*|\{|\bNone\b|\bnan\b|\binf\b"
)


def test_nothing_is_written_as_programs_write_it(migrated_file: Path, tmp_path: Path) -> None:
    place = tmp_path / "record.sqlite"
    place.write_bytes(migrated_file.read_bytes())
    house = House(Database(f"sqlite:///{place}", deadline=10))
    pages = ["/board", *(f"/board/patients/{house.visit(one.id, family=one.id)}" for one in patients())]
    browser = house.browser("chair")
    for path in pages:
        said = text_of(re.sub(r"<code>.*?</code>|<title>.*?</title>", " ", browser.get(path), flags=re.S))
        assert MACHINE.findall(said) == [], said
    assert len({*pages}) > 30
    house.database.close()
