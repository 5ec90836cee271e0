"""The renderer of our papers, and which characters it can print; what stands for those that it cannot.

The typefaces inside typst cover Latin, Greek, Cyrillic, Hebrew, Arabic, Devanagari, Armenian and Georgian script, and mathematics;
not Chinese, Japanese, Korean, Thai, or pictographs.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from tempfile import TemporaryDirectory

import typst

INSTEAD = "\N{WHITE SQUARE}"
"""Stands for a character that cannot be printed: a name must not lose a sign without a trace."""
FACES = ("Libertinus Serif", "DejaVu Sans Mono")
_DROPPED = re.compile("[\u00ad\u200b\u2060\ufe00-\ufe0f\ufeff]")
_LONG = re.compile(r"\S{30}")
_NOBODYS = "\U000f0000"
_WIDE, _AT_ONCE = 30, 1000
_PROBE = b"""
#set page(width: auto, height: auto, margin: 1pt)
#set text(font: json(bytes(sys.inputs.faces)), size: 9pt)
#for one in json(bytes(sys.inputs.characters)) { box(width: 30pt, height: 30pt, [#one]) }
"""
_DRAWN = re.compile(r'<g transform="translate\((\d+)[^)]*\)"><g transform="matrix[^"]*">(?:<use xlink:href="#(g\w+)")?')
_known: dict[str, bool] = {chr(code): True for code in range(0x20, 0x7F)} | {one: True for one in "\u200c\u200d\n"}


@cache
def fonts() -> typst.Fonts:
    """The typefaces that come with typst, and no others: the same on every machine."""
    return typst.Fonts(include_system_fonts=False, include_embedded_fonts=True)


@cache
def _folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="exowatch-paper-")


def compiler(template: bytes, inputs: dict[str, str]) -> typst.Compiler:
    """A compiler for a template that finds no file, no package, and no typeface but typst's own; `inputs` are its data."""
    folder = _folder().name
    return typst.Compiler(
        template, root=folder, package_path=folder, package_cache_path=folder, font_paths=fonts(), ignore_system_fonts=True,
        sys_inputs=inputs,
    )  # fmt: skip


def printable(text: str) -> str:
    """The text on one line, each character that cannot be printed, or that would turn the order of others, replaced.

    Long words may be broken after thirty characters.
    """
    said = replaced(" ".join(unicodedata.normalize("NFC", _DROPPED.sub("", text)).split()))
    return _LONG.sub(lambda word: word[0] + "\u200b", said)


def replaced(text: str) -> str:
    """The text with `INSTEAD` for each character that cannot be printed."""
    said = "".join(INSTEAD if _is_control(one) else one for one in text)
    _ask({one for one in said if one not in _known})
    return "".join(one if _known[one] else INSTEAD for one in said)


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf", "Co", "Cs") and character not in "\u200c\u200d\n"


def _ask(characters: Iterable[str]) -> None:
    """Lets typst draw each character and looks which come out as the sign for what is not there."""
    asked = sorted(characters)
    for start in range(0, len(asked), _AT_ONCE):
        some = asked[start : start + _AT_ONCE]
        glyphs = _glyphs([_NOBODYS, *some])
        for number, character in enumerate(some, 1):
            _known[character] = glyphs.get(number) != glyphs[0]


def _glyphs(characters: list[str]) -> dict[int, str]:
    """The glyph of each character, by its place; a character without one, such as a space, is missing."""
    asked = {"characters": json.dumps(characters), "faces": json.dumps(FACES)}
    drawn = compiler(_PROBE, asked).compile(format="svg")
    text = drawn.decode() if isinstance(drawn, bytes) else ""
    return {int(place) // _WIDE: glyph for place, glyph in _DRAWN.findall(text) if glyph}
