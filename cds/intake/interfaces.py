"""How a laboratory delivers: the `receives` part of its file in `rules/labs/`.

`hl7v2` says what its coding systems and assigning authorities mean, and which numbers are a patient's own; `table` says which column holds what, and how figures
and dates are written; `methods` translates its words for methods. Nothing of that is ever guessed.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from cds.chart.declarations import CHECKS, WORDS, Declarations, Laboratory, laboratory_files
from cds.errors import Problem
from cds.layers import Rules
from cds.source import Section, raise_if_any

STATUSES = ("final", "preliminary", "registered", "corrected", "amended", "entered-in-error", "cancelled")
FIELDS = (
    "patient", "birth_date", "gender", "order", "specimen", "specimen_type", "collected", "reported", "status", "method", "device",
    "result",
)  # fmt: skip
"""What a column of a table may hold, beside the results."""

TABLE = ("columns", "results", "authority", "dates")
LAYOUT = ("delimiter", "decimal", "encoding", "statuses")
RESULT = ("code", "code_column", "system_column", "unit", "unit_column", "unit_in_value")
MESSAGES = ("facilities", "systems", "authorities", "numbers")
"""Keys of `receives`: what a table needs, what it may have beside, what one of its results and what messages may have."""

_TOKENS = {"YYYY": "%Y", "YY": "%y", "MM": "%m", "DD": "%d", "HH": "%H", "mm": "%M", "ss": "%S"}
DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|"}


@dataclass(frozen=True, slots=True)
class ResultColumns:
    """Where a result of a row stands: its value in a column; code and unit in columns or stated for all rows."""

    value: str
    code: str = ""
    code_column: str = ""
    system_column: str = ""
    unit: str = ""
    unit_column: str = ""
    unit_in_value: bool = False  # "6.3 pg/mL" in one cell


@dataclass(frozen=True, slots=True)
class Layout:
    """How a laboratory's tables are written."""

    columns: Mapping[str, str]  # what it holds (one of `FIELDS`) -> name of the column
    results: tuple[ResultColumns, ...]
    authority: str  # whose numbers stand in the patient's column
    times: tuple[str, ...]  # accepted formats, as strptime has them
    delimiter: str = ","
    decimal: str = "."
    encoding: str = "utf-8"
    statuses: Mapping[str, str] = field(default_factory=dict)  # as written -> FHIR
    shown_times: str = ""  # the formats as the file states them

    @property
    def named(self) -> frozenset[str]:
        """Every column that the layout speaks of."""
        own = {
            name
            for one in self.results
            for name in (one.value, one.code_column, one.system_column, one.unit_column)
            if name
        }
        return frozenset(own | set(self.columns.values()))


@dataclass(frozen=True, slots=True)
class Interface:
    """A laboratory's ways of delivering; `systems` and `authorities` by the names that its messages use."""

    laboratory: Laboratory
    systems: Mapping[str, str] = field(default_factory=dict)
    methods: Mapping[str, str] = field(default_factory=dict)  # its own words -> codes of exosomal-method
    authorities: Mapping[str, str] = field(default_factory=dict)
    facilities: frozenset[str] = frozenset()  # MSH-4 of its messages
    numbers: frozenset[str] = frozenset()  # types of PID-3.5 that are a patient's own, beside MR and PI
    table: Layout | None = None


def load_interfaces(rules: Rules, declarations: Declarations) -> dict[str, Interface]:
    """How each laboratory under `rules`/labs delivers, by its name. Raises `RuleBookError` with all problems at once."""
    problems: list[Problem] = []
    found: dict[str, Interface] = {}
    facilities: dict[str, str] = {}
    for section in _files(rules, problems):
        laboratory = declarations.laboratories.get(section.text("laboratory"))
        if laboratory is not None:
            found[laboratory.name] = _interface(section.section("receives"), laboratory, facilities)
    raise_if_any(problems)
    return found


def mistakes(rules: Rules) -> list[Problem]:
    """What is wrong with how laboratories under `rules`/labs say that they deliver, whatever else is wrong with their files."""
    problems: list[Problem] = []
    facilities: dict[str, str] = {}
    for section in _files(rules, problems):
        nameless = Laboratory(section.text("laboratory"), "", frozenset(), frozenset(), "", None, {})
        _interface(section.section("receives"), nameless, facilities)
    return problems


