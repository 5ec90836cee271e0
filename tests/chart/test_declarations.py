"""What a laboratory declares fills what its results leave unsaid, is marked, and never overrides."""

from __future__ import annotations

import json
import shutil
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from cds.chart.catalogue import METHOD_SYSTEM, load_catalogue
from cds.chart.declarations import CHECKS, WORDS
from cds.chart.reading import read
from cds.errors import RuleBookError
from tests.chart.make import LAB, MILLION, PATIENT, RULES, bundle, coded, observation, part, quantity, result

LOCAL = "https://exosome-lab.example/codes"


def bare(code: str, value: float, unit: str, **more: Any) -> dict[str, Any]:
    """All that such a laboratory ever sends."""
    return observation(code=coded(code, LOCAL), valueQuantity=quantity(value, unit), performer=[LAB], **more)


@pytest.mark.parametrize(
    ("code", "unit", "marker", "checks"),
    [
        ("EV-TRPC5", MILLION, "trpc5-ev", {"haemolysis", "lipaemia", "residual-platelets"}),
        ("EV-HOTAIR", "{fold}", "hotair-ev", {"haemolysis", "lipaemia", "dna-control"}),
        ("EV-HOTAIR-DCT", "{delta_Ct}", "hotair-ev", {"haemolysis", "lipaemia", "dna-control"}),
        ("EV-PDL1", "pg/mL", "pdl1-ev", {"haemolysis", "lipaemia", "residual-platelets", "drug-tolerance"}),
        ("EV-TGFB1", "pg/mL", "tgfb1-ev", {"haemolysis", "lipaemia", "residual-platelets"}),
    ],
)
def test_a_bare_result_becomes_whole(code: str, unit: str, marker: str, checks: set[str]) -> None:
    read_result = result(bare(code, 6, unit), marker=marker)
    method = read_result.method
    assert read_result.faults == frozenset()
    assert None not in (
        method.specimen, method.tube, method.isolation, method.assay, method.platform, method.reagents, method.normaliser,
    )  # fmt: skip
    assert read_result.laboratory == "Example Exosome Laboratory"
    assert read_result.bridged
    assert set(read_result.checks) == checks
    assert {
        "specimen",
        "tube",
        "isolation",
        "assay",
        "platform",
        "reagents",
        "normaliser",
        "cva",
        "bridged",
    } | checks <= (read_result.declared)
    assert ("efficiency" in read_result.declared) == (unit == "{delta_Ct}")
    if unit == "{delta_Ct}":
        assert method.efficiency == Decimal("0.95")
        assert read_result.low == pytest.approx(1.95**-6)


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ({"component": [part("tube", "citrate")]}, "tube", "citrate"),
        ({"component": [part("isolation", "uc")]}, "isolation", "uc"),
        ({"method": coded("simoa")}, "assay", "simoa"),
        ({"device": {"display": "Other"}}, "platform", "Other"),
        ({"component": [part("specimen-type", "serum")]}, "specimen", "serum"),
        ({"component": [part("specimen-type", "urine")]}, "specimen", None),  # stated, in a word nobody knows
    ],
)
def test_what_is_stated_is_kept(change: Any, field: str, value: str | None) -> None:
    read_result = result(bare("EV-TRPC5", 6, MILLION, **change))
    assert getattr(read_result.method, field) == value
    assert field not in read_result.declared


@pytest.mark.parametrize(
    ("component", "checks", "lod"),
    [
        (part("haemolysis", "present"), {"haemolysis": False}, 5e5),
        (part("haemolysis", "3+"), {"haemolysis": None}, 5e5),  # unreadable is not unsaid
        (part("limit-of-detection", 0.7, MILLION), {"haemolysis": True}, 7e5),
        (part("limit-of-detection", 0.7, "furlong"), {"haemolysis": True}, None),
    ],
)
def test_checks_and_limits(component: Any, checks: dict[str, bool | None], lod: float | None) -> None:
    read_result = result(bare("EV-TRPC5", 6, MILLION, component=[component]))
    assert {name: read_result.checks.get(name) for name in checks} == checks
    assert read_result.lod == lod


def test_a_zero_is_below_the_declared_limit() -> None:
    read_result = result(bare("EV-TRPC5", 0, MILLION))
    assert (read_result.low, read_result.high, read_result.censored) == (0.0, 5e5, True)
    assert {"lod"} <= read_result.declared


def test_the_laboratory_has_its_own_spelling_of_a_unit() -> None:
    assert result(bare("EV-TRPC5", 6, "Mio/ml")).low == 6e6


@pytest.mark.parametrize(
    ("change", "whole"),
    [
        ({}, True),
        ({"performer": None}, True),  # its own code system names it too
        ({"performer": [{"identifier": {"system": "https://elsewhere.example", "value": "EEL-01"}}]}, False),
        ({"performer": [{"reference": "Practitioner/1"}, LAB]}, True),
        ({"performer": [{"reference": "Organization/example-exosome-laboratory"}]}, True),
        ({"performer": [{"reference": "#lab"}]}, True),
        ({"performer": [{"reference": "Organization/9"}]}, False),
    ],
)
def test_how_a_laboratory_is_known(change: Any, whole: bool) -> None:
    contained = [{"resourceType": "Organization", "id": "lab", "identifier": [LAB["identifier"]]}]
    read_result = result(bare("EV-TRPC5", 6, MILLION, contained=contained) | {k: v for k, v in change.items() if v})
    if change == {"performer": None}:
        resource = bare("EV-TRPC5", 6, MILLION)
        del resource["performer"]
        read_result = result(resource)
        assert "laboratory" in read_result.declared
    assert (read_result.method.tube == "edta") == whole
    assert (read_result.laboratory == "Example Exosome Laboratory") == whole


