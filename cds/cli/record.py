"""The commands about the record: its database, its audit, what stands in it, and an evaluation computed anew."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from cds import terminal
from cds.chart.clock import when
from cds.cli.options import AsJson, Server, reasoner_of
from cds.counting import counted
from cds.errors import InputError
from cds.record import erasure
from cds.record.adoption import adopt
from cds.record.audit import Checkpoints, verify
from cds.record.backup import backup, restore
from cds.record.database import Database, head
from cds.record.identity import Identity, identified
from cds.record.listing import advisories, history
from cds.record.responses import Responses
from cds.settings import Settings, load_settings

db_app = typer.Typer(no_args_is_help=True, help="The database of the record: its schema, its backup.")
audit_app = typer.Typer(no_args_is_help=True, help="The audit: whether the record was tampered with.")
record_app = typer.Typer(no_args_is_help=True, help="What stands in the record: advisories, and a patient's data.")

_PATIENCE = 30.0
"""Seconds that a person at a terminal waits for a database; a hook waits far less."""


@contextmanager
def opened(*, check: bool = True) -> Iterator[tuple[Database, Settings]]:
    """The database of this installation, with the schema that this version needs if `check`."""
    settings = load_settings()
    database = Database(settings.database_url, deadline=_PATIENCE)
    try:
        if check:
            database.check()
        yield database, settings
    finally:
        database.close()


def _who(database: Database, settings: Settings, patient: str, server: str | None) -> Identity:
    """Whom a command means. Raises `NoSuchPatient`, `AmbiguousPatient`."""
    with database.reading() as connection:
        return identified(connection, settings.tenant, patient, server)


@db_app.command("upgrade")
def db_upgrade() -> None:
    """Bring the schema to the one that this version needs; makes the tables in an empty database."""
    with opened(check=False) as (database, _):
        before = database.revision()
        database.upgrade()
        adopt(database)
        terminal.say(f"schema {before or 'none'} → {database.revision()}")


@db_app.command("check")
def db_check() -> None:
    """Whether the database answers, and has the schema that this version needs."""
    with opened() as (database, _):
        terminal.say(f"ok: schema {head()}, {'SQLite' if database.is_sqlite else 'PostgreSQL'}")


@db_app.command("backup")
def db_backup(file: Annotated[Path, typer.Argument(help="A new file to write to.")]) -> None:
    """Copy the record into one file, while the service runs. Keep the checkpoint file with it."""
    with opened() as (database, _):
        backup(database, file)
        terminal.say(f"{file}: {file.stat().st_size:,} bytes")


@db_app.command("restore")
def db_restore(file: Annotated[Path, typer.Argument(help="A backup.")]) -> None:
    """Put a backup in place of an empty or missing database, then verify its audit."""
    with opened(check=False) as (database, settings):
        restore(database, file)
        _verdict(database, settings, as_json=False)


@audit_app.command("verify")
def audit_verify(
    others: Annotated[
        list[Path] | None, typer.Option("--checkpoints", help="Checkpoints of another host; may be repeated.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check the whole record against its audit and the checkpoints; exit code 1 if anything does not hold.

    A file of checkpoints that is not there yet is named, and what the others cover is checked.
    """
    with opened() as (database, settings):
        _verdict(database, settings, others or (), as_json=as_json)


def _verdict(database: Database, settings: Settings, others: Iterable[Path] = (), *, as_json: bool) -> None:
    points = Checkpoints(settings.checkpoints)
    stated = [points.path, *others]
    absent = [path for path in dict.fromkeys(stated) if not path.exists()]
    with database.reading() as connection:
        found = verify(connection, points.read(*(path for path in others if path not in absent)))
    if as_json:
        said = {"holds": found.holds, "uncovered": found.uncovered, "absent": [str(path) for path in absent]}
        typer.echo(json.dumps({**asdict(found), **said}))
    else:
        for path in absent:
            terminal.say(
                f"{path}: no checkpoint yet, there is no such file. The service writes one when it starts and ends, “exowatch audit "
                "checkpoint” at once. If there was one: it was removed, or the path is another"
            )
        for fault in found.broken:
            terminal.say(fault)
        terminal.say(
            f"{'the record holds' if found.holds else 'THE RECORD WAS CHANGED'}: {counted(found.entries, 'entry')}, {counted(found.rows, 'row')}; "
            f"{counted(found.uncovered, 'entry')} after the last checkpoint"
        )
    raise typer.Exit(0 if found.holds else 1)


