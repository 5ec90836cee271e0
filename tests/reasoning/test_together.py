"""How the answers of several rules of one marker are put together: nothing is silenced, and the right rule speaks."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import durable_rules_engine
import pytest
from msgspec.structs import replace

from cds.advice.cards import is_shown
from cds.advice.statements import Advisor
from cds.chart.model import Chart, Diagnosis, Line, Operation, Result
from cds.errors import EngineFault, RuleBookError
from cds.reasoning.engine import Engine
from cds.reasoning.loading import default_rulebook, load_rulebook, shipped_rules
from cds.reasoning.reasoner import Reasoner
from tests.reasoning.charts import chart, result

BOOK = default_rulebook()
REASONER = Reasoner(BOOK)


def of(marker: str, found: Chart, **changes: object) -> Chart:
    results = tuple(replace(entry, marker=marker) for entry in found.results["trpc5-ev"])
    return replace(found, results={marker: results}, **changes)


def test_pdl1_without_a_documented_start_has_a_card_of_the_active_rule() -> None:
    lines = (
        Line("anti-pd-1", ("pembrolizumab",), None),
        Line("cytotoxic-chemotherapy", ("paclitaxel",), None),
    )
    evaluation = REASONER.evaluate(of("pdl1-ev", chart(), lines=lines))
    shown = [advisory for advisory in Advisor(BOOK).advisories(evaluation) if is_shown(advisory)]
    assert [advisory.state for advisory in shown] == ["not-evaluable"]
    assert shown[0].rule.name != "pdl1-on-chemotherapy"


def test_a_conflict_on_pembrolizumab_is_told_by_the_rule_for_it() -> None:
    conflicting = [result("2025-01-02", 2.0), result("2025-04-21", 5.0, faults=frozenset({"conflict"}))]
    lines = (Line("anti-pd-1", ("pembrolizumab",), date(2025, 1, 6)),)
    evaluation = REASONER.evaluate(of("pdl1-ev", chart(conflicting), lines=lines))
    assert [finding.rule.name for finding in evaluation.findings] == ["pdl1-rise-on-checkpoint-inhibitor"]


def test_a_conflict_is_told_by_the_rule_whose_treatment_is_given() -> None:
    """Long after an operation, on endocrine therapy: settled, the result could be judged under the treatment alone."""
    faulty = [result("2025-04-21", 5.0, faults=frozenset({"conflict"}))]
    lines = (Line("endocrine-therapy", ("letrozole",), date(2024, 9, 1)),)
    found = of(
        "hotair-ev",
        chart(faulty),
        lines=lines,
        operations=(Operation(date(2024, 7, 1), True),),
        diagnosis=Diagnosis(True, metastatic=True, er=True, her2=False),
    )
    said = [(one.state, one.rule.name) for one in REASONER.evaluate(found).findings]
    assert said == [("data-quality", "hotair-rise-on-endocrine-therapy")]


def test_a_rule_in_shadow_silences_nothing(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    shutil.copytree(shipped_rules(), rules)
    path = rules / "resistance" / "hotair-after-surgery.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("status: active", "status: shadow"), encoding="utf-8")
    book = load_rulebook(rules)
    faulty = [result("2025-04-21", 5.0, faults=frozenset({"conflict"}))]
    evaluation = Reasoner(book).evaluate(of("hotair-ev", chart(faulty)))
    assert [advisory.state for advisory in Advisor(book).advisories(evaluation) if is_shown(advisory)] == [
        "data-quality"
    ]


def test_the_studies_that_support_a_rule_are_not_listed_against_it() -> None:
    for rule in BOOK.rules:
        assert set(rule.evidence) - set(rule.contradicting), rule.name
    results = [
        result(day, value)
        for day, value in {"2025-01-02": 1.0, "2025-02-03": 1.1, "2025-03-17": 3, "2025-04-07": 4}.items()
    ]
    lines = (Line("anti-pd-1", ("pembrolizumab",), date(2025, 1, 6)),)
    evaluation = REASONER.evaluate(of("pdl1-ev", chart(results), lines=lines))
    (advisory,) = Advisor(BOOK).advisories(evaluation)
    assert advisory.state == "suspected"
    supporting = {study.id for study in advisory.evidence}
    assert supporting == {"de-miguel-perez-2022", "cordonnier-2020"}
    assert not supporting & {study.id for study in advisory.contradicting}


def test_bridging_that_a_laboratory_declares_does_not_bridge_another_laboratory() -> None:
    def last(declared: frozenset[str]) -> Result:
        return result("2025-04-21", 6.3, laboratory="laboratory B", bridged=True, declared=declared)

    stated = chart([result("2025-01-02", 2.0), last(frozenset())])
    declared = chart([result("2025-01-02", 2.0), last(frozenset({"bridged"}))])
    assert REASONER.evaluate(stated).findings[0].state == "watch"
    assert REASONER.evaluate(declared).findings[0].state == "not-evaluable"


def test_a_larger_limit_of_detection_bounds_the_ratio_per_vesicle_as_it_bounds_the_value() -> None:
    """A baseline below a limit of 0.5 may lie below the 1.0 of a later, bridged assay: per vesicle too (evidence 3.3)."""
    below = {"low": 0.0, "high": 5e5, "censored": True, "per_ev_low": 0.0, "per_ev_high": 5e-5}

    def found(lod: float) -> str:
        last = result("2025-04-21", 6.0, lod=lod, bridged=True, per_ev_low=2e-4, per_ev_high=2e-4)
        return REASONER.evaluate(chart([result("2025-01-02", 0.5, **below), last])).findings[0].state

    assert found(5e5) == "watch"  # 4 times the bound, in value 12 times
    assert found(1e6) == "no-flag"  # 2 times, which is below the limit of 2.26; in value still 6 times


def test_a_fault_of_the_engine_does_not_reach_the_next_call() -> None:
    engine = Engine(BOOK.rules)
    rule = "trpc5-rise-on-chemotherapy"
    before = engine.answer(rule, {"applies": False})
    # A fact that was never retracted, as a broken library would leave it.
    rule_set = engine._local.rule_sets[rule]
    fact = f'{{"id":"q","q":"q"{rule_set._words["applies", False]}}}'
    durable_rules_engine.assert_fact(rule_set._handle, fact)
    with pytest.raises(EngineFault):
        engine.answer(rule, {"applies": False})
    assert engine.answer(rule, {"applies": False}) == before


def _on_trastuzumab(pdl1: dict[str, float], end: date | None = None) -> Chart:
    """TGF-β1 risen twice on a HER2-targeted line, with a course of PD-L1 beside it."""
    courses = {"tgfb1-ev": {"2025-01-02": 1.0, "2025-03-24": 4.0, "2025-04-21": 4.0}, "pdl1-ev": pdl1}
    results = {
        marker: tuple(result(day, value, marker=marker) for day, value in course.items())
        for marker, course in courses.items()
    }
    line = Line("her2-targeted", ("trastuzumab",), date(2025, 1, 6), end)
    known = chart()
    return replace(known, results=results, lines=(line,), diagnosis=replace(known.diagnosis, her2=True))


def test_a_marker_is_not_called_not_applicable_beside_the_combined_finding_that_rests_on_it() -> None:
    evaluation = REASONER.evaluate(_on_trastuzumab({"2025-01-02": 1.0, "2025-03-24": 4.0, "2025-04-21": 4.0}))
    assert [(finding.markers, finding.state) for finding in evaluation.findings] == [
        (("tgfb1-ev", "pdl1-ev"), "suspected")
    ]
    assert evaluation.marker_state("pdl1-ev") == "suspected"


def test_a_marker_whose_latest_sample_no_rule_is_about_still_says_so_beside_a_combined_finding() -> None:
    course = {"2025-01-02": 1.0, "2025-04-30": 4.0}
    known = _on_trastuzumab(course, end=date(2025, 4, 25))
    evaluation = REASONER.evaluate(replace(known, as_of=date(2025, 4, 30)))
    assert [(finding.markers, finding.state) for finding in evaluation.findings] == [
        (("pdl1-ev",), "not-applicable"),
        (("tgfb1-ev", "pdl1-ev"), "watch"),
    ]


@pytest.mark.parametrize(
    ("file", "right", "wrong", "says"),
    [
        ("gates/6-physiology.yaml", "event: infection", "event: infecton", "did you mean 'infection'"),
        ("gates/5-specimen.yaml", "check: haemolysis", "check: hemolysis", "did you mean 'haemolysis'"),
        ("gates/2-data.yaml", "fault: conflict", "fault: conflct", "'conflct' is no fault"),
        ("gates/3-therapy.yaml", "    anti-pd-l1:", "    anti-pdl1:", "no therapy class"),
        ("resistance/trpc5-rise-on-chemotherapy.yaml", "review_by: 2027-11-23", "review_by: whenever", "is no date"),
        (
            "resistance/hotair-rise-on-endocrine-therapy.yaml",
            "[cdk4-6-inhibitor]",
            "[cdk46-inhibitor]",
            "no therapy class",
        ),
        ("resistance/trpc5-rise-on-chemotherapy.yaml", "over: baseline", "over: nadir", "reference is 'baseline'"),
    ],
)
def test_a_typo_never_switches_a_gate_off_in_silence(
    tmp_path: Path, file: str, right: str, wrong: str, says: str
) -> None:
    rules = tmp_path / "rules"
    shutil.copytree(shipped_rules(), rules)
    text = (rules / file).read_text(encoding="utf-8")
    assert right in text
    (rules / file).write_text(text.replace(right, wrong, 1), encoding="utf-8")
    with pytest.raises(RuleBookError, match=says):
        load_rulebook(rules)
