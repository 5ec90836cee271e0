"""JSON texts that stand where something else belongs: (label, literal)."""

from __future__ import annotations

import json

Literals = tuple[tuple[str, str], ...]

MEGABYTE = json.dumps("A" * 1_000_000)
DEEP = "[" * 100_000 + "]" * 100_000


def _texts(*texts: str) -> Literals:
    return tuple((repr(text), json.dumps(text)) for text in texts)


WRONG: Literals = (
    ("null", "null"),
    ("a number", "5"),
    ("true", "true"),
    ("an empty list", "[]"),
    ("an empty object", "{}"),
    ("a list of null", "[null]"),
    ("empty text", '""'),
    ("NUL", '"\\u0000"'),
    ("a lone surrogate", '"\\ud800"'),
    ("1 MB of text", MEGABYTE),
)
"""What is wrong in the place of any element that is no number and no boolean."""
