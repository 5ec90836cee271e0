"""Treatment as records tell it, and the lines that a person would list from it."""

from __future__ import annotations

from typing import Any

import pytest

from cds.chart.catalogue import METHOD_SYSTEM
from tests.chart.fixtures_clinical import (
    RXNORM,
    SNOMED,
    after,
    condition,
    dose,
    doses,
    drug,
    intent,
    lines,
    listed,
    observed,
    procedure,
    request,
    statement,
    three_weekly,
)
from tests.chart.make import Json, chart, coded

NEOADJUVANT, ADJUVANT, PALLIATIVE = "373847000", "373846009", "363676003"
LUMPECTOMY = "64368001"


# doses and pauses ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pause", "number"), [(7, 1), (20, 1), (21, 1), (27, 1), (28, 1), (33, 1), (42, 1), (43, 2), (90, 2)]
)
def test_a_pause_longer_than_the_gap_of_the_class_begins_a_new_line(pause: int, number: int) -> None:
    assert len(lines(*doses("paclitaxel", "2025-01-06", after(pause)))) == number


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        (0, ["chemo: paclitaxel 2025-01-06.. assumed-ongoing"]),
        (35, ["chemo: paclitaxel 2025-01-06.. assumed-ongoing"]),
        (36, ["chemo: paclitaxel 2025-01-06..2025-01-06"]),
    ],
)
def test_after_a_dose_treatment_counts_as_going_on_until_the_drug_is_overdue(later: int, expected: list[str]) -> None:
    assert lines(dose("paclitaxel", "2025-01-06"), as_of=after(later)) == expected


@pytest.mark.parametrize(
    "resources",
    [
        doses("paclitaxel", "2025-01-06", "2025-01-27", "2025-02-17"),
        [statement("paclitaxel", day, status="completed") for day in ("2025-01-06", "2025-01-27", "2025-02-17")],
        [statement("paclitaxel", day, day, "completed") for day in ("2025-01-06", "2025-01-27", "2025-02-17")],
        [request("paclitaxel", day, "completed") for day in ("2025-01-06", "2025-01-27", "2025-02-17")],
        [statement("paclitaxel", "2025-01-06", "2025-02-17", "completed")],
        [
            {
                "resourceType": "MedicationAdministration",
                "id": day,
                "status": "completed",
                **drug("paclitaxel"),
                "effectivePeriod": {"start": f"{day}T09:00:00Z", "end": f"{day}T12:00:00Z"},
            }
            for day in ("2025-01-06", "2025-01-27", "2025-02-17")
        ],
    ],
)
def test_every_way_to_record_a_course_is_one_line(resources: list[Json]) -> None:
    assert lines(*resources) == ["chemo: paclitaxel 2025-01-06..2025-02-17"]


def test_procedures_without_a_drug_are_chemotherapy() -> None:
    found = chart(*(procedure("367336001", day) for day in ("2025-01-06", "2025-01-27"))).lines
    assert listed(found) == ["chemo:  2025-01-06..2025-01-27"]


# one class, several drugs ----------------------------------------------------------------------------------------

AC = [*three_weekly("doxorubicin", "2025-01-06", 4), *three_weekly("cyclophosphamide", "2025-01-06", 4)]


def response(day: str, word: str) -> Json:
    return observed(f"{METHOD_SYSTEM}|imaging-response", f"{METHOD_SYSTEM}|{word}", day)


@pytest.mark.parametrize(
    ("between", "split"),
    [
        ([], False),
        ([response("2025-03-20", "PD")], True),
        ([response("2025-03-31", "iCPD")], True),
        ([response("2025-03-20", "iUPD")], False),
        ([response("2025-03-20", "SD")], False),
        ([response("2025-01-06", "PD")], False),  # not after the first dose
        ([response("2025-04-10", "PD")], False),  # after the change
        ([observed("97509-4", "271299001", "2025-03-20")], True),  # a clinician calls it worse
        ([observed("88040-1", "230993007", "2025-03-20")], True),
        ([observed("97509-4", "268910001", "2025-03-20")], False),
        ([observed("97509-4", "271299001", "2025-03-20", "entered-in-error")], False),
    ],
)
def test_another_drug_begins_a_new_line_only_after_progression(between: list[Json], split: bool) -> None:
    expected = (
        ["chemo: cyclophosphamide+doxorubicin 2025-01-06..2025-03-10", "chemo: paclitaxel 2025-03-31..2025-05-12"]
        if split
        else ["chemo: cyclophosphamide+doxorubicin+paclitaxel 2025-01-06..2025-05-12"]
    )
    assert lines(*AC, *three_weekly("paclitaxel", "2025-03-31", 3), *between) == expected


