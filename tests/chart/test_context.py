"""Disease, receptors, operations, events and imaging, as the record tells them at a moment."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from cds.chart.catalogue import METHOD_SYSTEM
from cds.chart.context import load_events
from cds.chart.model import Chart, Event
from cds.chart.reading import read
from cds.errors import Problem
from tests.chart.fixtures_clinical import (
    ATC,
    RXNORM,
    SNOMED,
    SUBJECT,
    condition,
    dose,
    intent,
    observed,
    procedure,
    statement,
)
from tests.chart.make import Json, catalogue, chart, coded

SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "samples"
BREAST, LIVER = "254837009", "94381002"
ER, PR = "85337-4", "85339-0"
CPT, PCS, OPS = (
    "http://www.ama-assn.org/go/cpt",
    "http://hl7.org/fhir/sid/icd-10-pcs",
    "http://fhir.de/CodeSystem/bfarm/ops",
)
LUMPECTOMY, AXILLARY, RADIOTHERAPY, TRANSFUSION = "64368001", "234262008", "33195004", "116859006"
CURATIVE, PALLIATIVE = "373808002", "363676003"
RECIST = f"{METHOD_SYSTEM}|imaging-response"


def day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def events(*resources: Json, as_of: str = "2030-01-01") -> list[tuple[str, str, str]]:
    return [
        (event.kind, str(event.start or "?"), str(event.end or "")) for event in chart(*resources, as_of=as_of).events
    ]


# operations ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resource", "more", "curative"),
    [
        (procedure(LUMPECTOMY, "2025-01-15"), [], True),
        (procedure("735085002", "2025-01-15"), [], True),
        (procedure("http://www.ama-assn.org/go/cpt|19303", "2025-01-15"), [], True),
        (procedure("http://fhir.de/CodeSystem/bfarm/ops|5-870.a1", "2025-01-15"), [], True),
        (procedure(AXILLARY, "2025-01-15"), [], False),
        (procedure(LUMPECTOMY, "2025-01-15", **intent(PALLIATIVE)), [], False),
        (procedure(LUMPECTOMY, "2025-01-15"), [condition(LIVER, "2024-12-01")], False),
        (procedure(LUMPECTOMY, "2025-01-15"), [condition(LIVER)], False),
        (procedure(LUMPECTOMY, "2025-01-15"), [condition(LIVER, "2025-06-01")], True),
        (procedure(LUMPECTOMY, "2025-01-15", **intent(CURATIVE)), [condition(LIVER, "2024-12-01")], True),
        (procedure(LUMPECTOMY, "2025-01-15", "stopped"), [], False),
        (procedure("1234", "2025-01-15", category=coded("387713003", SNOMED)), [], False),
        (procedure("52734007", "2025-01-15"), [], False),  # a new hip, without any category
        (procedure("80402001", "2025-01-15"), [], False),  # a port
        (procedure(f"{CPT}|36561", "2025-01-15"), [], False),
        (procedure(f"{CPT}|27130", "2025-01-15"), [], False),
        (procedure(f"{PCS}|0SR90JZ", "2025-01-15"), [], False),
        (
            procedure(f"{PCS}|0HBT0ZX", "2025-01-15"),
            [],
            False,
        ),  # open, for diagnosis: a wound, and no curative resection
        (procedure(f"{PCS}|0HBT0ZZ", "2025-01-15"), [], True),
        (procedure(f"{OPS}|5-820.00", "2025-01-15"), [], False),
        (procedure(f"{OPS}|5-501", "2025-01-15"), [], False),
        (procedure(f"{OPS}|5-399.5", "2025-01-15"), [], False),
    ],
)
def test_operations(resource: Json, more: list[Json], curative: bool) -> None:
    (operation,) = chart(resource, *more).operations
    assert (operation.day, operation.curative, operation.planned) == (date(2025, 1, 15), curative, False)


@pytest.mark.parametrize(
    "resource",
    [
        procedure("71651007", "2025-01-15"),  # mammography
        procedure(f"{CPT}|36415", "2025-01-15"),  # the blood for the sample itself is drawn so
        procedure(f"{CPT}|36591", "2025-01-15"),  # or from a port
        procedure(f"{CPT}|19083", "2025-01-15"),  # biopsy by needle
        procedure(f"{PCS}|0HBT3ZX", "2025-01-15"),
        procedure(f"{PCS}|0DJD8ZZ", "2025-01-15"),  # a look into the bowel
        procedure(f"{CPT}|99213", "2025-01-15"),
        procedure(f"{OPS}|1-494.0", "2025-01-15"),
        procedure("122548005", "2025-01-15", category=coded("387713003", SNOMED)),  # biopsy
        procedure(LUMPECTOMY, "2025-01-15", "not-done"),
        procedure(LUMPECTOMY, "2025-01-15", "entered-in-error"),
        procedure(LUMPECTOMY, None, "preparation"),
        procedure(LUMPECTOMY, "2025-01-15", "preparation"),  # the day has passed
        procedure("1234", "2025-01-15"),
    ],
)
def test_what_is_no_operation(resource: Json) -> None:
    found = chart(resource)
    assert (found.operations, found.left_out) == ((), ())


def test_a_planned_operation() -> None:
    meta = {"lastUpdated": "2025-01-02T08:00:00Z"}
    (operation,) = chart(procedure(LUMPECTOMY, "2025-01-15", "preparation", meta=meta), as_of="2025-01-10").operations
    assert (operation.curative, operation.planned) == (True, True)


@pytest.mark.parametrize("performed", [None, "2025-01", "2025"])
def test_an_operation_without_a_day_is_listed(performed: str | None) -> None:
    found = chart(procedure(LUMPECTOMY, performed))
    assert found.operations == ()
    assert "cannot be placed" in found.left_out[0].reason


# events ----------------------------------------------------------------------------------------------------------


def period(code: str, start: str, end: str | None = None, status: str = "completed") -> Json:
    stated = {"start": start} | ({"end": end} if end else {})
    return procedure(code, None, status, performedPeriod=stated)


@pytest.mark.parametrize(
    ("resource", "as_of", "expected"),
    [
        (period(RADIOTHERAPY, "2025-01-06", "2025-02-10"), "2025-01-20", [("radiotherapy", "2025-01-06", "")]),
        (
            period(RADIOTHERAPY, "2025-01-06", "2025-02-10"),
            "2025-03-01",
            [("radiotherapy", "2025-01-06", "2025-02-10")],
        ),
        (period(RADIOTHERAPY, "2025-01-06", None, "in-progress"), "2025-03-01", [("radiotherapy", "2025-01-06", "")]),
        (procedure(RADIOTHERAPY, "2025-01-06"), "2025-03-01", [("radiotherapy", "2025-01-06", "2025-01-06")]),
        (procedure(TRANSFUSION, "2025-01-06"), "2025-03-01", [("transfusion", "2025-01-06", "2025-01-06")]),
        (procedure(TRANSFUSION, "2025-01-06", "not-done"), "2025-03-01", []),
        (procedure(TRANSFUSION, None), "2025-03-01", [("transfusion", "?", "")]),
        (condition("A41.9", "2025-01-06"), "2025-01-05", []),
        (condition("A41.9", "2025-01-06"), "2025-03-01", [("infection", "2025-01-06", "")]),
        (condition("U07.1"), "2025-03-01", [("infection", "?", "")]),
        (condition("91302008", "2025-01"), "2025-03-01", [("infection", "2025-01-01", "")]),
        (
            condition("840539006", "2025-01-06", abatementDateTime="2025-01-20"),
            "2025-03-01",
            [("infection", "2025-01-06", "2025-01-20")],
        ),
        (condition("A41.9", "2025-01-06", verified="provisional"), "2025-03-01", [("infection", "2025-01-06", "")]),
        (condition("A41.9", "2025-01-06", verified="refuted"), "2025-03-01", []),
        (condition("B18.1", "2015-01-06"), "2025-03-01", []),  # chronic
        (
            condition("A41.9", "2025-01-06", clinical="resolved", meta={"lastUpdated": "2025-01-25T08:00:00Z"}),
            "2025-03-01",
            [("infection", "2025-01-06", "2025-01-25")],
        ),
        (condition("M06.9", "2020-01-06"), "2025-03-01", [("autoimmune", "2020-01-06", "")]),
        (condition("K74.6", "2020-01-06"), "2025-03-01", [("hepatic", "2020-01-06", "")]),
        (condition("N18.3", "2020-01-06"), "2025-03-01", [("renal", "2020-01-06", "")]),
        (dose(f"{RXNORM}|338036", "2025-01-06"), "2025-03-01", [("g-csf", "2025-01-06", "2025-01-06")]),
        (dose(f"{ATC}|L03AA13", "2025-01-06"), "2025-03-01", [("g-csf", "2025-01-06", "2025-01-06")]),
        (statement(f"{RXNORM}|3264", "2025-01-06"), "2025-03-01", [("steroid", "2025-01-06", "")]),
        (
            {
                "resourceType": "Immunization",
                "id": "i",
                "status": "completed",
                "patient": SUBJECT["subject"],
                "occurrenceDateTime": "2025-01-06",
            },
            "2025-03-01",
            [("vaccination", "2025-01-06", "2025-01-06")],
        ),
        (condition("E11.9", "2020-01-06"), "2025-03-01", []),
    ],
)
def test_events(resource: Json, as_of: str, expected: list[tuple[str, str, str]]) -> None:
    assert events(resource, as_of=as_of) == expected


@pytest.mark.parametrize(("as_of", "end"), [("2025-01-10", ""), ("2025-01-30", ""), ("2025-02-01", "2025-01-20")])
def test_an_end_counts_since_it_is_known(as_of: str, end: str) -> None:
    meta = {"lastUpdated": "2025-02-01T08:00:00Z"}
    over = condition("A41.9", "2025-01-06", abatementDateTime="2025-01-20", recordedDate="2025-01-06", meta=meta)
    assert events(over, as_of=as_of) == [("infection", "2025-01-06", end)]


def test_over_without_a_date_counts_as_going_on_and_is_listed() -> None:
    found = chart(condition("A41.9", "2025-01-06", clinical="resolved"))
    assert found.events == (Event("infection", date(2025, 1, 6), None, found.events[0].ref),)
    assert "nothing says since when" in found.left_out[0].reason


@pytest.mark.parametrize("as_of", ["0001-01-02", "9999-12-31"])
def test_pregnancies_at_the_ends_of_the_calendar(as_of: str) -> None:
    stated = [condition("77386006", as_of), condition("O80", as_of), observed("82810-3", "77386006", as_of)]
    assert {kind for kind, _, _ in events(*stated, as_of=as_of)} == {"pregnancy"}


@pytest.mark.parametrize(
    ("resources", "as_of", "expected"),
    [
        ([condition("77386006", "2024-06-01")], "2025-01-01", [("2024-06-01", "")]),
        ([condition("Z34.00", "2024-06-01")], "2025-01-01", [("2024-06-01", "")]),
        ([condition("77386006", "2024-06-01")], "2025-12-01", [("2024-06-01", "2025-04-05")]),  # no longer than 44 weeks
        ([condition("77386006", "2024-06-01"), condition("O80", "2025-02-20")], "2025-03-01", [("2024-06-01", "2025-02-20")]),
        ([condition("77386006", "2024-06-01"), procedure("11466000", "2025-02-20")], "2025-03-01", [("2024-06-01", "2025-02-20")]),
        ([condition("77386006", "2024-06-01"), condition("O03.9", "2024-08-01")], "2025-03-01", [("2024-06-01", "2024-08-01")]),
        ([procedure("11466000", "2025-02-20")], "2025-03-01", [("2024-04-18", "2025-02-20")]),
        ([observed("82810-3", "LA15173-0", "2025-02-20")], "2025-03-01", [("2024-04-18", "")]),
        (
            [observed("82810-3", "LA26683-5", "2025-01-01"), observed("82810-3", "77386006", "2025-02-20")],
            "2025-03-01",
            [("2025-01-01", "")],
        ),
        (
            [observed("82810-3", "77386006", "2025-02-20"), observed("82810-3", "60001007", "2025-03-20")],
            "2025-04-01",
            [("2024-04-18", "2025-03-20")],
        ),
        ([observed("82810-3", "60001007", "2025-03-20")], "2025-04-01", []),
        ([condition("O90.4", "2025-03-20")], "2025-04-01", [("2024-05-16", "2025-03-20")]),  # a birth lies before it
        ([condition("O80", "2025-01-20"), condition("Z39.2", "2025-03-20")], "2025-04-01", [("2024-03-18", "2025-01-20")]),
        ([condition("Z33.2", "2025-03-20")], "2025-04-01", [("2024-05-16", "2025-03-20")]),
        ([condition("O94", "2025-03-20")], "2025-04-01", []),
        ([procedure(f"{CPT}|59000", "2025-02-20")], "2025-03-01", [("2024-04-18", "")]),
        ([procedure(f"{CPT}|59400", "2025-02-20")], "2025-03-01", [("2024-04-18", "2025-02-20")]),
        ([procedure(f"{PCS}|10900ZC", "2025-02-20"), procedure(f"{PCS}|10D00Z1", "2025-02-25")], "2025-03-01", [("2024-04-18", "2025-02-25")]),
    ],
)  # fmt: skip
def test_pregnancy(resources: list[Json], as_of: str, expected: list[tuple[str, str]]) -> None:
    assert events(*resources, as_of=as_of) == [("pregnancy", start, end) for start, end in expected]


# imaging ---------------------------------------------------------------------------------------------------------

CT: dict[str, Any] = {"extension": [{"url": "evidence", "valueCodeableConcept": coded("77477000", SNOMED)}]}


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        *(
            (observed(RECIST, f"{METHOD_SYSTEM}|{word}", "2025-03-10"), word)
            for word in ("CR", "PR", "SD", "PD", "NE", "iCR", "iPR", "iSD", "iUPD", "iCPD")
        ),
        (observed("21976-6", "LA28370-7", "2025-03-10"), "PD"),
        (observed("21976-6", "LA28366-5", "2025-03-10"), "CR"),
        (observed("97509-4", "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl|C18058", "2025-03-10"), "PR"),
        (observed("97509-4", "268910001", "2025-03-10"), None),  # improved is neither CR nor PR
        (observed("97509-4", "271299001", "2025-03-10"), None),  # worsened, by whatever evidence
        (observed("97509-4", "271299001", "2025-03-10", **CT), "PD"),
        (observed("97509-4", "268910001", "2025-03-10", **CT), None),
        (observed("88040-1", "385633008", "2025-03-10"), None),
        (observed(RECIST, f"{METHOD_SYSTEM}|PD", "2025-03-10", "preliminary"), None),
        (observed(RECIST, f"{METHOD_SYSTEM}|PD", "2025-03-10", "entered-in-error"), None),
        (
            {
                "resourceType": "DiagnosticReport",
                "id": "r",
                "status": "final",
                **SUBJECT,
                "effectiveDateTime": "2025-03-10",
                "conclusionCode": [coded("PD", METHOD_SYSTEM)],
            },
            "PD",
        ),
    ],
)
def test_imaging(resource: Json, expected: str | None) -> None:
    found = chart(resource)
    assert [(scan.day, scan.response) for scan in found.imaging] == (
        [(date(2025, 3, 10), expected)] if expected else []
    )
    assert found.left_out == ()


def test_a_scan_counts_since_it_is_known() -> None:
    scan = observed(RECIST, f"{METHOD_SYSTEM}|PD", "2025-03-10", issued="2025-03-14T10:00:00Z")
    assert [len(chart(scan, as_of=as_of).imaging) for as_of in ("2025-03-13", "2025-03-14")] == [0, 1]


# what cannot be used ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resource", "words"),
    [
        (observed(RECIST, f"{METHOD_SYSTEM}|better", "2025-03-10"), "code that nobody knows"),
        (observed(RECIST, f"{METHOD_SYSTEM}|PD"), "without a day"),
        (observed(ER, None, "2025-03-10"), "not coded"),
        ({**condition(BREAST), "code": {"text": "Brustkrebs"}}, "the condition is not coded"),
        (
            condition("1", meta={"profile": ["http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-primary-cancer-condition"]}),
            "a cancer that no table knows",
        ),
        (procedure(LUMPECTOMY, "2025-01-15", "finished"), "status 'finished'"),
        (condition("A41.9", "last week"), "is no date"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_listed(resource: Json, words: str) -> None:
    (note,) = chart(resource).left_out
    assert words in note.reason
    assert note.where.startswith("Bundle.entry[1].resource")
    assert note.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("events: event\ntitle: T\ncodes: {infektion: {icd10: [A]}}\n", "'infektion' is no kind of event"),
        ("events: event\ntitle: T\ncodes: {infection: {icd: [A]}}\n", "unknown key 'icd'"),
        ("events: event\ntitle: T\ncodes: {infection: {icd10: [A]}, renal: {icd10: [A]}}\n", "already means"),
        ("events: event\ntitle: T\ncodes: {infection: {cpt: [20-10]}}\n", "'20-10' is no range of codes"),
        ("events: event\ntitle: T\ncodes: {infection: {cpt: [10-20]}, renal: {cpt: [10-20]}}\n", "already means"),
    ],
)
def test_mistakes_in_an_event_file(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "events").mkdir()
    (tmp_path / "events" / "e.yaml").write_text(text, encoding="utf-8")
    problems: list[Problem] = []
    load_events(tmp_path, problems)
    assert any(message in problem.message for problem in problems), problems


# published records -----------------------------------------------------------------------------------------------


def sample(name: str, as_of: str) -> Chart:
    return read(json.loads((SAMPLES / name).read_text(encoding="utf-8")), catalogue()).as_of(as_of)


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the published samples are not here")
@pytest.mark.parametrize(
    ("name", "as_of", "expected"),
    [
        (
            "mcode/TrialMatching_Patient01.json",
            "2020-01-01",
            {"invasive_breast_cancer": True, "metastatic": True, "er": True, "pr": True, "her2": False},
        ),
        (
            "mcode/eom_patient_1.json",
            "2024-06-01",
            {"invasive_breast_cancer": True, "metastatic": True, "er": False, "pr": False, "her2": False},
        ),
        ("mcode/eom_patient_1.json", "2020-06-01", {"er": True, "pr": False, "her2": False}),
        (
            "mcode/synthea-T0.subset.json",
            "2018-01-01",
            {"invasive_breast_cancer": True, "metastatic": False, "er": False, "pr": True, "her2": False},
        ),
        ("ccrr/primary-cancer-condition-breast.json", "2024-01-01", {"invasive_breast_cancer": True, "er": None}),
        ("ccrr/content-bundle.json", "2024-01-01", {"invasive_breast_cancer": None, "metastatic": False}),
    ],
)
def test_published_diagnoses(name: str, as_of: str, expected: dict[str, Any]) -> None:
    diagnosis = sample(name, as_of).diagnosis
    assert {key: getattr(diagnosis, key) for key in expected} == expected


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the published samples are not here")
def test_published_operations() -> None:
    found = sample("mcode/synthea-T0.subset.json", "2018-01-01")
    assert [(operation.day, operation.curative) for operation in found.operations] == [(date(2015, 4, 21), False)]
    assert [(event.kind, event.start, event.end) for event in found.events] == [
        ("radiotherapy", date(2015, 4, 21), date(2015, 4, 21))
    ]
    assert found.imaging == ()  # "improving" names no criteria
    (operation,) = sample("ccrr/procedure-surgery.json", "2024-01-01").operations
    assert (operation.day, operation.curative) == (date(2023, 11, 8), True)
