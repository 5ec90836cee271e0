"""Charts that are hard to draw: long, crowded, interrupted, hostile."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date, timedelta
from random import Random
from typing import Any

from cds.chart.model import Chart, Event, Imaging, Line, Operation, Result
from tests.advice.charts import METHOD, START, chart, result, series

HOSTILE = '"><script>alert(1)</script><a xlink:href="javascript:1">&x;'


def five_hundred() -> Chart:
    """Five hundred results in ten years."""
    chance = Random(1)
    found = [result("trpc5-ev", -20 + 7 * n, round(2 * math.exp(chance.gauss(0, 0.25)), 2)) for n in range(500)]
    return chart(*found, as_of=3500)


def long_history() -> Chart:
    """Treatment years ago, then nothing, then a metastatic line with results; a scan long before."""
    lines = (
        Line(
            "cytotoxic-chemotherapy",
            ("doxorubicin", "cyclophosphamide"),
            date(2014, 3, 3),
            date(2014, 8, 4),
            neoadjuvant=True,
        ),
        Line("endocrine-therapy", ("tamoxifen",), date(2014, 11, 3), date(2019, 11, 4)),
        Line("cytotoxic-chemotherapy", ("paclitaxel",), START),
    )
    return chart(
        *series("trpc5-ev", {-17: 1.8, -4: 2.0, 42: 2.1, 77: 5.6, 105: 6.3}),
        as_of=110,
        lines=lines,
        operations=(Operation(date(2014, 9, 15), True),),
        imaging=(Imaging(date(2014, 10, 1), "CR"), Imaging(date(2025, 4, 1), "SD")),
    )


def everything_at_once() -> Chart:
    """Every class of treatment with long names, planned and unended ones, and every kind of event."""
    day = timedelta
    lines = (
        Line("anti-pd-1", ("pembrolizumab",), START, START + day(60)),
        Line("anti-pd-l1", ("atezolizumab",), START + day(70), None, "unknown"),
        Line("cdk4-6-inhibitor", ("ribociclib",), None, START + day(20)),
        Line("cytotoxic-chemotherapy", ("carboplatin", "gemcitabine", "nanoparticle albumin-bound paclitaxel", "vinorelbine"),
             START, None, "assumed-ongoing"),
        Line("endocrine-therapy", ("letrozole",), START + day(130), None, "known", planned=True),
        Line("her2-targeted", ("trastuzumab deruxtecan",), START + day(30), START + day(37)),
        Line("her2-targeted", ("tucatinib",), START + day(40), None, "assumed-ongoing"),
        Line("other-anticancer", ("sacituzumab govitecan",), START + day(90), START + day(97)),
    )  # fmt: skip
    events = tuple(
        Event(kind, START + day(7 * number), START + day(7 * number + 9) if number % 3 else None)
        for number, kind in enumerate(("infection", "radiotherapy", "transfusion", "pregnancy", "g-csf", "steroid", "immune-adverse-event"))
    )  # fmt: skip
    return chart(
        *series("trpc5-ev", {-4: 2.0, 42: 2.1, 77: 5.6}),
        as_of=110,
        lines=lines,
        events=(
            *events,
            Event("infection", START + day(70), START + day(75)),
            Event("transfusion", START + day(80), START + day(80)),
        ),
        operations=(Operation(START + day(100), True), Operation(START + day(140), False, planned=True)),
        imaging=tuple(
            Imaging(START + day(n), word) for n, word in ((0, "SD"), (56, "SD"), (58, "NE"), (60, "PD"), (104, "iUPD"))
        ),
    )


def replicates() -> Chart:
    """Two values of one day, from two specimens of one laboratory; twice."""
    found = [
        result("trpc5-ev", -4, 2.0),
        result("trpc5-ev", 42, 1.7, ref="Observation/a", specimen_id="S1"),
        result("trpc5-ev", 42, 2.6, ref="Observation/b", specimen_id="S2"),
        result("trpc5-ev", 77, 5.2, ref="Observation/c", specimen_id="S3"),
        result("trpc5-ev", 77, 6.4, ref="Observation/d", specimen_id="S4"),
    ]
    return chart(*found, as_of=80)


def two_laboratories_in_turn() -> Chart:
    """Laboratories that take turns, a new lot, a tube that is not stated, and another unit."""
    other: dict[str, Any] = {"laboratory": "Second laboratory"}
    tubeless: dict[str, Any] = {
        "method": type(METHOD)("plasma", None, "sec", "flow-cytometry", "cytometer A", "clone A", "none")
    }
    found = [
        result("trpc5-ev", -4, 2.0),
        result("trpc5-ev", 20, 3.0, **other),
        result("trpc5-ev", 42, 2.1),
        result("trpc5-ev", 56, 3.2, **other),
        result("trpc5-ev", 84, 2.4, lot="L2"),
        result("trpc5-ev", 105, 2.2, lot="L2"),
        result("trpc5-ev", 126, 2.3, **tubeless),
        result("trpc5-ev", 140, 12, family="percent-of-ev", unit="%", low=12.0, high=12.0, shown="12 %"),
    ]
    return chart(*found, as_of=140)


def parallel_to_total_ev() -> Chart:
    """A value above the limit that total EV explains."""
    found = [
        result("trpc5-ev", day, value, total_ev=ev)
        for day, value, ev in ((-4, 2.0, 1e10), (42, 2.2, 1.1e10), (77, 5.2, 2.6e10), (105, 5.9, 2.8e10))
    ]
    return chart(*found, as_of=110)


def hostile() -> Chart:
    """Text of a record where it must be inert, and far too long."""
    found = [
        result("trpc5-ev", day, value, shown=HOSTILE * 4, laboratory=HOSTILE * 9, lot=HOSTILE, total_ev=None)
        for day, value in ((-4, 2.0), (42, 2.1))
    ]
    return chart(
        *found,
        as_of=110,
        lines=(Line("cytotoxic-chemotherapy", (HOSTILE * 3, "x" * 5000), START),),
        imaging=(Imaging(START + timedelta(days=50), HOSTILE),),
    )


def wide_range() -> Chart:
    """From below detection to a million times that."""
    found: list[Result] = [
        result("trpc5-ev", -4, 0.001, below=True),
        result("trpc5-ev", 42, 0.5),
        result("trpc5-ev", 84, 900),
    ]
    return chart(*found, as_of=100)


def undated() -> Chart:
    """A result without a day beside one that has it, and a treatment without a start."""
    lost = result("trpc5-ev", 0, 4.0, collected=None, faults=frozenset({"no-collection-date"}))
    line = Line("cytotoxic-chemotherapy", ("paclitaxel",), None, None, "unknown")
    return chart(result("trpc5-ev", 42, 2.1), lost, as_of=50, lines=(line,))


def nothing() -> Chart:
    """Neither results nor treatment."""
    return chart(as_of=0, lines=())


def cases() -> Iterator[tuple[str, Chart]]:
    """All of them by name."""
    for case in (
        five_hundred, long_history, everything_at_once, replicates, two_laboratories_in_turn, parallel_to_total_ev,
        hostile, wide_range, undated, nothing,
    ):  # fmt: skip
        yield case.__name__.replace("_", "-"), case()
