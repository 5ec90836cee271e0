"""Therapy lines: which drug classes a patient was given, from when to when, as known at a moment.

Administrations say more than statements, statements more than requests. Doses of one drug become a course, courses of one
class a line; what the record leaves open stays open and is marked so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from pathlib import Path
from typing import Any

from cds.chart.clock import Item, Known, Moment, When, when
from cds.chart.model import Diagnosis, Imaging, LeftOut, Line, Operation, Tri
from cds.errors import Problem
from cds.source import Section, read_yaml

RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
ATC = "http://www.whocc.no/atc"
SNOMED = "http://snomed.info/sct"

_RANK = {"MedicationAdministration": 0, "Procedure": 1, "MedicationStatement": 2, "MedicationRequest": 3}
_NOT_GIVEN = frozenset({"entered-in-error", "not-done", "not-taken", "cancelled", "unknown"})
_PLANNED = frozenset({"draft", "intended", "preparation"})
_OPEN = frozenset({"active", "in-progress", "on-hold"})
_ORDERS = frozenset({"order", "original-order", "reflex-order", "filler-order", "instance-order", None})
_NEOADJUVANT = {
    "373847000": True,
    "373846009": False,
    "363676003": False,
}  # SNOMED CT: neoadjuvant, adjuvant, palliative
_INTENT_EXTENSION = "mcode-treatment-intent"


@dataclass(frozen=True, slots=True)
class Drug:
    """A drug of a class. `daily`: taken every day, so that a start alone says nothing of how long."""

    name: str
    therapies: tuple[str, ...]
    daily: bool
    bridge: int  # doses up to so many days apart are one course


@dataclass(frozen=True, slots=True)
class TherapyClass:
    """A therapy class; a pause of more than `gap` days ends its line."""

    name: str
    title: str
    gap: int
    bridge: int


@dataclass(slots=True)
class TherapyCatalogue:
    """What the codes of drugs and procedures mean."""

    classes: dict[str, TherapyClass] = field(default_factory=dict)
    drugs: dict[tuple[str, str], Drug] = field(default_factory=dict)  # by (system, code)
    prefixes: list[tuple[str, str]] = field(default_factory=list)  # ATC prefix → class, longest first

    def find(self, resource: Mapping[str, Any], item: Item) -> Drug | None:
        """The drug (or the course without a named drug) of a resource; None if no code is known."""
        for system, code in _codings(resource, item):
            drug = self.drugs.get((system, code))
            if drug is not None:
                return drug
            if system == ATC:
                for prefix, therapy in self.prefixes:
                    if code.startswith(prefix):
                        found = self.classes[therapy]
                        return Drug(code, (therapy,), False, found.bridge)
        return None


def load_therapies(rules: Path, problems: list[Problem]) -> TherapyCatalogue:
    """The therapy classes of a rules folder; mistakes are added to `problems`."""
    catalogue = TherapyCatalogue()
    for path in sorted((rules / "therapies").glob("*.yaml")):
        section = read_yaml(path, problems, str(path.relative_to(rules)))
        if section is not None:
            _read_class(section, catalogue)
    catalogue.prefixes.sort(key=lambda entry: -len(entry[0]))
    return catalogue


def _read_class(section: Section, catalogue: TherapyCatalogue) -> None:
    section.keys("therapy", "title", "gap", "bridge", "drugs", optional=("atc", "procedures", "because"))
    name, bridge = section.text("therapy"), section.days("bridge")
    catalogue.classes[name] = TherapyClass(name, section.text("title"), section.days("gap"), bridge)
    catalogue.prefixes += [(prefix, name) for prefix in section.texts("atc")]
    for code in section.texts("procedures"):
        catalogue.drugs[SNOMED, code] = Drug(name, (name,), False, bridge)
    for drug, entry in section.named("drugs"):
        entry.keys(optional=("rxnorm", "atc", "daily", "bridge"))
        daily = entry.choice("daily", ["yes", "no"], "no") == "yes"
        for system, key in ((RXNORM, "rxnorm"), (ATC, "atc")):
            for code in entry.texts(key):
                known = catalogue.drugs.get((system, code))
                if known is not None and known.name != drug:
                    entry.problem(f"code '{code}' already means {known.name}", at=key)
                therapies = (*known.therapies, name) if known is not None else (name,)
                own = entry.days("bridge", bridge) if "bridge" in entry else bridge
                catalogue.drugs[system, code] = Drug(drug, therapies, daily, own)


@dataclass(slots=True)
class _Course:
    """One resource as a span of one drug: from `start` to `end`, both as stated."""

    drug: Drug
    rank: int
    ref: str
    start: When | None
    end: When | None
    kind: str  # dose | span | open | unknown | planned
    known: Known
    end_known: Known
    neoadjuvant: Tri


@dataclass(slots=True)
class _Span:
    """A course as of a day: `end` None if it runs; `extent` as in `Line`."""

    drug: str
    start: date | None
    end: date | None
    extent: str
    first_dose: time | None
    neoadjuvant: Tri
    refs: tuple[str, ...]


@dataclass(slots=True)
class Exposures:
    """Everything in a record that says what a patient was given, with its two clocks."""

    catalogue: TherapyCatalogue
    versions: list[
        list[_Course | None]
    ]  # per resource, in the order in which they replace one another; None: not given
    known: list[list[Known]]

    def lines(
        self,
        as_of: Moment,
        imaging: tuple[Imaging, ...] = (),
        operations: tuple[Operation, ...] = (),
        diagnosis: Diagnosis | None = None,
    ) -> tuple[Line, ...]:
        """The therapy lines as known at the moment, sorted by start; planned ones last of their day."""
        courses = [course for course in self._current(as_of) if course is not None]
        found: list[Line] = []
        for name in self.catalogue.classes:
            own = [course for course in courses if name in course.drug.therapies]
            if own:
                found += self._lines_of(name, own, as_of, imaging, operations, diagnosis)
        return tuple(sorted(found, key=lambda line: (line.start or date.min, line.planned, line.therapy)))

    def _current(self, as_of: Moment) -> Iterable[_Course | None]:
        for versions, known in zip(self.versions, self.known, strict=True):
            current = None
            for course, since in zip(versions, known, strict=True):
                if since.by(as_of):
                    current = course
            yield current

    def _lines_of(
        self,
        name: str,
        courses: Sequence[_Course],
        as_of: Moment,
        imaging: tuple[Imaging, ...],
        operations: tuple[Operation, ...],
        diagnosis: Diagnosis | None,
    ) -> list[Line]:
        spans = [span for drug in _by_drug(courses).values() for span in _spans(drug, as_of)]
        lines: list[Line] = []
        group: list[_Span] = []
        gap = self.catalogue.classes[name].gap
        for span in sorted(spans, key=lambda span: (span.start or date.min, span.drug)):
            if group and _begins_anew(group, span, gap, imaging):
                lines.append(_line(name, group, operations, diagnosis))
                group = []
            group.append(span)
        if group:
            lines.append(_line(name, group, operations, diagnosis))
        for course in courses:
            begins = course.start.first if course.start is not None else None
            if course.kind == "planned" or (begins is not None and begins > as_of.day):
                lines.append(
                    Line(
                        name, (course.drug.name,), begins, None, "known", True, None, course.neoadjuvant, (course.ref,)
                    )
                )
        return lines


def _by_drug(courses: Iterable[_Course]) -> dict[str, list[_Course]]:
    found: dict[str, list[_Course]] = {}
    for course in courses:
        if course.kind != "planned":
            found.setdefault(course.drug.name, []).append(course)
    return found


def _spans(courses: Sequence[_Course], as_of: Moment) -> list[_Span]:
    """The courses of one drug as spans: better sources first, what they already cover left out, near doses joined."""
    spans: list[_Span] = []
    for rank in sorted({course.rank for course in courses}):
        own = [span for course in courses if course.rank == rank and (span := _span(course, as_of)) is not None]
        bridge = courses[0].drug.bridge
        if spans and all(span.start is not None for span in spans):
            last = max(span.end or date.max for span in spans)
            first = min(span.start or date.min for span in spans)
            # A request or statement adds only what begins outside of what was really given.
            own = [
                span
                for span in own
                if span.start is not None
                and (
                    (last < date.max and span.start > last + timedelta(days=bridge))
                    or (span.start < first - timedelta(days=bridge) and span.end is not None)
                )
            ]
        spans += _joined(own, bridge)
    return spans


def _span(course: _Course, as_of: Moment) -> _Span | None:
    start = course.start.first if course.start is not None else None
    if start is not None and start > as_of.day:
        return None
    end, extent = None, "known"
    stated = course.end.last if course.end is not None else None
    if course.kind == "dose":
        end = start
    elif stated is not None and stated <= as_of.day and course.end_known.by(as_of):
        end = stated
    elif stated is None:
        extent = "assumed-ongoing" if course.kind == "open" else "unknown"
    first_dose = course.start.time if course.start is not None else None
    return _Span(course.drug.name, start, end, extent, first_dose, course.neoadjuvant, (course.ref,))


def _joined(spans: Sequence[_Span], bridge: int) -> list[_Span]:
    joined: list[_Span] = []
    for span in sorted(spans, key=lambda span: (span.start or date.min, span.end or date.max)):
        before = joined[-1] if joined else None
        if before is not None and (
            before.end is None or span.start is None or (span.start - before.end).days <= bridge
        ):
            before.end = None if before.end is None or span.end is None else max(before.end, span.end)
            if before.end is None:
                before.extent = _widest(before.extent if before.extent != "known" else span.extent, span.extent)
            before.refs += span.refs
            before.neoadjuvant = before.neoadjuvant if before.neoadjuvant is not None else span.neoadjuvant
        else:
            joined.append(span)
    return joined


def _widest(one: str, other: str) -> str:
    """Of two open spans: one that is still active outweighs one of which nobody knows how long it lasted."""
    for extent in ("known", "assumed-ongoing", "unknown"):
        if extent in (one, other):
            return extent
    return one


def _begins_anew(group: Sequence[_Span], span: _Span, gap: int, imaging: tuple[Imaging, ...]) -> bool:
    """Whether the span begins a new line: after a pause, or as another drug after progression."""
    if span.start is None or any(one.start is None for one in group):
        return False
    if all(one.end is not None for one in group):
        last = max(one.end for one in group if one.end is not None)
        if (span.start - last).days > gap:
            return True
    if any(one.drug == span.drug for one in group):
        return False
    began = min(one.start for one in group if one.start is not None)
    return any(scan.response in ("PD", "iCPD") and began < scan.day <= span.start for scan in imaging)


def _line(name: str, group: Sequence[_Span], operations: tuple[Operation, ...], diagnosis: Diagnosis | None) -> Line:
    starts = [span.start for span in group]
    start = None if None in starts else min(day for day in starts if day is not None)
    running = [span for span in group if span.end is None]
    end = None if running else max(span.end for span in group if span.end is not None)
    extent = "known"
    for span in running:
        extent = span.extent if extent == "known" and span is running[0] else _widest(extent, span.extent)
    stated = [span.neoadjuvant for span in group if span.neoadjuvant is not None]
    return Line(
        name,
        tuple(dict.fromkeys(span.drug for span in group if span.drug != name)) or (name,),
        start,
        end,
        extent,
        first_dose=next((span.first_dose for span in group if span.start == start), None),
        neoadjuvant=stated[0] if stated else _neoadjuvant(start, operations, diagnosis),
        refs=tuple(dict.fromkeys(ref for span in group for ref in span.refs)),
    )


def _neoadjuvant(start: date | None, operations: tuple[Operation, ...], diagnosis: Diagnosis | None) -> Tri:
    """Whether the line comes before a curative operation, as far as the record shows."""
    if diagnosis is not None and diagnosis.metastatic:
        return False
    curative = [operation for operation in operations if operation.curative]
    if start is None:
        return None
    if any(not operation.planned and operation.day < start for operation in curative):
        return False
    return True if curative else None


# reading ---------------------------------------------------------------------------------------------------------


def read_therapy(items: Sequence[Item], catalogue: TherapyCatalogue) -> tuple[Exposures, list[LeftOut]]:
    """Everything among the resources that says what was given, and what could not be used of it."""
    by_ref: dict[str, tuple[list[_Course | None], list[Known]]] = {}
    left_out: list[LeftOut] = []
    for item in items:
        if item.resource["resourceType"] not in _RANK:
            continue
        drug = catalogue.find(item.resource, item)
        if drug is None:
            _note_unmapped(item, left_out)
            continue
        course = _course(item, drug)
        own = item.known_or(course.start if course is not None else None)
        courses, known = by_ref.setdefault(item.ref, ([], []))
        courses.append(course)
        known.append(item.updated if item.version and not item.updated.assumed else own)
    return Exposures(catalogue, [pair[0] for pair in by_ref.values()], [pair[1] for pair in by_ref.values()]), left_out


def _course(item: Item, drug: Drug) -> _Course | None:
    """The resource as a course; None if it says that nothing was given."""
    resource = item.resource
    kind = resource["resourceType"]
    status = resource.get("status")
    if status in _NOT_GIVEN or resource.get("doNotPerform") is True:
        return None
    start, end, spanned = _when_given(resource)
    planned = status in _PLANNED
    if kind == "MedicationRequest":
        if resource.get("intent") in ("proposal", "plan"):
            planned = True
        elif resource.get("intent") not in _ORDERS:
            return None
    if planned:
        form = "planned"
    elif end is not None or (spanned and status not in _OPEN):
        form = "span" if end is not None else "unknown"
    elif status in _OPEN:
        form = "open"
    else:
        form = "unknown" if drug.daily else "dose"
    end_known = item.updated if not item.updated.assumed else Known.supposed(end)
    known = item.known_or(start)
    return _Course(drug, _RANK[kind], item.ref, start, end, form, known, end_known, _stated_intent(resource))


def _when_given(resource: Mapping[str, Any]) -> tuple[When | None, When | None, bool]:
    """Start and end as stated, and whether they were stated as a period."""
    for name in ("effective", "performed", "occurrence"):
        period = resource.get(f"{name}Period")
        if isinstance(period, dict):
            return when(period.get("start")), when(period.get("end")), True
        single = when(resource.get(f"{name}DateTime"))
        if single is not None:
            return single, None, False
    for dosage in resource.get("dosageInstruction") or ():
        repeat = dosage.get("timing", {}).get("repeat", {}) if isinstance(dosage, dict) else {}
        bounds = repeat.get("boundsPeriod") if isinstance(repeat, dict) else None
        if isinstance(bounds, dict) and (start := when(bounds.get("start"))) is not None:
            return start, when(bounds.get("end")), True
    start = when(resource.get("authoredOn"))
    supply = resource.get("dispenseRequest")
    days = supply.get("expectedSupplyDuration") if isinstance(supply, dict) else None
    if start is not None and isinstance(days, dict) and days.get("code") == "d" and isinstance(days.get("value"), int):
        return start, when((start.first + timedelta(days=days["value"])).isoformat()), True
    return start, None, False


def _codings(resource: Mapping[str, Any], item: Item) -> Iterable[tuple[str, str]]:
    concept = resource.get("medicationCodeableConcept") or resource.get("code")
    reference = resource.get("medicationReference")
    if reference is not None:
        medication = item.resolve(reference)
        concept = medication.get("code") if medication is not None else None
    for coding in (concept.get("coding") if isinstance(concept, dict) else None) or ():
        if isinstance(coding, dict) and isinstance(coding.get("system"), str) and isinstance(coding.get("code"), str):
            yield coding["system"], coding["code"]


def _note_unmapped(item: Item, left_out: list[LeftOut]) -> None:
    """A drug that is not in the tables is nobody's concern, unless its code says that it treats cancer."""
    if item.resource["resourceType"] == "Procedure":
        return
    for system, code in _codings(item.resource, item):
        if system == ATC and code.startswith(("L01", "L02")):
            left_out.append(
                LeftOut(
                    item.path, item.ref, f"anticancer drug {code} is in no therapy class", "add it to rules/therapies/"
                )
            )


def _stated_intent(resource: Mapping[str, Any]) -> Tri:
    """Neoadjuvant as the resource states it, in the treatment intent or as a reason."""
    concepts = [
        extension.get("valueCodeableConcept")
        for extension in resource.get("extension") or ()
        if isinstance(extension, dict) and str(extension.get("url", "")).endswith(_INTENT_EXTENSION)
    ]
    for key in ("category", "reasonCode"):
        stated = resource.get(key)
        concepts += stated if isinstance(stated, list) else [stated]
    for concept in concepts:
        for coding in (concept.get("coding") if isinstance(concept, dict) else None) or ():
            if isinstance(coding, dict) and coding.get("system") == SNOMED and coding.get("code") in _NEOADJUVANT:
                return _NEOADJUVANT[coding["code"]]
    return None
