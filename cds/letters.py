"""Texts as they are compared with others that were typed on another keyboard."""

from __future__ import annotations

import unicodedata

_PLAIN = str.maketrans(
    {"ł": "l", "ø": "o", "đ": "d", "ð": "d", "ħ": "h", "ŧ": "t", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i"}
)
"""Letters that Unicode does not take apart into a plain one and an accent."""


def without_accents(text: str) -> str:
    """A text in small letters without accents."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(one for one in plain if not unicodedata.combining(one))


def plain(text: str) -> str:
    """A text in small letters of the plain Latin alphabet, as far as it is Latin: "İ", "í" and "ı" are "i"."""
    return without_accents(text).translate(_PLAIN)
