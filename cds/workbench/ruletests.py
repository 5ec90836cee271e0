"""Rule tests: `NAME.test.yaml` beside a rule, in a notation short enough for the fortieth case.

    rule: trpc5-rise-on-chemotherapy
    given: {cytotoxic-chemotherapy: 0..}          # what all cases of the file share
    cases:
      two rises four weeks apart are suspected:
        trpc5-ev: {-4: 2.0, 77: 5.6, 105: 6.3}
        expect: {77: watch, 105: suspected TR-01}

Days count from day 0. A value may be followed by what is special about it: `5.6 haemolysed`, `<0.5`, `5.6 ev=none`,
`5.6 isolation=precipitation`, `6.2 until=107` (withdrawn then), `2.6 known=117`, two values for one day as `5.6 | 2.1 lab=B`,
a time of day as `5.6 at=07:30` (a line's first dose as `0.. at=09:00`). What a case states itself replaces what is given:
`cytotoxic-chemotherapy: []` takes the line away. After an expected state may stand clauses and notes that must be among its
reasons and, after `not`, those that must not: `watch TR-02 not stale`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from cds.chart.model import Chart, Diagnosis, Event, Imaging, Line, Method, Operation, Result
from cds.chart.occasions import in_order
from cds.errors import Problem
from cds.reasoning.findings import Evaluation, Finding
from cds.reasoning.kinds.imaging import WORSE_RESPONSE
from cds.reasoning.reasoner import Reasoner
from cds.reasoning.rulebook import RuleBook
from cds.source import Section, raise_if_any, read_yaml

DAY_0 = date(2025, 1, 6)
_SPAN = re.compile(r"(-?\d+|\?)?\.\.(-?\d+|\?)?")
_VALUE = re.compile(r"([<>]?)(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?|none)")
_METHOD = ("specimen", "tube", "isolation", "assay", "platform", "reagents", "normaliser")
_FLAGS = {
    "haemolysed": ("haemolysis", False),
    "lipaemic": ("lipaemia", False),
    "platelets": ("residual-platelets", False),
    "dna": ("dna-control", False),
    "intolerant": ("drug-tolerance", False),
}
_CHECKS = ("haemolysis", "lipaemia", "residual-platelets", "dna-control", "drug-tolerance")
_OTHERS = ("lab", "lot", "lod", "ev", "family", "fault", "cva", "cvi", "specimen_id", "known", "until", "at")
_ALWAYS = -(10**6)  # the day since which something has been known that no case dates


@dataclass(frozen=True, slots=True)
class _Stated:
    """A result with the days on which it became known and was withdrawn again."""

    result: Result
    known: int
    until: int | None


class Expectation(NamedTuple):
    """A state, the clauses and notes that must be among its reasons, and those that must not."""

    state: str
    reasons: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join((self.state, *self.reasons, *(("not", *self.absent) if self.absent else ())))


@dataclass(slots=True)
class RuleTest:
    """One case: a patient, and what the rule is to say on given days."""

    rule: str
    name: str
    file: str
    line: int
    age: int | None = 55
    sex: str = "female"
    diagnosis: Diagnosis = Diagnosis(True, er=True, pr=True, her2=False)  # noqa: RUF009 - immutable
    lines: list[tuple[int | None, int | None, Line]] = field(default_factory=list)
    operations: list[tuple[int, Operation]] = field(default_factory=list)
    events: list[tuple[int, Event]] = field(default_factory=list)
    imaging: list[tuple[int, Imaging]] = field(default_factory=list)
    results: list[_Stated] = field(default_factory=list)
    expect: dict[int, Expectation] = field(default_factory=dict)

    def chart(self, day: int) -> Chart:
        """The patient as of a day: what begins or becomes known later is not there, what ends later has not ended."""
        by_marker: dict[str, list[Result]] = {}
        for stated in self.results:
            if stated.known <= day and (stated.until is None or day < stated.until):
                by_marker.setdefault(stated.result.marker, []).append(stated.result)
        return Chart(
            patient="Patient/test",
            as_of=_day(day),
            birth_date=None if self.age is None else date(DAY_0.year - self.age - 1, 12, 31),
            sex=self.sex,
            diagnosis=self.diagnosis,
            lines=tuple(
                sorted(
                    (_as_of(entry, day) for entry in self.lines if entry[0] is None or entry[0] <= day),
                    key=lambda line: line.start or date.min,
                )
            ),
            operations=tuple(
                sorted((entry for known, entry in self.operations if known <= day), key=lambda entry: entry.day)
            ),
            events=tuple(event for known, event in self.events if known <= day),
            imaging=tuple(sorted((scan for known, scan in self.imaging if known <= day), key=lambda scan: scan.day)),
            results={marker: in_order(found, _day(day)) for marker, found in by_marker.items()},
        )


@dataclass(frozen=True, slots=True)
class Failure:
    """One expectation that did not hold."""

    test: RuleTest
    day: int
    wanted: str
    got: str
    evaluation: Evaluation

    def __str__(self) -> str:
        return (
            f"{self.test.file}:{self.test.line}: {self.test.name}\n"
            f"  day {self.day}: expected {self.wanted}, got {self.got}"
        )


def _method(stated: dict[str, str | None]) -> Method:
    return Method(
        specimen=stated["specimen"],
        tube=stated["tube"],
        isolation=stated["isolation"],
        assay=stated["assay"],
        platform=stated["platform"],
        reagents=stated["reagents"],
        normaliser=stated["normaliser"],
    )


def _day(number: int) -> date:
    return DAY_0 + timedelta(days=number)


def _as_of(entry: tuple[int | None, int | None, Line], day: int) -> Line:
    _, end, line = entry
    return line if end is None or end <= day else msgspec.structs.replace(line, end=None)


def load_tests(folder: Path, rulebook: RuleBook) -> list[RuleTest]:
    """Every case of every `*.test.yaml` under `folder` but those of laboratories. Raises `RuleBookError` with all mistakes found."""
    problems: list[Problem] = []
    tests: list[RuleTest] = []
    for path in sorted(folder.rglob("*.test.yaml")):
        if path.parent.name == "labs":
            continue  # `labtests` reads these
        section = read_yaml(path, problems, str(path.relative_to(folder)))
        if section is not None:
            tests += _Reader(section, rulebook).read()
    raise_if_any(problems)
    return tests


def run(tests: Iterable[RuleTest], reasoner: Reasoner) -> list[Failure]:
    """The expectations that do not hold."""
    failures = []
    for test in tests:
        for day, wanted in sorted(test.expect.items()):
            evaluation = reasoner.evaluate(test.chart(day))
            finding = _answer(evaluation, test.rule)
            got = "none" if finding is None else finding.state
            reasons = set() if finding is None else {*(clause.key for clause in finding.holding), *finding.notes}
            if got != wanted.state or not reasons.issuperset(wanted.reasons) or not reasons.isdisjoint(wanted.absent):
                failures.append(Failure(test, day, str(wanted), " ".join((got, *sorted(reasons))), evaluation))
    return failures


def _answer(evaluation: Evaluation, rule: str) -> Finding | None:
    """The rule's own answer, also of one that only a combining rule hands on."""
    parts = (part for finding in evaluation.answers.values() for part in finding.parts if part.rule.name == rule)
    return evaluation.answers.get(rule) or next(parts, None)


