"""One shard: its patients, one after the other → their findings, as the hook and `exowatch evaluate` give them.

A patient whose evaluation ends the process (the engine is C) is tried once more in another process, then passed over and listed.
Which patient it was is known from a mark that is written before each.
"""

from __future__ import annotations

import secrets
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, Self

import msgspec

from cds.chart import LeftOut, Moment
from cds.chart.reading import read_of
from cds.chart.versions import revision
from cds.errors import EngineFault, ExowatchError
from cds.reasoning.findings import Evaluation
from cds.reasoning.reasoner import Reasoner
from cds.reasoning.rulebook import RuleBook
from cds.record.audit import canonical
from cds.record.content import answer
from cds.screening.lines import UNREADABLE, Json, resource_of
from cds.screening.marks import TRIES, Marks
from cds.screening.partition import Parcel, Quarantined, items_of, keep, split
from cds.screening.shared import SharedLines

PART = 16 * 2**20
"""Bytes of lines that are held while patients are evaluated; a larger shard is taken in parts."""
KINDS = ("findings", "left-out", "unjudged", "refused")
_COUNTED = (
    "items", "refused", "nameless", "measured", "unread", "unmeasured", "unjudged", "unchanged", "left_out", "partly",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard that is to be evaluated. `starts`: of each piece its file, and the number of its first line there, from 1."""

    number: int
    work: Path
    parcels: tuple[Parcel, ...]
    starts: Mapping[int, tuple[str, int]]
    shared: str | None
    moment: Moment
    changed_only: bool = False
    shared_changed: bool = False  # whether something shared counts as changed

    @property
    def size(self) -> int:
        return sum(parcel.size for parcel in self.parcels)


class Evaluated(msgspec.Struct, frozen=True):
    """What became of a shard. Every patient is counted once: measured, unread, unmeasured, unjudged or unchanged.

    `unread` have something that may be a result, and nothing that could be read; `refused` are lines. `states`: how many patients have each state, by rule; `parts`: the stems of the files that were written, each with the findings
    of its patients in their order.
    """

    number: int
    rulebook: str
    items: int
    refused: int
    nameless: int  # patients of whom the export has no Patient resource; they are counted below, too
    measured: int
    unread: int
    unmeasured: int
    unjudged: int
    unchanged: int
    left_out: int
    states: dict[str, dict[str, int]]
    parts: list[str]
    partly: int = 0  # of those measured: something else that may be a result was not read
    stale: dict[str, dict[str, int]] = {}  # as `states`, of those whose newest sample is old

    @property
    def patients(self) -> int:
        return self.measured + self.unread + self.unmeasured + self.unjudged + self.unchanged


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


def evaluate_shard(job: Shard, reasoners: Reasoners) -> Evaluated:
    """Evaluate a shard. Writes its files, and last its report, which names them. Raises `OSError`."""
    name = f"{_name(job.number)}.{secrets.token_hex(4)}"  # of this attempt: another may still be writing somewhere
    with ExitStack() as stack:
        shared = SharedLines(job.shared)
        stack.callback(shared.close)
        work = _Evaluating(job, reasoners, shared, stack.enter_context(Marks(job.work / _name(job.number))))
        parts = []
        for number, parcels in enumerate(_parts(job, name, stack)):
            parts.append(f"{name}.{number:03d}")
            with _Outputs(job.work / parts[-1]) as out:
                for patient, items in _patients(job.work, parcels):
                    work.evaluate(patient, items, out)
    done = work.report(parts)
    keep(job.work / f"{_name(job.number)}.json", _JSON.encode(done))
    return done


def in_order(found: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    """Counts by rule and state, those that are not 0, in the order of their names."""
    counts = {
        rule: {state: count for state, count in sorted(of.items()) if count} for rule, of in sorted(found.items())
    }
    return {rule: of for rule, of in counts.items() if of}


class Reasoners:
    """A reasoner, and another in its place once its engine has broken its contract."""

    def __init__(self, book: RuleBook):
        self._book = book
        self.reasoner = Reasoner(book)

    def renew(self) -> None:
        self.reasoner = Reasoner(self._book)


class _Evaluating:
    """One attempt at a shard, and what it has come to so far."""

    def __init__(self, job: Shard, reasoners: Reasoners, shared: SharedLines, marks: Marks):
        self._job, self._reasoners, self._shared, self._marks = job, reasoners, shared, marks
        self._counts = Counter[str]()
        self._states, self._stale = defaultdict[str, Counter[str]](Counter), defaultdict[str, Counter[str]](Counter)

    def report(self, parts: Sequence[str]) -> Evaluated:
        counted = {key: self._counts[key] for key in _COUNTED}
        rulebook = self._reasoners.reasoner.rulebook.hash
        states, stale = in_order(self._states), in_order(self._stale)
        return Evaluated(self._job.number, rulebook, **counted, states=states, stale=stale, parts=list(parts))

    def evaluate(self, patient: str, items: Sequence[Item], out: _Outputs) -> None:
        """One patient, who is counted once."""
        self._counts["items"] += len(items)
        changed = not self._job.changed_only or any(one.changed for one in items)
        if not changed and not self._job.shared_changed:
            self._counts["unchanged"] += 1
            return
        read = [(one, resource_of(one.line)) for one in items]
        resources = [resource for _, resource in read if resource is not None]
        shared, new = self._shared.of(resources)
        if not changed and not new:
            self._counts["unchanged"] += 1
            return
        for one, resource in read:
            if resource is None:
                self._counts["refused"] += 1
                out.refused(Quarantined(*self._place(one), *UNREADABLE))
        people = [one for one in resources if one["resourceType"] == "Patient"]
        if not people:
            self._counts["nameless"] += 1
            self._counts["left_out"] += 1
            out.not_used(patient, _NAMELESS, "")
        if _are_several(people):
            self._counts["unjudged"] += 1
            out.unjudged(patient, _SEVERAL)
            return
        evaluation = self._evaluation(patient, [*resources, *shared], out)
        if evaluation is None:
            self._counts["unjudged"] += 1
            return
        kept = [one for one, resource in read if resource is not None]
        hidden = False
        for left_out in evaluation.chart.left_out:
            self._counts["left_out"] += 1
            hidden |= left_out.hides_results
            out.not_used(patient, left_out, self._where(left_out, kept))
        if evaluation.answers or evaluation.silent:
            self._counts["measured"] += 1
            self._counts["partly"] += hidden
            out.answer(evaluation)
        else:
            self._counts["unread" if hidden or len(kept) < len(items) else "unmeasured"] += 1
        for rule, finding in evaluation.answers.items():
            self._states[rule][finding.state] += 1
            self._stale[rule][finding.state] += "stale" in finding.notes

    def _evaluation(self, patient: str, resources: list[Json], out: _Outputs) -> Evaluation | None:
        """None for whoever cannot be evaluated: they are listed, and the others go on."""
        if self._marks.has_ended(patient):
            out.unjudged(patient, f"its evaluation ended the process {TRIES} times")
            return None
        with self._marks.of(patient):
            for last in (False, True):
                try:
                    return evaluated(patient, resources, self._reasoners.reasoner, self._job.moment)
                except EngineFault as error:  # that engine is not asked again
                    self._reasoners.renew()
                    if last:
                        out.unjudged(patient, str(error))
                except ExowatchError as error:
                    out.unjudged(patient, str(error))
                    return None
                except Exception as error:
                    out.unjudged(patient, f"a fault of this program: {type(error).__name__}")
                    return None
        return None

    def _place(self, item: Item) -> tuple[str, int]:
        """File and line of an item, counted from 1."""
        file, first = self._job.starts[item.piece]
        return file, first + item.place

    def _where(self, left_out: LeftOut, items: Sequence[Item]) -> str:
        """Where something stands in the export: of `[3].valueQuantity` the file and line of the fourth resource."""
        number, bracket, rest = left_out.where.removeprefix("[").partition("]")
        if not bracket or not number.isdecimal() or int(number) >= len(items):
            return left_out.where
        file, line = self._place(items[int(number)])
        return f"{file}:{line} {rest.removeprefix('.')}".strip()


_NAMELESS = LeftOut(
    "Patient",
    "",
    "the export has no Patient resource of this id",
    "ask whoever exported it why; age and name are not known",
)
_SEVERAL = (
    "Patient resources of this id contradict each other, and nothing says which is the newer: likely the exports of two servers "
    "lie in one folder. Screen each apart"
)


def _are_several(people: Sequence[Json]) -> bool:
    """Whether Patient resources of one id may be two people: of equal age, born on other days or with other identifiers."""
    if len(people) < 2:
        return False
    newest = max(revision(one) for one in people)
    told = [one for one in people if revision(one) == newest]
    return len({canonical([one.get("birthDate"), one.get("identifier")]) for one in told}) > 1


def evaluated(patient: str, resources: list[Json], reasoner: Reasoner, moment: Moment) -> Evaluation:
    """The evaluation of a patient from the resources of their record, and from what these refer to."""
    return reasoner.evaluate(read_of(patient, resources, reasoner.rulebook.catalogue).as_of(moment))


# patients of a shard -----------------------------------------------------------------------------------------------------


def _parts(job: Shard, name: str, stack: ExitStack) -> Iterator[Sequence[Parcel]]:
    """The parcels of a shard; of a large one, of each part, into which its patients are dealt once more."""
    if job.size <= PART:
        yield job.parcels
        return
    folder = job.work / f"{name}.split"
    folder.mkdir()
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    parts = -(-job.size // (PART // 2))
    dealt = split(job.work, job.parcels, folder, parts)
    for part in range(parts):
        yield [parcel for parcel in dealt if parcel.shard == part]


def patients_of(job: Shard) -> Iterator[tuple[str, list[Item]]]:
    """The patients of a shard, part by part, each with the lines of their record in the order of the export."""
    with ExitStack() as stack:
        for parcels in _parts(job, f"{_name(job.number)}.{secrets.token_hex(4)}", stack):
            yield from _patients(job.work, parcels)


class Item(NamedTuple):
    """A line of a patient: from which piece, its number in it (from 0), whether it counts as changed."""

    piece: int
    place: int
    changed: bool
    line: bytes


def _patients(work: Path, parcels: Sequence[Parcel]) -> Iterator[tuple[str, list[Item]]]:
    """The patients of some parcels in their order, each with the lines of their record in the order of the export."""
    items = [
        (patient, Item(parcel.piece, place, changed, line))
        for parcel in parcels
        for patient, place, changed, line in items_of(work, parcel)
    ]
    items.sort(key=lambda item: (item[0], item[1].piece, item[1].place))
    for patient, theirs in groupby(items, key=lambda item: item[0]):
        yield patient, [item for _, item in theirs]


class _Outputs:
    """The files of a part."""

    def __init__(self, stem: Path):
        self._stem = stem

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._files = {kind: stack.enter_context(Path(f"{self._stem}.{kind}").open("wb")) for kind in KINDS}
            self._opened = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def answer(self, evaluation: Evaluation) -> None:
        self._files["findings"].write(answer(evaluation) + b"\n")

    def not_used(self, patient: str, one: LeftOut, where: str) -> None:
        self._write("left-out", NotUsed(patient, one.what, where, one.reason, one.hint, one.hides_results))

    def unjudged(self, patient: str, reason: str) -> None:
        self._write("unjudged", Unjudged(patient, reason))

    def refused(self, line: Quarantined) -> None:
        self._write("refused", line)

    def _write(self, kind: str, one: msgspec.Struct) -> None:
        self._files[kind].write(_JSON.encode(one) + b"\n")


def _name(number: int) -> str:
    return f"shard-{number:05d}"
