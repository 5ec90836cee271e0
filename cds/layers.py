"""The files of a rule book: a folder by itself, or a site's folder laid over the shipped one.

A folder with an `overlay.yaml` is a site's own. What it holds under a new name is added; what bears the name of a shipped
file is laid over it: mappings join, lists are added to, and other values are replaced where `_MAY` permits it. Nothing that
is shipped can be taken away, no gate and no fixed sentence can be changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from cds.errors import Problem
from cds.mistakes import Mistake
from cds.source import Path_, Section, lay_over, read_yaml

FOLDERS = ("events", "evidence", "gates", "labs", "markers", "resistance", "therapies", "wording")
"""Where the files of a rule book stand, beside `states.yaml`; what stands elsewhere is read by nobody."""

OVERLAY = "overlay.yaml"

_MAY: Mapping[str, Mapping[str, str]] = {
    "markers": {
        "title": "replace", "short": "replace", "cv": "replace", "codes": "add", "other_analytes": "add", "ignored": "add",
        "units": "add", "checks": "add",
    },
    "therapies": {"title": "replace", "drugs": "add", "procedures": "add", "intents": "add", "progression": "add"},
    "events": {"title": "replace", "codes": "add", "answers": "add", "intents": "add"},
    "evidence": {"studies": "add", "items": "add"},
    "resistance": {"status": "replace"},
}  # fmt: skip
"""What of a shipped file an overlay may add to or replace, by folder and key. Files of laboratories and of wording: anything,
but for the keys of `_FIXED`; gates and states: nothing."""

_FIXED = ("fixed_sentence",)
_WORSE = ("active", "corrected", "of-concern", "retracted")
_QUIETER = ("shadow", "retired")


def shipped_rules() -> Path:
    """The rules that come with the package; in a checkout, its own `rules/`."""
    packaged = Path(str(files("cds") / "_data" / "rules"))
    return packaged if packaged.is_dir() else Path(__file__).resolve().parents[1] / "rules"


@dataclass(frozen=True, slots=True)
class RuleFile:
    """One file of a rule book: its `name` in the book, where it stands, and what a site lays over it."""

    name: str
    path: Path
    shown: str  # how messages call it
    own: bool = False  # of the site alone
    over: RuleFile | None = None

    def read(self, problems: list[Problem]) -> Section | None:
        """The file with what is laid over it; None if it cannot be read."""
        section = read_yaml(self.path, problems, self.shown)
        if section is None:
            return None
        section.file = self.name
        if self.over is None:
            return section
        over = read_yaml(self.over.path, problems, self.over.shown)
        if over is None:
            return section
        _refuse(over, section.value, self.name)
        return lay_over(section, over)

    @property
    def paths(self) -> tuple[Path, ...]:
        return (self.path,) if self.over is None else (self.path, self.over.path)

    def covered(self) -> str:
        """A digest of what the shipped file says where the overlay speaks too; "" if they speak of different things."""
        if self.over is None:
            return ""
        unread: list[Problem] = []
        base, over = read_yaml(self.path, unread), read_yaml(self.over.path, unread)
        if base is None or over is None:
            return ""
        covered = _covered(base.value, over.value)
        said = json.dumps(covered, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(said.encode()).hexdigest()[:12] if covered else ""


@dataclass(frozen=True, slots=True)
class RuleFiles:
    """All files of a rule book, by name. `site`: what an overlay calls itself; "" for a book by itself."""

    root: Path
    files: Mapping[str, RuleFile] = field(default_factory=dict)
    site: str = ""
    made_for: Mapping[str, str] = field(default_factory=dict)  # file laid over -> digest of what was shipped then

    def of(self, folder: str, *, tests: bool = False) -> list[RuleFile]:
        """The files of a folder: the tests in it, or everything else; what a site added comes last, so that it is blamed."""
        found = [
            file
            for name, file in self.files.items()
            if name.startswith(f"{folder}/") and name.endswith(".test.yaml") is tests
        ]
        return sorted(found, key=lambda file: file.own)

    def content(self) -> Iterator[RuleFile]:
        """The files that decide what the rule book says: all but tests."""
        return (file for name, file in self.files.items() if not name.endswith(".test.yaml"))

    def with_files(self, added: Mapping[str, Path]) -> RuleFiles:
        """The same book with further files, by the names that they have in it; one that is there already is replaced."""
        more = {name: RuleFile(name, path, str(path), own=True) for name, path in added.items()}
        return replace(self, files=dict(sorted({**self.files, **more}.items())))

    def shipped(self, name: str, problems: list[Problem]) -> Section | None:
        """A file without what a site lays over it."""
        return replace(self.files[name], over=None).read(problems)

    def origin(self, name: str) -> str:
        """Where a file comes from: the name of the overlay, "shipped", or both; "this folder" for a book by itself."""
        file = self.files[name]
        if not self.site:
            return "this folder" if self.root != shipped_rules() else "shipped"
        if file.own:
            return self.site
        return f"shipped, {self.site}" if file.over is not None else "shipped"

    def laid_over(self) -> dict[str, list[str]]:
        """The shipped files over which the overlay lays something, with the keys of which it speaks."""
        over = {name: file.over.read([]) for name, file in self.files.items() if file.over is not None}
        return {name: list(section.value) for name, section in over.items() if section is not None}

    def outdated(self) -> dict[str, str]:
        """Shipped files that say something else, where the overlay speaks too, than when it was made; "" if it never said."""
        return {
            name: self.made_for.get(name, "")
            for name, file in self.files.items()
            if file.over is not None and file.covered() != self.made_for.get(name, "")
        }


Rules = Path | RuleFiles
"""Where a rule book is read from."""


def rule_files(rules: Rules) -> RuleFiles:
    """The files of a rule book: of a folder, or of a site's overlay together with the shipped ones."""
    if isinstance(rules, RuleFiles):
        return rules
    if not (rules / OVERLAY).is_file():
        return RuleFiles(rules, {name: RuleFile(name, path, name) for name, path in sorted(_names(rules))})
    head = read_yaml(rules / OVERLAY, [])
    made_for = head.section("made_for").section("files") if head is not None else None
    shipped = shipped_rules()
    found = {name: RuleFile(name, path, f"shipped/{name}") for name, path in _names(shipped)}
    for name, path in _names(rules):
        own = RuleFile(name, path, str(path), own=True)
        found[name] = replace(found[name], over=own) if name in found and not name.endswith(".test.yaml") else own
    return RuleFiles(
        rules,
        dict(sorted(found.items())),
        head.text("overlay", rules.name) if head is not None else rules.name,
        {name: made_for.text(name) for name in made_for.value} if made_for is not None else {},
    )


