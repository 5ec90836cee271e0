"""How old a case is on the day on which it is read, and which of its windows are past."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from cds.advice.changes import last_day
from cds.board.words import words
from cds.legible import day

OLD = timedelta(days=42)
"""What is older says so where nobody can miss it: several visits of a patient under treatment may have come since."""


@dataclass(frozen=True, slots=True)
class Age:
    """As of which day a case was evaluated, and of which day its newest sample is, as seen from `today`."""

    today: date
    as_of: date
    sampled: date | None  # None where no sample has a day

    @property
    def evaluation(self) -> str:
        """As of which day it is, and how long ago that was."""
        return f"{words().common.as_of} {day(self.as_of)}{self._ago(self.as_of)}"

    @property
    def sample(self) -> str:
        """Of which day the newest sample is, and how long ago that was; "" where none has a day."""
        return f"{words().age.sample} {day(self.sampled)}{self._ago(self.sampled)}" if self.sampled else ""

    @property
    def warning(self) -> str:
        """What is to be said first of a case that is old; "" for others."""
        w = words().age
        if self.today - self.as_of > OLD:
            return str(w.old)
        return str(w.old_sample) if self.sampled is not None and self.today - self.sampled > OLD else ""

    def judged(self, said: str) -> str:
        """What would change a finding; of days that are over it says so."""
        last = last_day(said)
        if last is None or last >= self.today:
            return said
        return f"{said} ({words().age.past.format(days=days_told(self.today - last))})"

    def _ago(self, when: date) -> str:
        if when >= self.today:
            return ""
        return f", {words().age.ago.format(days=days_told(self.today - when), day=day(self.today))}"


@dataclass(frozen=True, slots=True)
class SampleAge:
    """How long ago a sample was taken, in words; `old` if several visits may have come since."""

    said: str
    old: bool


def sample_age(collected: str, today: str) -> SampleAge | None:
    """The age of a sample of that day as seen from another; None for a day that is not whole, or to come."""
    try:
        span = date.fromisoformat(today) - date.fromisoformat(collected)
    except ValueError:
        return None
    if span < timedelta(0):
        return None
    return SampleAge(
        str(words().age.since.format(days=days_told(span))) if span else str(words().age.today), span > OLD
    )


def days_told(span: timedelta) -> str:
    """So many days in words."""
    w = words().age
    return str(w.one_day) if span.days == 1 else w.days.format(count=span.days)