class _Reader:
    """Reads one file of rule tests."""

    def __init__(self, section: Section, rulebook: RuleBook):
        self.section = section
        self.rulebook = rulebook

    def read(self) -> list[RuleTest]:
        section = self.section
        section.keys("rule", "cases", optional=("given",))
        rule = section.text("rule")
        if rule not in {known.name for known in self.rulebook.rules}:
            section.problem(f"'{rule}' is no rule of this book", at="rule")
        tests = []
        for name, case in section.named("cases"):
            test = RuleTest(rule, name, section.file, case.place[0])
            self._patient(section.section("given"), test, replaced=case.value)
            self._patient(case, test)
            if not test.expect:
                case.problem("the case expects nothing", "add 'expect: {day: state}'")
            tests.append(test)
        return tests

    def _patient(self, part: Section, test: RuleTest, replaced: Collection[str] = ()) -> None:
        markers = self.rulebook.catalogue.markers
        classes = self.rulebook.catalogue.therapies.classes
        part.keys(optional=(
            *markers, *classes, "age", "sex", "disease", "er", "pr", "her2", "metastatic", "other_cancer", "operation",
            "imaging", "events", "expect", "because",
        ))  # fmt: skip
        part.value = {key: value for key, value in part.value.items() if key not in replaced}
        if "age" in part:
            test.age = None if part.text("age") == "unknown" else int(part.number("age"))
        test.sex = part.text("sex", test.sex)
        test.diagnosis = self._diagnosis(part, test.diagnosis)
        for name in part.value:
            if name in classes:
                for text in part.texts(name):
                    self._line(part, name, text, test)
            elif name in markers:
                self._series(part, name, test)
        for day, words in self._by_day(part, "operation", ("curative", "other", "planned")):
            operation = Operation(_day(day), "curative" in words, "planned" in words, "Procedure/test")
            test.operations.append((_ALWAYS if operation.planned else day, operation))
        for day, words in self._by_day(part, "imaging", tuple(WORSE_RESPONSE)):
            known = next((int(word[6:]) for word in words if word.startswith("known=")), day)
            test.imaging += [
                (known, Imaging(_day(day), word, "Observation/scan")) for word in words if word in WORSE_RESPONSE
            ]
        for kind, text in part.section("events").value.items():
            first, last, _ = self._span(part.section("events"), kind, str(text))
            start = None if first is None else _day(first)
            test.events.append(
                (_ALWAYS if first is None else first, Event(kind, start, last if last is None else _day(last)))
            )
        for day, words in self._by_day(part, "expect"):
            state, *reasons = words
            if state != "none" and state not in {known.name for known in self.rulebook.states}:
                part.section("expect").problem(f"'{state}' is no state", at=str(day))
            cut = reasons.index("not") if "not" in reasons else len(reasons)
            test.expect[day] = Expectation(state, tuple(reasons[:cut]), tuple(reasons[cut + 1 :]))

    @staticmethod
    def _by_day(part: Section, key: str, known: Collection[str] = ()) -> Iterable[tuple[int, list[str]]]:
        """The days under `key`, each with its words; a word that is not `known` (or key=value) is a mistake."""
        section = part.section(key)
        for day, text in section.value.items():
            words = str(text).split()
            unknown = [word for word in words if known and word not in known and "=" not in word]
            if not re.fullmatch(r"-?\d+", day):
                section.problem(f"'{day}' is no day", "write whole days, day 0 is the first", at=day)
            elif not words or unknown:
                said = f"'{unknown[0]}' is not known" if unknown else "nothing is said of this day"
                section.problem(said, f"one of: {', '.join(known)}" if known else "write a state", at=day)
            else:
                yield int(day), words

    @staticmethod
    def _diagnosis(part: Section, diagnosis: Diagnosis) -> Diagnosis:
        answers = {"yes": True, "no": False, "unknown": None}
        changes: dict[str, Any] = {
            key: answers[part.choice(key, list(answers), "unknown")]
            for key in ("er", "pr", "her2", "metastatic")
            if key in part
        }
        if "disease" in part:
            kinds = {"invasive": True, "in-situ": False, "unknown": None}
            changes["invasive_breast_cancer"] = kinds[part.choice("disease", list(kinds), "unknown")]
        if "other_cancer" in part:
            changes["other_cancer"] = part.text("other_cancer") == "yes"
        return msgspec.structs.replace(diagnosis, **changes)

    @staticmethod
    def _span(section: Section, key: str, text: str) -> tuple[int | None, int | None, list[str]]:
        words = text.split()
        found = _SPAN.fullmatch(words[0]) if words else None
        if not found:
            section.problem(
                f"'{text}' is no span of days", "write '0..' or '0..84', '?..' for an unknown start", at=key
            )
            return 0, None, []
        first = int(found[1]) if found[1] not in (None, "?") else None
        last = int(found[2]) if found[2] not in (None, "?") else None
        return first, last, [*words[1:], *(["unknown-extent"] if found[2] == "?" else [])]

    def _line(self, part: Section, therapy: str, text: str, test: RuleTest) -> None:
        first, last, words = self._span(part, therapy, text)
        known = {"planned", "neoadjuvant", "not-neoadjuvant", "unknown-extent", "assumed"}
        drugs = tuple(word for word in words if word not in known and not word.startswith("at="))
        doses = [time.fromisoformat(word[3:]) for word in words if word.startswith("at=")]
        extent = "unknown" if "unknown-extent" in words else "assumed-ongoing" if "assumed" in words else "known"
        neoadjuvant = True if "neoadjuvant" in words else False if "not-neoadjuvant" in words else None
        line = Line(
            therapy,
            drugs or (therapy,),
            None if first is None else _day(first),
            None if last is None else _day(last),
            extent,
            "planned" in words,
            first_dose=doses[0] if doses else None,
            neoadjuvant=neoadjuvant,
        )
        test.lines.append((None if line.planned else first, last, line))

    def _series(self, part: Section, marker: str, test: RuleTest) -> None:
        series = part.section(marker)
        for day, text in series.value.items():
            if not re.fullmatch(r"-?\d+|undated", day):
                series.problem(f"'{day}' is no day", "write whole days, day 0 is the first", at=day)
                continue
            for number, value in enumerate(str(text).split("|")):
                stated = self._result(series, marker, day, value.split(), number)
                if stated is not None:
                    test.results.append(stated)

    def _result(self, series: Section, marker: str, day: str, words: list[str], number: int) -> _Stated | None:
        found = _VALUE.fullmatch(words[0]) if words else None
        if not found:
            series.problem(f"'{' '.join(words)}' begins with no value", "write 5.6, <0.5 or none", at=day)
            return None
        special = dict(word.split("=", 1) for word in words[1:] if "=" in word)
        flags = {word for word in words[1:] if "=" not in word}
        known_words = {*_FLAGS, "bridged"}
        known_keys = {*_METHOD, *_CHECKS, *_OTHERS}
        for word in flags - known_words:
            series.problem(f"'{word}' is not known", f"one of: {', '.join(sorted(known_words))}, or key=value", at=day)
        for key in set(special) - known_keys:
            series.problem(f"'{key}' is not known", f"keys: {', '.join(sorted(known_keys))}", at=day)
        families = self.rulebook.catalogue.markers[marker].families
        family = special.get("family", next(iter(families), ""))
        lod = float(special.get("lod", "0.5"))
        faults: set[str] = set()
        low: float | None = None
        high: float | None = None
        if found[2] == "none":
            faults.add(special.get("fault", "no-value"))
        else:
            figure = float(Decimal(found[2]))
            low, high = (0.0, figure) if found[1] == "<" else (figure, float("inf") if found[1] == ">" else figure)
            if found[1] == "<":
                lod = figure
            if "fault" in special:
                faults.add(special["fault"])
                low = high = None
            elif figure < 0:
                faults.add("negative")
            elif figure == 0 and not found[1]:
                faults.add("zero-without-lod")
        if day == "undated":
            faults.add("no-collection-date")
        specimen = special.get("specimen", "serum" if marker == "hotair-ev" else "plasma")
        stated = {"specimen": specimen, "tube": "edta", "isolation": "sec", "assay": "assay", "platform": "p1",
                  "reagents": "r1", "normaliser": "n1"}  # fmt: skip
        stated.update({key: value for key, value in special.items() if key in _METHOD})
        checks = dict.fromkeys(_CHECKS, True)
        checks.update(_FLAGS[flag] for flag in flags & set(_FLAGS))
        for key, value in special.items():
            if key in checks and value == "unstated":
                del checks[key]
        ev = special.get("ev", "1.1")
        when = None if day == "undated" else int(day)
        result = Result(
            ref=f"Observation/{marker}-{day}-{number}",
            marker=marker,
            collected=None if when is None else _day(when),
            collected_time=time.fromisoformat(special["at"]) if "at" in special else None,
            shown=words[0],
            low=low,
            high=high,
            family=family if low is not None else None,
            unit=families[family].canonical if family in families else None,
            lod=lod,
            censored=found[1] == "<",
            per_ev_low=None if ev == "none" or low is None else low / float(ev),
            per_ev_high=None if ev == "none" or high is None else high / float(ev),
            method=_method({key: None if value == "unstated" else value for key, value in stated.items()}),
            laboratory=special.get("lab", "A") if special.get("lab") != "unstated" else None,
            lot=special.get("lot", "1") if special.get("lot") != "unstated" else None,
            bridged="bridged" in flags,
            checks=checks,
            cva=float(special["cva"]) / 100 if "cva" in special else None,
            cvi=float(special["cvi"]) / 100 if "cvi" in special else None,
            specimen_id=special.get("specimen_id"),
            faults=frozenset(faults),
        )
        known = int(special.get("known", _ALWAYS if when is None else when))
        return _Stated(result, known, int(special["until"]) if "until" in special else None)
