"""A count with its noun, as a sentence needs it: "1 line", "2,304 lines", "1 entry"."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """`noun` stands in the singular, as its last word: "later sample"."""
    if count == 1:
        return f"1 {noun}"
    plural = f"{noun[:-1]}ies" if noun.endswith("y") and noun[-2] not in "aeiou" else f"{noun}s"
    return f"{count:,} {plural}"
