"""The index of the pages of docs/lint, made from the codes and the pages: `make artefacts`."""

from __future__ import annotations

from pathlib import Path

from cds.mistakes import Mistake

PAGES = Path(__file__).resolve().parents[1] / "docs" / "lint"
INDEX = PAGES / "README.md"

_GROUPS = {
    "EX1": "The file as such", "EX2": "Rules", "EX3": "Markers, gates, states",
    "EX4": "Therapies, events, laboratories, evidence", "EX5": "Tests", "EX6": "A site's overlay",
    "EX7": "What loads and is likely not meant",
}  # fmt: skip


def index() -> str:
    """The index as its file holds it."""
    said = [
        "# What `exowatch rules lint` says\n",
        "A code stays the same for ever. An **error** keeps the rule book from loading, a **warning** says that it loads and will",
        "disappoint, **advice** is a habit of rule files that read well. Examples are parts of the files in [example/](example/),",
        "a small overlay: the first line says of which file, and the keys shown stand in the place of those of that file.",
    ]
    for prefix, title in _GROUPS.items():
        said += [f"\n## {title}\n", "| code | | what |", "| --- | --- | --- |"]
        said += [
            f"| [{one.code}]({one.code}.md) | {one.severity} | {_what(one)} |"
            for one in Mistake
            if one.code.startswith(prefix)
        ]
    return "\n".join(said) + "\n"


def _what(mistake: Mistake) -> str:
    """The first sentence of its page."""
    page = (PAGES / f"{mistake.code}.md").read_text("utf-8")
    return page.split(".** ", 1)[1].split("\n", 1)[0]


if __name__ == "__main__":
    INDEX.write_text(index(), encoding="utf-8")
