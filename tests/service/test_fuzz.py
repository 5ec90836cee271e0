"""A seeded part of what `make fuzz` does at length."""

from __future__ import annotations

import pytest

from tests.service.fuzz import batch, judged


@pytest.mark.parametrize("seed", [1, 2])
def test_mutants_of_requests_are_answered(seed: int) -> None:
    report, fine = judged([batch(seed, 600)])
    assert fine, report