def test_the_same_drug_goes_on_through_progression() -> None:
    given = three_weekly("trastuzumab", "2025-01-06", 8)
    assert len(lines(*given, response("2025-03-01", "PD"))) == 1


def test_a_drug_that_runs_on_after_progression_belongs_to_both_lines() -> None:
    given = [
        statement("trastuzumab", "2025-01-06"),
        response("2025-05-01", "PD"),
        statement("pertuzumab", "2025-05-10"),
    ]
    assert lines(*given, as_of="2025-06-01") == [
        "her2: trastuzumab 2025-01-06..2025-05-09",
        "her2: pertuzumab+trastuzumab 2025-05-10.. assumed-ongoing",
    ]


def test_drugs_of_several_classes_make_a_line_for_each() -> None:
    given = [statement("letrozole", "2025-01-06"), statement("ribociclib", "2025-01-13")]
    assert lines(*given, as_of="2025-03-01") == [
        "endocrine: letrozole 2025-01-06.. assumed-ongoing",
        "cdk4-6: ribociclib 2025-01-13.. assumed-ongoing",
    ]


def test_drugs_without_a_class_of_their_own_have_each_their_line() -> None:
    given = [statement("olaparib", "2025-01-06", "2025-03-01"), statement("everolimus", "2025-03-05", "2025-06-01")]
    assert lines(*given) == ["other: olaparib 2025-01-06..2025-03-01", "other: everolimus 2025-03-05..2025-06-01"]


def test_an_antibody_with_a_cytotoxic_load_is_her2_targeted_only() -> None:
    assert lines(dose("trastuzumab emtansine", "2025-01-06")) == ["her2: trastuzumab emtansine 2025-01-06..2025-01-06"]


def test_what_follows_chemotherapy_ends_it() -> None:
    given = [*doses("doxorubicin", "2025-01-06", "2025-01-27"), statement("tamoxifen", "2025-02-10")]
    assert lines(*given, as_of="2025-02-09")[0] == "chemo: doxorubicin 2025-01-06.. assumed-ongoing"
    assert lines(*given, as_of="2025-02-10") == [
        "chemo: doxorubicin 2025-01-06..2025-01-27",
        "endocrine: tamoxifen 2025-02-10.. assumed-ongoing",
    ]


# how long --------------------------------------------------------------------------------------------------------


def supply(days: int, repeats: int = 0) -> dict[str, Any]:
    duration = {"value": days, "unit": "d", "code": "d"}
    return {"dispenseRequest": {"expectedSupplyDuration": duration, "numberOfRepeatsAllowed": repeats}}


def bounds(start: str, end: str | None = None) -> dict[str, Any]:
    period = {"start": start} | ({"end": end} if end else {})
    return {"dosageInstruction": [{"timing": {"repeat": {"boundsPeriod": period}}}]}


@pytest.mark.parametrize(
    ("resource", "as_of", "expected"),
    [
        (statement("tamoxifen", "2025-01-06"), "2027-01-01", "2025-01-06.. assumed-ongoing"),
        (statement("tamoxifen", "2025-01-06", ".."), "2027-01-01", "2025-01-06.. assumed-ongoing"),
        (statement("tamoxifen", "2025-01-06", status="completed"), "2027-01-01", "2025-01-06.. unknown"),
        (statement("tamoxifen", "2025-01-06", status="stopped"), "2027-01-01", "2025-01-06.. unknown"),
        (statement("tamoxifen", "2025-01-06", status="on-hold"), "2027-01-01", "2025-01-06.. unknown"),
        (statement("tamoxifen", "2025-01-06", "2026-01-05", "completed"), "2027-01-01", "2025-01-06..2026-01-05"),
        (statement("tamoxifen", "2025-01-06", "2026-01-05"), "2025-06-01", "2025-01-06.."),  # the end lies ahead
        (statement("tamoxifen", None), "2027-01-01", "?.. assumed-ongoing"),
        (statement("tamoxifen", "2025-01"), "2027-01-01", "?.. assumed-ongoing"),
        (request("tamoxifen", "2025-01-06"), "2027-01-01", "2025-01-06.. assumed-ongoing"),
        (request("tamoxifen", "2025-01-06", "completed"), "2025-01-20", "2025-01-06.. unknown"),
        (request("tamoxifen", "2025-01-06", "completed", **supply(90)), "2027-01-01", "2025-01-06..2025-04-05"),
        (request("tamoxifen", "2025-01-06", **supply(90)), "2025-07-14", "2025-01-06.. assumed-ongoing"),
        (request("tamoxifen", "2025-01-06", **supply(90)), "2025-07-15", "2025-01-06..2025-04-05"),
        (request("tamoxifen", "2025-01-06", "completed", **supply(90, 3)), "2027-01-01", "2025-01-06..2025-12-31"),
        (request("tamoxifen", "2025-01-02", **bounds("2025-01-06")), "2027-01-01", "2025-01-06.. assumed-ongoing"),
        (
            request("tamoxifen", "2025-01-02", "completed", **bounds("2025-01-06", "2025-12-31")),
            "2027-01-01",
            "2025-01-06..2025-12-31",
        ),
    ],
)
def test_how_long(resource: Json, as_of: str, expected: str) -> None:
    assert lines(resource, as_of=as_of) == [f"endocrine: tamoxifen {expected}"]


