"""HL7 v2 results (ORU^R01, 2.3 to 2.8) as laboratories send them: by MLLP, in files, in batches.

The parser trusts its input: with line feeds instead of carriage returns it finds one segment and no result. So what comes
in is put in order first, its OBX segments are counted as text, and every one of them is accounted for.

Meanings of OBX-11 and of the value types follow HL7's v2-to-FHIR mapping; where it leaves a status open, the more careful
reading is taken.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

import hl7
import msgspec

from cds.errors import InputError
from cds.intake.delivery import Code, Delivery, Name, Person, Sent, SentSpecimen
from cds.intake.times import from_hl7

_FRAME, _START = bytes.maketrans(b"\x1c", b"\r"), b"\x0b"
_MARK = b"\xef\xbb\xbf"
_BEGINNING = re.compile(rb"MSH(?:[^\w\s,.:;()/-]|.?.?\^~)")
"""Of a message, a damaged one too. A text may begin a line with the name of a gene: MSH2, MSH-6."""
_SEGMENT = re.compile(r"(?!MSH)[A-Z][A-Z0-9]{2}(\W|$)")
_WRAPPER = re.compile(rb"(?:FHS|BHS|BTS|FTS|DSC)(?:[^\w\s]|$)")
STATUS = {
    "F": "final", "U": "final", "V": "final", "P": "preliminary", "R": "preliminary", "S": "preliminary", "I": "registered",
    "C": "corrected", "A": "amended", "B": "amended", "D": "entered-in-error", "W": "entered-in-error", "X": "cancelled",
}  # fmt: skip
"""OBX-11 → Observation.status."""
SAYS_NOTHING = {"N": "it was not asked for", "O": "it describes the order only"}
"""OBX-11 of what is no result, and why."""
_GENDERS = {"F": "female", "M": "male", "O": "other", "A": "other", "U": "unknown"}
_CHARSETS = {"": "utf-8", "ASCII": "utf-8", "UNICODE UTF-8": "utf-8", "8859/1": "iso-8859-1", "8859/15": "iso-8859-15"}
_FIGURE = re.compile(r"(<=|>=|<|>)?\s*([-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)")
_ESCAPE = re.compile(r"\\([FSTREHN]|\.[a-z]{2}[-+0-9]*|X(?:[0-9A-Fa-f]{2})+)\\")
_OWN_NUMBERS = frozenset({"", "MR", "PI"})
"""PID-3.5 of numbers that are the patient's own. Others name a visit, an account, an insurance."""
_POWER = re.compile(r"10\^\d+\D")
_LARGEST = 40  # digits; a longer figure is none that anybody measured


class Message(msgspec.Struct, frozen=True):
    """One message: its text with carriage returns, where it begins, who sends it (MSH-4), and how many OBX segments it holds."""

    number: int
    line: int
    text: str
    lines: tuple[int, ...]  # of each segment, where it stands in the input
    results: int
    facility: str
    charset: str
    control: str  # its own number (MSH-10), if it has one: then the same bytes are the same message
    processing: str  # MSH-11

    @property
    def for_tests(self) -> bool:
        """Whether it says that it is of no patient: for training, for debugging, or what nobody knows."""
        return self.processing not in ("", "P")


