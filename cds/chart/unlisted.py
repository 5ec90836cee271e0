"""Treatments that no therapy class lists: what is said of them, and of which classes they may be.

Unknown is not false (R6): what may be a drug against cancer is never taken for no drug. What a record calls a drug never
makes it one of a class; it only tells of which classes it may be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from cds.chart.clock import Item
from cds.chart.codes import is_atc, is_read, pairs, words
from cds.chart.lines import Drug, Stretch, TherapyClass, lines_of
from cds.chart.model import LeftOut, Unrecognised
from cds.letters import plain

if TYPE_CHECKING:
    from cds.chart.therapy import TherapyCatalogue

_ANTINEOPLASTIC = ("L01", "L02")  # ATC: antineoplastic agents, endocrine therapy
_CLASS = TherapyClass("", "a treatment that is not recognised", gap=84)
_BRIDGE = 45  # days; as of other anticancer drugs, which are given every two to four weeks or dispensed by the month


@dataclass(frozen=True, slots=True)
class UnlistedDrug(Drug):
    """A drug of which no class is known; see `Unrecognised`. Its name is its code, or the resource if it has none."""

    may_be: tuple[str, ...] = ()
    against_cancer: bool = False


def is_void(resource: Mapping[str, Any]) -> bool:
    """Whether a treatment never was."""
    return resource.get("status") in ("entered-in-error", "not-done", "not-taken", "cancelled")


def nature(
    item: Item, concepts: list[object], catalogue: TherapyCatalogue, left_out: list[LeftOut]
) -> UnlistedDrug | None:
    """What a drug may be that no class lists; None if its code says that it is none against cancer.

    It is noted in `left_out`, unless that was done when its medication could not be found.
    """
    resource = item.resource
    if not concepts:
        return _unlisted(item.ref)
    stated = [pair for concept in concepts for pair in pairs(concept)]
    codes = ", ".join(f"{system}|{code}"[:80] for system, code in stated[:3])
    called = (plain(said) for concept in concepts for said in words(concept))
    named = next(filter(None, map(catalogue.names.search, called)), None)
    groups = [code for system, code in stated if is_atc(system)]
    if not stated:
        drug = _unlisted(item.ref)
        reason, hint = "the drug is not coded", "send its RxNorm or ATC code"
    elif any(code.strip().upper().startswith(_ANTINEOPLASTIC) for code in groups):
        may_be = dict.fromkeys(name for concept in concepts for names in catalogue.groups.of(concept) for name in names)
        drug = _unlisted(codes, tuple(may_be), against_cancer=True)
        reason, hint = f"an anticancer drug that no therapy class knows: {codes}", "add it to rules/therapies/"
    elif named is not None:
        drug = _unlisted(codes, catalogue.named[named[1]], against_cancer=True)
        reason = f"it is called {named[0]}, but no therapy class knows its code: {codes}"
        hint = "correct the code, or add it to rules/therapies/"
    elif not groups and _is_related_to_cancer(resource):
        drug = _unlisted(codes)
        reason = f"given for cancer or for what it causes, and no therapy class knows it: {codes}"
        hint = "send its ATC code, or add it to rules/therapies/"
    elif not any(is_read(system) for system, _ in stated):
        drug = _unlisted(codes)
        reason, hint = f"the drug is coded only in a system that is not read: {codes}", "send its RxNorm or ATC code"
    else:
        return None
    where = item.path if "medicationReference" in resource else f"{item.path}.medicationCodeableConcept"
    left_out.append(LeftOut(where, item.ref, reason, hint))
    return drug


def _unlisted(name: str, may_be: tuple[str, ...] = (), *, against_cancer: bool = False) -> UnlistedDrug:
    return UnlistedDrug(name, "", False, _BRIDGE, may_be, against_cancer)


def _is_related_to_cancer(resource: Mapping[str, Any]) -> bool:
    """Whether a profile of mCODE says so: of drugs against cancer, and of those against what it causes (nausea, pain)."""
    meta = resource.get("meta")
    profiles = meta.get("profile") if isinstance(meta, dict) else None
    return isinstance(profiles, list) and any("cancer-related-medication" in str(one) for one in profiles)


def lines_of_unlisted(stretches: Mapping[UnlistedDrug, list[Stretch]], day: date) -> tuple[Unrecognised, ...]:
    """How long each drug was given, as of `day`, sorted by start (unknown first)."""
    found = [
        Unrecognised(line, drug.may_be, drug.against_cancer)
        for drug, group in stretches.items()
        for line in lines_of(_CLASS, group, day, (), (), lambda _start, _intents: None)
    ]
    return tuple(sorted(found, key=lambda one: (one.line.start or date.min, one.line.planned, one.line.drugs)))
