"""A made-up clinic: synthetic patients whose visits are played into a record, as its EHR would have asked over the years.

Everybody is asked about on each day on which something became known of them, with what their record held on that day, so that
advice opens, is confirmed, closed and withdrawn in the record as it would have been.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from cds.chart import Record, read
from cds.chart.catalogue import Catalogue
from cds.reasoning.reasoner import Reasoner
from cds.record.database import Database
from cds.record.decisions import Decision, Planned
from cds.record.recorder import Recorder
from cds.record.worklist import Filter, Row, listed
from cds.service.desk import Caller, Desk
from cds.settings import Settings
from cds.workbench.synth import REFERENCE_DATE
from cds.workbench.synth.cohort import make_person
from cds.workbench.synth.fhir_output import to_bundle
from cds.workbench.synth.person import Person
from cds.workbench.synth.requests import hook_request

SEED = 2026
PATIENTS = (
    5, 17, 51, 60, 69, 76, 16, 18, 20, 22, 35, 41, 26, 38, 47, 62, 234, 238, 255, 433, 3, 7, 9, 13, 23, 32, 12, 40, 98,
    0, 2, 8, 10, 4, 21, 34, 6, 28, 141,
)  # fmt: skip
"""Numbers of that cohort who, with one more, are found in every state that there is."""
_IN_SITU = 1
"""The one more: taken to have a carcinoma in situ, about which no rule asks."""
_TAKEN_BACK = 76
"""Of them the laboratory took a result back after advice that rests on it was seen."""
_DAY = re.compile(r'(?<=")(\d{4}-\d{2}-\d{2})')
_LONG_AGO = 4
"""One in so many was not seen for months: their pages say how old they are, and outcomes are due."""


@dataclass(slots=True)
class Clock:
    """The time of what is played: `now` is set from visit to visit."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __call__(self) -> datetime:
        return self.now


@dataclass(frozen=True, slots=True)
class Patient:
    """Somebody of the cohort, all of whose days are `moved`."""

    person: Person
    moved: timedelta

    def bundle(self, known_by: date | None = None) -> dict[str, Any]:
        """Their record as a FHIR Bundle; with `known_by` as it stood on that day."""
        return _moved(to_bundle(self.person, known_by and known_by - self.moved), self.moved)


def patients(today: date) -> list[Patient]:
    """The patients, the days of each moved so that they were last seen within the two weeks before `today`.

    Of one in `_LONG_AGO` the cohort's last day becomes `today`, however long before it they were seen.
    """
    people = [make_person(SEED, index)[0] for index in PATIENTS]
    people[PATIENTS.index(_TAKEN_BACK)] = _with_last_result_taken_back(people[PATIENTS.index(_TAKEN_BACK)])
    people.append(replace(make_person(SEED, _IN_SITU)[0], disease="dcis", metastasis=None))
    return [Patient(person, today - _seen_last(person, place)) for place, person in enumerate(people)]


def _seen_last(person: Person, place: int) -> date:
    """The day of the cohort that is to be today for somebody at this place in the list."""
    if place % _LONG_AGO == 0:
        return REFERENCE_DATE
    last = max(date.fromisoformat(day) for day in _DAY.findall(json.dumps(to_bundle(person))))
    return last + timedelta(days=1 + place * 3 % 13)


def _with_last_result_taken_back(person: Person) -> Person:
    """The person, of whose newest sample the laboratory says three days before the cohort's last that it was entered in error."""
    last = max(person.measurements, key=lambda one: one.collected or "")
    version = last.versions[-1]
    issued = (REFERENCE_DATE - timedelta(days=3)).isoformat() + version.issued[10:]
    undone = replace(last, versions=(*last.versions, replace(version, status="entered-in-error", issued=issued)))
    return replace(person, measurements=tuple(undone if one is last else one for one in person.measurements))


