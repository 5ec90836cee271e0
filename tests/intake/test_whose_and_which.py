"""Which result it is, and whose: results are told apart, people are, and a number counts only if it is the patient's own."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

import pytest

from cds.intake.files import Received, received
from cds.intake.owners import by_person
from cds.reasoning.reasoner import Reasoner
from tests.intake.test_hl7v2 import HEAD, message, obx, read
from tests.intake.test_labs import BOOK, INTERFACES, LAB, NOW, SERIES, chart, row, table, take
from tests.intake.test_three_labs import MRN, Json, observation, post

UNIT = "10*6{particles}/mL"
PID = "PID|1||4711^^^CLINIC^MR||Muster^Erika||19700514|F"


def bare(day: str, *results: str, pid: str = PID) -> bytes:
    """An order without a number, of a specimen without one: only the day of collection tells it from others."""
    collected = f"{day.replace('-', '')}083000" if day else ""
    return "\r".join((HEAD, pid, f"OBR|1|||EV^^99EEL|||{collected}", *results, "")).encode()


def ids(resources: list[Json]) -> list[str]:
    return [one["id"] for one in resources if one["resourceType"] == "Observation"]


def nameless(day: str | None, value: str, **changes: Any) -> Json:
    """An Observation of which the sender says no more than what, whose and when."""
    stated: Json = {"id": None, "effectiveDateTime": day, "valueQuantity": {"value": float(value), "unit": UNIT}}
    return observation(**stated | changes)


def by_message() -> list[Json]:
    return take(b"".join(bare(day, obx(f5=value, f6=UNIT)) for day, (value, _) in SERIES.items())).resources


def by_table() -> list[Json]:
    rows = (row(day, *values).replace(f"EV-{day.replace('-', '')}", "") for day, values in SERIES.items())
    return take(table(*rows), LAB).resources


def by_fhir() -> list[Json]:
    """With the number of the visit, which all of them share."""
    shared = [{"system": "https://clinic.example/visits", "value": "V-1"}]
    resources, refused, _ = post([nameless(day, value, identifier=shared) for day, (value, _) in SERIES.items()])
    assert refused == []
    return resources


@pytest.mark.parametrize("sent", [by_message, by_table, by_fhir])
def test_serial_results_without_a_number_stay_apart(sent: Any) -> None:
    resources = sent()
    found = ids(resources)
    assert len(found) == len(set(found)) == (10 if sent is by_table else 5)
    assert ids(sent()) == found
    results = chart(Received(resources=resources)).results["trpc5-ev"]
    assert [str(one.collected) for one in results] == list(SERIES)
    assert not any(one.faults for one in results)


def test_the_finding_of_a_series_does_not_depend_on_numbers() -> None:
    total = [
        bare(day, obx(f5=value, f6=UNIT), obx(f1="2", f3="EV-TOTAL^^99EEL", f5=count, f6="10*9{particles}/mL"))
        for day, (value, count) in SERIES.items()
    ]
    (finding,) = Reasoner(BOOK).evaluate(chart(take(b"".join(total)))).findings
    assert finding.state == "suspected"


def test_a_correction_of_a_result_without_a_number_replaces_it() -> None:
    first, later = bare("2025-04-21", obx(f6=UNIT)), bare("2025-04-21", obx(f5="2.2", f6=UNIT, f11="C"))
    assert ids(take(first).resources) == ids(take(later).resources)
    sent = [nameless("2025-04-21", "5.6"), nameless("2025-04-21", "2.2", status="corrected")]
    assert len({one for each in sent for one in ids(post(each)[0])}) == 1


def test_what_nothing_tells_from_another_is_refused() -> None:
    told = {one.reason for one in take(bare("", obx(f6=UNIT))).refused}
    _, refused, _ = post(nameless(None, "5.6"))
    told |= {one.reason for one in refused}
    assert told == {"nothing tells it from another result of its code"}
    assert take(bare("", obx(f6=UNIT, f21="R-1"))).mapped == 1


def test_two_patients_of_one_shared_number_do_not_share_a_result() -> None:
    shared = [{"system": "https://clinic.example/plates", "value": "P-1"}]
    other = {"identifier": {**MRN, "value": "4712"}}
    resources, _, _ = post(
        [
            nameless("2025-04-21", "5.6", identifier=shared),
            nameless("2025-04-21", "2.2", identifier=shared, subject=other),
        ]
    )
    assert len(set(ids(resources))) == 2


# whose ------------------------------------------------------------------------------------------------------------------


def test_one_number_with_two_dates_of_birth_is_two_people() -> None:
    rows = [
        row("2025-03-24", "5.6"),
        row("2025-04-21", "6.3").replace("14.05.1970", "01.01.1944"),
        row("2025-02-17", "2.1"),
    ]
    parts = by_person(take(table(*rows), LAB).resources)
    assert [(one.owner.born, one.results) for one in parts] == [("1970-05-14", 2), ("1944-01-01", 1)]
    for part in parts:
        named = {one["id"] for one in part.resources if one["resourceType"] == "Specimen"}
        used = {one["specimen"]["reference"].partition("/")[2] for one in part.resources if "specimen" in one}
        assert used == named

    def person(key: str, born: str) -> Json:
        return {"resourceType": "Patient", "id": key, "birthDate": born, "identifier": [MRN]}

    sent = [person("a", "1944-01-01"), person("b", "1970-05-14")]
    sent += [observation(id=key, subject={"reference": f"Patient/{key}"}) for key in ("a", "b")]
    resources, _, _ = post(sent)
    assert sorted(one.owner.born for one in by_person(resources)) == ["1944-01-01", "1970-05-14"]


def test_a_corrected_date_of_birth_does_not_make_it_another_result() -> None:
    first = take(table(row("2025-04-21", "6.3")), LAB)
    later = take(table(row("2025-04-21", "6.3").replace("1970", "1971")), LAB)
    assert ids(first.resources) == ids(later.resources)


@pytest.mark.parametrize(
    ("stated", "names"),
    [
        ("98765^^^CLINIC^AN~5555^^^CLINIC^MR", [("5555", "CLINIC")]),
        ("98765^^^CLINIC^VN", [("98765", "")]),
        ("5555^^^CLINIC^PI~5556^^^CLINIC", [("5555", "CLINIC"), ("5556", "CLINIC")]),
        ("5555^^^CLINIC^mr", [("5555", "CLINIC")]),
    ],
)
def test_the_number_of_a_visit_or_an_account_is_not_the_patients(stated: str, names: list[tuple[str, str]]) -> None:
    """What is left without a patient's own number is kept, and leads to nobody."""
    data = message(obx(f6=UNIT)).replace(b"4711^^^CLINIC&1.2.3.4&ISO^MR~9^^^KV^SS", stated.encode())
    (sent,) = read(data).sent
    assert [(one.value, one.authority) for one in sent.person.names] == names


def test_a_laboratory_may_name_other_types_of_numbers_that_are_the_patients() -> None:
    data = bare("2025-04-21", obx(f6=UNIT), pid=PID.replace("4711^^^CLINIC^MR", "A123456780^^^KV^KVNR"))
    for own, system in ((frozenset[str](), None), (frozenset({"KVNR"}), "KV")):
        interfaces = {LAB: replace(INTERFACES[LAB], numbers=own)}
        resources = received(data, "file", interfaces, BOOK.catalogue, NOW).resources
        (patient,) = [one for one in resources if one["resourceType"] == "Patient"]
        assert [one.get("system") for one in patient["identifier"]] == [system]


def test_ids_are_made_of_what_is_said_and_nothing_else() -> None:
    assert all(uuid.UUID(one).version == 5 for sent in (by_message, by_table, by_fhir) for one in ids(sent()))
