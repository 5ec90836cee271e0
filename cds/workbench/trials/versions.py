"""Which version of the rules is meant: a folder, a site's overlay, one rule file over the others, or a revision of git."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import NamedTuple

from cds.errors import InputError
from cds.layers import OVERLAY, RuleFiles, rule_files, shipped_rules
from cds.reasoning.releases import SIGNED, read_release

SHIPPED = "shipped"
"""The word for the rules that come with the package."""


class Version(NamedTuple):
    """Rules by where they stand: a folder (None: the shipped ones), with single files laid into it by their names there.

    `drafts`: rules that are still being written are asked too.
    """

    name: str = ""
    folder: Path | None = None
    added: tuple[tuple[str, Path], ...] = ()
    drafts: bool = False

    def files(self) -> RuleFiles:
        """The files of the rule book. A folder that holds none has none."""
        if self.folder is not None and _is_release(self.folder):
            found = read_release(self.folder.parent, self.folder.name, None).files
        else:
            found = rule_files(self.folder or shipped_rules())
        return found.with_files(dict(self.added)) if self.added else found


def version(text: str, beside: Path | None, into: Path) -> Version:
    """The version that a word of the command line means. `beside` is the folder of rules that a single file or a revision is of

    (None: the shipped one), `into` a folder that outlives the version, for what git gives out. Raises `InputError`.
    """
    path = Path(text)
    if text == SHIPPED and not path.exists():
        return Version(text, drafts=True)
    if path.is_dir():
        if _is_release(path):
            return Version(text, path.resolve(), drafts=True)
        if not (path / "states.yaml").is_file() and not (path / OVERLAY).is_file():
            raise InputError(
                f"{text}: no rule book stands in this folder; name one that holds states.yaml and gates/, or overlay.yaml"
            )
        return Version(text, path, drafts=True)
    if path.is_file():
        if path.suffix != ".yaml" or path.name.endswith(".test.yaml"):
            raise InputError(
                f"{text}: it is no rule file; name a rule as NAME.yaml, a folder of rules, or a revision of git"
            )
        return Version(text, beside, ((f"resistance/{path.name}", path.resolve()),), drafts=True)
    return Version(text, _of_git(text, (beside or shipped_rules()).resolve(), into), drafts=True)


def _is_release(folder: Path) -> bool:
    return (folder / SIGNED).is_file()


def _of_git(revision: str, folder: Path, into: Path) -> Path:
    """The folder as it was at a revision."""
    git = shutil.which("git")
    where = f"'{revision}' is no folder and no file"
    if git is None:
        raise InputError(f"{where}, and git, which might know it as a revision, is not installed")
    if revision.startswith("-"):
        raise InputError(f"{where}, and no revision of git either")
    command = [git, "-C", str(folder), "archive", "--format=tar", revision, "--", "."]
    run = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - fixed program, no shell, no option from outside
    if run.returncode:
        said = run.stderr.decode(errors="replace").strip().splitlines()
        raise InputError(
            f"{where}, and git knows no such revision of {folder}: {said[0] if said else 'no reason given'}"
        )
    found = into / f"revision-{len(list(into.iterdir()))}"
    with tarfile.open(fileobj=io.BytesIO(run.stdout)) as archive:
        archive.extractall(found, filter="data")
    return found
