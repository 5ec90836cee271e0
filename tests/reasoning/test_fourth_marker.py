"""A rule author adds a marker and its own rise rule with YAML only."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from cds.errors import RuleBookError
from cds.reasoning.loading import load_rulebook, shipped_rules
from cds.reasoning.reasoner import Reasoner
from cds.workbench.proving.reading import load_tests
from cds.workbench.proving.running import run
from tests.reasoning.charts import chart

MARKER = """\
marker: uchl1-ev
title: UCH-L1 in extracellular vesicles
short: EV-UCH-L1
gene: {symbol: UCHL1, hgnc: "HGNC:12513"}
cargo: protein
compartment: extracellular vesicle (circulating)
codes:
  - {code: uchl1-ev, scale: linear}
units:
  mass-per-volume:
    canonical: pg/mL
    accepts: {pg/mL: 1, ng/mL: 1e3}
cv: {analytical: 10 %, within_person: 20 %, because: assumed}
checks: {haemolysis: any}
"""
RULE = """\
rule: uchl1-rise-on-chemotherapy
title: EV-UCH-L1 rising on chemotherapy
status: active
since: 2026-11-23
review_by: 2027-11-23
summary: A tripling on chemotherapy is watched.
evidence: [ning-2017]

watches: uchl1-ev
during: {therapy: cytotoxic-chemotherapy}

limits:
  rise: {ratio: reference-change, confidence: one-sided 95 %, floor: 3.0, because: a single cohort of pre-treatment values}

facts:
  risen: {value: uchl1-ev, over: baseline, at_least: rise}

conclude:
  watch:
    - {id: UC-01, all: [risen]}
  no-flag:
    - {id: no-rise, all: [not risen]}
"""
TESTS = """\
rule: uchl1-rise-on-chemotherapy
given: {cytotoxic-chemotherapy: 0..}
cases:
  a tripling is watched:
    uchl1-ev: {-4: 10, 60: 29.9, 90: 30}
    expect: {60: no-flag, 90: watch UC-01}
  without a baseline nothing is said:
    uchl1-ev: {60: 30}
    expect: {60: not-evaluable baseline/no-baseline}
"""


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    folder = tmp_path / "rules"
    shutil.copytree(shipped_rules(), folder)
    (folder / "markers" / "uchl1-ev.yaml").write_text(MARKER, encoding="utf-8")
    (folder / "resistance" / "uchl1-rise-on-chemotherapy.yaml").write_text(RULE, encoding="utf-8")
    (folder / "resistance" / "uchl1-rise-on-chemotherapy.test.yaml").write_text(TESTS, encoding="utf-8")
    return folder


def test_yaml_alone_adds_a_marker_with_its_rule_and_tests(rules: Path) -> None:
    book = load_rulebook(rules)
    tests = [test for test in load_tests(rules, book) if test.rule == "uchl1-rise-on-chemotherapy"]
    assert len(tests) == 2
    assert run(tests, Reasoner(book)) == []
    assert book.hash != load_rulebook().hash


def test_the_shipped_markers_answer_as_before(rules: Path) -> None:
    assert Reasoner(load_rulebook(rules)).evaluate(chart()).findings[0].state == "suspected"


def test_a_rule_on_retracted_evidence_is_withheld_and_the_others_speak(rules: Path) -> None:
    path = rules / "resistance" / "uchl1-rise-on-chemotherapy.yaml"
    path.write_text(RULE.replace("[ning-2017]", "[ning-2017, han-2020]"), encoding="utf-8")
    book = load_rulebook(rules)
    assert "han-2020" in book.withheld["uchl1-rise-on-chemotherapy"]
    found = chart()
    results = {
        **found.results,
        "uchl1-ev": tuple(replace(r, marker="uchl1-ev") for r in found.results["trpc5-ev"]),
    }
    evaluation = Reasoner(book).evaluate(replace(found, results=results))
    assert [finding.rule.name for finding in evaluation.findings] == ["trpc5-rise-on-chemotherapy"]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (RULE.replace("watches:", "wathces:"), "did you mean 'watches'"),
        (RULE.replace("at_least: rise", "at_least: rize"), "'rize' is no limit"),
        (RULE.replace("all: [risen]", "all: [rise]"), "'rise' is no fact"),
        (RULE.replace("ning-2017", "ning-2071"), "'ning-2071' is no record"),
        (RULE.replace("cytotoxic-chemotherapy", "chemo"), "'chemo' is no therapy class"),
        (RULE.replace("watches: uchl1-ev", "watches: uchl1"), "'uchl1' is no marker"),
        (RULE.replace("  watch:", "  watching:"), "'watching' is no state"),
        (RULE.replace("floor: 3.0", "floor: three"), "'floor: three' is not a number"),
        (RULE.replace("title: EV", "title: A\ntitle: EV"), "'title' stands here twice"),
        (RULE.replace("{value: uchl1-ev,", "{valu: uchl1-ev,"), "of no known kind"),
        (RULE + "  suspected:\n    - {id: X, all: [risen]}\n", "states no certainty"),
        (RULE.replace("rule: uchl1-rise", "rule: uchl-rise"), "name file and rule alike"),
        (RULE.replace("facts:\n", "facts:\n\t"), "not YAML"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_the_way_out(rules: Path, broken: str, message: str) -> None:
    (rules / "resistance" / "uchl1-rise-on-chemotherapy.yaml").write_text(broken, encoding="utf-8")
    with pytest.raises(RuleBookError) as raised:
        load_rulebook(rules)
    text = str(raised.value)
    assert message in text
    assert "uchl1-rise-on-chemotherapy.yaml:" in text


def test_all_problems_of_all_files_are_reported_at_once(rules: Path) -> None:
    (rules / "resistance" / "uchl1-rise-on-chemotherapy.yaml").write_text(
        RULE.replace("ning-2017", "nobody").replace("all: [risen]", "all: [rise]"), encoding="utf-8"
    )
    (rules / "markers" / "trpc5-ev.yaml").write_text("marker: trpc5-ev\ntitel: x\n", encoding="utf-8")
    with pytest.raises(RuleBookError) as raised:
        load_rulebook(rules)
    assert {Path(problem.file).name for problem in raised.value.problems} >= {
        "uchl1-rise-on-chemotherapy.yaml",
        "trpc5-ev.yaml",
    }
    assert len(raised.value.problems) >= 4
