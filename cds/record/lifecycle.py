"""The life of an advisory, as a pure function: what a new evaluation makes of what was advised.

An advisory is not a state. It opens with a finding that claims something, and from then on it stands for the question and the
line; what the record says later updates, confirms, closes, supersedes or withdraws it. docs/record.md draws this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

CLAIMS = ("persistent", "suspected", "watch", "discordant")
"""States that claim something of the tumour, the strongest first."""

_BELOW = ("no-flag",)
"""States that judge the newest result and find nothing to claim."""
_JUDGES_NOTHING = ("background", "not-applicable")
"""States that ask no question about the newest result: it is a reference, or belongs to nothing that is watched."""

_SAME_OPERATION = timedelta(days=30)
"""Operations of one question that lie no further apart are one: a corrected day opens no second advisory."""


class Standing(StrEnum):
    """How it stands with an advisory."""

    OPEN = "open"
    NOT_REASSESSABLE = "not-reassessable"  # open, but the newest data cannot be evaluated
    WITHDRAWN = "withdrawn"
    SUPERSEDED = "superseded"
    CLOSED = "closed"

    @property
    def is_open(self) -> bool:
        return self in (Standing.OPEN, Standing.NOT_REASSESSABLE)


class Kind(StrEnum):
    """What happened to an advisory."""

    OPENED = "opened"
    UPDATED = "updated"
    CONFIRMED = "confirmed"
    NOT_REASSESSABLE = "not-reassessable"
    WITHDRAWN = "withdrawn"
    SUPERSEDED = "superseded"
    CLOSED = "closed"


CLAIMING = (Kind.OPENED, Kind.UPDATED, Kind.CONFIRMED)
"""After which an advisory claims something: of these the words are kept."""
_LEADS_TO = {
    Kind.OPENED: Standing.OPEN,
    Kind.UPDATED: Standing.OPEN,
    Kind.CONFIRMED: Standing.OPEN,
    Kind.NOT_REASSESSABLE: Standing.NOT_REASSESSABLE,
    Kind.WITHDRAWN: Standing.WITHDRAWN,
    Kind.SUPERSEDED: Standing.SUPERSEDED,
    Kind.CLOSED: Standing.CLOSED,
}


@dataclass(frozen=True, slots=True)
class Step:
    """One event in the life of an advisory, and why: a code of `rules/wording`, never free text."""

    kind: Kind
    reason: str

    @property
    def leads_to(self) -> Standing:
        return _LEADS_TO[self.kind]


@dataclass(frozen=True, slots=True)
class Span:
    """The line that a question is about, or its operation (`operation` true, `end` the same day)."""

    therapy: str
    start: date | None
    end: date | None
    operation: bool = False

    def same(self, other: Span) -> bool:
        """Whether two spans are the same line, told by overlap: late data move a line's start and end."""
        if self.operation or other.operation:
            if not (self.operation and other.operation) or self.start is None or other.start is None:
                return False
            return abs(self.start - other.start) <= _SAME_OPERATION
        if self.therapy != other.therapy:
            return False
        return (self.start or date.min) <= (other.end or date.max) and (other.start or date.min) <= (
            self.end or date.max
        )

    def later_than(self, other: Span) -> bool:
        """Whether this line begins after the other."""
        return self.start is not None and (other.start is None or self.start > other.start)


@dataclass(frozen=True, slots=True)
class Advised:
    """What was advised last. `results` are those on which it rests: reference → (value, day) as they were.

    `ended_by` are the results on which it was closed: while one of them is not in the input, older data open nothing.
    """

    standing: Standing
    state: str
    basis: str
    rule_hash: str
    span: Span
    results: Mapping[str, tuple[str, str]]
    ended_by: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Found:
    """What an evaluation finds now. `results` are all of the chart, `voided` those that count no more.

    `span` is the line that the question is about now, `spans` are all lines and operations of the chart, `revised` the results
    whose status says that the laboratory corrected them.
    """

    state: str
    basis: str
    rule_hash: str
    span: Span | None
    results: Mapping[str, tuple[str, str]]
    voided: frozenset[str]
    spans: tuple[Span, ...] = ()
    revised: frozenset[str] = frozenset()


