"""What changed between two versions of the rules, in words: file by file, key by key, as an author would say it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from cds.errors import Problem
from cds.layers import RuleFiles
from cds.source import raise_if_any

_PROSE = ("because", "summary", "title", "false_alarms", "not_for")


class Changed(NamedTuple):
    """A file that is not what it was: what happened to it, and what of its content, line by line."""

    file: str
    fate: str  # added | removed | changed
    changes: tuple[str, ...]

    @property
    def name(self) -> str:
        """The rule, for a rule's file; else the file."""
        folder, _, rest = self.file.rpartition("/")
        return rest.removesuffix(".yaml") if folder == "resistance" else self.file


def changes(before: RuleFiles, after: RuleFiles) -> list[Changed]:
    """Every file of the rule book that differs, rules first; tests are not part of it. Raises `RuleBookError`."""
    problems: list[Problem] = []
    books: list[dict[str, dict[str, Any]]] = []
    for files in (before, after):
        sections = ((file.name, file.read(problems)) for file in files.content())
        books.append({name: section.value for name, section in sections if section is not None})
    raise_if_any(problems)
    was, now = books
    found = []
    for name in sorted({*was, *now}, key=lambda one: (not one.startswith("resistance/"), one)):
        if name not in was or name not in now:
            content = now.get(name) or was[name]
            told = str(content.get("title") or content.get("summary") or "")
            lines = [told] if told else []
            if name in now and name.startswith("resistance/"):  # who signs a new rule reads all that it can say
                new = {key: content[key] for key in ("limits", "conclude") if isinstance(content.get(key), dict)}
                lines += _mapping({key: {} for key in new}, new, ())
            found.append(Changed(name, "added" if name in now else "removed", tuple(lines)))
        elif was[name] != now[name]:
            found.append(Changed(name, "changed", tuple(_mapping(was[name], now[name], ()))))
    return found


def _mapping(was: Mapping[str, Any], now: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """Keys in the order of the newer version; what is gone comes last."""
    for key in (*now, *(key for key in was if key not in now)):
        if was.get(key) != now.get(key):
            yield from _value(was.get(key), now.get(key), (*path, key))


def _value(was: Any, now: Any, path: tuple[str, ...]) -> Iterator[str]:
    if isinstance(was, dict) and isinstance(now, dict):
        if path[0] in ("limits", "facts") and len(path) == 2 and "because" in {*was, *now}:
            yield from _mapping(was, now, path)
        elif path[0] in ("facts", "notes") and len(path) == 2:
            yield f"{_named(path)}: {_shown(was)} → {_shown(now)}"
        else:
            yield from _mapping(was, now, path)
    elif path[0] == "conclude" and len(path) == 2:
        yield from _clauses(was, now, path[1])
    elif isinstance(was, list) and isinstance(now, list) and all(isinstance(one, str) for one in (*was, *now)):
        yield from _list(was, now, path)
    elif was is None:
        yield f"{_named(path)} added: {_shown(now)}"
    elif now is None:
        yield f"{_named(path)} removed: {_shown(was)}"
    elif path[-1] in _PROSE:
        yield f"{_named(path)} reworded: {_shown(now)}"
    else:
        yield f"{_named(path)} {_shown(was)} → {_shown(now)}"


def _list(was: list[str], now: list[str], path: tuple[str, ...]) -> Iterator[str]:
    added, gone = [one for one in now if one not in was], [one for one in was if one not in now]
    if added:
        yield f"{_named(path)}: added {', '.join(added)}"
    if gone:
        yield f"{_named(path)}: removed {', '.join(gone)}"
    if not added and not gone:
        yield f"{_named(path)}: in another order: {', '.join(now)}"


def _clauses(was: Any, now: Any, state: str) -> Iterator[str]:
    """Clauses are the same if they bear the same id; those without one, if they say the same."""
    before, after = ({_key(one, place): one for place, one in enumerate(_many(some))} for some in (was, now))
    for key, clause in after.items():
        if key not in before:
            yield f"clause {key} of '{state}' added: {_clause(clause)}"
        elif before[key] != clause:
            for part in (*clause, *(part for part in before[key] if part not in clause)):
                old, new = before[key].get(part), clause.get(part)
                if old == new:
                    continue
                if isinstance(old or [], list) and isinstance(new or [], list):
                    yield from _list(old or [], new or [], (f"clause {key} of '{state}'", part))
                else:
                    yield f"clause {key} of '{state}': {part} {_shown(old)} → {_shown(new)}"
    for key, clause in before.items():
        if key not in after:
            yield f"clause {key} of '{state}' removed: {_clause(clause)}"


def _many(value: Any) -> list[dict[str, Any]]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _key(clause: Mapping[str, Any], place: int) -> str:
    return str(clause.get("id") or f"'{_clause(clause)}'")


def _clause(clause: Mapping[str, Any]) -> str:
    wanted = f"all of {', '.join(_texts(clause.get('all'))) or 'nothing'}"
    unless = _texts(clause.get("unless"))
    return wanted + (f", unless {' or '.join(unless)}" if unless else "")


def _texts(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else [] if value is None else [str(value)]


_KINDS = {"limits": "limit", "facts": "fact", "notes": "note"}


def _named(path: tuple[str, ...]) -> str:
    """What a way into a file leads to: `limit 'rise': floor`, `advise: suspected`."""
    if path[0] in _KINDS and len(path) > 1:
        head = f"{_KINDS[path[0]]} '{path[1]}'"
        return head if len(path) == 2 else f"{head}: {' '.join(path[2:])}"
    return ": ".join(path)


def _shown(value: Any) -> str:
    """A value as a rule file would write it, on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_shown(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_shown(one) for one in value) + "]"
    return "nothing" if value is None else str(value)