@audit_app.command("checkpoint")
def audit_checkpoint() -> None:
    """Write a checkpoint now; the service writes one every so many entries."""
    with opened() as (database, settings):
        points = Checkpoints(settings.checkpoints)
        with database.reading() as connection:
            number = points.write(connection)
        terminal.say(f"{points.path}: entry {number}" if number else "the record is empty")


@record_app.command("list")
def record_list(
    patient: Annotated[str, typer.Option(help="Only this patient: Patient/123.")] = "",
    server: Server = None,
    standing: Annotated[str, typer.Option(help="Only those that stand so: open, withdrawn, closed …")] = "",
    most: Annotated[int, typer.Option(min=1, help="How many at most.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List advisories, the one that changed last first."""
    with opened() as (database, settings):
        who = _who(database, settings, patient, server) if patient else None
        found = advisories(database, settings.tenant, patient=who, standing=standing, most=most)
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found]))
        return
    terminal.table(
        ["advisory", "patient", "question", "state", "standing", "changed"],
        [(one.id, one.address, one.question, one.state, one.standing, one.changed[:16]) for one in found],
    )
    if not found:
        terminal.say("nothing was advised")


@record_app.command("show")
def record_show(
    advisory: Annotated[str, typer.Argument(help="Id of an advisory; `exowatch record list` shows them.")],
    as_json: AsJson = False,
) -> None:
    """The history of one advisory: what was said when, and why it changed."""
    with opened() as (database, _):
        found = history(database, advisory)
    if not found:
        raise InputError(f"there is no advisory '{advisory}'; `exowatch record list` shows them")
    if as_json:
        plain = [{key: value for key, value in asdict(one).items() if key != "said"} for one in found]
        typer.echo(json.dumps(plain))
        return
    for one in found:
        terminal.say(f"{one.at[:19]}Z  {one.kind}: {one.reason} ({one.state}); evaluation {one.evaluation_id}")
        if one.said is not None:
            terminal.say(f"    {one.said.headline}")


@record_app.command("feedback")
def record_feedback(as_json: AsJson = False) -> None:
    """For each version of each rule: how often its cards were shown, accepted and overridden, and with which reasons."""
    with opened() as (database, _):
        found = Responses(database).counts()
    if as_json:
        typer.echo(json.dumps(found))
        return
    terminal.table(
        ["rule", "version", "shown", "accepted", "overridden", "reasons"],
        [
            (
                one["rule"], one["version"][:12], str(one["shown"]), str(one["accepted"]), str(one["overridden"]),
                ", ".join(f"{reason} {count}" for reason, count in sorted(one["reasons"].items())),
            )
            for one in found
        ],
    )  # fmt: skip
    terminal.say(
        "A card without an answer is counted as shown and as nothing else." if found else "no card was shown yet"
    )


@record_app.command("export")
def record_export(
    patient: Annotated[str, typer.Argument(help="Whose: Patient/123.")],
    server: Server = None,
    out: Annotated[Path | None, typer.Option("--out", help="File to write; default: the terminal.")] = None,
) -> None:
    """Everything that is stored of a patient, as JSON."""
    with opened() as (database, settings):
        found = erasure.export(database, _who(database, settings, patient, server))
    text = json.dumps(found, ensure_ascii=False, indent=1)
    if out is None:
        typer.echo(text)
    else:
        out.write_text(text, encoding="utf-8")
        terminal.say(f"{out}: {len(text):,} characters")


