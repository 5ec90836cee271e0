"""The fixed wording: options and never directives, everything named, every source in the catalogue."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cds.errors import Problem
from cds.reasoning.evidence import EvidenceCatalogue, load_evidence
from cds.source import read_yaml

RULES = Path(__file__).parents[2] / "rules"

FIXED = (
    "Investigational marker. No evidence that changing breast cancer therapy on this result alone improves outcome. "
    "Do not start, stop or change treatment on this information alone."
)
FORBIDDEN = re.compile(r"\b(start\w*|stop\w*|switch\w*|escalat\w*|discontinu\w*|is resistant)\b", re.IGNORECASE)
VERBS = re.compile(r"\b(consider|review|repeat|discuss)\b", re.IGNORECASE)
PLACEHOLDERS = {"marker", "suspicion", "certainty", "reason", "response", "imaged", "therapy"}

HL7_CODES = """cds-not-applicable patient-ineligible indication-order-exists action-completed action-unsuccessful
    action-performed-no-adverse-effect action-not-priority cds-suboptimal-context limited-time wrong-time-workflow
    inappropriate-recipient need-more-info recipient-disagrees-evidence does-not-align-latest-evidence
    expert-contradicts policy-contradicts recipient-does-not-trust recipient-concerns-outcomes risk-benefit-ratio
    mitigate-risk-negative-outcome likely-negative-health-outcomes patient-contraindication does-not-align-preferences
    patient-fears-discomfort patient-does-not-want-change cultural-religious-reason prefers-alternative patient-refuses
    not-convenient-feasible inadequate-support service-not-available implementation-challenges too-costly-uncovered
    recipient-does-not-understand comorbidity-disability"""


def read(path: Path) -> dict[str, Any]:
    problems: list[Problem] = []
    section = read_yaml(path, problems)
    assert problems == []
    assert section is not None
    return section.value


@pytest.fixture(scope="module")
def wording() -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for path in sorted((RULES / "wording").glob("*.yaml")):
        part = read(path)
        assert merged.keys().isdisjoint(part)
        merged |= part
    return merged


@pytest.fixture(scope="module")
def evidence() -> EvidenceCatalogue:
    return load_evidence(RULES, [])


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from texts(inner)
    else:
        for inner in value:
            yield from texts(inner)


def test_the_fixed_sentence_stands_word_for_word(wording: dict[str, Any]) -> None:
    assert wording["fixed_sentence"] == FIXED


def test_no_text_directs_treatment(wording: dict[str, Any]) -> None:
    for text in texts({key: value for key, value in wording.items() if key != "fixed_sentence"}):
        assert not FORBIDDEN.search(text), text


def test_every_option_is_one_to_consider_review_repeat_or_discuss(wording: dict[str, Any]) -> None:
    for key, option in wording["options"].items():
        assert option.keys() == {"label", "text", "sources"}, key
        assert VERBS.search(option["text"]), key
        assert len(option["label"]) <= 40, key


@pytest.mark.parametrize("part", ["options", "notes"])
def test_every_source_is_in_the_catalogue_and_stands(
    wording: dict[str, Any], evidence: EvidenceCatalogue, part: str
) -> None:
    for key, entry in wording[part].items():
        assert entry["sources"], key
        for source in entry["sources"]:
            if source != "default":
                assert not evidence.studies[source].retracted
                assert evidence.studies[source].verification != "M"


def test_every_state_has_a_word_a_headline_and_an_explanation(wording: dict[str, Any]) -> None:
    assert list(wording["states"]) == list(read(RULES / "states.yaml")["states"])
    for state in wording["states"].values():
        assert state.keys() == {"word", "headline", "explain"}


def test_words_common_to_all_rules_state_no_rate_for_it_differs_from_rule_to_rule(wording: dict[str, Any]) -> None:
    rate = re.compile(r"\d|\bone \S+ in \w+|\b(one|two|three) in \w+|per ?cent", re.IGNORECASE)
    for key, state in wording["states"].items():
        assert not rate.search(state["explain"]), key
    for nearer in ("by_rule", "by_note"):
        for name, said in wording[nearer].items():
            assert not re.search(r"\bin six\b|follow-ups in|one in", str(said)), name


def test_headlines_fit_a_summary_and_name_only_known_things(wording: dict[str, Any]) -> None:
    longest = {
        "marker": "TGF-β1 and PD-L1 (EV)",
        "suspicion": max((rule["suspicion"] for rule in wording["by_rule"].values()), key=len),
        "certainty": "very low",
        "reason": max(wording["failures"].values(), key=len),
        "response": "iUPD",
        "imaged": "2026-11-23",
        "therapy": "cytotoxic chemotherapy",
    }
    assert set(longest) == PLACEHOLDERS
    headlines = [state["headline"] for state in wording["states"].values()]
    headlines += [rule["watch"] for rule in wording["by_rule"].values() if "watch" in rule]
    headlines += [note["no-flag"] for note in wording["by_note"].values()]
    for headline in headlines:
        assert len(headline.format(**longest)) < 140, headline


def test_what_can_fail_has_a_label(wording: dict[str, Any]) -> None:
    for path in sorted((RULES / "gates").glob("*.yaml")):
        gate = read(path)
        assert gate["gate"] in wording["gates"], path.name
        assert gate.get("fails_on", {}).keys() <= wording["failures"].keys(), path.name


def test_every_marker_that_is_read_has_limitations(wording: dict[str, Any]) -> None:
    read_markers = {
        marker["marker"]
        for marker in map(read, sorted((RULES / "markers").glob("*.yaml")))
        if "must_not_use" not in marker
    }
    assert wording["limitations"].keys() == read_markers


def test_override_reasons_map_to_standard_codes(wording: dict[str, Any]) -> None:
    assert {reason["hl7"] for reason in wording["overrides"].values()} <= set(HL7_CODES.split())
    assert {"does-not-align-latest-evidence", "need-more-info", "patient-contraindication", "prefers-alternative"} <= {
        reason["hl7"] for reason in wording["overrides"].values()
    }


def test_all_thirteen_attributes_of_a_decision_support_source_are_answered(wording: dict[str, Any]) -> None:
    # Citation, developer, funding and dates come with the rule and the settings; nine are about the person.
    assert len(wording["attributes"]) == 9
    assert {"developer", "funding"} <= wording["about"].keys()


def test_everything_that_rules_name_has_words(wording: dict[str, Any]) -> None:
    for path in sorted((RULES / "resistance").glob("*.yaml")):
        if path.name.endswith(".test.yaml"):
            continue
        rule = read(path)
        clauses = [clause for state in rule["conclude"].values() for clause in state]
        notes = {clause["note"] for clause in clauses if "note" in clause} | rule.get("notes", {}).keys()
        assert set(texts(rule.get("advise", []))) <= wording["options"].keys(), path.name
        assert notes <= wording["notes"].keys(), path.name
        assert rule.get("facts", {}).keys() <= wording["facts"].keys(), path.name
        assert "part_of" in rule or rule["rule"] in wording["by_rule"], path.name
