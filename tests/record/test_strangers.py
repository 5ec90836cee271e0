"""Results of people whom nobody knows yet: each finds theirs once they are known, however many strangers wait before them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from sqlalchemy import func, insert, select

from cds.record import content, tables
from cds.record.arrivals import Delivered, Kept, Part
from cds.record.audit import verify
from cds.record.database import Database
from cds.record.identity import Identity
from cds.record.ownership import Owner, Person, Resolve, Unanswered, nobody
from cds.record.recorder import Recorder
from tests.intake.test_three_labs import observation
from tests.record.test_arrivals import MRN, PATIENT, SERVER, Clinic, code_of, one, told
from tests.record.visits import REASONER

MANY = 1500


@pytest.fixture
def clinic(database: Database) -> Iterator[Clinic]:
    found = Clinic(database).on("2025-01-10")
    assert found.opens().status_code == 200
    yield found
    with database.reading() as connection:
        assert verify(connection, {}).holds


def delivered(*owners: Owner, at: str = "2025-04-01T00:00:00.000000Z") -> Delivered:
    parts = [
        Part(owner, [{"resourceType": "Observation", "id": f"{number}", "status": "final"}], 1)
        for number, owner in enumerate(owners)
    ]
    return Delivered("default", "lab", "file", repr(owners).encode(), at, len(parts), len(parts), (), parts)


def kept(clinic: Clinic, sent: Delivered, ehr: Resolve = nobody) -> Kept:
    return Recorder(clinic.database, REASONER.rulebook).arrivals.take(sent, ehr)


def strangers(count: int) -> list[Owner]:
    return [Owner(((MRN, f"X{number}"),)) for number in range(count)]


class Ehr:
    """Answers for an EHR, and counts how often it is asked."""

    def __init__(self, *known: Person, silent: bool = False):
        self.known, self.silent, self.asked = known, silent, 0

    def __call__(self, _tenant: str, owner: Owner) -> Sequence[Person]:
        self.asked += 1
        if self.silent:
            raise Unanswered("nobody is there")
        return [one_ for one_ in self.known if set(one_.identifiers) & set(owner.identifiers)]


def test_who_becomes_known_finds_theirs_behind_however_many_strangers(clinic: Clinic) -> None:
    assert sum(kept(clinic, delivered(*strangers(MANY))).waiting.values()) == MANY
    assert code_of(clinic.on("2025-04-21").sends(one("2025-04-21", "6.3").replace(b"4711^^^CLINIC", b"4799^^^CLINIC")))
    clinic.opens({**PATIENT, "id": "p9", "identifier": [{"system": MRN, "value": "4799"}]})
    assert len(clinic.queue.waiting("default")) == MANY
    assert clinic.app.state.matcher.settle() == 0
    with clinic.database.reading() as connection:
        assert connection.execute(select(func.count()).select_from(tables.sought)).scalar_one() == MANY


def test_what_waits_no_more_is_sought_no_more(clinic: Clinic) -> None:
    kept(clinic, delivered(*strangers(3)))
    first, second, third = (one_.id for one_ in clinic.queue.waiting("default"))
    clinic.queue.assign("default", first, Identity("default", SERVER, "Patient/p1"), "registrar")
    clinic.queue.set_aside("default", second, "registrar")
    with clinic.database.reading() as connection:
        assert connection.execute(select(tables.sought.c.arrival_id)).scalars().all() == [third]


def test_what_waited_before_there_was_a_list_of_the_sought_is_found(database: Database) -> None:
    database.downgrade("0005")
    reference = "https://ehr.example/fhir/Patient/7"
    with database.writing() as connection:
        for key, person in (("a", [[[MRN, "4711"]], "1970-05-14", ""]), ("b", [[], "", reference])):
            row = {
                "id": key, "patient_id": None, "tenant": "default", "laboratory": "lab", "source": "file", "digest": key,
                "person": content.packed(person), "resources": content.packed([]), "results": 1, "waits": "nobody", "by": "",
                "at": "2025-01-01T00:00:00.000000Z",
            }  # fmt: skip
            connection.execute(insert(tables.arrival), row)
    database.upgrade()
    clinic = Clinic(database).on("2025-01-10")
    assert clinic.queue.match() == 0
    clinic.opens()
    clinic.opens({**PATIENT, "id": "7", "identifier": []}, server="https://ehr.example/fhir")
    assert clinic.queue.waiting("default") == []


def test_a_patient_named_outright_is_compared_by_date_of_birth_too(clinic: Clinic) -> None:
    server = "https://ehr.example/fhir"
    clinic.opens(server=server)
    for born, status in (("1944-01-01", 202), ("1970-05-14", 200)):
        person = {"resourceType": "Patient", "id": "p1", "birthDate": born}
        sent = observation(id=born, subject={"reference": f"{server}/Patient/p1"})
        entries = [{"fullUrl": f"{server}/Patient/p1", "resource": person}, {"resource": sent}]
        answer = clinic.posts({"resourceType": "Bundle", "type": "collection", "entry": entries})
        assert answer.status_code == status, answer.text
    assert [one_.waits for one_ in clinic.queue.waiting("default")] == ["contradicts"]


# EHRs -------------------------------------------------------------------------------------------------------------------


def test_an_ehr_is_asked_about_nobody_whose_results_are_known(clinic: Clinic) -> None:
    sent, ehr = delivered(*strangers(120)), Ehr()
    assert kept(clinic, sent, ehr).waiting == {"nobody": 120}
    assert ehr.asked == 120
    again = kept(clinic, sent, ehr)
    assert (ehr.asked, again.stored, again.known, again.waiting) == (120, 0, 120, {"nobody": 120})


def test_an_ehr_that_does_not_answer_is_asked_once_in_a_delivery(clinic: Clinic) -> None:
    ehr = Ehr(silent=True)
    assert kept(clinic, delivered(*strangers(120)), ehr).waiting == {"nobody": 120}
    assert ehr.asked == 1


def test_what_still_waits_is_said_to_wait_when_it_comes_again(clinic: Clinic) -> None:
    waits = observation(subject={"identifier": {"system": MRN, "value": "9"}})
    for taken in ("1 new, 0 known before", "0 new, 1 known before"):
        answer = clinic.posts(waits)
        assert (answer.status_code, taken in told(answer)[0][1], told(answer)[1][0]) == (202, True, "warning")
    (waiting,) = clinic.queue.waiting("default")
    clinic.queue.set_aside("default", waiting.id, "registrar")
    assert clinic.posts(waits).status_code == 200


def test_strangers_are_asked_about_in_their_order_each_in_its_turn(clinic: Clinic) -> None:
    kept(clinic, delivered(*strangers(5)))
    known = Person(Identity("default", SERVER, "Patient/x3"), ((MRN, "X3"),))
    place, seen = ("", ""), []
    for most in (2, 2, 2):
        batch = clinic.queue.strangers(place, most)
        seen += [each.owner.identifiers[0][1] for each in batch]
        found = [clinic.queue.ask(each, Ehr(known)) for each in batch]
        assert sum(found) == ("X3" in seen[-len(batch) :])
        place = batch[-1].place
    assert sorted(seen) == ["X0", "X1", "X2", "X3", "X4"]
    assert clinic.queue.strangers(place, 2) == []
