"""Disease, spread and receptors, as the record tells them at a moment."""

from __future__ import annotations

from datetime import date

import pytest

from tests.chart.fixtures_clinical import (
    SNOMED,
    condition,
    observed,
)
from tests.chart.make import Json, chart, coded

BREAST, DCIS, LIVER, BONE, AXILLA = "254837009", "109889007", "94381002", "94222008", "94181007"
ER, PR, HER2, HER2_FISH = "85337-4", "85339-0", "85319-2", "85318-4"
POSITIVE, NEGATIVE, EQUIVOCAL = "10828004", "260385009", "42425007"


def day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def events(*resources: Json, as_of: str = "2030-01-01") -> list[tuple[str, str, str]]:
    return [
        (event.kind, str(event.start or "?"), str(event.end or "")) for event in chart(*resources, as_of=as_of).events
    ]


# disease ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([], None),
        ([condition(BREAST)], True),
        ([condition("353431000119107")], True),
        ([condition("408643008")], True),
        ([condition("C50.911")], True),
        ([condition(BREAST, clinical="remission")], True),
        ([condition(BREAST, verified="provisional")], None),
        ([condition(BREAST, verified="differential")], None),
        ([condition(BREAST, verified="refuted")], None),
        ([condition(BREAST, verified="entered-in-error")], None),
        ([condition(DCIS)], False),
        ([condition("D05.11")], False),
        ([condition(DCIS), condition(BREAST)], True),
        ([condition(DCIS), condition(BREAST, verified="provisional")], None),
        ([condition(DCIS, verified="provisional")], None),
        ([condition("E11.9")], None),  # nothing is said of a breast
        ([condition("C34.90")], None),
        (
            [condition(BREAST, extension=[{"url": "x", "valueCodeableConcept": coded("86616005", SNOMED)}])],
            False,  # its morphology says that it is in situ
        ),
    ],
)
def test_invasive_breast_cancer(conditions: list[Json], expected: bool | None) -> None:
    assert chart(*conditions).diagnosis.invasive_breast_cancer is expected


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ([], None),
        ([condition(LIVER)], True),
        ([condition(BONE, clinical="inactive")], True),
        ([condition("C79.51")], True),
        ([condition("C77.3")], None),  # axillary nodes are regional
        ([condition("C77.9")], None),
        ([condition(AXILLA)], None),
        ([condition(LIVER, verified="unconfirmed")], None),
        ([condition(LIVER, verified="refuted")], None),
        ([observed("21907-1", "30893008", "2024-01-01")], False),
        ([observed("399387003".join((f"{SNOMED}|", "")), "1229901006", "2024-01-01")], False),
        ([observed("21907-1", "55440008", "2024-01-01")], True),
        ([observed("21908-9", "http://cancerstaging.org|4", "2024-01-01")], True),
        ([observed("21908-9", "http://cancerstaging.org|IIIA", "2024-01-01")], False),
        ([observed("21908-9", "258224005", "2024-01-01")], False),
        ([observed("21908-9", "1222837003", "2024-01-01")], True),
        ([observed("44667-4", "260413007", "2024-01-01")], False),  # site of metastasis: none
        ([observed("21907-1", "30893008", "2024-01-01"), condition(LIVER, "2025-01-01")], True),
        (
            [observed("21907-1", "30893008", "2025-06-01"), condition(LIVER, "2025-01-01")],
            True,
        ),  # once spread, it stays
        ([observed("21907-1", "30893008", "2024-01-01"), condition(LIVER, verified="provisional")], None),
        ([observed("21907-1", "55440008", "2024-01-01", "entered-in-error")], None),
        ([condition(BREAST, stage=[{"summary": coded("IV", "http://cancerstaging.org")}])], True),
    ],
)
def test_distant_spread(resources: list[Json], expected: bool | None) -> None:
    assert chart(*resources).diagnosis.metastatic is expected


