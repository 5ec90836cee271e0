"""The naive reference, which shares no code with the rules, bears out what the tests beside the rules expect."""

from __future__ import annotations

import msgspec

from cds.chart.model import Chart, Result
from cds.reasoning.loading import default_rulebook, shipped_rules
from cds.workbench.proving.cases import QUIET
from cds.workbench.proving.reading import load_tests
from tests.reference import reference

TESTS = load_tests(shipped_rules(), default_rulebook())
_SILENT = {"no-flag", "background", "not-applicable", "out-of-scope"}
_NOT_READ = {
    # A case states this fault by its name; the reference tells it from the numbers, which are then none.
    "more of the marker than vesicles in all is a fault, near the line and as the latest value",
    "without a line the latest value alone counts for that",
}


def with_many_vesicles(chart: Chart) -> Chart:
    """The same ratios on more vesicles: cases count both in round numbers, without regard to which are more."""

    def one(result: Result) -> Result:
        if result.per_ev_low is None or result.per_ev_high is None:
            return result
        return msgspec.structs.replace(
            result, per_ev_low=result.per_ev_low * 1e-4, per_ev_high=result.per_ev_high * 1e-4
        )

    results = {marker: tuple(map(one, found)) for marker, found in chart.results.items()}
    return msgspec.structs.replace(chart, results=results)


def test_the_reference_bears_out_every_expectation() -> None:
    asked = 0
    for test in TESTS:
        for day, wanted in test.expect.items():
            state = reference.judge(with_many_vesicles(test.chart(day))).get(test.rule)
            if state is None or test.name in _NOT_READ:
                continue  # parts of a combination have no answer of their own there
            asked += 1
            expected = _SILENT if wanted.state == QUIET else {wanted.state}
            assert state in expected, f"{test.file}:{test.line}: {test.name}, day {day}: {wanted}, reference {state}"
    assert asked > 0.8 * sum(len(test.expect) for test in TESTS)
