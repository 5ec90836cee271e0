"""Clinical context: disease and receptors, operations, events that disturb markers, response by imaging; as known at a moment.

What the codes mean stands in rules/events/. A resource that cannot be read is listed, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from cds.chart.clock import Item, Known, Moment, When, when
from cds.chart.model import Diagnosis, Event, Imaging, LeftOut, Operation, Tri
from cds.errors import Problem
from cds.source import Section, read_yaml

SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
ICD = ("http://hl7.org/fhir/sid/icd-10-cm", "http://hl7.org/fhir/sid/icd-10", "http://hl7.org/fhir/sid/icd-10-gm")
_SYSTEMS = {"snomed": (SNOMED,), "loinc": (LOINC,), "icd": ICD}
_NOT_SO = frozenset({"refuted", "entered-in-error"})
_PERHAPS = frozenset({"unconfirmed", "provisional", "differential"})
_COUNTS = frozenset({"final", "amended", "corrected", None})
_DONE = frozenset({"completed", "in-progress", "stopped", None})
_TYPES = frozenset(
    {"Condition", "Procedure", "Observation", "DiagnosticReport", "Immunization"}
    | {"MedicationAdministration", "MedicationStatement", "MedicationRequest"}
)
RESPONSES = ("CR", "PR", "SD", "PD", "NE", "iCR", "iPR", "iSD", "iUPD", "iCPD")


@dataclass(slots=True)
class EventCatalogue:
    """What codes of conditions, procedures and observations mean: (what, detail) by (system, code), and by code prefix."""

    codes: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    prefixes: list[tuple[str, str, str]] = field(default_factory=list)  # code prefix (ICD), what, detail
    answers: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)  # coded values

    def find(self, concept: object) -> tuple[str, str] | None:
        """What a CodeableConcept means, by any of its codings."""
        for system, code in codings(concept):
            found = self.codes.get((system, code))
            if found is not None:
                return found
            if system in ICD:
                for prefix, what, detail in self.prefixes:
                    if code.startswith(prefix):
                        return what, detail
        return None

    def answer(self, concept: object) -> tuple[str, str] | None:
        """What a coded value means."""
        for system, code in codings(concept):
            found = self.answers.get((system, code))
            if found is not None:
                return found
        return None


def load_events(rules: Path, problems: list[Problem]) -> EventCatalogue:
    """The meaning of clinical codes in a rules folder; mistakes are added to `problems`."""
    catalogue = EventCatalogue()
    for path in sorted((rules / "events").glob("*.yaml")):
        section = read_yaml(path, problems, str(path.relative_to(rules)))
        if section is None:
            continue
        section.keys("events", "title", optional=("codes", "answers"))
        what = section.text("events")
        for detail, entry in section.named("codes"):
            _codes(entry, what, detail, catalogue.codes, catalogue.prefixes)
        for detail, entry in section.named("answers"):
            _codes(entry, what, detail, catalogue.answers, [])
    catalogue.prefixes.sort(key=lambda entry: -len(entry[0]))
    return catalogue


def _codes(
    entry: Section,
    what: str,
    detail: str,
    codes: dict[tuple[str, str], tuple[str, str]],
    prefixes: list[tuple[str, str, str]],
) -> None:
    entry.keys(optional=("snomed", "loinc", "icd", "system", "code"))
    for key in ("snomed", "loinc"):
        for code in entry.texts(key):
            for system in _SYSTEMS[key]:
                codes[system, code] = (what, detail)
    prefixes += [(prefix, what, detail) for prefix in entry.texts("icd")]
    for code in entry.texts("code"):
        codes[entry.text("system"), code] = (what, detail)


def codings(concept: object) -> Iterable[tuple[str, str]]:
    """The (system, code) pairs of a CodeableConcept."""
    stated = concept.get("coding") if isinstance(concept, dict) else None
    for coding in stated if isinstance(stated, list) else ():
        if isinstance(coding, dict) and isinstance(coding.get("system"), str) and isinstance(coding.get("code"), str):
            yield coding["system"], coding["code"]


@dataclass(slots=True)
class _Datum:
    """One statement of the record: what, in which detail, for which days, known since when."""

    what: str
    detail: str
    ref: str
    start: When | None
    end: When | None
    known: Known
    end_known: Known
    so: Tri = True
    planned: bool = False
    curative: Tri = None


@dataclass(slots=True)
class Context:
    """Everything of a record that is neither a marker result nor a therapy, with its two clocks."""

    versions: list[list[tuple[Known, list[_Datum]]]]  # per resource, in the order in which versions replace one another

    def _current(self, as_of: Moment) -> list[_Datum]:
        found: list[_Datum] = []
        for versions in self.versions:
            data: list[_Datum] = []
            for known, stated in versions:
                if known.by(as_of):
                    data = stated
            found += data
        return found

    def diagnosis(self, as_of: Moment) -> Diagnosis:
        """Disease and receptors: the newest statement of each receptor counts; what is not stated is unknown."""
        data = [datum for datum in self._current(as_of) if _begun(datum, as_of)]
        disease = {datum.detail: datum for datum in data if datum.what == "disease" and datum.so}
        invasive: Tri = None
        if "invasive-breast" in disease:
            invasive = True
        elif "in-situ-breast" in disease and not any(d.detail == "invasive-breast" and d.so is None for d in data):
            invasive = False
        spread = [datum for datum in data if datum.what == "spread"]
        metastatic: Tri = None
        if "metastatic" in disease or any(datum.detail == "metastatic" for datum in spread):
            metastatic = True
        elif any(datum.detail == "not-metastatic" for datum in spread):
            metastatic = False
        er, pr = _receptor(data, "er"), _receptor(data, "pr")
        her2 = _receptor(data, "her2")
        answers = {d.detail.partition(":")[2] for d in data if d.what == "receptor" and d.detail.startswith("her2:")}
        refs = tuple(datum.ref for datum in disease.values())
        changed = {"positive", "negative"} <= answers
        return Diagnosis(invasive, metastatic, "other-cancer" in disease, er, pr, her2, changed, refs)

    def operations(self, as_of: Moment) -> tuple[Operation, ...]:
        """Operations done, and those planned; sorted by day. Curative: a breast resection not stated otherwise."""
        current = self._current(as_of)
        spread_known = [
            datum
            for datum in current
            if datum.detail == "metastatic" and datum.what in ("disease", "spread") and datum.so
        ]
        found = []
        for datum in current:
            if datum.what != "operation" or datum.start is None:
                continue
            day = datum.start.first
            planned = datum.planned or day > as_of.day
            spread_before = any(one.start is None or one.start.first <= day for one in spread_known)
            curative = datum.detail == "breast-resection" and datum.curative is not False
            if datum.curative is None and spread_before:
                curative = False
            found.append(Operation(day, curative, planned, datum.ref))
        return tuple(sorted(found, key=lambda operation: (operation.day, operation.ref)))

    def events(self, as_of: Moment) -> tuple[Event, ...]:
        """What disturbs markers; an end that lies later, or became known later, has not come yet."""
        found = []
        for datum in self._current(as_of):
            if datum.what != "event" or not datum.so or not _begun(datum, as_of):
                continue
            end = datum.end.last if datum.end is not None else None
            if end is not None and (end > as_of.day or not datum.end_known.by(as_of)):
                end = None
            found.append(Event(datum.detail, datum.start.first if datum.start else None, end, datum.ref))
        return tuple(sorted(found, key=lambda event: (event.start or date.min, event.kind, event.ref)))

    def imaging(self, as_of: Moment) -> tuple[Imaging, ...]:
        """Response assessments, sorted by day."""
        found = [
            Imaging(datum.start.first, datum.detail, datum.ref)
            for datum in self._current(as_of)
            if datum.what == "imaging" and datum.start is not None and datum.start.first <= as_of.day
        ]
        return tuple(sorted(found, key=lambda scan: (scan.day, scan.response, scan.ref)))


def _begun(datum: _Datum, as_of: Moment) -> bool:
    return datum.start is None or datum.start.first <= as_of.day


def _receptor(data: Sequence[_Datum], receptor: str) -> Tri:
    """The newest answer; of one day a gene test (FISH) outweighs a protein test."""
    own = [datum for datum in data if datum.what == "receptor" and datum.detail.startswith(f"{receptor}:")]
    if not own:
        return None
    newest = max(own, key=lambda datum: (datum.start.first if datum.start else date.min, datum.curative is True))
    return {"positive": True, "negative": False}.get(newest.detail.partition(":")[2])


# reading ---------------------------------------------------------------------------------------------------------


def read_context(items: Sequence[Item], catalogue: EventCatalogue) -> tuple[Context, list[LeftOut]]:
    """What the resources say of disease, operations, events and imaging, and what could not be used of it."""
    by_ref: dict[str, list[tuple[Known, list[_Datum]]]] = {}
    left_out: list[LeftOut] = []
    for item in items:
        kind = item.resource["resourceType"]
        if kind not in _TYPES:
            continue
        data = _read(item, kind, catalogue, left_out)
        if data is None:
            continue
        start = data[0].start if data else None
        known = item.updated if item.version and not item.updated.assumed else item.known_or(start)
        by_ref.setdefault(item.ref, []).append((known, data))
    return Context(list(by_ref.values())), left_out


def _read(item: Item, kind: str, catalogue: EventCatalogue, left_out: list[LeftOut]) -> list[_Datum] | None:
    """The statements of one resource; an empty list if it takes back what an earlier version said; None if none of ours."""
    resource = item.resource
    if kind == "Condition":
        return _condition(item, catalogue)
    if kind == "Procedure":
        return _procedure(item, catalogue, left_out)
    if kind == "Observation":
        return _observation(item, catalogue)
    if kind == "DiagnosticReport":
        return _report(item, catalogue)
    concept = resource.get("vaccineCode") if kind == "Immunization" else resource.get("medicationCodeableConcept")
    meaning = ("event", "vaccination") if kind == "Immunization" else catalogue.find(concept)
    if meaning is None or meaning[0] != "event":
        return None
    if resource.get("status") in ("entered-in-error", "not-done", "not-taken", "cancelled"):
        return []
    start, end = _days(resource, "effective", "occurrence")
    start = start or when(resource.get("authoredOn"))
    return [_datum(item, *meaning, start, end or start)]


def _datum(item: Item, what: str, detail: str, start: When | None, end: When | None, **more: Any) -> _Datum:
    end_known = item.updated if not item.updated.assumed else Known.supposed(end)
    return _Datum(what, detail, item.ref, start, end, item.known_or(start), end_known, **more)


def _days(resource: Mapping[str, Any], *names: str) -> tuple[When | None, When | None]:
    for name in names:
        period = resource.get(f"{name}Period")
        if isinstance(period, dict):
            return when(period.get("start")), when(period.get("end"))
        single = when(resource.get(f"{name}DateTime"))
        if single is not None:
            return single, single
    return None, None


def _condition(item: Item, catalogue: EventCatalogue) -> list[_Datum] | None:
    resource = item.resource
    meaning = catalogue.find(resource.get("code"))
    if meaning is None or meaning[0] not in ("disease", "event"):
        return None
    verified = {code for _, code in codings(resource.get("verificationStatus"))}
    if verified & _NOT_SO:
        return []
    clinical = {code for _, code in codings(resource.get("clinicalStatus"))}
    start, _ = _days(resource, "onset")
    end, last = _days(resource, "abatement")
    end = last or end
    if end is None and meaning[0] == "event" and clinical & {"resolved", "inactive", "remission"}:
        # It is over, and nobody says since when: at the latest since this was recorded.
        end = when(item.updated.text) if item.updated.text else start
    so: Tri = None if verified & _PERHAPS else True
    if meaning[1] == "other-cancer" and clinical & {"resolved", "inactive", "remission"}:
        so = False
    return [_datum(item, *meaning, start, end, so=so)]


def _procedure(item: Item, catalogue: EventCatalogue, left_out: list[LeftOut]) -> list[_Datum] | None:
    resource = item.resource
    meaning = catalogue.find(resource.get("code"))
    if meaning is None:
        surgical = any(code == "387713003" for _, code in codings(resource.get("category")))
        meaning = ("operation", "other") if surgical else None
    if meaning is None or meaning[0] not in ("operation", "event"):
        return None
    status = resource.get("status")
    planned = status == "preparation"
    if not planned and status not in _DONE:
        return []
    start, end = _days(resource, "performed")
    if start is None:
        hint = "state performedDateTime or performedPeriod"
        left_out.append(
            LeftOut(f"{item.path}.performed", item.ref, "a procedure without a date disturbs no sample", hint)
        )
        return []
    intents = {code for extension in resource.get("extension") or () for _, code in _intent(extension)}
    curative: Tri = True if "373808002" in intents else False if "363676003" in intents else None
    return [_datum(item, *meaning, start, end, planned=planned, curative=curative)]


def _intent(extension: object) -> Iterable[tuple[str, str]]:
    if isinstance(extension, dict) and str(extension.get("url", "")).endswith(("procedure-intent", "treatment-intent")):
        return codings(extension.get("valueCodeableConcept"))
    return ()


def _observation(item: Item, catalogue: EventCatalogue) -> list[_Datum] | None:
    resource = item.resource
    meaning = catalogue.find(resource.get("code"))
    if meaning is None:
        return None
    what, detail = meaning
    if resource.get("status") not in _COUNTS:
        return []
    start, end = _days(resource, "effective")
    answer = catalogue.answer(resource.get("valueCodeableConcept"))
    if what == "receptor":
        told = answer[1] if answer is not None and answer[0] == "receptor" else "unknown"
        receptor, _, test = detail.partition("-")
        return (
            [_datum(item, "receptor", f"{receptor}:{told}", start, None, curative=test == "fish")]
            if told != "unknown"
            else []
        )
    if answer is None:
        return []
    if what in ("imaging", "spread") and answer[0] == what:
        return [_datum(item, what, answer[1], start, None)]
    if what == "event" and answer[0] == "event":
        return [_datum(item, "event", answer[1], start, end)] if answer[1] != "none" else []
    return []


def _report(item: Item, catalogue: EventCatalogue) -> list[_Datum] | None:
    resource = item.resource
    start, _ = _days(resource, "effective")
    concepts = resource.get("conclusionCode")
    answers = [catalogue.answer(concept) for concept in (concepts if isinstance(concepts, list) else ())]
    found = [_datum(item, *answer, start, None) for answer in answers if answer is not None and answer[0] == "imaging"]
    if resource.get("status") not in _COUNTS:
        return [] if found else None
    return found or None
