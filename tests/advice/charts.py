"""Charts made by hand: what the advice is to be about, without any reader in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from cds.chart.model import Chart, Diagnosis, Event, Imaging, LeftOut, Line, Method, Operation, Result

START = date(2025, 1, 6)
METHOD = Method("plasma", "edta", "sec", "flow-cytometry", "cytometer A", "clone A", "none")
CLEAR = {"haemolysis": True, "lipaemia": True, "residual-platelets": True, "dna-control": True, "drug-tolerance": True}

UNITS = {
    "trpc5-ev": ("particles-per-volume", "{particles}/mL", 1e6, "10*6/mL"),
    "hotair-ev": ("relative-expression", "{fold}", 1.0, "{fold}"),
    "pdl1-ev": ("mass-per-volume", "pg/mL", 1.0, "pg/mL"),
    "tgfb1-ev": ("mass-per-volume", "pg/mL", 1.0, "pg/mL"),
}
TRPC5_RISE = {-17: 1.8, -4: 2.0, 42: 2.1, 77: 5.6, 105: 6.3}


def result(
    marker: str, day: int, value: float, *, below: bool = False, total_ev: float | None = 1.1e10, **more: Any
) -> Result:
    """One usable result, `day` days after the start of the line; `below`: below a limit of detection of `value`."""
    family, unit, factor, shown_unit = UNITS[marker]
    low, high = (0.0 if below else value * factor), value * factor
    given: dict[str, Any] = {
        "ref": f"Observation/{marker}-{day}",
        "marker": marker,
        "collected": START + timedelta(days=day),
        "shown": f"{'<' if below else ''}{value} {shown_unit}",
        "low": low,
        "high": high,
        "family": family,
        "unit": unit,
        "lod": high if below else 0.5 * factor,
        "censored": below,
        "per_ev_low": low / total_ev if total_ev else None,
        "per_ev_high": high / total_ev if total_ev else None,
        "total_ev": f"{total_ev:.1e} {{particles}}/mL".replace("e+", "e") if total_ev else None,
        "method": METHOD,
        "laboratory": "EV laboratory",
        "lot": "L1",
        "checks": CLEAR,
        "known": (START + timedelta(days=day)).isoformat(),
    }
    return Result(**(given | more))


def series(marker: str, values: Mapping[int, float], **more: Any) -> tuple[Result, ...]:
    return tuple(result(marker, day, value, **more) for day, value in sorted(values.items()))


def chart(
    *results: Result,
    as_of: int | None = None,
    lines: Sequence[Line] = (Line("cytotoxic-chemotherapy", ("paclitaxel",), START),),
    operations: Sequence[Operation] = (),
    events: Sequence[Event] = (),
    imaging: Sequence[Imaging] = (),
    diagnosis: Diagnosis | None = None,
    left_out: Sequence[LeftOut] = (),
    **more: Any,
) -> Chart:
    """A chart of an adult with invasive breast cancer, as of the newest result unless said otherwise."""
    by_marker: dict[str, tuple[Result, ...]] = {}
    for one in results:
        by_marker[one.marker] = (*by_marker.get(one.marker, ()), one)
    days = [one.collected for one in results if one.collected is not None]
    given: dict[str, Any] = {"birth_date": date(1970, 5, 14), "sex": "female"}
    return Chart(
        "Patient/123",
        max(days, default=START) if as_of is None else START + timedelta(days=as_of),
        diagnosis=diagnosis or Diagnosis(True, metastatic=True, er=False, pr=False, her2=False),
        lines=tuple(lines),
        operations=tuple(operations),
        events=tuple(events),
        imaging=tuple(imaging),
        results=by_marker,
        left_out=tuple(left_out),
        **(given | more),
    )
