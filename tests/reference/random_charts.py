"""Random charts, built to meet every state of every rule often: mostly well-formed patients, on and around every edge.

    chart = random_chart(random.Random(seed))

Dates lie on and beside the bounds of the rules' windows, values on and beside their thresholds; about every fourth chart
carries a flaw (a fault, a missing check, a changed method, an undocumented start ...).
"""

from __future__ import annotations

import random
from datetime import date, time, timedelta

from msgspec.structs import replace

from cds.chart.model import Chart, Diagnosis, Event, Imaging, Line, Operation, Result, Side, Unrecognised
from tests.reference.random_results import random_results, random_shape

CHEMOTHERAPY, ENDOCRINE, HER2 = "cytotoxic-chemotherapy", "endocrine-therapy", "her2-targeted"
PD_1, PD_L1, CDK, OTHER = "anti-pd-1", "anti-pd-l1", "cdk4-6-inhibitor", "other-anticancer"
DRUGS = {
    CHEMOTHERAPY: ("paclitaxel",),
    ENDOCRINE: ("tamoxifen",),
    HER2: ("trastuzumab",),
    PD_1: ("pembrolizumab",),
    PD_L1: ("atezolizumab",),
    CDK: ("ribociclib",),
    OTHER: ("olaparib",),
}
CLASSES = tuple(DRUGS)

EPOCH = date(2024, 1, 1)
DAY = tuple(timedelta(days) for days in range(4000))
DOSE = time(10, 0)

# What patients are about: the classes of the first lines, the markers, and how often.
STORIES: tuple[tuple[int, tuple[str, ...], tuple[str, ...]], ...] = (
    (22, (CHEMOTHERAPY,), ("trpc5-ev",)),
    (6, (CHEMOTHERAPY,), ("trpc5-ev", "hotair-ev", "pdl1-ev")),
    (8, (CHEMOTHERAPY,), ("hotair-ev",)),
    (15, (ENDOCRINE,), ("hotair-ev",)),
    (13, (), ("hotair-ev",)),
    (17, (PD_1,), ("pdl1-ev",)),
    (5, (PD_L1,), ("pdl1-ev",)),
    (4, (PD_1, CHEMOTHERAPY), ("trpc5-ev", "pdl1-ev")),
    (18, (HER2,), ("pdl1-ev", "tgfb1-ev")),
    (3, (HER2, CHEMOTHERAPY), ("tgfb1-ev",)),
    (2, (HER2, ENDOCRINE), ("trpc5-ev", "hotair-ev", "pdl1-ev", "tgfb1-ev")),
    (2, (CDK, ENDOCRINE), ("trpc5-ev", "hotair-ev", "mir-567-ev")),
)
WEIGHTS = tuple(story[0] for story in STORIES)

EDGES = (
    *(0, 1, 7, 13, 14, 15, 21, 27, 28, 29, 35, 41, 42, 43, 48, 49, 50, 51, 54, 55, 56, 57, 59, 60, 61, 63, 70, 73, 74),
    *(75, 76, 84, 88, 89, 90, 91, 98, 104, 105, 112, 119, 120, 121, 122, 134, 140, 146, 162, 175, 176, 177, 200),
)
GAPS = (7, 13, 14, 15, 20, 21, 22, 27, 28, 28, 28, 29, 35, 42, 42, 49, 55, 56, 57, 70)
BEFORE = (-44, -43, -42, -42, -41, -30, -28, -21, -14, -14, -7, -7, -7, -5, -4, -3, -2, -1, -1, 0)
DISTANCES = (0, 1, 12, 13, 14, 19, 20, 21, 26, 27, 28, 40, 41, 42, 43, 89, 90, 91, 134, 135, 136)
RESPONSES = ("CR", "PR", "PR", "SD", "PD", "NE", "iCR", "iPR", "iSD", "iUPD", "iCPD", "PD")
APART = (0, 1, 14, 27, 28, 42, 60, 75, 119, 120, 121, 200)
LATER = (1, 5, 14, 28, 30, 42, 43, 60, 150)


