"""The synthetic patients of the evidence (section 6), built by hand, with the states that they are to have.

A `Record` holds all that ever happened to a patient; `Record.chart` is what was known of it on a day. Unless a record says
otherwise the evidence's general assumptions hold: one laboratory, lot and method, all checks stated and clear, a total EV
count of 1.1e10 particles/mL in every sample, results known on the day of collection.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from msgspec.structs import replace

from cds.chart.model import Chart, Diagnosis, Event, Imaging, Line, Method, Operation, Result

TRPC5, HOTAIR, PD_L1, TGF_B1 = "trpc5-ev", "hotair-ev", "pdl1-ev", "tgfb1-ev"
CHEMOTHERAPY, ENDOCRINE, HER2_TARGETED = "cytotoxic-chemotherapy", "endocrine-therapy", "her2-targeted"
ANTI_PD_1, ANTI_PD_L1, CDK4_6 = "anti-pd-1", "anti-pd-l1", "cdk4-6-inhibitor"

CLEAR = {
    **dict.fromkeys(("haemolysis", "residual-platelets", "lipaemia", "dna-control"), True),
    "drug-tolerance": False,
}
FLOW = Method("plasma", "edta", "sec", "flow-cytometry", "cytometer", "clone", "none")
KIT = Method("plasma", "edta", "precipitation", "elisa", "reader", "clone", "none")
PCR = Method("serum", "serum-gel", "precipitation", "rt-qpcr", "cycler", "primers", "gapdh")
ELISA = Method("plasma", "edta", "sec", "elisa", "reader", "clone", "none")

# method, unit family, factor from the figure in the table to the family's unit, LOD in that figure
MEASURED = {
    TRPC5: (FLOW, "particles-per-volume", 1e6, 0.5),
    HOTAIR: (PCR, "relative-expression", 1.0, 0.5),
    PD_L1: (ELISA, "mass-per-volume", 1.0, 10.0),
    TGF_B1: (ELISA, "mass-per-volume", 1.0, 10.0),
    "mir-567-ev": (PCR, "relative-expression", 1.0, 0.5),
}

POSITIVE = Diagnosis(invasive_breast_cancer=True, er=True, pr=True, her2=False)
TRIPLE_NEGATIVE = Diagnosis(invasive_breast_cancer=True, er=False, pr=False, her2=False)
HER2_POSITIVE = Diagnosis(invasive_breast_cancer=True, er=False, pr=False, her2=True)


@dataclass(frozen=True)
class Record:
    """A patient; `expected` holds the state of `marker` as of each day."""

    name: str
    expected: Mapping[str, str]
    results: tuple[Result, ...]
    lines: tuple[Line, ...] = ()
    operations: tuple[Operation, ...] = ()
    events: tuple[Event, ...] = ()
    imaging: tuple[Imaging, ...] = ()
    diagnosis: Diagnosis = TRIPLE_NEGATIVE
    born: date = date(1970, 1, 1)
    markers: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "markers", tuple(dict.fromkeys(result.marker for result in self.results)))

    def chart(self, as_of: date) -> Chart:
        """What is known on that day: ends that lie ahead are open, what has not begun is planned or absent."""
        known = [one for one in self.results if _known(one) <= as_of]
        by_marker = {marker: tuple(one for one in known if one.marker == marker) for marker in self.markers}
        return Chart(
            patient=f"Patient/{self.name}",
            as_of=as_of,
            birth_date=self.born,
            diagnosis=self.diagnosis,
            lines=tuple(
                replace(
                    line,
                    end=line.end if line.end and line.end <= as_of else None,
                    planned=line.start is not None and line.start > as_of,
                )
                for line in self.lines
            ),
            operations=tuple(replace(one, planned=one.day > as_of) for one in self.operations),
            events=tuple(
                replace(one, end=one.end if one.end and one.end <= as_of else None)
                for one in self.events
                if one.start is None or one.start <= as_of
            ),
            imaging=tuple(one for one in self.imaging if one.day <= as_of),
            results={marker: results for marker, results in by_marker.items() if results},
        )


def _known(result: Result) -> date:
    assert result.collected is not None
    return date.fromisoformat(result.known) if result.known else result.collected


def series(marker: str, text: str, total_ev: str = "", **changes: object) -> tuple[Result, ...]:
    """Results from `"2025-01-02: 2.0; 2025-03-31: <0.5"`; `total_ev` in 1e10/mL, one for each, or "-" for none."""
    method, family, factor, lod = MEASURED[marker]
    counts = total_ev.split(",") if "," in total_ev else None
    found = []
    for number, item in enumerate(text.split(";")):
        day, figure = item.strip().split(": ")
        censored = figure.startswith("<")
        value = float(figure.removeprefix("<")) * factor
        low = 0.0 if censored else value
        total = float(counts[number]) * 1e10 if counts else None if total_ev == "-" else 1.1e10
        divided = marker == TRPC5 and total is not None
        result = Result(
            ref=f"Observation/{marker}-{number}",
            marker=marker,
            collected=date.fromisoformat(day),
            low=low,
            high=value,
            family=family,
            lod=lod * factor,
            censored=censored,
            per_ev_low=low / total if divided and total else None,
            per_ev_high=value / total if divided and total else None,
            method=method,
            laboratory="lab-a",
            lot="lot-1",
            checks=CLEAR,
            specimen_id=f"{marker}-{number}",
        )
        found.append(replace(result, **changes))
    return tuple(found)


def delta_ct(text: str) -> tuple[Result, ...]:
    """Exosomal HOTAIR given as delta-Ct, with perfect doubling."""
    method = replace(PCR, efficiency=Decimal("1.00"))
    return tuple(
        replace(one, low=2.0**-cycles, high=2.0**-cycles, family="delta-ct", lod=None, method=method)
        for one in series(HOTAIR, text)
        if one.high is not None
        for cycles in [one.high]
    )


def faulty(results: tuple[Result, ...], fault: str) -> tuple[Result, ...]:
    """The same results with a fault; without a value, unless two values are in conflict."""
    marked = (replace(one, faults=frozenset({fault})) for one in results)
    if fault in ("conflict", "after-as-of"):
        return tuple(marked)
    return tuple(replace(one, low=None, high=None, per_ev_low=None, per_ev_high=None) for one in marked)


def line(therapy: str, start: str, end: str = "", neoadjuvant: bool = False) -> Line:
    return Line(
        therapy, (), date.fromisoformat(start), date.fromisoformat(end) if end else None, neoadjuvant=neoadjuvant
    )


def operation(day: str) -> Operation:
    return Operation(date.fromisoformat(day), curative=True)


def imaging(day: str, response: str) -> Imaging:
    return Imaging(date.fromisoformat(day), response)


def event(kind: str, start: str, end: str = "") -> Event:
    return Event(kind, date.fromisoformat(start), date.fromisoformat(end) if end else None)


def states(text: str) -> dict[str, str]:
    """`"2025-03-24 2025-04-21: watch"` and more of these after commas, as day to state."""
    found = {}
    for part in text.split(","):
        days, state = part.split(":")
        found.update(dict.fromkeys(days.split(), state.strip()))
    return found


_CORRECTED = "2025-01-02: 2.0; 2025-03-31: 5.5"
_PACLITAXEL = (line(CHEMOTHERAPY, "2025-01-06"),)
_TAMOXIFEN = (line(ENDOCRINE, "2024-06-03"),)
_PEMBROLIZUMAB = (line(ANTI_PD_1, "2025-01-06"),)

RECORDS = (
    Record(
        "A01",
        states("2025-02-17: no-flag, 2025-03-24: watch, 2025-04-21: suspected"),
        series(
            TRPC5,
            "2024-12-20: 1.8; 2025-01-02: 2.0; 2025-02-17: 2.1; 2025-03-24: 5.6; 2025-04-21: 6.3",
            "1.1,1.0,1.2,1.1,1.2",
        ),
        _PACLITAXEL,
    ),
    Record(
        "A02",
        states("2025-03-24: no-flag, 2025-04-21: watch, 2025-05-12 2025-06-09: no-flag"),
        series(TRPC5, "2025-01-28: 2.0; 2025-03-24: 2.1; 2025-04-21: 5.9; 2025-05-12: 2.2; 2025-06-09: 2.0"),
        (line(CHEMOTHERAPY, "2025-02-03"),),
        diagnosis=POSITIVE,
    ),
    Record(
        "A03",
        states("2025-03-18 2025-04-02: hold, 2025-05-05: no-flag"),
        series(TRPC5, "2025-02-24: 2.0; 2025-03-18: 5.0; 2025-04-02: 4.9; 2025-05-05: 2.2"),
        (line(CHEMOTHERAPY, "2025-03-03", neoadjuvant=True),),
    ),
    Record(
        "A05",
        states("2025-03-03 2025-03-31 2025-04-28 2025-05-26: no-flag"),
        series(TRPC5, "2025-01-02: 2.0; 2025-03-03: 2.4; 2025-03-31: 2.9; 2025-04-28: 3.3; 2025-05-26: 3.6"),
        _PACLITAXEL,
        diagnosis=POSITIVE,
    ),
    Record(
        "A06",
        states("2025-04-14 2025-05-12: not-evaluable"),
        series(TRPC5, "2025-02-05: 2.0") + series(TRPC5, "2025-04-14: 8.1; 2025-05-12: 8.4", method=KIT),
        (line(CHEMOTHERAPY, "2025-02-10"),),
    ),
    Record(
        "A08",
        states("2025-04-17: watch, 2025-05-15: persistent"),
        series(HOTAIR, "2025-01-08: 8.4; 2025-04-17: 7.1; 2025-05-15: 7.6"),
        (line(ENDOCRINE, "2025-03-01"),),
        (operation("2025-01-15"),),
        diagnosis=POSITIVE,
    ),
    Record(
        "A09",
        states("2025-05-06: no-flag"),
        series(HOTAIR, "2025-01-29: 8.4; 2025-05-06: 1.6"),
        operations=(operation("2025-02-03"),),
        diagnosis=POSITIVE,
    ),
    Record(
        "A11",
        states("2025-04-14: watch, 2025-05-12: suspected"),
        series(HOTAIR, "2024-01-05: 9.0; 2024-04-12: 1.5; 2024-10-14: 1.7; 2025-04-14: 5.4; 2025-05-12: 6.1"),
        (line(ENDOCRINE, "2024-03-01"),),
        (operation("2024-01-10"),),
        diagnosis=POSITIVE,
    ),
    Record(
        "A13",
        states("2025-03-10: watch, 2025-04-07: suspected"),
        delta_ct("2024-09-09: 9.1; 2025-03-10: 6.9; 2025-04-07: 6.7"),
        _TAMOXIFEN,
        diagnosis=POSITIVE,
    ),
    Record(
        "A16",
        states("2025-02-03 2025-02-17 2025-03-10: no-flag"),
        series(PD_L1, "2024-12-30: 120; 2025-02-03: 340; 2025-02-17: 300; 2025-03-10: 130"),
        _PEMBROLIZUMAB + _PACLITAXEL,
        imaging=(imaging("2025-03-10", "PR"),),
    ),
    Record(
        "A17",
        states("2025-03-03 2025-03-31 2025-04-07: not-evaluable"),
        series(PD_L1, "2025-01-28: 100; 2025-03-03: 420; 2025-03-31: 510"),
        (line(ANTI_PD_L1, "2025-02-03"), line(CHEMOTHERAPY, "2025-02-03")),
        imaging=(imaging("2025-04-07", "PR"),),
    ),
    Record(
        "A18",
        states("2025-02-03: no-flag, 2025-03-17: watch, 2025-04-07: suspected"),
        series(PD_L1, "2024-12-30: 100; 2025-02-03: 110; 2025-03-17: 262; 2025-04-07: 305"),
        _PEMBROLIZUMAB,
        imaging=(imaging("2025-03-17", "iUPD"),),
    ),
    Record(
        "A20",
        states("2025-03-10: no-flag, 2025-04-07: discordant"),
        series(PD_L1, "2025-01-02: 60; 2025-03-10: 45; 2025-04-07: 40"),
        _PEMBROLIZUMAB,
        imaging=(imaging("2025-04-07", "PD"),),
    ),
    Record(
        "A21",
        states("2025-03-03: watch, 2025-03-31: suspected"),
        series(TGF_B1, "2024-10-28: 220; 2025-03-03: 560; 2025-03-31: 640")
        + series(PD_L1, "2024-10-28: 80; 2025-03-03: 190; 2025-03-31: 215"),
        (line(HER2_TARGETED, "2024-11-04"),),
        diagnosis=HER2_POSITIVE,
    ),
    Record(
        "A23b",
        states("2025-03-31: watch, 2025-04-28: suspected"),
        series(TRPC5, "2025-01-08: <0.5; 2025-03-31: 2.4; 2025-04-28: 2.8"),
        (line(CHEMOTHERAPY, "2025-01-13"),),
    ),
    Record(
        "A24",
        states("2025-04-08: no-flag"),
        series(HOTAIR, "2025-01-08: <0.5; 2025-04-08: <0.5"),
        _TAMOXIFEN,
        diagnosis=POSITIVE,
    ),
    Record(
        "A26",
        states("2025-04-07 2025-05-05: not-evaluable"),
        series(TRPC5, "2025-04-07: 6.0; 2025-05-05: 6.4"),
        (line(CHEMOTHERAPY, "2024-11-04"),),
    ),
    Record(
        "A28",  # the second copy is merged when the chart is read
        states("2025-04-07: watch"),
        series(TRPC5, "2025-01-02: 2.0") + series(TRPC5, "2025-04-07: 5.4", also=("Observation/copy",)),
        _PACLITAXEL,
    ),
    Record(
        "A29 before",
        states("2025-03-31: watch, 2025-04-28 2025-05-01: suspected"),
        series(TRPC5, f"{_CORRECTED}; 2025-04-28: 6.2"),
        _PACLITAXEL,
    ),
    Record(
        "A29 corrected",
        states("2025-05-02: no-flag"),
        series(TRPC5, _CORRECTED) + series(TRPC5, "2025-04-28: 2.6", status="corrected", known="2025-05-02"),
        _PACLITAXEL,
    ),
    Record(
        "A30 before",
        states("2025-03-31: watch, 2025-04-28 2025-04-29: suspected"),
        series(TRPC5, f"{_CORRECTED}; 2025-04-28: 6.0"),
        _PACLITAXEL,
    ),
    Record("A30 in error", states("2025-04-30: watch"), series(TRPC5, _CORRECTED), _PACLITAXEL),
    Record(
        "A32a",  # 0.12 and 0.31 ng/mL are converted when the chart is read
        states("2025-02-03: no-flag, 2025-03-24: watch, 2025-04-14: suspected"),
        series(PD_L1, "2024-12-30: 120; 2025-02-03: 118; 2025-03-24: 300; 2025-04-14: 310"),
        _PEMBROLIZUMAB,
    ),
    Record(
        "A34",
        states("2025-04-21 2025-05-19: not-evaluable"),
        series(TRPC5, "2025-02-05: 2.0; 2025-04-21: 6.0; 2025-05-19: 6.6"),
        (line(CHEMOTHERAPY, "2025-02-10"),),
        events=(event("pregnancy", "2024-11-04"),),
    ),
    Record(
        "A35",
        states("2025-04-07: hold, 2025-05-05: no-flag"),
        series(PD_L1, "2025-01-02: 100; 2025-04-07: 410; 2025-05-05: 120"),
        _PEMBROLIZUMAB + _PACLITAXEL,
        events=(event("infection", "2025-04-02", "2025-04-09"),),
    ),
    Record(
        "A36",
        states("2025-04-07: not-evaluable"),
        series(HOTAIR, "2024-09-09: 1.5") + series(HOTAIR, "2025-04-07: 7.0", checks={**CLEAR, "haemolysis": False}),
        _TAMOXIFEN,
        diagnosis=POSITIVE,
    ),
    Record(
        "A39",
        states("2025-04-07 2025-05-05: not-applicable"),
        series(TRPC5, "2024-06-03: 2.0; 2025-04-07: 5.5; 2025-05-05: 5.9"),
        (line(CHEMOTHERAPY, "2024-06-10", "2024-11-18", neoadjuvant=True),),
        (operation("2024-12-16"),),
    ),
    Record(
        "A40",
        states("2025-04-07 2025-05-05: not-applicable"),
        series(TRPC5, "2024-10-01: 2.0; 2025-04-07: 5.5; 2025-05-05: 5.8"),
        (line(ENDOCRINE, "2024-10-07"), line(CDK4_6, "2024-10-07")),
        diagnosis=POSITIVE,
    ),
    Record(
        "A43",
        states("2025-04-07: data-quality"),
        series(TRPC5, "2025-01-02: 2.0")
        + faulty(series(TRPC5, "2025-04-07: 5.6"), "conflict")
        + faulty(series(TRPC5, "2025-04-07: 2.1", laboratory="lab-b"), "conflict"),
        _PACLITAXEL,
    ),
    Record(
        "A45",
        states("2025-04-07: data-quality"),
        faulty(series(TRPC5, "2025-01-02: 0", lod=None), "zero-without-lod")
        + series(TRPC5, "2025-04-07: 3.0", lod=None),
        _PACLITAXEL,
    ),
    Record(
        "A46",
        states("2025-04-08: data-quality"),
        series(TRPC5, "2025-01-02: 2.0") + faulty(series(TRPC5, "2099-04-07: 5.4", known="2025-04-08"), "after-as-of"),
        _PACLITAXEL,
    ),
    Record(
        "A48",
        states("2025-03-03: out-of-scope"),
        series(HOTAIR, "2025-03-03: 9.0"),
        diagnosis=Diagnosis(invasive_breast_cancer=False),
    ),
    Record(
        "A50",
        states("2025-03-31 2025-04-28: watch"),
        series(TRPC5, "2025-01-02: 2.0; 2025-03-31: 5.4; 2025-04-28: 5.6", "-"),
        _PACLITAXEL,
    ),
)

RETRACTED = Record(
    "A47",
    {},
    series("mir-567-ev", "2024-10-28: 1.0; 2025-03-03: 0.2"),
    (line(HER2_TARGETED, "2024-11-04"),),
    diagnosis=HER2_POSITIVE,
)
