"""The errors that Exowatch raises on purpose.

ExowatchError
├── InputError        what was handed in cannot be read; names what, where, the likely cause, the next step
├── RuleBookError     one or more rule files cannot be used; carries every Problem found, not just the first
├── EngineFault       the rule engine broke its contract (a fact lost, an exception inside, a leak)
└── Disagreement      engine and oracle gave different answers; names both
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cds.mistakes import Mistake


class ExowatchError(Exception):
    """Base of all errors raised on purpose; its text is meant to be read by a person."""


class InputError(ExowatchError):
    """Input that cannot be read at all (a resource that cannot be read is a `LeftOut`, not an error)."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a file that people write: where it is, what it is, what to do about it, and of which kind it is."""

    file: str
    line: int
    column: int
    message: str
    hint: str = ""
    mistake: Mistake = Mistake.UNUSABLE

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}"
        return f"{place}: {self.message}" + (f" ({self.hint})" if self.hint else "")


class RuleBookError(ExowatchError):
    """A rule book that cannot be loaded; `problems` lists every mistake found."""

    def __init__(self, problems: Sequence[Problem]):
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class EngineFault(ExowatchError):
    """The engine did not keep its contract; the evaluation has no result and must not read as "no advice"."""


class Disagreement(ExowatchError):
    """Engine and oracle disagree on one question; both answers are in the text."""
