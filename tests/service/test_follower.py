"""Who is due is evaluated, whoever cannot be; who waits is looked for beside it; and what is old says how old it is."""

from __future__ import annotations

import time
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc.jwk import ECKey
from sqlalchemy import func, select, update

from cds.exchange import Exchange, Permit
from cds.exchange.backend import Backend, Registration
from cds.record import tables
from cds.record.arrivals import Arrivals, Delivered, Part
from cds.record.database import Database, RecordUnavailable
from cds.record.identity import Identity, patient_of
from cds.record.ownership import Owner
from cds.service.ehr import Ehrs
from cds.service.follower import Follower, as_stored
from cds.service.matcher import Matcher
from tests.exchange.servers import says, serving, silence
from tests.exchange.test_client import LOOPBACK
from tests.intake.test_labs import SERIES
from tests.record.test_arrivals import MRN, PATIENT, SERVER, Clinic, one

KEY = ECKey.generate_key("P-384", {"kid": "exowatch-1"})
P1 = Identity("default", SERVER, "Patient/p1")


@pytest.fixture
def clinic(database: Database) -> Clinic:
    found = Clinic(database).on("2025-01-10")
    assert found.opens().status_code == 200
    return found


def ehrs_at(base: str) -> Ehrs:
    registration = Registration(f"{base}/fhir", f"{base}/token", "exowatch", KEY)
    backend = Backend(registration, Exchange(Permit(frozenset({base}), LOOPBACK, plain=True)))
    return Ehrs({backend.server: (backend, "default")}, (), 10_000)


def due(clinic: Clinic, *people: Identity) -> None:
    """An evaluation of each is due, in that order, and has been for long."""
    with clinic.database.writing() as connection:
        for number, who in enumerate(people):
            row, _ = patient_of(clinic.database, connection, who, "2025-01-01T00:00:00.000000Z")
            since = {"due": f"2025-01-01T00:00:00.{number:06}Z"}
            connection.execute(update(tables.patient).where(tables.patient.c.id == row["id"]), since)


def strangers(clinic: Clinic, count: int) -> None:
    parts = [
        Part(Owner(((MRN, f"X{number}"),)), [{"resourceType": "Observation", "id": f"{number}", "status": "final"}], 1)
        for number in range(count)
    ]
    sent = Delivered("default", "lab", "file", b"1", "2025-04-01T00:00:00.000000Z", count, count, (), parts)
    assert Arrivals(clinic.database).take(sent).waiting == {"nobody": count}


# who is due ------------------------------------------------------------------------------------------------------------


def test_a_hundred_who_cannot_be_evaluated_keep_nobody_from_it(clinic: Clinic) -> None:
    """Their EHR is away; the one after them has none that is asked."""
    away = "http://localhost:9"
    clinic.app.state.reception.message(one("2025-04-21", "6.3"), "test")
    due(clinic, *(Identity("default", f"{away}/fhir", f"Patient/f{number}") for number in range(100)))
    arrivals = Arrivals(clinic.database)
    follower = Follower(clinic.app.state.follower._desk, arrivals, ehrs_at(away))
    assert follower.settle() == 1
    still = arrivals.due(1000)
    assert (len(still), P1 in still) == (100, False)
    assert follower.settle() == 0  # not again at once


@pytest.mark.parametrize("address", ["postgresql"], indirect=True)  # SQLite knows no lock of a single row
def test_a_patient_whose_row_cannot_be_written_keeps_nobody_from_it(clinic: Clinic, address: str) -> None:
    impatient = Database(address, deadline=0.5)
    follower = Clinic(impatient).on("2025-04-22").app.state.follower
    other = Identity("default", SERVER, "Patient/q")
    due(clinic, other, P1)
    with clinic.database.writing() as connection:
        held = select(tables.patient).where(tables.patient.c.reference == other.reference)
        connection.execute(held.with_for_update())
        assert follower.settle() == 1
        assert Arrivals(clinic.database).due() == [other]
    impatient.close()


def test_while_the_record_is_away_everybody_waits(clinic: Clinic) -> None:
    due(clinic, P1)
    with clinic.database.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE patient RENAME TO gone")
    with pytest.raises(RecordUnavailable):
        clinic.app.state.follower.settle()


# whose they are --------------------------------------------------------------------------------------------------------


