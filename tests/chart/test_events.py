"""Which codes are infections, radiotherapy and lactation, and how long one lasts of which no end is recorded."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from tests.chart.fixtures_clinical import condition, procedure
from tests.chart.make import Json, chart

CPT = "http://www.ama-assn.org/go/cpt"


def events(*resources: Json, as_of: str) -> list[tuple[str, str, str]]:
    return [
        (event.kind, str(event.start or "?"), str(event.end or "")) for event in chart(*resources, as_of=as_of).events
    ]


@pytest.mark.parametrize(
    "code",
    [
        *(
            "5758002",
            "56819008",
            "33910007",
            "R78.81",
            "T82.7XXA",
            "T85.79",
            "L08.9",
            "K12.2",
            "K75.0",
            "I33.0",
            "G00.9",
        ),
        *("J44.0", "J18.9", "A41.9", "B02.9", "K57.32", "M86.9", "N12", "R65.21", "U07.2"),
    ],
)
def test_infections(code: str) -> None:
    assert events(condition(code, "2025-01-06"), as_of="2025-03-01") == [("infection", "2025-01-06", "")]


@pytest.mark.parametrize("code", ["B18.1", "B20", "B07.9", "B94.8", "K57.30", "M86.6", "J44.9", "Z22.3", "240532009"])
def test_what_lasts_for_years_is_no_infection(code: str) -> None:
    assert events(condition(code, "2025-01-06"), as_of="2025-03-01") == []


@pytest.mark.parametrize("code", ["77373", "77372", "77402", "77427", "77520", "77525", "77763", "79101"])
def test_radiotherapy_by_cpt(code: str) -> None:
    (event,) = chart(procedure(f"{CPT}|{code}", "2025-01-06")).events
    assert (event.kind, event.end) == ("radiotherapy", date(2025, 1, 6))


def test_an_encounter_for_radiotherapy_is_of_one_day() -> None:
    found = events(condition("Z51.0", "2025-01-06"), as_of="2025-03-01")
    assert found == [("radiotherapy", "2025-01-06", "2025-01-06")]


@pytest.mark.parametrize(
    ("clinical", "as_of", "expected"),
    [
        ({"onset": "2025-01-10"}, "2027-01-10", [("lactation", "2025-01-10", "")]),
        (
            {"onset": "2025-01-10"},
            "2027-01-11",
            [("lactation", "2025-01-10", "2027-01-10")],
        ),  # its end is seldom recorded
        (
            {"onset": "2025-01-10", "abatementDateTime": "2025-06-01"},
            "2025-07-01",
            [("lactation", "2025-01-10", "2025-06-01")],
        ),
    ],
)
def test_lactation(clinical: dict[str, Any], as_of: str, expected: list[tuple[str, str, str]]) -> None:
    assert events(condition("Z39.1", **clinical), as_of=as_of) == expected
