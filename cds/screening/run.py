"""A whole run: an export in, findings of all its patients out, the same whoever did the work and however often it was stopped.

work/plan.json     what the run is: of which export, with which rules, as of when
work/…             what is finished of it; gone once everything is put together
findings.ndjson    a line for each patient with a marker result, in the order of their ids
findings.parquet   the same as a table, a row for each finding
not-used.ndjson    what was not used of their records, with file and line
quarantine.ndjson  lines of the export that could not be used at all, with file, line and reason
unjudged.ndjson    patients who could not be evaluated: of them nothing is said
summary.json  summary.html
"""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from cds.chart import Moment
from cds.errors import ExowatchError, InputError
from cds.reasoning.rulebook import RuleBook
from cds.record.content import versions
from cds.screening import partition, recording, shard
from cds.screening.crew import Crew, Setup, dealt, evaluated
from cds.screening.export import Export, open_export
from cds.screening.outputs import OUTPUTS, PAGE, SUMMARY, put_together
from cds.screening.partition import Deal, Dealt, adopt, gather, keep, parcels_by_shard, starts_of
from cds.screening.recording import Recording, recorded
from cds.screening.shard import Evaluated, Shard, forget_marks
from cds.screening.summary import Plan, Summary

SHARDS = 256
_OF_SHARD = 2**21  # bytes of an export below which it has fewer shards
_FEWEST = 8
_UNPACKED = 10  # how much larger a compressed file of NDJSON is once unpacked
Kind = TypeVar("Kind")


class LinesLost(ExowatchError):
    """The lines that went in are not those that came out: a fault of this program, and no result can be trusted."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be screened, and how. `as_of`: None for now; `since`: only patients of whom something was updated since; `record`:

    base URL of the FHIR server under which they are to be recorded, "" if they are not.
    """

    export: Path
    out: Path
    book: RuleBook
    as_of: str | None = None
    since: str = ""
    record: str = ""
    restart: bool = False
    now: Callable[[], datetime] = lambda: datetime.now().astimezone()


class Told(Protocol):
    """Who is told how far a run is."""

    def begins(self, what: str, of: int) -> None:
        """A stage begins that has so much to do: bytes of the export that are read, or bytes of shards that are evaluated."""

    def done(self, much: int, patients: int = 0) -> None:
        """So much of it is done."""


class Nobody:
    """Is told nothing."""

    def begins(self, what: str, of: int) -> None:
        pass

    def done(self, much: int, patients: int = 0) -> None:
        pass


def screen(
    asked: Asked,
    crew: Crew,
    told: Told,
    *,
    recorders: Crew | None = None,
    ready: Callable[[Path], None] = lambda _work: None,
) -> Summary:
    """Run to the end, or go on with what was begun. `ready` is called with the work folder before anybody works.

    What is to be recorded is by `recorders`, who reach the record of this installation. Raises `InputError` for an export or an output folder that cannot be used, `CrewLost` if nobody can go on, `LinesLost`.
    """
    export = open_export(asked.export)
    plan = _planned(asked, export)
    finished = _finished(asked.out, plan)
    if finished is not None:
        return finished
    work = asked.out / "work"
    ready(work)
    setup = Setup.of(asked.book)
    pieces = _deal(export, work, plan, crew, setup, told)
    jobs = _shards(work.resolve(), plan, pieces)
    shards = _evaluate(work, jobs, crew, setup, told)
    on_record = _record(plan, work, jobs, shards, recorders, setup, told) if plan.record else 0
    summary = _summary(plan, export, pieces, shards, on_record)
    put_together(asked.out, work, pieces, shards, asked.book, summary)
    shutil.rmtree(work)
    return summary


# what the run is ---------------------------------------------------------------------------------------------------------


