"""Mapped results as people read them: what was measured, and by which numbers its laboratory finds it again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """One result; "" for what was not sent. `order` and `message` are the sender's own numbers, as written."""

    what: str
    value: str
    collected: str
    status: str
    specimen: str = ""
    order: str = ""
    message: str = ""
    place: str = ""  # where in what was sent it stands
    patient: str = ""  # the first of the numbers of whose result it is


def lines(resources: Sequence[Json]) -> list[Line]:
    """A line for each Observation, in their order; its Specimen, Provenance and Patient are looked for among the resources."""
    known = {f"{one['resourceType']}/{one.get('id')}": one for one in resources}
    origins = {
        one["target"][0]["reference"]: [each["what"] for each in one["entity"]]
        for one in resources
        if one["resourceType"] == "Provenance"
    }
    return [
        _line(one, known, origins.get(f"Observation/{one.get('id')}", []))
        for one in resources
        if one["resourceType"] == "Observation"
    ]


def _line(observation: Json, known: Mapping[str, Json], origins: list[Json]) -> Line:
    names = [one.get("display") or one.get("code", "") for one in observation["code"].get("coding", ())]
    specimen = observation.get("specimen", {})
    kept = known.get(str(specimen.get("reference")), {})
    drawn = next(
        _values((*kept.get("identifier", ()), kept.get("accessionIdentifier"), specimen.get("identifier"))), ""
    )
    patient = known.get(observation.get("subject", {}).get("reference", ""), {})
    collection = kept.get("collection", {})
    message, order = (next(_values(one.get("identifier") for one in origins if one.get("type") == kind), "")
                      for kind in ("MessageHeader", "ServiceRequest"))  # fmt: skip
    return Line(
        observation["code"].get("text") or next(filter(None, names), "?"),
        _value(observation),
        str(
            observation.get("effectiveDateTime")
            or observation.get("effectivePeriod", {}).get("start")
            or collection.get("collectedDateTime", "")
        ),
        str(observation.get("status", "")),
        drawn or str(specimen.get("display", "")),
        order,
        message,
        next((str(one["display"]) for one in origins if "display" in one), ""),
        next(_values(patient.get("identifier", ())), ""),
    )


def _values(identifiers: Iterable[Any]) -> Iterator[str]:
    return (str(one["value"]) for one in identifiers if isinstance(one, Mapping) and one.get("value"))


def _value(observation: Json) -> str:
    quantity = observation.get("valueQuantity")
    if isinstance(quantity, Mapping):
        unit = quantity.get("unit") or quantity.get("code") or "(no unit)"
        return f"{quantity.get('comparator', '')}{quantity.get('value', '?')} {unit}"
    concept = observation.get("valueCodeableConcept", {})
    return str(observation.get("valueString") or concept.get("text") or "no value")
