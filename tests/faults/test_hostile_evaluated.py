"""Hostile inputs through the whole chain: none crashes, none flags, each is named; its benign twin is `suspected`."""

from __future__ import annotations

import pytest

from cds.advice.report import report
from cds.advice.statements import Advisor
from cds.chart import Moment, read
from cds.errors import InputError
from cds.reasoning.loading import default_rulebook
from cds.reasoning.reasoner import Reasoner
from tests.faults.hostile import AS_OF, Hostile, hostile_inputs

REASONER = Reasoner(default_rulebook())
ADVISOR = Advisor(REASONER.rulebook)
INPUTS = hostile_inputs()


def evaluated(data: bytes) -> tuple[set[str], str]:
    """The states said of the record, and the printed report; an input that cannot be read has its error as report."""
    try:
        record = read(data, REASONER.rulebook.catalogue)
    except InputError as error:
        return set(), str(error)
    evaluation = REASONER.evaluate(record.as_of(Moment(AS_OF)))
    lines = report(evaluation.chart, ADVISOR.advisories(evaluation), evaluation.silent)
    return {finding.state for finding in evaluation.findings}, "\n".join(lines)


@pytest.mark.parametrize("hostile", INPUTS, ids=lambda hostile: hostile.name[:60])
def test_a_hostile_input_never_flags_and_is_named(hostile: Hostile) -> None:
    states, printed = evaluated(hostile.data)
    assert "persistent" not in states
    if hostile.must_not_flag:
        assert "suspected" not in states
        _, benign = evaluated(hostile.twin)
        assert printed != benign, "the report reads as if nothing were wrong"


def test_every_benign_twin_is_suspected() -> None:
    for twin in sorted({hostile.twin for hostile in INPUTS}):
        states, _ = evaluated(twin)
        assert states == {"suspected"}