def play(
    desk: Desk,
    clock: Clock,
    catalogue: Catalogue,
    patient: Patient,
    caller: Caller,
    today: date,
    first: date = date.min,
) -> int:
    """Ask about one patient on every day from `first` to `today` on which something became known, in the evening; how often."""
    service = next(one for one in desk.discovery()["services"] if one["hook"] == "patient-view")
    record = read(patient.bundle(), catalogue)
    days = [day for day in record.moments() if max(first, first_result(record)) <= day <= today]
    for day in days:
        clock.now = datetime.combine(day, time(23, 50), UTC)
        asked = hook_request(patient.bundle(day), service, str(day))
        desk.answer(service["id"], json.dumps(asked).encode(), caller)
    return len(days)


def first_result(record: Record) -> date:
    """The day on which the first marker result became known: before it there is nothing to ask."""
    known = [version.known.day for versions in record.results for version in versions]
    return min(known, default=date.max)


def _moved(bundle: dict[str, Any], by: timedelta) -> dict[str, Any]:
    """The Bundle with every day in it moved."""
    text = _DAY.sub(lambda day: (date.fromisoformat(day[1]) + by).isoformat(), json.dumps(bundle))
    moved: dict[str, Any] = json.loads(text)
    return moved


# what its people did -------------------------------------------------------------------------------------------------

TENANT = "default"
_BOARD = "Breast tumour board"
_DECIDED = (
    ("accept", "", (("imaging", 10),)),
    ("repeat-test", "", (("repeat-marker", 21),)),
    ("reject", "assay-artefact", ()),
)  # fmt: skip
"""What the board of the clinic said to its first cases: disposition, reason, actions with the days that they have."""


def fill(
    database: Database, reasoner: Reasoner, settings: Settings, today: date, progress: Callable[[], object]
) -> None:
    """Play every patient into an empty record, then the board's meetings; `progress` is called once for each patient."""
    clock = Clock()
    recorder = Recorder(database, reasoner.rulebook, clock=clock)
    desk = Desk(settings, reasoner, clock, recorder)
    known, catalogue, caller = patients(today), reasoner.rulebook.catalogue, Caller("clinic-ehr", TENANT)
    met = today - timedelta(days=14)
    for patient in known:
        play(desk, clock, catalogue, patient, caller, met - timedelta(days=1))
        progress()
    held = _meet(recorder, clock, met, today)
    for patient in known:
        play(desk, clock, catalogue, patient, caller, today, first=met)
    _prepare(recorder, clock, held, today)


def _flagged(recorder: Recorder) -> list[Row]:
    rows = listed(recorder.database, TENANT, Filter(states=("suspected", "persistent"))).rows
    return [row for row in rows if row.advisory]


def _meet(recorder: Recorder, clock: Clock, day: date, today: date) -> str:
    """A meeting that was held on that day, and decided about three of four cases; its id."""
    meetings = recorder.meetings
    clock.now = datetime.combine(day, time(16, 0), UTC)
    flagged = _flagged(recorder)[: len(_DECIDED) + 1]
    held = meetings.plan(TENANT, _BOARD, day.isoformat(), "chair")
    for row in flagged:
        meetings.add(TENANT, held, row.patient, "chair")
    for row, (code, reason, actions) in zip(flagged, _DECIDED, strict=False):
        planned = tuple(Planned(kind, (today + timedelta(days=days)).isoformat()) for kind, days in actions)
        recorder.reviews.decide(
            Decision(row.advisory, row.revision, code, "chair", reason=reason, actions=planned, meeting=held), TENANT
        )
    people = ("oncologist", "radiologist", "pathologist", "surgeon")
    minutes = "Three cases were discussed; for the fourth there was no time."
    meetings.change(TENANT, held, 1, "chair", attendees=people, quorum=True, minutes=minutes, close=True)
    return held


def _prepare(recorder: Recorder, clock: Clock, held: str, today: date) -> None:
    """The meeting to come: the case for which there was no time is carried over, and three more are on its agenda."""
    meetings = recorder.meetings
    clock.now = datetime.combine(today, time(12, 0), UTC)
    coming = meetings.plan(TENANT, _BOARD, (today + timedelta(days=7)).isoformat(), "chair")
    meetings.carry(TENANT, held, coming, "chair")
    for row in [row for row in _flagged(recorder) if row.decision is None][:3]:
        meetings.add(TENANT, coming, row.patient, "chair")
