"""Reading rule files: YAML whose every value knows where it stands.

Scalars stay text until a caller says what they are (YAML's own guesses turn `no` into False and `1e3` into a string), unknown
and duplicate keys are refused, and all problems of all files are collected before anything is raised.

    problems: list[Problem] = []
    section = read_yaml(path, problems)          # None if the file cannot be read at all
    section.keys("marker", "title", optional=("cv",))
    name = section.text("marker")
    raise_if_any(problems)
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from cds.errors import Problem, RuleBookError
from cds.mistakes import Mistake

Path_ = tuple[str | int, ...]
Marks = dict[Path_, tuple[str, int, int]]
"""Where each value stands: its file as messages call it, line and column."""

_PLAIN = re.compile(r"[0-9A-Za-z.+][0-9A-Za-z.+-]*( [0-9A-Za-z.+%-]+)*")
"""A value that needs no quotes wherever it stands."""
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def likely(value: str, known: Iterable[str], what: str) -> str:
    """The next step about a word that is not known: the one likely meant, or all there are."""
    names = list(known)
    close = difflib.get_close_matches(value, names, n=1)
    if close:
        return f"did you mean '{close[0]}'?"
    return (
        f"{what}: {', '.join(names) or 'none'}" if len(names) < 50 else f"{what}: {len(names)}, none of a name like it"
    )


class Section:
    """A mapping in a rule file: typed access to its keys, each mistake noted with its place.

    A getter that meets a mistake notes it and returns a harmless value of its type, so that reading goes on.
    """

    __slots__ = ("_marks", "_path", "_problems", "file", "value")

    def __init__(
        self,
        file: str,
        value: dict[str, Any],
        path: Path_,
        marks: Marks,
        problems: list[Problem],
    ):
        self.file = file
        self.value = value
        self._path = path
        self._marks = marks
        self._problems = problems

    def problem(
        self,
        message: str,
        hint: str = "",
        at: str | int | Path_ | None = None,
        mistake: Mistake = Mistake.UNUSABLE,
    ) -> None:
        """Note a mistake at this section, or at its key or item `at`; at the way to one of an item."""
        path = self._path if at is None else (*self._path, *(at if isinstance(at, tuple) else (at,)))
        while path and path not in self._marks:
            path = path[:-1]
        place = self._marks.get(path, (self.file, 1, 1))
        self._problems.append(Problem(*place, message, hint, mistake))

    @property
    def place(self) -> tuple[int, int]:
        """Line and column at which the section stands."""
        return self._marks.get(self._path, (self.file, 1, 1))[1:]

    def keys(self, *required: str, optional: Sequence[str] = ()) -> Section:
        """Refuse unknown keys (with the likely meant one) and missing ones; the section itself, for one-line readers."""
        known = (*required, *optional)
        for key in self.value:
            if key not in known:
                close = difflib.get_close_matches(key, known, n=1)
                self.problem(
                    f"unknown key '{key}'",
                    f"did you mean '{close[0]}'?" if close else f"known keys: {', '.join(known)}",
                    at=key,
                    mistake=Mistake.UNKNOWN_KEY,
                )
        for key in required:
            if self.value.get(key) == "":
                self.problem(f"'{key}' is empty", "say what it is", at=key, mistake=Mistake.EMPTY_TEXT)
            elif key not in self.value:
                self.problem(f"'{key}' is missing", "every file of this kind states it", mistake=Mistake.MISSING_KEY)
        return self

    def __contains__(self, key: str) -> bool:
        return key in self.value

    def text(self, key: str, default: str = "") -> str:
        value = self.value.get(key)
        if value is None:
            return default
        if isinstance(value, str):
            return value
        self.problem(f"'{key}' is to be a text", "one value on the line", at=key, mistake=Mistake.NOT_A_TEXT)
        return default

    def choice(self, key: str, choices: Sequence[str], default: str = "") -> str:
        value = self.text(key, default)
        if value and value not in choices:
            close = difflib.get_close_matches(value, choices, n=1)
            self.problem(
                f"'{key}: {value}' is not known",
                f"did you mean '{close[0]}'?" if close else f"one of: {', '.join(choices)}",
                at=key,
                mistake=Mistake.UNKNOWN_WORD,
            )
            return default
        return value

    def number(self, key: str, default: float = 0.0) -> float:
        value = self.text(key)
        if not value:
            return default
        if not _NUMBER.fullmatch(value):
            self.problem(f"'{key}: {value}' is not a number", "write 2.0 or 1e6", at=key, mistake=Mistake.NOT_A_NUMBER)
            return default
        return float(value)

    def percent(self, key: str, default: float = 0.0) -> float:
        """`20 %` as 0.2."""
        value = self.text(key)
        if not value:
            return default
        figure = value.removesuffix("%").strip()
        if not value.endswith("%") or not _NUMBER.fullmatch(figure):
            meant = float(figure) if _NUMBER.fullmatch(figure) else 20.0
            shown = f"{meant * 100 if 0 < meant < 1 else meant:g} %"
            self.problem(
                f"'{key}: {value}' is not a percentage",
                f"write it as '{shown}'",
                at=key,
                mistake=Mistake.NOT_A_PERCENTAGE,
            )
            return default
        return float(figure) / 100

    def days(self, key: str, default: int = 0) -> int:
        """`42 d` (or `6 w`) as whole days; a bare whole number means days."""
        value = self.text(key)
        if not value:
            return default
        found = re.fullmatch(r"(-?\d+)\s*([dw]?)", value)
        if not found:
            said = re.fullmatch(r"(-?\d+)\s*([dw])[a-z]+", value, re.IGNORECASE)  # 4 weeks
            self.problem(
                f"'{key}: {value}' is not a number of days",
                f"write it as '{said[1]} {said[2].lower()}'" if said else "write it as '42 d' or '6 w'",
                at=key,
                mistake=Mistake.NOT_DAYS,
            )
            return default
        return int(found[1]) * (7 if found[2] == "w" else 1)

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts; a single text counts as a list of one."""
        value = self.value.get(key, [])
        if isinstance(value, str):
            return (value,)
        if not isinstance(value, list):
            self.problem(f"'{key}' is to be a list of texts", "write [one, two]", at=key, mistake=Mistake.NOT_A_LIST)
            return ()
        for number, item in enumerate(value):
            if not isinstance(item, str):
                self.problem(
                    f"item {number + 1} of '{key}' is to be a text",
                    "put quotes around it",
                    at=(key, number),
                    mistake=Mistake.NOT_A_TEXT,
                )
        return tuple(item for item in value if isinstance(item, str))

    def section(self, key: str) -> Section:
        """The mapping under `key`; an empty one if it is absent or something else (which is noted)."""
        value = self.value.get(key, {})
        if not isinstance(value, dict):
            self.problem(
                f"'{key}' is to be a mapping", "indented 'name: value' lines", at=key, mistake=Mistake.NOT_A_MAPPING
            )
            value = {}
        return Section(self.file, value, (*self._path, key), self._marks, self._problems)

    def sections(self, key: str) -> list[Section]:
        """The list of mappings under `key`; a single mapping counts as a list of one."""
        value = self.value.get(key, [])
        if isinstance(value, dict):
            return [self.section(key)]
        if not isinstance(value, list):
            self.problem(
                f"'{key}' is to be a list of mappings",
                "lines like '- {name: value}'",
                at=key,
                mistake=Mistake.NOT_A_LIST,
            )
            return []
        found = []
        for number, item in enumerate(value):
            if isinstance(item, dict):
                found.append(Section(self.file, item, (*self._path, key, number), self._marks, self._problems))
            else:
                self.problem(
                    f"item {number + 1} of '{key}' is to be a mapping",
                    "lines like '- {name: value}'",
                    at=key,
                    mistake=Mistake.NOT_A_MAPPING,
                )
        return found

    def named(self, key: str) -> Iterator[tuple[str, Section]]:
        """The mappings under `key`, with their names: `name: {…}` lines."""
        inner = self.section(key)
        for name in inner.value:
            yield name, inner.section(name)


