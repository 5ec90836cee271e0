"""The evidence catalogue: complete, sound in form, and unable to hand out what is not verified."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from cds.errors import Problem
from cds.reasoning.evidence import EvidenceCatalogue, Study, load_evidence
from cds.source import read_yaml

RULES = Path(__file__).parents[2] / "rules"

SYSTEMS = {  # section of the review's inventory → how many systems it names
    "C": 20,
    "E": 5,
    "H": 10,
    "HB": 2,  # beyond the review
    "P": 21,
    "Q": 18,
    "T": 11,
    "M": 11,
    "F": 6,
}

STUDIES = """
wang-2017 ma-2014 ma-2012 koenig-2017 ekstroem-2026 yasasever-1997 ning-2017 yang-s-2017 kreger-2016
tang-2019 lu-2018 zhang-y-2016 wang-yl-2019 zhang-l-2015 chen-2018 wang-yuting yang-q zhang-c-2020 cordonnier-2020
de-miguel-perez-2022 genova-ev-checkpoint del-re-2018 serrati-2022 pdl2-ev-tnbc monypenny-2018 poggio-2019
martinez-2017 ciravolo-2012 barok-2018 han-2020 zheng-2019 qian-2021 stevic-2018
swog-s0500 mrc-ov05 serena-6 pada-1 asco-2022
"""


@pytest.fixture(scope="module")
def shipped() -> EvidenceCatalogue:
    problems: list[Problem] = []
    catalogue = load_evidence(RULES, problems)
    assert problems == []
    return catalogue


def texts_of(study: Study) -> Iterator[str]:
    """Every text of a study that a card may show."""
    for field in fields(study):
        value = getattr(study, field.name)
        if field.name == "withheld":
            continue
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict) or hasattr(value, "values"):
            yield from value.values()


def raw_studies() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted((RULES / "evidence").glob("studies-*.yaml")):
        top = read_yaml(path, [])
        assert top is not None
        yield from top.value["studies"].items()


# the shipped catalogue -------------------------------------------------------------------------------------------


def test_every_system_of_the_review_has_a_disposition(shipped: EvidenceCatalogue) -> None:
    wide = {"C", "E", "H", "P", "Q", "T", "M", "F"}
    wanted = {
        f"{letter}{number:02}" if letter in wide else f"{letter}{number}"
        for letter, count in SYSTEMS.items()
        for number in range(1, count + 1)
    }
    assert {item.id for item in shipped.inventory} == wanted
    assert Counter(item.disposition for item in shipped.inventory) == {
        "evaluated": 4,
        "informational": 10,
        "background": 76,
        "method": 11,
        "must-not-use": 3,
    }


@pytest.mark.parametrize(
    ("disposition", "ids"),
    [
        ("evaluated", "C01 E01 H02 P01"),
        ("must-not-use", "H06 P05 Q12"),
        ("informational", "C06 C07 H01 H03 H05 HB1 HB2 P09 Q11 Q14"),
    ],
)
def test_dispositions(shipped: EvidenceCatalogue, disposition: str, ids: str) -> None:
    assert [item.id for item in shipped.inventory if item.disposition == disposition] == ids.split()


def test_every_study_that_rules_rest_on_is_there(shipped: EvidenceCatalogue) -> None:
    assert set(STUDIES.split()) <= set(shipped.studies)


def test_every_doi_is_well_formed_and_no_study_stands_twice(shipped: EvidenceCatalogue) -> None:
    dois = [study.doi for study in shipped.studies.values() if study.doi]
    listed = [doi for item in shipped.inventory for doi in item.dois]
    assert len(listed) > 110
    for doi in dois + listed:
        assert re.fullmatch(r"10\.\d{4,9}/[A-Za-z0-9.()/_-]+", doi), doi
    assert len(dois) == len(set(dois))


def test_no_withheld_figure_can_be_printed(shipped: EvidenceCatalogue) -> None:
    hidden = 0
    for key, raw in raw_studies():
        study = shipped.studies[key]
        for name, value in [*raw.items(), *raw.get("figures", {}).items()]:
            if not isinstance(value, dict) or "value" not in value:
                continue
            if value["tag"] == "M" or "withheld" in value:
                hidden += 1
                assert name in study.withheld
                assert not any(value["value"] in text for text in texts_of(study)), (key, name)
    assert hidden >= 15


def test_numbers_that_are_not_verified_are_said_to_be_so(shipped: EvidenceCatalogue) -> None:
    assert shipped.studies["wang-2017"].printable_n == "n not verified"
    assert shipped.studies["chen-2018"].printable_n == "n not verified"
    assert shipped.studies["wang-yuting"].printable_n == "n = 149"
    assert shipped.studies["wang-2017"].known_through == "known only as cited in a review"
    assert shipped.studies["wang-2017"].last_checked is None


def test_only_what_was_verified_carries_a_date(shipped: EvidenceCatalogue) -> None:
    for study in shipped.studies.values():
        if study.last_checked is not None:
            assert study.last_checked == date(2026, 11, 23)
            assert study.verification == "V" or study.id == "stable-patient-simulation"


def test_the_retracted_paper_is_flagged_and_bears_on_nothing_else(shipped: EvidenceCatalogue) -> None:
    assert [study.id for study in shipped.studies.values() if study.retracted] == ["han-2020"]
    assert [item.id for item in shipped.inventory if "han-2020" in item.studies] == ["H06"]


def test_contradictions_are_known_from_both_sides(shipped: EvidenceCatalogue) -> None:
    for study in shipped.studies.values():
        assert study.id not in study.contradicts
        for other in study.contradicts:
            assert study.id in shipped.studies[other].contradicted_by
    late_rise = [study.id for study in shipped.contradicting(["de-miguel-perez-2022", "cordonnier-2020"])]
    assert {"chen-2018", "wang-yuting", "yang-q", "pdl2-ev-tnbc", "monypenny-2018"} <= set(late_rise)
    assert "koenig-2017" in [study.id for study in shipped.contradicting(["wang-2017"])]
    assert shipped.contradicting([]) == ()


# reading ---------------------------------------------------------------------------------------------------------

STUDY = """\
topic: test
studies:
  one:
    citation: One 2020
    kind: cohort
    verification: V
    direction: resistance-up
    status: active
    last_checked: not-checked