def test_orders_renewed_again_and_again_are_going_on() -> None:
    orders = [request("tamoxifen", after(30 * month), "completed") for month in range(6)]
    assert lines(*orders, as_of=after(200)) == ["endocrine: tamoxifen 2025-01-06.. assumed-ongoing"]
    assert lines(*orders, as_of=after(400)) == ["endocrine: tamoxifen 2025-01-06.. unknown"]


def test_doses_come_before_the_order_by_which_they_were_given() -> None:
    order = request("paclitaxel", "2025-01-02")
    assert lines(order, as_of="2025-01-03") == ["chemo: paclitaxel 2025-01-02.. assumed-ongoing"]
    given = [order, *three_weekly("paclitaxel", "2025-01-06", 3)]
    assert lines(*given) == ["chemo: paclitaxel 2025-01-06..2025-02-17"]


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ([dose("paclitaxel", "2025-01-06T09:30:00+01:00")], "09:30:00"),
        ([dose("paclitaxel", "2025-01-06")], "None"),
        ([dose("paclitaxel", "2025-01-06T09:30:00Z"), dose("carboplatin", "2025-01-06")], "None"),
        ([dose("paclitaxel", "2025-01-06T09:30:00Z"), dose("carboplatin", "2025-01-06T08:00:00Z")], "08:00:00"),
        ([request("paclitaxel", "2025-01-06T09:30:00Z", "completed")], "None"),  # when it was ordered
    ],
)
def test_the_time_of_the_first_dose(resources: list[Json], expected: str) -> None:
    assert str(chart(*resources).lines[0].first_dose) == expected


# what did not happen, or has not begun ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "resource",
    [
        dose("paclitaxel", "2025-01-06", "not-done"),
        dose("paclitaxel", "2025-01-06", "entered-in-error"),
        statement("tamoxifen", "2025-01-06", status="not-taken"),
        statement("tamoxifen", "2025-01-06", status="entered-in-error"),
        request("tamoxifen", "2025-01-06", "cancelled"),
        request("tamoxifen", "2025-01-06", "entered-in-error"),
        request("tamoxifen", "2025-01-06", doNotPerform=True),
        request("tamoxifen", "2025-01-06", intent="proposal"),  # never carried out
        request("tamoxifen", "2025-01-06", "draft"),
        procedure("367336001", "2025-01-06", "not-done"),
        statement(f"{RXNORM}|1191", "2025-01-06"),  # aspirin
    ],
)
def test_what_did_not_happen_is_no_line(resource: Json) -> None:
    found = chart(resource)
    assert found.lines == ()
    assert found.left_out == ()


@pytest.mark.parametrize(
    "resource",
    [
        request("tamoxifen", "2025-01-02", "draft", **bounds("2025-02-01")),
        request("tamoxifen", "2025-01-02", intent="plan", **bounds("2025-02-01")),
        request("tamoxifen", "2025-01-02", **bounds("2025-02-01")),
        statement("tamoxifen", "2025-02-01", status="intended", dateAsserted="2025-01-02"),
    ],
)
def test_what_is_to_begin_is_planned(resource: Json) -> None:
    assert lines(resource, as_of="2025-01-10") == ["endocrine: tamoxifen 2025-02-01.. planned"]


def test_what_is_planned_goes_on_with_what_runs() -> None:
    planned = request("paclitaxel", "2025-01-07", **bounds("2025-01-27"))
    assert lines(dose("paclitaxel", "2025-01-06"), planned, as_of="2025-01-10") == [
        "chemo: paclitaxel 2025-01-06.. assumed-ongoing"
    ]


