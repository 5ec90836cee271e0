"""One shard: its patients, one after the other → their findings, as the hook and `exowatch evaluate` give them.

A patient whose evaluation ends the process (the engine is C) is tried once more in another process, then passed over and listed.
Which patient it was is known from a mark that is written before each.
"""

from __future__ import annotations

import faulthandler
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from cds.chart import LeftOut, Moment, read
from cds.chart.catalogue import Catalogue
from cds.errors import EngineFault, ExowatchError
from cds.reasoning.findings import Evaluation
from cds.reasoning.reasoner import Reasoner
from cds.record.content import answer
from cds.screening.partition import Parcel, SharedLines, items_of, keep, split

PART = 16 * 2**20
"""Bytes of lines that are held while patients are evaluated; a larger shard is taken in parts."""
TRIES = 2
"""So often a patient is tried whose evaluation ends the process."""
SLOW = 600
"""Seconds after which 64 patients are taken for an evaluation that never ends."""
_BATCH = 64

Place = tuple[int, int]
"""Number of the piece, and of the line in it."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard that is to be evaluated. `starts`: of each piece its file, and the number of its first line there, from 1."""

    number: int
    work: Path
    parcels: tuple[Parcel, ...]
    starts: Mapping[int, tuple[str, int]]
    shared: Path | None
    moment: Moment
    changed_only: bool = False

    @property
    def size(self) -> int:
        return sum(parcel.size for parcel in self.parcels)


class Evaluated(msgspec.Struct, frozen=True):
    """What became of a shard. Every patient is counted once: measured, unmeasured, unjudged or unchanged.

    `states`: how many patients have each state, by rule; `parts`: the stems of the files that were written, each with the findings
    of its patients in their order.
    """

    number: int
    items: int
    measured: int
    unmeasured: int
    unjudged: int
    unchanged: int
    left_out: int
    states: dict[str, dict[str, int]]
    parts: list[str]


class Unjudged(msgspec.Struct, frozen=True):
    """A patient who could not be evaluated, and why. It does not say that there is nothing to be said of them."""

    patient: str
    reason: str


class NotUsed(msgspec.Struct, frozen=True):
    """Something of a patient's record that was not used: where it stands in the export, why, and what can be done."""

    patient: str
    what: str
    where: str  # "Observation.ndjson:1204 valueQuantity"
    reason: str
    hint: str
    hides_results: bool


_JSON = msgspec.json.Encoder()


def report_of(work: Path, number: int) -> Evaluated | None:
    """What became of a shard; None if it was not evaluated to the end."""
    try:
        return msgspec.json.decode((work / f"{_name(number)}.json").read_bytes(), type=Evaluated)
    except FileNotFoundError:
        return None


def evaluate_shard(job: Shard, reasoner: Reasoner) -> Evaluated:
    """Evaluate a shard. Writes findings, what was not used and who could not be judged, and last its report. Raises `OSError`."""
    name = _name(job.number)
    counts, states, parts = Counter[str](), defaultdict[str, Counter[str]](Counter), []
    shared = SharedLines(job.shared)
    try:
        with Marks(job.work / name) as marks:
            for number, parcels in enumerate(_parts(job)):
                stem = f"{name}.{number:03d}"
                with _Outputs(job.work / stem) as out:
                    for patient, items in _patients(job.work, parcels):
                        counts["items"] += len(items)
                        if job.changed_only and not any(changed for _, changed, _ in items):
                            counts["unchanged"] += 1
                        elif marks.begin(patient):
                            _evaluate(job, patient, items, reasoner, shared, out, counts, states)
                        else:
                            counts["unjudged"] += 1
                            out.unjudged(patient, f"its evaluation ended the process {TRIES} times")
                parts.append(stem)
    finally:
        shared.close()
    shutil.rmtree(job.work / f"{name}.split", ignore_errors=True)
    counted = {key: counts[key] for key in ("items", "measured", "unmeasured", "unjudged", "unchanged", "left_out")}
    by_rule = {rule: dict(sorted(found.items())) for rule, found in sorted(states.items())}
    done = Evaluated(job.number, **counted, states=by_rule, parts=parts)
    keep(job.work / f"{name}.json", _JSON.encode(done))
    return done


def _evaluate(
    job: Shard,
    patient: str,
    items: Sequence[tuple[Place, bool, bytes]],
    reasoner: Reasoner,
    shared: SharedLines,
    out: _Outputs,
    counts: Counter[str],
    states: Mapping[str, Counter[str]],
) -> None:
    lines = [line for _, _, line in items]
    try:
        evaluation = evaluated(patient, [*lines, *shared.of(lines)], reasoner, job.moment)
    except EngineFault:
        raise
    except Exception as error:  # whoever cannot be evaluated is listed, and the others go on
        counts["unjudged"] += 1
        out.unjudged(patient, str(error) if isinstance(error, ExowatchError) else f"a fault: {type(error).__name__}")
        return
    for one in evaluation.chart.left_out:
        counts["left_out"] += 1
        out.not_used(patient, one, _where(one, [place for place, _, _ in items], job.starts))
    if not evaluation.answers and not evaluation.silent:
        counts["unmeasured"] += 1
        return
    counts["measured"] += 1
    for rule, finding in evaluation.answers.items():
        states[rule][finding.state] += 1
    out.answer(evaluation)


