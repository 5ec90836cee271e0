"""Which operation removed the known tumour, and of which breast it was."""

from __future__ import annotations

import pytest

from cds.chart.model import Tri
from tests.chart.fixtures_clinical import ICD_10, SNOMED, condition, intent, procedure
from tests.chart.make import Json, chart, coded

BREAST = "254837009"
LUMPECTOMY, MASTECTOMY = "64368001", "172043006"
CURATIVE, PALLIATIVE, PREVENTIVE = "373808002", "363676003", "129428001"
LEFT, RIGHT, BOTH = "80248007", "73056007", "63762007"


def on(code: str) -> Json:
    """A body site."""
    return {"bodySite": [coded(code, SNOMED)]}


def qualified(code: str) -> Json:
    """The breast, with its side as mCODE states it."""
    url = "http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-laterality-qualifier"
    extension = {"url": url, "valueCodeableConcept": coded(code, SNOMED)}
    return {"bodySite": [coded("76752008", SNOMED) | {"extension": [extension]}]}


@pytest.mark.parametrize(
    ("diagnosis", "stated", "second"),
    [
        ([], {}, None),  # more of the tumour, or the healthy breast
        ([], {"reasonCode": [coded("Z40.01", ICD_10)]}, False),
        ([], {"reasonCode": [coded("Z40.00", "http://fhir.de/CodeSystem/bfarm/icd-10-gm")]}, False),
        ([condition("Z40.01")], {"reasonReference": [{"reference": "Condition/c-Z40.01-None"}]}, False),
        ([condition("Z40.01")], {}, None),  # whose reason it is, nobody says
        ([], intent(PREVENTIVE), False),
        ([], intent(CURATIVE), True),
        ([], intent(CURATIVE) | {"reasonCode": [coded("Z40.01", ICD_10)]}, True),  # both breasts at once
        ([condition("C50.912")], on(RIGHT), False),
        ([condition("C50.412")], on(RIGHT), False),
        ([condition("C50.922")], on(RIGHT), False),  # of a man
        ([condition("C50.912"), condition("C50.9")], on(RIGHT), False),  # one cancer, recorded twice
        ([condition("C50.912", verified="provisional")], on(RIGHT), False),
        ([condition("C50.912"), condition("C50.911", verified="refuted")], on(RIGHT), False),
        ([condition("C50.912"), condition("C50.911")], on(RIGHT), True),
        ([condition("C50.912"), condition("C50.911", verified="provisional")], on(RIGHT), True),
        ([condition("C50.912"), condition("C50.911", clinical="remission")], on(RIGHT), True),
        ([condition("C50.912"), condition("D05.11")], on(RIGHT), False),  # in situ there: not the invasive tumour
        ([condition("C50.912")], on(RIGHT) | intent(CURATIVE), None),  # contradicts the diagnosis
        ([condition("C50.912")], on(LEFT), True),
        ([condition("C50.912")], on(BOTH), True),
        ([condition("C50.912")], {"bodySite": [coded(LEFT, SNOMED), coded(RIGHT, SNOMED)]}, True),
        ([condition("C50.912")], {"bodySite": [{"text": "right breast"}]}, None),  # words are never read
        ([condition("C50.919")], on(RIGHT), None),
        ([condition(BREAST)], on(RIGHT), None),
        ([condition(BREAST)], on(BOTH), True),
        ([condition(BREAST, **on(LEFT))], on(RIGHT), False),
        ([condition(BREAST, **qualified("7771000"))], qualified("24028007"), False),
        ([condition(BREAST, **qualified("7771000"))], qualified("51440002"), True),
        ([condition("C50.912", **on(RIGHT))], on(RIGHT), None),  # the diagnosis contradicts itself
    ],
)
def test_a_second_resection(diagnosis: list[Json], stated: Json, second: bool | None) -> None:
    """`stated` is what the second says beside its code."""
    found = chart(*diagnosis, procedure(LUMPECTOMY, "2025-01-15"), procedure(MASTECTOMY, "2025-05-20", **stated))
    assert [operation.curative for operation in found.operations] == [True, second]


def test_a_second_resection_of_the_breast_operated_on_before() -> None:
    operations = chart(
        procedure(LUMPECTOMY, "2025-01-15", **on(LEFT)),
        procedure(MASTECTOMY, "2025-01-15", **on(RIGHT)),  # of one day: one operation
        procedure("428571003", "2025-02-20"),
        procedure("429400009", "2025-02-20"),
        procedure("27865001", "2025-03-20"),
    ).operations
    assert [one.curative for one in operations] == [True] * 5
    assert [one.side for one in operations] == ["right", "left", "left", "right", "both"]


def test_a_second_resection_of_the_other_breast_without_a_sided_diagnosis() -> None:
    resources = (procedure(LUMPECTOMY, "2025-01-15", **on(LEFT)), procedure(MASTECTOMY, "2025-05-20", **on(RIGHT)))
    assert [one.curative for one in chart(*resources).operations] == [True, None]