def _files(rules: Rules, problems: list[Problem]) -> Iterator[Section]:
    """The files of the laboratories that say how they deliver."""
    for file in laboratory_files(rules):
        section = file.read(problems)
        if section is not None and "receives" in section:
            yield section


def _interface(section: Section, laboratory: Laboratory, facilities: dict[str, str]) -> Interface:
    """What the section says; `facilities` are those of the laboratories before, by MSH-4."""
    section.keys(optional=("hl7v2", "table", "methods"))
    messages = section.section("hl7v2")
    messages.keys(optional=MESSAGES)
    for number, facility in enumerate(messages.texts("facilities")):
        if facilities.setdefault(facility, laboratory.name) != laboratory.name:
            text = f"messages of '{facility}' are those of {facilities[facility]}"
            messages.problem(text, "each MSH-4 is of one laboratory", at=("facilities", number))
    return Interface(
        laboratory,
        _texts(messages.section("systems")),
        _methods(section.section("methods")),
        _texts(messages.section("authorities")),
        frozenset(messages.texts("facilities")),
        frozenset(name.upper() for name in messages.texts("numbers")),
        _layout(section.section("table")) if "table" in section else None,
    )


def _methods(section: Section) -> dict[str, str]:
    """A laboratory's words by what they mean; the answers of checks are words of the code system too."""
    known = [one for words in (*WORDS.values(), *CHECKS.values()) for one in words]
    return {name: section.choice(name, known) for name in section.value}


def _texts(section: Section) -> dict[str, str]:
    return {name: section.text(name) for name in section.value}


def _layout(section: Section) -> Layout:
    section.keys(*TABLE, optional=LAYOUT)
    columns = section.section("columns").keys("patient", optional=FIELDS)
    if "specimen" not in columns and "order" not in columns and "result" not in columns:
        columns.problem(
            "nothing tells one result from another", "name the column of the specimen, the order or the result"
        )
    if "collected" not in columns:
        columns.problem("no column says when the specimen was collected", "name it under 'collected'")
    statuses = section.section("statuses")
    encoding = section.text("encoding", "utf-8")
    try:
        codecs.lookup(encoding)
    except LookupError:
        section.problem(f"'{encoding}' is no encoding", "write utf-8 or windows-1252", at="encoding")
        encoding = "utf-8"
    results = tuple(_result(one) for one in section.sections("results"))
    if not results:
        section.problem("no column holds a result", "list them under 'results'", at="results")
    return Layout(
        {name: columns.text(name) for name in columns.value if name in FIELDS},
        results,
        section.text("authority"),
        tuple(_format(section, stated, number) for number, stated in enumerate(section.texts("dates"))),
        DELIMITERS[section.choice("delimiter", tuple(DELIMITERS), "comma")],
        {"point": ".", "comma": ","}[section.choice("decimal", ("point", "comma"), "point")],
        encoding,
        {name: statuses.choice(name, STATUSES) for name in statuses.value},
        " or ".join(section.texts("dates")),
    )


def _result(section: Section) -> ResultColumns:
    section.keys("value", optional=RESULT)
    if ("code" in section) == ("code_column" in section):
        section.problem("say what was measured, once", "'code: EV-TRPC5', or 'code_column: Analyte'")
    in_value = section.choice("unit_in_value", ("yes", "no"), "no") == "yes"
    if ("unit" in section) + ("unit_column" in section) + in_value > 1:
        section.problem("the unit is stated twice", "'unit' for all rows, 'unit_column', or 'unit_in_value: yes'")
    return ResultColumns(
        section.text("value"),
        section.text("code"),
        section.text("code_column"),
        section.text("system_column"),
        section.text("unit"),
        section.text("unit_column"),
        in_value,
    )


def _format(section: Section, stated: str, number: int) -> str:
    """`DD.MM.YYYY HH:mm` as strptime has it."""
    tokens = re.findall(r"[A-Za-z]+", stated.replace("T", " "))
    if not tokens or any(token not in _TOKENS for token in tokens) or not {"MM", "DD"} <= set(tokens):
        section.problem(
            f"'{stated}' is no form of a date", f"put it together from {', '.join(_TOKENS)}", at=("dates", number)
        )
        return "%Y-%m-%d"
    return re.sub("|".join(_TOKENS), lambda found: _TOKENS[found[0]], stated.replace("%", "%%"))
