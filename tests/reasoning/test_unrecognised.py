"""A treatment that nobody recognises is never taken for none: unknown is not false (R6, R7)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from cds.chart.reading import read
from cds.reasoning.loading import default_rulebook
from cds.reasoning.reasoner import Reasoner
from tests.chart.fixtures_clinical import ATC, RXNORM, dose, statement
from tests.patients.archetypes import patient

REASONER = Reasoner(default_rulebook())
LOCAL = "https://hospital.example/drugs"
RELATED = {"profile": ["http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-cancer-related-medication-request"]}
Json = dict[str, Any]
Change = Callable[[list[Json]], None]


def coded(system: str, code: str, text: str = "") -> Json:
    return {"coding": [{"system": system, "code": code}]} | ({"text": text} if text else {})


def called(concept: Json) -> Change:
    """All drugs of the record are coded so."""

    def change(resources: list[Json]) -> None:
        for one in resources:
            if "medicationCodeableConcept" in one:
                one["medicationCodeableConcept"] = concept

    return change


def beside(resource: Json) -> Change:
    return lambda resources: resources.append({**resource, "subject": resources[0]["subject"]})


def states(name: str, *changes: Change, on: str = "") -> dict[str, str]:
    """By rule, what is found of a patient of the evidence whose record was changed."""
    one = patient(name)
    day = date.fromisoformat(on) if on else max(expected.as_of for expected in one.expected)
    bundle = one.bundle(day)
    resources = [entry["resource"] for entry in bundle["entry"]]
    about = [resource for resource in resources if "subject" in resource]
    for change in changes:
        change(about)
    added = [{"resource": one} for one in about if one not in resources]
    chart = read({**bundle, "entry": [*bundle["entry"], *added]}, REASONER.rulebook.catalogue).as_of(str(day))
    return {finding.rule.name: finding.state for finding in REASONER.evaluate(chart).findings}


TRPC5, CHECKPOINT = "trpc5-rise-on-chemotherapy", "pdl1-rise-on-checkpoint-inhibitor"
HER2, PDL1_ALONE = "tgfb1-pdl1-rise-on-her2-therapy", "pdl1-on-chemotherapy"


@pytest.mark.parametrize(
    "concept",
    [
        coded(LOCAL, "4711", "Paclitaxel 6 mg/mL"),
        coded(LOCAL, "4711"),
        {"text": "Taxol weekly"},
        coded(ATC, "L01XX99"),
    ],
)
def test_the_only_treatment_that_nobody_recognises_may_be_the_one_that_is_asked_about(concept: Json) -> None:
    assert states("A01")[TRPC5] == "suspected"
    assert states("A01", called(concept))[TRPC5] == "not-evaluable"


def test_a_drug_that_is_known_to_be_of_another_class_is_not_it() -> None:
    known = beside(statement("letrozole", "2025-01-10"))
    for concept in (coded(LOCAL, "4711", "Tamoxifen 20 mg"), coded(ATC, "L01FF13")):
        assert states("A01", called(concept), known)[TRPC5] == "not-applicable"
    assert states("A01", called(coded(LOCAL, "4711", "Paclitaxel")), known)[TRPC5] == "not-evaluable"
    assert states("A01", called(coded(LOCAL, "4711")), known)[TRPC5] == "not-applicable"


def test_beside_a_treatment_that_is_known_something_uncoded_is_likely_none_against_cancer() -> None:
    uncoded = statement("tamoxifen", "2025-01-10", medicationCodeableConcept={"text": "the white ones"})
    assert states("A01", beside(uncoded))[TRPC5] == "suspected"


def test_a_checkpoint_inhibitor_that_is_in_no_class_may_bind_the_analyte() -> None:
    assert states("A21")[HER2] == "suspected"
    unlisted = statement(f"{ATC}|L01FF11", "2024-12-01")
    found = states("A21", beside(unlisted))
    assert found[HER2] == "not-evaluable"
    assert found[CHECKPOINT] == "not-evaluable"


def test_one_of_another_group_changes_nothing_for_the_analyte() -> None:
    hormone = dose(f"{LOCAL}|1", "2025-01-06", medicationCodeableConcept=coded(LOCAL, "1", "Anastrozol"))
    assert states("A21", beside(hormone))[HER2] == "suspected"


def test_a_drug_that_its_code_or_its_profile_puts_elsewhere_does_not_silence_other_rules() -> None:
    megestrol = statement(f"{ATC}|L02AB01", "2025-01-10")
    prednisone = statement("tamoxifen", "2025-01-10", medicationCodeableConcept=coded(RXNORM, "8640"), meta=RELATED)
    for added in (megestrol, prednisone):
        assert states("A21", beside(added))[HER2] == "suspected"
        assert states("A18", beside(added))[CHECKPOINT] == states("A18")[CHECKPOINT] == "suspected"


def test_a_line_that_has_ended_may_have_been_followed_by_an_unrecognised_one() -> None:
    def ended(resources: list[Json]) -> None:
        for one in resources:
            if "medicationCodeableConcept" in one:
                one["status"] = "completed"
                one.pop("effectiveDateTime", None)
                one["effectivePeriod"] = {"start": "2025-01-06", "end": "2025-04-22"}

    later = statement(f"{ATC}|L01XX99", "2025-04-28")
    assert states("A01", ended, on="2025-04-30")[TRPC5] == "suspected"
    assert states("A01", ended, beside(later), on="2025-04-30")[TRPC5] == "not-evaluable"
