"""What a run is, and the folder in which it lies: one run, held by one process, gone on with by whoever asks for the same."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import msgspec

from cds.chart import Moment
from cds.chart.clock import when
from cds.errors import InputError
from cds.reasoning.rulebook import RuleBook
from cds.record.content import versions
from cds.record.spelling import respelt
from cds.screening.export import Export
from cds.screening.outputs import OUTPUTS, SUMMARY
from cds.screening.partition import is_part_of, keep
from cds.screening.summary import Plan, Summary

SHARDS = 256
_OF_SHARD = 2**21  # bytes of an export below which it has fewer shards
_FEWEST = 8
_UNPACKED = 10  # how much larger a compressed file of NDJSON is once unpacked
Kind = TypeVar("Kind")


@dataclass(frozen=True, slots=True)
class Destination:
    """Into which record findings go: of patients of the FHIR server with this base URL, of this tenant."""

    server: str
    tenant: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be screened, and how. `as_of`: None for now; `since`: only patients of whom something was updated since."""

    export: Path
    out: Path
    book: RuleBook
    as_of: str | None = None
    since: str = ""
    record: Destination | None = None
    restart: bool = False
    accept_gaps: bool = False  # record also what comes of an export that is not whole
    now: Callable[[], datetime] = lambda: datetime.now().astimezone()


def planned(asked: Asked, export: Export) -> Plan:
    """What was asked for, as a plan. Raises `InputError` for moments that are none, and for the record of another server."""
    if asked.out.resolve().is_relative_to(asked.export.resolve()):
        raise InputError(
            f"{asked.out}: findings are not to lie in the folder of the export, of which they would seem a part. Name a folder "
            "beside it with --out"
        )
    unpacked = sum(file.size * (_UNPACKED if file.zipped else 1) for file in export.files)
    plan = Plan(
        export=export.hash,
        rulebook=asked.book.hash,
        as_of=asked.as_of or asked.now().isoformat(),
        live=asked.as_of is None,
        since=asked.since,
        server=asked.record.server if asked.record else respelt(export.server) if export.server else "",
        tenant=asked.record.tenant if asked.record else "",
        shards=max(_FEWEST, min(SHARDS, unpacked // _OF_SHARD)),
        software=versions(),
    )
    if Moment.parse(plan.as_of).day > asked.now().date() + timedelta(days=1):  # it has begun somewhere
        raise InputError(f"--as-of: {plan.as_of} has not come yet; leave it out for now, or name a day that has")
    if plan.since:
        since = when(plan.since)
        if since is None or since.instant is None:
            raise InputError(
                f"--since: '{plan.since}' is no instant; such as 2026-11-01T00:00:00Z, with a time and the offset from UTC"
            )
        if since.instant > asked.now():
            raise InputError(
                f"--since: {plan.since} has not come yet; name an instant that has, such as that of the last run"
            )
    if asked.record and export.server and respelt(export.server) != asked.record.server:
        raise InputError(
            f"the export is of {export.server}, and is to be recorded under {asked.record.server}: its patients would be others. "
            "Name the server that it comes from"
        )
    return plan


@contextmanager
def held(out: Path) -> Iterator[None]:
    """The folder of a run, made if it is not there, readable by its owner alone; no other process has it meanwhile.

    Raises `InputError`.
    """
    try:
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = os.open(out, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise InputError(f"{out}: {error.strerror or error}. Name a folder that can be written, with --out") from error
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"{out}: another call of `exowatch screen` is at work in it. Let it end, or name another folder"
            ) from None
        yield
    finally:
        os.close(folder)


def begun(asked: Asked, plan: Plan) -> Plan | Summary:
    """The plan of the run in the folder, which is held, or what it came to if it is done; begun now if there is none.

    Raises `InputError` for a folder with another run, or with anything else.
    """
    out, work = asked.out, asked.out / "work"
    parts = [one for one in out.iterdir() if is_part_of(one.name, OUTPUTS)]
    other = sorted(one.name for one in out.iterdir() if one.name not in (*OUTPUTS, "work") and one not in parts)
    if other:
        raise InputError(f"{out}: this folder holds other files ({other[0]}). Name an empty or a new folder with --out")
    if asked.restart and ((work / "plan.json").exists() or (out / SUMMARY).exists()):
        for name in OUTPUTS:
            (out / name).unlink(missing_ok=True)
        shutil.rmtree(work, ignore_errors=True)
        _remove(parts)
    done = _stated(out / SUMMARY, Summary)
    before = done.plan if done is not None else _stated(work / "plan.json", Plan)
    if before is None:
        if any(one.name != "work" for one in out.iterdir()) or _holds_more(work):
            raise InputError(f"{out}: this folder holds files of no run. Name an empty or a new folder with --out")
        work.mkdir(mode=0o700, exist_ok=True)
        keep(work / "plan.json", msgspec.json.encode(plan))
        return plan
    same = msgspec.structs.replace(plan, as_of=before.as_of) if plan.live and before.live else plan
    if before != same:
        raise InputError(
            f"{out}: there is another run in it ({_difference(before, same)}). Name another folder with --out, or let this one "
            "take its place with --restart"
        )
    _remove(parts)
    if done is not None:
        shutil.rmtree(work, ignore_errors=True)
        return done
    return before


def _remove(files: Sequence[Path]) -> None:
    for one in files:
        one.unlink(missing_ok=True)


def _holds_more(work: Path) -> bool:
    """Whether a work folder without a plan holds more than what was begun of one."""
    return work.exists() and any(not one.name.startswith("plan.json.") for one in work.iterdir())


def _stated(path: Path, kind: type[Kind]) -> Kind | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise InputError(
            f"{path}: it cannot be read ({error}). Name another folder with --out, or use --restart"
        ) from None


_NAMES = {
    "export": "of another export", "rulebook": "with other rules", "as_of": "as of another moment", "live": "as of another moment",
    "since": "with another --since", "server": "with another --record", "tenant": "with another --record",
    "shards": "of another export", "software": "of other software",
}  # fmt: skip


def _difference(one: Plan, other: Plan) -> str:
    found = [said for name, said in _NAMES.items() if getattr(one, name) != getattr(other, name)]
    return ", ".join(dict.fromkeys(found))