def evaluated(patient: str, lines: Sequence[bytes], reasoner: Reasoner, moment: Moment) -> Evaluation:
    """The evaluation of a patient from the lines of their record, and of what these refer to."""
    catalogue: Catalogue = reasoner.rulebook.catalogue
    record = read(b"[" + b",".join(lines) + b"]", catalogue, patient=patient)
    return reasoner.evaluate(record.as_of(moment))


def _where(one: LeftOut, places: Sequence[Place], starts: Mapping[int, tuple[str, int]]) -> str:
    """Where something stands in the export: of `[3].valueQuantity` the file and line of the fourth resource."""
    number, bracket, rest = one.where.removeprefix("[").partition("]")
    if not bracket or not number.isdecimal() or int(number) >= len(places):
        return one.where
    piece, line = places[int(number)]
    file, first = starts[piece]
    return f"{file}:{first + line} {rest.removeprefix('.')}".strip()


# patients of a shard -----------------------------------------------------------------------------------------------------


def _parts(job: Shard) -> Iterator[Sequence[Parcel]]:
    """The parcels of a shard; of a large one, of each part, into which its patients are dealt once more."""
    if job.size <= PART:
        yield job.parcels
        return
    folder = job.work / f"{_name(job.number)}.split"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    parts = -(-job.size // (PART // 2))
    dealt = split(job.work, job.parcels, folder, parts)
    for part in range(parts):
        yield [parcel for parcel in dealt if parcel.shard == part]


def patients_of(job: Shard) -> Iterator[tuple[str, list[tuple[Place, bool, bytes]]]]:
    """The patients of a shard, part by part, each with the lines of their record in the order of the export."""
    for parcels in _parts(job):
        yield from _patients(job.work, parcels)
    shutil.rmtree(job.work / f"{_name(job.number)}.split", ignore_errors=True)


def _patients(work: Path, parcels: Sequence[Parcel]) -> Iterator[tuple[str, list[tuple[Place, bool, bytes]]]]:
    """The patients of some parcels in their order, each with the lines of their record in the order of the export."""
    items = [
        (patient, (parcel.piece, place), changed, line)
        for parcel in parcels
        for patient, place, changed, line in items_of(work, parcel)
    ]
    items.sort(key=lambda item: (item[0], item[1]))
    for patient, theirs in groupby(items, key=lambda item: item[0]):
        yield patient, [(place, changed, line) for _, place, changed, line in theirs]


class _Outputs:
    """The files of a part."""

    def __init__(self, stem: Path):
        self._stem = stem

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            kinds = ("findings", "left-out", "unjudged")
            self._findings, self._not_used, self._unjudged = (
                stack.enter_context(Path(f"{self._stem}.{kind}").open("wb")) for kind in kinds
            )
            self._opened = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def answer(self, evaluation: Evaluation) -> None:
        self._findings.write(answer(evaluation) + b"\n")

    def not_used(self, patient: str, one: LeftOut, where: str) -> None:
        found = NotUsed(patient, one.what, where, one.reason, one.hint, one.hides_results)
        self._not_used.write(_JSON.encode(found) + b"\n")

    def unjudged(self, patient: str, reason: str) -> None:
        self._unjudged.write(_JSON.encode(Unjudged(patient, reason)) + b"\n")


class Marks:
    """Who is being evaluated, on disk, so that it is known who was when the process ended.

    `begin` is False for whoever was evaluated `TRIES` times without an end. An evaluation that never ends ends the process.
    """

    def __init__(self, stem: Path):
        self._now, self._deaths = Path(f"{stem}.now"), Path(f"{stem}.deaths")
        try:
            last = self._now.read_bytes()
        except FileNotFoundError:
            last = b""
        if last:
            with self._deaths.open("ab") as deaths:
                deaths.write(last + b"\n")
        died = self._deaths.read_bytes().splitlines() if self._deaths.exists() else []
        self._gone = {patient for patient, times in Counter(died).items() if times >= TRIES}
        self._begun = 0

    def __enter__(self) -> Self:
        self._file = os.open(self._now, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        self._null = open(os.devnull, "w")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        faulthandler.cancel_dump_traceback_later()
        self._null.close()
        os.close(self._file)
        if not isinstance(error, EngineFault):  # that engine is of no more use, as if its process had ended
            self._now.unlink()

    def begin(self, patient: str) -> bool:
        if self._begun % _BATCH == 0:
            faulthandler.dump_traceback_later(SLOW, exit=True, file=self._null)
        self._begun += 1
        mark = _JSON.encode(patient)  # on one line, whatever an id holds
        if mark in self._gone:
            return False
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, mark, 0)
        return True


def forget_marks(work: Path) -> None:
    """Before a run goes on: who was being evaluated when it was stopped did not stop it."""
    for mark in work.glob("*.now"):
        mark.unlink()


def _name(number: int) -> str:
    return f"shard-{number:05d}"
