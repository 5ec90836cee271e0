"""What integrators are handed: profile, code systems and example, valid FHIR and in step with the rules."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class

from cds.chart.catalogue import MARKER_SYSTEM, METHOD_SYSTEM
from cds.chart.declarations import CHECKS
from cds.reasoning.loading import default_rulebook
from tests.service.conftest import ROOT

FILES = sorted((ROOT / "fhir").glob("*/*.json"))


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def codes(name: str) -> set[str]:
    return {concept["code"] for concept in read(ROOT / "fhir/terminology" / f"{name}.json")["concept"]}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_artefact_is_valid_fhir(path: Path) -> None:
    artefact = read(path)
    get_fhir_model_class(artefact["resourceType"]).model_validate(artefact)


def test_the_code_system_names_every_marker_and_part_that_is_read() -> None:
    catalogue = default_rulebook().catalogue
    own = {code for system, code in (*catalogue.codes, *catalogue.parts) if system == MARKER_SYSTEM}
    assert own <= codes("exosomal-marker")


def test_the_code_system_of_methods_answers_every_check() -> None:
    events = default_rulebook().catalogue.events
    own = {code for system, code in (*events.codes, *events.answers) if system == METHOD_SYSTEM}
    assert own | {answer for answers in CHECKS.values() for answer in answers} <= codes("exosomal-method")


def test_the_override_reasons_are_those_of_the_cards() -> None:
    assert codes("exowatch-override-reason") == default_rulebook().wording["advice"]["overrides"].keys()


def test_every_slice_of_the_profile_is_a_part() -> None:
    profile = read(ROOT / "fhir/profiles/exosomal-marker-observation.json")
    patterns = [element.get("patternCodeableConcept") for element in profile["differential"]["element"]]
    codings = [pattern["coding"][0] for pattern in patterns if pattern]
    sliced = {coding["code"] for coding in codings if coding["system"] == MARKER_SYSTEM}
    assert sliced == {code for system, code in default_rulebook().catalogue.parts if system == MARKER_SYSTEM}


def test_the_page_for_integrators_shows_a_part_of_the_example() -> None:
    page = (ROOT / "docs/integrators.md").read_text("utf-8")
    shown = re.search(r"<!-- example: Observation of (\S+), begin -->\n```json\n(.*?)```", page, re.DOTALL)
    assert shown is not None
    part = json.loads(shown[2])
    (whole,) = (
        entry["resource"]
        for entry in read(ROOT / shown[1])["entry"]
        if (entry["resource"]["resourceType"], entry["resource"]["id"]) == (part["resourceType"], part["id"])
    )
    for key in ("status", "effectiveDateTime", "issued", "specimen", "device", "subject"):
        assert part[key] == whole[key]
    assert part["valueQuantity"]["value"] == whole["valueQuantity"]["value"]
