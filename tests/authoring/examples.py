"""Examples of docs/lint: parts of the files of docs/lint/example, laid over these by their top-level keys."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs" / "lint"
EXAMPLE = PAGES / "example"
BAD = ROOT / "rules" / "bad"

_BLOCK = re.compile(r"^```yaml\n# (\S+)\n(.*?)^```$", re.M | re.S)


def blocks(page: str, heading: str) -> list[tuple[str, str]]:
    """The files of an example under a heading of a page: their paths and texts. Empty if it is only an excerpt."""
    part = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", page, re.M | re.S)
    return _BLOCK.findall(part[1]) if part is not None else []


def laid(base: str, part: str) -> str:
    """A file with some of its top-level keys said otherwise."""
    keys = set(re.findall(r"^([a-z_]+):", part, re.M))
    kept = [block for block in re.split(r"(?m)^(?=[a-z_]+:)", base) if block.partition(":")[0] not in keys]
    return "".join(kept) + part


def written(folder: Path, files: list[tuple[str, str]]) -> Path:
    """The example overlay with these parts in it."""
    shutil.copytree(EXAMPLE, folder)
    for name, part in files:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(laid(path.read_text("utf-8"), part) if path.is_file() else part, "utf-8")
    return folder
