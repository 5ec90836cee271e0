"""Engine, oracle and reference agree; the long form is `make million`."""

from __future__ import annotations

from tests.reference.campaign import STATES, campaign


def test_engine_oracle_and_reference_agree_and_every_state_is_reached() -> None:
    counts, wrong = campaign(7_000_000, 3_000)
    assert wrong == []
    assert {state for _, state in counts} == set(STATES)
