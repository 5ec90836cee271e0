"""One patient, sent by three laboratories in three forms: the same chart and the same finding, byte for byte."""

from __future__ import annotations

import copy
import json
import re
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from cds.chart.catalogue import MARKER_SYSTEM
from cds.chart.model import Chart
from cds.errors import InputError
from cds.intake.delivery import Refused
from cds.intake.files import Received, received
from cds.intake.interfaces import load_interfaces
from cds.intake.owners import by_person
from cds.intake.resources import taken
from cds.reasoning.loading import default_rulebook, shipped_rules
from cds.reasoning.reasoner import Reasoner
from cds.record.content import findings
from tests.intake.test_hl7v2 import obx
from tests.intake.test_labs import SERIES, chart, order

BOOK = default_rulebook()
INTERFACES = load_interfaces(shipped_rules(), BOOK.catalogue.declarations)
NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)
MRN = {"system": "https://clinic.example/mrn", "value": "4711"}
Json = dict[str, Any]


def by_message() -> list[Json]:
    data = b"".join(
        order(
            day,
            obx(f5=value, f6="10*6{particles}/mL"),
            obx(f1="2", f3="EV-TOTAL^^99EEL", f5=total, f6="10*9{particles}/mL"),
        )
        for day, (value, total) in SERIES.items()
    )
    found = received(data, "results.hl7", INTERFACES, BOOK.catalogue, NOW)
    assert (found.counted, found.mapped, found.refused) == (10, 10, [])
    return found.resources


def by_table() -> list[Json]:
    lines = ["mrn,dob,sex,sample_id,material,drawn,reported,state,assay,result,unit"]
    for day, (value, total) in SERIES.items():
        start = f"4711,1970-05-14,f,EV-{day.replace('-', '')},plasma (EDTA),{day} 08:30,{day} 16:00,released"
        lines += [f"{start},trpc5_ev,{value},10*6{{particles}}/mL", f"{start},total_ev,{total},10*9{{particles}}/mL"]
    found = received("\n".join(lines).encode(), "march.csv", INTERFACES, BOOK.catalogue, NOW, "example-research-lab")
    assert (found.counted, found.mapped, found.refused) == (10, 10, [])
    return found.resources