# two clocks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("as_of", "expected"),
    [
        ("2025-01-05", []),
        ("2025-01-06", ["endocrine: letrozole 2025-01-06.. assumed-ongoing"]),
        ("2025-06-30", ["endocrine: letrozole 2025-01-06.. assumed-ongoing"]),  # ended, and nobody knows it yet
        ("2025-07-10", ["endocrine: letrozole 2025-01-06..2025-06-20"]),
    ],
)
def test_an_end_counts_since_it_is_known(as_of: str, expected: list[str]) -> None:
    meta = {"lastUpdated": "2025-07-10T08:00:00Z"}
    stopped = statement("letrozole", "2025-01-06", "2025-06-20", "stopped", dateAsserted="2025-01-06", meta=meta)
    assert lines(stopped, as_of=as_of) == expected


@pytest.mark.parametrize(("as_of", "number"), [("2025-01-05", 0), ("2025-01-20", 1), ("2025-02-01", 0)])
def test_an_error_counts_since_it_is_known(as_of: str, number: int) -> None:
    meta = {"lastUpdated": "2025-02-01T08:00:00Z"}
    wrong = statement("letrozole", "2025-01-06", status="entered-in-error", dateAsserted="2025-01-06", meta=meta)
    assert len(lines(wrong, as_of=as_of)) == number


def test_of_several_versions_the_last_known_counts() -> None:
    first = statement("letrozole", "2025-01-06", meta={"versionId": "1", "lastUpdated": "2025-01-06T08:00:00Z"})
    second = {
        **statement("exemestane", "2025-01-06", meta={"versionId": "2", "lastUpdated": "2025-03-01T08:00:00Z"}),
        "id": first["id"],
    }
    assert lines(second, first, as_of="2025-02-01") == ["endocrine: letrozole 2025-01-06.. assumed-ongoing"]
    assert lines(second, first, as_of="2025-03-01") == ["endocrine: exemestane 2025-01-06.. assumed-ongoing"]


def test_without_any_clock_what_lies_ahead_is_not_known() -> None:
    assert lines(*three_weekly("paclitaxel", "2025-01-06", 4), as_of="2025-01-28") == [
        "chemo: paclitaxel 2025-01-06.. assumed-ongoing"
    ]
    assert chart(*three_weekly("paclitaxel", "2025-01-06", 4), as_of="2025-01-28").lines[0].refs == (
        "MedicationAdministration/a-56946-2025-01-06",
        "MedicationAdministration/a-56946-2025-01-27",
    )


# neoadjuvant -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stated", "others", "expected"),
    [
        (intent(NEOADJUVANT), [], True),
        (intent(ADJUVANT), [], False),
        (intent(PALLIATIVE), [], False),
        ({"reasonCode": [coded(NEOADJUVANT, SNOMED)]}, [], True),
        (intent(NEOADJUVANT), [procedure(LUMPECTOMY, "2024-12-01")], True),  # what is stated goes first
        ({}, [], None),
        ({}, [procedure(LUMPECTOMY, "2025-06-01")], True),
        ({}, [procedure(LUMPECTOMY, "2025-09-01", "preparation", meta={"lastUpdated": "2025-01-02T08:00:00Z"})], True),
        ({}, [procedure(LUMPECTOMY, "2024-12-01")], False),
        ({}, [procedure(LUMPECTOMY, "2024-12-01"), procedure(LUMPECTOMY, "2025-06-01")], False),
        ({}, [procedure(LUMPECTOMY, "2026-06-01")], None),  # too late to have been prepared by it
        ({}, [condition("94381002", "2024-12-01")], False),
        ({}, [procedure("234262008", "2025-06-01")], None),  # an armpit is no breast
    ],
)
def test_neoadjuvant(stated: dict[str, Any], others: list[Json], expected: bool | None) -> None:
    as_of = "2025-08-01" if any(other.get("status") == "preparation" for other in others) else "2030-01-01"
    (line,) = chart(dose("paclitaxel", "2025-01-06", **stated), *others, as_of=as_of).lines
    assert line.neoadjuvant is expected


def test_contradicting_intents_are_unknown() -> None:
    given = [
        dose("paclitaxel", "2025-01-06", **intent(NEOADJUVANT)),
        dose("paclitaxel", "2025-01-27", **intent(ADJUVANT)),
    ]
    assert chart(*given).lines[0].neoadjuvant is None
