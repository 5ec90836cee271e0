"""The archetypes themselves: all there, valid FHIR, and each expectation about a marker that the record holds."""

from __future__ import annotations

import json
from datetime import date

import pytest
from fhir.resources.R4B.bundle import Bundle

from tests.patients.archetypes import Archetype, patient, patients

IDS = [
    "A01",
    "A02",
    "A03",
    "A05",
    "A06",
    "A08",
    "A09",
    "A11",
    "A13",
    "A16",
    "A17",
    "A18",
    "A20",
    "A21",
    "A23b",
    "A24",
    "A26",
    "A28",
    "A29",
    "A30",
    "A32a",
    "A34",
    "A35",
    "A36",
    "A39",
    "A40",
    "A43",
    "A45",
    "A46",
    "A47",
    "A48",
    "A50",
]
STATES = {
    "out-of-scope", "data-quality", "not-evaluable", "not-applicable", "hold", "discordant", "background", "suspected",
    "persistent", "watch", "no-flag", None,
}  # fmt: skip


def test_every_patient_of_the_evidence_is_here() -> None:
    assert [archetype.id for archetype in patients()] == IDS


@pytest.mark.parametrize("archetype", patients(), ids=lambda archetype: archetype.id)
def test_bundle_is_fhir(archetype: Archetype) -> None:
    bundle = Bundle.model_validate(json.loads(json.dumps(archetype.bundle())))
    assert bundle.entry
    versions = [
        (entry["fullUrl"], entry["resource"].get("meta", {}).get("versionId")) for entry in archetype.bundle()["entry"]
    ]
    assert len(versions) == len(set(versions))


@pytest.mark.parametrize("archetype", patients(), ids=lambda archetype: archetype.id)
def test_expectations_are_complete(archetype: Archetype) -> None:
    markers = {measurement.assay.code.removesuffix("-delta-ct") for measurement in archetype.person.measurements}
    assert {expectation.marker for expectation in archetype.expected} == markers
    assert {expectation.state for expectation in archetype.expected} <= STATES
    # Every day of an expectation is one on which something became known.
    known = {
        date.fromisoformat(version.issued[:10])
        for measurement in archetype.person.measurements
        for version in measurement.versions
    }
    assert {expectation.as_of for expectation in archetype.expected} <= known


def test_every_result_states_how_it_was_obtained() -> None:
    stated = {
        "limit-of-detection", "total-ev", "haemolysis", "lipaemia", "residual-platelets", "reagents", "normaliser",
        "reagent-lot",
    }  # fmt: skip
    for entry in patient("A01").bundle()["entry"]:
        resource = entry["resource"]
        if resource["resourceType"] == "Specimen":
            assert {"type", "collection", "processing", "container", "identifier"} <= resource.keys()
        if "component" in resource:
            assert {part["code"]["coding"][0]["code"] for part in resource["component"]} == stated
            assert {"method", "device", "performer", "specimen", "issued", "effectiveDateTime"} <= resource.keys()


def test_a_record_as_of_a_day_holds_nothing_learnt_later() -> None:
    corrected = patient("A29")

    def statuses(known_by: date | None) -> list[str]:
        entries = corrected.bundle(known_by)["entry"]
        return [entry["resource"]["status"] for entry in entries if "component" in entry["resource"]]

    assert statuses(None) == ["final", "final", "final", "corrected"]
    assert statuses(date(2025, 5, 1)) == ["final", "final", "final"]
    assert statuses(date(2025, 4, 27)) == ["final", "final"]

    infection = [
        entry["resource"]
        for entry in patient("A35").bundle(date(2025, 4, 7))["entry"]
        if entry["resource"].get("code", {}).get("text") == "Sepsis"
    ]
    assert "abatementDateTime" not in infection[0]
