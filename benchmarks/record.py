"""What recording costs, and how the record grows: throughput with and without it, and queries on a million evaluations.

Both are measured in one run, on SQLite and on PostgreSQL if it is installed. Run by `make bench`.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import insert, select, text

from benchmarks.evaluate import AS_OF, bundles
from cds.advice.statements import Advisor
from cds.chart import read
from cds.reasoning.loading import default_rulebook
from cds.reasoning.reasoner import Reasoner
from cds.record import content, tables
from cds.record.audit import instant
from cds.record.database import Database
from cds.record.identity import Identity, identified
from cds.record.listing import advisories, history
from cds.record.recorder import Asked, Recorder
from tests.record.postgresql import Cluster, binaries

_BATCH = 5_000


def addresses(folder: Path, cluster: Cluster | None) -> Iterator[tuple[str, str]]:
    yield "SQLite", f"sqlite:///{folder / 'bench.sqlite'}"
    if cluster is not None:
        yield "PostgreSQL", cluster.new(f"bench{uuid.uuid4().hex[:8]}")


def on_each(measure: Callable[[Database], None]) -> None:
    """Measure on a new, empty database of each kind that is here."""
    programs = binaries()
    cluster = Cluster(programs) if programs is not None else None
    try:
        with tempfile.TemporaryDirectory() as folder:
            for kind, address in addresses(Path(folder), cluster):
                print(kind)
                with closing(Database(address, deadline=600)) as database:
                    database.upgrade()
                    measure(database)
    finally:
        if cluster is not None:
            cluster.stop()


def cost(reasoner: Reasoner, database: Database, data: Sequence[bytes]) -> None:
    """Evaluations a second without and with the record, one after the other in each round."""
    advisor, recorder = Advisor(reasoner.rulebook), Recorder(database, reasoner.rulebook)

    def evaluated(item: bytes) -> Asked:
        inputs = orjson.loads(item)
        evaluation = reasoner.evaluate(read(item, reasoner.rulebook.catalogue).as_of(AS_OF))
        who = Identity("bench", "", evaluation.chart.patient)
        return Asked(who, inputs, "2026-06-30", "bench", evaluation, advisor.advisories(evaluation))

    off, on = [], []
    for _ in range(3):
        off.append(_seconds(evaluated, data))
        on.append(_seconds(lambda item: recorder.record(evaluated(item)), data))
    ratio = statistics.median(a / b for a, b in zip(off, on, strict=True))
    print(
        f"  throughput with recording = {ratio:.2f} x that without ({len(data) / min(on):,.0f} and {len(data) / min(off):,.0f} a "
        "second, one thread, each record on disk before the answer)"
    )


def _seconds(work: Callable[[bytes], Any], items: Sequence[bytes]) -> float:
    started = time.perf_counter()
    for item in items:
        work(item)
    return time.perf_counter() - started


def fill(database: Database, evaluations: int) -> list[str]:
    """Generated rows: ten evaluations and one advisory a patient; some of the patients' ids."""
    patients = max(1, evaluations // 10)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    blob, digest = content.packed({"answers": {}}), hashlib.sha256(b"").hexdigest()
    for first in range(0, patients, _BATCH):
        people: list[dict[str, Any]] = []
        rows: dict[str, list[dict[str, Any]]] = {
            name: [] for name in ("inputs", "evaluation", "advisory", "advisory_event")
        }
        for number in range(first, min(first + _BATCH, patients)):
            key = str(uuid.UUID(int=number + 1))
            at = instant(start + timedelta(seconds=30 * number))
            people.append(
                {"id": key, "tenant": "bench", "server": "", "reference": f"Patient/{number}", "salt": digest,
                 "merged_into": None, "created": at}
            )  # fmt: skip
            rows["inputs"].append({"id": key, "patient_id": key, "digest": digest, "content": blob})
            for each in range(10):
                rows["evaluation"].append(
                    {"id": str(uuid.UUID(int=number * 10 + each + 1)), "patient_id": key, "inputs_id": key,
                     "at": instant(start + timedelta(seconds=30 * number + each)), "as_of": "2026-06-30",
                     "occasion": "bench", "client": "", "rulebook": digest, "versions": "{}", "findings": blob,
                     "findings_digest": digest}
                )  # fmt: skip
            rows["advisory"].append(
                {"id": key, "patient_id": key, "tenant": "bench", "question": "trpc5-rise-on-chemotherapy", "therapy": "cytotoxic-chemotherapy",
                 "line_start": "2026-01-01", "line_end": "", "standing": "open" if number % 3 else "closed",
                 "state": "suspected", "basis": digest, "results": "[]", "ended_by": "[]", "rule_hash": digest, "opened": at, "changed": at,
                 "revision": 1}
            )  # fmt: skip
            rows["advisory_event"].append(
                {"id": key, "patient_id": key, "advisory_id": key, "number": 1, "kind": "opened", "reason": "claimed",
                 "state": "suspected", "basis": digest, "at": at, "evaluation_id": rows["evaluation"][-1]["id"],
                 "said": content.packed(None)}
            )  # fmt: skip
        with database.writing() as connection:
            connection.execute(insert(tables.patient), people)
            for name, found in rows.items():
                connection.execute(insert(tables.metadata.tables[name]), found)
    with database.writing() as connection:
        connection.execute(text("ANALYZE"))
    return [str(uuid.UUID(int=number + 1)) for number in range(0, patients, max(1, patients // 200))]


def _of_patient(database: Database, reference: str) -> None:
    with database.reading() as connection:
        who = identified(connection, "bench", reference)
    advisories(database, "bench", patient=who)


def growth(database: Database, evaluations: int) -> None:
    keys = fill(database, evaluations)
    timings = {
        "board list, open, 100 rows": [
            _once(lambda: advisories(database, "bench", standing="open")) for _ in range(60)
        ],
        "board list, all, 100 rows": [_once(lambda: advisories(database, "bench")) for _ in range(60)],
        "one patient": [_once(partial(_of_patient, database, f"Patient/{n * 7}")) for n in range(200)],
        "history of one advisory": [_once(partial(history, database, k)) for k in keys],
        "evaluations of one patient": [_once(partial(_evaluations, database, k)) for k in keys],
    }
    for name, took in timings.items():
        p95 = sorted(took)[int(len(took) * 0.95)] * 1000
        print(f"  {evaluations:,} evaluations: {name}: p95 {p95:.1f} ms")


def _evaluations(database: Database, patient: str) -> int:
    with database.reading() as connection:
        wanted = select(tables.evaluation.c.id, tables.evaluation.c.at).where(tables.evaluation.c.patient_id == patient)
        return len(connection.execute(wanted.order_by(tables.evaluation.c.at.desc())).all())


def _once(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundles", type=int, default=200)
    parser.add_argument("--evaluations", type=int, default=1_000_000)
    arguments = parser.parse_args()
    reasoner = Reasoner(default_rulebook())
    data = bundles(arguments.bundles)

    def measure(database: Database) -> None:
        cost(reasoner, database, data)
        growth(database, arguments.evaluations)

    on_each(measure)


if __name__ == "__main__":
    main()
