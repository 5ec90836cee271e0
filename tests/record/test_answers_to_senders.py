"""What whoever sends results is told of them: all that they could mend is named, and what waits is not called done."""

from __future__ import annotations

from tests.intake.test_three_labs import observation
from tests.record.test_arrivals import MRN, Clinic, clinic, one

__all__ = ["clinic"]


def test_what_is_sent_again_is_said_to_wait_still_or_to_be_set_aside(clinic: Clinic) -> None:
    message = one("2025-03-24", "5.6").replace(b"4711^^^CLINIC", b"4712^^^CLINIC")
    again = message.replace(b"20250408", b"20250409")  # another time and number in its head
    for sent in (message, message, again):
        assert b"|2 of 2 results taken, 2 wait" in clinic.sends(sent)
    (waiting,) = clinic.queue.waiting("default")
    clinic.queue.set_aside("default", waiting.id, "lab desk")
    for sent in (message, again):
        assert b"|2 of 2 results taken, 2 set aside before" in clinic.sends(sent)


def test_of_a_message_with_a_refusal_too_it_is_said_what_waits(clinic: Clinic) -> None:
    message = one("2025-03-24", "5.6").replace(b"4711^^^CLINIC", b"4712^^^CLINIC")
    answer = clinic.sends(message.replace(b"10*6{particles}/mL", b"{copies}/mL"))
    assert b"MSA|AE|M1|1 result refused; what could be read is stored, 1 wait" in answer


def test_results_by_fhir_that_were_set_aside_are_said_to_be(clinic: Clinic) -> None:
    nobodys = observation(subject={"identifier": {"system": MRN, "value": "9"}})
    clinic.posts(nobodys)
    (waiting,) = clinic.queue.waiting("default")
    clinic.queue.set_aside("default", waiting.id, "lab desk")
    answer = clinic.posts(nobodys)
    (issue,) = answer.json()["issue"]
    assert (answer.status_code, "1 known before, 1 of them set aside" in issue["diagnostics"]) == (200, True)


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
    assert told == "1 result of no marker that is known here"
