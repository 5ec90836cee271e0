"""What was said last of a result stands: said anew after something else, given back, or come late."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from cds.record import tables
from cds.record.audit import instant, verify
from cds.record.database import Database
from cds.record.erasure import erase, merge
from cds.record.identity import Identity
from cds.record.listing import advisories
from cds.record.recorder import Recorder
from tests.intake.test_labs import SERIES, row, table
from tests.intake.test_three_labs import observation
from tests.record.test_arrivals import PATIENT, SERVER, Clinic, code_of, one, sent_until
from tests.record.visits import REASONER

LAST = "2025-04-21"
HIGH, LOW = "6.3", "2.1"
UNIT = "10*6{particles}/mL"
P1, P2 = (Identity("default", SERVER, f"Patient/{key}") for key in ("p1", "p2"))


@pytest.fixture
def clinic(database: Database) -> Iterator[Clinic]:
    found = Clinic(database).on("2025-01-10")
    assert found.opens().status_code == 200
    yield found
    with database.reading() as connection:
        assert verify(connection, {}).holds


def message(value: str, status: str, number: int, reported: str = "160000") -> bytes:
    """A message of its own about the last sample."""
    said = one(LAST, value, status).replace(b"|M1|", b"|M1%d|" % number)
    return said.replace(b"20250421160000", f"20250421{reported}".encode())


def says(clinic: Clinic, *said: tuple[str, ...]) -> list[tuple[str, str]]:
    """One message after the other, a day apart; how it stands in the end."""
    for number, stated in enumerate(said, 1):
        answer = clinic.on(f"2025-04-{22 + number}").sends(message(stated[0], stated[1], number, *stated[2:]))
        assert (code_of(answer), b"2 of 2 results taken" in answer) == ("AA", True)
    return clinic.standing


SUSPECTED, NOTHING = [("suspected", "open")], [("suspected", "withdrawn")]
ANEW: dict[str, tuple[list[tuple[str, ...]], list[tuple[str, str]]]] = {
    "corrected, and back": ([(LOW, "C"), (HIGH, "C"), (LOW, "C")], NOTHING),
    "corrected, and back, and again": ([(LOW, "C"), (HIGH, "C"), (LOW, "C"), (HIGH, "C")], SUSPECTED),
    "withdrawn by mistake": ([(HIGH, "W"), (HIGH, "F")], SUSPECTED),
    "withdrawn and reinstated, in their times": ([(HIGH, "W", "170000"), (HIGH, "F", "180000")], SUSPECTED),
    "withdrawn, reinstated, withdrawn": ([(HIGH, "W"), (HIGH, "F"), (HIGH, "W")], [("watch", "open")]),
    "corrected to low, and final again": ([(LOW, "C"), (HIGH, "F")], SUSPECTED),
    "withdrawn later than an old message was reported": (
        [(HIGH, "W", "180000"), (HIGH, "F", "170000")],
        [("watch", "open")],
    ),
}


@pytest.mark.parametrize("case", ANEW)
def test_what_is_said_anew_after_something_else_stands(clinic: Clinic, case: str) -> None:
    said, standing = ANEW[case]
    sent_until(clinic)
    assert clinic.standing == SUSPECTED
    assert says(clinic, *said) == standing


def test_a_correction_that_came_before_its_original_stays_the_last_word(clinic: Clinic) -> None:
    sent_until(clinic, "2025-03-24")
    before = says(clinic, (LOW, "C"))
    assert before != SUSPECTED
    assert code_of(clinic.on("2025-04-24").sends(message(HIGH, "F", 2))) == "AA"
    assert clinic.standing == before


def test_the_same_messages_again_change_nothing_however_many_stand_between(clinic: Clinic) -> None:
    """Whoever reads a queue anew sends each to the byte: none of them is said anew."""
    sent_until(clinic)
    first, second = message(LOW, "C", 1), message(HIGH, "C", 2)
    for day, said in (("23", first), ("24", second), ("25", first), ("26", second), ("27", first)):
        assert b"2 of 2 results taken" in clinic.on(f"2025-04-{day}").sends(said)
    assert clinic.standing == SUSPECTED
    assert len(arrived(clinic)) == 14


def arrived(clinic: Clinic, who: Identity = P1) -> list[Any]:
    sent = Recorder(clinic.database, REASONER.rulebook).arrivals.of(who).resources
    return [one_ for one_ in sent if one_["resourceType"] == "Observation"]


def test_after_an_erasure_the_same_message_is_stored_again(clinic: Clinic) -> None:
    sent_until(clinic)
    erase(clinic.database, P1, "test")
    clinic.sends(one(LAST, HIGH))
    assert [each.waits for each in clinic.queue.waiting("default")] == ["nobody"]


def test_a_table_and_a_bundle_say_a_value_anew_too(clinic: Clinic) -> None:
    sent_until(clinic, "2025-03-24")
    taken = clinic.app.state.reception
    for number, value in enumerate((HIGH, LOW, HIGH), 22):
        clinic.on(f"2025-04-{number}")
        report = taken.file(table(row(LAST, value, "11")), "april.csv", "example-lab")
        assert (report.kept.stored, report.kept.known) == (2, 0)
        clinic.settles()
    assert clinic.standing == SUSPECTED
    for number, figure in enumerate((2.1, 6.3, 2.1), 7):
        said = observation(id="own", valueQuantity={"value": figure, "unit": UNIT}, effectiveDateTime="2025-05-05")
        assert "(1 new, 0 known before)" in clinic.on(f"2025-05-0{number}").posts(said).text


def test_results_that_wait_are_said_anew_too(clinic: Clinic) -> None:
    sent_until(clinic, "2025-03-24")
    for number, value in enumerate((LOW, HIGH, LOW, HIGH), 1):
        said = message(value, "C", number).replace(b"4711^^^CLINIC", b"4799^^^CLINIC")
        clinic.on(f"2025-04-{22 + number}").sends(said)
    waiting = clinic.queue.waiting("default")
    assert len(waiting) == 4
    for each in waiting:
        clinic.queue.assign("default", each.id, P1, "registrar")
    clinic.settles()
    assert clinic.standing == SUSPECTED


@pytest.mark.parametrize("same_moment", [True, False])
def test_what_comes_later_is_later_whatever_the_clock_says(clinic: Clinic, same_moment: bool) -> None:
    sent_until(clinic)
    for number, value in enumerate((LOW, HIGH, LOW), 1):
        if not same_moment:
            clinic.day = clinic.day.replace(second=30 - 10 * number)  # it is set back
        clinic.sends(message(value, "C", number))
    assert clinic.standing == NOTHING


# given, and given back --------------------------------------------------------------------------------------------------


def given(clinic: Clinic, keys: list[str], *whom: tuple[Identity, str]) -> dict[str, str]:
    """Results are given to one after the other; how it stands in the end, by patient."""
    for who, day in whom:
        for key in keys:
            clinic.queue.assign("default", key, who, "registrar", instant(clinic.on(day).day))
        clinic.settles()
    return {each.patient: each.standing for each in advisories(clinic.database, "default")}


def strangers(clinic: Clinic) -> list[str]:
    clinic.opens({**PATIENT, "id": "p2", "identifier": []})
    for day, (value, _) in SERIES.items():
        clinic.on("2025-04-22").sends(one(day, value).replace(b"4711^^^CLINIC", b"4799^^^CLINIC"))
    return [each.id for each in clinic.queue.waiting("default")]


def test_results_that_are_given_back_are_that_patients_again(clinic: Clinic) -> None:
    keys = strangers(clinic)
    assert given(clinic, keys, (P1, "2025-04-22"), (P2, "2025-04-23")) == {
        "Patient/p1": "withdrawn", "Patient/p2": "open",
    }  # fmt: skip
    assert given(clinic, keys, (P1, "2025-04-24")) == {"Patient/p1": "open", "Patient/p2": "withdrawn"}
    assert {each["status"] for each in arrived(clinic)} == {"final"}
    cards = clinic.on("2025-04-25").opens().json()["cards"]
    assert [card["indicator"] for card in cards] == ["warning"]
    assert given(clinic, keys, (P2, "2025-04-26")) == {"Patient/p1": "withdrawn", "Patient/p2": "open"}
    assert given(clinic, keys, (P1, "2025-04-27")) == {"Patient/p1": "open", "Patient/p2": "withdrawn"}


def test_what_somebody_took_from_a_patient_is_not_theirs_again_by_being_repeated(clinic: Clinic) -> None:
    """One of two arrivals about a result is given away, and the laboratory repeats the other."""
    sent_until(clinic)
    says(clinic, ("6.4", "C"))
    assert clinic.standing == SUSPECTED
    with clinic.database.reading() as connection:
        wanted = (
            select(tables.arrival.c.id).where(tables.arrival.c.patient_id.is_not(None)).order_by(tables.arrival.c.at)
        )
        *_, first, _correction = connection.execute(wanted).scalars()
    given(clinic, [first], (P2, "2025-04-24"))
    before = clinic.standing
    assert SUSPECTED[0] not in before
    assert b"2 of 2 results taken" in clinic.on("2025-04-25").sends(message("6.4", "C", 7))
    assert b"2 of 2 results taken" in clinic.sends(message(HIGH, "F", 8))
    assert clinic.standing == before


def test_of_two_patients_who_are_one_neither_takes_results_from_the_other(clinic: Clinic) -> None:
    given(clinic, strangers(clinic), (P1, "2025-04-22"), (P2, "2025-04-23"))
    merge(clinic.database, P1, P2, "test")
    clinic.on("2025-04-24").settles()
    assert {each["status"] for each in arrived(clinic)} == {"final"}


# a frame of several messages --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (one("2025-04-21", "6.3").replace(b"|EEL|", b"|ELSE|", 1), b"is that of no laboratory"),
        (one("2025-04-21", "6.3").replace(b"UNICODE UTF-8", b"ISO IR87"), b"which is not read here"),
        (one("2025-04-21", "6.3").replace(b"Erika", b"J\xfcrgen"), b"is no UTF-8"),
    ],
)
def test_nothing_of_a_frame_is_stored_unless_all_of_it_can_be_read(clinic: Clinic, wrong: bytes, words: bytes) -> None:
    answer = clinic.on("2025-04-22").sends(one("2025-03-24", "5.6") + wrong)
    assert (code_of(answer), words in answer) == ("AR", True), answer
    assert arrived(clinic) == []


def test_a_text_of_genes_is_no_message(clinic: Clinic) -> None:
    genes = b"OBX|3|TX|IHC^^L||MLH1 intact\nMSH2 intact\nMSH6 intact||||||F\r"
    answer = clinic.on("2025-04-22").sends(one("2025-03-24", "5.6").replace(b"SPM|", genes + b"SPM|"))
    assert (code_of(answer), b"2 of 3 results taken" in answer) == ("AA", True), answer
    assert len(arrived(clinic)) == 2
