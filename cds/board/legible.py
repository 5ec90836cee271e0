"""What people tell a patient and a study by, in words; the same for pages and paper."""

from __future__ import annotations

from cds.record.identity import Identity
from cds.record.names import Named


def number_of(named: Named, who: Identity) -> str:
    """The number by which people tell a patient from others: of their record; the id of a patient whose record was never read."""
    return named.number or who.reference.removeprefix("Patient/")
