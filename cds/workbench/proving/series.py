"""The short notation for a marker's values, written out day by day.

1.0 x4 q21d from -63, rise to 2.6 over 3, miss 1, 2.7 haemolysed

series = step { "," step }
step   = value [xN] [every] [start]      N samples of a value (default one), which may be annotated like any other
       | "rise to" V "over" N            N samples in equal steps from the last value to V; "fall to" alike
       | "miss" N                        N visits without a sample
every  = "q" N ("d" | "w")               days (weeks) between visits, from here on
start  = "from" DAY                      the day of the step's first sample; the series begins on day 0 unless it says so
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Decimal

_STEP = re.compile(
    r"(?P<value>.*?)(?:\s+x(?P<times>\d+))?(?:\s+q(?P<every>\d+)(?P<unit>[dw]))?(?:\s+from\s+(?P<start>\S+))?"
)
_SLOPE = re.compile(r"(rise|fall) to (\S+) over (\S+)")
_MISS = re.compile(r"miss (\S+)")
_PLAIN = re.compile(r"\d+(?:\.\d+)?(?:e[+-]?\d+)?")

Refuse = Callable[[str, str], None]
"""What is told of a mistake: what is wrong, and what to write."""


def written_out(text: str, refuse: Refuse) -> dict[str, str]:
    """The values of a series by day, as the map form states them; `refuse` hears of every mistake."""
    return _Walk(refuse).take(text)


class _Walk:
    def __init__(self, refuse: Refuse) -> None:
        self.refuse = refuse
        self.values: dict[str, str] = {}
        self.visit: int | None = None  # the day of the last visit
        self.start: int | None = 0  # the day of the next one, where it is stated
        self.every: int | None = None  # days between the samples of a step, and after them
        self.gap: int | None = None  # days from the last visit to the next
        self.last = ""  # the last plain value

    def take(self, text: str) -> dict[str, str]:
        for step in text.split(","):
            words = " ".join(step.split())
            found = _STEP.fullmatch(words)
            slope, miss = _SLOPE.match(words), _MISS.match(words)
            if not words or found is None:
                self.refuse("a step of the series is empty", "write steps like '1.0 x4 q21d', with commas between them")
            elif words.startswith("miss"):
                self._miss(miss)
            elif words.startswith(("rise", "fall")):
                self._slope(words, slope)
            else:
                self._samples(found)
        return self.values

    def _samples(self, step: re.Match[str]) -> None:
        if step["every"]:
            self.every = int(step["every"]) * (7 if step["unit"] == "w" else 1)
        if step["start"] is not None:
            self._begin(step["start"])
        for _ in range(int(step["times"] or 1)):
            self._put(step["value"])
        first = step["value"].split()[:1]
        self.last = first[0] if first else ""

    def _begin(self, day: str) -> None:
        if not re.fullmatch(r"-?\d+", day):
            self.refuse(f"'from {day}' names no day", "write whole days, 'from -63'")
        elif self.visit is not None and int(day) <= self.visit:
            self.refuse(f"'from {day}' goes back", "days of a series only go forward")
        else:
            self.start = int(day)

    def _put(self, value: str) -> None:
        day = self._next()
        if str(day) in self.values:
            self.refuse("two samples fall on one day", "write 'q21d' with at least one day")
        self.values[str(day)] = value

    def _next(self) -> int:
        day, self.start = self.start, None
        if day is None:
            gap = self.every if self.gap is None else self.gap
            if gap is None:
                self.refuse("nothing says how many days lie between the samples", "write 'q21d' with the first of them")
                gap = self.every = 1
            day = (self.visit or 0) + gap
        self.visit, self.gap = day, self.every
        return day

    def _slope(self, words: str, found: re.Match[str] | None) -> None:
        if found is None or not _PLAIN.fullmatch(found[2]) or not re.fullmatch(r"[1-9]\d*", found[3]):
            self.refuse(f"'{words}' is no rise or fall", "write 'rise to 2.6 over 3': to a value, over so many samples")
            return
        if not _PLAIN.fullmatch(self.last):
            self.refuse(f"'{words}' begins at no plain value", "put a value like '1.0' before it")
            return
        start, end, steps = Decimal(self.last), Decimal(found[2]), int(found[3])
        if (end > start) is not (found[1] == "rise"):
            self.refuse(f"'{words}' begins at {self.last}", "'rise' goes up, 'fall' goes down")
            return
        rest = words[found.end() :].strip()  # annotations hold of every sample of the step
        for number in range(1, steps + 1):
            value = found[2] if number == steps else _four_digits(start + (end - start) * number / steps)
            self._put(f"{value} {rest}".strip())
        self.last = found[2]

    def _miss(self, found: re.Match[str] | None) -> None:
        if found is None or not re.fullmatch(r"[1-9]\d*", found[1]) or self.every is None:
            self.refuse(
                "'miss' does not say how many visits, or how far apart they are", "write '1.0 q21d, miss 1, 2.7'"
            )
        else:
            for _ in range(int(found[1])):
                self._next()


def _four_digits(value: Decimal) -> str:
    shown = value.quantize(Decimal(1).scaleb(value.adjusted() - 3), ROUND_HALF_EVEN).normalize()
    return f"{shown:f}"
