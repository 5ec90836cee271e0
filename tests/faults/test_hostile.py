"""The hostile inputs themselves: many, each with a name of its own, each twin a legal record."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from fhir.resources.R4B.bundle import Bundle

from tests.faults.hostile import Hostile, hostile_inputs

INPUTS = hostile_inputs()


def test_there_are_many_and_each_has_a_name() -> None:
    assert len(INPUTS) >= 200
    assert [name for name, count in Counter(hostile.name for hostile in INPUTS).items() if count > 1] == []


def test_most_of_them_must_not_flag() -> None:
    assert sum(hostile.must_not_flag for hostile in INPUTS) >= 200


@pytest.mark.parametrize("hostile", INPUTS, ids=lambda hostile: hostile.name[:60])
def test_a_hostile_input_differs_from_its_twin(hostile: Hostile) -> None:
    assert hostile.data != hostile.twin
    assert b"@literal" not in hostile.data + hostile.twin


def test_twins_are_fhir() -> None:
    for twin in sorted({hostile.twin for hostile in INPUTS}):
        Bundle.model_validate(json.loads(twin))
