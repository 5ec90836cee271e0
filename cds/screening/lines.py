"""Whose a line of an export is: read as far as that asks, and no further.

The answers are those of `cds.chart`: a reference names a patient relatively or by address; an identifier names whoever has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec

from cds.chart.clock import relative
from cds.chart.reading import READ, SHARED, meant_type
from cds.record.spelling import respelt

Json = dict[str, Any]
Identifier = tuple[str, str]
"""System and value."""


@dataclass(frozen=True, slots=True)
class Owned:
    """A line of a patient: `Patient/123`, when it was last updated ("" if it does not say), and of the Patient their identifiers."""

    kind: str
    patient: str
    updated: str
    identifiers: tuple[Identifier, ...] = ()


@dataclass(frozen=True, slots=True)
class Named:
    """A line of whoever has one of these identifiers."""

    kind: str
    identifiers: tuple[Identifier, ...]
    updated: str


@dataclass(frozen=True, slots=True)
class Shared:
    """A line of nobody in particular, to which others refer: `Medication/1`; when it was last updated."""

    name: str
    updated: str = ""

    @property
    def kind(self) -> str:
        return self.name.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Unread:
    """A line of a type about which no rule asks."""

    kind: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A line that cannot be used: why, and what can be done. It quotes nothing of the line."""

    reason: str
    hint: str


class _Reference(msgspec.Struct):
    reference: str


class _Meta(msgspec.Struct):
    lastUpdated: str = ""


class _Usual(msgspec.Struct):
    """The usual shape of a line."""

    resourceType: str
    id: str = ""
    subject: _Reference | None = None
    patient: _Reference | None = None
    identifier: Any = None
    meta: _Meta | None = None


UNREADABLE = (
    "it cannot be read to its end: a sign that is no UTF-8, or a number that is none",
    "export it again as UTF-8",
)
_RESOURCE = msgspec.json.Decoder(float_hook=Decimal)


def resource_of(line: bytes) -> Json | None:
    """The resource of a line as a chart reads it; None if it cannot be read to its end."""
    try:
        found: Json = _RESOURCE.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ArithmeticError, ValueError):
        return None
    return found


_USUAL = msgspec.json.Decoder(_Usual)
_ANY = msgspec.json.Decoder()

Sorted = Owned | Named | Shared | Unread | Refused


def sort_out(line: bytes, server: str = "") -> Sorted:
    """Whose a line is. `server` is the base URL of the server that the export is of, if it is known: a patient of another is none of it."""
    try:
        usual = _USUAL.decode(line)
    except msgspec.ValidationError:
        return _unusual(line, server)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _NOT_JSON
    kind = usual.resourceType
    if kind not in READ:
        return _other(kind, usual.id, usual.meta.lastUpdated if usual.meta is not None else "")
    updated = usual.meta.lastUpdated if usual.meta is not None else ""
    if kind == "Patient":
        if not usual.id or "/" in usual.id:
            return _NO_ID
        return Owned(kind, f"Patient/{usual.id}", updated, _identifiers(usual.identifier))
    reference = usual.subject or usual.patient
    if reference is None or not reference.reference or reference.reference[0] == "#":
        return _unusual(line, server)
    return _called(kind, reference.reference, updated, server)


_NOT_JSON = Refused(
    "it is no JSON", "export it again; likely the transfer was interrupted, or something else was written between"
)
_NO_TYPE = Refused("it is no FHIR resource: it has no resourceType", "each line of an export is one resource")
_NO_ID = Refused(
    "a Patient without an id that can be referred to",
    "resources name their patient by it: export it again from the server",
)
_NOBODY = Refused("it does not say whose it is", "add a subject")
_ELSEWHERE = Refused("it is of a patient of another server", "export that server too, and screen it apart")
_BUNDLE = Refused("a Bundle", "each line of an export is one resource; for Bundles there is `exowatch evaluate`")
_OUTCOME = Refused(
    "an OperationOutcome: the server could not export something", "see what the server says in this line"
)


def _other(kind: str, name: str, updated: str) -> Sorted:
    if kind in SHARED:
        return (
            Shared(f"{kind}/{name}", updated)
            if name
            else Refused(f"{kind} without an id", "resources refer to it by its id")
        )
    if kind == "Bundle":
        return _BUNDLE
    if kind == "OperationOutcome":
        return _OUTCOME
    meant = meant_type(kind)
    return Refused("its resourceType is none of FHIR", f"write {meant}") if meant else Unread(kind)


def _unusual(line: bytes, server: str) -> Sorted:
    """Whose a line of another shape is."""
    try:
        resource = _ANY.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _NOT_JSON
    if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
        return _NO_TYPE
    kind, name = resource["resourceType"], resource.get("id")
    meta = resource.get("meta")
    stated = meta.get("lastUpdated") if isinstance(meta, dict) else ""
    updated = stated if isinstance(stated, str) else ""
    if kind not in READ:
        return _other(kind, name if isinstance(name, str) else "", updated)
    if kind == "Patient":
        if not isinstance(name, str) or not name or "/" in name:
            return _NO_ID
        return Owned(kind, f"Patient/{name}", updated, _identifiers(resource.get("identifier")))
    subject = resource.get("subject") or resource.get("patient")
    if not isinstance(subject, dict):
        return _NOBODY
    target = subject.get("reference")
    named: tuple[Identifier, ...] = ()
    if isinstance(target, str) and target:
        if target[0] != "#":
            return _called(kind, target, updated, server)
        contained = resource.get("contained")
        for one in contained if isinstance(contained, list) else ():
            if isinstance(one, dict) and one.get("id") == target[1:]:
                named = _identifiers(one.get("identifier"))
                break
    else:
        named = _identifiers(subject.get("identifier"))
    return Named(kind, named, updated) if named else _NOBODY


def _called(kind: str, target: str, updated: str, server: str) -> Sorted:
    target = target.partition("/_history/")[0]
    if "://" not in target:
        return Owned(kind, target, updated)
    name = relative(target)
    if server and not _is_at(target.removesuffix(name), server):
        return _ELSEWHERE
    return Owned(kind, name, updated)


@lru_cache(maxsize=1024)
def _is_at(base: str, server: str) -> bool:
    return respelt(base) == respelt(server)


def _identifiers(stated: Any) -> tuple[Identifier, ...]:
    found = stated if isinstance(stated, list) else [stated]
    return tuple(
        (one["system"], one["value"])
        for one in found
        if isinstance(one, dict) and isinstance(one.get("system"), str) and isinstance(one.get("value"), str)
    )
