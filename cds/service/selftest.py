"""Whether this process can reason: a synthetic patient whose answer is known."""

from __future__ import annotations

from datetime import date

from cds.chart.model import Chart, Diagnosis, Line, Method, Result
from cds.reasoning.reasoner import Reasoner

RULE = "trpc5-rise-on-chemotherapy"
EXPECTED = "suspected"

_TOTAL_EV = 1.1e10
_SERIES = {
    date(2024, 12, 20): 1.8e6,
    date(2025, 1, 2): 2.0e6,
    date(2025, 2, 17): 2.1e6,
    date(2025, 3, 24): 5.6e6,
    date(2025, 4, 21): 6.3e6,
}


def synthetic_chart() -> Chart:
    """A patient who was made up: TRPC5 rises on weekly paclitaxel and is confirmed four weeks later."""
    results = tuple(
        Result(
            ref=f"Observation/self-test-{day.isoformat()}",
            marker="trpc5-ev",
            collected=day,
            shown=f"{value / 1e6:.1f} 10*6/mL",
            low=value,
            high=value,
            family="particles-per-volume",
            unit="{particles}/mL",
            lod=5e5,
            per_ev_low=value / _TOTAL_EV,
            per_ev_high=value / _TOTAL_EV,
            total_ev=f"{_TOTAL_EV:.1e} {{particles}}/mL",
            method=Method("plasma", "edta", "sec", "flow-cytometry", "self-test", "self-test", "none"),
            laboratory="self-test",
            lot="self-test",
            checks={"haemolysis": True, "lipaemia": True, "residual-platelets": True},
        )
        for day, value in _SERIES.items()
    )
    return Chart(
        "Patient/self-test",
        date(2025, 4, 21),
        birth_date=date(1970, 1, 1),
        diagnosis=Diagnosis(invasive_breast_cancer=True, metastatic=True),
        lines=(Line("cytotoxic-chemotherapy", ("paclitaxel",), date(2025, 1, 6)),),
        results={"trpc5-ev": results},
    )


def self_test(reasoner: Reasoner) -> str:
    """ "" if the process reasons as it should, else what is wrong. A book without the rule has nothing to test."""
    if all(rule.name != RULE for rule in reasoner.rulebook.rules):
        return "" if reasoner.rulebook.rules else "the rule book holds no rules"
    answer = reasoner.evaluate(synthetic_chart()).answers.get(RULE)
    state = answer.state if answer is not None else "no finding"
    return "" if state == EXPECTED else f"the self-test patient is '{state}', expected '{EXPECTED}'"
