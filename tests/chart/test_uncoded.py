"""What nobody can recognise near a sample is named; far from every sample, or known to be something else, it is not."""

from __future__ import annotations

import pytest

from tests.chart.fixtures_clinical import SNOMED, condition, procedure
from tests.chart.make import Json, chart, coded, observation

LOCAL = "https://hospital.example/procedures"
SAMPLE = observation("o1", day="2025-04-07")


def named(*resources: Json) -> list[str]:
    """What was left out and says of itself that it was not recognised."""
    return [item.what for item in chart(SAMPLE, *resources).left_out if "near a sample" in item.reason]


@pytest.mark.parametrize(
    ("resource", "noted"),
    [
        (procedure(f"{LOCAL}|P1", "2025-04-07"), True),
        (procedure(f"{LOCAL}|P1", "2025-03-11"), True),  # day 27
        (procedure(f"{LOCAL}|P1", "2025-03-10"), False),
        (procedure(f"{LOCAL}|P1", "2025-04-08"), False),  # after the sample
        (procedure(f"{LOCAL}|P1", None), True),  # some day
        (procedure(f"{LOCAL}|P1", None, performedPeriod={"start": "2025-01-01", "end": "2025-03-11"}), True),
        (procedure(f"{LOCAL}|P1", None, performedPeriod={"start": "2025-01-01", "end": "2025-03-10"}), False),
        (procedure(f"{LOCAL}|P1", None, performedPeriod={"start": "2025-01-01"}), True),  # it may go on
        (procedure(f"{LOCAL}|P1", "2025-04-01", "not-done"), False),
        ({**procedure(f"{LOCAL}|P1", "2025-04-01"), "status": {}}, True),  # a status that is none
        (procedure(f"{LOCAL}|P1", "2025-04-01", "preparation"), False),
        (procedure(f"{LOCAL}|P1", "2025-04-01", category=coded("409073007", SNOMED)), False),  # education
        (procedure(f"{LOCAL}|P1", "2025-04-01", category=coded("387713003", SNOMED)), False),  # an operation, as read
        ({**procedure("1", "2025-04-01"), "code": {"text": "Hüft-TEP"}}, True),
        (procedure("1234", "2025-04-01"), False),  # of a system that is read: something else
        (condition("I10", "2025-04-01"), False),
    ],
)
def test_a_procedure_that_nobody_can_recognise_near_a_sample_is_named(resource: Json, noted: bool) -> None:
    assert bool(named(resource)) is noted


@pytest.mark.parametrize(
    ("more", "noted"),
    [
        ({"onsetDateTime": "2025-04-01"}, True),
        ({"onsetDateTime": "2025-03-10"}, False),
        ({"onsetDateTime": "2012-03-10"}, False),  # what has been there for years is no acute infection
        ({"recordedDate": "2025-04-01"}, True),
        ({}, False),
        ({"onsetDateTime": "2025-04-01", "clinicalStatus": coded("resolved")}, True),  # not long ago
        ({"onsetDateTime": "2025-03-01", "abatementDateTime": "2025-03-20"}, True),
        ({"onsetDateTime": "2025-02-01", "abatementDateTime": "2025-03-10"}, False),
        ({"onsetDateTime": "2025-04-01", "verificationStatus": coded("refuted")}, False),
    ],
)
def test_a_condition_that_nobody_can_recognise_near_a_sample_is_named(more: Json, noted: bool) -> None:
    resource = {**condition("1"), "code": coded("C1", "https://hospital.example/problems"), **more}
    assert bool(named(resource)) is noted


def test_without_a_sample_nothing_is_named() -> None:
    assert chart(procedure(f"{LOCAL}|P1", "2025-04-01")).left_out == ()


def test_procedures_that_are_coded_alike_are_named_once() -> None:
    alike = [procedure(f"{LOCAL}|P1", day) for day in ("2025-04-01", "2025-04-02", "2025-04-03")]
    assert len(named(*alike, procedure(f"{LOCAL}|P2", "2025-04-01"))) == 2
