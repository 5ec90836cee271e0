"""Who patients are on a board: the name and the record number of their own record, whatever stands in it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update

from cds.record import tables
from cds.record.audit import verify
from cds.record.database import Database
from cds.record.identity import Identity
from cds.record.names import folded, sought_by
from cds.record.recorder import Recorder
from cds.service.persons import person_of
from tests.patients.archetypes import patient
from tests.record.boards import called, named_visit, rows
from tests.record.test_service import Ehr
from tests.record.visits import REASONER, asked, who

WHO = Identity("here", "https://ehr.example/fhir", "Patient/123")
TODAY = date(2026, 1, 5)
MRN = {"type": {"coding": [{"code": "MR"}]}, "system": "https://ehr.example/mrn", "value": "4711"}
OTHER = {"system": "https://insurer.example", "value": "A 1"}


def of(**resource: Any) -> tuple[str, str, str, str]:
    found = person_of({"resourceType": "Patient", **resource}, WHO, TODAY)
    assert found is not None
    return found.family, found.given, found.number, found.system


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([{"use": "usual", "family": "U"}, {"use": "official", "family": "O", "given": ["A", "B"]}], ("O", "A B")),
        ([{"family": "First"}, {"use": "usual", "family": "U"}], ("U", "")),
        ([{"use": "old", "family": "Old"}, {"family": "Now"}], ("Now", "")),
        ([{"use": "official", "family": "Was", "period": {"end": "2020"}}, {"family": "Is"}], ("Is", "")),
        ([{"family": "Is", "period": {"end": "2026-01-05"}}], ("Is", "")),
        ([{"text": "Anna of Nowhere"}], ("Anna of Nowhere", "")),
        ([{"text": "not this", "given": ["Anna"]}], ("", "Anna")),
        ([{"use": "official"}, {"use": "usual", "family": "Named"}], ("Named", "")),
        ([], ("", "")),
        ("Anna", ("", "")),
        ([None, 5, {"family": ["x"], "given": "y"}], ("", "")),
    ],
)
def test_the_name_that_is_in_force(names: Any, expected: tuple[str, str]) -> None:
    assert of(name=names)[:2] == expected


@pytest.mark.parametrize(
    ("identifiers", "expected"),
    [
        ([OTHER, MRN], ("4711", "https://ehr.example/mrn")),
        ([{"value": "no system"}, OTHER], ("A 1", "https://insurer.example")),
        ([{**MRN, "use": "old"}, OTHER], ("A 1", "https://insurer.example")),
        ([{**MRN, "system": None}], ("4711", "")),
        ([{"value": "no system"}], ("123", "")),
        ([{**MRN, "value": " "}], ("123", "")),
        (None, ("123", "")),
    ],
)
def test_the_record_number(identifiers: Any, expected: tuple[str, str]) -> None:
    assert of(identifier=identifiers)[2:] == expected


@pytest.mark.parametrize(
    ("stated", "died"),
    [
        ({}, None), ({"deceasedBoolean": False}, None), ({"deceasedBoolean": "true"}, None), ({"deceasedDateTime": ""}, None),
        ({"deceasedBoolean": True}, ""), ({"deceasedDateTime": "2025-04-20"}, "2025-04-20"),
        ({"deceasedDateTime": "2025-04-20T23:30:00+02:00"}, "2025-04-20"), ({"deceasedDateTime": "2025-04"}, ""),
        ({"deceasedDateTime": "20.4.25"}, ""), ({"_deceasedDateTime": {"extension": []}}, ""),
        ({"deceasedDateTime": "2026-01-06"}, None),
    ],
)  # fmt: skip
def test_who_has_died_by_today(stated: dict[str, Any], died: str | None) -> None:
    found = person_of({"resourceType": "Patient", **stated}, WHO, TODAY)
    assert found is not None
    assert found.died == died


def test_a_death_is_kept_with_the_name_until_the_record_says_otherwise(database: Database) -> None:
    recorder = Recorder(database, REASONER.rulebook)
    for died in (None, "", "2025-12-20", "2025-12-20", None):
        work = asked(patient("A01").bundle(date(2025, 12, 31)), "2025-12-31")
        work.person = replace(called(work.who, "Aalto"), died=died)
        recorder.record(work)
        assert [one.named.died for one in rows(database)] == [died]
        with database.reading() as connection:
            assert verify(connection, {}).holds


def test_what_is_long_or_hostile_is_cut_and_kept_as_text() -> None:
    family, given, number, system = of(
        name=[{"family": "<script>alert(1)</script>\0\n\ud800" + "x" * 1000, "given": ["=HYPERLINK(1)"]}],
        identifier=[{**MRN, "value": "1" * 1000, "system": "s" * 1000}],
    )
    assert family.startswith("<script>alert(1)</script> x")
    assert (len(family), len(number), len(system)) == (128, 64, 255)
    assert given == "=HYPERLINK(1)"


junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["official", "old", "MR", "2020"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["use", "family", "given", "text", "period", "end", "type", "coding", "code", "system", "value"]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(["name", "identifier", "birthDate", "gender"], junk)))
def test_no_patient_is_too_odd(resource: dict[str, Any]) -> None:
    found = person_of({"resourceType": "Patient", **resource}, WHO, TODAY)
    assert found is not None
    assert found.number
    assert "\0" not in found.family + found.given + found.number + found.system
    found.family.encode()
    assert len(found.born) <= 10
    sought_by("Patient/123", found.family, found.given, found.number)


def test_accents_and_capitals_do_not_matter() -> None:
    assert folded("Müller ÉMILIE Straße") == "muller emilie strasse"
    assert folded("Łysek Øre Đorđe Yıldız Ærø") == "lysek ore dorde yildiz aero"
    assert sought_by("Patient/1", "O\u2019Brien", "Anna", "143-000 7") == (
        " o'brien obrien anna 143-000 7 143 000 143-0007 0007 1430007 1"
    )
    assert sought_by("Patient/Ab1", "Müller-Lüdenscheid", "Anna", "12 34") == (
        " muller-ludenscheid muller ludenscheid anna 12 34 1234 ab1"
    )


def test_a_name_that_grows_when_it_is_folded_is_cut() -> None:
    assert len(sought_by("Patient/1", "\ufb03" * 128, "x" * 128, "1" * 64)) == 500


# in the record ---------------------------------------------------------------------------------------------------------


def persons(database: Database) -> list[dict[str, Any]]:
    with database.reading() as connection:
        assert verify(connection, {}).holds
        return [dict(row) for row in connection.execute(select(tables.person)).mappings()]


def test_a_hook_request_brings_who_the_patient_is(database: Database) -> None:
    ehr = Ehr(database)
    request = ehr.request("A01", "2025-12-31")
    resource = request["prefetch"]["patient"]
    resource |= {
        "name": [{"family": "O'Brien", "given": ["Zoë"]}],
        "identifier": [MRN],
        "birthDate": "1970-05-14T00:00:00Z",
    }
    assert ehr.client.post("/cds-services/exowatch-patient-view", json=request).status_code == 200
    (person,) = persons(database)
    assert (person["family"], person["given"], person["number"]) == ("O'Brien", "Zoë", "4711")
    assert person["born"] == ""  # no date that anybody could read


def test_the_oddest_name_is_recorded(database: Database) -> None:
    work = asked(patient("A01").bundle(), "2025-12-31")
    resource = {"resourceType": "Patient", "name": [{"family": "\ufb03" * 200, "given": ["\U0001f469-" * 64] * 9}]}
    work.person = person_of(resource, work.who, TODAY)
    Recorder(database, REASONER.rulebook).record(work)
    assert len(persons(database)) == 1


def test_a_person_is_written_when_it_changes(database: Database) -> None:
    recorder = Recorder(database, REASONER.rulebook)
    for family in ("Maiden", "Maiden", "Married"):
        named_visit(recorder, "A01", "2025-12-31", family=family)
    (person,) = persons(database)
    assert person["family"] == "Married"
    with database.reading() as connection:
        entries = connection.execute(select(tables.audit.c.rows)).scalars().all()
    assert ['"person"' in one for one in entries] == [True, False, True]


def test_a_patient_whose_record_was_not_read_is_found_by_id(database: Database) -> None:
    recorder = Recorder(database, REASONER.rulebook)
    recorder.record(asked(patient("A01").bundle(), "2025-12-31", identity=who("Patient/nameless-1")))
    assert persons(database) == []
    (row,) = rows(database, text="nameless")
    assert row.named.family == row.named.number == ""
    assert row.who.reference == "Patient/nameless-1"


def test_a_word_finds_who_it_names_and_nobody_else(database: Database) -> None:
    recorder = Recorder(database, REASONER.rulebook)
    for number, family in enumerate(("Łysek", "Bengt", "Lyssa")):
        named_visit(recorder, "A01", "2025-12-31", family=family, identity=who(f"Patient/a{number}"))

    def found(text: str) -> list[str]:
        return sorted(row.named.family for row in rows(database, text=text))

    for text in (
        "lysek",
        "Łysek",
        "łYSE anna",
        "a0",
        "Patient/a0",
        "patient/A0",
        "https://ehr.example/fhir/Patient/a0",
    ):
        assert found(text) == ["Łysek"], text
    assert found("lys") == ["Lyssa", "Łysek"]
    assert found("bengt ann") == found("MRN-Bengt") == ["Bengt"]
    for text in ("Bengt/", "zzz/", "4711/a0", "Patient/", "/", "bengt lysek", "%", "_"):
        assert found(text) == [], text
    with database.writing() as connection:  # as it was stored by a version that left the letter
        connection.execute(update(tables.person).where(tables.person.c.family == "Łysek"), {"sought": " łysek anna"})
    assert (found("Łysek"), found("lysek")) == (["Łysek"], [])
    named_visit(recorder, "A01", "2025-12-31", family="Łysek", identity=who("Patient/a0"))
    assert found("lysek") == ["Łysek"]


def test_of_two_merged_patients_the_one_who_stays_keeps_their_name(database: Database) -> None:
    recorder = Recorder(database, REASONER.rulebook)
    for reference, family in (("Patient/old", "Before"), ("Patient/new", "After")):
        named_visit(recorder, "A01", "2025-12-31", family=family, identity=who(reference))
    work = asked(patient("A01").bundle(), "2025-12-31", identity=who("Patient/new"))
    work.replaces, work.person = ["Patient/old"], called(who("Patient/new"), "After")
    recorder.record(work)
    (person,) = persons(database)
    assert person["family"] == "After"
    for text in ("Patient/old", "Patient/new", "https://ehr.example/fhir/Patient/old", "after"):
        assert {row.patient for row in rows(database, text=text)} == {person["patient_id"]}, text
    assert rows(database, text="before") == []