def messages(data: bytes) -> list[Message]:
    """The messages of a file, a batch or an MLLP stream. Raises `InputError` if one cannot be read, or there is none."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError("it is UTF-16, which HL7 v2 does not know: save it as UTF-8")
    found: list[Message] = []
    segments: list[tuple[int, str]] = []
    charset = ""
    for line, raw in _lines(data):
        if _BEGINNING.match(raw):
            if segments:
                found.append(_message(len(found) + 1, segments, charset))
            charset = _charset(raw)
            segments = [(line, _decoded(raw, charset, line))]
            continue
        if _WRAPPER.match(raw):
            continue
        text = _decoded(raw, charset, line)
        if not segments:
            raise InputError(
                f"line {line}: a message begins with MSH, this with '{text[:3]}'. Likely its beginning was cut off, or it "
                "is no HL7 v2: send the whole message"
            )
        if _SEGMENT.match(text) or text.startswith("OBX"):  # a damaged result is still one
            segments.append((line, text))
        else:  # a line feed inside a text
            segments[-1] = (segments[-1][0], f"{segments[-1][1]} {text}")
    if not segments:
        raise InputError("there is no HL7 v2 message in it: not one line begins with MSH")
    return [*found, _message(len(found) + 1, segments, charset)]


def _message(number: int, segments: list[tuple[int, str]], charset: str) -> Message:
    results = sum(text.startswith("OBX") for _, text in segments)
    head = segments[0][1]
    fields = head.split(head[3:4]) if len(head) > 3 else []
    facility = fields[3].split(head[4:5])[0].strip() if len(fields) > 3 and head[4:5] else ""
    control = fields[9].strip() if len(fields) > 9 else ""
    processing = fields[10].split(head[4:5])[0].strip() if len(fields) > 10 and head[4:5] else ""
    text = "\r".join(text for _, text in segments) + "\r"
    lines = tuple(line for line, _ in segments)
    return Message(number, segments[0][0], text, lines, results, facility, charset, control, processing)


def _lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Lines that hold anything, without frames and marks; in every character set that is read a line ends by the same bytes."""
    plain = data.translate(_FRAME, _START)
    for number, line in enumerate(re.split(rb"\r\n|\r|\n", plain), 1):
        if stripped := line.strip(b" \t\0").removeprefix(_MARK).strip(b" \t\0"):
            yield number, stripped


def _charset(head: bytes) -> str:
    """The character set of a message, by MSH-18."""
    fields = head.split(head[3:4])
    stated = fields[17].split(b"~")[0].decode("ascii", "replace").strip().upper() if len(fields) > 17 else ""
    if stated not in _CHARSETS:
        raise InputError(f"MSH-18 names the character set '{stated}', which is not read here: send UNICODE UTF-8")
    return _CHARSETS[stated]


def _decoded(line: bytes, charset: str, number: int) -> str:
    try:
        return line.decode(charset or "utf-8").replace("\ufeff", "")
    except UnicodeDecodeError as error:
        raise InputError(
            f"line {number}: byte 0x{line[error.start]:02x} is no {charset.upper()}. State the character set in MSH-18 "
            "(8859/1, UNICODE UTF-8), or send UTF-8"
        ) from None


# one message -------------------------------------------------------------------------------------------------------


def read_message(message: Message, zone: ZoneInfo | None = None, numbers: Collection[str] = frozenset()) -> Delivery:
    """The results of a message; one that cannot be read is refused as a whole.

    `zone` is that of times that state none; `numbers` are further types of PID-3.5 that are a patient's own.
    """
    delivery = Delivery(counted=message.results)
    where = f"message {message.number}"
    try:
        parsed = hl7.parse(message.text)
    except (hl7.HL7Exception, IndexError, ValueError, AssertionError) as error:
        delivery.refuse(
            f"{where}, line {message.line}", "MSH", f"it cannot be taken apart ({type(error).__name__})",
            "check MSH-1 and MSH-2, the separators", message.results,
        )  # fmt: skip
        return delivery
    found = [_Segment(parsed, one, message.charset) for one in parsed]
    if sum(one.name == "OBX" for one in found) != message.results:
        delivery.refuse(
            f"{where}, line {message.line}", "OBX", "the parser loses results of it",
            "send one segment a line, and the separators as MSH-2 states them", message.results,
        )  # fmt: skip
        return delivery
    _Reading(message, where, zone, _OWN_NUMBERS.union(numbers), delivery).read(found)
    return delivery


