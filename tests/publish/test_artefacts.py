"""What stands in `fhir/`: made from rules and code and still what those say; good examples are read, bad ones are not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cds.chart import Moment, Result, read
from cds.chart.assay import preparation_of
from cds.chart.catalogue import MARKER_SYSTEM, METHOD_SYSTEM
from cds.chart.declarations import CHECKS
from cds.publish.check import problems
from cds.reasoning.loading import default_rulebook
from tools import code_tables
from tools.artefacts import FHIR, artefacts, concept_maps, written

CATALOGUE = default_rulebook().catalogue
TERMINOLOGY = FHIR / "terminology"
PROFILES = sorted((FHIR / "profiles").glob("*.json"))
GOOD = sorted(path for path in (FHIR / "examples/good").glob("*.json") if not path.name.startswith("output-"))
BAD = FHIR / "examples/bad"
FAULTS = {"failed-assay": {"no-value"}}
"""What is wrong with a good example: a failed assay has no value, and says so."""


def loaded(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def results(path: Path) -> tuple[Result, ...]:
    """The results of an example, of which nothing may be left out."""
    record = read(path.read_bytes(), CATALOGUE)
    assert (record.left_out, record.unmapped) == ((), ())
    chart = record.as_of(Moment.parse("2025-12-31"))
    return tuple(result for series in chart.results.values() for result in series)


def refusals() -> dict[str, tuple[str, str]]:
    """Bad examples by file: who refuses them, and by which words; from the table that HAPI's run reads too."""
    lines = (BAD / "README.md").read_text("utf-8").splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| `")]
    return {name.strip("`"): (by, words.strip("`")) for name, _, by, words in rows}


# generated files ---------------------------------------------------------------------------------------------------


def test_what_is_generated_is_current() -> None:
    made = dict(artefacts())
    for name, resource in made.items():
        assert (FHIR / name).read_text("utf-8") == written(resource), f"{name}: run make artefacts"
    kept = {str(path.relative_to(FHIR)) for path in FHIR.rglob("*.json")}
    prefixes = ("terminology/valueset-", "terminology/conceptmap-", "examples/good/output-")
    others = {name for name in made if not name.startswith(prefixes)}
    assert {name for name in kept if name.startswith(prefixes)} == made.keys() - others
    assert others <= kept


def test_the_tables_of_codes_are_current() -> None:
    assert code_tables.DOCUMENT.read_text("utf-8") == code_tables.document(), "run make artefacts"


@pytest.mark.parametrize("path", sorted(FHIR.rglob("*.json")), ids=lambda path: path.name)
def test_every_file_is_laid_out_alike(path: Path) -> None:
    assert path.read_text("utf-8") == written(loaded(path))


def test_a_specimen_is_read_as_the_concept_maps_say() -> None:
    places: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
        "sent-specimen-type": lambda concept: {"type": concept},
        "sent-tube": lambda concept: {"container": [{"additiveCodeableConcept": concept}]},
        "sent-isolation": lambda concept: {"processing": [{"procedure": concept}]},
    }
    for made in concept_maps():
        if made["id"] not in places:
            continue
        for group in made["group"]:
            for element in group["element"]:
                concept = {"coding": [{"system": group["source"], "code": element["code"]}]}
                found = preparation_of(places[made["id"]](concept))
                read_as = {found.type, found.tube, found.isolation} - {None}
                assert read_as == {one["code"] for one in element["target"] if "code" in one}, element["code"]
                assert not found.type_unknown


def test_override_reasons_map_both_ways() -> None:
    (made,) = (one for one in concept_maps() if one["id"] == "override-reason")
    targets = [element["target"][0]["code"] for element in made["group"][0]["element"]]
    assert len(set(targets)) == len(targets) == len(default_rulebook().wording["advice"]["overrides"])
    stated = loaded(TERMINOLOGY / "exowatch-override-reason.json")["concept"]
    assert targets == [concept["property"][0]["valueCoding"]["code"] for concept in stated]


def test_a_code_system_counts_its_concepts() -> None:
    for path in sorted(TERMINOLOGY.glob("*.json")):
        system = loaded(path)
        if "count" in system:
            assert system["count"] == len(system["concept"]), path.name


def test_value_sets_and_maps_name_only_codes_that_our_code_systems_have() -> None:
    known = {
        system["url"]: {concept["code"] for concept in system["concept"]}
        for system in map(loaded, TERMINOLOGY.glob("exo*.json"))
    }
    for path in (*TERMINOLOGY.glob("valueset-*.json"), *TERMINOLOGY.glob("conceptmap-*.json")):
        resource = loaded(path)
        for include in resource.get("compose", {}).get("include", ()):
            if (system := include.get("system")) in known:
                assert {concept["code"] for concept in include["concept"]} <= known[system], path.name
        for group in resource.get("group", ()):
            if group["target"] in known:
                targets = {one.get("code") for element in group["element"] for one in element["target"]}
                assert targets - {None} <= known[group["target"]], path.name


# profiles ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_the_snapshot_holds_what_the_differential_says(path: Path) -> None:
    """As far as it can be told without Java; `make validate-fhir` makes the snapshot again and compares it whole."""
    profile = loaded(path)
    whole = {element["id"]: element for element in profile["snapshot"]["element"]}
    for element in profile["differential"]["element"]:
        found = whole[element["id"]]
        for key, value in element.items():
            if key == "constraint":
                assert all(one in found[key] for one in value), element["id"]
            else:
                assert found[key] == value, (element["id"], key)


def test_every_value_set_that_is_bound_here_exists() -> None:
    here = {loaded(path)["url"] for path in TERMINOLOGY.glob("valueset-*.json")}
    for path in PROFILES:
        for element in loaded(path)["differential"]["element"]:
            if "binding" in element:
                assert element["binding"]["valueSet"] in here, element["id"]


def test_a_check_is_bound_to_its_answers() -> None:
    profile = loaded(FHIR / "profiles/exosomal-marker-observation.json")
    elements = {element["id"]: element for element in profile["differential"]["element"]}
    sets = {found["url"]: found for found in map(loaded, TERMINOLOGY.glob("valueset-*.json"))}
    for name, answers in CHECKS.items():
        (slice_,) = (
            place.removesuffix(".code")
            for place, element in elements.items()
            if "patternCodeableConcept" in element
            and {"system": MARKER_SYSTEM, "code": name} in element["patternCodeableConcept"]["coding"]
        )
        (include,) = sets[elements[f"{slice_}.value[x]"]["binding"]["valueSet"]]["compose"]["include"]
        assert include["system"] == METHOD_SYSTEM
        assert {concept["code"] for concept in include["concept"]} == answers.keys(), name


# examples ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_a_good_example_is_read_whole(path: Path) -> None:
    assert [one for one in problems(loaded(path)) if "dom-6" not in one] == []
    (result,) = results(path)
    assert result.faults == FAULTS.get(path.stem, frozenset())


def test_good_examples_show_every_marker_that_is_used() -> None:
    shown = {result.marker for path in GOOD for result in results(path)}
    assert shown == {name for name, marker in CATALOGUE.markers.items() if not marker.must_not_use}


def test_good_examples_say_what_they_are_for() -> None:
    read_as = {path.stem: results(path)[0] for path in GOOD}
    assert read_as["below-detection-limit"].censored
    assert read_as["total-ev-beside"].total_ev == "12 10*9{particles}/mL"
    for name in ("said-by-components", "specimen-in-hl7-codes"):
        method = read_as[name].method
        assert None not in (method.specimen, method.tube, method.isolation, method.assay, method.platform), name
    assert read_as["specimen-in-hl7-codes"].checks["haemolysis"] is False


def test_every_bad_example_stands_in_the_table() -> None:
    assert refusals().keys() == {path.name for path in BAD.glob("*.json")}
    assert {by for by, _ in refusals().values()} == {"HAPI", "our reading"}


@pytest.mark.parametrize("name", [name for name, (by, _) in refusals().items() if by == "our reading"])
def test_what_no_profile_can_say_the_chart_refuses(name: str) -> None:
    assert [one for one in problems(loaded(BAD / name)) if "dom-6" not in one] == []
    (result,) = results(BAD / name)
    assert result.faults == {refusals()[name][1]}
