"""Mapped results that the chart will not be able to use: stored as they were sent, and named to whoever sends them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

from cds.chart.assay import sample_of
from cds.chart.catalogue import Catalogue
from cds.chart.clock import Known, Moment, when
from cds.chart.results import COUNTS, REVISED, collected, read_result, recognise
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
    "above-total-ev": (
        "it is above the total EV count of its own sample", "likely a wrong unit or power of ten: correct it at the laboratory",
    ),
    "efficiency-not-stated": (
        "it is a delta-Ct without the efficiency of amplification", "send it, or state it in the laboratory's file",
    ),
    "no-reference-gene": (
        "it is a Ct over no reference gene", "send it over the reference gene that the assay names as its normaliser",
    ),
}  # fmt: skip
"""Faults of a result that lie with who sends it, and what to do."""


_AHEAD = "likely a clock that is wrong, or a typing error: correct it at the laboratory"


def unreadable(
    resources: Sequence[dict[str, Any]],
    source: str,
    catalogue: Catalogue,
    at: datetime,
    undated: Mapping[str, str] = MappingProxyType({}),
) -> list[Refused]:
    """Every marker result among mapped resources of `source`, which came at `at`, that the chart will not use as it is:

    where it stood, why, what to do. `undated` says of places why the time of collection that stands there is of no use.
    """
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
        if meaning is None or meaning.ignored or meaning.analyte is not None:
            continue
        where, name = places.get(ref, ref), _name(observation)
        if observation["status"] in COUNTS | REVISED:
            found += [Refused(where, name, why, _AHEAD) for why in _still_to_come(observation, index, Moment.live(at))]
        if observation["status"] in COUNTS:
            result = read_result(observation, ref, meaning, Known(), catalogue, index)
            for fault in sorted(result.faults & REASONS.keys()):
                reason, hint = REASONS[fault]
                if fault == "no-collection-date" and (stated := result.undated or undated.get(where)):
                    reason, hint = f"{reason}: {stated}", "correct it at the laboratory, and send the result again"
                found.append(Refused(where, name, reason, hint))
    return found


def _still_to_come(observation: dict[str, Any], index: Mapping[str, dict[str, Any]], now: Moment) -> Iterator[str]:
    """Which of its times have not come yet."""
    reported, taken = when(observation.get("issued")), collected(observation, sample_of(observation, index))
    if reported is not None and not Known.at(reported).by(now):
        yield f"its time of report, {reported.text}, is still to come"
    if taken is not None and not Known.supposed(taken).by(now):
        yield f"its time of collection, {taken.text}, is still to come"


def _name(observation: Mapping[str, Any]) -> str:
    """What a result is called in a list of results: its first code."""
    return next((str(one["code"]) for one in observation["code"].get("coding", ()) if "code" in one), "?")