def read_yaml(path: Path, problems: list[Problem], name: str | None = None) -> Section | None:
    """The top mapping of a YAML file; None if it cannot be read, with the reason in `problems`. `name` is how messages call the file."""
    name = name or str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        problems.append(Problem(name, line, 1, "not UTF-8", "save the file as UTF-8", Mistake.NOT_YAML))
        return None
    return parse_yaml(text, problems, name)


def lay_over(base: Section, over: Section) -> Section:
    """`base` with what `over` says beside it: mappings join, lists are added to, any other value is replaced.

    Every value still knows in which of the two files it stands.
    """
    marks = dict(base._marks)
    value = _laid_over(base.value, over.value, (), (), marks, over._marks)
    return Section(base.file, value, (), marks, base._problems)


def _laid_over(base: Any, over: Any, path: Path_, own: Path_, marks: Marks, own_marks: Marks) -> Any:
    """`path`: where the value stands in the whole; `own`: where it stands in what is laid over."""
    if isinstance(base, dict) and isinstance(over, dict):
        joined = dict(base)
        for key, value in over.items():
            joined[key] = _laid_over(base.get(key), value, (*path, key), (*own, key), marks, own_marks)
        return joined
    if isinstance(base, list) and isinstance(over, list):
        added = [
            _laid_over(None, item, (*path, len(base) + number), (*own, number), marks, own_marks)
            for number, item in enumerate(over)
        ]
        return [*base, *added]
    for place, mark in own_marks.items():
        if place[: len(own)] == own:
            marks[(*path, *place[len(own) :])] = mark
    return over


