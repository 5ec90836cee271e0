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
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from cds.chart import Moment
from cds.errors import InputError
from cds.screening import partition, recording, shard
from cds.screening.crew import Crew, Setup, dealt, evaluated
from cds.screening.export import Export, open_export
from cds.screening.marks import forget_marks
from cds.screening.outputs import UNRECORDED, Lost, put_together, write_lines, write_summary
from cds.screening.partition import Deal, Dealt, adopt, parcels_by_shard, starts_of
from cds.screening.plan import Asked, begun, held, planned
from cds.screening.recording import Recorded, Recording, recorded
from cds.screening.shard import Evaluated, Shard, in_order
from cds.screening.shared import Gathered, gather
from cds.screening.summary import Plan, Summary


class Told(Protocol):
    """Who is told how far a run is."""

    def begins(self, what: str, of: int) -> None:
        """A stage begins that has so much to do: bytes of the export, bytes of shards, or shards."""

    def done(self, much: int, patients: int = 0) -> None:
        """So much of it is done."""


class Nobody:
    """Is told nothing."""

    def begins(self, what: str, of: int) -> None:
        pass

    def done(self, much: int, patients: int = 0) -> None:
        pass


def screen(asked: Asked, crew: Crew, told: Told, recorders: Crew | None = None) -> Summary:
    """Run to the end, or go on with what was begun. What is to be recorded is by `recorders`, who reach the record (default: the crew).

    Raises `InputError` for an export or an output folder that cannot be used, `CrewLost` if nobody can go on, `Lost`, and
    `RecordUnavailable` or `SchemaMismatch` if the record cannot be written.
    """
    export = open_export(asked.export)
    wanted = planned(asked, export)
    with held(asked.out):
        plan = begun(asked, wanted)
        if isinstance(plan, Summary):
            return plan
        work = (asked.out / "work").resolve()
        crew.check(work)
        setup = Setup.of(asked.book)
        pieces = _deal(export, work, plan, crew, setup, told)
        gaps = _gaps(export, pieces)
        if gaps and asked.record is not None and not asked.accept_gaps:
            raise InputError(_NOT_WHOLE.format(folder=export.folder, gaps="; ".join(gaps)))
        shared = gather(work, pieces)
        jobs = _shards(work, plan, pieces, shared)
        shards = _evaluate(work, plan, jobs, crew, setup, told)
        put_together(asked.out, work, pieces, shared.refused, shards, asked.book, whole=not gaps)
        on_record: Sequence[Recorded] = ()
        if asked.record is not None:
            on_record = _record(asked, work, jobs, shards, recorders or crew, setup, told)
        write_lines(asked.out / UNRECORDED, (one for done in on_record for one in done.failed))
        summary = _summary(plan, export, pieces, shared, shards, on_record)
        write_summary(asked.out, summary, asked.book)
        shutil.rmtree(work, ignore_errors=True)
        return summary


def _deal(export: Export, work: Path, plan: Plan, crew: Crew, setup: Setup, told: Told) -> list[Dealt]:
    folder = export.folder.resolve()
    jobs = [Deal(folder, work, piece, plan.shards, plan.since, plan.server) for piece in export.pieces]
    found = {job.piece.number: partition.report_of(work, job.piece.number) for job in jobs}
    told.begins("reading", export.size)
    size = {file.name: file.size for file in export.files}
    by_number = {job.piece.number: _read(job, size) for job in jobs}
    for number, before in found.items():
        if before is not None:
            told.done(by_number[number])
    for made in crew.run(dealt, [job for job in jobs if found[job.piece.number] is None], setup):
        found[made.number] = made
        told.done(by_number[made.number])
    return [one for _, one in sorted(found.items()) if one is not None]


def _read(job: Deal, size: Mapping[str, int]) -> int:
    return job.piece.end - job.piece.start or size[job.piece.file]


def _shards(work: Path, plan: Plan, pieces: Sequence[Dealt], shared: Gathered) -> list[Shard]:
    adopted = adopt(work, pieces, plan.shards)
    moment = Moment.live(datetime.fromisoformat(plan.as_of)) if plan.live else Moment.parse(plan.as_of)
    starts = starts_of(pieces)
    return [
        Shard(
            number=number,
            work=work,
            parcels=tuple(theirs),
            starts={one.piece: starts[one.piece] for one in theirs},
            shared=shared.path,
            moment=moment,
            changed_only=bool(plan.since),
            shared_changed=shared.changed,
        )
        for number, theirs in enumerate(parcels_by_shard(pieces, adopted, plan.shards))
    ]


def _evaluate(work: Path, plan: Plan, jobs: Sequence[Shard], crew: Crew, setup: Setup, told: Told) -> list[Evaluated]:
    forget_marks(work)
    found = {job.number: shard.report_of(work, job.number) for job in jobs}
    told.begins("evaluating", sum(job.size for job in jobs))
    for job in jobs:
        before = found[job.number]
        if before is not None:
            told.done(job.size, before.patients)
    for made in crew.run(evaluated, [job for job in jobs if found[job.number] is None], setup):
        found[made.number] = made
        told.done(jobs[made.number].size, made.patients)
    shards = [one for _, one in sorted(found.items()) if one is not None]
    if {one.rulebook for one in shards} != {plan.rulebook}:
        raise Lost(
            "some patients were evaluated with other rules: nothing of this run can be trusted. Run again with --restart"
        )
    return shards