def random_chart(rng: random.Random) -> Chart:
    """One chart. Equal states of `rng` give equal charts."""
    _, classes, markers = rng.choices(STORIES, WEIGHTS)[0]
    day_zero = EPOCH + DAY[rng.randrange(600)]
    offsets = _schedule(rng, surgical=not classes)
    days = [day_zero + timedelta(offset) for offset in offsets]
    last = days[-1]
    as_of = last if rng.random() < 0.6 else last + DAY[rng.choice(LATER)]
    lines = _lines(rng, classes, day_zero, days, as_of)
    operations = _operations(rng, classes, markers, day_zero, days, as_of)
    shape = random_shape(rng, offsets)
    results = {}
    for marker in markers:
        own = shape if rng.random() < 0.7 else random_shape(rng, offsets)
        results[marker] = random_results(rng, marker, days, offsets, own, as_of)
    born = _birth(rng, as_of)
    if of_a_year := born is not None and rng.random() < 0.03:
        born = born.replace(month=12, day=31)
    return Chart(
        patient="Patient/random",
        as_of=as_of,
        unrecognised=_unrecognised(rng, day_zero, days, as_of),
        birth_date=born,
        born_from=born.replace(month=1, day=1) if of_a_year and born is not None else None,
        sex="female",
        diagnosis=_diagnosis(rng, classes, surgical=not classes),
        lines=lines,
        operations=operations,
        events=_events(rng, days),
        undated_resection=rng.random() < 0.01,
        imaging=_imaging(rng, days, as_of),
        results=results,
    )


def _schedule(rng: random.Random, surgical: bool) -> list[int]:
    offsets = set(rng.choices(BEFORE, k=rng.choices((0, 1, 2, 3), (8, 62, 20, 10))[0]))
    for _ in range(rng.choices((0, 1), (85, 15))[0]):
        offsets.add(rng.choice((0, 3, 7, 13, 14, 15)))
    day = rng.choice((28, 42, 74, 75, 76, 89, 90, 120)) if surgical else rng.choice(EDGES)
    for _ in range(rng.choices((0, 1, 2, 3, 4, 5), (5, 20, 28, 25, 15, 7))[0]):
        offsets.add(day)
        day = day + rng.choice(GAPS) if rng.random() < 0.8 else max(day + 1, rng.choice(EDGES))
    return sorted(offsets) or [rng.choice(EDGES)]


def _lines(
    rng: random.Random, classes: tuple[str, ...], day_zero: date, days: list[date], as_of: date
) -> tuple[Line, ...]:
    lines = [_line(rng, therapy, day_zero, days, as_of) for therapy in classes]
    if not classes and rng.random() < 0.5:
        lines.append(_line(rng, ENDOCRINE, day_zero + DAY[rng.choice((14, 45, 60, 90))], days, as_of))
    last = days[-1]
    if rng.random() < 0.3:  # another line some time, often a replacement after the latest sample
        therapy = classes[0] if classes and rng.random() < 0.5 else rng.choice(CLASSES)
        kind = rng.random()
        if kind < 0.35:
            start = last + DAY[rng.choice((1, 7, 30, 41, 42, 43, 60))]
        elif kind < 0.5:
            start = last - DAY[rng.choice((0, 1, 14, 42, 60))]
        else:
            start = day_zero + timedelta(rng.choice((-300, -200, -120, -60, -1, 0, 7, 42, 60, 90)))
        lines.append(_line(rng, therapy, start, days, as_of))
    lines.sort(key=lambda line: line.start or date.min)
    return tuple(lines)


def _line(rng: random.Random, therapy: str, start: date, days: list[date], as_of: date) -> Line:
    end: date | None = None
    extent = "known"
    planned = start > as_of
    known_start: date | None = start
    if not planned:
        if rng.random() < 0.22:
            end = rng.choice(days) - DAY[rng.choice(DISTANCES)] if rng.random() < 0.8 else as_of
            end = max(start, min(end, as_of))
        else:
            kind = rng.random()
            extent = "unknown" if kind < 0.03 else "assumed-ongoing" if kind < 0.25 else "known"
        if rng.random() < 0.025:
            known_start = None
        elif rng.random() < 0.01:
            planned, end = True, None
    return Line(
        therapy=therapy,
        drugs=DRUGS.get(therapy, ("x",)),
        start=known_start,
        end=end,
        extent=extent,
        planned=planned,
        first_dose=DOSE if not planned and known_start is not None and rng.random() < 0.6 else None,
        neoadjuvant=rng.choices((True, False, None), (55, 33, 12))[0] if therapy == CHEMOTHERAPY else None,
        refs=(f"MedicationStatement/{therapy}",),
    )


def _unrecognised(rng: random.Random, day_zero: date, days: list[date], as_of: date) -> tuple[Unrecognised, ...]:
    if rng.random() >= 0.08:
        return ()
    start = rng.choice((day_zero - DAY[200], day_zero, day_zero + DAY[42], days[-1] - DAY[1], days[-1] + DAY[1]))
    may_be: tuple[str, ...] = rng.choice(((), (), (PD_1, PD_L1), (CHEMOTHERAPY,), (ENDOCRINE,), (HER2, OTHER)))
    return (Unrecognised(_line(rng, "", start, days, as_of), may_be, rng.random() < 0.7),)


