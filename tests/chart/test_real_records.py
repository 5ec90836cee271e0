"""Records as others publish them: markers injected as a laboratory really sends them, bare, and read through its declaration.

The published files stand beside the project where they are at hand; the records of our own that follow their habits (cycles
as completed requests, statements with a start only, no dates on receptors) make the same hold without them.
"""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from cds.chart import Moment, read
from cds.reasoning.loading import default_rulebook
from cds.reasoning.reasoner import Reasoner

PUBLISHED = Path(__file__).resolve().parents[3] / "shared" / "samples" / "mcode"
REASONER = Reasoner(default_rulebook())
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"


def bare_result(patient: str, code: str, unit: str, day: str, value: float) -> dict[str, Any]:
    """What a laboratory sends: its own code, a date, a number, its name; and the total EV count."""
    system = "https://exosome-lab.example/codes"
    total = {
        "value": 11000000000,
        "unit": "particles/mL",
        "system": "http://unitsofmeasure.org",
        "code": "{particles}/mL",
    }
    return {
        "resourceType": "Observation",
        "id": f"{code.lower()}-{day}",
        "status": "final",
        "code": {"coding": [{"system": system, "code": code}]},
        "subject": {"reference": patient},
        "effectiveDateTime": day,
        "performer": [{"identifier": {"system": "https://exosome-lab.example/id", "value": "EEL-01"}}],
        "valueQuantity": {"value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit},
        "component": [{"code": {"coding": [{"system": system, "code": "EV-TOTAL"}]}, "valueQuantity": total}],
    }


def resource(kind: str, key: str, system: str, code: str, **rest: Any) -> dict[str, Any]:
    return {"resourceType": kind, "id": f"{kind.lower()}-{code}-{rest.get('authoredOn', '')}", "subject": {"reference": "Patient/p"},
            key: {"coding": [{"system": system, "code": code, "display": "displays lie"}]}, **rest}  # fmt: skip


def cycles_of_doxorubicin() -> dict[str, Any]:
    """Like a Synthea patient: one completed request for each cycle, 19 to 21 days apart, then tamoxifen with a start only."""
    days = [date(2014, 11, 17) + timedelta(days=d) for d in (0, 19, 38, 59, 79, 100, 120, 141)]
    orders = [
        resource("MedicationRequest", "medicationCodeableConcept", RXNORM, "1790099",
                 status="completed", intent="order", authoredOn=f"{day.isoformat()}T09:27:09-05:00")
        for day in days
    ]  # fmt: skip
    tamoxifen = resource("MedicationRequest", "medicationCodeableConcept", RXNORM, "198240",
                         status="completed", intent="order", authoredOn="2015-04-28T10:27:09-04:00")  # fmt: skip
    return record(*orders, tamoxifen)


def statements_with_a_start_only() -> dict[str, Any]:
    """Like an mCODE trial-matching patient: statements with one date, receptors without any."""

    def statement(code: str, status: str, day: str) -> dict[str, Any]:
        found = resource(
            "MedicationStatement", "medicationCodeableConcept", RXNORM, code, status=status, effectiveDateTime=day
        )
        return {**found, "id": f"{found['id']}{status}{day}"}

    positive = {"coding": [{"system": SNOMED, "code": "10828004"}]}
    receptors = [
        resource("Observation", "code", LOINC, code, status="final", valueCodeableConcept=positive)
        for code in ("40556-3", "40557-1")
    ]
    return record(
        statement("1156671", "completed", "2019-04-01"),
        statement("1946828", "active", "2019-04-01"),
        statement("1156671", "active", "2019-06-01"),
        statement("1873980", "active", "2019-06-01"),
        *receptors,
    )


def record(*resources: dict[str, Any]) -> dict[str, Any]:
    patient = {"resourceType": "Patient", "id": "p", "gender": "female", "birthDate": "1960-02-03"}
    disease = resource("Condition", "code", SNOMED, "254837009")
    entries = [{"resource": entry} for entry in (patient, disease, *resources)]
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


def published(name: str) -> dict[str, Any]:
    path = PUBLISHED / name
    if not path.exists():
        pytest.skip("the published record is not beside this project")
    bundle: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return bundle


def lines(bundle: dict[str, Any], as_of: str) -> list[tuple[str, tuple[str, ...], str, str | None, str]]:
    chart = read(bundle, REASONER.rulebook.catalogue).as_of(as_of)
    return [
        (line.therapy, tuple(sorted(line.drugs)), str(line.start), str(line.end) if line.end else None, line.extent)
        for line in chart.lines
    ]


ENDOCRINE = ("endocrine-therapy", ("fulvestrant",), "2019-04-01", None, "assumed-ongoing")
CDK = ("cdk4-6-inhibitor", ("abemaciclib", "ribociclib"), "2019-04-01", None, "assumed-ongoing")
DOXORUBICIN = ("cytotoxic-chemotherapy", ("doxorubicin",), "2014-11-17", "2015-04-07", "known")
TAMOXIFEN = ("endocrine-therapy", ("tamoxifen",), "2015-04-28", None, "unknown")


def test_lines_are_those_that_a_person_reads() -> None:
    assert lines(cycles_of_doxorubicin(), "2016-01-01") == [DOXORUBICIN, TAMOXIFEN]
    assert lines(statements_with_a_start_only(), "2020-01-01") == [CDK, ENDOCRINE]


def test_lines_of_published_records() -> None:
    assert lines(published("synthea-T0.subset.json"), "2016-01-01") == [DOXORUBICIN, TAMOXIFEN]
    leuprolide = ("endocrine-therapy", ("fulvestrant", "leuprolide"), "2019-04-01", None, "assumed-ongoing")
    assert lines(published("TrialMatching_Patient01.json"), "2020-01-01") == [CDK, leuprolide]
    assert lines(published("eom_patient_1.json"), "2023-01-01") == [
        ("cdk4-6-inhibitor", ("abemaciclib",), "2022-01-01", "2022-01-01", "known"),
        ("other-anticancer", ("alpelisib",), "2022-01-01", "2022-01-01", "known"),
    ]


RISE = {"2014-11-10": 2.0, "2015-01-26": 5.6, "2015-02-23": 6.0}
HOTAIR = {"2019-06-03": 1.5, "2019-09-02": 5.4, "2019-09-30": 6.0}


@pytest.mark.parametrize(
    ("bundle", "code", "unit", "series", "expected"),
    [
        (cycles_of_doxorubicin, "EV-TRPC5", "Mio/mL", RISE, ["background", "watch", "suspected"]),
        (lambda: published("synthea-T0.subset.json"), "EV-TRPC5", "Mio/mL", RISE, ["background", "watch", "suspected"]),
        (statements_with_a_start_only, "EV-HOTAIR", "{fold}", HOTAIR, ["not-evaluable", "watch", "suspected"]),
        (lambda: published("TrialMatching_Patient01.json"), "EV-HOTAIR", "{fold}", HOTAIR, ["not-evaluable", "watch", "suspected"]),
        (statements_with_a_start_only, "EV-TRPC5", "Mio/mL", HOTAIR, ["not-applicable"] * 3),
        (lambda: published("eom_patient_1.json"), "EV-TRPC5", "Mio/mL", {"2023-01-01": 9.0}, ["not-applicable"]),
    ],
)  # fmt: skip
def test_bare_results_are_read_through_the_declaration(
    bundle: Any, code: str, unit: str, series: dict[str, float], expected: list[str]
) -> None:
    found = bundle()
    patient = next(e for e in found["entry"] if e["resource"]["resourceType"] == "Patient")
    reference = patient.get("fullUrl") or f"Patient/{patient['resource']['id']}"
    found["entry"] += [{"resource": bare_result(reference, code, unit, day, value)} for day, value in series.items()]
    chart = read(found, REASONER.rulebook.catalogue)
    states = []
    for day in series:
        # A chemotherapy that begins later is planned on no day before: the baseline is judged once the line has begun.
        moment = "2014-11-20" if day == "2014-11-10" else day
        evaluation = REASONER.evaluate(chart.as_of(Moment.parse(moment)))
        marker = {"EV-TRPC5": "trpc5-ev", "EV-HOTAIR": "hotair-ev"}[code]
        states.append(evaluation.marker_state(marker))
        assert all(result.declared for result in evaluation.chart.results[marker])
    assert states == expected
