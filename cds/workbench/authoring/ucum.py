"""Whether a unit is UCUM, as far as laboratories use it for markers: enough to find a word that is none, and no full grammar."""

from __future__ import annotations

import re

_ANNOTATION = re.compile(r"\{[^{}]*\}")
_FACTOR = re.compile(r"10[*^][+-]?\d+|\d+")
_PREFIXED = ("g", "L", "l", "mol", "m", "s", "U", "[iU]", "kat", "Da", "u", "eq")
"""Atoms that may bear a prefix: `ng`, `umol`."""
_PREFIXES = ("", "k", "d", "c", "m", "u", "µ", "μ", "n", "p", "f", "a")
_ALONE = ("", "%", "min", "h", "d", "[ppth]", "[ppm]", "[ppb]", "[arb'U]", "[copies]")
_KNOWN = frozenset((*_ALONE, *(prefix + atom for atom in _PREFIXED for prefix in _PREFIXES)))


def no_unit(text: str) -> str:
    """The first part of a unit that is no atom of UCUM in use here; "" for a unit that may stand."""
    for part in re.split(r"[/.]", _ANNOTATION.sub("", text.replace(" ", ""))):
        atom = re.sub(r"-?\d+$", "", _FACTOR.sub("", part, count=1) if _FACTOR.match(part) else part)
        if atom not in _KNOWN:
            return part
    return ""


def what_to_write(part: str) -> str:
    """The way out for such a part: what is counted, and is no unit, stands in braces."""
    return f"write a unit such as pg/mL, or put what is counted in braces: {{{part}}}/mL"
