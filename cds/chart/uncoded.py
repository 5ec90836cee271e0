"""Procedures and conditions near a sample of which nobody can tell whether they disturb it: uncoded, or in systems that are not read.

A code of a system that is read and stands in no table is known to be something else; these are not known to be anything, so
that they are listed among what was left out. Far from every sample they could disturb nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from cds.chart.clock import Item, When, when
from cds.chart.codes import is_read, pairs
from cds.chart.model import LeftOut

_NEAR = timedelta(days=27)  # what an operation or radiotherapy disturbs; an infection that is over disturbs for less
_NOT_DONE = ("not-done", "entered-in-error", "preparation")  # a tuple: a status may be anything, even unhashable
_NEVER_THERE = frozenset({"refuted", "entered-in-error"})
_KNOWN_CATEGORIES = frozenset(
    {"387713003", "103693007", "409063005", "409073007", "24642003", "410606002"}
)  # surgery, which is read as an operation; diagnosis, counselling, education, psychiatry, social service


def uncoded(items: Iterable[Item], samples: Sequence[date]) -> list[LeftOut]:
    """What may have disturbed one of the samples and cannot be recognised; of procedures that are coded alike, the first."""
    newest = {item.ref: item for item in items if item.resource["resourceType"] in ("Procedure", "Condition")}
    found: dict[str, LeftOut] = {}
    for item in newest.values() if samples else ():
        stated = list(pairs(item.resource.get("code")))
        if any(is_read(system) for system, _ in stated):
            continue
        of = _procedure if item.resource["resourceType"] == "Procedure" else _condition
        note = of(item, ", ".join(f"{system}|{code}"[:80] for system, code in stated[:3]), samples)
        if note is not None:
            found.setdefault(note.reason, note)
    return list(found.values())


def _procedure(item: Item, codes: str, samples: Sequence[date]) -> LeftOut | None:
    resource = item.resource
    categories = {code for _, code in pairs(resource.get("category"))}
    if resource.get("status") in _NOT_DONE or categories & _KNOWN_CATEGORIES:
        return None
    period = resource.get("performedPeriod")
    begun, ended = _span(resource.get("performedDateTime"), period)
    if not _is_near(begun, begun if ended is None and period is None else ended, samples):
        return None
    how = f"is coded only in a system that is not read: {codes}" if codes else "is not coded"
    return LeftOut(
        f"{item.path}.code", item.ref,
        f"the procedure {how}. Whether it was an operation, radiotherapy or a transfusion near a sample is not known",
        "send its SNOMED CT, ICD-10-PCS, OPS or CPT code",
    )  # fmt: skip


def _condition(item: Item, codes: str, samples: Sequence[date]) -> LeftOut | None:
    resource = item.resource
    verified = {code for _, code in pairs(resource.get("verificationStatus"))}
    if not codes or verified & _NEVER_THERE:  # one without any code is listed wherever it stands
        return None
    begun, _ = _span(resource.get("onsetDateTime"), resource.get("onsetPeriod"))
    begun = begun or when(resource.get("recordedDate"))
    ended = when(resource.get("abatementDateTime")) or begun
    if begun is None or not _is_near(begun, ended, samples):
        return None
    return LeftOut(
        f"{item.path}.code", item.ref,
        f"the condition is coded only in a system that is not read: {codes}. Whether it is an infection near a sample is not known",
        "send its SNOMED CT or ICD-10 code",
    )  # fmt: skip


def _span(moment: object, period: Mapping[str, Any] | object) -> tuple[When | None, When | None]:
    if isinstance(period, dict):
        return when(period.get("start")), when(period.get("end"))
    return when(moment), None


def _is_near(begun: When | None, ended: When | None, samples: Sequence[date]) -> bool:
    """Whether a sample was drawn from the first day until four weeks after the last; what is not stated is open."""
    return any(
        (begun is None or begun.first <= day) and (ended is None or day <= ended.last + _NEAR) for day in samples
    )
