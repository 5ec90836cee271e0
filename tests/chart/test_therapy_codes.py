"""Which drugs are recognised, what is said of those that are not, and published records as a person would list them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cds.chart.reading import read
from cds.chart.therapy import load_therapies
from cds.errors import Problem
from tests.chart.fixtures_clinical import (
    ATC,
    CDK4_6,
    CHEMOTHERAPY,
    ENDOCRINE,
    HER2,
    OTHER,
    RXCUI,
    RXNORM,
    dose,
    lines,
    listed,
    statement,
)
from tests.chart.make import Json, catalogue, chart, coded

SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "samples"
ANTI_PD_1 = "anti-pd-1"


# codes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "therapies"),
    [
        *(
            (f"{RXNORM}|{code}", {CHEMOTHERAPY})
            for code in ("583214", "1790099", "1732186", "1734919", "597195", "1791701")
        ),
        *((f"{RXNORM}|{code}", {ENDOCRINE}) for code in ("198240", "1156671", "1164214", "1163443")),
        (f"{RXNORM}|2382603", {HER2}),  # trastuzumab with pertuzumab
        (f"{RXNORM}|1946828", {CDK4_6}),
        *((f"{ATC}|{code}", {HER2}) for code in ("L01FD01", "L01XC03", "L01FD03", "L01FD04", "L01FD99")),
        *((f"{ATC}|{code}", {ANTI_PD_1}) for code in ("L01FF01", "L01FF02", "L01XC18")),
        *((f"{ATC}|{code}", {"anti-pd-l1"}) for code in ("L01FF03", "L01FF05", "L01XC32")),
        *((f"{ATC}|{code}", {CHEMOTHERAPY}) for code in ("L01CD01", "L01CD", "L01DB99")),
        ("http://fhir.de/CodeSystem/bfarm/atc|L01EF02", {CDK4_6}),
        (f"{ATC}|L01XK02", {OTHER}),
    ],
)
def test_codes(code: str, therapies: set[str]) -> None:
    assert {line.therapy for line in chart(dose(code, "2025-01-06")).lines} == therapies


def test_a_product_of_two_drugs_names_both() -> None:
    assert lines(dose(f"{RXNORM}|2382603", "2025-01-06")) == ["her2: pertuzumab+trastuzumab 2025-01-06..2025-01-06"]


def test_displays_are_not_believed() -> None:
    wrong = {"medicationCodeableConcept": {"coding": [{"system": RXNORM, "code": "224905", "display": "gemcitabine"}]}}
    assert lines({**dose("paclitaxel", "2025-01-06"), **wrong}) == ["her2: trastuzumab 2025-01-06..2025-01-06"]


@pytest.mark.parametrize("contained", [True, False])
def test_a_medication_by_reference(contained: bool) -> None:
    medication = {"resourceType": "Medication", "id": "m", "code": coded(RXCUI["paclitaxel"], RXNORM)}
    given = dose("paclitaxel", "2025-01-06", medicationReference={"reference": "#m" if contained else "Medication/m"})
    del given["medicationCodeableConcept"]
    resources = [{**given, "contained": [medication]}] if contained else [given, medication]
    assert lines(*resources) == ["chemo: paclitaxel 2025-01-06..2025-01-06"]


@pytest.mark.parametrize(
    ("resource", "words"),
    [
        (dose(f"{ATC}|L01XX99", "2025-01-06"), "anticancer drug that no therapy class knows"),
        (dose(f"{ATC}|L01FF", "2025-01-06"), "anticancer drug"),  # PD-1 or PD-L1, which it does not say
        (
            dose(
                f"{RXNORM}|99", "2025-01-06",
                meta={"profile": ["http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-cancer-related-medication-request"]},
            ),
            "given for cancer or for what it causes",
        ),
        (dose("paclitaxel", "2025-01-06", medicationCodeableConcept={**coded("99", RXNORM), "text": "PEMBROLİZUMAB 100 MG"}), "called pembrolizumab"),
        (dose("paclitaxel", "2025-01-06", medicationCodeableConcept={**coded("99", RXNORM), "text": "Pembrolızumab"}), "called pembrolizumab"),
        (dose("paclitaxel", "2025-01-06", medicationCodeableConcept={**coded("99", RXNORM), "text": "Doxorubicína"}), "called doxorubicina"),
        (dose("paclitaxel", "2025-01-06", medicationCodeableConcept={"text": "Taxol"}), "not coded"),
        (dose("paclitaxel", "2025-01-06", medicationCodeableConcept={**coded("99", RXNORM), "text": "Paclitaxel 6 mg/mL"}), "called paclitaxel"),
        (dose("paclitaxel", "2025-01-06", medicationCodeableConcept={"coding": [{"system": RXNORM, "code": "99", "display": "LETROZOL 2,5mg"}]}), "called letrozol,"),
        (dose("http://hl7.org/fhir/sid/ndc|0071-0155-23", "2025-01-06"), "a system that is not read: http://hl7.org/fhir/sid/ndc|0071-0155-23"),
        (
            dose("paclitaxel", "2025-01-06", medicationCodeableConcept=None, medicationReference={"reference": "Medication/9"}),
            "not in the input",
        ),
        (dose("paclitaxel", "2025-01-06", "given"), "status 'given'"),
        (dose("paclitaxel", "in spring"), "'in spring' is no date"),
        (statement("tamoxifen", "2025-01-06", "2024-01-06", "completed"), "ends before it starts"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_listed(resource: Json, words: str) -> None:
    (note,) = chart(resource).left_out
    assert words in note.reason
    assert note.where.startswith("Bundle.entry[1].resource")
    assert note.what.startswith("Medication")
    assert note.hint


def test_other_drugs_are_no_news() -> None:
    """Most of what a patient takes is not against cancer: coded where we can read it, it needs no word."""
    aspirin = {"coding": [{"system": RXNORM, "code": "1191", "display": "Aspirin"}], "text": "Aspirin"}
    assert chart(dose("paclitaxel", "2025-01-06", medicationCodeableConcept=aspirin)).left_out == ()
    nausea = coded("A04AA01", ATC)  # of another group, whatever profile it has
    profiled = {"profile": ["http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-cancer-related-medication-request"]}
    assert chart(dose("paclitaxel", "2025-01-06", medicationCodeableConcept=nausea, meta=profiled)).left_out == ()


# rule files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("codes: {rxnorm: ['1']}", "codes: {rxnom: ['1']}"), "unknown key 'rxnom'"),
        (("route: oral", "route: orall"), "'route: orall' is not known"),
        (("days: 42 d", "days: six weeks"), "is not a number of days"),
        (("days: 42 d", "days: 20 d"), "bridges 35 days, but a gap of 20 days"),
        (("title: T\n", ""), "'title' is missing"),
    ],
)
def test_mistakes_in_a_therapy_file(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    text = (
        "therapy: t\ntitle: T\ngap: {days: 42 d, because: x}\nbridge: {days: 35 d, because: x}\n"
        "drugs:\n  a: {route: oral, codes: {rxnorm: ['1']}}\n"
    )
    (tmp_path / "therapies").mkdir()
    (tmp_path / "therapies" / "t.yaml").write_text(text.replace(*change), encoding="utf-8")
    problems: list[Problem] = []
    load_therapies(tmp_path, problems)
    assert any(message in problem.message for problem in problems), problems


def test_a_group_of_a_class_that_does_not_exist(tmp_path: Path) -> None:
    text = "intents: {}\nprogression: {observations: {}, worse: {}}\nneoadjuvant_within: {days: 365 d, because: x}\n"
    (tmp_path / "therapies").mkdir()
    (tmp_path / "therapies" / "lines.yaml").write_text(
        f"{text}groups:\n  anti-pd-2: {{atc: [L01FF]}}\n", encoding="utf-8"
    )
    problems: list[Problem] = []
    load_therapies(tmp_path, problems)
    assert [(one.line, one.message) for one in problems] == [(5, "'anti-pd-2' is no therapy class")]


def test_the_shipped_classes() -> None:
    classes = catalogue().therapies.classes
    assert sorted(classes) == [ANTI_PD_1, "anti-pd-l1", CDK4_6, CHEMOTHERAPY, ENDOCRINE, HER2, OTHER]
    assert classes[CHEMOTHERAPY].gap == 42


# published records -----------------------------------------------------------------------------------------------


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the published samples are not here")
@pytest.mark.parametrize(
    ("sample", "as_of", "expected"),
    [
        (
            "mcode/TrialMatching_Patient01.json",
            "2019-12-01",
            [
                "cdk4-6: abemaciclib+ribociclib 2019-04-01.. assumed-ongoing",
                "endocrine: fulvestrant+leuprolide 2019-04-01.. assumed-ongoing",
            ],
        ),
        (
            "mcode/eom_patient_1.json",
            "2024-06-01",
            ["cdk4-6: abemaciclib 2022-01-01..2022-01-01", "other: alpelisib 2022-01-01..2022-01-01"],
        ),
        ("mcode/synthea-T0.subset.json", "2014-11-16", []),
        ("mcode/synthea-T0.subset.json", "2015-04-01", ["chemo: doxorubicin 2014-11-17.. assumed-ongoing"]),
        (
            "mcode/synthea-T0.subset.json",
            "2018-10-01",
            ["chemo: doxorubicin 2014-11-17..2015-04-07", "endocrine: tamoxifen 2015-04-28.. unknown"],
        ),
        ("ccrr/med-admin-docetaxel.json", "2024-01-01", ["chemo: docetaxel 2023-04-10..2023-04-10"]),
    ],
)
def test_published_records_as_a_person_would_list_them(sample: str, as_of: str, expected: list[str]) -> None:
    data = json.loads((SAMPLES / sample).read_text(encoding="utf-8"))
    assert listed(read(data, catalogue()).as_of(as_of).lines) == expected