def bundle() -> Json:
    entries: list[Json] = [
        {"resourceType": "Patient", "id": "x", "identifier": [MRN], "birthDate": "1970-05-14", "gender": "female"}
    ]
    for number, (day, (value, total)) in enumerate(SERIES.items(), 1):
        at = datetime.fromisoformat(f"{day}T08:30:00+01:00")
        zone = "+02:00" if day > "2025-03-30" else "+01:00"
        common: Json = {
            "resourceType": "Observation", "status": "final", "subject": {"reference": "Patient/x"},
            "category": [{"coding": [{
                "system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]}],
            "effectiveDateTime": f"{at:%Y-%m-%dT%H:%M:%S}{zone}", "issued": f"{day}T16:00:00{zone}",
            "specimen": {"reference": f"Specimen/s{number}"},
            "performer": [{"identifier": {"system": "https://fhir-lab.example/id", "value": "EFL-03"}}],
        }  # fmt: skip
        for code, figure, unit in (
            ("X-100", value, "10*6{particles}/mL"),
            ("X-900", total, "10*9{particles}/mL"),
        ):
            quantity = {"value": json.loads(figure), "unit": unit, "system": "http://unitsofmeasure.org", "code": unit}
            entries.append(
                {
                    **common, "id": f"{code}-{number}", "valueQuantity": quantity,
                    "code": {"coding": [{"system": "https://fhir-lab.example/codes", "code": code}]},
                }
            )  # fmt: skip
        entries.append(
            {
                "resourceType": "Specimen", "id": f"s{number}", "subject": {"reference": "Patient/x"},
                "identifier": [{"value": f"EV-{day.replace('-', '')}"}],
                "type": {"coding": [{
                    "system": "https://exowatch.example/fhir/CodeSystem/exosomal-method", "code": "plasma"}]},
            }
        )  # fmt: skip
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": one} for one in entries]}


def post(content: Any) -> tuple[list[Json], list[Refused], int]:
    found, counted = taken(json.dumps(content).encode(), "fhir-lab", "post", BOOK.catalogue, NOW)
    assert counted == found.mapped + sum(one.results for one in found.refused)
    return found.resources, found.refused, counted


def by_fhir() -> list[Json]:
    resources, refused, counted = post(bundle())
    assert (counted, refused) == (10, [])
    return resources


def anonymous(text: bytes, laboratory: str) -> str:
    """Without what has to differ: the laboratory's name, and the ids that are made from it."""
    known: dict[str, str] = {}

    def named(found: re.Match[str]) -> str:
        return known.setdefault(found[0], f"id-{len(known)}")

    plain = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", named, text.decode())
    title = BOOK.catalogue.declarations.laboratories[laboratory].title
    return plain.replace(title, "laboratory").replace(laboratory, "laboratory")


def told(found: Chart) -> bytes:
    evaluation = Reasoner(BOOK).evaluate(found)
    assert [finding.state for finding in evaluation.findings] == ["suspected"]
    return msgspec.json.encode(findings(evaluation), order="deterministic")


def test_three_laboratories_say_the_same() -> None:
    charts, said = [], []
    for name, resources in (
        ("example-lab", by_message()),
        ("example-research-lab", by_table()),
        ("example-fhir-lab", by_fhir()),
    ):
        found = chart(Received(resources=resources))
        charts.append(anonymous(msgspec.json.encode(found, order="deterministic"), name))
        said.append(anonymous(told(found), name))
    assert charts[0] == charts[1] == charts[2]
    assert said[0] == said[1] == said[2]
    assert "trpc5-ev" in charts[0]


def test_ids_are_the_senders_own_and_the_same_each_time() -> None:
    once, again = by_fhir(), by_fhir()
    assert once == again
    other, _ = taken(json.dumps(bundle()).encode(), "another", "post", BOOK.catalogue, NOW)
    ids = {one["id"] for one in once}
    assert ids.isdisjoint(one["id"] for one in other.resources)
    (part,) = by_person(once)
    assert part.owner.identifiers == ((MRN["system"], MRN["value"]),)
    kinds = [one["resourceType"] for one in part.resources]
    assert (kinds.count("Observation"), kinds.count("Specimen"), kinds.count("Provenance")) == (10, 5, 10)
    names = {f"{one['resourceType']}/{one['id']}" for one in once}
    for one in once:
        if one["resourceType"] == "Observation":
            assert one["specimen"]["reference"] in names


def observation(**changes: Any) -> Json:
    found: Json = copy.deepcopy(bundle()["entry"][1]["resource"])
    found["subject"] = {"identifier": MRN}
    del found["specimen"]
    return {key: value for key, value in {**found, **changes}.items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "words", "foreign"),
    [
        ({"status": "done"}, "not of the required codes", False),
        ({"dataAbsentReason": {"text": "x"}}, "obs-6", False),
        ({"effectiveDateTime": "soon"}, "no valid FHIR R4", False),
        ({"subject": None}, "does not say whose", False),
        ({"subject": {"reference": "Patient/7"}}, "does not say whose", False),
        ({"subject": {"identifier": {"value": "4711"}}}, "does not say whose", False),
        ({"code": {"coding": [{"system": "http://loinc.org", "code": "718-7"}]}}, "no rule file says", True),
        ({"code": {"text": "exosomal CD9"}}, "no rule file says", False),
        ({"code": {"coding": [{"system": "https://fhir-lab.example/codes", "code": "ZZZ"}]}}, "its code 'ZZZ' of https://fhir-lab", False),
        ({"code": {"coding": [{"system": MARKER_SYSTEM, "code": "trpc5"}]}}, "no rule file says what its code 'trpc5' of", False),
        ({"code": {"coding": [{"system": "https://exosome-lab.example/codes", "code": "EV-LOD"}]}}, "a part of a result", False),
        ({"code": {"coding": [{"system": "https://lab.elsewhere.example", "code": "ZZZ"}]}}, "no rule file says", True),
        ({"valueQuantity": {"value": 5.6, "unit": "{copies}/mL"}}, "is no unit of trpc5-ev", False),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_is_refused_and_the_rest_taken(changes: Json, words: str, foreign: bool) -> None:
    resources, refused, counted = post([observation(**changes), observation(id="good")])
    assert counted == 2
    (one,) = refused
    assert words in one.reason
    assert one.foreign is foreign
    assert one.where
    assert sum(found["resourceType"] == "Observation" for found in resources) == 1


def test_whose_it_is_may_be_said_in_several_ways() -> None:
    inside = {"resourceType": "Patient", "id": "p", "identifier": [MRN]}
    for changes, identifiers, reference in (
        ({"subject": {"identifier": MRN}}, ((MRN["system"], MRN["value"]),), ""),
        ({"subject": {"reference": "#p"}, "contained": [inside]}, ((MRN["system"], MRN["value"]),), ""),
        ({"subject": {"reference": "https://ehr.example/fhir/Patient/7"}}, (), "https://ehr.example/fhir/Patient/7"),
    ):
        resources, refused, _ = post(observation(**changes))
        assert refused == []
        (part,) = by_person(resources)
        assert (part.owner.identifiers, part.owner.reference) == (identifiers, reference)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"resourceType":"Bundle","type":"collection"}', b"MSH|^~\\&|"])
def test_what_holds_no_result_is_an_error(body: bytes) -> None:
    with pytest.raises(InputError):
        taken(body, "fhir-lab", "post", BOOK.catalogue, NOW)
