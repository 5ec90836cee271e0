"""What was delivered, in the laboratory's own words: one form for HL7 v2 and for tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

import msgspec


class Name(msgspec.Struct, frozen=True):
    """An identifier, and the authority that gave it, as written."""

    value: str
    authority: str = ""


class Code(msgspec.Struct, frozen=True):
    """A code and its system, as written: `99EEL`, `LN`, a URL."""

    code: str
    system: str = ""
    text: str = ""


class Person(msgspec.Struct, frozen=True):
    """Whose results they are."""

    names: tuple[Name, ...] = ()
    birth_date: str = ""  # FHIR
    gender: str = ""  # FHIR; "" if not stated


class SentSpecimen(msgspec.Struct, frozen=True):
    """What a result was measured in."""

    id: str = ""
    type: Code | None = None
    collected: str = ""  # FHIR, in the laboratory's own zone if it states none
    received: str = ""
    condition: Code | None = None


class Sent(msgspec.Struct, frozen=True):
    """One result as it was sent. `value` is None where there is none; text where it is no number, a code where it is one."""

    where: str  # "message 2, OBX 3, line 14"
    person: Person
    order: str  # what the results of one order and specimen share
    sub: str  # tells results of one code in one order apart
    codes: tuple[Code, ...]
    value: Decimal | Code | str | None
    comparator: str = ""  # < <= > >=
    unit: str = ""
    status: str = "final"  # FHIR
    measured_at: str = ""  # collection as the result states it
    reported: str = ""
    method: Code | None = None
    device: str = ""
    key: str = ""  # the laboratory's own identifier of the result, if it sends one
    specimen: SentSpecimen | None = None
    message: str = ""  # the number of the message in which it came
    undated: str = ""  # why what stands where its collection belongs is of no use


class Refused(msgspec.Struct, frozen=True):
    """One result, or a whole message, that was not taken: where it stands, why, and what to do."""

    where: str
    what: str
    reason: str
    hint: str
    results: int = 1  # how many were lost by it
    foreign: bool = False  # nothing speaks for a marker's: a laboratory sends many other results beside


@dataclass(slots=True)
class Delivery:
    """The results of one file or message: `counted` in the raw input, and each of them sent on or refused."""

    sent: list[Sent] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    counted: int = 0

    def refuse(self, where: str, what: str, reason: str, hint: str, results: int = 1, *, foreign: bool = False) -> None:
        self.refused.append(Refused(where, what, reason, hint, results, foreign))

    @property
    def whole(self) -> bool:
        """Whether every counted result is accounted for."""
        return self.counted == len(self.sent) + sum(one.results for one in self.refused)