def test_what_is_not_curative_for_certain_is_no_first_resection() -> None:
    found = chart(
        condition("C50.912"),
        procedure(MASTECTOMY, "2025-01-15", **on(RIGHT)),
        procedure(LUMPECTOMY, "2025-01-20", **intent(PALLIATIVE)),
        procedure(LUMPECTOMY, "2025-02-15"),
    )
    assert [one.curative for one in found.operations] == [False, False, True]


@pytest.mark.parametrize(
    ("code", "more", "side"),
    [
        ("0HBT0ZZ", {}, "right"),
        ("0HTU0ZZ", {}, "left"),
        ("0HTV0ZZ", {}, "both"),
        ("0HTU0ZZ", on(RIGHT), None),  # it contradicts itself
        ("0HTU0ZZ", on(LEFT), "left"),
        ("0HTU0ZZ", on("76752008"), "left"),  # a breast, whichever
        ("0HTT0ZZ", {"bodySite": "right", "extension": {}}, "right"),
    ],
)
def test_the_side_of_an_operation(code: str, more: Json, side: str | None) -> None:
    (operation,) = chart(procedure(f"http://www.cms.gov/Medicare/Coding/ICD10|{code}", "2025-01-15", **more)).operations
    assert operation.side == side


def test_the_side_of_a_german_code() -> None:
    system = "http://fhir.de/CodeSystem/bfarm/ops"
    extension = {
        "url": "http://fhir.de/StructureDefinition/seitenlokalisation",
        "valueCoding": {"system": "https://fhir.kbv.de/CodeSystem/KBV_CS_SFHIR_ICD_SEITENLOKALISATION", "code": "L"},
    }
    coding = {"system": system, "code": "5-870.a1", "extension": [extension]}
    (operation,) = chart(procedure(LUMPECTOMY, "2025-01-15") | {"code": {"coding": [coding]}}).operations
    assert (operation.curative, operation.side) == (True, "left")


@pytest.mark.parametrize(
    ("conditions", "side"),
    [
        ([condition("C50.912"), condition("C50.911")], "both"),
        ([condition("C50.912"), condition("C50.911", clinical="remission")], "left"),  # no tumour any more
        ([condition("C50.912"), condition("C50.911", abatementDateTime="2024-01-01")], "left"),
        ([condition("C50.912"), condition("C50.911", verified="provisional")], "left"),  # see below
        ([condition("C50.912"), condition("C50.911", verified="refuted")], "left"),
        ([condition("C50.912"), condition("C50.412"), condition(BREAST)], "left"),  # one cancer
        ([condition("C50.912"), condition("C50.911", "2031-01-01")], "left"),  # not yet
        ([condition(BREAST, **on(BOTH))], "both"),
        ([condition("353431000119107"), condition("353511000119101")], "both"),
        ([condition("C50.919")], None),
        ([condition(BREAST)], None),
        ([condition("D05.11")], None),
    ],
)
def test_the_side_of_the_disease(conditions: list[Json], side: str | None) -> None:
    assert chart(*conditions).diagnosis.side == side


def test_a_cancer_that_is_only_suspected_may_be_in_the_other_breast() -> None:
    known, suspected = condition("C50.912"), condition("C50.911", verified="provisional")
    said = chart(known, suspected).diagnosis
    assert (said.side, said.suspected_side, said.perhaps_side) == ("left", "right", "both")
    refuted = chart(known, condition("C50.911", verified="refuted")).diagnosis
    assert (refuted.suspected_side, refuted.perhaps_side) == (None, "left")


@pytest.mark.parametrize(
    ("operations", "curative"),
    [
        ([procedure(LUMPECTOMY, "2025-02")], True),
        ([procedure(LUMPECTOMY, "2025-02", **intent(PALLIATIVE))], False),
        ([procedure("80146002", "2025-02")], False),  # an appendix
        ([procedure(LUMPECTOMY, "2025-02", "stopped")], False),
        # More of the tumour, or the healthy breast; in the second case it may also have been the first.
        ([procedure(LUMPECTOMY, "2025-01-31"), procedure(MASTECTOMY, "2025-02")], None),
        ([procedure(LUMPECTOMY, "2025-02-03"), procedure(MASTECTOMY, "2025-02")], None),
        ([procedure(LUMPECTOMY, "2025-02-20"), procedure(MASTECTOMY, "2025-02")], True),
    ],
)
def test_of_an_operation_in_a_month_it_is_told_whether_it_removed_the_tumour(
    operations: list[Json], curative: Tri
) -> None:
    (event,) = chart(*operations, as_of="2025-02-20").events
    assert (event.kind, event.curative) == ("operation-of-uncertain-day", curative)
    assert (str(event.start), str(event.end)) == ("2025-02-01", "2025-02-20")


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (procedure(LUMPECTOMY, None), True),
        (procedure(LUMPECTOMY, None, **intent(PREVENTIVE)), False),
        (procedure(LUMPECTOMY, None, "not-done"), False),
        (procedure(LUMPECTOMY, None, "preparation"), False),
        (procedure("80146002", None), False),
        (procedure(LUMPECTOMY, "2025"), False),
    ],
)
def test_a_resection_without_any_date_is_not_forgotten(operation: Json, expected: bool) -> None:
    assert chart(operation).undated_resection is expected
