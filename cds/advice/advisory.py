"""What is said to people about one finding: the one source of words and numbers for cards, reports, pages and FHIR.

An `Advisory` is plain, immutable data: text, dates and numbers only. It can be stored, hashed, replayed and rendered
without the chart, the rules or the engine from which it came. Text taken from a record stands here as it was written;
whoever renders it escapes it (`cds.advice.markdown`).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import date

from cds.counting import counted

FIXED_SENTENCE = (
    "Investigational marker. No evidence that changing breast cancer therapy on this result alone improves outcome. "
    "Do not start, stop or change treatment on this information alone."
)
"""Stands in the code, not in a wording file, so that no setting and no overlay can remove it from a card."""


_FAULTS = {
    "after-as-of": "in the future",
    "above-total-ev": "above the total EV count",
    "conflict": "another value for that day or specimen",
}


@dataclass(frozen=True, slots=True)
class Reading:
    """One measured value with everything that a reader needs to judge it."""

    ref: str  # where it is in the record: "Observation/123"
    marker: str  # short name
    value: str  # value and unit as the laboratory wrote them
    collected: date | None
    day: int | None  # day of the line, or since the operation
    roles: tuple[str, ...]  # "reference", "first of the pair", "latest" …
    total_ev: str
    method: str  # specimen, tube, isolation, assay …, as far as stated
    specimen: str
    laboratory: str
    lot: str
    status: str
    regulatory: str
    quality: tuple[str, ...]  # checks as stated: "haemolysis: clear"
    declared: tuple[str, ...]  # what the laboratory declared once instead of sending it with the result
    known: str  # when it became known; says so if that is assumed
    faults: tuple[str, ...] = ()
    undated: str = ""  # why a collection date that was sent is of no use
    below: str = (
        ""  # the limit of its assay that it lies below, and what it counts as; "" if it counts as the number it is
    )

    @property
    def flaws(self) -> tuple[str, ...]:
        """Its faults as they are read, but for a missing day, which stands in the place of the day."""
        return tuple(_FAULTS.get(one, one.replace("-", " ")) for one in self.faults if one != "no-collection-date")


@dataclass(frozen=True, slots=True)
class ChangeFromReference:
    """The latest value against its reference, and how the limit was built. Open ends of an interval are None."""

    marker: str
    quantity: str  # "value" or "value per EV"
    reference: str  # which samples, of which days
    reference_value: str
    fold: str  # "3.3 ×"; "≥ 11 ×" where a value lies below the limit of detection
    fold_low: float
    fold_high: float | None
    threshold: float
    limit: str  # the limit as it is shown
    built: str  # how the limit was built, from which coefficients of variation, stated by whom
    reached: bool | None


@dataclass(frozen=True, slots=True)
class Check:
    """One gate: passed, failed, unknown or not-asked, and why."""

    name: str
    title: str
    outcome: str
    why: tuple[str, ...] = ()
    marker: str = ""  # of which marker, where a rule reads several; the title then begins with it


@dataclass(frozen=True, slots=True)
class Reference:
    """A study or guideline as a card shows it. Fields without a verified content are empty."""

    id: str
    citation: str
    link: str
    design: str
    population: str
    n: str
    specimen: str
    direction: str
    certainty: str
    breast: str  # how near its tumour is to breast cancer
    therapy: str  # which therapy it is about
    status: str  # active | corrected | of-concern
    last_checked: str  # a date, or "not checked"
    known_through: str
    caution: str

    @property
    def standing(self) -> str:
        """Its status, which nobody knows until somebody has looked whether it was retracted."""
        if self.last_checked[:1].isdecimal():
            return f"{self.status}, last checked {self.last_checked}"
        unknown = "retraction status not checked"
        return unknown if self.status == "active" else f"{self.status}; {unknown}"


@dataclass(frozen=True, slots=True)
class Option:
    """Something to consider, review, repeat or discuss; never a directive."""

    key: str
    label: str
    text: str
    sources: tuple[str, ...]
    first: date | None = None  # of the days that it names for a sample
    last: date | None = None


@dataclass(frozen=True, slots=True)
class NotExcluded:
    """A stronger state that only missing data keep away."""

    state: str
    word: str
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WhyNot:
    """Why the finding is not `state`: what kept it away, in words."""

    state: str
    word: str
    kept_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Treatment:
    """The therapy line, or the operation, that the question is about."""

    title: str
    therapy: str  # key of rules/therapies/; "" for an operation
    drugs: tuple[str, ...]
    start: date | None
    end: date | None
    assumed_ongoing: bool
    day: int | None  # day of the latest sample
    refs: tuple[str, ...] = ()
    current: tuple[str, ...] = ()  # of the drugs those that are given now, or may be


@dataclass(frozen=True, slots=True)
class LeftOutItem:
    """Something in the input that was not used, and why."""

    where: str
    what: str
    reason: str
    hint: str = ""
    hides: bool = False  # it may have been, or held, a result of a marker


@dataclass(frozen=True, slots=True)
class About:
    """Who stands behind the advice; a site sets it, the wording files hold what stands where it does not."""

    developer: str = ""
    funding: str = ""
    contact: str = ""
    regulatory: str = ""
    user: str = ""
    validation: str = ""
    software: str = ""  # name and version of this software


@dataclass(frozen=True, slots=True)
class RuleStatement:
    """Which rule says so, in which version."""

    name: str
    title: str
    summary: str
    status: str
    since: str
    review_by: str
    hash: str
    rulebook_hash: str
    also: tuple[str, ...] = ()  # other rules that say the same of the marker


@dataclass(frozen=True, slots=True)
class Advisory:
    """What is said about one finding; see the module's docstring.

    `state` is a state of rules/states.yaml, `indicator` that of its card ("" for none), `rank` its place in the order
    of precedence. `certainty` is never above "low".
    """

    patient: str
    as_of: date
    state: str
    word: str  # the state as clinicians read it
    indicator: str
    rank: int
    certainty: str  # in words; "" where the state carries none
    headline: str  # one sentence of less than 140 characters that stands alone
    explanation: str
    markers: tuple[str, ...]
    marker_names: tuple[str, ...]
    rule: RuleStatement
    treatment: Treatment | None
    readings: tuple[Reading, ...]
    changes: tuple[ChangeFromReference, ...]
    checks: tuple[Check, ...]
    reasons: tuple[str, ...]  # what failed or is missing, where the state is about that
    missing: tuple[str, ...]
    cannot_exclude: tuple[NotExcluded, ...]
    why_not: tuple[WhyNot, ...]
    would_change: tuple[str, ...]
    notes: tuple[str, ...]
    advises: bool  # whether the rule has options for this state, helpful here or not
    options: tuple[Option, ...]
    evidence: tuple[Reference, ...]
    contradicting: tuple[Reference, ...]
    limitations: tuple[str, ...]
    false_alarms: tuple[str, ...]
    not_for: tuple[str, ...]
    attributes: tuple[tuple[str, str], ...]  # how data about the person are used
    about: About
    left_out: tuple[LeftOutItem, ...] = ()
    unmapped: tuple[str, ...] = ()
    clause: str = ""
    note_keys: tuple[str, ...] = ()  # of the notes, whose words may change with the day
    fixed_sentence: str = FIXED_SENTENCE
    unlisted: int = 0
    """Results of its markers on record that it does not rest on, so that they are not among `readings`."""

    @property
    def more_results(self) -> str:
        """That there are results which are not among `readings`, so that nobody takes these for all; "" if there are none."""
        names = " and ".join(self.marker_names)
        return f"{counted(self.unlisted, 'more result')} of {names} on record, not shown here" if self.unlisted else ""

    @property
    def digest(self) -> str:
        """SHA-256 of what the advice rests on: the same as long as rule, line, state and results are the same.

        The day on which it was computed is not part of it, so that the same evidence can stay silent once answered.
        """
        basis = [
            [self.rule.name, self.rule.hash, self.state, self.clause, list(self.missing), list(self.note_keys)],
            [self.treatment.title, str(self.treatment.start)] if self.treatment else [],
            [[reading.ref, reading.value, str(reading.collected), reading.status] for reading in self.readings],
        ]
        return hashlib.sha256(json.dumps(basis, ensure_ascii=False).encode()).hexdigest()
