"""What an OperationOutcome says in codes. Its texts may name patients, so they are shown to nobody from here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec

_SEVERITIES = ("fatal", "error", "warning", "information", "success")
_SEVERE = ("fatal", "error")
_CODE = re.compile(r"[a-z][a-z-]{1,30}")
_PASSES = frozenset({"transient", "lock-error", "no-store", "exception", "timeout", "incomplete", "throttled"})
"""Codes of IssueType that stand for something that may be over a little later."""
_MOST_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """The issues of an answer: severity and code of each, from FHIR's own lists."""

    issues: tuple[tuple[str, str], ...]

    @property
    def severe(self) -> int:
        """How many of the issues are errors."""
        return sum(severity in _SEVERE for severity, _ in self.issues)

    @property
    def passes(self) -> bool:
        """Whether all that is wrong may be over a little later."""
        return bool(self.issues) and all(code in _PASSES for severity, code in self.issues if severity in _SEVERE)

    def __str__(self) -> str:
        """Such as "error: processing"; "" if there is no issue."""
        shown = list(dict.fromkeys(f"{severity}: {code}" for severity, code in self.issues))
        return ", ".join(shown[:_MOST_SHOWN]) + (" …" if len(shown) > _MOST_SHOWN else "")


def outcome_of(body: bytes) -> Outcome | None:
    """The outcome that an answer, or a line of a file, holds; None if it is none."""
    try:
        stated: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(stated, dict) or stated.get("resourceType") != "OperationOutcome":
        return None
    issues = stated.get("issue")
    return Outcome(tuple(_issue(one) for one in issues if isinstance(one, dict)) if isinstance(issues, list) else ())


def _issue(stated: dict[str, Any]) -> tuple[str, str]:
    severity, code = stated.get("severity"), stated.get("code")
    return (
        severity if severity in _SEVERITIES else "error",
        code if isinstance(code, str) and _CODE.fullmatch(code) else "unknown",
    )
