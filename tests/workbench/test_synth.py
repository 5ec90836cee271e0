"""Synthetic patients: same seed, same bytes; FHIR in the input profile; the truth agrees with the record."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle

from cds.errors import InputError
from cds.workbench.synth import REFERENCE_DATE, SynthPatient, make_patient, to_json, write_cohort

COHORT = [make_patient(7, index) for index in range(300)]


def observations(patient: SynthPatient) -> list[dict[str, Any]]:
    """The marker results."""
    return [
        entry["resource"]
        for entry in patient.bundle["entry"]
        if "-o" in entry["resource"]["id"] and "issued" in entry["resource"]
    ]


def digest(folder: Path) -> str:
    found = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()


def test_workers_change_nothing(tmp_path: Path) -> None:
    steps = []
    write_cohort(7, 12, 1, tmp_path / "one", progress=lambda: steps.append(1))
    write_cohort(7, 12, 2, tmp_path / "two", progress=lambda: steps.append(1))
    assert digest(tmp_path / "one") == digest(tmp_path / "two")
    assert len(steps) == 24


def test_the_bytes_are_those_of_every_machine() -> None:
    """Whoever changes what is generated renews this digest; on an unchanged generator it holds anywhere."""
    found = hashlib.sha256(b"".join(to_json(patient.bundle) + to_json(patient.truth) for patient in COHORT))
    assert found.hexdigest() == "e9ac619a2ea3c3e66167343078fd5a0c25be8ab672aae0330753b1564bf6c73c"


def test_a_patient_does_not_depend_on_the_cohort() -> None:
    assert make_patient(7, 123) == COHORT[123]
    assert make_patient(8, 123) != COHORT[123]


def test_files_and_truth_agree(tmp_path: Path) -> None:
    write_cohort(7, 3, 1, tmp_path)
    truths = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [truth["file"] for truth in truths] == ["patient-000001.json", "patient-000002.json", "patient-000003.json"]
    for truth in truths:
        bundle = json.loads((tmp_path / truth["file"]).read_bytes())
        assert bundle["entry"][0]["resource"]["id"] == truth["patient"]


def test_a_smaller_cohort_is_not_written_over_a_larger(tmp_path: Path) -> None:
    write_cohort(7, 3, 1, tmp_path)
    with pytest.raises(InputError, match="empty folder"):
        write_cohort(7, 2, 1, tmp_path)


@pytest.mark.parametrize("index", range(50))
def test_bundle_is_fhir(index: int) -> None:
    Bundle.model_validate(json.loads(to_json(COHORT[index].bundle)))


def test_every_reference_leads_somewhere() -> None:
    for patient in COHORT:
        resources = [entry["resource"] for entry in patient.bundle["entry"]]
        known = {f"{resource['resourceType']}/{resource['id']}" for resource in resources}
        for resource in resources:
            for element in ("subject", "specimen"):
                if element in resource:
                    assert resource[element]["reference"] in known


def test_size_is_that_of_a_real_record() -> None:
    assert 20 <= median(len(patient.bundle["entry"]) for patient in COHORT) <= 35
    assert 8_000 <= median(len(to_json(patient.bundle)) for patient in COHORT) <= 10_500


@pytest.mark.parametrize("visits", [1, 10, 200, 1000])
def test_the_number_of_visits_can_be_set(visits: int) -> None:
    patient = make_patient(7, 4, visits=visits)
    drawn = {result["specimen"]["reference"] for result in observations(patient)}
    assert visits * 0.8 - 2 <= len(drawn) <= visits * 1.1 + 3
    assert max(result["effectiveDateTime"] for result in observations(patient)) < REFERENCE_DATE.isoformat()


def test_all_courses_scenarios_and_faults_occur() -> None:
    assert len({patient.truth["scenario"] for patient in COHORT}) == 6
    assert {patient.truth["course"] for patient in COHORT} == {
        "stable", "slow-rise", "step", "exponential", "response-then-escape", "transient-spike", "assay-change",
        "decline", "missing-stretch", "cleared", "source-remains",
    }  # fmt: skip
    assert {fault["kind"] for patient in COHORT for fault in patient.truth["faults"]} == {
        "late", "corrected", "amended", "entered-in-error", "duplicate", "out-of-order", "second-laboratory",
        "second-unit", "missing-unit", "date-only", "missing-baseline",
    }  # fmt: skip


def test_faults_are_in_the_record() -> None:
    seen = Counter[str]()
    for patient in COHORT:
        results = {result["id"]: result for result in observations(patient)}
        statuses = {result["status"] for result in observations(patient)}
        for fault in patient.truth["faults"]:
            kind, result = fault["kind"], results.get(fault["result"])
            seen[kind] += 1
            if kind == "missing-baseline":
                assert result is None
            elif kind == "missing-unit":
                assert result is not None
                assert "code" not in result["valueQuantity"]
            elif kind == "date-only":
                assert result is not None
                assert len(result["effectiveDateTime"]) == 10
            elif kind == "duplicate":
                assert f"{fault['result']}d" in results
            elif kind in ("corrected", "amended", "entered-in-error"):
                assert kind in statuses
    assert min(seen.values()) > 0


def test_values_below_the_limit_carry_a_comparator() -> None:
    quantities = [result["valueQuantity"] for patient in COHORT for result in observations(patient)]
    censored = [quantity for quantity in quantities if quantity.get("comparator") == "<"]
    assert 0 < len(censored) < len(quantities) / 5
    assert all(quantity["value"] > 0 for quantity in quantities)


def test_truth_is_consistent() -> None:
    for patient in COHORT:
        truth = patient.truth
        assert truth["resistant"] == (truth["onset"] is not None)
        if truth["should_flag"]:
            assert truth["resistant"]
            assert truth["can_flag"]
            assert truth["onset"] <= truth["first_risen"] < truth["confirmed"]
        if truth["progression"]:
            assert truth["resistant"]
    assert 0.05 < sum(patient.truth["should_flag"] for patient in COHORT) / len(COHORT) < 0.5
    leads = [patient.truth["lead_days"] for patient in COHORT if patient.truth["lead_days"] is not None]
    assert min(leads) < median(leads) < max(leads)
