"""Some of the mutants of `tests.intake.fuzz`; the rest run with `make fuzz`."""

from __future__ import annotations

from tests.intake.fuzz import KINDS, run


def test_no_mutant_is_a_fault_or_loses_a_result() -> None:
    seen, faults = run(3000, seed=7)
    assert faults == []
    assert all(seen[f"{kind}: {fate}"] for kind in KINDS for fate in ("all mapped or refused", "refused as a whole"))
