"""An export that is not whole: what it lacks turns findings into others, so it is said of every one, and nothing is recorded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest

from cds.errors import InputError
from cds.record.database import Database
from cds.record.listing import advisories
from cds.screening.plan import Destination
from tests.screening.exports import DAY, Json, lines, patients, screened, write
from tests.test_cli import exowatch

SERVER = "https://ehr.example/fhir"
MEDICATIONS = ("MedicationRequest", "MedicationAdministration", "MedicationStatement", "MedicationDispense")


def without(*kinds: str, count: int = 40) -> list[Json]:
    return [one for one in patients(count, seed=5) if one["resourceType"] not in kinds]


@pytest.mark.parametrize(
    ("kinds", "what"), [(("Condition",), "Condition"), (("Procedure",), "Procedure"), (MEDICATIONS, "medication")]
)
def test_what_rules_ask_about_and_is_not_there_at_all_is_named(
    tmp_path: Path, kinds: tuple[str, ...], what: str
) -> None:
    export = write(tmp_path / "export", without(*kinds))
    done = exowatch("screen", str(export), "--out", str(tmp_path / "out"), "--as-of", DAY)
    assert done.returncode == 1
    assert f"there is no {what} in the export, and no manifest that says what is" in done.stdout
    assert "findings of ANY patient may be wrong" in done.stdout
    assert "findings of any patient may be wrong" in (tmp_path / "out" / "summary.html").read_text(encoding="utf-8")
    notes = parquet.read_table(tmp_path / "out" / "findings.parquet")["notes"].to_pylist()
    assert notes
    assert all("export-not-whole" in one for one in notes)


def test_of_a_whole_export_nothing_of_the_kind_is_said(tmp_path: Path) -> None:
    export = write(tmp_path / "export", without())
    done = exowatch("screen", str(export), "--out", str(tmp_path / "out"), "--as-of", DAY)
    assert (done.returncode, "may be wrong" in done.stdout) == (0, False), done.stdout
    assert "may be wrong" not in (tmp_path / "out" / "summary.html").read_text(encoding="utf-8")
    notes = parquet.read_table(tmp_path / "out" / "findings.parquet")["notes"].to_pylist()
    assert not any("export-not-whole" in one for one in notes)


def manifest(export: Path, **stated: Any) -> None:
    names = sorted(path.name for path in export.glob("*.ndjson"))
    output = [{"type": name.partition(".")[0], "url": f"https://a.example/{name}"} for name in names]
    (export / "manifest.json").write_text(json.dumps({"output": output, **stated}), "utf-8")


ASKED = "Patient,Observation,Condition,MedicationRequest"


@pytest.mark.parametrize(
    ("stated", "missing"),
    [
        ({}, []),  # it lists all that there is: there are no operations
        ({"request": "https://a.example/fhir/$export"}, []),
        ({"request": f"https://a.example/fhir/$export?_type={ASKED}%2CProcedure"}, []),
        ({"request": f"https://a.example/fhir/$export?_type={ASKED}&_type=Procedure"}, []),
        ({"request": f"https://a.example/fhir/$export?_type={ASKED}"}, ["there is no Procedure in the export: the server was not asked for any"]),
        ({"request": {"types": ASKED.split(",")}}, ["there is no Procedure in the export: the server was not asked for any"]),
    ],
)  # fmt: skip
def test_a_manifest_says_whether_there_is_none_or_none_was_asked_for(
    tmp_path: Path, stated: Json, missing: list[str]
) -> None:
    export = write(tmp_path / "export", without("Procedure", count=10))
    manifest(export, **stated)
    assert screened(export, tmp_path / "out").missing == missing


def _less(export: Path) -> None:
    (export / "Procedure.0000.ndjson").unlink()


def _more(export: Path) -> None:
    (export / "Procedure.0001.ndjson.zst").write_bytes(b"(\xb5/\xfd")


def _error(export: Path) -> None:
    manifest(export, error=[{"type": "OperationOutcome", "url": "https://a.example/error.ndjson"}])


@pytest.mark.parametrize("harm", [_less, _more, _error])
def test_nothing_of_it_is_recorded_unless_whoever_calls_knows_better(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, harm: Callable[[Path], None]
) -> None:
    monkeypatch.setenv("EXOWATCH_DATABASE_URL", address)
    monkeypatch.setenv("EXOWATCH_CHECKPOINT_FILE", str(tmp_path / "checkpoints.jsonl"))
    export = write(tmp_path / "export", without())
    harm(export)
    to = Destination(SERVER, "default")
    with pytest.raises(InputError, match=r"not whole \(.*--accept-gaps"):
        screened(export, tmp_path / "out", as_of=None, record=to)
    assert not advisories(database, "default")
    found = screened(export, tmp_path / "out", as_of=None, record=to, accept_gaps=True)
    assert (found.has_gaps, found.recorded > 0) == (True, True)
    assert advisories(database, "default")


def test_whose_patient_resource_is_missing_is_named(tmp_path: Path) -> None:
    (first, *_) = (one["id"] for one in without() if one["resourceType"] == "Patient")
    export = write(tmp_path / "export", [one for one in without() if one.get("id") != first])
    assert screened(export, tmp_path / "out").nameless == 1
    named = [one for one in lines(tmp_path / "out" / "not-used.ndjson") if "no Patient resource" in one["reason"]]
    assert [one["patient"] for one in named] == [f"Patient/{first}"]


def test_how_many_of_what_warns_rest_on_an_old_sample_is_said(tmp_path: Path) -> None:
    export = write(tmp_path / "export", without())
    done = exowatch("screen", str(export), "--out", str(tmp_path / "out"), "--as-of", DAY)
    rows = parquet.read_table(tmp_path / "out" / "findings.parquet").to_pylist()
    shown = [one for one in rows if one["state"] == "suspected" and one["shown"]]
    old = [one for one in shown if "stale" in one["notes"]]
    assert old
    assert f"suspected, shown: {len(shown)}; of {len(old)} of them the newest sample is old" in done.stdout
    page = (tmp_path / "out" / "summary.html").read_text(encoding="utf-8")
    assert f"of {len(old)} the newest sample is old" in page


@pytest.mark.parametrize(
    ("out", "how", "said"),
    [
        ("export/findings", {}, "not to lie in the folder of the export"),
        ("out", {"as_of": "2050-01-01"}, "2050-01-01 has not come yet"),
    ],
)
def test_what_would_spoil_the_next_run_or_has_not_come_is_refused(
    tmp_path: Path, out: str, how: Json, said: str
) -> None:
    export = write(tmp_path / "export", without(count=2))
    with pytest.raises(InputError, match=said):
        screened(export, tmp_path / out, **how)
    assert not (tmp_path / out).exists()