class _Segment:
    """A segment with texts for fields: numbered from 1, "" where nothing stands."""

    def __init__(self, message: Any, segment: Any, charset: str):
        self._message, self._segment, self._charset = message, segment, charset
        self.name = str(segment[0])

    def field(self, number: int) -> Any:
        return self._segment[number] if number < len(self._segment) else ""

    def texts(self, number: int) -> list[str]:
        """The repetitions of a field, still escaped."""
        return [text for text in str(self.field(number)).split(self._message.separators[2]) if text]

    def text(self, number: int, component: int = 1, sub: int = 1) -> str:
        repeated = self.texts(number)
        return self.part(repeated[0], component, sub) if repeated else ""

    def part(self, text: str, component: int, sub: int = 1) -> str:
        separators = self._message.separators
        components = text.split(separators[3])
        if component > len(components):
            return ""
        parts = components[component - 1].split(separators[4])
        found = parts[sub - 1] if sub <= len(parts) else ""
        return "" if found == '""' else self._unescaped(found)

    def whole(self, number: int) -> str:
        """A field of free text, in which separators mean nothing."""
        return self._unescaped(str(self.field(number)))

    def _unescaped(self, text: str) -> str:
        """With what escape sequences stand for; what is none stays as it is."""
        plain = _ESCAPE.sub(self._meant, text) if "\\" in text else text
        return plain.replace("\0", "").strip()

    def _meant(self, escape: re.Match[str]) -> str:
        letter = escape[1]
        if letter[0] == "X":
            try:
                return bytes.fromhex(letter[1:]).decode(self._charset)
            except UnicodeDecodeError:
                return escape[0]
        _, field, repetition, component, sub = map(str, self._message.separators[:5])
        return {"F": field, "R": repetition, "S": component, "T": sub, "E": "\\"}.get(
            letter, " " if letter[0] == "." else ""
        )

    def codes(self, number: int) -> tuple[Code, ...]:
        """A coded element with its alternative."""
        text = (self.texts(number) or [""])[0]
        stated = (Code(self.part(text, at), self.part(text, at + 2), self.part(text, at + 1)) for at in (1, 4))
        return tuple(one for one in stated if one.code or one.text)

    def code(self, number: int) -> Code | None:
        return next(iter(self.codes(number)), None)


class _Reading:
    """One pass over the segments of a message."""

    def __init__(
        self, message: Message, where: str, zone: ZoneInfo | None, numbers: Collection[str], delivery: Delivery
    ):
        self._message, self._where, self._zone, self._delivery = message, where, zone, delivery
        self._numbers = numbers
        self._person = Person()
        self._order = self._reported = self._drawn = self._stated = ""

    def read(self, segments: list[_Segment]) -> None:
        group: list[tuple[int, _Segment]] = []
        for place, segment in zip(self._message.lines, segments, strict=True):
            if segment.name in ("PID", "OBR"):
                self._group(group)
                group = []
            if segment.name == "PID":
                self._person = _person(segment, self._zone, self._numbers)
                self._order = self._reported = self._drawn = self._stated = ""
            elif segment.name == "OBR":
                self._order = segment.text(3) or segment.text(2)
                self._reported = from_hl7(segment.text(22), self._zone)
                self._stated = segment.text(7)
                self._drawn = from_hl7(self._stated, self._zone)
            elif segment.name in ("OBX", "SPM"):
                group.append((place, segment))
        self._group(group)

    def _group(self, group: list[tuple[int, _Segment]]) -> None:
        """The results of one order; a specimen belongs to those after it, and a lone one to all."""
        specimens = [segment for _, segment in group if segment.name == "SPM"]
        specimen = _specimen(specimens[0], self._zone) if len(specimens) == 1 else None
        for line, segment in group:
            if segment.name == "SPM":
                specimen = _specimen(segment, self._zone)
                continue
            where = f"{self._where}, OBX {segment.text(1) or '?'}, line {line}"
            if specimen is None and len(specimens) > 1:
                self._refuse(where, segment, "the order names several specimens before none of which it stands",
                             "send one specimen for each order, or each before its results")  # fmt: skip
                continue
            self._result(where, segment, specimen)

    def _refuse(self, where: str, segment: _Segment, reason: str, hint: str, *, foreign: bool = False) -> None:
        code = segment.code(3)
        self._delivery.refuse(where, (code.code or code.text) if code else "OBX", reason, hint, foreign=foreign)

    def _result(self, where: str, segment: _Segment, specimen: SentSpecimen | None) -> None:
        codes = segment.codes(3)
        if not codes:
            return self._refuse(where, segment, "OBX-3 has no code", "send the code of what was measured")
        stated = segment.text(11).upper()
        status = STATUS.get(stated)
        if status is None:
            reason = SAYS_NOTHING.get(stated) or f"OBX-11 is '{stated}': whether the result stands is not known"
            hint = "nothing is to be done" if stated in SAYS_NOTHING else "send F, P, C, D, W or X"
            return self._refuse(where, segment, reason, hint, foreign=stated in SAYS_NOTHING)
        if len(segment.texts(5)) > 1:
            return self._refuse(where, segment, "OBX-5 holds several values", "send each in an OBX of its own")
        comparator, value = _value(segment)
        # What stands in OBX-14 and cannot be read was another time than that of the order, or it would not stand there.
        collected = from_hl7(segment.text(14), self._zone) if segment.text(14) else self._drawn
        field, stated = ("OBX-14", segment.text(14)) if segment.text(14) else ("OBR-7", self._stated)
        undated = f"{field} is '{stated[:40]}', which is no time" if stated and not collected else ""
        self._delivery.sent.append(
            Sent(
                where, self._person, self._order, segment.text(4), codes, value, comparator,
                _unit(segment), status, collected,
                self._reported or from_hl7(segment.text(19), self._zone), segment.code(17),
                segment.text(18) or segment.text(18, 2), segment.text(21), specimen,
                self._message.control, undated,
            )
        )  # fmt: skip


