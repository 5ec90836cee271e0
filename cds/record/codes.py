"""The codes of a board: what it can decide, why, what follows, and what became of it; with a label in English for each."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

DISPOSITIONS: Mapping[str, str] = {
    "accept": "Accepted: the board takes up the finding",
    "reject": "Rejected: the board does not take up the finding",
    "repeat-test": "Repeat the test before it is judged",
    "watch": "Watch",
    "not-discussed": "Not discussed",
}
"""What a board can decide about an advisory; a record of what was discussed, never an instruction."""

RETIRED = (
    "discussed-no-change", "imaging-requested", "repeat-requested", "biopsy-requested", "therapy-reviewed",
    "not-relevant", "disagreed",
)  # fmt: skip
"""Dispositions that older records hold. They are read, and not taken any more."""

REASONS: Mapping[str, str] = {
    "assay-artefact": "Artefact of the assay",
    "unit-mix-up": "Units were mixed up",
    "therapy-already-changed": "The therapy was changed already",
    "imaging-contradicts": "Imaging contradicts it",
    "sample-timing": "The sample was drawn at an unsuitable time",
    "comorbidity": "Another condition explains it",
    "not-actionable": "Nothing would follow from it",
    "no-time": "There was no time",
    "other": "Another reason: see the note",
}
NEED_A_REASON = ("reject", "not-discussed")

LEVELS: Mapping[str, str] = {
    "m1A": "Same tumour: biomarker of prospective trials or meta-analysis",
    "m1B": "Same tumour: retrospective cohort or case-control study",
    "m1C": "Same tumour: case reports",
    "m2A": "Other tumour: biomarker of prospective trials or meta-analysis",
    "m2B": "Other tumour: retrospective cohort or case-control study",
    "m2C": "Other tumour: case reports",
    "m3": "Preclinical: in vitro or in vivo models",
    "m4": "Biological rationale only",
}
"""Levels of evidence as molecular tumour boards in Germany grade it. Add-on R: the marker stands for resistance."""

ACTIONS: Mapping[str, str] = {
    "repeat-marker": "Measure the marker again",
    "imaging": "Imaging",
    "re-biopsy": "Biopsy",
    "therapy-review": "Review of the therapy",
    "trial": "Search for a trial",
    "counselling": "Counselling",
    "tumour-board": "Back to the tumour board",
}
WITHOUT_A_DAY = ("trial", "counselling")
"""Actions that may be without a day on which they are due."""

NOT_DONE: Mapping[str, str] = {
    "patient-wish": "The patient did not want it",
    "progression": "The disease progressed before",
    "toxicity": "Toxicity of the present treatment",
    "deterioration": "General condition too poor",
    "death": "The patient died",
    "payment-refused": "Payment was refused",
    "payment-pending": "Payment is not decided yet",
    "lost-to-follow-up": "Lost to follow-up",
    "treated-elsewhere": "The patient is treated elsewhere",
    "other-therapy": "Another therapy was chosen",
    "remission": "Remission, so that it was not needed",
    "comorbidity": "Another illness stood against it",
    "contraindication": "Contraindicated",
    "no-access": "Not available here",
    "trial-closed": "The trial was closed, or the patient could not be enrolled",
    "assay-unavailable": "The assay was not available",
    "sample-failed": "The sample could not be used",
    "organisation": "Organisation: no appointment, or forgotten",
    "superseded": "A later decision took its place",
    "unknown": "The reason is not known",
}
"""Why an action was not done, or only partly."""

RESPONSES: Mapping[str, str] = {
    "CR": "Complete response",
    "PR": "Partial response",
    "SD": "Stable disease",
    "PD": "Progressive disease",
    "NE": "Not evaluable",
    "unknown": "Not known",
}
RESISTANCE: Mapping[str, str] = {
    "yes": "Resistance was found",
    "no": "No resistance was found",
    "unclear": "It is not clear",
}
SOURCE: Mapping[str, str] = {
    "yes": "A remaining source was found",
    "no": "No remaining source was found",
    "unclear": "It is not clear",
}
"""What the same answers say of advice about an operation: there no drug is at issue, and nothing can be resistant."""
MONTHS = (3, 6, 12)
"""After an advisory was opened: when its outcome is asked for."""


class Status(StrEnum):
    """How it stands with an action."""

    OPEN = "open"
    DONE = "done"
    PARTLY = "partly"
    NOT_DONE = "not-done"
    UNKNOWN = "unknown"  # somebody asked, and it cannot be found out
    REPLACED = "replaced"  # a later decision put others in its place


CLOSED = (Status.DONE, Status.PARTLY, Status.NOT_DONE, Status.UNKNOWN)
"""What people can say of an action."""
