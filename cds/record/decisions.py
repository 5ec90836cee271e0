"""A board's decision: what it says, what it may say, and why it may be refused."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date

from cds.errors import ExowatchError
from cds.record.codes import ACTIONS, DISPOSITIONS, LEVELS, NEED_A_REASON, REASONS, WITHOUT_A_DAY

MOST_NOTE = 2000
_MOST_REFERENCES, _MOST_ACTIONS = 10, 20
_PMID = re.compile(r"(?:pmid: ?|https://pubmed\.ncbi\.nlm\.nih\.gov/)?([1-9][0-9]{0,7})/?", re.IGNORECASE | re.ASCII)
_DOI = re.compile(r"(?:doi: ?|https://doi\.org/)?(10\.[0-9]{4,9}/[!-~]{1,180})", re.IGNORECASE | re.ASCII)


class NoSuchAdvisory(ExowatchError):
    """There is no advisory, or no decision, of that id."""


class NotAccepted(ExowatchError):
    """A decision, or what became of one, says something that cannot be; `field` is where, `also` what is wrong elsewhere."""

    def __init__(self, field: str, why: str, also: tuple[NotAccepted, ...] = ()):
        super().__init__(f"{field}: {why}")
        self.field, self.why, self.also = field, why, also


class AlreadyDecided(ExowatchError):
    """Somebody else was first; `by` is who, `code` what they decided, `at` when."""

    def __init__(self, by: str, code: str, at: str):
        super().__init__(f"{by} decided '{code}' at {at}. Look at that first, then decide about what stands now")
        self.by, self.code, self.at = by, code, at


class Reassessed(ExowatchError):
    """A newer evaluation has changed the advisory since its author looked; `standing` is how it stands now, `at` since when."""

    def __init__(self, standing: str, at: str):
        super().__init__(
            f"a newer evaluation changed this advisory at {at}: it is {standing}. Look at that first, then decide about what stands now"
        )
        self.standing, self.at = standing, at


class Ended(ExowatchError):
    """The advisory stands no more: there is nothing left to decide about."""

    def __init__(self, standing: str, at: str):
        super().__init__(f"this advisory is {standing} since {at}: there is nothing left to decide about")
        self.standing, self.at = standing, at


@dataclass(frozen=True, slots=True)
class Planned:
    """Something that is to be done; `due` is a day, blank only for a trial or counselling."""

    kind: str  # of `codes.ACTIONS`
    due: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What a board decides about a revision of an advisory. `by` is a role or a pseudonym, never a name.

    `seen` is the number of the newest decision that its author saw, 0 for none. `meeting` is the id of the meeting at which it was
    decided. References are PubMed ids or DOIs.
    """

    advisory: str
    revision: int
    code: str  # of `codes.DISPOSITIONS`
    by: str
    seen: int = 0
    reason: str = ""  # of `codes.REASONS`
    note: str = ""
    actions: tuple[Planned, ...] = ()
    level: str = ""  # of `codes.LEVELS`
    resistance: bool = False  # add-on R: the marker stands for resistance
    references: tuple[str, ...] = ()
    meeting: str = ""


@dataclass(frozen=True, slots=True)
class SecondReading:
    """What somebody else says of a decision."""

    id: str
    by: str
    agrees: bool
    note: str
    at: str


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision of the record. `newest`: none has taken its place; of an old record reason, note and the rest are blank."""

    id: str
    number: int
    advisory: str
    patient: str  # row id
    revision: int
    code: str
    reason: str
    by: str
    at: str
    follow_up: str
    meeting: str
    note: str
    level: str
    resistance: bool
    references: tuple[str, ...]
    actions: tuple[Planned, ...]
    readings: tuple[SecondReading, ...] = ()
    newest: bool = True


def checked(decision: Decision) -> Decision:
    """The decision with its texts trimmed and its references in one form. Raises `NotAccepted` for all at once that cannot be."""
    faults: list[NotAccepted] = []
    for check in (_code, _reason, _note, _actions, _level, _references):
        try:
            check(decision)
        except NotAccepted as fault:
            faults.append(fault)
    if faults:
        raise NotAccepted(faults[0].field, faults[0].why, tuple(faults[1:]))
    return replace(decision, by=somebody(decision.by), note=noted(decision.note), references=_references(decision))


def _code(decision: Decision) -> None:
    one_of("code", decision.code, DISPOSITIONS)


def _reason(decision: Decision) -> None:
    if not decision.reason and decision.code in NEED_A_REASON:
        raise NotAccepted("reason", f"'{decision.code}' needs one of: {', '.join(REASONS)}")
    one_of("reason", decision.reason, ("", *REASONS))


def _note(decision: Decision) -> None:
    if not noted(decision.note) and decision.reason == "other":
        raise NotAccepted("note", "the reason 'other' needs a note that says which")


def _level(decision: Decision) -> None:
    one_of("level", decision.level, ("", *LEVELS))


def _actions(decision: Decision) -> None:
    if len(decision.actions) > _MOST_ACTIONS:
        raise NotAccepted("actions", f"at most {_MOST_ACTIONS}")
    for one in decision.actions:
        one_of("actions", one.kind, ACTIONS)
        if not one.due and one.kind not in WITHOUT_A_DAY:
            raise NotAccepted("actions", f"'{one.kind}' needs a day on which it is due")
        if one.due:
            a_day("actions", one.due)
    if len(set(decision.actions)) < len(decision.actions):
        raise NotAccepted("actions", "two are the same")


def _references(decision: Decision) -> tuple[str, ...]:
    if len(decision.references) > _MOST_REFERENCES:
        raise NotAccepted("references", f"at most {_MOST_REFERENCES}")
    return tuple(dict.fromkeys(map(reference, decision.references)))


def somebody(by: str) -> str:
    """Who acts, trimmed. Raises `NotAccepted` unless it is a role or a pseudonym of 1 to 128 characters."""
    by = by.strip()
    if not 0 < len(by) <= 128 or not is_text(by, ""):
        raise NotAccepted("by", "it is to be a role or a pseudonym of at most 128 characters")
    return by


def a_day(field: str, text: str) -> str:
    """A day as it is stored. Raises `NotAccepted`."""
    try:
        if date.fromisoformat(text).isoformat() == text:
            return text
    except ValueError:
        pass
    raise NotAccepted(field, f"'{text[:40]}' is to be a day such as 2025-04-08")


def reference(text: str) -> str:
    """A PubMed id as digits, a DOI as it begins with "10."; raises `NotAccepted` for anything else."""
    found = _PMID.fullmatch(text.strip()) or _DOI.fullmatch(text.strip())
    if found is None:
        raise NotAccepted("references", f"'{text[:40]}' is to be a PubMed id or a DOI such as 10.1000/182")
    return found[1]


def one_of(field: str, code: str, codes: Iterable[str]) -> None:
    """Raises `NotAccepted` for a code that is none of those."""
    if code not in codes:
        raise NotAccepted(field, f"'{code[:40]}' is none of: {', '.join(filter(None, codes))}")


def noted(text: str, field: str = "note", most: int = MOST_NOTE) -> str:
    """A free text, trimmed. Raises `NotAccepted` for one that is too long, or that no page can show."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    if len(text) > most:
        raise NotAccepted(field, f"it has {len(text)} characters, of at most {most}")
    if not is_text(text, "\n\t"):
        raise NotAccepted(field, "it holds control characters")
    return text


def is_text(text: str, besides: str) -> bool:
    """Whether it holds no control characters but those, and nothing that is no character."""
    return not any(unicodedata.category(one) in ("Cc", "Cs") and one not in besides for one in text)
