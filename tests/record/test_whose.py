"""Results that wait are used, or spoken of, the first time their patient's chart is opened; what is said of two is nobody's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from cds.record import tables
from cds.record.audit import verify
from cds.record.database import Database
from cds.record.identity import Identity
from cds.record.listing import advisories
from tests.intake.test_labs import SERIES
from tests.record.test_arrivals import MRN, PATIENT, SERVER, Clinic, code_of, one

OTHER = {**PATIENT, "id": "p2", "identifier": [{"system": MRN, "value": "4712"}]}
AT = "2025-04-23T21:00:00.000000Z"
P1, P2 = (Identity("default", SERVER, f"Patient/{key}") for key in ("p1", "p2"))


@pytest.fixture
def clinic(database: Database) -> Iterator[Clinic]:
    found = Clinic(database).on("2025-01-10")
    yield found
    with database.reading() as connection:
        assert verify(connection, {}).holds


def series(clinic: Clinic) -> None:
    for day, (value, _) in SERIES.items():
        assert code_of(clinic.on(max(day, "2025-01-10")).sends(one(day, value))) == "AA"


def as_of(message: bytes, number: str) -> bytes:
    """The same message of another patient, under a number of its own."""
    return message.replace(b"4711^^^CLINIC", number.encode() + b"^^^CLINIC").replace(b"MSG", b"OTH")


def left_out(answer: Any) -> str:
    return "\n".join(card["detail"] for card in answer.json()["cards"])


def advised(clinic: Clinic, who: Identity) -> list[tuple[str, str]]:
    return [(found.state, found.standing) for found in advisories(clinic.database, "default", patient=who)]


@pytest.mark.parametrize("server", [SERVER, ""])
def test_the_first_opening_of_a_chart_is_answered_with_what_waited(clinic: Clinic, server: str) -> None:
    series(clinic)
    assert clinic.queue.waiting("default")
    answer = clinic.on("2025-04-22").opens(server=server)
    assert [card["indicator"] for card in answer.json()["cards"]] == ["warning"]
    assert "6.3" in answer.json()["cards"][0]["detail"]
    assert clinic.queue.waiting("default") == []
    assert clinic.standing == [("suspected", "open")]
    again = clinic.on("2025-04-23").opens(server=server)
    assert len(again.json()["cards"]) == 1


def test_a_number_that_is_new_to_a_known_patient_brings_what_waits_under_it(clinic: Clinic) -> None:
    clinic.opens({**PATIENT, "identifier": [{"system": MRN, "value": "1"}]})
    series(clinic)
    (card,) = clinic.on("2025-04-22").opens().json()["cards"]
    assert "6.3" in card["detail"]


def test_what_waits_because_two_have_the_number_is_spoken_of(clinic: Clinic) -> None:
    for key in ("p1", "p2"):
        clinic.opens({**PATIENT, "id": key})
    clinic.on("2025-04-21").sends(one("2025-04-21", "6.3"))
    (waiting,) = clinic.queue.waiting("default")
    assert waiting.waits == "several"
    answer = clinic.on("2025-04-22").opens()
    assert "2 laboratory results" in left_out(answer)
    assert "wait until somebody says whose they are" in left_out(answer)
    clinic.queue.assign("default", waiting.id, P2, "registrar")
    clinic.settles()
    assert "laboratory results" not in left_out(clinic.on("2025-04-23").opens())


def test_what_waits_for_somebody_else_is_not_spoken_of(clinic: Clinic) -> None:
    series(clinic)
    assert clinic.on("2025-04-22").opens(OTHER).json() == {"cards": []}
    assert clinic.queue.waiting("default")


def test_a_record_that_says_nothing_of_identifiers_ends_none(clinic: Clinic) -> None:
    clinic.opens()
    bare = {name: value for name, value in PATIENT.items() if name != "identifier"}
    clinic.opens(bare)
    clinic.on("2025-04-21").sends(one("2025-04-21", "6.3"))
    assert clinic.queue.waiting("default") == []
    clinic.opens({**bare, "identifier": []})
    clinic.on("2025-04-22").sends(one("2025-04-22", "6.4"))
    assert len(clinic.queue.waiting("default")) == 1


# the same result of two --------------------------------------------------------------------------------------------------


@pytest.fixture
def both(clinic: Clinic) -> Clinic:
    """Both are known; the first is suspected, and her last result comes again as the other's."""
    clinic.opens()
    clinic.opens(OTHER)
    series(clinic)
    assert advised(clinic, P1) == [("suspected", "open")]
    answer = clinic.on("2025-04-23").sends(as_of(one("2025-04-21", "6.3"), "4712"))
    assert code_of(answer) == "AA"
    assert b"wait" in answer
    return clinic


