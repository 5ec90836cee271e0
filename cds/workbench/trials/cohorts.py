"""Cohorts whose truth is known: a folder with `truth.jsonl`, or synthetic patients made as they are needed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Protocol

from cds.chart import Record, read
from cds.chart.catalogue import Catalogue
from cds.errors import InputError
from cds.workbench.synth import USUAL, Design, make_patient
from cds.workbench.synth.scenarios import SCENARIOS

Truth = Mapping[str, Any]
_SUBTYPES = {scenario.name: scenario.subtype for scenario, _ in SCENARIOS}


class Cohort(Protocol):
    """Patients one after the other; picklable, so that several processes share it."""

    @property
    def name(self) -> str:
        """What the report calls it."""

    def __len__(self) -> int: ...

    def items(self) -> Iterator[Any]:
        """What `patient` needs to find each."""

    def patient(self, item: Any, catalogue: Catalogue) -> tuple[Record, Truth]:
        """One patient's record, and what is true of them. Raises `InputError` if it cannot be read."""


@dataclass(frozen=True, slots=True)
class Synthetic:
    """So many patients of a seed and a design."""

    seed: int
    patients: int
    design: Design = USUAL

    @property
    def name(self) -> str:
        return f"{self.patients:,} synthetic patients, seed {self.seed}"

    def __len__(self) -> int:
        return self.patients

    def items(self) -> Iterator[int]:
        return iter(range(self.patients))

    def patient(self, item: int, catalogue: Catalogue) -> tuple[Record, Truth]:
        made = make_patient(self.seed, item, design=self.design)
        return read(made.bundle, catalogue, patient=made.truth["patient"]), made.truth


class Folder:
    """A folder with one file for each patient and `truth.jsonl`, whose lines say `patient`, `file` and `resistant`, and may say

    `onset`, `progression` (days), `can_flag`, `should_flag`, and by what to group: `scenario`, `subtype`, `course`. Raises
    `InputError`, naming the line, for what is missing.
    """

    def __init__(self, path: Path):
        self.path = path
        truths = path / "truth.jsonl"
        if not truths.is_file():
            raise InputError(
                f"{path}: there is no truth.jsonl in it; `exowatch synth --out {path}` makes a cohort that has one"
            )
        self._truths = [
            _truth(line, f"{truths}:{number}") for number, line in enumerate(truths.read_bytes().splitlines(), 1)
        ]
        if not self._truths:
            raise InputError(f"{truths}: it is empty; a cohort has a line for each patient")
        for number, truth in enumerate(self._truths, 1):
            if not (path / truth["file"]).is_file():
                raise InputError(
                    f"{truths}:{number}: there is no {truth['file']} beside it; likely it was left out of the copy"
                )

    @property
    def name(self) -> str:
        return f"{len(self):,} patients of {self.path.name}"

    def __len__(self) -> int:
        return len(self._truths)

    def items(self) -> Iterator[Truth]:
        return iter(self._truths)

    def patient(self, item: Truth, catalogue: Catalogue) -> tuple[Record, Truth]:
        file = self.path / item["file"]
        try:
            return read(file.read_bytes(), catalogue, patient=item["patient"]), item
        except InputError as error:
            raise InputError(f"{file}: {error}") from error


def _truth(line: bytes, place: str) -> Truth:
    try:
        truth = json.loads(line)
    except ValueError:
        raise InputError(f"{place}: it is no JSON; each line of a truth file is an object about one patient") from None
    if not isinstance(truth, dict):
        raise InputError(f"{place}: it is no object about a patient")
    for key, kind in (("patient", str), ("resistant", bool)):
        if not isinstance(truth.get(key), kind):
            raise InputError(
                f"{place}: '{key}' is missing; a truth says 'patient', 'file' and 'resistant' (true or false)"
            )
    if not isinstance(truth.get("file"), str) or "/" in truth["file"]:
        raise InputError(
            f"{place}: 'file' is missing: likely a cohort whose files are shared. Make one with a file for each patient: "
            "`exowatch synth --format collection` or `bundle`"
        )
    for key in ("onset", "progression"):
        if truth.get(key) is not None:
            day_of(truth, key, place)
    return truth


def day_of(truth: Truth, key: str, place: str = "") -> date | None:
    """A day of a truth; None if it says none. Raises `InputError` if it is no date."""
    text = truth.get(key)
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except (TypeError, ValueError):
        raise InputError(f"{place}: '{key}: {text}' is no date; write it as 2026-03-14") from None


def subtype_of(truth: Truth) -> str:
    """The subtype that a truth states, or that of its scenario; "" if neither is known."""
    return str(truth.get("subtype") or _SUBTYPES.get(str(truth.get("scenario")), ""))


def condition_of(truth: Truth) -> bool:
    """Whether what a rule is to find is true: resistance to the line, or that the source has stayed behind an operation."""
    return bool(truth["resistant"]) or truth.get("course") == "source-remains"
