"""Rule tests: `NAME.test.yaml` beside a rule, in a notation short enough for the fortieth case.

    rule: trpc5-rise-on-chemotherapy
    given: {cytotoxic-chemotherapy: 0..}          # what all cases of the file share
    cases:
      two rises four weeks apart are suspected:
        trpc5-ev: {-4: 2.0, 77: 5.6, 105: 6.3}
        expect: {77: watch, 105: suspected TR-01}
      a stable patient stays quiet:
        trpc5-ev: 2.0 x6 q21d from -4
        quiet: [59, 101]

The whole notation stands in docs/rule-authors.md; `cds.workbench.proving.series` reads the short form of values.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from datetime import date, time
from pathlib import Path
from typing import Any

import msgspec

from cds.chart.meanings import SIDES
from cds.chart.model import Diagnosis, DrugCourse, Event, Imaging, Line, Operation
from cds.errors import Problem
from cds.layers import RuleFile, Rules, rule_files
from cds.mistakes import Mistake
from cds.reasoning.kinds.imaging import WORSE_RESPONSE
from cds.reasoning.kinds.sample import EVENTS
from cds.reasoning.rulebook import RuleBook
from cds.source import Section, likely, raise_if_any
from cds.workbench.proving.cases import ALWAYS, QUIET, Expectation, RuleTest, date_of
from cds.workbench.proving.series import written_out
from cds.workbench.proving.values import EXAMPLES, FORMS, read_value

OPERATIONS = ("curative", "doubtful", "other", "planned", *SIDES)
"""What a case may say of an operation; `doubtful`: nobody knows whether it removed the tumour."""
_SPAN = re.compile(r"(-?\d+|\?)?\.\.(-?\d+|\?)?")


def load_tests(rules: Rules, rulebook: RuleBook) -> list[RuleTest]:
    """Every case of the tests beside the rules; of a folder that is no rule book, of every test in it.

    Of a site's overlay only its own: the shipped ones prove the shipped rules with the shipped coefficients of variation.

    Raises `RuleBookError` with all mistakes found.
    """
    problems: list[Problem] = []
    tests = read_tests(rules, rulebook, problems)
    raise_if_any(problems)
    return tests


def read_tests(rules: Rules, rulebook: RuleBook, problems: list[Problem]) -> list[RuleTest]:
    """Like `load_tests`, but mistakes are added to `problems`."""
    book = rule_files(rules)
    files = [file for file in book.of("resistance", tests=True) if file.own or not book.site]
    if not book.files:
        files = [
            RuleFile(path.name, path, str(path.relative_to(book.root)))
            for path in sorted(book.root.rglob("*.test.yaml"))
        ]
    sections = [section for file in files if (section := file.read(problems)) is not None]
    known = {rule.name for rule in rulebook.rules}
    broken = {Path(file.name).stem for file in book.of("resistance")} - known  # what their tests mean nobody can tell
    return [test for section in sections for test in _Reader(section, rulebook, broken).read()]


def read_case(stated: Mapping[str, Any], rule: str, rulebook: RuleBook, name: str = "a case") -> RuleTest:
    """The case that a mapping of a test file states. Raises `RuleBookError`."""
    problems: list[Problem] = []
    test = _Reader(Section("a case", dict(stated), (), {}, problems), rulebook).case(rule, name)
    raise_if_any(problems)
    return test


class _Reader:
    """Reads one file of rule tests."""

    def __init__(self, section: Section, rulebook: RuleBook, broken: Collection[str] = ()):
        self.section = section
        self.rulebook = rulebook
        self.broken = broken  # rules whose files did not load

    def read(self) -> list[RuleTest]:
        section = self.section
        section.keys("rule", "cases", optional=("given",))
        rule = section.text("rule")
        if rule in self.rulebook.withheld or rule in self.rulebook.resting or rule in self.broken:
            return []  # nobody asks the rule
        if rule not in {known.name for known in self.rulebook.rules}:
            section.problem(
                f"'{rule}' is no rule of this book",
                f"rules: {', '.join(sorted(known.name for known in self.rulebook.rules))}",
                at="rule",
                mistake=Mistake.TEST_OF_NO_RULE,
            )
        tests = []
        given = section.section("given")
        for name, case in section.named("cases"):
            tests.append(self._case(case, given, rule, name))
        return tests

    def case(self, rule: str, name: str) -> RuleTest:
        """The section itself as one case."""
        return self._case(self.section, None, rule, name)

    def _case(self, case: Section, given: Section | None, rule: str, name: str) -> RuleTest:
        shared = {} if given is None else given.value
        test = RuleTest(rule, name, case.file, case.place[0], case.text("because"), {**shared, **case.value})
        if given is not None:
            own = self.section.section("given")
            own.value = {key: value for key, value in shared.items() if key not in case.value}
            self._patient(own, test)
        self._patient(case, test)
        if not test.expect:
            case.problem(
                "the case expects nothing",
                "add 'expect: {day: state}' or 'quiet: [day]'",
                mistake=Mistake.EXPECTS_NOTHING,
            )
        return test

    def _patient(self, part: Section, test: RuleTest) -> None:
        markers = self.rulebook.catalogue.markers
        classes = self.rulebook.catalogue.therapies.classes
        part.keys(optional=(
            *markers, *classes, "age", "sex", "disease", "er", "pr", "her2", "metastatic", "other_cancer", "side",
            "operation", "imaging", "events", "expect", "quiet", "because",
        ))  # fmt: skip
        if "age" in part:
            test.age = None if part.text("age") == "unknown" else int(part.number("age"))
        test.sex = part.choice("sex", ("female", "male", "unknown"), test.sex)
        test.diagnosis = self._diagnosis(part, test.diagnosis)
        for name in part.value:
            if name in classes:
                for text in part.texts(name):
                    self._line(part, name, text, test)
            elif name in markers:
                self._series(part, name, test)
        for day, words in self._by_day(part, "operation", OPERATIONS):
            curative = None if "doubtful" in words else "curative" in words
            side = next((side for side in SIDES if side in words), None)
            operation = Operation(date_of(day), curative, "planned" in words, "Procedure/test", side)
            test.operations.append((ALWAYS if operation.planned else day, operation))
        for day, words in self._by_day(part, "imaging", tuple(WORSE_RESPONSE)):
            later = [word for word in words if "=" in word]
            for word in later:
                if not re.fullmatch(r"known=-?\d+", word):
                    part.section("imaging").problem(
                        f"'{word}' cannot be read", "write known=117", at=str(day), mistake=Mistake.NOT_A_VALUE
                    )
            known = next((int(word[6:]) for word in later if re.fullmatch(r"known=-?\d+", word)), day)
            test.imaging += [
                (known, Imaging(date_of(day), word, "Observation/scan")) for word in words if word in WORSE_RESPONSE
            ]
        for kind, text in part.section("events").keys(optional=EVENTS).value.items():
            first, last, _ = self._span(part.section("events"), kind, str(text))
            start = None if first is None else date_of(first)
            test.events.append(
                (ALWAYS if first is None else first, Event(kind, start, last if last is None else date_of(last)))
            )
        self._expectations(part, test)

    def _expectations(self, part: Section, test: RuleTest) -> None:
        reasons = self._reasons(test.rule)
        section = part.section("expect")
        for day, (state, *words) in self._by_day(part, "expect"):
            states = ["none", *(known.name for known in self.rulebook.states)]
            if state not in states:
                hint = likely(state, states, "states")
                section.problem(f"'{state}' is no state", hint, at=str(day), mistake=Mistake.UNKNOWN_STATE)
            for word in words:
                if word != "not" and word.removeprefix("open=") not in reasons:
                    close = difflib.get_close_matches(word, reasons, n=1)
                    hint = f"did you mean '{close[0]}'?" if close else "name a clause's id, a note or a certainty of it"
                    section.problem(
                        f"'{word}' is no reason of this rule", hint, at=str(day), mistake=Mistake.UNKNOWN_REASON
                    )
            cut = words.index("not") if "not" in words else len(words)
            test.expect[day] = Expectation(state, tuple(words[:cut]), tuple(words[cut + 1 :]))
        for day_text in part.texts("quiet"):
            if not re.fullmatch(r"-?\d+", day_text):
                part.problem(
                    f"'{day_text}' is no day",
                    "write whole days, day 0 is the first",
                    at="quiet",
                    mistake=Mistake.NOT_A_DAY,
                )
            elif int(day_text) in test.expect:
                part.problem(
                    f"day {day_text} is expected to be '{test.expect[int(day_text)]}' too",
                    "say one",
                    at="quiet",
                    mistake=Mistake.EXPECTED_TWICE,
                )
            else:
                test.expect[int(day_text)] = Expectation(QUIET)

    def _reasons(self, name: str) -> set[str]:
        """What may stand after an expected state: clauses, notes and certainties of the rule, its parts and its whole."""
        rules = [rule for rule in self.rulebook.rules if rule.name == name or name in rule.combines.values()]
        names = {part for rule in rules for part in rule.combines.values()} | {rule.name for rule in rules}
        clauses = [clause for rule in self.rulebook.rules if rule.name in names for clause in rule.clauses]
        return {word for clause in clauses for word in (clause.key, clause.note, clause.certainty) if word}

    @staticmethod
    def _by_day(part: Section, key: str, known: Collection[str] = ()) -> Iterable[tuple[int, list[str]]]:
        """The days under `key`, each with its words; a word that is not `known` (or key=value) is a mistake."""
        section = part.section(key)
        for day, text in section.value.items():
            words = str(text).split()
            unknown = [word for word in words if known and word not in known and "=" not in word]
            if not re.fullmatch(r"-?\d+", day):
                section.problem(
                    f"'{day}' is no day", "write whole days, day 0 is the first", at=day, mistake=Mistake.NOT_A_DAY
                )
            elif not words or unknown:
                said = f"'{unknown[0]}' is not known" if unknown else "nothing is said of this day"
                section.problem(
                    said,
                    f"one of: {', '.join(known)}" if known else "write a state",
                    at=day,
                    mistake=Mistake.UNKNOWN_REMARK,
                )
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
        if "side" in part:
            side = part.choice("side", (*SIDES, "unknown"))
            changes["side"] = None if side == "unknown" else side
        if "other_cancer" in part:
            changes["other_cancer"] = part.choice("other_cancer", ("yes", "no")) == "yes"
        return msgspec.structs.replace(diagnosis, **changes)

    @staticmethod
    def _span(section: Section, key: str, text: str) -> tuple[int | None, int | None, list[str]]:
        words = text.split()
        found = _SPAN.fullmatch(words[0]) if words else None
        if not found:
            section.problem(
                f"'{text}' is no span of days",
                "write '0..' or '0..84', '?..' for an unknown start",
                at=key,
                mistake=Mistake.NOT_A_SPAN,
            )
            return 0, None, []
        first = int(found[1]) if found[1] not in (None, "?") else None
        last = int(found[2]) if found[2] not in (None, "?") else None
        return first, last, [*words[1:], *(["unknown-extent"] if found[2] == "?" else [])]

    def _line(self, part: Section, therapy: str, text: str, test: RuleTest) -> None:
        first, last, words = self._span(part, therapy, text)
        known = {"planned", "neoadjuvant", "not-neoadjuvant", "unknown-extent", "assumed"}
        courses = [
            DrugCourse(drug, *map(_date_of, self._span(part, therapy, days)[:2]))
            for drug, _, days in (word.partition("=") for word in words if not word.startswith("at="))
            if days
        ]
        drugs = [word for word in words if word not in known and "=" not in word] + [one.drug for one in courses]
        at = [word[3:] for word in words if word.startswith("at=")]
        for text_of_time in at:
            if not FORMS["at"].fullmatch(text_of_time):
                part.problem(
                    f"'at={text_of_time}' cannot be read",
                    f"write it as {EXAMPLES['at']}",
                    at=therapy,
                    mistake=Mistake.NOT_A_VALUE,
                )
        doses = [time.fromisoformat(one) for one in at if FORMS["at"].fullmatch(one)]
        extent = "unknown" if "unknown-extent" in words else "assumed-ongoing" if "assumed" in words else "known"
        neoadjuvant = True if "neoadjuvant" in words else False if "not-neoadjuvant" in words else None
        line = Line(
            therapy,
            tuple(dict.fromkeys(drugs)) or (therapy,),
            _date_of(first),
            _date_of(last),
            extent,
            "planned" in words,
            first_dose=doses[0] if doses else None,
            neoadjuvant=neoadjuvant,
            courses=tuple(courses),
        )
        test.lines.append((None if line.planned else first, last, line))

    def _series(self, part: Section, marker: str, test: RuleTest) -> None:
        short = part.value[marker]
        if isinstance(short, str):
            values = written_out(
                short, lambda message, hint: part.problem(message, hint, at=marker, mistake=Mistake.NOT_A_VALUE)
            )
            part.value = {**part.value, marker: values}
        series = part.section(marker)
        for day, text in series.value.items():
            if not re.fullmatch(r"-?\d+|undated", day):
                series.problem(
                    f"'{day}' is no day", "write whole days, day 0 is the first", at=day, mistake=Mistake.NOT_A_DAY
                )
                continue
            for number, value in enumerate(str(text).split("|")):
                stated = read_value(series, self.rulebook.catalogue.markers[marker], day, value.split(), number)
                if stated is not None:
                    test.results.append(stated)


def _date_of(day: int | None) -> date | None:
    return None if day is None else date_of(day)