def steps(advised: Advised | None, found: Found) -> tuple[Step, ...]:
    """What the finding makes of the advisory of its question and line; empty if everything stays as it is.

    `advised` is None if there never was one. A result that was corrected or entered in error withdraws what rested on it, even
    if that had ended: whoever acted on it is to know. What the rest still supports is then opened anew.
    """
    claims = found.state in CLAIMS
    if advised is None:
        return (Step(Kind.OPENED, "claimed"),) if claims else ()
    if advised.standing is Standing.WITHDRAWN:
        return (Step(Kind.OPENED, "claimed"),) if claims else ()
    changed = altered(advised.results, found)
    if not advised.standing.is_open:
        return _of_ended(advised, found, changed)
    weaker = not claims or CLAIMS.index(found.state) > CLAIMS.index(advised.state)
    if changed and weaker:
        withdrawn = Step(Kind.WITHDRAWN, changed)
        return (withdrawn, Step(Kind.OPENED, "remaining-results")) if claims else (withdrawn,)
    if not claims and found.state not in (*_BELOW, *_JUDGES_NOTHING):
        return _not_reassessable(advised, found.state)
    if weaker and any(ref not in found.results for ref in advised.results):
        # Results that are merely not in the input say nothing: they may not have been sent.
        return _not_reassessable(advised, "results-missing")
    if found.rule_hash != advised.rule_hash:
        step = Step(Kind.SUPERSEDED, "rule-version")
        return (step, Step(Kind.OPENED, "rule-version")) if claims else (step,)
    if claims:
        if found.basis == advised.basis:
            return () if advised.standing is Standing.OPEN else (Step(Kind.UPDATED, "reassessable-again"),)
        if advised.state == "watch" and found.state in ("suspected", "persistent"):
            return (Step(Kind.CONFIRMED, changed or "second-sample"),)
        return (Step(Kind.UPDATED, changed or "new-results"),)
    if found.state in _BELOW:
        return (Step(Kind.CLOSED, "below-limit"),)
    if not any(span.same(advised.span) for span in found.spans):
        return _not_reassessable(advised, "therapy-missing")  # a line that is not in the input has not ended for that
    if found.span is not None and found.span.later_than(advised.span):
        return (Step(Kind.SUPERSEDED, "new-line"),)
    if found.state == "background":
        return _not_reassessable(advised, "background")
    if advised.span.operation:  # it is not over, however late the sample is drawn
        return _not_reassessable(advised, "window-over")
    return (Step(Kind.CLOSED, "line-over"),)


def _of_ended(advised: Advised, found: Found, changed: str) -> tuple[Step, ...]:
    """What becomes of an advisory that was closed or superseded."""
    claims = found.state in CLAIMS
    if changed:
        withdrawn = Step(Kind.WITHDRAWN, changed)
        return (withdrawn, Step(Kind.OPENED, "remaining-results")) if claims else (withdrawn,)
    if not claims or any(ref not in found.results and ref not in found.voided for ref in advised.ended_by):
        return ()
    return (Step(Kind.OPENED, "claimed"),)


def unanswered(advised: Advised, found: Found, *, withheld: bool = False, known: bool = True) -> tuple[Step, ...]:
    """What becomes of an advisory to whose question and line an evaluation has no finding.

    `found.span` is another line of the question, if there is one (the same only after two records were merged);
    `withheld`: the rule rests on evidence that was retracted; `known`: the rule book still has the rule.
    """
    if advised.standing is Standing.WITHDRAWN:
        return ()
    if withheld:
        return (Step(Kind.WITHDRAWN, "evidence-retracted"),)
    if changed := altered(advised.results, found):
        return (Step(Kind.WITHDRAWN, changed),)
    if not advised.standing.is_open:
        return ()
    if not known:
        return (Step(Kind.SUPERSEDED, "rule-retired"),)
    if found.span is not None and found.span.same(advised.span):
        return (Step(Kind.SUPERSEDED, "merged"),)
    if found.span is not None and found.span.later_than(advised.span):
        return (Step(Kind.SUPERSEDED, "new-line"),)
    return _not_reassessable(advised, "results-missing" if found.span is None else "therapy-missing")


def _not_reassessable(advised: Advised, reason: str) -> tuple[Step, ...]:
    return () if advised.standing is Standing.NOT_REASSESSABLE else (Step(Kind.NOT_REASSESSABLE, reason),)


def altered(results: Mapping[str, tuple[str, str]], found: Found) -> str:
    """Why the results on which something rests are no longer what they were: a reason, or "" if they are."""
    if any(ref in found.voided for ref in results):
        return "entered-in-error"
    other = [ref for ref, was in results.items() if ref in found.results and found.results[ref] != was]
    if other:
        # Only the status tells that it was the laboratory: a copy can be overwritten as well.
        return "corrected" if found.revised.issuperset(other) else "changed"
    return ""
