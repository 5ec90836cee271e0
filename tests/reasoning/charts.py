"""Small charts for tests of reasoning: a patient on weekly paclitaxel, with whatever a test needs changed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from cds.chart.model import Chart, Diagnosis, Line, Method, Result

METHOD = Method("plasma", "edta", "sec", "flow-cytometry", "cytometer", "clone A", "none")
CLEAR: Mapping[str, bool] = {
    "haemolysis": True,
    "lipaemia": True,
    "residual-platelets": True,
    "dna-control": True,
    "drug-tolerance": True,
}
PACLITAXEL = Line("cytotoxic-chemotherapy", ("paclitaxel",), date(2025, 1, 6))
SUSPECTED_SERIES = {"2024-12-20": 1.8, "2025-01-02": 2.0, "2025-02-17": 2.1, "2025-03-24": 5.6, "2025-04-21": 6.3}


def result(day: str, value: float, **changes: Any) -> Result:
    """One TRPC5 result in 10^6 particles per mL, with a flat total EV count."""
    plain: dict[str, Any] = {
        "ref": f"Observation/{day}",
        "marker": "trpc5-ev",
        "collected": date.fromisoformat(day),
        "shown": f"{value} 10*6/mL",
        "low": value * 1e6,
        "high": value * 1e6,
        "family": "particles-per-volume",
        "unit": "{particles}/mL",
        "lod": 5e5,
        "per_ev_low": value * 1e6 / 1.1e10,
        "per_ev_high": value * 1e6 / 1.1e10,
        "total_ev": "1.1e10 {particles}/mL",
        "method": METHOD,
        "laboratory": "laboratory A",
        "lot": "1",
        "checks": CLEAR,
    }
    return Result(**{**plain, **changes})


def chart(series: Mapping[str, float] | list[Result] | None = None, as_of: str = "2025-04-21", **changes: Any) -> Chart:
    """The chart as of a day; by default the series that ends in `suspected`."""
    results = (
        [result(day, value) for day, value in (SUSPECTED_SERIES if series is None else series).items()]
        if not isinstance(series, list)
        else series
    )
    day = date.fromisoformat(as_of)
    known = [entry for entry in results if entry.collected is None or entry.collected <= day]
    plain: dict[str, Any] = {
        "patient": "Patient/1",
        "as_of": day,
        "birth_date": date(1970, 1, 1),
        "sex": "female",
        "diagnosis": Diagnosis(True, metastatic=True, er=False, pr=False, her2=False),
        "lines": (PACLITAXEL,),
        "results": {"trpc5-ev": tuple(known)},
    }
    return Chart(**{**plain, **changes})