"""

ITEM = """\
section: "9.9"
title: test
items:
  Z01: {item: thing, disposition: background}
"""


def load(folder: Path, **files: str) -> tuple[EvidenceCatalogue, list[Problem]]:
    (folder / "evidence").mkdir()
    for name, text in files.items():
        (folder / "evidence" / f"{name.replace('_', '-')}.yaml").write_text(text, encoding="utf-8")
    problems: list[Problem] = []
    return load_evidence(folder, problems), problems


def test_a_folder_without_evidence_is_an_empty_catalogue(tmp_path: Path) -> None:
    problems: list[Problem] = []
    assert load_evidence(tmp_path, problems) == EvidenceCatalogue()
    assert problems == []


def test_what_a_record_says_and_how_it_is_known(tmp_path: Path) -> None:
    catalogue, problems = load(
        tmp_path,
        studies_a=STUDY
        + "    n: {value: '44', tag: M}\n"
        + "    assay: {value: ELISA, tag: S}\n"
        + "    figures: {odds: {value: '2', tag: C}, share: {value: 91 %, tag: V, withheld: misleads}, fall: p < 0.01}\n"
        + "    certainty: {ocebm: 4, grade: very low}\n"
        + "    doi: 10.1000/xyz\n",
    )
    study = catalogue.studies["one"]
    assert problems == []
    assert study.n == ""
    assert study.assay == "ELISA (as cited in a review)"
    assert study.figures == {"odds": "2 (calculated for this catalogue)", "fall": "p < 0.01"}
    assert study.withheld == {"n": "from memory, not verified", "share": "misleads"}
    assert study.certainty == "OCEBM level 4, GRADE very low"
    assert study.link == "https://doi.org/10.1000/xyz"


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("status: active", "status: activ", 8, "'status: activ' is not known"),
        ("    citation: One 2020\n", "", 3, "'citation' is missing"),
        ("One 2020", "''", 4, "'citation' is empty"),
        ("kind: cohort", "kind: anecdote", 5, "'kind: anecdote' is not known"),
        ("verification: V", "verification: X", 6, "'verification: X' is not known"),
        ("not-checked", "yesterday", 9, "'last_checked: yesterday' is no date"),
        ("not-checked\n", "not-checked\n    doi: 11.1/x\n", 10, "'doi: 11.1/x' is not a valid DOI"),
        ("not-checked\n", "not-checked\n    pmc: '12'\n", 10, "'pmc: 12' is not a valid PMC"),
        ("not-checked\n", "not-checked\n    contradicts: [two]\n", 10, "'two' is no study of the catalogue"),
        ("not-checked\n", "not-checked\n    colour: red\n", 10, "unknown key 'colour'"),
        ("not-checked\n", "not-checked\n    n: {value: '3', tag: Z}\n", 10, "'tag: Z' is not known"),
        ("topic: test\n", "topic: test\nstudies: {}\n", 3, "'studies' stands here twice"),
    ],
)
def test_mistakes_in_a_study_are_named_with_their_place(
    tmp_path: Path, old: str, new: str, line: int, message: str
) -> None:
    assert old in STUDY
    _, problems = load(tmp_path, studies_a=STUDY.replace(old, new))
    assert [(p.file, p.line, p.message) for p in problems] == [("evidence/studies-a.yaml", line, message)]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("background", "backgrond", "'disposition: backgrond' is not known"),
        ("background", "background, studies: [two]", "'two' is no study of the catalogue"),
        ("background", "background, references: {Two 2020: 12/3}", "'Two 2020: 12/3' is not a valid"),
    ],
)
def test_mistakes_in_an_item_are_named_with_their_place(tmp_path: Path, old: str, new: str, message: str) -> None:
    _, problems = load(tmp_path, inventory_a=ITEM.replace(old, new))
    assert [(p.file, p.line) for p in problems] == [("evidence/inventory-a.yaml", 4)]
    assert problems[0].message.startswith(message)


def test_an_id_stands_once_in_all_files(tmp_path: Path) -> None:
    _, problems = load(tmp_path, studies_a=STUDY, studies_b=STUDY, inventory_a=ITEM, inventory_b=ITEM)
    assert [(p.file, p.line, p.message) for p in problems] == [
        ("evidence/inventory-b.yaml", 4, "item 'Z01' stands twice"),
        ("evidence/studies-b.yaml", 3, "study 'one' stands twice"),
    ]


def test_a_retracted_study_supports_no_item(tmp_path: Path) -> None:
    retracted = STUDY.replace("active", "retracted")
    _, problems = load(tmp_path, studies_a=retracted, inventory_a=ITEM.replace("background", "method, studies: [one]"))
    assert [p.message for p in problems] == ["'one' is retracted"]


def test_a_retracted_study_contradicts_nothing(tmp_path: Path) -> None:
    two = STUDY.replace("one:", "two:").replace("active", "retracted") + "    contradicts: [one]\n"
    catalogue, problems = load(tmp_path, studies_a=STUDY, studies_b=two)
    assert problems == []
    assert catalogue.contradicting(["one"]) == ()


def test_a_file_that_is_neither_studies_nor_inventory_is_not_passed_over(tmp_path: Path) -> None:
    _, problems = load(tmp_path, study_a=STUDY)
    assert [p.message for p in problems] == ["neither studies nor inventory"]