def _planned(asked: Asked, export: Export) -> Plan:
    """The plan of the run: that of one which was begun in this folder, if it is the same."""
    unpacked = sum(file.size * (_UNPACKED if file.zipped else 1) for file in export.files)
    now = asked.now()
    plan = Plan(
        export.hash, asked.book.hash, asked.as_of or now.isoformat(), asked.as_of is None, asked.since, asked.record,
        max(_FEWEST, min(SHARDS, unpacked // _OF_SHARD)), versions(),
    )  # fmt: skip
    Moment.parse(plan.as_of)
    if plan.since:
        stated = Moment.parse(plan.since)
        if stated.instant is None:
            raise InputError(f"'{plan.since}' is no instant: write it as 2026-11-01T00:00:00Z, with a time and a zone")
    out = asked.out
    if asked.restart and (out / "work" / "plan.json").exists() | (out / SUMMARY).exists():
        for name in (*OUTPUTS, SUMMARY, PAGE):
            (out / name).unlink(missing_ok=True)
        shutil.rmtree(out / "work", ignore_errors=True)
    begun = _stated(out / "work" / "plan.json", Plan) or (
        done.plan if (done := _stated(out / SUMMARY, Summary)) is not None else None
    )
    if begun is not None:
        same = msgspec.structs.replace(plan, as_of=begun.as_of) if plan.live and begun.live else plan
        if begun != same:
            raise InputError(
                f"{out}: there is another run in it ({_difference(begun, same)}). Name another folder with --out, or let this one "
                "take its place with --restart"
            )
        return begun
    if out.exists() and any(out.iterdir()):
        raise InputError(f"{out}: this folder holds other files. Name an empty or a new folder with --out")
    (out / "work").mkdir(parents=True)
    keep(out / "work" / "plan.json", msgspec.json.encode(plan))
    return plan


def _stated(path: Path, kind: type[Kind]) -> Kind | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise InputError(
            f"{path}: it cannot be read ({error}). Name another folder with --out, or use --restart"
        ) from None


def _difference(one: Plan, other: Plan) -> str:
    names = {"export": "of another export", "rulebook": "with other rules", "as_of": "as of another moment", "live": "as of another moment",
             "since": "with another --since", "record": "with another --record", "shards": "of another export", "software": "of other software"}  # fmt: skip
    found = [said for name, said in names.items() if getattr(one, name) != getattr(other, name)]
    return ", ".join(dict.fromkeys(found))


def _finished(out: Path, plan: Plan) -> Summary | None:
    return None if (out / "work").exists() else _stated(out / SUMMARY, Summary)


# the stages --------------------------------------------------------------------------------------------------------------


def _deal(export: Export, work: Path, plan: Plan, crew: Crew, setup: Setup, told: Told) -> list[Dealt]:
    folder = export.folder.resolve()
    jobs = [Deal(folder, work.resolve(), piece, plan.shards, plan.since) for piece in export.pieces]
    found = {job.piece.number: partition.report_of(work, job.piece.number) for job in jobs}
    told.begins("reading", export.size)
    size = {file.name: file.size for file in export.files}
    for job in jobs:
        if found[job.piece.number] is not None:
            told.done(_read(job, size))
    waiting = [job for job in jobs if found[job.piece.number] is None]
    by_number = {job.piece.number: job for job in waiting}
    for made in crew.run(dealt, waiting, setup):
        found[made.number] = made
        told.done(_read(by_number[made.number], size))
    return [one for _, one in sorted(found.items()) if one is not None]


def _read(job: Deal, size: Mapping[str, int]) -> int:
    return job.piece.end - job.piece.start if not job.piece.file.endswith(".gz") else size[job.piece.file]


def _shards(work: Path, plan: Plan, pieces: Sequence[Dealt]) -> list[Shard]:
    adopted = adopt(work, pieces, plan.shards)
    shared = gather(work, pieces)
    moment = Moment.live(datetime.fromisoformat(plan.as_of)) if plan.live else Moment.parse(plan.as_of)
    parcels = parcels_by_shard(pieces, adopted, plan.shards)
    starts = starts_of(pieces)
    return [
        Shard(
            number,
            work,
            tuple(theirs),
            {one.piece: starts[one.piece] for one in theirs},
            shared,
            moment,
            bool(plan.since),
        )
        for number, theirs in enumerate(parcels)
    ]


def _evaluate(work: Path, jobs: Sequence[Shard], crew: Crew, setup: Setup, told: Told) -> list[Evaluated]:
    forget_marks(work)
    found = {job.number: shard.report_of(work, job.number) for job in jobs}
    told.begins("evaluating", sum(job.size for job in jobs))
    for job in jobs:
        done = found[job.number]
        if done is not None:
            told.done(job.size, _patients(done))
    for made in crew.run(evaluated, [job for job in jobs if found[job.number] is None], setup):
        found[made.number] = made
        told.done(jobs[made.number].size, _patients(made))
    return [one for _, one in sorted(found.items()) if one is not None]


def _record(
    plan: Plan,
    work: Path,
    jobs: Sequence[Shard],
    shards: Sequence[Evaluated],
    crew: Crew | None,
    setup: Setup,
    told: Told,
) -> int:
    """How many patients are on record. Raises `RecordUnavailable`, `SchemaMismatch`."""
    if crew is None:
        raise ValueError("nobody is there to record")
    found = {job.number: recording.report_of(work, job.number) for job in jobs}
    told.begins("recording", len(jobs))
    for before in filter(None, found.values()):
        told.done(1, before.patients)
    both = zip(jobs, shards, strict=True)
    waiting = [Recording(job, done, plan.record) for job, done in both if found[job.number] is None]
    for made in crew.run(recorded, waiting, setup):
        found[made.number] = made
        told.done(1, made.patients)
    return sum(one.patients for one in found.values() if one is not None)


def _patients(done: Evaluated) -> int:
    return done.measured + done.unmeasured + done.unjudged + done.unchanged


def _summary(
    plan: Plan, export: Export, pieces: Sequence[Dealt], shards: Sequence[Evaluated], on_record: int
) -> Summary:
    """Raises `LinesLost` if something does not add up."""
    states, unread = defaultdict[str, Counter[str]](Counter), Counter[str]()
    for done in shards:
        for rule, found in done.states.items():
            states[rule].update(found)
    for one in pieces:
        unread.update(one.unread)
    summary = Summary(
        plan=plan, files=len(export.files), bytes=export.size,
        lines=sum(one.lines for one in pieces), blank=sum(one.blank for one in pieces),
        of_patients=sum(one.owned + one.named for one in pieces), shared=sum(one.shared for one in pieces),
        refused=sum(one.refused for one in pieces), unread=dict(sorted(unread.items())),
        patients=sum(_patients(done) for done in shards), measured=sum(done.measured for done in shards),
        unmeasured=sum(done.unmeasured for done in shards), unjudged=sum(done.unjudged for done in shards),
        unchanged=sum(done.unchanged for done in shards), not_used=sum(done.left_out for done in shards),
        states={rule: dict(sorted(found.items())) for rule, found in sorted(states.items())},
        recorded=on_record, broken=[f"{one.file}: {one.broken}" for one in pieces if one.broken],
    )  # fmt: skip
    counted = summary.blank + summary.of_patients + summary.shared + summary.refused + sum(unread.values())
    taken = sum(done.items for done in shards)
    if summary.lines != counted or summary.of_patients != taken:
        raise LinesLost(
            f"{summary.lines:,} lines were read, {counted:,} are accounted for; {summary.of_patients:,} are of patients, {taken:,} "
            "were evaluated. Nothing of this run can be trusted: delete its folder, run again, and report it"
        )
    return summary