def _operations(
    rng: random.Random,
    classes: tuple[str, ...],
    markers: tuple[str, ...],
    day_zero: date,
    days: list[date],
    as_of: date,
) -> tuple[Operation, ...]:
    found = []
    surgical = not classes
    if surgical and rng.random() < 0.96:
        found.append(Operation(day_zero, curative=rng.random() < 0.95, planned=day_zero > as_of, side=_side(rng)))
    elif "hotair-ev" in markers and rng.random() < 0.4:
        found.append(Operation(day_zero + timedelta(rng.choice((-150, -75, -51, -42, -28, 60, 120))), curative=True))
    if rng.random() < 0.08:
        day = rng.choice(days) + timedelta(rng.choice((-28, -27, -14, -1, 0, 1, 30, 42, 43)))
        found.append(Operation(day, rng.choices((True, False, None), (30, 55, 15))[0], side=_side(rng)))
    if found and rng.random() < (0.25 if surgical else 0.1):  # a further resection, or one that was before
        day = found[0].day + timedelta(rng.choice((*APART, *APART, -14, -119, -120, -121, -400)))
        found.append(Operation(day, rng.choices((True, False, None), (45, 15, 40))[0], side=_side(rng)))
    return tuple(
        sorted((replace(one, planned=one.planned or one.day > as_of) for one in found), key=lambda one: one.day)
    )


def _side(rng: random.Random) -> Side | None:
    return rng.choices(("left", "right", "both", None), (25, 20, 5, 50))[0]


def _events(rng: random.Random, days: list[date]) -> tuple[Event, ...]:
    if rng.random() >= 0.16:
        return ()
    kind = rng.choice((
        *("infection", "infection", "radiotherapy", "radiotherapy", "transfusion", "pregnancy", "lactation", "g-csf"),
        *("operation-of-uncertain-day", "operation-of-uncertain-day"),
    ))  # fmt: skip
    end: date | None = rng.choice(days) - DAY[rng.choice(DISTANCES)]
    assert end is not None
    start: date | None = end - DAY[rng.choice((0, 1, 7, 28)) if kind != "pregnancy" else 270]
    if kind == "transfusion" and rng.random() < 0.7:
        start, end = end, None
    elif rng.random() < 0.08:
        end = None
    elif rng.random() < 0.08:
        start = None
    curative = rng.choice((True, True, False, None)) if kind == "operation-of-uncertain-day" else None
    return (Event(kind, start, end, curative=curative),)


def _imaging(rng: random.Random, days: list[date], as_of: date) -> tuple[Imaging, ...]:
    if rng.random() < 0.6:
        return ()
    found = []
    for _ in range(rng.choices((1, 2, 3), (70, 20, 10))[0]):
        near = days[-1] if rng.random() < 0.6 else rng.choice(days)
        day = near + timedelta(rng.choice((-29, -28, -27, -14, -7, 0, 0, 7, 28, 29)))
        if day <= as_of:
            found.append(Imaging(day, rng.choice(RESPONSES)))
    return tuple(sorted(found, key=lambda one: one.day))


def _diagnosis(rng: random.Random, classes: tuple[str, ...], surgical: bool) -> Diagnosis:
    invasive = rng.choices((True, False, None), (975, 12, 13))[0]
    metastatic = rng.choices((True, False, None), (4, 60, 36) if surgical else (50, 30, 20))[0]
    if ENDOCRINE in classes or surgical:
        er, pr = rng.choices(
            ((True, None), (True, True), (False, True), (False, False), (None, False)), (40, 40, 10, 5, 5)
        )[0]
    else:
        er, pr = rng.choice(((True, True), (False, False), (None, None)))
    her2 = rng.choices((True, False, None), (92, 4, 4) if HER2 in classes else (20, 60, 20))[0]
    side: Side | None = rng.choices(("left", "right", "both", None), (20, 10, 12, 58))[0]
    suspected: Side | None = rng.choices(("left", "right", "both", None), (6, 4, 2, 88))[0]
    other = rng.random() < 0.02
    return Diagnosis(invasive, metastatic, other, er, pr, her2, side=side, suspected_side=suspected)


def _birth(rng: random.Random, as_of: date) -> date | None:
    kind = rng.random()
    if kind < 0.01:
        return None
    if kind < 0.03:  # around the eighteenth birthday
        return as_of.replace(year=as_of.year - 18, day=min(as_of.day, 28)) + timedelta(rng.choice((-1, 0, 1, 900)))
    return as_of - DAY[0] - timedelta(rng.randrange(7500, 30000))


def scaled(result: Result, factor: float) -> Result:
    """A result with all its values and limits multiplied, its total EV count too; a share of all vesicles stays what it is."""
    if result.unit == "%":
        return result

    def times(value: float | None) -> float | None:
        return None if value is None else value * factor

    return replace(
        result,
        low=times(result.low),
        high=times(result.high),
        lod=times(result.lod),
    )
