"""A cohort on disk: patients are made one by one, by as many processes as wanted, and written in their order."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from cds.errors import InputError
from cds.workbench.ordered import in_order
from cds.workbench.synth.cohort import REFERENCE_DATE, file_name, make_person
from cds.workbench.synth.design import USUAL, Design
from cds.workbench.synth.encoding import to_json
from cds.workbench.synth.forms import FORMS, Form, Piece

TRUTH = "truth.jsonl"


def write_cohort(
    seed: int,
    patients: int,
    workers: int,
    out: Path | str,
    progress: Callable[[], object] | None = None,
    *,
    form: str = "collection",
    design: Design = USUAL,
    per_file: int = 0,
    rules: Path | None = None,
) -> list[str]:
    """Write a cohort in one of `FORMS` and `truth.jsonl` into the folder `out`, which is made if need be; the files' names.

    The same seed and design give the same bytes, whatever the number of workers. `per_file` cuts the files of a bulk export
    after so many resources (0: never). `rules` is the folder whose templates hook requests answer. `progress` is called
    once for each patient. Memory does not grow with their number. Raises `InputError` if the folder already holds more
    patients than are written now, or a cohort in another form.
    """
    folder, wanted = Path(out), FORMS[form]
    folder.mkdir(parents=True, exist_ok=True)
    _check_empty(folder, wanted, patients)
    make = partial(_make, seed, design, form, rules)
    with ExitStack() as stack, (folder / TRUTH).open("wb") as truths:
        files = _Files(folder, wanted, per_file, stack)
        for pieces, truth in in_order(make, range(patients), min(workers, patients)):
            for piece in pieces:
                files.add(piece)
            truths.write(truth)
            if progress is not None:
                progress()
        if form == "bulk":
            (folder / "manifest.json").write_bytes(to_json(files.manifest()))
        return files.names()


def _make(seed: int, design: Design, form: str, rules: Path | None, index: int) -> tuple[list[Piece], bytes]:
    person, truth = make_person(seed, index, design=design)
    pieces = FORMS[form].pieces(person, truth, rules)
    if not FORMS[form].own_files:
        del truth["file"]
    return pieces, to_json(truth)


def _check_empty(folder: Path, form: Form, patients: int) -> None:
    if (folder / file_name(patients)).exists():
        raise InputError(f"{folder} holds a larger cohort already, of which some would be left: choose an empty folder")
    theirs = [path.name for path in folder.iterdir() if path.name != TRUTH]
    if theirs and not form.own_files:
        raise InputError(f"{folder} is not empty ({theirs[0]}): choose an empty folder for a cohort in this form")


class _Files:
    """The files of a cohort: those of single patients at once, those that are shared kept open."""

    def __init__(self, folder: Path, form: Form, per_file: int, stack: ExitStack):
        self._folder, self._form, self._per_file, self._stack = folder, form, per_file, stack
        self._open: dict[str, BinaryIO] = {}
        self._counts: dict[str, int] = {}  # by the name of the file, in the order in which they were begun
        self._current: dict[str, tuple[str, int]] = {}  # the file of a shared stream that is written to, and its number

    def add(self, piece: Piece) -> None:
        if self._form.own_files:
            (self._folder / piece.file).write_bytes(piece.data)
            return
        name = self._name(piece)
        self._open[name].write(piece.data)
        self._counts[name] += piece.items

    def _name(self, piece: Piece) -> str:
        name, number = self._current.get(piece.file, ("", 0))
        full = bool(self._per_file and name and self._counts[name] + piece.items > self._per_file)
        if not name or full:
            if name:
                self._open.pop(name).close()
            number += 1
            stem, _, ending = piece.file.rpartition(".")
            name = f"{stem}.{number}.{ending}" if self._per_file and self._form.splits else piece.file
            self._current[piece.file] = name, number
            self._open[name] = self._stack.enter_context((self._folder / name).open("wb"))
            self._open[name].write(self._form.heads.get(piece.file, b""))
            self._counts[name] = 0
        return name

    def names(self) -> list[str]:
        """The shared files, in the order in which they were begun."""
        return list(self._counts)

    def manifest(self) -> dict[str, Any]:
        """What a server of Bulk Data answers when an export is complete; addresses are names of files."""
        output = [{"type": name.partition(".")[0], "url": name, "count": count} for name, count in self._counts.items()]
        return {
            "transactionTime": f"{REFERENCE_DATE.isoformat()}T00:00:00Z",
            "request": "Patient/$export",
            "requiresAccessToken": False,
            "output": sorted(output, key=lambda one: (one["type"], len(str(one["url"])), one["url"])),
            "error": [],
        }
