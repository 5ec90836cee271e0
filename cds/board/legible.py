"""What people tell a patient and a study by, in words; the same for pages and paper."""

from __future__ import annotations

from cds.advice.advisory import Reference
from cds.board.words import words
from cds.legible import day
from cds.record.identity import Identity
from cds.record.names import Named


def checked(study: Reference) -> str:
    """When a study was last looked at for corrections and retractions, or that it never was."""
    w, last = words().patient, study.last_checked
    return f"{w.evidence_checked} {day(last)}" if last[:1].isdecimal() else str(w.evidence_unchecked)


def number_of(named: Named, who: Identity) -> str:
    """The number by which people tell a patient from others: of their record; the id of a patient whose record was never read."""
    return named.number or who.reference.removeprefix("Patient/")
