"""What one resource says about a drug being given: from when to when, and whether it happened at all.

Read are MedicationAdministration, MedicationStatement, MedicationRequest and the Procedure of a treatment. What they
say is one version each, known since a time; `standing` picks the version that counts at a moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any, Generic, Literal, TypeVar

import msgspec

from cds.chart.clock import Item, Known, Moment, When, when
from cds.chart.model import LeftOut

T = TypeVar("T")

Progress = Literal["running", "done", "paused", "planned", "void"]
"""running: no end yet; paused: begun, and for how long is unknown; void: it did not happen."""

_PROGRESS: dict[str, dict[str, Progress]] = {
    "MedicationAdministration": {
        "in-progress": "running",
        "completed": "done",
        "stopped": "done",
        "on-hold": "paused",
        "unknown": "paused",
        "not-done": "void",
        "entered-in-error": "void",
    },
    "MedicationStatement": {
        "active": "running",
        "completed": "done",
        "stopped": "paused",
        "on-hold": "paused",
        "unknown": "paused",
        "intended": "planned",
        "not-taken": "void",
        "entered-in-error": "void",
    },
    "MedicationRequest": {
        "active": "running",
        "completed": "done",
        "stopped": "paused",
        "on-hold": "paused",
        "unknown": "paused",
        "draft": "planned",
        "cancelled": "void",
        "entered-in-error": "void",
    },
    "Procedure": {
        "in-progress": "running",
        "completed": "done",
        "stopped": "done",
        "on-hold": "paused",
        "unknown": "done",
        "preparation": "planned",
        "not-done": "void",
        "entered-in-error": "void",
    },
}
TREATMENTS = frozenset(_PROGRESS)
_PLANS = ("proposal", "plan", "option")
_DAYS = {"d": 1.0, "day": 1.0, "days": 1.0, "wk": 7.0, "week": 7.0, "weeks": 7.0, "mo": 30.4375, "month": 30.4375,
         "months": 30.4375, "a": 365.25, "h": 1 / 24}  # fmt: skip


class Version(msgspec.Struct, Generic[T]):
    """What one version of a resource says. Its status and its end count from `updated` on; before that it went on."""

    known: Known
    updated: Known
    content: T


class Span(msgspec.Struct):
    """When a resource says that something was, is or will be, and how it stands with it."""

    ref: str
    progress: Progress
    start: When | None = None
    end: When | None = None
    supplied: bool = False  # the end is only that of the supply
    ordered: bool = False  # an order: that it was carried out is not said
    given: bool = False  # a record of the act itself, dose by dose


def standing(histories: Iterable[list[Version[T]]], moment: Moment) -> Iterator[tuple[T, bool]]:
    """The version of each resource that was known last at the moment, and whether its status was known by then."""
    for versions in histories:
        for version in reversed(versions):
            if version.known.by(moment):
                yield version.content, version.updated.by(moment)
                break


class Histories(Generic[T]):
    """The versions of each resource, in the order in which they replace one another."""

    __slots__ = ("_by_ref",)

    def __init__(self) -> None:
        self._by_ref: dict[str, list[Version[T]]] = {}

    def __iter__(self) -> Iterator[list[Version[T]]]:
        return iter(self._by_ref.values())

    def __contains__(self, ref: str) -> bool:
        return ref in self._by_ref

    def add(self, item: Item, clock: When | None, content: T) -> None:
        """Take up a version; `clock` is its own first clock, for when nothing says since when it is known."""
        versions = self._by_ref.setdefault(item.ref, [])
        versions.append(Version(item.known_or(clock), item.updated, content))


def read_span(item: Item, left_out: list[LeftOut]) -> Span | None:
    """The span of a treatment resource; None (and a note) if its status is none of FHIR's.

    Dates that cannot be read count as not stated, with a note.
    """
    resource = item.resource
    kind = resource["resourceType"]
    status = resource.get("status")
    progress = _PROGRESS[kind].get(status) if isinstance(status, str) else None
    if progress is None:
        left_out.append(
            LeftOut(
                f"{item.path}.status", item.ref, f"the status '{str(status)[:40]}' is none of a {kind}",
                f"one of: {', '.join(_PROGRESS[kind])}",
            )
        )  # fmt: skip
        return None
    span = Span(item.ref, progress)
    if kind == "MedicationRequest":
        span.ordered = True
        if resource.get("doNotPerform") is True:
            span.progress = "void"
        elif progress != "void" and resource.get("intent") in _PLANS:
            span.progress = "planned"
        _read_order(item, span, left_out)
    elif kind == "Procedure":
        span.given = True
        _read_effective(item, "performed", span, left_out)
    else:
        span.given = kind == "MedicationAdministration"
        _read_effective(item, "effective", span, left_out)
    if span.start is not None and span.end is not None and span.end.last < span.start.first:
        left_out.append(LeftOut(item.path, item.ref, "it ends before it starts", "the end is not used; correct it"))
        span.end = None
        if span.progress == "done":
            span.progress = "paused"
    return span


def stated(item: Item, holder: dict[str, Any], name: str, left_out: list[LeftOut]) -> When | None:
    """The date under `name`; None if there is none, or none that can be read (which is noted)."""
    text = holder.get(name)
    if text is None:
        return None
    found = when(text)
    if found is None:
        left_out.append(
            LeftOut(f"{item.path}.{name}", item.ref, f"'{str(text)[:40]}' is no date", "write it as 2025-04-08")
        )
    return found


def stated_period(
    item: Item, name: str, left_out: list[LeftOut], holder: dict[str, Any] | None = None
) -> tuple[When | None, When | None]:
    """Start and end of the Period under `name`."""
    period = (item.resource if holder is None else holder).get(name)
    if not isinstance(period, dict):
        return None, None
    return stated(item, period, "start", left_out), stated(item, period, "end", left_out)


def _read_effective(item: Item, name: str, span: Span, left_out: list[LeftOut]) -> None:
    resource = item.resource
    if f"{name}Period" in resource:
        span.start, span.end = stated_period(item, f"{name}Period", left_out)
    else:
        span.start = stated(item, resource, f"{name}DateTime", left_out)


def _read_order(item: Item, span: Span, left_out: list[LeftOut]) -> None:
    resource = item.resource
    days = 0.0
    for dosage in _objects(resource.get("dosageInstruction")):
        timing = dosage.get("timing")
        repeat = timing.get("repeat") if isinstance(timing, dict) else None
        if not isinstance(repeat, dict):
            continue
        start, end = stated_period(item, "boundsPeriod", left_out, repeat)
        if start is not None and (span.start is None or start.first < span.start.first):
            span.start = start
        if end is not None and (span.end is None or end.last > span.end.last):
            span.end = end
        days = max(days, _days(repeat.get("boundsDuration")))
    if span.start is None:
        span.start = stated(item, resource, "authoredOn", left_out)
    if span.end is None and span.start is not None:
        if days:
            span.end = _after(span.start, days)
        else:
            _read_supply(resource.get("dispenseRequest"), span)


def _read_supply(dispense: object, span: Span) -> None:
    if not isinstance(dispense, dict) or span.start is None:
        return
    days = _days(dispense.get("expectedSupplyDuration"))
    repeats = dispense.get("numberOfRepeatsAllowed")
    if isinstance(repeats, int) and not isinstance(repeats, bool) and 0 < repeats < 100:
        days *= 1 + repeats
    if days:
        span.end, span.supplied = _after(span.start, days), True


def _after(start: When, days: float) -> When | None:
    """The last of so many days, the first included."""
    try:
        last = start.last + timedelta(days=max(round(days), 1) - 1)
    except OverflowError:
        return None
    return When(last.isoformat(), last, last)


def _days(duration: object) -> float:
    if not isinstance(duration, dict):
        return 0.0
    value, unit = duration.get("value"), duration.get("code") or duration.get("unit")
    try:
        days = float(value) * _DAYS[unit]  # type: ignore[arg-type, index]  # what it is not, is caught
    except (KeyError, TypeError, ValueError, OverflowError):
        return 0.0
    return days if 0 < days < 40_000 else 0.0


def _objects(value: object) -> list[dict[str, Any]]:
    if isinstance(value, list):
        return [item for item in value if isinstance(item, dict)]
    return [value] if isinstance(value, dict) else []