def _value(segment: _Segment) -> tuple[str, Decimal | Code | str | None]:
    """Comparator and value of OBX-5 by its type, OBX-2."""
    kind, text = segment.text(2).upper(), segment.whole(5)
    if not text or text == '""':
        return "", None
    if kind in ("CE", "CWE", "CNE", "IS"):
        return "", segment.code(5)
    if kind == "SN":
        comparator, first, between = (segment.text(5, number) for number in (1, 2, 3))
        figure = None if between or comparator not in ("", "=", "<", "<=", ">", ">=") else _figure(first)
        return ("", text) if figure is None else (comparator.removeprefix("="), figure)
    found = _FIGURE.fullmatch(text)
    figure = _figure(found[2]) if found else None
    return ("", text) if figure is None or found is None else (found[1] or "", figure)


def _unit(segment: _Segment) -> str:
    """The unit of OBX-6; `10^6/mL` is one too, though its accent should have been escaped."""
    raw = segment.whole(6)
    unit = segment.code(6)
    return raw if _POWER.match(raw) else (unit.code or unit.text) if unit is not None else ""


def _figure(text: str) -> Decimal | None:
    try:
        return Decimal(text) if _FIGURE.fullmatch(text) and len(text) <= _LARGEST else None
    except InvalidOperation:
        return None


def _person(segment: _Segment, zone: ZoneInfo | None, numbers: Collection[str]) -> Person:
    """Who it is, by the numbers that are their own; by others they are called, and found by none: without an authority."""
    stated = segment.texts(3) or segment.texts(2)[:1]  # before 2.3.1 the patient's number stood in PID-2
    own = [
        Name(segment.part(text, 1), segment.part(text, 4, 2) or segment.part(text, 4))
        for text in stated
        if segment.part(text, 5).upper() in numbers
    ]
    named = own or [Name(segment.part(text, 1)) for text in stated]
    known = tuple(name for name in named if name.value)
    return Person(known, from_hl7(segment.text(7), zone)[:10], _GENDERS.get(segment.text(8).upper(), ""))


def _specimen(segment: _Segment, zone: ZoneInfo | None) -> SentSpecimen:
    placer, filler = segment.text(2), segment.part((segment.texts(2) or [""])[0], 2)
    return SentSpecimen(
        filler or placer,
        segment.code(4),
        from_hl7(segment.text(17), zone),
        from_hl7(segment.text(18), zone),
        segment.code(24),
    )
