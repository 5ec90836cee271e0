"""The command about whole populations: evaluate an export of FHIR Bulk Data."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from cds import terminal
from cds.cli.options import AsJson, RulesDir, rulebook_of
from cds.counting import counted
from cds.errors import InputError
from cds.reasoning.rulebook import RuleBook
from cds.settings import load_settings

if TYPE_CHECKING:
    from cds.screening.crew import Crew, Processes
    from cds.screening.summary import Summary


def screen(
    export: Annotated[Path, typer.Argument(help="Folder with an export: NDJSON files, plain or gzip.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the findings; the same one to go on with a run.")],
    workers: Annotated[
        int | None, typer.Option(min=1, max=256, help="Processes of this machine; default: one for each core.")
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler, tcp://host:8786, whose workers see both folders.")
    ] = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="Day or instant of the evaluation; default: now.")
    ] = None,
    since: Annotated[str, typer.Option(help="Only patients of whom something was updated since this instant.")] = "",
    record: Annotated[
        str,
        typer.Option(
            metavar="BASE",
            help="Record the findings as advice, as of now, of patients of the FHIR server with this base URL.",
        ),
    ] = "",
    accept_gaps: Annotated[
        bool,
        typer.Option("--accept-gaps", help="With --record: record also what comes of an export that is not whole."),
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin anew, and delete what a run left in --out.")
    ] = False,
    rules: RulesDir = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate every patient of a FHIR Bulk Data export, with the rules and the results of the service.

    Exit code 1 if a line could not be used or a patient could not be evaluated: see the files in --out. Interrupted, the same
    command goes on where it stopped.
    """
    try:
        from cds.screening.crew import Processes
        from cds.screening.outputs import PAGE, SUMMARY
        from cds.screening.plan import Asked
        from cds.screening.recording import destination
        from cds.screening.run import screen as run
    except ModuleNotFoundError as error:
        raise InputError(
            f"`exowatch screen` needs {error.name}, which is not installed: pip install 'exowatch[screening]'"
        ) from None
    if cluster is not None and workers is not None:
        raise InputError("--workers are processes of this machine, --cluster is other machines: name one of the two")
    if record and as_of is not None:
        raise InputError(
            "--record writes what is found now; what was to be found on another day is no advice: leave --as-of out"
        )
    to = destination(record) if record else None
    asked = Asked(export, out, _book(rules), as_of, since, to, restart, accept_gaps)
    before = (out / SUMMARY).exists() and not restart
    os.umask(0o077)  # what is written holds whole records
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a service manager's stop is one like Ctrl-C
    try:
        with (
            Processes(workers or len(os.sched_getaffinity(0))) as here,
            _crew(here, cluster) as crew,
            ExitStack() as bars,
        ):
            found = run(asked, crew, _Bars(bars), recorders=here)
    except KeyboardInterrupt:
        terminal.say(f"Stopped. What is finished stays in {out}: the same command goes on", error=True)
        raise typer.Exit(130) from None
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
    else:
        if before:
            terminal.say(
                f"This run, as of {found.plan.as_of}, was finished before, and nothing was done; --restart begins it anew."
            )
        _say(found, out / PAGE, asked.book)
    raise typer.Exit(0 if found.is_whole else 1)


def _book(rules: Path | None) -> RuleBook:
    """The rules of the call, else those of the service: the release in use, if it has any."""
    settings = load_settings()
    if rules is None and settings.releases_dir is not None and settings.release_keys is not None:
        from cds.reasoning.releases import read_current  # it brings the library of signatures, which few commands need

        return read_current(settings.releases_dir, settings.release_keys).book
    return rulebook_of(rules)


@contextmanager
def _crew(here: Processes, cluster: str | None) -> Iterator[Crew]:
    if cluster is None:
        yield here
        return
    from cds.screening.cluster import Cluster

    with Cluster(cluster) as crew:
        yield crew


class _Bars:
    """Shows how far a run is, a bar for each stage."""

    def __init__(self, bars: ExitStack):
        self._bars = bars

    def begins(self, what: str, of: int) -> None:
        self._bars.close()
        self._meter = self._bars.enter_context(terminal.meter(what, max(1, of)))
        self._patients, self._began = 0, time.monotonic()

    def done(self, much: int, patients: int = 0) -> None:
        self._patients += patients
        rate = self._patients / max(0.001, time.monotonic() - self._began)
        self._meter(much, f"{counted(self._patients, 'patient')}, {rate:,.0f} a second" if self._patients else "")


def _say(found: Summary, page: Path, book: RuleBook) -> None:
    from cds.screening.summary import flagged

    say = terminal.say
    say(
        f"{counted(found.patients, 'patient')} as of {found.plan.as_of}, from {counted(found.lines, 'line')} of {counted(found.files, 'file')}"
    )
    say(f"  {found.measured:,} have a result of a marker, {found.unmeasured:,} have none")
    if found.plan.since:
        say(f"  {found.unchanged:,} were not evaluated: nothing of them was updated since {found.plan.since}")
    if found.has_gaps:
        say("  The export is not whole: findings of ANY patient may be wrong, in either direction")
    for missing in found.missing:
        say(f"  missing: {missing}")
    if found.nameless:
        say(f"  of {found.nameless:,} of them the export has no Patient resource")
    if found.unread:
        say(
            f"  {found.unread:,} have something that may be a result, and could not be read: {page.parent}/not-used.ndjson"
        )
    if found.partly:
        say(
            f"  of {found.partly:,} with a result something else that may be one was not read: {page.parent}/not-used.ndjson"
        )
    if found.unjudged:
        say(
            f"  {found.unjudged:,} could not be evaluated, and nothing can be said of them: {page.parent}/unjudged.ndjson"
        )
    if found.refused:
        say(f"  {counted(found.refused, 'line')} could not be used: {page.parent}/quarantine.ndjson")
    for broken in found.broken:
        say(f"  {broken}")
    for error in found.errors:
        say(f"  the server could not export everything: see {error} of the export")
    if found.ignored:
        say(f"  not read, and may hold resources: {', '.join(found.ignored)}")
    if found.states:
        terminal.table(
            ["rule", "state", "patients"],
            [
                (rule, terminal.state_text(state), f"{count:,}")
                for rule, states in found.states.items()
                for state, count in states.items()
            ],
        )
        for state, count, old in flagged(found, book):
            if old:
                say(f"  {state}, shown: {count:,}; of {old:,} of them the newest sample is old")
    if found.unrecorded:
        say(f"  {found.unrecorded:,} could not be recorded: {page.parent}/unrecorded.ndjson")
    if found.plan.tenant:
        say(
            f"  the evaluations of {counted(found.recorded, 'patient')} stand in the record: `exowatch serve` shows them at /board"
        )
    say(f"  {page}")