def _names(root: Path) -> Iterator[tuple[str, Path]]:
    paths = [path for folder in FOLDERS for path in sorted((root / folder).glob("*.yaml"))]
    paths += [root / "states.yaml"] if (root / "states.yaml").is_file() else []
    return ((path.relative_to(root).as_posix(), path) for path in paths)


def _covered(base: Any, over: Any) -> Any:
    """What the shipped value says where the overlay speaks too; what is only added to conflicts with nothing."""
    if isinstance(over, dict) and isinstance(base, dict):
        both = {key: _covered(base[key], value) for key, value in over.items() if key in base}
        return {key: value for key, value in both.items() if value not in (None, {})}
    return None if isinstance(over, list) else base


def _refuse(over: Section, base: Mapping[str, Any], name: str) -> None:
    """Note what an overlay may not change of the shipped file."""
    folder = name.partition("/")[0]
    free = folder in ("labs", "wording")
    may = _MAY.get(folder, {})
    for key in list(over.value):
        if over.value[key] == base.get(key):
            continue  # what identifies a file may stand in both
        if key in _FIXED or (not free and key not in may):
            known = (
                f"of {folder}/ it may speak of {', '.join(may)}" if may else "put your own under a new name beside it"
            )
            over.problem(
                f"'{key}' of the shipped {name} stays as it is", known, at=key, mistake=Mistake.NOT_TO_BE_OVERLAID
            )
            over.value = {name: value for name, value in over.value.items() if name != key}
        elif folder == "resistance":
            if over.text(key) not in _QUIETER:
                over.problem(
                    "an overlay can only silence a shipped rule", "write shadow or retired", at=key,
                    mistake=Mistake.NOT_TO_BE_OVERLAID,
                )  # fmt: skip
        elif may.get(key) == "add":
            _only_adds(over, over.value[key], base.get(key), (key,), folder)


def _only_adds(over: Section, value: Any, base: Any, path: Path_, folder: str) -> None:
    if base is None or (isinstance(value, list) and isinstance(base, list)):
        return
    if isinstance(value, dict) and isinstance(base, dict):
        for key in value:
            _only_adds(over, value[key], base.get(key), (*path, key), folder)
    elif value != base and not (folder == "evidence" and _may_correct(path, value, base)):
        over.problem(
            f"'{path[-1]}' is shipped as '{base}'", "an overlay can add here, and change nothing", at=path,
            mistake=Mistake.ONLY_TO_BE_ADDED_TO,
        )  # fmt: skip


def _may_correct(path: Path_, value: Any, base: Any) -> bool:
    """Of a shipped study a site may say that it fell, and when it looked."""
    if path[-1] == "status" and value in _WORSE and base in _WORSE:
        return _WORSE.index(value) > _WORSE.index(base)
    return path[-1] == "last_checked" or (path[-1] == "disposition" and value == "must-not-use")
