"""A made-up clinic: synthetic patients whose visits are played into a record, as its EHR would have asked over the years.

Everybody is asked about on each day on which something became known of them, so that advice opens, is confirmed, closed and
withdrawn in the record as it would have been.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from cds.chart import Record, read
from cds.chart.catalogue import Catalogue
from cds.service.desk import Caller, Desk
from cds.workbench.synth import REFERENCE_DATE
from cds.workbench.synth.cohort import make_person
from cds.workbench.synth.fhir_output import to_bundle

SEED = 2026
PATIENTS = (
    5, 17, 51, 60, 69, 76, 16, 18, 20, 22, 35, 41, 26, 38, 47, 62, 234, 238, 255, 433, 3, 7, 9, 13, 23, 32, 12, 40, 98,
    0, 2, 8, 10, 4, 21, 34, 6, 28, 141,
)  # fmt: skip
"""Numbers of that cohort who, with one more, are found in every state that there is."""
_IN_SITU = 1
"""The one more: taken to have a carcinoma in situ, about which no rule asks."""
_DAY = re.compile(r'(?<=")(\d{4}-\d{2}-\d{2})')


@dataclass(slots=True)
class Clock:
    """The time of what is played: `now` is set from visit to visit."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __call__(self) -> datetime:
        return self.now


def bundles(today: date) -> list[dict[str, Any]]:
    """The patients as FHIR Bundles, all days moved so that the cohort's last day is `today`."""
    people = [make_person(SEED, index)[0] for index in PATIENTS]
    people.append(replace(make_person(SEED, _IN_SITU)[0], disease="dcis", metastasis=None))
    return [_moved(to_bundle(person), today - REFERENCE_DATE) for person in people]


def play(desk: Desk, clock: Clock, catalogue: Catalogue, bundle: Mapping[str, Any], caller: Caller, today: date) -> int:
    """Ask about one patient on every day on which something became known, in the evening; how often that was."""
    service = next(one for one in desk.discovery()["services"] if one["hook"] == "patient-view")
    record = read(dict(bundle), catalogue)
    days = [day for day in record.moments() if day <= today and day >= first_result(record)]
    for day in days:
        clock.now = datetime.combine(day, time(23, 50), UTC)
        desk.answer(service["id"], json.dumps(hook_request(bundle, service, str(day))).encode(), caller)
    return len(days)


def first_result(record: Record) -> date:
    """The day on which the first marker result became known: before it there is nothing to ask."""
    known = [version.known.day for versions in record.results for version in versions]
    return min(known, default=date.max)


def hook_request(bundle: Mapping[str, Any], service: Mapping[str, Any], occasion: str = "") -> dict[str, Any]:
    """A patient-view request whose prefetch holds what the service asks for, taken from a Bundle."""
    resources = [entry["resource"] for entry in bundle["entry"]]
    patient = next(resource for resource in resources if resource["resourceType"] == "Patient")
    prefetch: dict[str, Any] = {}
    for key, query in service["prefetch"].items():
        kind = query.partition("?")[0].partition("/")[0]
        if kind == "Patient":
            prefetch[key] = patient
            continue
        found = [{"resource": resource} for resource in resources if resource["resourceType"] == kind]
        prefetch[key] = {"resourceType": "Bundle", "type": "searchset", "entry": found} if found else None
    return {
        "hook": service["hook"],
        "hookInstance": str(
            uuid.uuid5(uuid.NAMESPACE_URL, f"https://exowatch.example/demo/{patient['id']}/{occasion}")
        ),
        "context": {"userId": "Practitioner/demo", "patientId": patient["id"]},
        "prefetch": prefetch,
    }


def _moved(bundle: dict[str, Any], by: timedelta) -> dict[str, Any]:
    """The Bundle with every day in it moved."""
    text = _DAY.sub(lambda day: (date.fromisoformat(day[1]) + by).isoformat(), json.dumps(bundle))
    moved: dict[str, Any] = json.loads(text)
    return moved
