"""The answer to an HL7 v2 message: AA, AE or AR, and why.

AA: all of it is stored, or is none of our business; a result that is of no use as it was sent is named in an ERR segment
of severity W. AE: a result of it was refused, and each refusal is named in an ERR segment; what could be read is stored. AR: nothing was looked at, for a reason that lies in the message's head or in us.
Codes of ERR-3 are those of HL7 table 0357.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from datetime import datetime

from cds.counting import counted
from cds.intake.delivery import Refused

_SEPARATORS = "|", "^~\\&"
_MOST = 20
"""Refusals that an answer names; the others are counted."""
_HEADER = re.compile(r"MSH(?P<field>[^\r\nA-Za-z0-9])(?P<others>[^\r\n]*?)(?P=field)(?P<rest>[^\r\n]*)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ERRORS = {
    "100": "Segment sequence error",
    "101": "Required field missing",
    "103": "Table value not found",
    "200": "Unsupported message type",
    "202": "Unsupported processing id",
    "204": "Unknown key identifier",
    "207": "Application internal error",
}


class Head:
    """What an answer needs of a message's head; of one that cannot be read, nothing."""

    def __init__(self, data: bytes):
        # Bytes of another character set stay what they are: whoever wrote them is to find them again.
        found = _HEADER.search(data[:4000].decode("utf-8", "surrogateescape"))
        self.found = found is not None and data.lstrip(b"\xef\xbb\xbf\x0b\r\n ").startswith((b"MSH", b"FHS", b"BHS"))
        fields = found["rest"].split(found["field"]) if found else []
        component = found["others"][:1] if found and found["others"] else "^"
        self._fields = fields
        kind = self._part(6).strip().split(component)
        self.message_type, self.event = kind[0], kind[1] if len(kind) > 1 else ""
        self.control = self._part(7)[:199]
        self.processing, self.version, self.application, self.facility, self.receiver = (
            self._part(number).split(component)[0].strip() for number in (8, 9, 0, 1, 3)
        )

    def _part(self, number: int) -> str:
        return self._fields[number] if number < len(self._fields) else ""


def accepted(head: Head, at: datetime, text: str, unreadable: Sequence[Refused] = ()) -> bytes:
    """AA, with a warning for each result that is of no use."""
    return _answer(head, at, "AA", text, _named("W", unreadable))


def in_error(
    head: Head, at: datetime, refused: Sequence[Refused], unreadable: Sequence[Refused] = (), fate: str = ""
) -> bytes:
    """AE, with the reason for each refusal, and a warning for each other result that is of no use; `fate` of the rest."""
    count = sum(one.results for one in refused)
    named = [*_named("E", refused), *_named("W", unreadable)]
    return _answer(head, at, "AE", f"{counted(count, 'result')} refused; what could be read is stored{fate}", named)


def rejected(head: Head, at: datetime, code: str, reason: str) -> bytes:
    """AR, with a code of table 0357."""
    return _answer(head, at, "AR", reason, [("E", code, reason)])


def _named(severity: str, results: Sequence[Refused]) -> list[tuple[str, str, str]]:
    stored = "stored, but " if severity == "W" else ""
    named = [(severity, "103", f"{one.where}, {one.what}: {stored}{one.reason}. {one.hint}") for one in results[:_MOST]]
    if len(results) > _MOST:
        named.append((severity, "103", f"and {len(results) - _MOST} more"))
    return named


def _answer(head: Head, at: datetime, code: str, text: str, errors: Sequence[tuple[str, str, str]]) -> bytes:
    field, others = _SEPARATORS
    segments = [
        ["MSH", others, "EXOWATCH", _written(head.receiver), _written(head.application), _written(head.facility),
         at.strftime("%Y%m%d%H%M%S%z"), "", f"ACK^{_written(head.event)}^ACK" if head.event else "ACK", uuid.uuid4().hex[:20],
         _written(head.processing) or "P", _written(head.version) or "2.5.1"],
        ["MSA", code, _CONTROL.sub(" ", head.control.replace(field, "\\F\\")), _written(text[:80])],
    ]  # fmt: skip
    for severity, number, why in errors:
        stated = f"{number}^{_ERRORS[number]}^HL70357"
        segments.append(["ERR", "", "", stated, severity, "", "", "", _written(why[:250])])
    return "".join(f"{field.join(one)}\r" for one in segments).encode("utf-8", "surrogateescape")


def _written(text: str) -> str:
    """A text in which separators mean nothing, and no line ends."""
    for sign, letter in (("\\", "E"), ("|", "F"), ("^", "S"), ("~", "R"), ("&", "T")):
        text = text.replace(sign, f"\\{letter}\\")
    return _CONTROL.sub(" ", text)
