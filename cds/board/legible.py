"""What people tell a patient and a study by, in words; the same for pages and paper."""

from __future__ import annotations

from cds.board.words import words
from cds.legible import day
from cds.record.identity import Identity
from cds.record.names import Named


def number_of(named: Named, who: Identity) -> str:
    """The number by which people tell a patient from others: of their record; the id of a patient whose record was never read."""
    return named.number or who.reference.removeprefix("Patient/")


def death_told(died: str | None) -> str:
    """That somebody has died, as "died 3 May 2026", or "recorded as dead" without a day ("" for none); "" of whoever has not."""
    if died is None:
        return ""
    w = words().patient
    return str(w.died.format(day=day(died)) if died else w.dead)