def test_greenwich_time_falls_on_the_laboratorys_day() -> None:
    late = result(bare("EV-TRPC5", 6, MILLION, day="2025-04-07T22:30:00Z"))
    assert late.collected == date(2025, 4, 8)
    assert "collected" in late.declared
    assert result(bare("EV-TRPC5", 6, MILLION, day="2025-04-07T22:30:00-05:00")).collected == date(2025, 4, 7)


MINIMAL = """
laboratory: small-lab
title: Small Laboratory
identifiers: [{value: SL}]
code_system: https://small.example
assays:
  - {marker: pdl1-ev, codes: [{code: P}], tube: edta, valid_to: 2025-03-31}
  - {marker: pdl1-ev, tube: citrate, valid_from: 2025-04-01}
"""


def with_lab(folder: Path, text: str) -> Path:
    shutil.copytree(RULES, folder / "rules")
    (folder / "rules" / "labs" / "small.yaml").write_text(text, encoding="utf-8")
    return folder / "rules"


def test_a_declaration_holds_for_its_time(tmp_path: Path) -> None:
    catalogue = load_catalogue(with_lab(tmp_path, MINIMAL))
    tubes = {}
    for day in ("2025-03-31", "2025-04-01", None):
        resource = observation(
            day=day, code=coded("P", "https://small.example"), valueQuantity=quantity(5, "pg/mL"),
            performer=[{"identifier": {"value": "SL"}}],
        )  # fmt: skip
        (only,) = read(bundle(PATIENT, resource), catalogue).as_of("2030-01-01").results["pdl1-ev"]
        tubes[day] = only.method.tube
    assert tubes == {"2025-03-31": "edta", "2025-04-01": "citrate", None: None}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("valid_from: 2025-04-01", "valid_from: 2025-03-01", "hold on the same day"),
        ("valid_to: 2025-03-31", "valid_to: spring", "no day"),
        ("tube: citrate", "tub: citrate", "did you mean 'tube'"),
        ("marker: pdl1-ev, tube", "marker: pdl2-ev, tube", "did you mean 'pdl1-ev'"),
        ("tube: citrate", "analytical_cv: 0.2", "not a percentage"),
        ("tube: citrate", "efficiency: 3", "is none"),
        ("tube: citrate", "limit_of_detection: {value: 5, unit: furlong}", "not measured in 'furlong'"),
        ("tube: citrate", "limit_of_detection: {value: 0, unit: pg/mL}", "above 0"),
        (
            "tube: citrate",
            "limit_of_detection: {value: 2, unit: pg/mL}, limit_of_quantification: {value: 2, unit: pg/mL}",
            "does not lie above that of detection",
        ),
        ("tube: citrate", "checks: {haemolysis: maybe}", "not known"),
        ("tube: citrate", "checks: {hemolysis: clear}", "did you mean 'haemolysis'"),
        ("tube: citrate", "units: {X: furlong}", "not measured in 'furlong'"),
        ("[{value: SL}]", "[{system: 'https://exosome-lab.example/id', value: EEL-01}]", "another laboratory"),
        ("laboratory: small-lab", "laboratory: example-lab", "declared twice"),
        ("https://small.example", "https://exosome-lab.example/codes", "another laboratory"),
        ("codes: [{code: P}]", f"codes: [{{code: pdl1-soluble, system: '{METHOD_SYSTEM.replace('method', 'marker')}'}}]",
         "already means"),
        ("tube: citrate", "tube: EDTA", "one of: edta"),
        ("tube: citrate", "specimen: plazma", "did you mean 'plasma'"),
        ("tube: citrate", "isolation: precipitate", "did you mean 'precipitation'"),
        ("tube: citrate", "assay: flowcytometry", "did you mean 'flow-cytometry'"),
        ("assays:", "parts: {P: total-ev}\nassays:", "code 'P' already means"),
        ("assays:", "time_zone: Berlin\nassays:", "no time zone"),
        ("assays:", "parts: {T: total}\nassays:", "no part of a result"),
    ],
)  # fmt: skip
def test_mistakes_in_a_declaration_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in MINIMAL
    with pytest.raises(RuleBookError, match=message):
        load_catalogue(with_lab(tmp_path, MINIMAL.replace(old, new)))


def test_declared_words_are_those_of_the_code_system() -> None:
    """What declarations may say of a method, and nothing else, is what senders find in the code system."""
    words = {one for known in (*WORDS.values(), *CHECKS.values()) for one in known} | {"stated", "not-stated"}
    path = RULES.parent / "fhir" / "terminology" / "exosomal-method.json"
    concepts = [concept["code"] for concept in json.loads(path.read_text("utf-8"))["concept"]]
    assert words == set(concepts[: concepts.index("imaging-response")])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("canonical: pg/mL", "canonical: ng/mL", "factor 1"),
        ("pg/mL: 1,", "pg/mL: 1, '%': 0,", "above 0"),
        ("{code: pdl1-soluble", "{code: pdl1-ev", "already means"),
        ("scale: linear", "scale: linar", "did you mean 'linear'"),
        ("drug-tolerance: stated", "drug-tolerance: always", "not known"),
        ("marker: pdl1-ev", "marker: trpc5-ev", "two files"),
        ("cv: {analytical", "cvs: {analytical", "did you mean 'cv'"),
    ],
)
def test_mistakes_in_a_marker_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    rules = with_lab(tmp_path, MINIMAL)
    path = rules / "markers" / "pdl1-ev.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(RuleBookError, match=message):
        load_catalogue(rules)
