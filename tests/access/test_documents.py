"""docs/sign-in.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from cds.record.passwords import LONGEST, SHORTEST
from cds.record.sessions import FAILURES
from cds.service.access.providers import ALGORITHMS, load_ways
from cds.service.access.roles import PERMITTED, ROLES, Role
from cds.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "sign-in.md").read_text(encoding="utf-8")


def test_its_table_of_roles_is_the_one_that_counts() -> None:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")]
    head = next(number for number, row in enumerate(rows) if row[0] == "act")
    assert tuple(rows[head][2:]) == ROLES
    told = {
        row[0].strip("`"): {role for role, cell in zip(ROLES, row[2:], strict=True) if cell == "yes"}
        for row in rows[head + 2 :][: len(PERMITTED)]
    }
    assert told == {act.value: {Role(role).value for role in roles} for act, roles in PERMITTED.items()}


def test_its_numbers_are_those_that_count() -> None:
    assert f"has {SHORTEST} to {LONGEST} characters" in PAGE
    assert FAILURES == 5
    assert "Five wrong passwords" in PAGE
    settings = Settings()
    assert (
        f"after {settings.session_idle_minutes} minutes without a request, and after {settings.session_hours} hours"
        in PAGE
    )
    for name in ("session_idle_minutes", "session_hours", "sign_in_file"):
        assert name in Settings.model_fields
        assert f"EXOWATCH_{name.upper()}" in PAGE
    for algorithm in ALGORITHMS:
        assert algorithm in PAGE


def test_its_example_can_be_used(tmp_path: Path) -> None:
    found = re.search(r"```yaml\n(.*?)```", PAGE, re.S)
    assert found is not None
    (tmp_path / "clinic.secret").write_text("x", encoding="utf-8")
    path = tmp_path / "sign-in.yaml"
    path.write_text(found[1], encoding="utf-8")
    ways = load_ways(path)
    assert [one.key for one in ways.providers] == ["clinic"]
    assert [one.iss for one in ways.ehrs] == ["https://ehr.example/fhir"]


def test_the_reasons_that_it_explains_are_those_of_the_log() -> None:
    source = "\n".join(
        path.read_text("utf-8") for path in (Path(__file__).parents[2] / "cds/service/access").glob("*.py")
    )
    table = PAGE[PAGE.index("| `why` |") :].splitlines()[2:]
    reasons = [line.split("|")[1].strip() for line in table if line.startswith("|")]
    assert len(reasons) > 5
    for reason in reasons:
        assert reason.partition(" (")[0] in source, reason
