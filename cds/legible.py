"""Days, units and figures as clinicians read them; the same for cards, drawings, pages and paper. Nothing is rounded or converted."""

from __future__ import annotations

import re
from datetime import date

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_RAISED = str.maketrans("+-0123456789", "⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_QUOTED = re.compile(r"(“[^”]*”)")
_DAY = re.compile(r"\b(\d{4})-(\d{2})-(\d{2})\b")
_POWER = re.compile(r"\b10[*^]([+-]?\d+)")  # UCUM: 10*6/mL; as people type it: 10^6/mL
_EXPONENT = re.compile(r"\b(\d\.\d+|\d(?=e[+-]?\d+ ?[{/]))e([+-]?\d+)\b")  # 3.84e6, 4e6 /mL
_LONG = re.compile(r"(?<![\w.,*-])[1-9]\d{6,}(?= ?[{/])")  # 11000000000 {particles}/mL
_ANNOTATION = re.compile(r"\{([A-Za-z_]{1,30})\}")  # UCUM: {particles}/mL


def on(day: date) -> str:
    """A day as `21 Apr 2025`."""
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


def day(stated: str | date | None) -> str:
    """A day as `21 Apr 2025`, a month as `Apr 2025`, a year as it is; anything else as it stands, "" for None."""
    if stated is None:
        return ""
    if isinstance(stated, date):
        return on(stated)
    year, _, rest = stated[:10].partition("-")
    month, _, number = rest.partition("-")
    if not (year.isdecimal() and month.isdecimal() and 1 <= int(month) <= 12):
        return stated
    name = MONTHS[int(month) - 1]
    return f"{int(number)} {name} {year}" if number.isdecimal() else f"{name} {year}"


def legible(text: str) -> str:
    """A sentence with its dates, powers of ten and UCUM annotations as clinicians write them.

    `3.84e6 {particles}/mL` becomes `3.84 × 10⁶ particles/mL`, `5.6 10*6/mL` becomes `5.6 × 10⁶/mL`. What somebody sent stands in
    “…”, and stays as it was sent; so does a day that no calendar has.
    """
    return "".join(part if part.startswith("“") else _legible(part) for part in _QUOTED.split(text))


def _legible(text: str) -> str:
    text = _DAY.sub(lambda found: _in_words(found[0]), text)
    text = _EXPONENT.sub(lambda found: f"{found[1]} × 10{str(int(found[2])).translate(_RAISED)}", text)
    text = _LONG.sub(lambda found: _in_powers(found[0]), text)
    text = re.sub(r"(?<=\d) (?=10[*^][+-]?\d)", " × ", text)
    text = _POWER.sub(lambda found: f"10{found[1].translate(_RAISED)}", text)
    text = re.sub(r"(?<=[0-9⁰¹²³⁴⁵⁶⁷⁸⁹])(?=\{)", " ", text)
    return _ANNOTATION.sub(lambda found: found[1].replace("delta_Ct", "ΔCt").replace("_", " "), text)


def _in_words(iso: str) -> str:
    try:
        return on(date.fromisoformat(iso))
    except ValueError:
        return iso


def _in_powers(digits: str) -> str:
    """A count of millions and more as a figure from 1 to 10 and its power of ten; every digit but the last noughts is kept."""
    kept = digits.rstrip("0")
    power = str(len(digits) - 1).translate(_RAISED)
    return f"{kept[0]}{'.' if len(kept) > 1 else ''}{kept[1:]} × 10{power}"
