"""The state machine of docs/advisories.md, transition by transition."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds.record.lifecycle import CLAIMS, Advised, Found, Kind, Span, Standing, Step, steps, unanswered

LINE = Span("chemotherapy", date(2025, 1, 6), None)
RESULTS = {"Observation/1": ("2.0", "2025-01-02"), "Observation/2": ("5.5", "2025-03-31")}
ADVISED = Advised(Standing.OPEN, "suspected", "b1", "r1", LINE, RESULTS)
FOUND = Found("suspected", "b1", "r1", LINE, RESULTS, frozenset(), (LINE,))
LATER = Span("endocrine", date(2025, 9, 1), None)
EARLIER = Span("endocrine", date(2023, 1, 1), date(2023, 12, 1))
NEWER = {**RESULTS, "Observation/3": ("2.1", "2025-04-28")}
CHANGED = {**RESULTS, "Observation/2": ("2.6", "2025-03-31")}
CORRECTED = {"results": CHANGED, "revised": frozenset({"Observation/2"})}
FEWER = {"Observation/1": RESULTS["Observation/1"]}


def said(taken: tuple[Step, ...]) -> list[str]:
    return [f"{step.kind}: {step.reason}" for step in taken]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"basis": "b2", "results": NEWER}, ["updated: new-results"]),
        ({"state": "watch", "basis": "b2", "results": NEWER}, ["updated: new-results"]),
        ({"state": "no-flag", "basis": "b2", "results": NEWER}, ["closed: below-limit"]),
        ({"state": "background", "basis": "b2"}, ["not-reassessable: background"]),
        ({"state": "background", "basis": "b2", "span": LATER}, ["superseded: new-line"]),
        ({"state": "background", "results": CHANGED}, ["withdrawn: changed"]),
        ({"state": "hold", "basis": "b2"}, ["not-reassessable: hold"]),
        ({"state": "data-quality", "basis": "b2"}, ["not-reassessable: data-quality"]),
        ({"state": "not-evaluable", "basis": "b2"}, ["not-reassessable: not-evaluable"]),
        ({"state": "not-applicable", "span": None}, ["closed: line-over"]),
        ({"state": "not-applicable", "span": LATER}, ["superseded: new-line"]),
        ({"state": "not-applicable", "span": EARLIER}, ["closed: line-over"]),
        ({"state": "not-applicable", "span": None, "spans": ()}, ["not-reassessable: therapy-missing"]),
        ({"state": "not-applicable", "span": EARLIER, "spans": (EARLIER,)}, ["not-reassessable: therapy-missing"]),
        ({"state": "no-flag", **CORRECTED}, ["withdrawn: corrected"]),
        ({"state": "no-flag", "results": CHANGED}, ["withdrawn: changed"]),
        ({"state": "no-flag", "results": CHANGED, "revised": frozenset({"Observation/1"})}, ["withdrawn: changed"]),
        ({"state": "suspected", "basis": "b2", **CORRECTED}, ["updated: corrected"]),
        ({"state": "watch", "basis": "b2", **CORRECTED}, ["withdrawn: corrected", "opened: remaining-results"]),
        ({"state": "no-flag", "voided": frozenset({"Observation/2"})}, ["withdrawn: entered-in-error"]),
        ({"state": "hold", "voided": frozenset({"Observation/2"})}, ["withdrawn: entered-in-error"]),
        ({"state": "no-flag", "voided": frozenset({"Observation/9"})}, ["closed: below-limit"]),
        ({"state": "no-flag", "results": FEWER}, ["not-reassessable: results-missing"]),
        ({"state": "watch", "basis": "b2", "results": FEWER}, ["not-reassessable: results-missing"]),
        ({"state": "persistent", "basis": "b2", "results": FEWER}, ["updated: new-results"]),
        ({"rule_hash": "r2"}, ["superseded: rule-version", "opened: rule-version"]),
        ({"rule_hash": "r2", "state": "no-flag"}, ["superseded: rule-version"]),
        ({"rule_hash": "r2", "state": "not-evaluable"}, ["not-reassessable: not-evaluable"]),
        ({"rule_hash": "r2", "state": "no-flag", **CORRECTED}, ["withdrawn: corrected"]),
        ({"rule_hash": "r2", "state": "no-flag", "results": FEWER}, ["not-reassessable: results-missing"]),
    ],
)  # fmt: skip
def test_what_a_finding_makes_of_an_open_advisory(change: dict[str, Any], expected: list[str]) -> None:
    assert said(steps(ADVISED, replace(FOUND, **change))) == expected


def test_an_operation_is_not_over_however_late_a_sample_is_drawn() -> None:
    operation = Span("", date(2025, 1, 6), date(2025, 1, 6), operation=True)
    advised = replace(ADVISED, state="persistent", span=operation)
    late = replace(FOUND, state="not-applicable", span=None, spans=(operation,))
    assert said(steps(advised, late)) == ["not-reassessable: window-over"]


def test_a_second_sample_confirms_a_watch() -> None:
    watched = replace(ADVISED, state="watch")
    assert said(steps(watched, replace(FOUND, basis="b2"))) == ["confirmed: second-sample"]


@pytest.mark.parametrize("state", CLAIMS)
def test_a_claim_opens_an_advisory(state: str) -> None:
    assert said(steps(None, replace(FOUND, state=state))) == ["opened: claimed"]


@pytest.mark.parametrize("state", ["no-flag", "background", "hold", "not-evaluable", "data-quality", "not-applicable"])
def test_nothing_else_opens_one(state: str) -> None:
    assert steps(None, replace(FOUND, state=state)) == ()


@pytest.mark.parametrize("standing", [Standing.CLOSED, Standing.WITHDRAWN, Standing.SUPERSEDED])
def test_new_evidence_opens_an_ended_advisory_again(standing: Standing) -> None:
    assert said(steps(replace(ADVISED, standing=standing), replace(FOUND, basis="b2"))) == ["opened: claimed"]


ENDED = (Standing.CLOSED, Standing.SUPERSEDED)


@pytest.mark.parametrize("standing", ENDED)
def test_what_ended_is_withdrawn_all_the_same_if_its_results_were_wrong(standing: Standing) -> None:
    ended = replace(ADVISED, standing=standing)
    voided = replace(FOUND, state="no-flag", voided=frozenset({"Observation/2"}))
    assert said(steps(ended, voided)) == ["withdrawn: entered-in-error"]
    assert said(steps(ended, replace(voided, state="watch"))) == [
        "withdrawn: entered-in-error",
        "opened: remaining-results",
    ]
    assert steps(replace(ADVISED, standing=Standing.WITHDRAWN), voided) == ()


def test_old_data_that_come_again_do_not_open_a_closed_advisory() -> None:
    closed = replace(ADVISED, standing=Standing.CLOSED, ended_by=frozenset({"Observation/3"}))
    assert steps(closed, FOUND) == ()


def test_a_closing_result_that_was_wrong_opens_the_advisory_again() -> None:
    closed = replace(ADVISED, standing=Standing.CLOSED, ended_by=frozenset({"Observation/3"}))
    assert said(steps(closed, replace(FOUND, voided=frozenset({"Observation/3"})))) == ["opened: claimed"]


def test_a_line_that_was_taken_for_over_opens_again() -> None:
    assert said(steps(replace(ADVISED, standing=Standing.CLOSED), FOUND)) == ["opened: claimed"]


def test_what_can_be_assessed_again_is_open_again() -> None:
    asleep = replace(ADVISED, standing=Standing.NOT_REASSESSABLE)
    assert said(steps(asleep, FOUND)) == ["updated: reassessable-again"]
    assert steps(asleep, replace(FOUND, state="hold")) == ()


@pytest.mark.parametrize(
    ("change", "withheld", "known", "expected"),
    [
        ({}, True, True, ["withdrawn: evidence-retracted"]),
        ({}, False, False, ["superseded: rule-retired"]),
        ({"span": None}, False, True, ["not-reassessable: results-missing"]),
        ({"span": None, "voided": frozenset(RESULTS)}, False, True, ["withdrawn: entered-in-error"]),
        ({"span": LATER}, False, True, ["superseded: new-line"]),
        ({"span": EARLIER}, False, True, ["not-reassessable: therapy-missing"]),
        ({"voided": frozenset(RESULTS)}, False, False, ["withdrawn: entered-in-error"]),
        ({}, False, True, ["superseded: merged"]),
    ],
)
def test_what_becomes_of_an_advisory_without_a_finding(
    change: dict[str, Any], withheld: bool, known: bool, expected: list[str]
) -> None:
    found = replace(FOUND, **change)
    assert said(unanswered(ADVISED, found, withheld=withheld, known=known)) == expected
    closed = replace(ADVISED, standing=Standing.CLOSED)
    withdrawn = [one for one in expected if one.startswith("withdrawn")]
    assert said(unanswered(closed, found, withheld=withheld, known=known)) == withdrawn
    gone = replace(ADVISED, standing=Standing.WITHDRAWN)
    assert unanswered(gone, found, withheld=withheld, known=known) == ()


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (Span("chemotherapy", date(2025, 2, 1), None), True),  # late data moved the start
        (Span("chemotherapy", date(2024, 1, 1), date(2025, 1, 5)), False),
        (Span("chemotherapy", None, None), True),
        (Span("endocrine", date(2025, 1, 6), None), False),
        (Span("", date(2025, 1, 6), date(2025, 1, 6), operation=True), False),
    ],
)
def test_a_line_is_told_by_overlap(other: Span, same: bool) -> None:
    assert LINE.same(other) is other.same(LINE) is same


@given(
    st.builds(
        Found,
        st.sampled_from([*CLAIMS, "no-flag", "background", "hold", "not-evaluable", "data-quality", "not-applicable"]),
        st.sampled_from(["b1", "b2"]),
        st.sampled_from(["r1", "r2"]),
        st.sampled_from([None, LINE, replace(LINE, therapy="other")]),
        st.sampled_from([RESULTS, NEWER, CHANGED, FEWER]),
        st.sampled_from([frozenset(), frozenset({"Observation/2"})]),
        st.sampled_from([(), (LINE,)]),
    ),
    st.sampled_from(CLAIMS),
    st.sampled_from(Standing),
)
def test_steps_are_idempotent(found: Found, state: str, standing: Standing) -> None:
    """The same finding again, after its steps were taken, takes none."""
    advised = replace(ADVISED, state=state, standing=standing)
    for step in steps(advised, found):
        advised = replace(advised, standing=step.leads_to)
        if step.kind in (Kind.OPENED, Kind.UPDATED, Kind.CONFIRMED):
            span = found.span or advised.span
            advised = Advised(step.leads_to, found.state, found.basis, found.rule_hash, span, found.results)
    assert steps(advised, found) == ()
