"""Results of laboratories, end to end: they arrive, find their patient, and change the advice."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import func, select
from starlette.testclient import TestClient

from cds.intake.interfaces import load_interfaces
from cds.reasoning.loading import shipped_rules
from cds.record import tables
from cds.record.arrivals import Delivered, Part
from cds.record.audit import instant, verify
from cds.record.database import Database
from cds.record.erasure import erase, export
from cds.record.identity import Identity
from cds.record.listing import advisories, history
from cds.record.ownership import Owner, Person
from cds.record.recorder import Overtaken, Recorder
from cds.service.app import create_app
from cds.settings import Settings
from cds.workbench.synth.requests import hook_request
from tests.intake.test_hl7v2 import obx
from tests.intake.test_labs import SERIES, order
from tests.intake.test_three_labs import bundle, observation
from tests.patients.archetypes import patient
from tests.record.visits import REASONER, asked, visit, who

SERVICE = "/cds-services/exowatch-patient-view"
MRN = "https://clinic.example/mrn"
SERVER = "http://127.0.0.1:9/fhir"
PATIENT = {
    "resourceType": "Patient", "id": "p1", "gender": "female", "birthDate": "1970-05-14",
    "identifier": [{"system": MRN, "value": "4711"}],
}  # fmt: skip
INTERFACES = load_interfaces(shipped_rules(), REASONER.rulebook.catalogue.declarations)


class Clinic:
    """A clinic whose EHR calls the service, and whose laboratories send to it."""

    def __init__(self, database: Database, **settings: Any):
        self.day = datetime(2025, 4, 22, 9, tzinfo=UTC)
        self.extra: list[dict[str, Any]] = []  # what the EHR has beside
        self.database = database
        recorder = Recorder(database, REASONER.rulebook, None)
        self.queue = recorder.queue
        self.app: FastAPI = create_app(
            Settings(open_mode=True, **settings),
            REASONER,
            recorder=recorder,
            clock=lambda: self.day,
            interfaces=INTERFACES,
        )
        self.http = TestClient(
            self.app, base_url="http://localhost", client=("127.0.0.1", 50000), raise_server_exceptions=False
        )

    def on(self, day: str) -> Clinic:
        self.day = datetime.fromisoformat(f"{day}T20:00:00+00:00")
        return self

    def opens(self, patient: Mapping[str, Any] = PATIENT, server: str = SERVER) -> Any:
        """The answer when somebody opens a chart that holds therapy and disease, and no result."""
        subject = {"subject": {"reference": f"Patient/{patient['id']}"}}
        therapy = {
            "resourceType": "MedicationStatement", "id": "paclitaxel", "status": "active", **subject,
            "medicationCodeableConcept": {
                "coding": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "56946"}]
            },
            "effectivePeriod": {"start": "2025-01-06"},
        }  # fmt: skip
        cancer = {
            "resourceType": "Condition", "id": "cancer", **subject, "onsetDateTime": "2024-12-01",
            "code": {"coding": [{"system": "http://snomed.info/sct", "code": "254837009"}]},
        }  # fmt: skip
        bundle = {"resourceType": "Bundle", "type": "collection",
                  "entry": [{"resource": one} for one in (patient, therapy, cancer, *self.extra)]}  # fmt: skip
        service = next(
            one for one in self.http.get("/cds-services").json()["services"] if one["hook"] == "patient-view"
        )
        request = {**hook_request(bundle, service), "hookInstance": str(uuid.uuid4())}
        return self.http.post(SERVICE, json=request | ({"fhirServer": server} if server else {}))

    def sends(self, message: bytes) -> bytes:
        """The acknowledgement of a message; what arrived has been evaluated."""
        answer: bytes = self.app.state.reception.message(message, "test")
        self.settles()
        return answer

    def posts(self, content: Any) -> Any:
        answer = self.http.post("/results", json=content)
        self.settles()
        return answer

    def settles(self) -> int:
        """What the service does in its own threads; for how many patients."""
        self.app.state.matcher.settle()
        done: int = self.app.state.follower.settle()
        return done

    @property
    def standing(self) -> list[tuple[str, str]]:
        """State and standing of every advisory."""
        return [(one.state, one.standing) for one in advisories(self.database, "default")]


@pytest.fixture
def clinic(database: Database) -> Iterator[Clinic]:
    clinic = Clinic(database).on("2025-01-10")
    assert clinic.opens().status_code == 200
    yield clinic
    with database.reading() as connection:
        assert verify(connection, {}).holds


def code_of(answer: bytes) -> str:
    return answer.split(b"\r")[1].split(b"|")[1].decode()


def one(day: str, value: str, status: str = "F") -> bytes:
    total = obx(f1="2", f3="EV-TOTAL^^99EEL", f5="11", f6="10*9{particles}/mL", f11=status)
    return order(day, obx(f5=value, f6="10*6{particles}/mL", f11=status), total)


def sent_until(clinic: Clinic, last: str = "2025-04-21") -> None:
    for day, (value, _) in SERIES.items():
        if day <= last:
            assert code_of(clinic.on(max(day, "2025-01-10")).sends(one(day, value))) == "AA"


def test_an_arriving_result_opens_the_advisory_before_anyone_opens_the_chart(clinic: Clinic) -> None:
    sent_until(clinic, "2025-03-24")
    assert clinic.standing == [("watch", "open")]
    clinic.on("2025-04-21").sends(one("2025-04-21", "6.3"))
    assert clinic.standing == [("suspected", "open")]
    (card,) = clinic.on("2025-04-22").opens().json()["cards"]
    assert card["indicator"] == "warning"
    assert "6.3" in card["detail"]


@pytest.mark.parametrize(("status", "standing"), [("C", "closed"), ("D", "watch"), ("W", "watch")])
def test_a_correction_a_deletion_and_a_wrong_patient_change_the_advisory(
    clinic: Clinic, status: str, standing: str
) -> None:
    """The second of two high values turns out to be low, or not to be hers."""
    sent_until(clinic)
    assert clinic.standing == [("suspected", "open")]
    (shown,) = clinic.on("2025-04-22").opens().json()["cards"]
    clinic.on("2025-04-23").sends(one("2025-04-21", "2.1" if status == "C" else "6.3", status))
    (listed,) = advisories(clinic.database, "default")
    kinds = [event.kind for event in history(clinic.database, listed.id)]
    assert "withdrawn" in kinds
    cards = clinic.on("2025-04-24").opens().json()["cards"]
    assert cards[0]["summary"].startswith("Withdrawn")
    reason = {"C": "was corrected by the laboratory", "D": "entered in error", "W": "entered in error"}[status]
    assert reason in cards[0]["detail"]
    if status == "C":
        assert listed.standing == "withdrawn"
        assert len(cards) == 1
    else:
        assert (listed.state, listed.standing) == ("watch", "open")
        assert "suspected" not in cards[1]["summary"].lower()
    assert shown["uuid"] not in {card["uuid"] for card in cards}


def test_all_results_withdrawn_leave_no_advice(clinic: Clinic) -> None:
    sent_until(clinic)
    assert len(clinic.on("2025-04-22").opens().json()["cards"]) == 1
    for day, (value, _) in SERIES.items():
        clinic.on("2025-04-23").sends(one(day, value, "W"))
    (listed,) = advisories(clinic.database, "default")
    assert listed.standing == "withdrawn"
    cards = clinic.on("2025-04-24").opens().json()["cards"]
    assert [card["summary"][:9] for card in cards] == ["Withdrawn"]


def test_the_same_message_again_is_acknowledged_and_stored_once(clinic: Clinic) -> None:
    message = one("2025-03-24", "5.6")
    assert b"2 of 2 results taken" in clinic.on("2025-03-24").sends(message)
    again = message.replace(b"20250408", b"20250409")  # another time and number in its head
    for repeated in (message, again):
        assert code_of(clinic.on("2025-03-25").sends(repeated)) == "AA"
    sent = Recorder(clinic.database, REASONER.rulebook).arrivals.of(Identity("default", SERVER, "Patient/p1")).resources
    assert len([one for one in sent if one["resourceType"] == "Observation"]) == 2


def test_what_is_no_message_of_results_is_rejected_and_why(clinic: Clinic) -> None:
    message = one("2025-03-24", "5.6")
    for wrong, number, words in (
        (message.replace(b"ORU^R01", b"ADT^A08"), b"200", b"carries no results"),
        (message.replace(b"|P|", b"|T|", 1), b"202", b"for training or tests"),
        (message.replace(b"|EEL|", b"|ELSE|", 1), b"204", b"is that of no laboratory"),
        (b"PID|1||4711", b"100", b"does not begin with MSH"),
    ):
        answer = clinic.sends(wrong)
        assert code_of(answer) == "AR", answer
        assert b"ERR|||" + number in answer
        assert words in answer.replace(b"\\T\\", b"&")
    assert code_of(clinic.sends(message.replace(b"10*6{particles}/mL", b"{copies}/mL"))) == "AE"
    assert b"OBX 1" in clinic.sends(message.replace(b"10*6{particles}/mL", b"{copies}/mL"))
    many = message.replace(b"OBX|2|", b"OBX|9|NM|718-7^Haemoglobin^LN||12|g/dL|||||F\rOBX|2|")
    answer = clinic.sends(many)
    assert (code_of(answer), b"2 of 3 results taken" in answer) == ("AA", True)


def test_the_answer_names_the_message_that_came_first_however_it_is_damaged(clinic: Clinic) -> None:
    first, second = one("2025-03-24", "5.6"), one("2025-03-25", "5.7")
    for damaged in (
        first.replace(b"|^~\\&|", b"|^P&|"),
        first.replace(b"|^~\\&|", b"||"),
        first.replace(b"|^~\\&|", b"|^~\\&##|"),
    ):
        assert damaged != first
        answer = clinic.sends(damaged.replace(b"|M1|", b"|FIRST|") + second.replace(b"|M1|", b"|SECOND|"))
        assert b"|FIRST" in answer.split(b"\r")[1], answer


def test_a_result_that_is_of_no_use_is_stored_and_its_sender_hears_of_it(clinic: Clinic) -> None:
    answer = clinic.on("2025-03-24").sends(one("2025-03-24", "-5.6"))
    assert (code_of(answer), b"2 of 2 results taken" in answer) == ("AA", True)
    (error,) = [segment for segment in answer.split(b"\r") if segment.startswith(b"ERR")]
    assert error.split(b"|")[4] == b"W"
    assert b"message 1, OBX 1, line 4, EV-TRPC5: stored, but its value is negative" in error
    told_ = told(clinic.posts(observation(valueQuantity={"value": -5.6, "unit": "10*6{particles}/mL"})))
    assert [severity for severity, _ in told_] == ["information", "warning"]
    assert "it is stored, but its value is negative" in told_[1][1]


# whose ------------------------------------------------------------------------------------------------------------------


def test_nobody_is_guessed(clinic: Clinic) -> None:
    message, arrivals = one("2025-03-24", "5.6"), clinic.queue
    for changed, why in (
        (message.replace(b"4711^^^CLINIC", b"4712^^^CLINIC"), "nobody"),
        (message.replace(b"4711^^^CLINIC", b"4711^^^OTHER"), "nobody"),
        (message.replace(b"4711^^^CLINIC", b"4711^^^"), "unnamed"),
        (message.replace(b"19700514", b"19700515"), "contradicts"),
    ):
        before = {one_.id for one_ in arrivals.waiting("default")}
        answer = clinic.sends(changed)
        assert (code_of(answer), b"2 wait" in answer) == ("AA", True), answer
        assert [one_.waits for one_ in arrivals.waiting("default") if one_.id not in before] == [why]
    assert clinic.standing == []
    clinic.opens({**PATIENT, "id": "p2"})
    clinic.sends(one("2025-04-21", "6.3"))
    assert "several" in {one_.waits for one_ in arrivals.waiting("default")}


def test_somebody_says_whose_they_are_and_can_take_it_back(clinic: Clinic) -> None:
    clinic.opens({**PATIENT, "id": "p2", "identifier": []})
    arrivals = clinic.queue
    for day, (value, _) in SERIES.items():
        clinic.on("2025-04-22").sends(one(day, value).replace(b"4711^^^CLINIC", b"4799^^^CLINIC"))
    waiting = arrivals.waiting("default")
    assert len(waiting) == 5
    for one_ in waiting:
        arrivals.assign("default", one_.id, Identity("default", SERVER, "Patient/p2"), "board-7")
    clinic.settles()
    assert arrivals.waiting("default") == []
    assert [(one_.patient, one_.state) for one_ in advisories(clinic.database, "default")] == [
        ("Patient/p2", "suspected")
    ]
    for one_ in waiting:
        arrivals.assign("default", one_.id, Identity("default", SERVER, "Patient/p1"), "board-7", instant(clinic.day))
    clinic.settles()
    found = {one_.patient: one_.standing for one_ in advisories(clinic.database, "default")}
    assert found == {"Patient/p1": "open", "Patient/p2": "withdrawn"}


def test_a_number_that_was_taken_from_a_patient_leads_to_them_no_more(clinic: Clinic) -> None:
    clinic.opens({**PATIENT, "identifier": [{"system": MRN, "value": "4712"}]})
    clinic.sends(one("2025-03-24", "5.6"))
    assert [one_.waits for one_ in clinic.queue.waiting("default")] == ["nobody"]


def test_what_was_set_aside_is_gone_and_stays_away(clinic: Clinic) -> None:
    message = one("2025-03-24", "5.6").replace(b"4711^^^CLINIC", b"4799^^^CLINIC")
    clinic.sends(message)
    arrivals = clinic.queue
    (waiting,) = arrivals.waiting("default")
    arrivals.set_aside("default", waiting.id, "board-7")
    clinic.sends(message)
    assert arrivals.waiting("default") == []


def test_what_arrived_is_exported_and_erased_with_the_patient(clinic: Clinic) -> None:
    sent_until(clinic)
    who = Identity("default", SERVER, "Patient/p1")
    exported = export(clinic.database, who)
    assert len(exported["arrival"]) == 5
    assert exported["identifier"][0]["value"] == "4711"
    assert "4711" in json.dumps(exported["arrival"])
    erase(clinic.database, who, "test")
    clinic.sends(one("2025-04-21", "6.4"))
    assert [one_.waits for one_ in clinic.queue.waiting("default")] == ["nobody"]


# FHIR -------------------------------------------------------------------------------------------------------------------


def told(answer: Any) -> list[tuple[str, str]]:
    return [(one["severity"], one["diagnostics"]) for one in answer.json()["issue"]]


def test_what_waits_can_be_alarmed_on(clinic: Clinic) -> None:
    def values() -> dict[str, float]:
        lines = clinic.http.get("/metrics").text.splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}

    before = values()
    assert {name: value for name, value in before.items() if "waiting" in name or "_due" in name} == {
        **{f'exowatch_results_waiting{{reason="{why}"}}': 0 for why in ("unnamed", "nobody", "several", "contradicts", "claimed")},
        "exowatch_evaluations_due": 0, "exowatch_evaluation_due_seconds": 0,
    }  # fmt: skip
    clinic.sends(one("2025-03-24", "5.6").replace(b"4711^^^CLINIC", b"4712^^^CLINIC"))
    clinic.app.state.reception.message(one("2025-03-24", "5.6"), "test")  # and nobody evaluates
    after = values()
    assert after['exowatch_results_waiting{reason="nobody"}'] == 2
    assert after["exowatch_evaluations_due"] == 1
    assert 0 <= after["exowatch_evaluation_due_seconds"] < 60
    clinic.settles()
    assert values()["exowatch_evaluations_due"] == 0


def test_a_bundle_of_results_is_taken_evaluated_and_known_when_it_comes_again(clinic: Clinic) -> None:
    answer = clinic.on("2025-04-22").posts(bundle())
    assert (answer.status_code, told(answer)) == (
        200,
        [("information", "10 results: 10 taken (10 new, 0 known before)")],
    )
    assert clinic.standing == [("suspected", "open")]
    assert told(clinic.posts(bundle())) == [("information", "10 results: 10 taken (0 new, 10 known before)")]


def test_a_result_that_is_refused_or_waits_shows_in_the_status(clinic: Clinic) -> None:
    waits = observation(subject={"identifier": {"system": MRN, "value": "9"}})
    answer = clinic.posts(waits)
    assert (answer.status_code, told(answer)[1][0]) == (202, "warning")
    wrong = observation(valueQuantity={"value": 5.6, "unit": "{copies}/mL"})
    answer = clinic.posts(
        {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": wrong}, {"resource": waits}]}
    )
    assert answer.status_code == 422
    assert "is no unit of trpc5-ev" in told(answer)[1][1]
    foreign = observation(code={"coding": [{"system": "http://loinc.org", "code": "718-7"}]})
    answer = clinic.posts(foreign)
    assert (answer.status_code, told(answer)[1][1]) == (200, "1 result of no marker that is known here")
    assert clinic.posts({"resourceType": "Patient"}).status_code == 400
    assert clinic.http.post("/results", content=b"{", headers={"content-type": "application/json"}).status_code == 400


def test_a_patient_may_be_named_by_an_absolute_reference(clinic: Clinic) -> None:
    answer = clinic.posts(observation(subject={"reference": "https://ehr.example/fhir/Patient/p1"}))
    assert answer.status_code == 202
    clinic.opens(server="https://ehr.example/fhir")
    again = observation(id="2", subject={"reference": "https://ehr.example/fhir/Patient/p1"})
    assert clinic.posts(again).status_code == 200


def test_the_same_result_from_the_ehr_and_the_laboratory_counts_once(clinic: Clinic) -> None:
    """The EHR has the laboratory's results too, under ids of its own."""
    clinic.on("2025-04-22").posts(bundle())
    before = clinic.opens().json()["cards"]
    own = bundle()
    for entry in own["entry"]:
        resource = entry["resource"]
        if resource["resourceType"] == "Observation":
            resource |= {"id": f"ehr-{resource['id']}", "subject": {"reference": "Patient/p1"}}
    clinic.extra = [one["resource"] for one in own["entry"] if one["resource"]["resourceType"] == "Observation"]
    after = clinic.opens().json()["cards"]
    assert [card["summary"] for card in after] == [card["summary"] for card in before]
    assert after[0]["detail"].count("**6.3") == before[0]["detail"].count("**6.3")


