"""A `Person` as FHIR R4: one collection Bundle in the input profile (docs/input-profile.md)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal
from typing import Any

from cds.workbench.synth.codes import (
    CANONICAL,
    CONDITIONS,
    DRUGS,
    LOINC,
    MARKER_SYSTEM,
    METHOD_SYSTEM,
    PROCEDURE_INTENT,
    PROCEDURES,
    RECEPTORS,
    SNOMED,
    SPECIMENS,
    TREATMENT_INTENT,
    UCUM,
)  # fmt: skip
from cds.workbench.synth.names import RECORD_NUMBERS
from cds.workbench.synth.person import Disturbance, Imaging, Measurement, Operation, Person, Therapy, Version

Json = dict[str, Any]

_CHECKS = ("haemolysis", "lipaemia", "residual-platelets", "dna-control", "drug-tolerance", "bridging")


def to_bundle(person: Person, known_by: date | None = None) -> Json:
    """The Bundle of a person; with `known_by` as it stood on that day, without what became known later."""
    resources = list(_resources(person, known_by or date.max))
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [
            {"fullUrl": f"{CANONICAL}/{resource['resourceType']}/{resource['id']}", "resource": resource}
            for resource in resources
        ],
    }


def current(bundle: Json) -> Json:
    """The Bundle as a server would give it that keeps its versions to itself: of each resource the last one."""
    last = {(entry["resource"]["resourceType"], entry["resource"]["id"]): entry for entry in bundle["entry"]}
    return {**bundle, "entry": list(last.values())}


def _resources(person: Person, until: date) -> Iterator[Json]:
    yield {
        "resourceType": "Patient",
        "id": person.id,
        **_called(person),
        "gender": person.sex,
        "birthDate": person.born.isoformat(),
        **_fate(person, until),
    }
    if person.former is not None:
        yield _former(person, until)
    yield from _disease(person)
    yield from _numbered(person, "rx", (_therapy(person, each, until) for each in person.therapies))
    yield from _numbered(person, "op", (_operation(person, each, until) for each in person.operations))
    yield from _numbered(person, "ev", (_disturbance(person, each, until) for each in person.disturbances))
    yield from _numbered(person, "im", (_imaging(person, each, until) for each in person.imaging))
    drawn: set[str] = set()
    for measurement in person.measurements:
        versions = [version for version in measurement.versions if version.issued[:10] <= until.isoformat()]
        if versions and measurement.specimen_id not in drawn:
            drawn.add(measurement.specimen_id)
            yield _specimen(person, measurement)
        for number, version in enumerate(versions, 1):
            yield _observation(person, measurement, version, number)


def _called(person: Person, number: str = "") -> Json:
    """Record number and name, as far as the person has them."""
    found: Json = {}
    if person.number:
        coding = {"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}
        found["identifier"] = [
            {"type": {"coding": [coding]}, "system": RECORD_NUMBERS, "value": number or person.number}
        ]
    if person.family:
        found["name"] = [{"use": "official", "family": person.family, "given": [person.given]}]
    return found


def _fate(person: Person, until: date) -> Json:
    """What has become of the person and of the other record of theirs."""
    found: Json = {}
    if person.died is not None and person.died <= until:
        found["deceasedDateTime"] = person.died.isoformat()
    if person.former is not None and person.former.until <= until:
        found["link"] = [{"other": {"reference": f"Patient/{person.former.id}"}, "type": "replaces"}]
    return found


def _former(person: Person, until: date) -> Json:
    """The record under which the first results stand; once it was merged, it says by which it is replaced."""
    assert person.former is not None  # the caller has looked
    merged: Json = {}
    if person.former.until <= until:
        merged = {"active": False, "link": [{"other": {"reference": f"Patient/{person.id}"}, "type": "replaced-by"}]}
    return {
        "resourceType": "Patient",
        "id": person.former.id,
        **_called(person, person.former.number),
        "gender": person.sex,
        "birthDate": person.born.isoformat(),
        **merged,
    }


def _numbered(person: Person, kind: str, found: Iterable[list[Json]]) -> Iterator[Json]:
    """The resources, each with an id of its own."""
    resources = (resource for resources in found for resource in resources)
    for number, resource in enumerate(resources, 1):
        # The type stands first for people; ids follow it.
        yield {"resourceType": resource["resourceType"], "id": f"{person.id}-{kind}{number}", **resource}


def _subject(person: Person) -> Json:
    return {"reference": f"Patient/{person.id}"}


def _coded(system: str, code: str) -> Json:
    return {"coding": [{"system": system, "code": code}]}


def _codings(codes: Iterable[tuple[str, str]], text: str) -> Json:
    return {"coding": [{"system": system, "code": code} for system, code in codes], "text": text}


def _number(value: Decimal) -> int | float:
    """A JSON number with the digits of the decimal."""
    return int(value) if value == value.to_integral_value() and abs(value) < 2**53 else float(value)


def _quantity(value: Decimal, unit: str | None, comparator: str | None = None) -> Json:
    quantity: Json = {"value": _number(value)}
    if comparator:
        quantity["comparator"] = comparator
    if unit is not None:
        quantity |= {"system": UCUM, "code": unit}
    return quantity


def _disease(person: Person) -> Iterator[Json]:
    found = [person.disease, *([person.metastasis] if person.metastasis else [])]
    for number, disease in enumerate(found, 1):
        yield {
            "resourceType": "Condition",
            "id": f"{person.id}-c{number}",
            "clinicalStatus": _coded("http://terminology.hl7.org/CodeSystem/condition-clinical", "active"),
            "verificationStatus": _coded("http://terminology.hl7.org/CodeSystem/condition-ver-status", "confirmed"),
            "code": _codings(*CONDITIONS[disease]),
            "subject": _subject(person),
            "onsetDateTime": person.diagnosed.isoformat(),
            "recordedDate": person.diagnosed.isoformat(),
        }
    for receptor, positive in person.receptors.items():
        yield {
            "resourceType": "Observation",
            "id": f"{person.id}-{receptor}",
            "status": "final",
            "code": _coded(LOINC, RECEPTORS[receptor]),
            "subject": _subject(person),
            "effectiveDateTime": person.diagnosed.isoformat(),
            "valueCodeableConcept": _coded(SNOMED, "10828004" if positive else "260385009"),
        }


def _therapy(person: Person, therapy: Therapy, until: date) -> list[Json]:
    if therapy.start > until:
        return []
    end = therapy.end if therapy.end is not None and therapy.end <= until else None
    drug = {"medicationCodeableConcept": _codings(DRUGS[therapy.drug], therapy.drug), "subject": _subject(person)}
    intent: Json = {}
    if therapy.neoadjuvant:
        concept = _coded(SNOMED, "373847000")
        intent = {"extension": [{"url": TREATMENT_INTENT, "valueCodeableConcept": concept}]}
    if therapy.doses:
        return [
            {
                "resourceType": "MedicationAdministration",
                **intent,
                "status": "completed",
                **drug,
                "effectiveDateTime": dose.isoformat(),
            }
            for dose in therapy.doses
            if dose <= until
        ]
    period = {"start": therapy.start.isoformat()} | ({"end": end.isoformat()} if end else {})
    start = therapy.start.isoformat()
    # An end became known on the day of the end, not when the record was begun.
    head = {"meta": {"lastUpdated": f"{end.isoformat()}T16:00:00Z"}} if end else {}
    status = "completed" if end else "active"
    if therapy.ordered:
        instruction = {"timing": {"repeat": {"boundsPeriod": period}}}
        return [
            {
                "resourceType": "MedicationRequest",
                **head,
                **intent,
                "status": status,
                "intent": "order",
                **drug,
                "authoredOn": start,
                "dosageInstruction": [instruction],
            }
        ]
    return [
        {
            "resourceType": "MedicationStatement",
            **head,
            **intent,
            "status": status,
            **drug,
            "effectivePeriod": period,
            "dateAsserted": start,
        }
    ]


def _operation(person: Person, operation: Operation, until: date) -> list[Json]:
    if operation.day > until:
        return []
    return [
        {
            "resourceType": "Procedure",
            "extension": [{"url": PROCEDURE_INTENT, "valueCodeableConcept": _coded(SNOMED, "373808002")}],
            "status": "completed",
            "code": _codings(*PROCEDURES[operation.kind]),
            "subject": _subject(person),
            "performedDateTime": operation.day.isoformat(),
            "reasonReference": [{"reference": f"Condition/{person.id}-c1"}],
        }
    ]


def _disturbance(person: Person, event: Disturbance, until: date) -> list[Json]:
    if event.start > until:
        return []
    end = event.end if event.end is not None and event.end <= until else None
    head = {"meta": {"lastUpdated": f"{end.isoformat()}T16:00:00Z"}} if end else {}
    if event.kind in PROCEDURES:
        period = {"start": event.start.isoformat()} | ({"end": end.isoformat()} if end else {})
        return [
            {
                "resourceType": "Procedure",
                **head,
                "status": "completed" if end else "in-progress",
                "code": _codings(*PROCEDURES[event.kind]),
                "subject": _subject(person),
                "performedPeriod": period,
            }
        ]
    status = _coded("http://terminology.hl7.org/CodeSystem/condition-clinical", "resolved" if end else "active")
    return [
        {
            "resourceType": "Condition",
            **head,
            "clinicalStatus": status,
            "code": _codings(*CONDITIONS[event.kind]),
            "subject": _subject(person),
            "onsetDateTime": event.start.isoformat(),
            **({"abatementDateTime": end.isoformat()} if end else {}),
            "recordedDate": event.start.isoformat(),
        }
    ]


def _imaging(person: Person, imaging: Imaging, until: date) -> list[Json]:
    if imaging.day > until:
        return []
    return [
        {
            "resourceType": "Observation",
            "status": "final",
            "code": _coded(METHOD_SYSTEM, "imaging-response"),
            "subject": _subject(person),
            "effectiveDateTime": imaging.day.isoformat(),
            "issued": f"{imaging.day.isoformat()}T15:00:00Z",
            "valueCodeableConcept": _coded(METHOD_SYSTEM, imaging.response),
        }
    ]


def _specimen(person: Person, measurement: Measurement) -> Json:
    assay = measurement.assay
    specimen: Json = {
        "resourceType": "Specimen",
        "id": measurement.specimen_id,
        "type": _coded(SNOMED, SPECIMENS[assay.specimen]),
        "subject": {"reference": f"Patient/{person.known_as(measurement)[0]}"},
    }
    if not assay.declared:
        if measurement.collected is not None:
            specimen["collection"] = {"collectedDateTime": measurement.collected}
        specimen["identifier"] = [{"value": measurement.specimen_id}]
        specimen["processing"] = [{"procedure": _coded(METHOD_SYSTEM, assay.isolation)}]
        specimen["container"] = [{"additiveCodeableConcept": _coded(METHOD_SYSTEM, assay.tube)}]
    return specimen


def _observation(person: Person, measurement: Measurement, version: Version, number: int) -> Json:
    assay = measurement.assay
    signed = {"value": assay.laboratory.identifier}
    if assay.laboratory.system:
        signed = {"system": assay.laboratory.system, **signed}
    observation: Json = {
        "resourceType": "Observation",
        "id": measurement.id,
        "status": version.status,
        "code": _coded(MARKER_SYSTEM, assay.code),
        "subject": {"reference": f"Patient/{person.known_as(measurement)[0]}"},
        "issued": version.issued,
        "performer": [{"identifier": signed}],
        "specimen": {"reference": f"Specimen/{measurement.specimen_id}"},
    }
    if len(measurement.versions) > 1:
        observation["meta"] = {"versionId": str(number), "lastUpdated": version.issued}
    if measurement.collected is not None:
        observation["effectiveDateTime"] = measurement.collected
    if not assay.declared:
        laboratory = "http://terminology.hl7.org/CodeSystem/observation-category"
        observation["category"] = [_coded(laboratory, "laboratory")]
        observation["method"] = _coded(METHOD_SYSTEM, assay.method)
        observation["device"] = {"display": assay.platform}
    if version.value is not None:
        observation["valueQuantity"] = _quantity(version.value, measurement.unit, version.comparator)
    else:
        reasons = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
        observation["dataAbsentReason"] = _coded(reasons, "error")
    if components := list(_components(measurement)):
        observation["component"] = components
    return observation


def _components(measurement: Measurement) -> Iterator[Json]:
    assay = measurement.assay
    if measurement.total_ev is not None:
        yield _part("total-ev", valueQuantity=_quantity(measurement.total_ev, "10*9{particles}/mL"))
    words: dict[str, str] = {}
    if not assay.declared:
        if assay.limit is not None:
            yield _part("limit-of-detection", valueQuantity=_quantity(assay.limit, assay.unit))
        if assay.efficiency is not None:
            yield _part("amplification-efficiency", valueQuantity=_quantity(assay.efficiency, "1"))
        words = {"reagents": assay.reagents, "normaliser": assay.normaliser, "reagent-lot": assay.lot, **assay.checks}
    for name, word in (words | dict(measurement.stated)).items():
        if name in _CHECKS:
            yield _part(name, valueCodeableConcept=_coded(METHOD_SYSTEM, word))
        else:
            yield _part(name, valueString=word)


def _part(name: str, **value: Json | str) -> Json:
    return {"code": _coded(MARKER_SYSTEM, name), **value}
