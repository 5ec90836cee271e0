"""Hostile inputs through the whole chain: none crashes, none flags, each is named by its fault; its twin is `suspected`."""

from __future__ import annotations

from functools import cache

import pytest

from cds.advice.report import report
from cds.advice.statements import Advisor
from cds.chart import Moment, read
from cds.errors import InputError
from cds.reasoning.loading import default_rulebook
from cds.reasoning.reasoner import Reasoner
from tests.faults.drafts import Draft
from tests.faults.hostile import AS_OF, Hostile, hostile_inputs
from tests.faults.reasons import REASONS, UNSAID, reason_for

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


@cache
def benign(twin: bytes) -> str:
    return evaluated(twin)[1]


@cache
def without_the_result() -> str:
    """The report of the same record before its last result."""
    draft = Draft()
    draft.bundle["entry"].remove(draft.entry)
    return evaluated(draft.to_bytes())[1]


@pytest.mark.parametrize("hostile", INPUTS, ids=lambda hostile: hostile.name[:60])
def test_a_hostile_input_never_flags_and_is_named(hostile: Hostile) -> None:
    states, printed = evaluated(hostile.data)
    assert "persistent" not in states
    if not hostile.must_not_flag:
        return
    assert "suspected" not in states
    _, words = reason_for(hostile.name)
    if words == UNSAID:
        assert printed == without_the_result()
    else:
        assert words in printed
        assert words not in benign(hostile.twin)


def test_every_row_of_the_reasons_speaks_of_an_input() -> None:
    used = {reason_for(hostile.name)[0] for hostile in INPUTS if hostile.must_not_flag}
    assert [REASONS[number][0].pattern for number in range(len(REASONS)) if number not in used] == []


def test_every_benign_twin_is_suspected() -> None:
    for twin in sorted({hostile.twin for hostile in INPUTS}):
        states, _ = evaluated(twin)
        assert states == {"suspected"}
