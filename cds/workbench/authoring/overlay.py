"""A site's overlay: beginning one, seeing what it lays over what, accepting what an upgrade changed under it."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from cds.errors import InputError
from cds.layers import OVERLAY, RuleFiles, rule_files

_HEAD = """\
# What this folder lays over the shipped rules: docs/rule-authors.md, "A site's own folder".
overlay: {name}
"""
_MADE_FOR = re.compile(r"^made_for:.*?(?=^\S|\Z)", re.M | re.S)


class Laid(NamedTuple):
    """A file of an overlay: added, or laid over a shipped one with some keys; `doubt`: what has to be compared, and why."""

    name: str
    keys: tuple[str, ...] = ()
    doubt: str = ""


def begin(folder: Path, name: str) -> None:
    """Make the folder an overlay. Raises `InputError` where that would hide a rule book."""
    if (folder / "states.yaml").exists():
        raise InputError(
            f"{folder} is a rule book by itself (it holds states.yaml). Next step: name another folder for your overlay"
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / OVERLAY).write_text(_HEAD.format(name=name), encoding="utf-8")


def laid(files: RuleFiles) -> list[Laid]:
    """What an overlay holds, by file."""
    outdated, over = files.outdated(), files.laid_over()
    return [
        Laid(name, tuple(over.get(name, ())), _doubt(outdated.get(name)))
        for name, file in files.files.items()
        if file.own or name in over
    ]


def _doubt(made_for: str | None) -> str:
    if made_for is None:
        return ""
    said = "the shipped one has changed since" if made_for else "not compared with the shipped one yet"
    return f"{said}: compare the two, then --accept"


def accept(folder: Path) -> int:
    """Write down what the shipped files say now where the overlay speaks too; how many such files there are."""
    files = rule_files(folder)
    covered = {name: digest for name, file in files.files.items() if (digest := file.covered())}
    try:
        made_with = version("exowatch")
    except PackageNotFoundError:
        made_with = "a checkout"
    lines = [f"made_for:\n  version: {made_with}\n", "  files:\n" if covered else "  files: {}\n"]
    lines += [f"    {name}: {digest}\n" for name, digest in covered.items()]
    path = folder / OVERLAY
    kept = _MADE_FOR.sub("", path.read_text("utf-8")).rstrip("\n")
    path.write_text(f"{kept}\n{''.join(lines)}", encoding="utf-8")
    return len(covered)
