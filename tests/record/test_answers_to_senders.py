"""What whoever sends results is told of them: all that they could mend is named, and what waits is not called done."""

from __future__ import annotations

from tests.intake.test_three_labs import observation
from tests.record.conftest import *  # noqa: F403 - the record on both databases
from tests.record.test_arrivals import Clinic, clinic

__all__ = ["clinic"]


def test_a_mistyped_code_of_a_laboratory_that_is_known_is_an_error_with_its_place(clinic: Clinic) -> None:
    foreign = observation(code={"coding": [{"system": "http://loinc.org", "code": "718-7"}]})
    mistyped = observation(code={"coding": [{"system": "https://fhir-lab.example/codes", "code": "ZZZ"}]})
    sent = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": foreign}, {"resource": mistyped}]}
    answer = clinic.posts(sent)
    (error,) = [one for one in answer.json()["issue"] if one["severity"] == "error"]
    assert (answer.status_code, error["expression"]) == (422, ["Bundle.entry[1].resource"])
    assert "no rule file says what its code 'ZZZ' of https://fhir-lab.example/codes means" in error["diagnostics"]
    assert "likely mistyped" in error["diagnostics"]
    (told,) = [one["diagnostics"] for one in answer.json()["issue"] if one["code"] == "not-supported"]
    assert told == "1 results are of no marker that is known here"