@pytest.mark.parametrize(
    ("code", "clinical", "expected"),
    [
        ("C34.90", "active", True),
        ("C34.90", None, True),
        ("C34.90", "remission", False),
        ("363406005", "active", True),
        ("C44.31", "active", False),  # skin cancer other than melanoma
        ("C50.9", "active", False),
        ("C78.7", "active", False),
        ("D12.6", "active", False),
    ],
)
def test_another_cancer(code: str, clinical: str | None, expected: bool) -> None:
    assert chart(condition(code, clinical=clinical)).diagnosis.other_cancer is expected


# receptors -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([], None),
        ([(HER2, POSITIVE, None)], True),
        ([(HER2, "LA6577-6", "2024-01-01")], False),
        ([(HER2, POSITIVE, None), (HER2, NEGATIVE, "2024-01-01")], False),  # undated is oldest
        ([(HER2, NEGATIVE, "2024-01-01"), (HER2, POSITIVE, "2025-01-01")], True),
        ([(HER2, EQUIVOCAL, "2024-01-01")], None),
        ([(HER2, EQUIVOCAL, "2024-01-01"), (HER2_FISH, POSITIVE, "2024-01-01")], True),
        ([(HER2, EQUIVOCAL, "2024-01-01"), (HER2_FISH, NEGATIVE, "2024-01-09")], False),
        ([(HER2_FISH, POSITIVE, "2023-01-01"), (HER2, EQUIVOCAL, "2024-01-01")], None),  # of an earlier sample
        ([(HER2, NEGATIVE, "2024-01-01"), (HER2_FISH, POSITIVE, "2024-01-01")], None),  # they contradict each other
        ([("32996-1", POSITIVE, "2024-01-01")], None),  # in serum
        ([(HER2, "261665006", "2024-01-01")], None),
    ],
)
def test_her2(results: list[tuple[str, str, str | None]], expected: bool | None) -> None:
    assert chart(*(observed(code, answer, taken) for code, answer, taken in results)).diagnosis.her2 is expected


@pytest.mark.parametrize(
    ("results", "changed"),
    [
        ([(HER2, NEGATIVE, "2023-01-01"), (HER2, POSITIVE, "2024-01-01")], True),
        ([(HER2, POSITIVE, "2023-01-01"), (HER2, POSITIVE, "2024-01-01")], False),
        ([(HER2, EQUIVOCAL, "2023-01-01"), (HER2_FISH, POSITIVE, "2024-01-01")], False),
        ([(HER2, NEGATIVE, None), (HER2, POSITIVE, "2024-01-01")], False),  # one of them has no date
    ],
)
def test_her2_changed(results: list[tuple[str, str, str | None]], changed: bool) -> None:
    found = chart(*(observed(code, answer, taken) for code, answer, taken in results))
    assert found.diagnosis.her2_changed is changed


@pytest.mark.parametrize(
    ("er", "pr", "expected"),
    [(POSITIVE, NEGATIVE, True), (NEGATIVE, NEGATIVE, False), (NEGATIVE, None, None), (None, POSITIVE, True)],
)
def test_hormone_receptor(er: str | None, pr: str | None, expected: bool | None) -> None:
    stated = [observed(code, answer, "2024-01-01") for code, answer in ((ER, er), (PR, pr)) if answer]
    assert chart(*stated).diagnosis.hormone_receptor is expected


def test_a_corrected_receptor_counts_since_its_correction() -> None:
    first = observed(ER, NEGATIVE, "2024-01-01", issued="2024-01-03T10:00:00Z")
    second = {
        **observed(ER, POSITIVE, "2024-01-01", "corrected", issued="2024-01-03T10:00:00Z"),
        "id": first["id"],
        "meta": {"lastUpdated": "2024-02-01T10:00:00Z"},
    }
    found = [chart(second, first, as_of=as_of).diagnosis.er for as_of in ("2024-01-02", "2024-01-31", "2024-02-01")]
    assert found == [None, False, True]