def parse_yaml(text: str, problems: list[Problem], name: str) -> Section | None:
    """Like `read_yaml`, from text."""
    value, marks, own = _parsed(text, name)
    problems.extend(own)
    return None if value is None else Section(name, value, (), marks, problems)


@lru_cache(maxsize=512)
def _parsed(text: str, name: str) -> tuple[dict[str, Any] | None, Marks, tuple[Problem, ...]]:
    """What a text says, where each value stands, and what is wrong with it. Nobody changes the value: it is remembered."""
    problems: list[Problem] = []
    marks: Marks = {}
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        said, hint = (
            f"not YAML: {error.problem}",
            "often a missing space after ':', a ':' in a text without quotes, or a wrong indent",
        )
        return None, marks, (Problem(name, line, column, said, hint, Mistake.NOT_YAML),)
    except yaml.YAMLError as error:
        hint = "save the file as UTF-8 without control characters"
        return None, marks, (Problem(name, 1, 1, f"not YAML: {error}", hint, Mistake.NOT_YAML),)
    if not isinstance(node, yaml.MappingNode):
        hint = "it starts with lines like 'rule: name'"
        return None, marks, (Problem(name, 1, 1, "the file is to hold a mapping", hint, Mistake.NOT_A_MAPPING),)
    value = _plain(node, (), marks, name, problems, frozenset())
    return value, marks, tuple(problems)


def _plain(
    node: yaml.Node,
    path: Path_,
    marks: Marks,
    name: str,
    problems: list[Problem],
    above: frozenset[int],
) -> Any:
    if id(node) in above:
        problems.append(
            Problem(
                name,
                node.start_mark.line + 1,
                node.start_mark.column + 1,
                "an alias that contains itself",
                "write the value out",
                mistake=Mistake.ALIAS_INSIDE_ITSELF,
            )
        )
        return ""
    marks.setdefault(path, (name, node.start_mark.line + 1, node.start_mark.column + 1))
    above = above | {id(node)}
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line, column = key_node.start_mark.line + 1, key_node.start_mark.column + 1
            if not isinstance(key_node, yaml.ScalarNode):
                problems.append(
                    Problem(
                        name, line, column, "a key is to be a text", "put quotes around it", mistake=Mistake.NOT_A_TEXT
                    )
                )
                continue
            key = str(key_node.value)
            if key in found:
                problems.append(
                    Problem(
                        name,
                        line,
                        column,
                        f"'{key}' stands here twice",
                        "keep one of the two",
                        mistake=Mistake.DUPLICATE_KEY,
                    )
                )
                continue
            marks[(*path, key)] = (name, line, column)
            found[key] = _plain(value_node, (*path, key), marks, name, problems, above)
        return found
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*path, number), marks, name, problems, above) for number, item in enumerate(node.value)]
    return str(node.value)


def with_value(text: str, path: Sequence[str], value: str) -> str:
    """A file's text with another value at the way to one, and everything else as it is written, comments too.

    KeyError if no single value stands there. A value that YAML could take for something else is put in quotes.
    """
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    for key in path:
        entries = node.value if isinstance(node, yaml.MappingNode) else ()
        node = next((inner for name, inner in entries if name.value == key), None)
    if not isinstance(node, yaml.ScalarNode):
        raise KeyError(".".join(path))
    written = value if _PLAIN.fullmatch(value) else json.dumps(value)
    return text[: node.start_mark.index] + written + text[node.end_mark.index :]


def raise_if_any(problems: Sequence[Problem]) -> None:
    """Raise `RuleBookError` with every problem once, in the order of files and lines."""
    if problems:
        raise RuleBookError(
            sorted(dict.fromkeys(problems), key=lambda problem: (problem.file, problem.line, problem.column))
        )
