"""What one clinical resource says: statements on disease, receptors, operations, events and imaging, with their days."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import Any

import msgspec

from cds.chart.clock import Item, Known, When
from cds.chart.codes import pairs
from cds.chart.exposure import read_span, stated, stated_period
from cds.chart.meanings import EventCatalogue
from cds.chart.model import LeftOut, Side, Tri, both_or_one

_NOT_SO = frozenset({"refuted", "entered-in-error"})
_PERHAPS = frozenset({"unconfirmed", "provisional", "differential"})
_OVER = frozenset({"resolved", "inactive", "remission"})
_COUNTS = ("final", "amended", "corrected")  # tuples: a status may be anything, even unhashable
_REVISED = ("amended", "corrected", "entered-in-error", "cancelled")
_SURGICAL = "387713003"
_RECIST = frozenset({"CR", "PR", "SD", "PD", "NE", "iCR", "iPR", "iSD", "iUPD", "iCPD"})


class Datum(msgspec.Struct):
    """One statement: what, which, from when to when. `so`: None if only suspected, False if it is over."""

    what: str
    detail: str
    ref: str
    start: When | None = None
    end: When | None = None
    so: Tri = True
    planned: bool = False
    answer: str = ""
    side: Side | None = None
    past: bool = False  # a breast cancer in remission: still the patient's disease, but no tumour


Stated = list[tuple[Known, list[Datum]]]
"""What a resource says, by since when that is known: at first what was issued, later what an update added."""


def read_clinical(item: Item, catalogue: EventCatalogue, left_out: list[LeftOut]) -> Stated | None:
    """What a resource says; None if it is none of ours. What cannot be used of it is added to `left_out`."""
    reader = _READERS.get(item.resource["resourceType"])
    return None if reader is None else reader(item, catalogue, left_out)


def _condition(item: Item, catalogue: EventCatalogue, left_out: list[LeftOut]) -> Stated | None:
    resource = item.resource
    concept = resource.get("code")
    found = [meaning for meaning in catalogue.subjects.of(concept) if meaning[0] in ("disease", "event")]
    if not found:
        _note_unknown_cancer(item, concept, left_out)
        return None
    verified = {code for _, code in pairs(resource.get("verificationStatus"))}
    onset = _first(item, "onset", left_out)
    data: list[Datum] = []
    for what, detail in dict.fromkeys(found):
        if detail == "invasive-breast" and _in_situ(resource, catalogue):
            detail = "in-situ-breast"
        side = side_of(resource, catalogue) if detail == "invasive-breast" else None
        data.append(Datum(what, detail, item.ref, onset, so=None if verified & _PERHAPS else True, side=side))
    if any(datum.detail == "invasive-breast" for datum in data):
        data += _stages(item, catalogue, onset)
    over = not _OVER.isdisjoint(code for _, code in pairs(resource.get("clinicalStatus")))
    end = _last(item, "abatement", left_out)
    if end is None and onset is not None and any(datum.detail == "radiotherapy" for datum in data):
        end = onset  # an encounter for it (Z51.0), which nobody states an end of
    if verified & _NOT_SO:
        final: list[Datum] = []
    elif over or end is not None:
        final = [_ended(datum, end, item, left_out) for datum in data]
    else:
        final = data
    return _by_clock(item, onset, data, final)


def _ended(datum: Datum, end: When | None, item: Item, left_out: list[LeftOut]) -> Datum:
    if datum.what != "event":
        # A cancer in remission is still the patient's disease; another one that is over no longer counts.
        if datum.detail == "other-cancer":
            return Datum(datum.what, datum.detail, datum.ref, datum.start, so=False)
        return msgspec.structs.replace(datum, past=True)
    if end is None and not item.updated.assumed:
        end = When(item.updated.text, item.updated.day, item.updated.day)  # over by then, at the latest
    if end is None:
        left_out.append(
            LeftOut(
                item.path, item.ref, "it is over, but nothing says since when: it counts as going on",
                "state abatementDateTime",
            )
        )  # fmt: skip
    return Datum(datum.what, datum.detail, datum.ref, datum.start, end, datum.so)


def _note_unknown_cancer(item: Item, concept: object, left_out: list[LeftOut]) -> None:
    meta = item.resource.get("meta")
    profiles = meta.get("profile") if isinstance(meta, dict) else None
    stated_codes = list(pairs(concept))
    if not stated_codes:
        left_out.append(
            LeftOut(f"{item.path}.code", item.ref, "the condition is not coded", "send its SNOMED CT or ICD-10 code")
        )
    elif isinstance(profiles, list) and any("cancer-condition" in str(profile) for profile in profiles):
        codes = ", ".join(f"{system}|{code}"[:80] for system, code in stated_codes[:3])
        left_out.append(
            LeftOut(
                f"{item.path}.code",
                item.ref,
                f"a cancer that no table knows: {codes}",
                "add it to rules/events/disease.yaml",
            )
        )


def _in_situ(resource: Mapping[str, Any], catalogue: EventCatalogue) -> bool:
    extensions = resource.get("extension")
    return isinstance(extensions, list) and any(
        ("disease", "in-situ") in catalogue.values.of(extension.get("valueCodeableConcept"))
        for extension in extensions
        if isinstance(extension, dict)
    )


def _stages(item: Item, catalogue: EventCatalogue, onset: When | None) -> Iterable[Datum]:
    stages = item.resource.get("stage")
    for stage in stages if isinstance(stages, list) else ():
        if isinstance(stage, dict):
            for what, answer in catalogue.values.of(stage.get("summary")):
                if what == "spread":
                    yield Datum("spread", answer, item.ref, onset)


def _procedure(item: Item, catalogue: EventCatalogue, left_out: list[LeftOut]) -> Stated | None:
    resource = item.resource
    found = [meaning for meaning in catalogue.subjects.of(resource.get("code")) if meaning[0] in ("operation", "event")]
    if not found and "category" in resource and any(code == _SURGICAL for _, code in pairs(resource["category"])):
        found = [("operation", "other")]
    found = [meaning for meaning in found if meaning[1] != "not-an-operation"]
    if not found:
        return None
    # A code for the breast says more than one for the armpit.
    what, detail = next((meaning for meaning in found if meaning[1] == "breast-resection"), found[0])
    span = read_span(item, left_out)
    if span is None:
        return None
    if what == "operation":
        day = span.start.day if span.start is not None else None
        if day is None and span.progress not in ("void", "planned"):
            left_out.append(
                LeftOut(item.path, item.ref, "an operation without a day cannot be placed", "state performedDateTime")
            )
        if span.progress in ("paused",) or resource.get("status") == "stopped":
            detail = "other"  # begun and broken off: it removed nothing for certain
        intents = {intent for concept in _intents(item) for intent in catalogue.intents.of(concept)}
        answer = next((intent for intent in ("curative", "prophylactic", "palliative") if intent in intents), "")
        begun = (
            []
            if span.start is None and detail != "breast-resection"
            else [
                Datum(
                    what, detail, item.ref, span.start,
                    planned=span.progress == "planned", answer=answer, side=side_of(resource, catalogue),
                )
            ]
        )  # fmt: skip
        return _by_clock(item, span.start, begun, [] if span.progress == "void" else begun)
    if detail == "pregnancy":  # what is done to a pregnant woman says that she is it, and not since when
        seen = [Datum(what, detail, item.ref, span.start, answer=detail)] if span.start is not None else []
        return _by_clock(item, span.start, seen, [] if span.progress in ("void", "planned") else seen)
    end = span.end
    if span.progress == "done" and end is None:
        end = None if "performedPeriod" in resource else span.start
        if end is None and not item.updated.assumed:
            end = When(item.updated.text, item.updated.day, item.updated.day)
    running = Datum(what, detail, item.ref, span.start, end if item.updated.assumed else None)
    final = [] if span.progress in ("void", "planned") else [Datum(what, detail, item.ref, span.start, end)]
    return _by_clock(item, span.start, [] if span.progress == "planned" else [running], final)


def _intents(item: Item) -> Iterable[object]:
    """The concepts that may tell why an operation was done: intent, reasons, and conditions that are its reasons."""
    resource = item.resource
    yield from (extension.get("valueCodeableConcept") for extension in _dicts(resource, "extension"))
    yield from _dicts(resource, "reasonCode")
    for reference in _dicts(resource, "reasonReference"):
        yield (item.resolve(reference) or {}).get("code")


def side_of(resource: Mapping[str, Any], catalogue: EventCatalogue) -> Side | None:
    """Which breast a condition or an operation is of, by its code or its body sites; None if the two differ."""
    code = resource.get("code")
    by_code = _joined(catalogue, _qualified(code if isinstance(code, dict) else {}))
    by_site = _joined(catalogue, [one for site in _dicts(resource, "bodySite") for one in _qualified(site)])
    return by_code or by_site if by_code is None or by_site is None or by_code == by_site else None


def _qualified(concept: Mapping[str, Any]) -> Iterable[object]:
    """A concept, and what extensions of it or of its codings add."""
    yield concept
    yield from (extension.get("valueCodeableConcept") for extension in _dicts(concept, "extension"))
    for coding in _dicts(concept, "coding"):
        yield from ({"coding": [extension.get("valueCoding")]} for extension in _dicts(coding, "extension"))


def _joined(catalogue: EventCatalogue, concepts: Iterable[object]) -> Side | None:
    return both_or_one({side for concept in concepts for side in catalogue.sides.of(concept)})


def _dicts(part: Mapping[str, Any], name: str) -> Iterable[dict[str, Any]]:
    stated = part.get(name)
    return (one for one in stated if isinstance(one, dict)) if isinstance(stated, list) else ()


def _observation(item: Item, catalogue: EventCatalogue, left_out: list[LeftOut]) -> Stated | None:
    resource = item.resource
    meaning = catalogue.subjects.first(resource.get("code"))
    if meaning is None:
        return None
    what, detail = meaning
    day = _first(item, "effective", left_out)
    known = item.updated if resource.get("status") in _REVISED and not item.updated.assumed else item.known_or(day)
    if resource.get("status") not in _COUNTS:
        return [(known, [])]
    value = resource.get("valueCodeableConcept")
    answers = [answer for kind, answer in catalogue.values.of(value) if kind == what]
    if not answers and what == "receptor":
        answers = [answer for kind, answer in _interpreted(resource, catalogue) if kind == what]
    datum: Datum | None = None
    if not answers:
        if what == "receptor" or detail == "response":
            left_out.append(
                LeftOut(
                    item.path,
                    item.ref,
                    "its answer is not coded, or by a code that nobody knows",
                    "send the code of the answer",
                )
            )
    elif what == "receptor":
        datum = Datum(what, detail, item.ref, day, answer=answers[0])
    elif what == "spread":
        datum = Datum(what, "not-metastatic" if "not-metastatic" in answers else "metastatic", item.ref, day)
        if detail != "site" and ("http://snomed.info/sct", "260413007") in pairs(value):
            datum = None  # "none" is an answer to where, not to which stage
    elif what == "imaging":
        datum = _response(item, answers[0], day, catalogue, left_out)
    elif what == "event":
        datum = Datum(what, detail, item.ref, day, answer=answers[0])
    return [(known, [] if datum is None else [datum])]


def _interpreted(resource: Mapping[str, Any], catalogue: EventCatalogue) -> Iterable[tuple[str, str]]:
    concepts = resource.get("interpretation")
    for concept in concepts if isinstance(concepts, list) else ():
        yield from catalogue.values.of(concept)


def _response(
    item: Item, answer: str, day: When | None, catalogue: EventCatalogue, left_out: list[LeftOut]
) -> Datum | None:
    """A response by imaging; "worsened" is one (PD) only where the resource says that imaging shows it."""
    if answer == "worsened":
        evidence = item.resource.get("extension")
        by_imaging = isinstance(evidence, list) and any(
            ("imaging", "by-imaging") in catalogue.values.of(extension.get("valueCodeableConcept"))
            for extension in evidence
            if isinstance(extension, dict)
        )
        answer = "PD" if by_imaging else ""
    if answer not in _RECIST:
        return None
    if day is None or day.day is None:
        left_out.append(
            LeftOut(item.path, item.ref, "a response without a day cannot be placed", "state effectiveDateTime")
        )
        return None
    return Datum("imaging", answer, item.ref, day)


def _report(item: Item, catalogue: EventCatalogue, left_out: list[LeftOut]) -> Stated | None:
    resource = item.resource
    concepts = resource.get("conclusionCode")
    answers = [
        answer
        for concept in (concepts if isinstance(concepts, list) else ())
        for kind, answer in catalogue.values.of(concept)
        if kind == "imaging" and answer in _RECIST
    ]
    if not answers:
        return None
    day = _first(item, "effective", left_out)
    known = item.updated if resource.get("status") in _REVISED and not item.updated.assumed else item.known_or(day)
    if resource.get("status") not in _COUNTS:
        return [(known, [])]
    data = [_response(item, answer, day, catalogue, left_out) for answer in answers]
    return [(known, [datum for datum in data if datum is not None])]


def _immunization(item: Item, catalogue: EventCatalogue, left_out: list[LeftOut]) -> Stated | None:
    day = stated(item, item.resource, "occurrenceDateTime", left_out)
    given = Datum("event", "vaccination", item.ref, day, day)
    return _by_clock(item, day, [given], [given] if item.resource.get("status") == "completed" else [])


def _medication(item: Item, catalogue: EventCatalogue, left_out: list[LeftOut]) -> Stated | None:
    resource = item.resource
    concept = resource.get("medicationCodeableConcept")
    if concept is None:
        concept = (item.resolve(resource.get("medicationReference")) or {}).get("code")
    meaning = catalogue.subjects.first(concept)
    if meaning is None or meaning[0] != "event":
        return None
    span = read_span(item, left_out)
    if span is None or span.progress == "planned":
        return None
    end = span.end if span.end is not None or span.progress == "running" else span.start
    begun = [Datum(*meaning, item.ref, span.start, end)]
    return _by_clock(item, span.start, begun, [] if span.progress == "void" else begun)


def _by_clock(item: Item, clock: When | None, issued: list[Datum], final: list[Datum]) -> Stated:
    """What was known from the issue on, and what only since the last update: that it is over, or never was."""
    known = item.known_or(clock)
    if issued == final or item.updated.assumed or item.updated.order <= known.order:
        return [(known, final)]
    return [(known, issued), (item.updated, final)]


def _first(item: Item, name: str, left_out: list[LeftOut]) -> When | None:
    return stated(item, item.resource, f"{name}DateTime", left_out) or stated_period(item, f"{name}Period", left_out)[0]


def _last(item: Item, name: str, left_out: list[LeftOut]) -> When | None:
    return stated(item, item.resource, f"{name}DateTime", left_out) or stated_period(item, f"{name}Period", left_out)[1]


def last_day(moment: When | None, as_of: date) -> date | None:
    """The last day that a date may mean; None if there is none, or if it lies after `as_of`."""
    return None if moment is None or moment.last > as_of else moment.last


_READERS: Mapping[str, Callable[[Item, EventCatalogue, list[LeftOut]], Stated | None]] = {
    "Condition": _condition,
    "Procedure": _procedure,
    "Observation": _observation,
    "DiagnosticReport": _report,
    "Immunization": _immunization,
    "MedicationAdministration": _medication,
    "MedicationStatement": _medication,
    "MedicationRequest": _medication,
}
