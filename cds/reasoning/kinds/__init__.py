"""The vocabulary of fact kinds: what a rule file may say about a chart, and how each is found out.

A kind reads its parameters from a rule file (`read`) and answers for a question (`value`): true, false, or None for
unknown. Kinds are chosen by their first key, so `early: {day: {before: guard}}` is of the kind `day`. They are few and take
all their numbers from the file, so that new rules, markers and limits need no Python.
"""

from cds.reasoning.kinds import change, imaging, patient, sample, therapy
from cds.reasoning.kinds.kind import Context, Days, Kind

KINDS: dict[str, Kind] = {**change.KINDS, **patient.KINDS, **therapy.KINDS, **sample.KINDS, **imaging.KINDS}
"""Every kind by its key; the schema for editors and the linter are made from this table."""

__all__ = ["KINDS", "Context", "Days", "Kind"]
