"""Mapped results that the chart will not be able to use: stored as they were sent, and named to whoever sends them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cds.chart.catalogue import Catalogue
from cds.chart.clock import Known
from cds.chart.results import COUNTS, read_result, recognise
from cds.intake.delivery import Refused

REASONS: Mapping[str, tuple[str, str]] = {
    "no-collection-date": (
        "it is not known when the specimen was collected", "send the collection (OBX-14, OBR-7, SPM-17, the table's column)",
    ),
    "no-value": ("it has no value", "send it again with its value, or with status X if it was not measured"),
    "unreadable-value": ("its value is no figure", "send one figure, with < or > before it if need be"),
    "no-unit": ("it has no unit", "send the unit"),
    "unit-not-convertible": ("its unit is none of the marker's", "send it in a unit that the marker's file accepts"),
    "negative": ("its value is negative", "correct it at the laboratory"),
    "zero-without-lod": (
        "it is zero, and the limit of detection is not known", "send < and the limit, or state it in the laboratory's file",
    ),
    "efficiency-not-stated": (
        "it is a delta-Ct without the efficiency of amplification", "send it, or state it in the laboratory's file",
    ),
}  # fmt: skip
"""Faults of a result that lie with who sends it, and what to do."""


def unreadable(resources: Sequence[dict[str, Any]], source: str, catalogue: Catalogue) -> list[Refused]:
    """Every marker result among mapped resources of `source` that the chart will call faulty: where it stood, why, what to do."""
    index = {f"{one['resourceType']}/{one['id']}": one for one in resources}
    places = {
        one["target"][0]["reference"]: str(one["entity"][0]["what"]["display"]).removeprefix(f"{source}, ")
        for one in resources
        if one["resourceType"] == "Provenance"
    }
    found: list[Refused] = []
    for ref, observation in index.items():
        if observation["resourceType"] != "Observation":
            continue
        meaning = recognise(observation, catalogue).meaning
        if meaning is None or meaning.ignored or meaning.analyte is not None or observation["status"] not in COUNTS:
            continue
        result = read_result(observation, ref, meaning, Known(), catalogue, index)
        where = places.get(ref, ref)
        found += [
            Refused(where, _name(observation), *REASONS[fault]) for fault in sorted(result.faults & REASONS.keys())
        ]
    return found


def _name(observation: Mapping[str, Any]) -> str:
    """What a result is called in a list of results: its first code."""
    return next((str(one["code"]) for one in observation["code"].get("coding", ()) if "code" in one), "?")