def test_ehrs_are_asked_about_a_few_strangers_at_a_time_and_about_each_in_its_turn(clinic: Clinic) -> None:
    def nobody(request: BaseHTTPRequestHandler) -> None:
        body = b'{"access_token":"t","expires_in":300}' if request.path == "/token" else b'{"resourceType":"Bundle"}'
        says(body)(request)

    strangers(clinic, 50)
    with serving(nobody) as server:
        matcher = Matcher(clinic.queue, ehrs_at(server.base))

        def asked() -> list[str]:
            found = [parse_qs(urlsplit(path).query) for path, _ in server.asked]
            return [query["identifier"][0].partition("|X")[2] for query in found if "identifier" in query]

        counts = []
        for _ in range(4):
            assert matcher.settle() == 0
            counts.append(len(asked()))
        assert counts == [20, 40, 50, 50]
        assert sorted(asked(), key=int) == [str(number) for number in range(50)]


def test_a_silent_ehr_is_asked_about_one_stranger_and_evaluations_do_not_wait_for_it(clinic: Clinic) -> None:
    strangers(clinic, 50)
    clinic.app.state.reception.message(one("2025-04-21", "6.3"), "test")

    def speechless(request: BaseHTTPRequestHandler) -> None:
        if request.path == "/token":
            return says(b'{"access_token":"t","expires_in":300}')(request)
        return silence(request)

    with serving(speechless) as server:
        started = time.monotonic()
        matcher = Matcher(clinic.queue, ehrs_at(server.base), clinic.app.state.follower.call)
        assert clinic.app.state.follower.settle() == 1
        assert time.monotonic() - started < 5
        assert matcher.settle() == 0
        assert matcher.settle() == 0
        assert sum("identifier" in path for path, _ in server.asked) <= 3


def test_whoever_becomes_known_is_found_and_evaluated_by_the_service_itself(clinic: Clinic) -> None:
    clinic.app.state.reception.message(one("2025-04-21", "6.3").replace(b"4711^^^CLINIC", b"4799^^^CLINIC"), "test")
    follower, matcher = clinic.app.state.follower, clinic.app.state.matcher
    clinic.on("2025-04-22").opens({**PATIENT, "id": "p9", "identifier": [{"system": MRN, "value": "4799"}]})
    follower.start()
    matcher.start()
    try:
        until = time.monotonic() + 15
        while time.monotonic() < until and (clinic.queue.waiting("default") or Arrivals(clinic.database).due()):
            time.sleep(0.1)
    finally:
        matcher.stop()
        follower.stop()
    assert (clinic.queue.waiting("default"), Arrivals(clinic.database).due()) == ([], [])


# as of when ------------------------------------------------------------------------------------------------------------


def test_a_record_that_was_last_seen_says_when_however_often_it_was_evaluated_since(clinic: Clinic) -> None:
    arrivals = Arrivals(clinic.database)

    def reason(who: Identity = P1) -> str:
        (left_out,) = as_stored(arrivals, who).left_out
        return left_out.reason

    seen = reason()
    with clinic.database.reading() as connection:
        last = connection.execute(select(func.max(tables.evaluation.c.at))).scalar_one()
    assert f"as it was on {last[:10]}" in seen
    with clinic.database.writing() as connection:
        long_ago = {"at": "2025-01-10T20:00:00.000000Z"}
        connection.execute(update(tables.evaluation).where(tables.evaluation.c.occasion != "x"), long_ago)
    for day in ("2025-02-17", "2025-03-24", "2025-04-21"):
        assert "as it was on 2025-01-10;" in reason()
        clinic.on(day).sends(one(day, SERIES[day][0]))
    assert "as it was on 2025-01-10;" in reason()
    clinic.on("2025-04-22").opens()
    assert reason() == seen


def test_a_record_that_was_never_seen_is_not_seen_by_evaluating_it(clinic: Clinic) -> None:
    arrivals, never = Arrivals(clinic.database), Identity("default", SERVER, "Patient/never")
    clinic.sends(one("2025-03-24", "5.6").replace(b"4711^^^CLINIC", b"4799^^^CLINIC"))
    (waiting,) = clinic.queue.waiting("default")
    clinic.queue.assign("default", waiting.id, never, "registrar")
    assert clinic.settles() == 1
    rest = as_stored(arrivals, never)
    assert [one_.reason for one_ in rest.left_out] == ["the patient's record was never seen here"]