def _record(
    asked: Asked,
    work: Path,
    jobs: Sequence[Shard],
    shards: Sequence[Evaluated],
    crew: Crew,
    setup: Setup,
    told: Told,
) -> list[Recorded]:
    assert asked.record is not None  # it was asked for
    found = {job.number: recording.report_of(work, job.number) for job in jobs}
    told.begins("recording", len(jobs))
    for before in filter(None, found.values()):
        told.done(1, before.patients)
    both = zip(jobs, shards, strict=True)
    waiting = [Recording(job, done, asked.record) for job, done in both if found[job.number] is None]
    for made in crew.run(recorded, waiting, setup):
        found[made.number] = made
        told.done(1, made.patients)
    return [one for _, one in sorted(found.items()) if one is not None]


_ASKED: Mapping[str, Sequence[str]] = {
    "Condition": ("Condition",),
    "Procedure": ("Procedure",),
    "medication": ("MedicationRequest", "MedicationAdministration", "MedicationStatement", "MedicationDispense"),
}
"""What every rule asks about beside results. Without it findings are others, and not only fewer: see `_missing`."""


def _missing(export: Export, pieces: Sequence[Dealt]) -> list[str]:
    """By type, where there is less than a manifest says; and of what rules ask about, what is not there at all.

    Where a manifest lists what there is, and nothing says that a type was not asked for, there is none of it.
    """
    types = Counter[str]()
    for one in pieces:
        types.update(one.types)
    found = [
        f"{kind}: {count:,} in the manifest, {types[kind]:,} in the files"
        for kind, count in sorted(export.counts.items())
        if types[kind] < count
    ]
    if not types["Observation"]:
        found.append("there is no Observation in the export")
    for what, kinds in _ASKED.items():
        if any(types[kind] or export.counts.get(kind) for kind in kinds):
            continue
        if export.types is not None and not export.types.intersection(kinds):
            found.append(f"there is no {what} in the export: the server was not asked for any")
        elif not export.counts:
            found.append(f"there is no {what} in the export, and no manifest that says what is")
    return found


_NOT_WHOLE = (
    "{folder}: this export is not whole ({gaps}), so findings of any patient may be wrong, and would open and close advice. Fetch it "
    "anew. If you know that nothing more exists, --accept-gaps records them all the same"
)


def _gaps(export: Export, pieces: Sequence[Dealt]) -> list[str]:
    """What an export lacks, as far as it can be told; as `Summary.has_gaps` has it."""
    return [*_missing(export, pieces), *_broken(pieces), *export.unread, *export.errors]


def _broken(pieces: Sequence[Dealt]) -> list[str]:
    return [f"{one.file}: {one.broken}" for one in pieces if one.broken]


def _summary(
    plan: Plan,
    export: Export,
    pieces: Sequence[Dealt],
    shared: Gathered,
    shards: Sequence[Evaluated],
    on_record: Sequence[Recorded],
) -> Summary:
    """Raises `Lost` if something does not add up."""
    states, stale = defaultdict[str, Counter[str]](Counter), defaultdict[str, Counter[str]](Counter)
    unread = Counter[str]()
    for done in shards:
        for rule, found in done.states.items():
            states[rule].update(found)
        for rule, found in done.stale.items():
            stale[rule].update(found)
    for one in pieces:
        unread.update(one.unread)
    dealt_refused, later = sum(one.refused for one in pieces), sum(done.refused for done in shards)
    summary = Summary(
        plan=plan, files=len(export.files), bytes=export.size, ignored=list(export.unread), errors=list(export.errors),
        missing=_missing(export, pieces), nameless=sum(done.nameless for done in shards),
        lines=sum(one.lines for one in pieces), blank=sum(one.blank for one in pieces),
        of_patients=sum(one.owned + one.named for one in pieces) - later, shared=sum(one.shared for one in pieces) - len(shared.refused),
        refused=dealt_refused + later + len(shared.refused), unread_types=dict(sorted(unread.items())),
        patients=sum(done.patients for done in shards), measured=sum(done.measured for done in shards),
        unread=sum(done.unread for done in shards), unmeasured=sum(done.unmeasured for done in shards),
        unjudged=sum(done.unjudged for done in shards), unchanged=sum(done.unchanged for done in shards),
        not_used=sum(done.left_out for done in shards), partly=sum(done.partly for done in shards),
        states=in_order(states), stale=in_order(stale),
        recorded=sum(one.patients for one in on_record), unrecorded=sum(len(one.failed) for one in on_record),
        broken=_broken(pieces),
    )  # fmt: skip
    accounted = summary.blank + summary.of_patients + summary.shared + summary.refused + sum(unread.values())
    taken = sum(done.items - done.refused for done in shards)
    if summary.lines != accounted or summary.of_patients != taken:
        raise Lost(
            f"{summary.lines:,} lines were read, {accounted:,} are accounted for; {summary.of_patients:,} are of patients, {taken:,} "
            "were evaluated. Nothing of this run can be trusted: run again with --restart, and report it"
        )
    return summary
