"""A picture taken apart: where its signs, lines, bands and figures stand."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import date
from typing import NamedTuple
from xml.etree import ElementTree

from cds.drawing import Scene, svg

_NAMED = {"svg": "http://www.w3.org/2000/svg"}
Element = ElementTree.Element


class Item(NamedTuple):
    """A sign or bar that the cursor can name."""

    day: str
    end: str
    told: str
    place: tuple[float, float]
    signs: tuple[str, ...]


class Picture:
    """The elements of a drawing, as XML reads them."""

    def __init__(self, scene: Scene, text: str | None = None):
        self.text = text if text is not None else svg(scene)
        self.root = ElementTree.fromstring(self.text)  # noqa: S314 - our own
        self.width, self.height = (float(part) for part in self.root.attrib["viewBox"].split()[2:])
        self.plot = self.of_class("c-plot")[0].attrib

    def every(self, path: str) -> list[Element]:
        return self.root.findall(path, _NAMED)

    def of_class(self, name: str) -> list[Element]:
        return [each for each in self.root.iter() if name in each.attrib.get("class", "").split()]

    def words(self) -> list[tuple[float, float, str]]:
        return [
            (float(each.attrib["x"]), float(each.attrib["y"]), each.text or "") for each in self.every(".//svg:text")
        ]

    def items(self) -> Iterator[Item]:
        for group in self.of_class("c-item"):
            told = group.findtext("svg:title", "", _NAMED)
            signs = tuple(each.attrib.get("class", "") for each in group if not each.tag.endswith(("title", "text")))
            yield Item(group.attrib["data-day"], group.attrib.get("data-end", ""), told, _middle(group), signs)

    def up(self, panel: int) -> _Log:
        """Values of a panel → places, worked out from the figures at its axis and the lines beside them."""
        axes = [each for each in self.of_class("c-axis") if "H" in each.attrib["d"] and "V" in each.attrib["d"]]
        found = re.fullmatch(r"M([\d.]+) ([\d.]+)V([\d.]+)H([\d.]+)", axes[panel].attrib["d"])
        assert found is not None
        left, top, floor = float(found[1]), float(found[2]), float(found[3])
        lines = sorted(
            {
                float(each.attrib["d"].split(" ")[1].split("H")[0])
                for each in self.of_class("c-grid")
                if "H" in each.attrib["d"]
            }
        )
        figures = [
            (next(line for line in lines if abs(line - (y - 4)) < 0.06), _number(words))
            for x, y, words in self.words()
            if abs(x - (left - 8)) < 0.06 and top <= y <= floor + 4 and re.match(r"[\d.,]+$", words)
        ]
        return _Log(figures, top, floor)


class _Log:
    """A logarithmic axis through its figures."""

    def __init__(self, figures: list[tuple[float, float]], top: float, floor: float):
        assert len(figures) >= 2, figures
        self.top, self.floor = top, floor
        (low, least), (high, most) = max(figures), min(figures)
        self.slope = (high - low) / math.log(most / least)
        self._low, self._least = low, least
        for place, value in figures:
            assert abs(self.at(value) - place) < 0.11, (place, value)

    def at(self, value: float) -> float:
        return self._low + self.slope * math.log(value / self._least)


def across(picture: Picture, day: date) -> float:
    """Where a day stands on an axis without folds, by its ends alone."""
    first, last = (date.fromisoformat(picture.plot[f"data-{end}"]) for end in ("first", "last"))
    left, right = (float(picture.plot[f"data-{side}"]) for side in ("left", "right"))
    return left + (right - left) * (day - first).days / (last - first).days


def _number(words: str) -> float:
    return float(words.replace(",", ""))


def _middle(group: Element) -> tuple[float, float]:
    """The middle of the last sign of a group that is no stem, ring, or mark beside it."""
    aside = ("c-latest", "c-stem", "c-perev")
    for shape in group:
        look = shape.attrib.get("class", "")
        if shape.tag.endswith(("title", "text")) or look in aside:
            continue
        if "cx" in shape.attrib:
            return float(shape.attrib["cx"]), float(shape.attrib["cy"])
        if "x" in shape.attrib:
            wide, high = float(shape.attrib["width"]), float(shape.attrib["height"])
            return float(shape.attrib["x"]) + wide / 2, float(shape.attrib["y"]) + high / 2
        start = re.match(r"M([-\d.]+) ([-\d.]+)", shape.attrib["d"])
        assert start is not None
        x, y = float(start[1]), float(start[2])
        path = shape.attrib["d"]
        if "l6 6" in path or "l6 8" in path:  # a diamond begins at its top
            return x, y + (6 if "l6 6" in path else 8)
        if "h12" in path:  # a triangle at the left of its upper side
            return x + 6, y
        if "l10 10" in path:
            return x + 5, y + 5
        return x, y
    raise AssertionError(group)
