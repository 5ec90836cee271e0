"""Every patient of the evidence, read from FHIR and evaluated: the expected state at each date it names."""

from __future__ import annotations

import pytest

from cds.chart import Moment, read
from cds.reasoning.loading import default_rulebook
from cds.reasoning.reasoner import Reasoner
from tests.patients.archetypes import Archetype, Expectation, patients

REASONER = Reasoner(default_rulebook())
CASES = [(archetype, expectation) for archetype in patients() for expectation in archetype.expected]
SPOKEN = {"HO-06": "HO-02", "TR-06": "rise-off-therapy", "PD-03": "specimen/drug-bound"}
"""What the evidence numbers as a rule of its own, and the rule book says as a gate, a note or a scale."""


def name(case: tuple[Archetype, Expectation]) -> str:
    return f"{case[0].id}-{case[1].as_of}-{case[1].marker}"


@pytest.mark.parametrize("case", CASES, ids=name)
def test_state_is_the_one_that_the_evidence_expects(case: tuple[Archetype, Expectation]) -> None:
    archetype, expected = case
    record = read(archetype.bundle(), REASONER.rulebook.catalogue)
    evaluation = REASONER.evaluate(record.as_of(Moment(expected.as_of)))
    assert evaluation.marker_state(expected.marker) == expected.state
    if expected.rule:
        findings = [f for f in evaluation.findings if expected.marker in f.markers and f.state == expected.state]
        said = {clause.key for f in findings for clause in f.holding} | {note for f in findings for note in f.notes}
        wanted = SPOKEN.get(expected.rule, expected.rule)
        assert any(spoken.startswith(wanted) for spoken in said), said


def test_nothing_is_left_out_of_the_ideal_records() -> None:
    for archetype in patients():
        assert read(archetype.bundle(), REASONER.rulebook.catalogue).left_out == ()


def test_a_retracted_marker_is_logged_and_has_no_finding() -> None:
    archetype = next(entry for entry in patients() if entry.id == "A47")
    record = read(archetype.bundle(), REASONER.rulebook.catalogue)
    evaluation = REASONER.evaluate(record.as_of(Moment(archetype.expected[-1].as_of)))
    assert evaluation.findings == ()
    assert evaluation.silent == (("mir-567-ev", "evidence han-2020 must not be used"),)
