"""Words in the picture: how wide they are, where they have room, and how they are shortened."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from xml.sax.saxutils import escape as _escape

SIZE = 12.0
SMALL = 11.0
_LINE = 1.15  # height of a line, in its size

# Widths of a wide typeface, in thousandths of its size: where another one is used, words are narrower, never wider.
_WIDTHS = {
    width: characters
    for width, characters in (
        (280, "ijl|'"), (320, " .,·"), (362, "ft-:;/\\[]"), (415, "r()“”{}⁻⁰¹²³⁴⁵⁶⁷⁸⁹"), (530, "csz*\"_"),
        (600, "vxykaeoLFJ?"), (640, "bdghnpqu0123456789TYEßβ≥≤"), (700, "ABCKPRSVXZΔ$#~"), (790, "DGHNOQUw"),
        (840, "&<>=×±+÷"), (990, "mMW@%…—"),
    )
}  # fmt: skip
_WIDTH = {character: width for width, characters in _WIDTHS.items() for character in characters}


_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
"""What XML does not allow, and what would turn the order of other characters."""


def escape(words: str) -> str:
    """Text of a record as text of the picture, also inside quotation marks."""
    return _escape(_NO_XML.sub("\ufffd", words), {'"': "&quot;"})


def width(words: str, size: float = SMALL) -> float:
    """How wide words are at most, in the units of the picture."""
    total = 0
    for character in words:
        known = _WIDTH.get(character)
        total += known or (1000 if unicodedata.east_asian_width(character) in "WF" else 700)
    return total * size / 1000


def short(words: str, most: float, size: float = SMALL) -> str:
    """As much of the words as fits, with an ellipsis where something was cut."""
    if width(words, size) <= most:
        return words
    kept = words
    while kept and width(kept + "…", size) > most:
        kept = kept[:-1]
    return kept.rstrip() + "…"


def text(x: float, y: float, words: str, look: str = "c-small", anchor: str = "start", whole: str = "") -> str:
    """Words at a place; `whole` is told on hover, where it says more."""
    title = f"<title>{escape(whole)}</title>" if whole and whole != words else ""
    at = f' text-anchor="{anchor}"' if anchor != "start" else ""
    return f'<text class="{look}" x="{x:.1f}" y="{y:.1f}"{at}>{escape(words)}{title}</text>'


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle that is taken."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )


def box(x: float, y: float, words: str, anchor: str = "start", size: float = SMALL) -> Box:
    """The rectangle of words whose baseline begins, ends or has its middle at (x, y)."""
    wide = width(words, size)
    left = x - {"start": 0.0, "middle": wide / 2, "end": wide}[anchor]
    return Box(left, y - 0.85 * size, left + wide, y + (_LINE - 0.85) * size)


class Room:
    """An area with what stands in it already."""

    def __init__(self, area: Box, taken: Iterable[Box] = ()) -> None:
        self.area = area
        self.taken = list(taken)

    def take(self, one: Box) -> bool:
        """Takes the rectangle if it lies inside and meets nothing."""
        inside = self.area.left <= one.left and one.right <= self.area.right
        inside = inside and self.area.top <= one.top and one.bottom <= self.area.bottom
        if not inside or any(one.meets(other) for other in self.taken):
            return False
        self.taken.append(one)
        return True

    def put(
        self, words: str, places: Iterable[tuple[float, float, str]], look: str = "c-small", whole: str = ""
    ) -> str:
        """The words at the first of the places that has room for them; "" if none has."""
        for x, y, anchor in places:
            if self.take(box(x, y, words, anchor)):
                return text(x, y, words, look, anchor, whole)
        return ""


def spread(wanted: Iterable[float], apart: float, least: float, most: float) -> list[float]:
    """Places near the wanted ones that lie `apart`, in the same order, from `least` to `most` as far as they fit."""
    found: list[float] = []
    order = sorted(range(len(places := list(wanted))), key=lambda number: places[number])
    for number in order:
        found.append(max(places[number], found[-1] + apart if found else least))
    ceiling = most
    for number in range(len(found) - 1, -1, -1):
        found[number] = min(found[number], ceiling)
        ceiling = found[number] - apart
    back = dict(zip(order, found, strict=True))
    return [back[number] for number in range(len(places))]


def wrapped(words: str, most: float, size: float = SMALL) -> list[str]:
    """The words in lines of at most that width."""
    lines: list[str] = []
    for word in words.split():
        if lines and width(f"{lines[-1]} {word}", size) <= most:
            lines[-1] += f" {word}"
        else:
            lines.append(short(word, most, size))
    return lines