@record_app.command("erase")
def record_erase(
    patient: Annotated[str, typer.Argument(help="Whose: Patient/123.")],
    server: Server = None,
    by: Annotated[str, typer.Option("--by", help="The role that asks for it; stands in the audit.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
) -> None:
    """Delete everything that is stored of a patient, for good. The audit still verifies and says that it was done."""
    if not by:
        raise InputError("say with --by which role asks for the erasure: it stands in the audit")
    with opened() as (database, settings):
        who = _who(database, settings, patient, server)
        if not yes:
            typer.confirm(f"Delete everything of {who.address} for good?", abort=True)
        terminal.say(f"{counted(erasure.erase(database, who, by), 'row')} deleted")


@record_app.command("expire")
def record_expire(
    before: Annotated[
        str, typer.Option("--before", help="Erase whom nobody has evaluated since this day: 2016-01-01.")
    ],
    by: Annotated[str, typer.Option("--by", help="The role that asks for it; stands in the audit.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
) -> None:
    """Delete, for good, everything of patients of whom nothing was evaluated since a day: for a rule of retention."""
    read = when(before)
    if read is None or read.day is None or read.time is not None:
        raise InputError(f"--before '{before}' is no day: write it as 2016-01-01")
    if not by:
        raise InputError("say with --by which role asks for the erasure: it stands in the audit")
    with opened() as (database, settings):
        found = erasure.unseen_since(database, settings.tenant, read.day)
        if found and not yes:
            typer.confirm(f"Delete everything of {counted(len(found), 'patient')} for good?", abort=True)
        rows = 0
        with terminal.progress("patients", len(found)) as step:
            for who in found:
                rows += erasure.erase(database, who, by)
                step()
        terminal.say(f"deleted: {counted(len(found), 'patient')}, {counted(rows, 'row')}")


@record_app.command("merge")
def record_merge(
    kept: Annotated[str, typer.Argument(help="The id that stays: Patient/123.")],
    gone: Annotated[str, typer.Argument(help="The id that was replaced: Patient/456.")],
    server: Server = None,
    by: Annotated[str, typer.Option("--by", help="The role that says so; stands in the audit.")] = "",
) -> None:
    """Two ids are one patient: from now on both have one history."""
    if not by:
        raise InputError("say with --by which role says that they are one: it stands in the audit")
    with opened() as (database, settings):
        survivor, other = (_who(database, settings, one, server) for one in (kept, gone))
        erasure.merge(database, survivor, other, by)
        terminal.say(f"{gone} is {kept}")


def export(
    out: Annotated[Path, typer.Argument(help="File to write: one FHIR R4 resource a line.")],
    patient: Annotated[str, typer.Option(help="Only this patient: Patient/123.")] = "",
    server: Server = None,
) -> None:
    """Write the record as FHIR R4: advisories, evaluations with their cards, provenance, rules, and the audit."""
    from cds.service.fhir import FhirEndpoint

    with opened() as (database, settings):
        endpoint = FhirEndpoint(settings, reasoner_of(None).rulebook, database, "/fhir")
        encoder = msgspec.json.Encoder(order="deterministic", decimal_format="number")
        counted: Counter[str] = Counter()
        who = _who(database, settings, patient, server) if patient else None
        with out.open("wb") as file:
            for resource in chain(endpoint.everything(who), endpoint.audit(who)):
                file.write(encoder.encode(resource) + b"\n")
                counted[resource["resourceType"]] += 1
    terminal.say(f"{out}: " + ", ".join(f"{count:,} {kind}" for kind, count in sorted(counted.items())))


def replay(
    evaluation: Annotated[str, typer.Argument(help="Id of an evaluation, or how it begins.")],
    rules: Annotated[Path | None, typer.Option("--rules", help="Another rule book: what would it have said?")] = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate a recorded evaluation's inputs again; exit code 1 for a difference that no version accounts for."""
    from cds.record.replay import replay as again

    with opened() as (database, _):
        found = again(database, reasoner_of(rules), evaluation)
    if as_json:
        typer.echo(json.dumps(asdict(found)))
    else:
        terminal.say(f"evaluation {found.evaluation_id}, as of {found.as_of}")
        for name, (then, now) in found.states.items():
            terminal.say(f"  {name}: {then or 'not asked'}" + (f" → {now or 'not asked'}" if now != then else ""))
        for other in found.other:
            terminal.say(f"another version: {other}")
        for difference in found.differences:
            terminal.say(f"differs: {difference}")
        terminal.say("the same findings, byte for byte" if found.same else "other findings")
    raise typer.Exit(0 if found.explained else 1)
