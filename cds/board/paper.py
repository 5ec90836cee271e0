"""Paper: one A4 page for a patient, and a meeting's agenda or minutes, as PDF; the same bytes for the same sheet.

What is printed goes to typst as data, never as markup, into a template that can read no file and fetch nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, time
from functools import cache
from pathlib import Path
from typing import Any

from cds.board.glyphs import FACES, INSTEAD, compiler, printable, replaced
from cds.board.words import words
from cds.legible import day as legible_day

_MOST = 320
_LONGEST = {
    "name": 90, "born": 30, "number": 50, "age": 30, "sex": 30, "board": 120, "about": 130, "word": 40, "certainty": 60,
    "standing": 80, "headline": 260, "changes": 240, "limits": 120, "missing": 160, "treatments": 160, "imaging": 110, "receptors": 60,
    "spread": 80, "explanation": 600, "age_told": 120, "age_warning": 240, "withdrawn": 480, "others": 120, "decisions": 2200, "earlier": 2200, "rule": 240, "day": 30, "of_line": 12, "value": 60, "part": 80, "note": 320,
    "findings": 220, "actions": 130, "attendees": 90, "told": 6000, "rulebook": 12, "digest": 16,
}  # fmt: skip
"""How long a text is at most, by its field: what is longer ends with an ellipsis, so that a page holds what it must hold."""
_HASHES = ("rulebook", "digest")
_MOST_ITEMS = {"agenda": 2000, "attendees": 100, "minutes": 2000}
_ITEMS = 60
_SHOWN_DIGITS = 16
_TICKS = ("accept", "reject", "repeat-test", "watch", "not-discussed")


@dataclass(frozen=True, slots=True)
class Value:
    """A result that a finding rests on."""

    day: str
    of_line: str
    value: str
    part: str
    by: str
    order: str = ""  # the day so that it sorts
    weighs: bool = False  # a reference, one of a pair, the latest: without it the finding cannot be followed


@dataclass(frozen=True, slots=True)
class Study:
    """What speaks for a finding, or `against` it."""

    citation: str
    kind: str
    n: str
    direct: str
    status: str
    against: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """What is found about one marker and one treatment. `values` are those that matter most first."""

    state: str  # key, for its looks
    word: str
    about: str
    headline: str
    explanation: str = ""
    certainty: str = ""
    changes: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    built: tuple[str, ...] = ()
    why: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    why_not: tuple[str, ...] = ()
    would_change: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()
    not_asked: tuple[str, ...] = ()
    values: tuple[Value, ...] = ()
    studies: tuple[Study, ...] = ()
    options: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    false_alarms: tuple[str, ...] = ()
    rule: str = ""
    standing: str = ""
    decisions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PatientSheet:
    """One patient on one page. Of more than three questions the first three are printed whole, of the others the state."""

    name: str
    born: str
    number: str
    as_of: date
    questions: tuple[Question, ...] = ()
    others: tuple[str, ...] = ()  # questions that are not about this patient, a line each
    age: str = ""
    sex: str = ""
    age_told: str = ""  # as of which day it is, and how long ago that was on the day of the sheet
    age_warning: str = ""  # what is to be said first of a case that is old
    withdrawn: tuple[str, ...] = ()  # advice that was taken back, a line each
    receptors: tuple[str, ...] = ()
    spread: str = ""
    treatments: tuple[str, ...] = ()
    imaging: tuple[str, ...] = ()  # the newest response, whether or not a rule uses it
    drawing: str = field(default="", repr=False)  # SVG
    told: str = field(default="", repr=False)  # the drawing in words
    decisions: tuple[str, ...] = ()  # that hold about advice that stands: all are printed
    earlier: tuple[str, ...] = ()  # decisions that were amended, or are about advice that ended
    rulebook: str = ""
    digest: str = ""  # of what the page of the patient shows


@dataclass(frozen=True, slots=True)
class AgendaLine:
    """A patient of a meeting."""

    name: str
    born: str
    number: str
    findings: tuple[tuple[str, str, str], ...] = ()  # state, its word, what it is about
    decisions: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    note: str = ""  # "carried over", "from the meeting of …"
    dead: str = ""  # "died 3 May 2026"


@dataclass(frozen=True, slots=True)
class MeetingSheet:
    """A meeting: its agenda before it was held, its minutes after."""

    board: str
    day: date
    held: bool
    agenda: tuple[AgendaLine, ...] = ()
    attendees: tuple[str, ...] = ()
    quorum: bool = False
    minutes: str = ""


def patient_pdf(sheet: PatientSheet) -> bytes:
    """The sheet as one A4 page, what does not fit left out and counted. Same bytes for the same sheet, on any machine."""
    return _pdf("patient", _plain(asdict(sheet)), sheet.as_of)


def meeting_pdf(sheet: MeetingSheet) -> bytes:
    """The meeting on as many A4 pages as it needs; each patient stands undivided, with their identifiers."""
    minutes = [printable(line) for line in sheet.minutes.splitlines()]
    return _pdf("meeting", {**_plain(asdict(sheet)), "minutes": _counted(minutes, "minutes")}, sheet.day)


def _pdf(kind: str, content: dict[str, Any], day: date) -> bytes:
    said = json.dumps(content, ensure_ascii=False, sort_keys=True)
    digest = hashlib.sha256(said.encode()).hexdigest()
    data = {
        "kind": kind, "sheet": content, "words": _words(), "faces": FACES, "digest": digest[:_SHOWN_DIGITS],
        "day": legible_day(day), "instead": INSTEAD in said, "fixed": words().common.fixed.strip(),
    }  # fmt: skip
    made = compiler(_template(), {"data": json.dumps(data, ensure_ascii=False)}).compile(
        format="pdf", timestamp=datetime.combine(day, time(), UTC), pdf_standards=["ua-1"]
    )
    assert isinstance(made, bytes)  # one document, not pages
    return made


@cache
def _template() -> bytes:
    return Path(__file__).with_name("paper.typ").read_bytes()


@cache
def _words() -> dict[str, Any]:
    w = words()
    ticks = [one for code, one in vars(w.dispositions).items() if code in _TICKS]
    return {
        "paper": vars(w.paper),
        "patient": vars(w.patient),
        "imaging": vars(w.imaging),
        "common": vars(w.common),
        "dispositions": ticks,
    }


def _plain(value: Any, name: str = "") -> Any:
    """The content of a sheet with every text printable and none too long; the drawing keeps its markup. `name` is the field's."""
    if isinstance(value, dict):
        return {key: _drawing(one) if key == "drawing" else _plain(one, key) for key, one in value.items()}
    if isinstance(value, str):
        most = _LONGEST.get(name, _MOST)
        return printable(value if len(value) <= most else value[:most] if name in _HASHES else f"{value[: most - 1]}…")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Sequence):
        return _counted([_plain(one, name) for one in value], name)
    return value


def _counted(items: list[Any], name: str) -> list[Any]:
    """The items of a list as far as there is room for it; what is left out is counted at its end, where the list is one of texts."""
    most = _MOST_ITEMS.get(name, _ITEMS)
    left = len(items) - most
    told = [words().paper.more.format(count=left)] if left > 0 and isinstance(items[0], str) else []
    return items[:most] + told


def _drawing(text: str) -> str:
    """A drawing of which every character can be printed; nothing in it names anything outside of it."""
    assert not re.search(r'<(?:image|script|foreignObject|use|a)\b|href="', text)  # our own drawings have none
    return replaced(text)
