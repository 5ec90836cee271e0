"""FHIR resources as tests need them, in few words."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from cds.chart.catalogue import MARKER_SYSTEM, METHOD_SYSTEM, Catalogue, load_catalogue
from cds.chart.model import Chart, Result
from cds.chart.reading import read
from cds.chart.units import UCUM

Json = dict[str, Any]
RULES = Path(__file__).resolve().parents[2] / "rules"
LAB = {"identifier": {"system": "https://exosome-lab.example/id", "value": "EEL-01"}}
PATIENT: Json = {"resourceType": "Patient", "id": "1", "birthDate": "1970-02-03", "gender": "female"}
MILLION = "10*6{particles}/mL"


@cache
def catalogue() -> Catalogue:
    return load_catalogue(RULES)


def quantity(value: Any, unit: str | None = MILLION, /, **more: Any) -> Json:
    stated: Json = {"value": value, **more}
    if unit is not None:
        stated |= {"unit": unit, "code": unit, "system": UCUM}
    return stated


def coded(code: str, system: str = METHOD_SYSTEM) -> Json:
    return {"coding": [{"system": system, "code": code}]}


def part(name: str, answer: Any = None, unit: str | None = None) -> Json:
    """A component: a number with its unit, or a code of exosomal-method."""
    component: Json = {"code": coded(name, MARKER_SYSTEM)}
    if isinstance(answer, (int, float)):
        component["valueQuantity"] = quantity(answer, unit)
    elif answer is not None:
        component["valueCodeableConcept"] = coded(answer)
    return component


def observation(name: str = "o1", value: Any = 2.0, day: str | None = "2025-04-07", **more: Any) -> Json:
    """A TRPC5 result; `more` replaces any element, None takes it away."""
    resource: Json = {
        "resourceType": "Observation",
        "id": name,
        "status": "final",
        "code": coded("trpc5-ev", MARKER_SYSTEM),
        "subject": {"reference": "Patient/1"},
        "effectiveDateTime": day,
        "valueQuantity": quantity(value),
        **more,
    }
    return {key: element for key, element in resource.items() if element is not None}


def bundle(*resources: Json) -> Json:
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": resource} for resource in resources]}


def chart(*resources: Json, as_of: str = "2030-01-01") -> Chart:
    return read(bundle(PATIENT, *resources), catalogue()).as_of(as_of)


def results(*resources: Json, as_of: str = "2030-01-01", marker: str = "trpc5-ev") -> tuple[Result, ...]:
    return chart(*resources, as_of=as_of).results.get(marker, ())


def result(*resources: Json, marker: str = "trpc5-ev", as_of: str = "2030-01-01") -> Result:
    """The only result of these resources."""
    (only,) = results(*resources, marker=marker, as_of=as_of)
    return only
