"""A board with 10,000 patients, three answers each, and 100,000 evaluations: the worklist with each filter and sort, one patient.

Rows are written directly; p50 and p95 of what the record takes, on SQLite and on PostgreSQL if it is installed. Run by `make bench`.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import re
import time
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import quote

from sqlalchemy import insert, text
from starlette.testclient import TestClient

from benchmarks.record import on_each
from cds.reasoning.loading import default_rulebook
from cds.reasoning.reasoner import Reasoner
from cds.record import content, tables
from cds.record.accounts import Accounts
from cds.record.answers import urgency
from cds.record.audit import canonical, instant
from cds.record.database import Database
from cds.record.decisions import Decision, Planned
from cds.record.followup import FollowUp
from cds.record.lifecycle import CLAIMS
from cds.record.names import sought_by
from cds.record.precision import precision
from cds.record.recorder import Recorder
from cds.record.reviews import Reviews
from cds.record.worklist import SORTS, Filter, every, listed, of_patient
from cds.service.app import create_app
from cds.service.desk import Caller, Desk
from cds.settings import Settings
from cds.workbench.clinic import Clock, patients, play

TENANT = "bench"
_BATCH = 1_000
_MEETINGS = 100
_EVALUATIONS = 10
_FIRST = datetime(2026, 1, 1, tzinfo=UTC)
_TODAY = date(2026, 11, 1)
_QUESTIONS = (
    ("trpc5-rise-on-chemotherapy", "trpc5-ev", "cytotoxic-chemotherapy"),
    ("hotair-rise-on-endocrine-therapy", "hotair-ev", "endocrine-therapy"),
    ("pdl1-rise-on-checkpoint-inhibitor", "pdl1-ev", "anti-pd-1"),
)
_STATES = (
    "suspected",
    "watch",
    "persistent",
    "discordant",
    "hold",
    "not-evaluable",
    "data-quality",
    "no-flag",
    "not-applicable",
)
_WEIGHTS = (4, 4, 1, 1, 6, 14, 6, 50, 14)
_FAMILIES = ("Smith", "Müller", "Kowalska", "Rossi", "García", "Nilsson", "Okafor", "Nguyễn", "O'Brien", "Haddad")
_NOTHING = content.packed(None)
_DIGEST = hashlib.sha256(b"").hexdigest()


def fill(database: Database, patients: int, seed: int = 7) -> list[str]:
    """Rows of so many patients; their row ids."""
    rng, keys = random.Random(seed), []  # noqa: S311 - invented data
    for first in range(0, patients, _BATCH):
        batch = _Batch(rng)
        for number in range(first, min(first + _BATCH, patients)):
            keys.append(batch.add(number))
        with database.writing() as connection:
            for table in (tables.patient, *reversed(tables.OF_PATIENT)):
                if rows := batch.rows.get(table.name):
                    connection.execute(insert(table), rows)
    with database.writing() as connection:
        connection.execute(text("ANALYZE"))
    return keys


class _Batch:
    def __init__(self, rng: random.Random):
        self._rng = rng
        self.rows: dict[str, list[dict[str, Any]]] = {}

    def _put(self, table: str, **row: Any) -> None:
        self.rows.setdefault(table, []).append(row)

    def add(self, number: int) -> str:
        key = self._key()
        family, given = self._rng.choice(_FAMILIES), f"Given{number % 400}"
        reference, record_number, at = f"Patient/{number}", f"{1_000_000 + number}", self._at()
        self._put(
            "patient",
            id=key,
            tenant=TENANT,
            server="",
            reference=reference,
            salt=_DIGEST,
            merged_into=None,
            created=at,
            due="",
        )
        born = f"19{30 + number % 60}-05-14"
        self._put(
            "person", id=self._key(), patient_id=key, tenant=TENANT, family=f"{family}{number % 97}", given=given, born=born,
            sex="female", number=record_number, system="https://ehr.example/mrn", at=at,
            sought=sought_by(reference, f"{family}{number % 97}", given, record_number),
        )  # fmt: skip
        self._put(
            "identifier", id=self._key(), patient_id=key, tenant=TENANT, system="https://ehr.example/mrn",
            value=record_number, born=born, source="record", ended="", at=at,
        )  # fmt: skip
        self._put("inputs", id=key, patient_id=key, digest=_DIGEST, content=_NOTHING)
        evaluations = [self._key() for _ in range(_EVALUATIONS)]
        for one in evaluations:
            self._put(
                "evaluation", id=one, patient_id=key, inputs_id=key, at=self._at(), as_of="2026-06-30", occasion="bench",
                client="", rulebook=_DIGEST, versions="{}", findings=_NOTHING, findings_digest=_DIGEST,
            )  # fmt: skip
        for question in _QUESTIONS:
            self._answer(key, evaluations[-1], *question)
        return key

    def _answer(self, patient: str, evaluation: str, question: str, marker: str, therapy: str) -> None:
        rng = self._rng
        state = rng.choices(_STATES, _WEIGHTS)[0]
        is_open = state in CLAIMS or (state in ("hold", "not-evaluable") and rng.random() < 0.2)
        claim = (state if state in CLAIMS else "suspected") if is_open else ""
        has_advisory = is_open or (state == "no-flag" and rng.random() < 0.3)
        withdrawn = self._at() if has_advisory and not is_open and rng.random() < 0.05 else ""
        standing = (
            ("open" if state in CLAIMS else "not-reassessable") if is_open else "withdrawn" if withdrawn else "closed"
        )
        advisory = (
            self._advisory(patient, evaluation, question, therapy, standing, claim or "watch") if has_advisory else None
        )
        judged = state in (*CLAIMS, "no-flag")
        self._put(
            "answer", id=self._key(), patient_id=patient, tenant=TENANT, question=question, markers=f" {marker} ",
            therapy=therapy, line_start="2026-01-01", line_end="", state=state, since=self._at(),
            spoken=rng.random() < 0.9 or is_open, rank=urgency(state, claim, withdrawn),
            headline=f"{marker}: what the last evaluation says of it in one sentence that stands alone", at=self._at(),
            missing=canonical(["method, laboratory or lot changed, or not stated for a sample"] if not judged else []),
            fold=rng.lognormvariate(0.3, 0.6) if judged else None, slope=rng.lognormvariate(0.1, 0.3) if judged else None,
            latest="2026-06-30", advisory_id=advisory, standing=standing if has_advisory else "", claim=claim,
            withdrawn=withdrawn, evaluation_id=evaluation, rule_hash=_DIGEST,
        )  # fmt: skip

    def _advisory(self, patient: str, evaluation: str, question: str, therapy: str, standing: str, state: str) -> str:
        key, rng, at = self._key(), self._rng, self._at()
        self._put(
            "advisory", id=key, patient_id=patient, tenant=TENANT, question=question, therapy=therapy,
            line_start="2026-01-01", line_end="", standing=standing, state=state, basis=_DIGEST,
            results=canonical([[f"Observation/{n}", "5.6 10*6/mL", "2026-05-01"] for n in range(3)]), ended_by="[]",
            rule_hash=_DIGEST, opened=at, changed=at, revision=2,
        )  # fmt: skip
        for number in (1, 2):
            self._put(
                "advisory_event", id=self._key(), patient_id=patient, advisory_id=key, number=number, kind="updated",
                reason="new-results", state=state, basis=_DIGEST, at=at, evaluation_id=evaluation, said=_NOTHING,
                rule_hash=_DIGEST,
            )  # fmt: skip
        if rng.random() < 0.5:
            decision, due = self._key(), self._day()
            self._put(
                "disposition", id=decision, patient_id=patient, advisory_id=key, revision=rng.choice((1, 2)), basis=_DIGEST,
                code=rng.choice(("accept", "reject", "watch")), by="board-7", follow_up=due, at=at, number=1, reason="",
                meeting_id=None, content=content.packed({"note": "", "level": "", "resistance": False, "references": [], "actions": []}),
            )  # fmt: skip
            self._put(
                "action", id=self._key(), patient_id=patient, advisory_id=key, disposition_id=decision, tenant=TENANT,
                kind="imaging", due=due, status=rng.choice(("open", "open", "done")), reason="", by="", closed="", at=at,
            )  # fmt: skip
        if rng.random() < 0.3:
            self._put(
                "outcome", id=self._key(), patient_id=patient, advisory_id=key, months=3, number=1, response="PD",
                resistance=rng.choice(("yes", "no", "unclear")), by="nurse-1", at=at,
            )  # fmt: skip
        return key

    def _key(self) -> str:
        return str(uuid.UUID(int=self._rng.getrandbits(128), version=4))

    def _at(self) -> str:
        return instant(_FIRST + timedelta(seconds=self._rng.randrange(300 * 86_400)))

    def _day(self) -> str:
        return (_FIRST + timedelta(days=self._rng.randrange(400))).date().isoformat()


def cases(database: Database, keys: list[str]) -> dict[str, Callable[[int], object]]:
    """What is measured, by name; each is called with the number of the try."""

    def listing(**wanted: Any) -> Callable[[int], object]:
        return lambda _: listed(database, TENANT, Filter(**wanted), new_since="2026-10-15", today=_TODAY)

    found: dict[str, Callable[[int], object]] = {"worklist": listing(), "worklist, page 100": listing(page=100)}
    filters: dict[str, dict[str, Any]] = {
        "state": {"states": ("suspected", "persistent")}, "marker": {"marker": "trpc5-ev"}, "therapy": {"therapy": "anti-pd-1"},
        "standing": {"standing": "open"}, "withdrawn": {"standing": "withdrawn"}, "since": {"since": "2026-10-15"},
        "due": {"due": "2026-11-01"}, "decided": {"decided": "yes"}, "undecided": {"decided": "no"}, "decision": {"decided": "accept"},
    }  # fmt: skip
    for name, wanted in filters.items():
        found[f"filter {name}"] = listing(**wanted)
    found |= {f"sort {sort}": listing(sort=sort) for sort in SORTS[1:]}
    found["search name"] = lambda n: listing(text=("muller4", "gar", "nguyen1 given2")[n % 3])(n)
    found["search three words"] = lambda n: listing(text=f"nguyen{n % 97} given{n} 19")(n)
    found["search record number"] = lambda n: listing(text=f"{1_000_000 + n * 37 % len(keys)}")(n)
    found["search id"] = lambda n: listing(text=f"Patient/{n * 37 % len(keys)}")(n)
    reviews, follow_up = Reviews(database), FollowUp(database)

    def one_patient(n: int) -> object:
        key = keys[n * 37 % len(keys)]
        return (
            of_patient(database, TENANT, key),
            reviews.decisions(TENANT, patient=key),
            follow_up.actions(TENANT, patient=key),
        )

    found["one patient"] = one_patient
    found["every row"] = lambda _: every(database, TENANT, Filter())
    found["overdue"] = lambda _: follow_up.overdue(TENANT, _TODAY)
    found["precision"] = lambda _: precision(database, TENANT)
    return found


def pages(database: Database, keys: list[str]) -> dict[str, Callable[[int], object]]:
    """The pages as a browser asks for them, in the same process: lists, a meeting, and cases that were really evaluated."""
    reasoner, clock = Reasoner(default_rulebook()), Clock()
    recorder, settings = Recorder(database, reasoner.rulebook, clock=clock), Settings(open_mode=True, tenant=TENANT)
    desk = Desk(settings, reasoner, clock, recorder)
    for patient in patients(_TODAY)[:8]:
        play(desk, clock, reasoner.rulebook.catalogue, patient, Caller("clinic-ehr", TENANT), _TODAY)
    Accounts(database).add(TENANT, "reader", "correct horse battery staple", ["reader"], "bench")
    app = create_app(settings, reasoner, recorder=recorder)
    browser = TestClient(app, base_url="http://localhost", client=("127.0.0.1", 5), follow_redirects=False)
    page = browser.get("/sign-in").text
    csrf = page.partition('name="csrf" value="')[2].partition('"')[0]
    form = {"csrf": csrf, "name": "reader", "password": "correct horse battery staple", "next": "/board"}
    assert browser.post("/sign-in", data=form).status_code == 303
    found = browser.get("/board?text=" + quote("s2026")).text.partition("<table")[2]
    cases = sorted(set(re.findall(r'class="name" href="(/board/patients/[0-9a-f-]+)"', found)))
    assert cases

    meeting = _meetings(recorder, keys)

    def asked(path: str) -> None:
        answer = browser.get(path)
        assert answer.status_code == 200, (path, answer.status_code, answer.text[-400:])

    return {
        "page: worklist": lambda _: asked("/board"),
        "page: worklist, search": lambda n: asked(f"/board?text={1_000_000 + n}"),
        "page: list.csv": lambda _: asked("/board/list.csv"),
        "page: meetings": lambda _: asked("/board/meetings"),
        "page: meeting": lambda _: asked(f"/board/meetings/{meeting}"),
        "page: meeting as PDF": lambda _: asked(f"/board/meetings/{meeting}/sheet.pdf"),
        "page: follow-up": lambda _: asked("/board/follow-up"),
        "page: precision": lambda _: asked("/board/precision"),
        "page: patient": lambda n: asked(cases[n % len(cases)]),
        "page: patient as PDF": lambda n: asked(f"{cases[n % len(cases)]}/sheet.pdf"),
    }


def _meetings(recorder: Recorder, keys: list[str]) -> str:
    """A hundred meetings of forty patients each, of which every second was decided about at the last; the id of that one."""
    meetings, decided = recorder.meetings, 0
    for number in range(_MEETINGS):
        first = 40 * number % len(keys)
        chosen = keys[first : first + 40]
        meeting = meetings.plan(TENANT, "Breast board", (_TODAY - timedelta(days=7 * number)).isoformat(), "chair")
        meetings.add_all(TENANT, meeting, chosen, "chair")
        for key in chosen if number == _MEETINGS - 1 else ():
            for row in of_patient(recorder.database, TENANT, key)[:1]:
                if row.claim and row.decision is None and decided < 20:
                    actions = (Planned("imaging", "2026-12-01"),)
                    decision = Decision(row.advisory, row.revision, "watch", "chair", actions=actions, meeting=meeting)
                    recorder.reviews.decide(decision, TENANT)
                    decided += 1
    return meeting


def measure(database: Database, patients: int, tries: int) -> None:
    keys = fill(database, patients)
    print(
        f"  {patients:,} patients, {3 * patients:,} answers, {_EVALUATIONS * patients:,} evaluations; ms, p50 and p95"
    )
    for name, work in (cases(database, keys) | pages(database, keys)).items():
        took = []
        for n in range(tries):
            started = time.perf_counter()
            work(n)
            took.append(1000 * (time.perf_counter() - started))
        took.sort()
        print(f"  {name:<22}{took[len(took) // 2]:>8.1f}{took[int(len(took) * 0.95)]:>8.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=10_000)
    parser.add_argument("--tries", type=int, default=60)
    arguments = parser.parse_args()
    on_each(lambda database: measure(database, arguments.patients, arguments.tries))


if __name__ == "__main__":
    main()
