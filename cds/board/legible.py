"""Dates, units and figures as clinicians read them; the same for pages and paper. Nothing is rounded and nothing converted."""

from __future__ import annotations

import re
from datetime import date

from cds.advice.advisory import Reference
from cds.board.words import words
from cds.drawing.labels import MONTHS
from cds.record.identity import Identity
from cds.record.names import Named

_RAISED = str.maketrans("+-0123456789", "⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_DAY = re.compile(r"\b(\d{4})-(\d{2})-(\d{2})\b")
_POWER = re.compile(r"\b10\*([+-]?\d+)")  # UCUM: 10*6/mL
_EXPONENT = re.compile(r"\b(\d+(?:\.\d+)?)e([+-]?\d+)\b")  # 3.84e6
_ANNOTATION = re.compile(r"\{([A-Za-z_]{1,30})\}")  # UCUM: {particles}/mL


def day(stated: str | date | None) -> str:
    """A day as `21 Apr 2025`, a month as `Apr 2025`, a year as it is; anything else as it stands, "" for None."""
    if stated is None:
        return ""
    text = stated.isoformat() if isinstance(stated, date) else stated
    year, _, rest = text[:10].partition("-")
    month, _, number = rest.partition("-")
    if not (year.isdecimal() and month.isdecimal() and 1 <= int(month) <= 12):
        return text
    name = MONTHS[int(month) - 1]
    return f"{int(number)} {name} {year}" if number.isdecimal() else f"{name} {year}"


def checked(study: Reference) -> str:
    """When a study was last looked at for corrections and retractions, or that it never was."""
    w, last = words().patient, study.last_checked
    return f"{w.evidence_checked} {day(last)}" if last[:1].isdecimal() else str(w.evidence_unchecked)


def number_of(named: Named, who: Identity) -> str:
    """The number by which people tell a patient from others: of their record; the id of a patient whose record was never read."""
    return named.number or who.reference.removeprefix("Patient/")


def legible(text: str) -> str:
    """A sentence with its dates, powers of ten and UCUM annotations as clinicians write them.

    `3.84e6 {particles}/mL` becomes `3.84 × 10⁶ particles/mL`, `5.6 10*6/mL` becomes `5.6 × 10⁶/mL`.
    """
    text = _DAY.sub(lambda found: day(found[0]), text)
    text = _EXPONENT.sub(lambda found: f"{found[1]} × 10{str(int(found[2])).translate(_RAISED)}", text)
    text = re.sub(r"(?<=\d) (?=10\*[+-]?\d)", " × ", text)
    text = _POWER.sub(lambda found: f"10{found[1].translate(_RAISED)}", text)
    text = re.sub(r"(?<=[0-9⁰¹²³⁴⁵⁶⁷⁸⁹])(?=\{)", " ", text)
    return _ANNOTATION.sub(lambda found: found[1].replace("delta_Ct", "ΔCt").replace("_", " "), text)
