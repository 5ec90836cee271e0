"""The same answer everywhere: hook, `evaluate`, processes, a cluster. `python -m tests.screening.everywhere --patients 10000`."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from sqlalchemy import select
from starlette.testclient import TestClient

from cds import terminal
from cds.reasoning.reasoner import Reasoner
from cds.record import tables
from cds.record.content import canonical_bytes, encoded, unpacked
from cds.record.database import Database
from cds.record.recorder import Recorder
from cds.service.app import create_app
from cds.settings import Settings
from cds.workbench.synth.requests import hook_request
from tests.screening.clusters import Dask
from tests.screening.exports import BOOK, by_patient, patients, write
from tests.test_cli import exowatch


def by_hook(folder: Path, count: int, seed: int) -> bytes:
    """What the record holds after a chart of each patient was opened: their findings, in the order of their ids."""
    database = Database(f"sqlite:///{folder}/record.sqlite", deadline=30)
    database.upgrade()
    app = create_app(Settings(open_mode=True, max_resources=100_000), Reasoner(BOOK), recorder=Recorder(database, BOOK))
    (service,) = (one for one in app.state.desk.discovery()["services"] if one["hook"] == "patient-view")
    http = TestClient(app, base_url="http://localhost", client=("127.0.0.1", 5))
    for first in range(0, count, 500):
        for theirs in by_patient(patients(min(500, count - first), seed, first)).values():
            bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": one} for one in theirs]}
            answered = http.post(f"/cds-services/{service['id']}", json=hook_request(bundle, service))
            assert answered.status_code == 200, answered.text
    with database.reading() as connection:
        found = connection.execute(
            select(tables.patient.c.reference, tables.evaluation.c.findings).join(
                tables.patient, tables.patient.c.id == tables.evaluation.c.patient_id
            )
        ).all()
    database.close()
    stored = ((reference, unpacked(findings), canonical_bytes(findings)) for reference, findings in found)
    measured = [(whose, content) for whose, plain, content in stored if plain["answers"] or plain["silent"]]
    return b"".join(content + b"\n" for _, content in sorted(measured))


def stored_form(findings: bytes) -> bytes:
    """Lines of findings as a record stores them: without whose they are and what is shown."""
    kept = []
    for line in findings.splitlines():
        plain = unpacked_line(line)
        kept.append(encoded({name: value for name, value in plain.items() if name not in ("patient", "shown")}) + b"\n")
    return b"".join(kept)


def unpacked_line(line: bytes) -> dict[str, object]:
    from decimal import Decimal

    import msgspec

    found: dict[str, object] = msgspec.json.Decoder(float_hook=Decimal).decode(line)
    return found


def everywhere(
    folder: Path, count: int, workers: tuple[int, ...], seed: int = 21
) -> Iterator[tuple[str, bytes, float]]:
    """Of each way its findings, as a record stores them, and the seconds that it took; the first is `evaluate`."""
    export = write(folder / "export", patients(count, seed), order=seed, files=2)
    whole = folder / "whole.ndjson"
    with whole.open("wb") as out:
        for file in sorted(export.iterdir()):
            out.write(file.read_bytes())
    begun = time.monotonic()
    done = exowatch("evaluate", str(whole), "--findings")
    assert done.returncode == 0, done.stderr
    evaluated = sorted(done.stdout.encode().splitlines(), key=lambda line: json.loads(line)["patient"])
    measured = [line + b"\n" for line in evaluated if (plain := json.loads(line))["answers"] or plain["silent"]]
    yield "evaluate", stored_form(b"".join(measured)), time.monotonic() - begun
    begun = time.monotonic()
    yield "hook", by_hook(folder, count, seed), time.monotonic() - begun
    for number in (1, 2):
        begun = time.monotonic()
        found = _screened(export, folder / f"processes-{number}", "--workers", str(number))
        assert found == b"".join(measured)  # with whose they are and what is shown: the very lines
        yield f"screen, {number} processes", stored_form(found), time.monotonic() - begun
    for number in workers:
        with Dask(folder / f"dask-{number}", number) as dask:
            begun = time.monotonic()
            found = _screened(export, folder / f"cluster-{number}", "--cluster", dask.address)
            yield f"screen, Dask, {number} workers", stored_form(found), time.monotonic() - begun


def _screened(export: Path, out: Path, *options: str) -> bytes:
    done = exowatch("screen", str(export), "--out", str(out), *options)
    assert done.returncode == 0, done.stderr
    return (out / "findings.ndjson").read_bytes()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=10_000)
    count = parser.parse_args().patients
    day, digests = date.today(), set()
    with tempfile.TemporaryDirectory() as folder:
        for way, findings, seconds in everywhere(Path(folder), count, (1, 2, 4)):
            digest = hashlib.sha256(findings).hexdigest()
            digests.add(digest)
            terminal.say(
                f"{way:<24} {len(findings.splitlines()):>7,} patients {len(findings):>12,} bytes  {digest[:16]}  {seconds:6.1f} s"
            )
    if date.today() != day:
        terminal.say("the day changed meanwhile: run it again", error=True)
        return 1
    terminal.say("identical" if len(digests) == 1 else "NOT IDENTICAL")
    return 0 if len(digests) == 1 else 1


if __name__ == "__main__":
    sys.exit(main())
