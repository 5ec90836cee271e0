"""Versions of one result: corrections, withdrawals and updates, in the order in which they replace one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from itertools import pairwise
from typing import Any

import msgspec

from cds.chart.assay import items
from cds.chart.clock import Known
from cds.chart.envelope import Entry
from cds.chart.model import Result


class Version(msgspec.Struct):
    """One version of a marker result. `result` is None if its status does not count from then on."""

    known: Known
    updated: Known  # the later of issue and last update
    resource: dict[str, Any]
    result: Result | None
    linked: frozenset[str] = frozenset()  # Observations that it names: hasMember, derivedFrom
    path: str = ""  # where it stands in the input


_STATUS = {"final": 1, "amended": 2, "corrected": 3, "cancelled": 4, "entered-in-error": 5}

_REVISED = ("amended", "corrected", "cancelled", "entered-in-error")


def rank_of(known: Known, updated: Known, resource: Mapping[str, Any]) -> tuple[Any, ...]:
    """Orders the versions of one resource: by when they became known, then by number, then by how final they are."""
    return known.order, updated.order, revision(resource), _STATUS.get(str(resource.get("status")), 0)


def newest(resources: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Of several versions of a resource the newest; of equals the last, as in a Bundle that repeats it."""
    return max(reversed(resources), key=revision)  # of equals `max` takes the first


def revision(resource: Mapping[str, Any]) -> int:
    """The number in `meta.versionId`; 0 if there is none."""
    meta = resource.get("meta")
    number = meta.get("versionId") if isinstance(meta, dict) else None
    return int(number) if isinstance(number, str) and number.isascii() and number.isdigit() and len(number) < 19 else 0


class Versions:
    """Which Observations are versions of one result: equal id, or equal business identifier for one marker."""

    def __init__(self) -> None:
        self._found: list[list[Version]] = []
        self._by_key: dict[Any, int] = {}
        self._days: list[tuple[date | None, bool]] = []
        self._bare: set[int] = set()  # entered without a full URL, so known by id alone

    def __contains__(self, ref: str) -> bool:
        return ref in self._by_key

    def add(self, entry: Entry, ref: str, marker: str, version: Version, day: date | None, revised: bool) -> None:
        """Take up one version. An identifier that a laboratory gives to samples of several days joins nothing."""
        url = entry.url.partition("/_history/")[0] if entry.url and entry.url.startswith("http") else None
        identifiers = _identifiers(entry.resource, marker) if "identifier" in entry.resource else ()
        number = self._by_key.get(url or ref)
        if number is None and url is not None and self._by_key.get(ref) in self._bare:
            number = self._by_key[ref]
        if number is None:
            for identifier in identifiers:
                candidate = self._by_key.get(identifier)
                if candidate is not None and (revised or self._days[candidate][1] or day == self._days[candidate][0]):
                    number = candidate
                    break
        if number is None:
            number = len(self._found)
            self._found.append([])
            self._days.append((day, revised))
            if url is None:
                self._bare.add(number)
        if url is not None:
            self._by_key.setdefault(url, number)
        for key in (ref, *identifiers):
            self._by_key.setdefault(key, number)
        self._found[number].append(version)

    def of(self, ref: str) -> list[Version]:
        """The versions of the result of that id."""
        return self._found[self._by_key[ref]]

    def join(self, ref: str, version: Version) -> None:
        """Add a version to the result of that id."""
        self._found[self._by_key[ref]].append(version)

    def in_order(self) -> list[list[Version]]:
        """For each result its versions, earliest first."""
        for versions in self._found:
            if len(versions) > 1:
                _order(versions)
        return self._found


def _identifiers(resource: Mapping[str, Any], marker: str) -> tuple[tuple[str, str, str], ...]:
    return tuple(
        (identifier["system"], identifier["value"], marker)
        for identifier in items(resource["identifier"])
        if isinstance(identifier.get("system"), str) and isinstance(identifier.get("value"), str)
    )


def _order(versions: list[Version]) -> None:
    latest = max((version.updated for version in versions), key=lambda known: known.order)
    newest = max((version.known for version in versions), key=lambda known: known.order)
    for version in versions:
        # A bare "entered-in-error" without any date withdraws what is there; it does not come before it.
        if version.known.assumed and version.resource.get("status") in _REVISED:
            version.known, version.updated = newest, latest
    ranked = sorted(
        (rank_of(version.known, version.updated, version.resource), _content(version), number, version)
        for number, version in enumerate(versions)
    )
    versions[:] = [version for *_, version in ranked]
    for (rank, content, _, earlier), (later_rank, later_content, _, later) in pairwise(ranked):
        # A server keeps the issue time through its updates: a later version was not known before its update.
        if not later.updated.assumed and later.updated.order > later.known.order:
            later.known = later.updated
        if earlier.result is None or later.result is None or rank != later_rank:
            continue
        if content != later_content:  # nothing says which of the two is the newer
            later.result = msgspec.structs.replace(later.result, faults=later.result.faults | {"conflict"})


def _content(version: Version) -> str:
    result = version.result
    return "" if result is None else f"{result.marker} {result.collected} {result.low} {result.high} {result.shown}"
