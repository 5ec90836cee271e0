"""Synthetic patients with known truth: the same bytes for the same seed, on any machine, with any number of workers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from cds.workbench.synth.chance import Chance
from cds.workbench.synth.courses import Course, draw_course
from cds.workbench.synth.design import USUAL, Design
from cds.workbench.synth.fate import draw_fate
from cds.workbench.synth.fhir_output import to_bundle
from cds.workbench.synth.names import invented
from cds.workbench.synth.noise import read_out, rounded
from cds.workbench.synth.person import Disturbance, Imaging, Measurement, Operation, Person, Therapy, Version
from cds.workbench.synth.reporting import Report, report
from cds.workbench.synth.scenarios import Drug, Measured, Scenario, scenarios

REFERENCE_DATE = date(2026, 6, 30)
"""Stands for today: every cohort ends before it, whenever it is made."""

_MONTH = 30.4375  # days
_LONGEST = 3650  # days; beyond as many visits as fit into it, visits lie closer together
_RISEN = 3.0  # no marker's reference change is larger, so a true level this high is one that a rule can see
_CONFIRMING = range(14, 57)  # days between two samples that confirm each other


@dataclass(frozen=True, slots=True)
class SynthPatient:
    """A patient's record as a FHIR R4 Bundle (plain JSON types), and what is true of the patient."""

    bundle: dict[str, Any]
    truth: dict[str, Any]


def make_patient(seed: int, index: int, visits: int | None = None, design: Design = USUAL) -> SynthPatient:
    """Patient number `index` (from 0) of the cohort `seed`.

    `visits` sets the number of samples drawn on treatment; by default the design's months, or three to five visits.
    """
    person, truth = make_person(seed, index, visits, design)
    return SynthPatient(to_bundle(person), truth)


