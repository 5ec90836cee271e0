"""The day of a chart: a sample of a place where the next day has begun is none of the future."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from cds.chart.model import Chart
from cds.chart.reading import read
from tests.chart.make import LAB, PATIENT, bundle, catalogue, coded, observation

NOON = "2025-04-21T12:00:00-05:00"  # in Chicago; in Auckland it is already the 22nd
AUCKLAND = "2025-04-22T04:30:00+12:00"  # 11:30 in Chicago
SPECIMEN: dict[str, Any] = {
    "resourceType": "Specimen",
    "id": "s1",
    "subject": {"reference": "Patient/1"},
    "collection": {"collectedDateTime": AUCKLAND},
}
OF_SPECIMEN: dict[str, Any] = {"specimen": {"reference": "Specimen/s1"}, "performer": [LAB]}


def chart(as_of: str, *resources: dict[str, Any]) -> Chart:
    return read(bundle(PATIENT, *resources), catalogue()).as_of(as_of)


def faults(seen: Chart) -> set[str]:
    return {fault for result in seen.results["trpc5-ev"] for fault in result.faults}


def condition(**more: Any) -> dict[str, Any]:
    subject = {"reference": "Patient/1"}
    return {"resourceType": "Condition", "id": "c1", "subject": subject, "code": coded("254837009"), **more}


@pytest.mark.parametrize(
    ("as_of", "resources", "day", "future"),
    [
        (NOON, [observation(day=AUCKLAND)], 22, False),
        (NOON, [observation(day=None, effectivePeriod={"start": AUCKLAND})], 22, False),
        (NOON, [condition(), SPECIMEN, observation(day=None, **OF_SPECIMEN)], 22, False),
        (NOON, [observation("o1", day="2025-04-01"), observation("o2", day=AUCKLAND)], 22, False),
        ("2025-04-21T17:00:00Z", [observation(day=AUCKLAND)], 22, False),
        # an hour before it was drawn, wherever the calendar stands
        ("2025-04-21T10:00:00-05:00", [observation(day=AUCKLAND, issued="2025-04-21T14:00:00Z")], 21, True),
        # nothing says in which zone, or at what time
        (NOON, [observation(day="2025-04-22", issued="2025-04-21T16:00:00Z")], 21, True),
        (NOON, [observation(day="2025-04-22T04:30:00", issued="2025-04-21T16:00:00Z")], 21, True),
        # a whole day goes by the calendar alone
        ("2025-04-21", [observation(day=AUCKLAND, issued="2025-04-21T16:45:00Z")], 21, True),
        ("2025-04-22", [observation(day=AUCKLAND)], 22, False),
        # a day that is behind never takes the chart back
        (NOON, [observation(day="2025-04-20T23:00:00-11:00")], 21, False),
    ],
)
def test_instants_are_compared_where_both_sides_have_one(
    as_of: str, resources: list[dict[str, Any]], day: int, future: bool
) -> None:
    seen = chart(as_of, *resources)
    assert seen.as_of == date(2025, 4, day)
    assert ("after-as-of" in faults(seen)) is future


def test_what_is_not_known_yet_or_was_taken_back_moves_no_day() -> None:
    issued_later = observation(day=AUCKLAND, issued="2025-04-21T18:00:00Z")
    assert chart(NOON, issued_later).as_of == date(2025, 4, 21)
    taken_back = observation(day=AUCKLAND, status="entered-in-error", issued="2025-04-21T16:50:00Z")
    assert chart(NOON, observation(day=AUCKLAND, issued="2025-04-21T16:40:00Z"), taken_back).as_of == date(2025, 4, 21)


def test_a_sample_of_the_future_stays_one_beside_another_of_the_next_day() -> None:
    tonight = observation("o2", 3.0, "2025-04-22T20:00:00+12:00", issued="2025-04-21T16:00:00Z")
    far = observation("o3", 3.0, "2025-05-22T20:00:00+12:00", issued="2025-04-21T16:00:00Z")
    seen = chart(NOON, observation("o1", day=AUCKLAND), far)
    assert [sorted(result.faults) for result in seen.results["trpc5-ev"]] == [[], ["after-as-of"]]
    assert "after-as-of" in faults(chart(NOON, tonight))


def test_treatment_of_that_day_has_begun() -> None:
    paclitaxel = {
        "resourceType": "MedicationRequest",
        "id": "m1",
        "status": "active",
        "intent": "order",
        "subject": {"reference": "Patient/1"},
        "authoredOn": "2025-04-21T15:00:00Z",
        "medicationCodeableConcept": {"coding": [{"system": "http://www.whocc.no/atc", "code": "L01CD01"}]},
        "dosageInstruction": [{"timing": {"repeat": {"boundsPeriod": {"start": "2025-04-22"}}}}],
    }
    (line,) = chart(NOON, observation(day=AUCKLAND), paclitaxel).lines
    assert (line.start, line.planned) == (date(2025, 4, 22), False)
    (line,) = chart(NOON, observation(day="2025-04-21T04:30:00-05:00"), paclitaxel).lines
    assert line.planned
