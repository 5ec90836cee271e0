"""How a result was measured: what its Observation and its specimen say, filled up from the laboratory's declaration.

A laboratory measures its results alike, so most of them share one `Measurement`. It is read once for each wording that comes
along, a wording being the JSON of everything that says how, not what or when.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from cds.chart.assay import (
    Json,
    Preparation,
    checks_of,
    code,
    efficiency,
    fraction,
    items,
    laboratory_of,
    parts_of,
    platform_of,
    preparation_of,
    read_type_word,
    word,
)  # fmt: skip
from cds.chart.catalogue import Catalogue, Marker, Meaning
from cds.chart.clock import resolve
from cds.chart.declarations import Assay, Laboratory
from cds.chart.model import Method
from cds.chart.units import Family, linear
from cds.chart.values import INFINITE, Limits, read_value

_SEEN_AT_MOST = 4096
_ENCODER = msgspec.json.Encoder(decimal_format="number")


class Measurement:
    """The method and everything else that the results of one assay share; `declared` names what the laboratory filled in."""

    __slots__ = (
        "_assay", "_limits", "_marker", "_parts", "_scale", "bridged", "checks", "cva", "cvi", "declared", "lot", "method",
        "regulatory", "spellings",
    )  # fmt: skip

    def __init__(
        self,
        observation: Json,
        parts: Mapping[str, Json],
        preparation: Preparation,
        marker: Marker,
        scale: str,
        assay: Assay | None,
    ):
        declared: set[str] = set()
        self.method = _method(observation, parts, preparation, scale, assay, declared)
        self.checks = checks_of(parts)
        if preparation.haemolysed:
            self.checks["haemolysis"] = False
        self.cva, self.cvi = fraction(parts.get("analytical-cv")), fraction(parts.get("within-person-cv"))
        self.lot, self.regulatory = word(parts.get("reagent-lot")), word(parts.get("regulatory-status"))
        self.bridged = word(parts.get("bridging")) == "stated"
        self.spellings: Mapping[str, str] | None = None
        if assay is not None:
            self._fill(assay, parts, declared)
        self.declared = frozenset(declared)
        self._marker, self._scale, self._assay, self._parts = marker, scale, assay, parts
        self._limits: dict[str, tuple[Limits, frozenset[str], tuple[str, ...]]] = {}

    def _fill(self, assay: Assay, parts: Mapping[str, Json], declared: set[str]) -> None:
        self.spellings = assay.units
        for name, answer in assay.checks.items():
            if name not in self.checks and name not in parts:
                self.checks[name] = answer
                declared.add(name)
        if assay.cva is not None and "analytical-cv" not in parts:
            self.cva = assay.cva
            declared.add("cva")
        if assay.cvi is not None and "within-person-cv" not in parts:
            self.cvi = assay.cvi
            declared.add("cvi")
        if assay.lot is not None and "reagent-lot" not in parts:
            self.lot = assay.lot
            declared.add("lot")
        if assay.bridged and "bridging" not in parts:
            self.bridged = True
            declared.add("bridged")
        if assay.regulatory is not None and "regulatory-status" not in parts:
            self.regulatory = assay.regulatory
            declared.add("regulatory")

    def limits(self, family: Family) -> tuple[Limits, frozenset[str], tuple[str, ...]]:
        """The limits on the linear scale of a unit family, `declared` with what they add, and which were stated of no use."""
        known = self._limits.get(family.name)
        if known is None:
            assay = self._assay
            detection, filled = self._limit(family, "limit-of-detection", None if assay is None else assay.lod)
            quantification, also = self._limit(family, "limit-of-quantification", None if assay is None else assay.loq)
            added = {name for name, is_so in (("lod", filled), ("loq", also)) if is_so}
            stated = (("limit-of-detection", detection), ("limit-of-quantification", quantification))
            unread = tuple(name for name, limit in stated if name in self._parts and limit is None)
            known = self._limits[family.name] = Limits(detection, quantification), self.declared | added, unread
        return known

    def _limit(self, family: Family, name: str, declared: tuple[Decimal, str] | None) -> tuple[float | None, bool]:
        part = self._parts.get(name)
        if part is not None:
            limit = read_value(part, self._marker.units, self._scale, self.method.efficiency, self.spellings)
            if limit.unit is None or limit.unit.family.name != family.name:
                return None, False
            return (limit.high if limit.high != INFINITE else limit.low) or None, False
        if declared is None:
            return None, False
        figures, text = declared
        unit = self._marker.units.get((self._scale, text))
        if unit is None or unit.family.name != family.name:
            return None, False
        if unit.family.scale == "delta-ct" and self.method.efficiency is None:
            return None, False
        return linear(figures, unit, self.method.efficiency), True


class Wording(NamedTuple):
    """One way in which results say how they were measured."""

    observation: Json
    parts: Mapping[str, Json]
    preparation: Preparation
    meaning: Meaning
    laboratory: str | None  # the name to compare it by
    declaration: Laboratory | None
    read: dict[int, Measurement]  # by the assay that the laboratory declares for the day

    def measurement(self, marker: Marker, assay: Assay | None) -> Measurement:
        """What it says, with what the laboratory declared for that assay."""
        key = id(assay)
        known = self.read.get(key)
        if known is None:
            known = self.read[key] = Measurement(
                self.observation, self.parts, self.preparation, marker, self.meaning.scale, assay
            )
        return known


def wording_of(
    observation: Json, specimen: Json | None, meaning: Meaning, catalogue: Catalogue, index: Mapping[str, Json]
) -> tuple[Wording, Json | None]:
    """How the result says that it was measured, and its total EV count, the one component that says what was measured."""
    parts, count = _NO_PARTS, None
    if "component" in observation:
        parts = parts_of(observation, catalogue)
        count = parts.pop("total-ev", None)
    performer = observation.get("performer")
    how = [
        meaning.marker, meaning.scale, meaning.laboratory and meaning.laboratory.name, performer,
        observation.get("method"), observation.get("device"), parts,
        specimen and (
            specimen.get("type"), specimen.get("container"), specimen.get("processing"), specimen.get("condition")
        ),
        [resolve(one, observation, index) for one in items(performer)] if performer else None,
    ]  # fmt: skip
    try:
        key = _ENCODER.encode(how)
    except (TypeError, ValueError, RecursionError):  # half a character, for instance: nothing to remember it by
        return _worded(observation, parts, specimen, meaning, catalogue, index), count
    seen = catalogue.wordings
    known = seen.get(key)
    if known is None:
        if len(seen) >= _SEEN_AT_MOST:
            seen.clear()
        known = seen[key] = _worded(observation, parts, specimen, meaning, catalogue, index)
    return known, count


_NO_PARTS: dict[str, Json] = {}


def _worded(
    observation: Json,
    parts: Mapping[str, Json],
    specimen: Json | None,
    meaning: Meaning,
    catalogue: Catalogue,
    index: Mapping[str, Json],
) -> Wording:
    laboratory, declaration = laboratory_of(observation, meaning, index, catalogue)
    # Of the patient's own data nothing is kept.
    kept: Json = {name: observation[name] for name in ("method", "device") if name in observation}
    return Wording(kept, parts, preparation_of(specimen), meaning, laboratory, declaration, {})


def _method(
    observation: Json,
    parts: Mapping[str, Json],
    preparation: Preparation,
    scale: str,
    assay: Assay | None,
    declared: set[str],
) -> Method:
    if "specimen-type" in parts and preparation.type is None:
        type_, type_unknown = read_type_word(word(parts["specimen-type"]))
        preparation = preparation._replace(type=type_, type_unknown=type_unknown)
    fields: list[Any] = [
        preparation.type,
        word(parts.get("tube")) or preparation.tube,
        word(parts.get("isolation")) or preparation.isolation,
        code(observation.get("method")),
        platform_of(observation, parts),
        word(parts.get("reagents")),
        word(parts.get("normaliser")),
        efficiency(parts.get("amplification-efficiency")) if scale == "delta-ct" else None,
    ]
    if assay is not None:
        for number, (name, part) in enumerate(_METHOD.items()):
            if fields[number] is None and part not in parts:
                fill = getattr(assay.method, name)
                if fill is None or (name == "specimen" and preparation.type_unknown):
                    continue
                if name == "efficiency" and scale != "delta-ct":
                    continue
                fields[number] = fill
                declared.add(name)
    return Method(*fields)


# The fields of Method in their order, with the component that states each.
_METHOD = {
    "specimen": "specimen-type",
    **{name: name for name in ("tube", "isolation", "assay", "platform", "reagents", "normaliser")},
    "efficiency": "amplification-efficiency",
}