def test_a_result_of_two_patients_is_used_for_neither_until_somebody_says_whose_it_is(both: Clinic) -> None:
    (waiting,) = both.queue.waiting("default")
    assert waiting.waits == "claimed"
    found, _ = both.queue.content("default", waiting.id)
    assert found.held == (P1.address,)
    assert advised(both, P1) == [("suspected", "not-reassessable")]
    said = left_out(both.on("2025-04-24").opens())
    assert "2 laboratory results" in said
    assert "as another patient's too" in said
    assert "6.3" not in left_out(both.opens(OTHER))


def test_given_to_the_other_it_is_taken_back_from_the_first(both: Clinic) -> None:
    (waiting,) = both.queue.waiting("default")
    assert {who.reference for who in both.queue.assign("default", waiting.id, P2, "registrar", AT)} == {
        "Patient/p1",
        "Patient/p2",
    }
    both.on("2025-04-24").settles()
    assert advised(both, P1) == [("watch", "open")]
    assert "another patient's" not in left_out(both.on("2025-04-24").opens())
    with both.database.reading() as connection:
        rows = connection.execute(select(tables.arrival.c.patient_id, tables.arrival.c.by)).all()
    assert sum(row.by == "registrar" for row in rows) == 2


def test_set_aside_or_given_to_the_first_it_is_hers_again(both: Clinic) -> None:
    (waiting,) = both.queue.waiting("default")
    both.queue.set_aside("default", waiting.id, "registrar")
    both.settles()
    assert advised(both, P1)[-1] == ("suspected", "open")


def test_given_to_the_first_it_is_hers_again(both: Clinic) -> None:
    (waiting,) = both.queue.waiting("default")
    both.queue.assign("default", waiting.id, P1, "registrar")
    both.settles()
    assert advised(both, P1)[-1] == ("suspected", "open")
    assert advised(both, P2) == []


def test_a_withdrawal_that_comes_late_lets_the_other_have_it(both: Clinic) -> None:
    both.on("2025-04-24").sends(one("2025-04-21", "6.3", "W"))
    assert both.queue.waiting("default") == []
    with both.database.reading() as connection:
        keys = connection.execute(select(tables.patient.c.id, tables.patient.c.reference)).all()
        theirs = {row.reference: row.id for row in keys}
        given = (
            connection.execute(select(tables.arrival.c.patient_id).order_by(tables.arrival.c.at.desc())).scalars().all()
        )
    assert theirs["Patient/p2"] in given
    assert advised(both, P1) == [("watch", "open")]


def test_a_withdrawal_before_is_no_dispute(clinic: Clinic) -> None:
    clinic.opens()
    clinic.opens(OTHER)
    series(clinic)
    clinic.on("2025-04-23").sends(one("2025-04-21", "6.3", "W"))
    clinic.on("2025-04-23").sends(as_of(one("2025-04-21", "6.3"), "4712"))
    assert clinic.queue.waiting("default") == []
    # Withdrawing what is another's by now is no claim either.
    clinic.on("2025-04-24").sends(one("2025-04-21", "6.3", "W").replace(b"MSG", b"AGN"))
    assert clinic.queue.waiting("default") == []


def test_what_was_stored_before_there_were_claims_is_found_too(both: Clinic) -> None:
    database = both.database
    with database.reading() as connection:
        before = connection.execute(
            select(tables.claim).order_by(tables.claim.c.arrival_id, tables.claim.c.result)
        ).all()
    database.downgrade("0006")
    database.upgrade()
    with database.reading() as connection:
        after = connection.execute(
            select(tables.claim).order_by(tables.claim.c.arrival_id, tables.claim.c.result)
        ).all()
    assert before == after != []
