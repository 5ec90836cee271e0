"""The commands about results that arrive: take files, and say whose results are that nobody knows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from cds import terminal
from cds.cli.options import AsJson, RulesDir, reasoner_of, rules_folder
from cds.cli.record import opened
from cds.counting import counted
from cds.errors import InputError
from cds.record.identity import NoSuchPatient, identified
from cds.record.queue import Queue, Waiting
from cds.service.pages.words import WHY
from cds.settings import Settings

Files = Annotated[list[Path], typer.Argument(help="HL7 v2 messages or tables (CSV), as the laboratory sends them.")]
OfLaboratory = Annotated[str, typer.Option("--laboratory", help="Whose files they are; of messages, MSH-4 says it.")]
Out = Annotated[
    Path | None, typer.Option("--out", help="File for the FHIR resources that were mapped, one a line; of a dry run.")
]
By = Annotated[str, typer.Option("--by", help="Who says so: a role or a pseudonym, never a name.")]
Patient = Annotated[str, typer.Argument(help="The patient: https://ehr.example/fhir/Patient/123, or Patient/123.")]


def take(
    files: Files,
    laboratory: OfLaboratory = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be stored and what refused; record nothing.")
    ] = False,
    out: Out = None,
    rules: RulesDir = None,
    as_json: AsJson = False,
) -> None:
    """Take files into the record and evaluate the patients; exit code 1 if a result was refused, has a fault, or waits.

    The same file again changes nothing.
    """
    from cds.cli.labs import of_no_use, result_table, show

    if dry_run:
        raise typer.Exit(show(files, laboratory, out, rules, as_json=as_json))
    if out is not None:
        raise InputError(
            "--out is for the resources of a dry run: add --dry-run; `exowatch record export` has those of a patient"
        )
    from cds.intake.interfaces import load_interfaces
    from cds.reasoning.loading import shipped_rules
    from cds.record.recorder import Recorder
    from cds.service.desk import Desk
    from cds.service.follower import Follower
    from cds.service.reception import Reception, Report

    folder = rules_folder(rules) or shipped_rules()
    reasoner = reasoner_of(rules)
    with opened() as (database, settings):
        recorder = Recorder(database, reasoner.rulebook)
        catalogue = reasoner.rulebook.catalogue
        interfaces = load_interfaces(folder, catalogue.declarations)
        reception = Reception(recorder.arrivals, interfaces, catalogue, settings.tenant, _now)
        reports: dict[str, Report] = {}
        with terminal.progress("taking", None) as step:
            for path in files:
                try:
                    reports[str(path)] = reception.file(path.read_bytes(), path.name, laboratory, step)
                except InputError as error:
                    raise InputError(f"{path}: {error}. Nothing of this file is stored") from error
        recorder.queue.match()
        patients = Follower(Desk(settings, reasoner, _now, recorder), recorder.arrivals).settle()
    refused = [(file, one) for file, report in reports.items() for one in report.refused]
    unreadable = [(file, one) for file, report in reports.items() for one in report.unreadable]
    waiting = sum(sum(one.kept.waiting.values()) for one in reports.values())
    told = {
        "counted": sum(one.counted for one in reports.values()),
        "mapped": sum(one.mapped for one in reports.values()),
        "stored": sum(one.kept.stored for one in reports.values()),
        "known": sum(one.kept.known for one in reports.values()),
        "waiting": waiting,
        "aside": sum(one.kept.aside for one in reports.values()),
        "evaluated": patients,
    }
    if as_json:
        found = [{"file": file, "where": one.where, "what": one.what, "reason": one.reason, "hint": one.hint,
                  "foreign": one.foreign} for file, one in refused]  # fmt: skip
        faulty = [{"file": file, "where": one.where, "what": one.what, "reason": one.reason, "hint": one.hint}
                  for file, one in unreadable]  # fmt: skip
        typer.echo(json.dumps({**told, "refused": found, "unreadable": faulty}))
    else:
        result_table([(file, one) for file, one in refused if not one.foreign], "refused")
        result_table(unreadable, "stored, but of no use")
        foreign = sum(one.foreign for _, one in refused)
        terminal.say(
            f"{counted(told['counted'], 'result')}: {told['mapped']:,} mapped, {told['counted'] - told['mapped']:,} refused"
            + (f" ({foreign:,} of them are of no marker)" if foreign else "")
            + of_no_use(unreadable)
        )
        terminal.say(
            f"Observations: {told['stored']:,} stored, {told['known']:,} known before, {waiting:,} waiting"
            + (f", {told['aside']:,} set aside before" if told["aside"] else "")
            + f"; {counted(patients, 'patient')} evaluated"
        )
        if waiting:
            terminal.say("Nobody knows whose those are that wait: `exowatch labs queue` shows them")
    raise typer.Exit(1 if waiting or unreadable or any(not one.foreign for _, one in refused) else 0)


def queue(
    key: Annotated[str, typer.Argument(metavar="[ID]", help="Show what these results are.")] = "",
    as_json: AsJson = False,
) -> None:
    """List results of which nobody knows whose they are, and why; exit code 1 if there are any."""
    with _queue() as (waits, settings):
        if key:
            one, resources = waits.content(settings.tenant, key)
            typer.echo(json.dumps({**_plain(one), "resources": resources}, default=str, indent=None if as_json else 2))
            return
        waiting = waits.waiting(settings.tenant)
    if as_json:
        typer.echo(json.dumps([_plain(one) for one in waiting]))
    elif waiting:
        terminal.table(
            ["id", "since", "laboratory", "results", "waits because", "identifiers", "born"],
            [
                (one.id, one.at[:16].replace("T", " "), one.laboratory, str(one.results), WHY[one.waits],
                 terminal.as_it_is(_identifiers(one)), terminal.as_it_is(one.owner.born or "not stated"))
                for one in waiting
            ],
        )  # fmt: skip
        terminal.say(
            "`exowatch labs assign ID PATIENT --by ROLE` says whose they are; `labs set-aside ID` that they are nobody's here"
        )
    else:
        terminal.say("nothing waits")
    raise typer.Exit(1 if waiting else 0)


def assign(
    key: Annotated[str, typer.Argument(metavar="ID", help="Which results, as `labs queue` shows it.")],
    patient: Patient,
    by: By,
    new: Annotated[bool, typer.Option("--new", help="The record does not know this patient yet.")] = False,
) -> None:
    """Say whose results are; those given to a wrong patient move, and what was said on them there is withdrawn.

    The patients are evaluated by the service, or when their charts are opened.
    """
    with _queue() as (waits, settings):
        with waits.database.reading() as connection:
            try:
                who = identified(connection, settings.tenant, patient, new=new)
            except NoSuchPatient as error:
                raise NoSuchPatient(f"{error}. If that is right and they are new here, add --new") from None
        due = waits.assign(settings.tenant, key, who, by)
    terminal.say(f"given to {who.address}; an evaluation is due of {', '.join(one.address for one in due)}")


def set_aside(
    key: Annotated[str, typer.Argument(metavar="ID", help="Which results, as `labs queue` shows it.")], by: By
) -> None:
    """Say that results are nobody's here: what they say is deleted, and sent again they stay away."""
    with _queue() as (waits, settings):
        waits.set_aside(settings.tenant, key, by)
    terminal.say(f"{key} is set aside; its content is deleted")


def desk(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 chooses a free one.")] = 0,
) -> None:
    """Show the queue as pages in a browser on this machine, until interrupted."""
    from cds.service.server import run_pages

    with _queue() as (waits, settings):
        run_pages(waits, settings.tenant, port=port, say=lambda address: terminal.say(f"Open {address}"))


def _identifiers(one: Waiting) -> str:
    named = [f"{value} ({system or 'of no authority'})" for system, value in one.owner.identifiers]
    return ", ".join(named) or one.owner.reference or "none"


def _plain(one: Waiting) -> dict[str, object]:
    return asdict(one)


@contextmanager
def _queue() -> Iterator[tuple[Queue, Settings]]:
    with opened() as (database, settings):
        yield Queue(database), settings


def _now() -> datetime:
    return datetime.now(UTC)