def test_a_result_that_arrives_while_a_chart_is_evaluated_is_not_lost(clinic: Clinic) -> None:
    """The evaluation that was overtaken is begun anew: it says what stands with the result."""
    sent_until(clinic, "2025-03-24")
    clinic.on("2025-04-22")
    recorder = clinic.app.state.reception
    started = threading.Event()

    def send() -> None:
        started.set()
        recorder.message(one("2025-04-21", "6.3"), "test")

    for _ in range(5):
        sender = threading.Thread(target=send)
        sender.start()
        started.wait()
        assert clinic.opens().status_code == 200
        sender.join()
    clinic.settles()
    assert clinic.standing == [("suspected", "open")]


def test_an_evaluation_that_was_overtaken_is_not_recorded(database: Database) -> None:
    recorder = Recorder(database, REASONER.rulebook)
    visit(recorder, "A29", "2025-03-31")
    owner = Owner(((MRN, "29"),))
    person = Person(who("Patient/a29"), owner.identifiers)
    part = Part(owner, [{"resourceType": "Observation", "id": "1", "status": "final"}], 1)
    recorder.arrivals.take(
        Delivered("here", "lab", "file", b"1", "2025-04-01T00:00:00Z", 1, 1, (), [part]),
        lambda _tenant, _owner: [person],
    )
    bundle_ = patient("A29").bundle(date(2025, 4, 28))
    late = asked(bundle_, "2025-04-28")
    late.due = ""
    with pytest.raises(Overtaken):
        recorder.record(late)
    with database.reading() as connection:
        assert connection.execute(select(func.count()).select_from(tables.evaluation)).scalar_one() == 1
    late.due = recorder.arrivals.of(late.who).due
    assert recorder.arrivals.due() == [late.who]
    recorder.record(late)
    assert recorder.arrivals.due() == []