def make_person(
    seed: int, index: int, visits: int | None = None, design: Design = USUAL
) -> tuple[Person, dict[str, Any]]:
    """The same patient before it is written as FHIR, and what is true of them."""
    chance = Chance(seed, index, "life")
    scenario = chance.weighted(scenarios(design.subtypes))
    count = chance.integer(3, 5)
    if visits is None and design.months is not None:
        visits = max(1, int(design.months * _MONTH - scenario.first_visit) // scenario.interval + 1)
    count = count if visits is None else visits
    interval = min(scenario.interval, max(1, _LONGEST // max(count, 1)))
    horizon = scenario.first_visit + interval * count
    start = REFERENCE_DATE - timedelta(days=horizon + chance.integer(20, 200))
    name = f"s{seed}-{index + 1:06d}"
    course = _course(scenario, Chance(seed, index, "course"), horizon, design.resistant)
    progression, imaging = _imaging(scenario, course, start, horizon, Chance(seed, index, "imaging"))
    days = _visits(scenario, course, count, interval, Chance(seed, index, "visits"), design.jitter)
    fate = draw_fate(design, name, start, horizon, Chance(seed, index, "fate"))
    days = [day for day in days if fate.comes(start + timedelta(days=day))]
    imaging = tuple(scan for scan in imaging if fate.comes(scan.day))
    if not any(scan.day == progression for scan in imaging):
        progression = None
    clean = _measure(name, scenario, course, start, days, Chance(seed, index, "laboratory"))
    reported = report(clean, start, Chance(seed, index, "reporting"), design)
    therapies = _therapies(
        scenario, start, start + timedelta(days=horizon), progression, Chance(seed, index, "therapy")
    )
    given, family, number = invented(seed, index)
    person = Person(
        id=name,
        given=given,
        family=family,
        number=number,
        born=date(start.year - chance.integer(36, 78), chance.integer(1, 12), chance.integer(1, 28)),
        diagnosed=start - timedelta(days=chance.integer(75, 400)),
        metastasis=chance.choice(("liver", "bone")) if scenario.metastatic else None,
        receptors=scenario.receptors,
        measurements=tuple(reported.measurements),
        therapies=therapies,
        operations=() if scenario.operation is None else (Operation(start + timedelta(days=scenario.operation)),),
        disturbances=_disturbances(course, start, Chance(seed, index, "events")),
        imaging=imaging,
    )
    truth = _truth(seed, index, person, scenario, course, start, days, progression, reported)
    return fate.befalls(person, truth), truth


def file_name(index: int) -> str:
    """Of patient number `index`, as truth.jsonl calls it."""
    return f"patient-{index + 1:06d}.json"


def _course(scenario: Scenario, chance: Chance, horizon: int, resistant: float | None) -> Course:
    if scenario.operation != 0:
        return draw_course(chance, horizon, resistant)
    # After an operation the marker falls, or its source has stayed behind: neither is resistance.
    left = chance.happens(0.3)
    remains = 1.0 if left else round(chance.uniform(0.05, 0.2), 2)
    name = "source-remains" if left else "cleared"
    return Course(name, False, lambda day: 1.0 if day <= 0 else remains, None, {"remains": remains})


def _visits(
    scenario: Scenario, course: Course, count: int, interval: int, chance: Chance, jitter: int | None
) -> list[int]:
    """Days of the line on which blood is drawn; one or two of them before it."""
    jitter = min(4 if jitter is None else jitter, (interval - 1) // 2)
    before = [-chance.integer(2, 14)]
    if chance.happens(0.3):
        before.insert(0, before[0] - chance.integer(5, 20))
    after = [
        day
        for number in range(count)
        if (day := scenario.first_visit + interval * number + chance.integer(-jitter, jitter)) is not None
        and not (course.gap is not None and course.gap[0] <= day <= course.gap[1])
    ]
    return before + after


def _measure(
    name: str, scenario: Scenario, course: Course, start: date, days: list[int], chance: Chance
) -> list[tuple[Measurement, Measured]]:
    usual = [
        measured.level * chance.factor(0.4) * (0.2 if chance.happens(0.06) else 1.0) for measured in scenario.markers
    ]
    lot, shift = 1, 1.0
    bridging = "stated"
    measurements: list[tuple[Measurement, Measured]] = []
    for visit, day in enumerate(days, 1):
        noise = scenario.markers[0].noise
        if visit > 1 and chance.happens(noise.lot_change) and lot < 3:
            lot, shift = lot + 1, shift * chance.factor(noise.lot_shift)
            bridging = "stated" if chance.happens(0.8) else "not-stated"
        haemolysed = chance.happens(noise.haemolysis)
        changed = course.assay_change is not None and day >= course.assay_change
        stated: dict[str, str] = {}
        if changed:
            stated |= {"isolation": "precipitation", "bridging": "not-stated"}
        if lot > 1:
            stated |= {"reagent-lot": str(lot), "bridging": "not-stated" if changed else bridging}
        if haemolysed:
            stated["haemolysis"] = "present"
        drawn = start + timedelta(days=day)
        hour, minute = chance.integer(7, 14), chance.integer(0, 59)
        reported = drawn + timedelta(days=chance.integer(1, 3))
        for number, measured in enumerate(scenario.markers):
            factor = shift * (course.assay_factor if changed else 1.0) * (1.6 if haemolysed else 1.0)
            limit = measured.assay.limit or Decimal(0)
            reading = read_out(usual[number] * course.level(day) * factor, limit, measured.noise, chance)
            total = rounded(11.0 * chance.factor(0.12)) if measured.with_total_ev else None
            suffix = "" if len(scenario.markers) == 1 else "ab"[number]
            result = Measurement(
                id=f"{name}-o{visit}{suffix}",
                specimen_id=f"{name}-s{visit}",
                collected=f"{drawn.isoformat()}T{hour:02d}:{minute:02d}:00Z",
                assay=measured.assay,
                versions=(
                    Version(
                        f"{reported.isoformat()}T15:00:00Z",
                        value=reading.value,
                        comparator="<" if reading.below_limit else None,
                    ),
                ),
                total_ev=total,
                unit=measured.assay.unit,
                stated=stated,
            )
            measurements.append((result, measured))
    return measurements


def _imaging(
    scenario: Scenario, course: Course, start: date, horizon: int, chance: Chance
) -> tuple[date | None, tuple[Imaging, ...]]:
    """Scans every twelve weeks. Progression shows a drawn lead time after the onset: mostly later, at times before."""
    if scenario.operation is not None:
        return None, ()
    lead = chance.integer(-14, 140)
    seen = None if not course.resistant or course.onset is None else course.onset + lead
    immune = scenario.regimens[0][0].name in ("pembrolizumab", "atezolizumab")
    scans: list[Imaging] = []
    progression: date | None = None
    every = max(84, horizon // 6)
    for day in range(every, horizon + 1, every):
        when = start + timedelta(days=day + chance.integer(-5, 5))
        if seen is not None and day >= seen:
            response = ("iCPD" if progression else "iUPD") if immune else "PD"
            progression = progression or when
        elif course.name in ("decline", "response-then-escape"):
            response = "iPR" if immune else "PR"
        else:
            response = "iSD" if immune else "SD"
        scans.append(Imaging(when, response))
    return progression, tuple(scans)


def _therapies(
    scenario: Scenario, start: date, end: date, progression: date | None, chance: Chance
) -> tuple[Therapy, ...]:
    """The line; after progression, for most, another one."""
    regimen = chance.choice(scenario.regimens)
    switched = progression is not None and chance.happens(0.7)
    last = min(end, progression + timedelta(days=chance.integer(3, 10))) if switched and progression else None
    given = [_given(drug, start, last, end, chance) for drug in regimen]
    if switched and last is not None and (following := last + timedelta(days=chance.integer(7, 21))) <= end:
        given += [_given(drug, following, None, end, chance) for drug in scenario.next_line]
    return tuple(given)


def _given(drug: Drug, start: date, last: date | None, end: date, chance: Chance) -> Therapy:
    if not drug.every:
        return Therapy(drug.name, start, last, ordered=drug.ordered)
    doses = [start]
    while (following := doses[-1] + timedelta(days=drug.every)) <= (last or end):
        # Low blood counts put a dose off for a week.
        doses.append(following + timedelta(days=7 if chance.happens(0.05) else 0))
    return Therapy(drug.name, start, last, doses=tuple(doses))


def _disturbances(course: Course, start: date, chance: Chance) -> tuple[Disturbance, ...]:
    """What made a spike, if it was written down at all."""
    if course.spike is None or chance.happens(0.3):
        return ()
    first, last = (start + timedelta(days=day) for day in course.spike)
    if chance.happens(0.3):
        return (Disturbance("transfusion", first, first),)
    return (Disturbance("infection", first, last),)


def _truth(
    seed: int,
    index: int,
    person: Person,
    scenario: Scenario,
    course: Course,
    start: date,
    days: list[int],
    progression: date | None,
    reported: Report,
) -> dict[str, Any]:
    onset = start + timedelta(days=course.onset) if course.resistant and course.onset is not None else None
    ended = min((therapy.end for therapy in person.therapies if therapy.end), default=REFERENCE_DATE)
    above = [
        day
        for day in days
        if course.resistant and day >= 60 and course.level(day) >= _RISEN and start + timedelta(days=day) <= ended
    ]
    confirmed = next((day for day in above if any(day - other in _CONFIRMING for other in above)), None)
    return {
        "patient": person.id,
        "file": file_name(index),
        "seed": seed,
        "index": index,
        "scenario": scenario.name,
        "markers": [measured.assay.code for measured in scenario.markers],
        "line_start": start.isoformat(),
        "course": course.name,
        "parameters": dict(course.parameters),
        "resistant": course.resistant,
        "onset": onset.isoformat() if onset else None,
        "first_risen": (start + timedelta(days=above[0])).isoformat() if above else None,
        "confirmed": (start + timedelta(days=confirmed)).isoformat() if confirmed else None,
        "progression": progression.isoformat() if progression else None,
        "lead_days": (progression - onset).days if progression and onset else None,
        "rule": scenario.rule,
        "can_flag": scenario.can_flag,
        "should_flag": scenario.can_flag and confirmed is not None,
        "faults": [{"kind": fault.kind, "result": fault.result} for fault in reported.faults],
    }
