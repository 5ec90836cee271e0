"""Synthetic patients in the notation of the tests, among which is looked for one that tells two rules apart.

Most are cases of the rule with one to three small edits; some are drawn from nothing but the rule. Days, values and words are
those on which the rule turns: the edges of its windows, ratios about its thresholds, what its gates ask.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cds.reasoning.change import Pair
from cds.reasoning.kinds import Days
from cds.reasoning.kinds.imaging import WORSE_RESPONSE
from cds.reasoning.kinds.sample import EVENTS
from cds.reasoning.rulebook import Rise, Rule, RuleBook
from cds.reasoning.statistics import reference_change
from cds.workbench.proving.cases import RuleTest
from cds.workbench.proving.series import written_out

Case = dict[str, Any]
_WORDS = (
    "haemolysed", "lipaemic", "platelets", "platelets specimen=serum", "dna", "intolerant", "ev=none", "ev=0.4", "ev=0.5", "ev=2.2", "ev=3.3", "lot=2", "lot=2 bridged", "lot=unstated",
    "tube=citrate", "isolation=unstated", "specimen=unstated", "specimen=serum", "haemolysis=unstated", "residual-platelets=unstated",
    "residual-platelets=unstated specimen=serum", "drug-tolerance=unstated", "dna-control=unstated", "cva=5 cvi=5", "cva=10", "cvi=10",
    "fault=different-analyte", "fault=unreadable-value", "fault=efficiency-not-stated", "fault=no-reference-gene", "fault=unit-not-convertible", "at=08:00", "lod=0.1",
)  # fmt: skip
"""What may be special about a sample."""

_SPANS = (
    "0..", "0.. assumed", "0.. planned", "?..", "0..?", "0..60", "0..100", "20..", "60..", "?..200", "-200..-30", "-100..-10", "0.. at=09:00",
    "30..60",
)  # fmt: skip
_FAR = 1000  # days: a window that is not bounded
_BASE = {"trpc5-ev": 2.0, "hotair-ev": 1.0, "pdl1-ev": 100.0, "tgfb1-ev": 200.0}


class Candidates:
    """An endless, seeded stream of cases about a rule."""

    def __init__(self, rule: Rule, book: RuleBook, tests: Sequence[RuleTest], seed: int = 1):
        self.book = book
        parts = [book.rule(name) for name in rule.combines.values()]
        self.rule, self.rules = rule, [*parts, rule]
        self.markers = [one.watches for one in self.rules if one.watches]
        self.tests = [plain(test.stated, self.markers) for test in tests if test.rule == rule.name] or [
            self._fresh_base()
        ]
        self.rng = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self.days = sorted({day for one in self.rules for day in days_of(one, book)})
        self.ratios = sorted({ratio for one in self.rules for ratio in ratios_of(one, book)})

    def __iter__(self) -> Iterator[Case]:
        while True:
            kind = self.rng.random()
            case = (
                self._paired() if kind < 0.15 else self._fresh() if kind < 0.4 else _copied(self.rng.choice(self.tests))
            )
            for _ in range(self.rng.choice((0, 0, 1, 2, 3) if kind < 0.15 else (0, 1, 1, 2, 3))):
                self._edit(case)
            yield case

    def _fresh_base(self) -> Case:
        case: Case = {}
        anchors = [one.anchor for one in self.rules if one.watches]
        for anchor in anchors:
            if anchor.operation:
                case["operation"] = {"0": "curative"}
            elif anchor.therapies:
                case[anchor.therapies[0]] = ["0.."]
        if any(spec.kind == "neoadjuvant" for one in self.rules for spec in one.facts):
            case = {
                name: [f"{span} neoadjuvant" for span in value] if isinstance(value, list) else value
                for name, value in case.items()
            }
        if any(spec.kind == "receptor" and spec.params == "her2" for one in self.rules for spec in one.facts):
            case["her2"] = "yes"
        for marker in self.markers:
            case[marker] = {"-7": f"{_BASE.get(marker, 1.0):g}"}
        return case

    def plain_rise(self) -> Case:
        """A patient whose marker rises plainly, late enough for every window to be open."""
        case = self._fresh_base()
        for marker in self.markers:
            base = _BASE.get(marker, 1.0)
            case[marker] |= {"84": f"{base * 3.5:g}", "112": f"{base * 3.6:g}"}
        return case

    def _fresh(self) -> Case:
        case = self._fresh_base()
        days = sorted(self.rng.sample(self.days, min(self.rng.choice((1, 2, 2, 3)), len(self.days))))
        for marker in self.markers:
            base = _BASE.get(marker, 1.0)
            for day in days:
                if self.rng.random() < 0.9:
                    case[marker][str(day)] = f"{base * self.rng.choice(self.ratios):.6g}"
        return case

    def _paired(self) -> Case:
        """Two plain changes at the edges of the windows of a pair."""
        pairs = [spec.params for one in self.rules for spec in one.facts if isinstance(spec.params, Pair)]
        if not pairs:
            return self._fresh()
        pair, step = self.rng.choice(pairs), self.rng.choice
        first = max(1, step([day for day in (pair.first_from, pair.first_to, 70) if day < _FAR]) + step((-1, 0, 0, 1)))
        seconds = [first + pair.apart_from, first + pair.apart_to, pair.second_from, pair.second_to, first + 21]
        second = max(first + 1, step([day for day in seconds if day < _FAR]) + step((-1, 0, 0, 1)))
        case = self._fresh_base()
        for marker in self.markers:
            base = _BASE.get(marker, 1.0)
            changed = 1.0 if any(change.not_fallen for change in pair.changes) else 3.5
            case[marker] |= {"20": f"{base:g}"} if step((True, False)) and first > 20 else {}
            days = [first, second, *([second + step((1, 11, 30, 60))] if step((True, False, False)) else [])]
            case[marker] |= {str(day): f"{base * changed:g}" for day in days}
        return case

    def _edit(self, case: Case) -> None:
        edits = (self._day, self._value, self._value, self._word, self._word, self._drop, self._add, self._imaging, self._event, self._patient,
                 self._therapy, self._operation, self._late, self._precise, self._noisy)  # fmt: skip
        self.rng.choice(edits)(case)

    def _series(self, case: Case) -> dict[str, str]:
        found: list[dict[str, str]] = [case[marker] for marker in self.markers if case.get(marker)]
        return self.rng.choice(found) if found else case.setdefault(self.markers[0], {"-7": "1.0"})

    def _day(self, case: Case) -> None:
        series = self._series(case)
        day = self.rng.choice(list(series))
        if day.lstrip("-").isdigit():
            moved = int(day) + self.rng.choice((-1, 1)) if self.rng.random() < 0.5 else self.rng.choice(self.days)
            series.setdefault(str(moved), series.pop(day))

    def _value(self, case: Case) -> None:
        series = self._series(case)
        day = self.rng.choice(list(series))
        base = next((v for v in (_number(text) for text in series.values()) if v), 1.0)
        _, _, rest = series[day].partition(" ")
        shown = f"{base * self.rng.choice(self.ratios):.6g}"
        series[day] = f"{self.rng.choice(('', '', '', '', '<'))}{shown} {rest}".strip()

    def _word(self, case: Case) -> None:
        series = self._series(case)
        day = self.rng.choice(list(series))
        series[day] = f"{series[day].partition(' ')[0]} {self.rng.choice(_WORDS)}"

    def _precise(self, case: Case) -> None:
        """A value at the floor of a threshold, measured so well that the floor is what counts."""
        floors = [limit.floor for one in self.rules for limit in one.limits.values() if isinstance(limit, Rise)]
        series = self._series(case)
        days = sorted((day for day in series if day.lstrip("-").isdigit()), key=int)
        base = _number(series[days[0]]) if days else None
        if floors and len(days) > 1 and base:
            floor = self.rng.choice(floors)
            ratio = self.rng.choice((floor, 1 / floor)) * self.rng.choice((1, 1, 0.999, 1.02, 0.98))
            series[days[-1]] = f"{base * ratio:.12g} cva=5 cvi=5"

    def _noisy(self, case: Case) -> None:
        """A value about its limit, measured so badly that the reference change is what counts, whatever the floor."""
        limits = [limit for one in self.rules for limit in one.limits.values() if isinstance(limit, Rise)]
        series = self._series(case)
        days = sorted((day for day in series if day.lstrip("-").isdigit()), key=int)
        base = _number(series[days[0]]) if days else None
        marker = next((self.book.catalogue.markers[name] for name in self.markers if case.get(name) is series), None)
        if not limits or len(days) < 2 or not base or marker is None:
            return
        word, cva, cvi = self.rng.choice((("cva=60", 0.6, marker.cvi), ("cvi=60", marker.cva, 0.6)))
        ratio = reference_change(cva, cvi, self.rng.choice(limits).z, 1) * self.rng.choice(
            (0.998, 1.002, 1.02, 1.1, 1.4)
        )
        series[days[-1]] = f"{base * ratio:.6g} {word}"

    def _drop(self, case: Case) -> None:
        series = self._series(case)
        if len(series) > 1:
            del series[self.rng.choice(list(series))]

    def _add(self, case: Case) -> None:
        series = self._series(case)
        near = [int(day) for day in series if day.lstrip("-").isdigit()] or [0]
        steps = (13, 14, 15, 20, 21, 28, 55, 56, 57)
        day = self.rng.choice(near) + self.rng.choice(steps) if self.rng.random() < 0.6 else self.rng.choice(self.days)
        base = next((v for v in (_number(text) for text in series.values()) if v), 1.0)
        series.setdefault(str(day), f"{base * self.rng.choice(self.ratios):.6g}")

    def _imaging(self, case: Case) -> None:
        day = self._last(case) + self.rng.choice((0, 0, -27, -28, -29))
        case["imaging"] = {**case.get("imaging", {}), str(day): self.rng.choice(list(WORSE_RESPONSE))}

    def _event(self, case: Case) -> None:
        last, kind = self._last(case), self.rng.choice(EVENTS)
        end = last - self.rng.choice((0, 0, 1, 13, 14, 15, 20, 21, 22, 27, 28, 90, 91))
        begin = self.rng.choice((str(end), str(end - 5), ""))
        case["events"] = {**case.get("events", {}), kind: f"{begin}..{end if self.rng.random() < 0.8 else ''}"}

    def _patient(self, case: Case) -> None:
        choices = (
            ("sex", "male"), ("age", "17"), ("age", "18"), ("age", "unknown"), ("disease", "in-situ"), ("disease", "unknown"),
            ("er", "no"), ("er", "unknown"), ("pr", "no"), ("pr", "unknown"), ("her2", "yes"), ("her2", "no"), ("her2", "unknown"),
            ("metastatic", "yes"), ("metastatic", "unknown"), ("other_cancer", "yes"),
        )  # fmt: skip
        key, value = self.rng.choice(choices)
        case[key] = value

    def _therapy(self, case: Case) -> None:
        classes = list(self.book.catalogue.therapies.classes)
        own = [name for one in self.rules for name in (*one.anchor.therapies, *one.anchor.not_during)]
        name = self.rng.choice(own or classes) if self.rng.random() < 0.6 else self.rng.choice(classes)
        span = self.rng.choice(_SPANS)
        if any(spec.kind == "neoadjuvant" for one in self.rules for spec in one.facts):
            span += self.rng.choice((" neoadjuvant", " neoadjuvant", " not-neoadjuvant", ""))
        drugs = self.rng.choice(("", "", " tamoxifen", " letrozole"))
        there = case.get(name, [])
        case[name] = [f"{span}{drugs}"] if self.rng.random() < 0.6 or not there else [*there, f"{span}{drugs}"]

    def _operation(self, case: Case) -> None:
        day = self._last(case) - self.rng.choice((0, 10, 26, 27, 28, 60, 75, 100))
        case["operation"] = {
            **case.get("operation", {}),
            str(day): self.rng.choice(("other", "curative", "curative planned")),
        }

    def _late(self, case: Case) -> None:
        """A later day on which it is asked: the newest result grows stale."""
        spans = [one.stale_after for one in self.rules if one.stale_after] or [120]
        case["asked"] = str(self._last(case) + self.rng.choice((spans[0] - 1, spans[0], spans[0] + 1, 10)))

    def _last(self, case: Case) -> int:
        days = [int(day) for marker in self.markers for day in case.get(marker, {}) if day.lstrip("-").isdigit()]
        return max(days, default=0)

    def asked(self, case: Case) -> list[int]:
        """The days on which a case is asked: those of its samples, or the later one that it names."""
        if "asked" in case:
            return [int(case["asked"])]
        days = {int(day) for marker in self.markers for day in case.get(marker, {}) if day.lstrip("-").isdigit()}
        return sorted(days)[-2:]


def plain(stated: Mapping[str, Any], markers: Sequence[str]) -> Case:
    """What a case states, to be edited: series written out, lines as lists, nothing expected."""
    case: Case = {}
    for key, value in stated.items():
        if key in ("expect", "quiet", "because"):
            continue
        if key in markers and isinstance(value, str):
            value = written_out(value, lambda _message, _hint: None)
        elif isinstance(value, str) and ".." in value:
            value = [value]
        case[key] = _copied(value) if isinstance(value, dict) else list(value) if isinstance(value, list) else value
    return case


def _copied(case: Mapping[str, Any]) -> Case:
    return {
        key: dict(value) if isinstance(value, dict) else list(value) if isinstance(value, list) else value
        for key, value in case.items()
    }


def _number(text: str) -> float | None:
    try:
        return float(text.split()[0].lstrip("<>"))
    except ValueError:
        return None


def days_of(rule: Rule, book: RuleBook) -> set[int]:
    """The days of the line on which something turns, one before, and one after."""
    edges = {0, 21, book.windows.late_baseline, -book.windows.baseline_before, -7}
    for limit in rule.limits.values():
        if isinstance(limit, Days):
            edges |= {edge for edge in (limit.first, limit.last) if edge is not None}
    for spec in rule.facts:
        if isinstance(spec.params, Pair):
            pair = spec.params
            for first in (pair.first_from, pair.second_from):
                edges |= {first + apart for apart in (pair.apart_from, pair.apart_to) if apart < 1000}
    edges |= {rule.anchor.until, rule.anchor.second_until, rule.nadir_after_operation}
    edges |= {days for days, _ in book.windows.lasting.values()}
    return {edge + step for edge in edges if abs(edge) < 1000 for step in (-1, 0, 1)} | {70, 98, 120, 150}


def ratios_of(rule: Rule, book: RuleBook) -> set[float]:
    """Ratios about the thresholds, and some far from them."""
    found = {1.0, 0.2, 1.3, 1.6, 3.2, 5.0}
    marker = book.catalogue.markers.get(rule.watches)
    for limit in rule.limits.values():
        if isinstance(limit, Rise) and marker is not None:
            sizes = [reference_change(marker.cva, marker.cvi, limit.z, n) for n in (1, 2)]
            for change in {*(max(size, limit.floor) for size in sizes), limit.floor}:
                found |= {
                    change,
                    change * 0.999,
                    change * 1.001,
                    change * 0.96,
                    change * 1.04,
                    1 / change,
                    0.999 / change,
                    1.001 / change,
                    change**2,
                }
    return found
