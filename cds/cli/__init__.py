"""The command `exowatch`: each command is a few lines over the stage that does the work.

Exit codes: 0 done; 1 done, and something failed that was to be checked (rule tests, doctor); 2 the call or its input is wrong;
70 a fault of the program itself, whatever was being done.
"""

from __future__ import annotations

import os
import sys
import traceback
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from cds.calendar import live_in
from cds.cli import accounts, bulk, labs, patients, record, rules, screening, service, trials
from cds.errors import ExowatchError, RuleBookError
from cds.settings import PREFIX, SettingsError

FAULT = os.EX_SOFTWARE

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Advisory decision support for exosomal markers of suspected acquired drug resistance in breast cancer.",
)
for command in (
    patients.evaluate, patients.explain, patients.draw, record.replay, record.export, rules.evidence, trials.synth, trials.backtest,
    screening.screen, service.serve, service.demo, service.conform, service.doctor,
):  # fmt: skip
    app.command()(command)
app.add_typer(rules.rules_app, name="rules")
app.add_typer(labs.labs_app, name="labs")
app.add_typer(record.db_app, name="db")
app.add_typer(record.audit_app, name="audit")
app.add_typer(record.record_app, name="record")
app.add_typer(accounts.accounts_app, name="accounts")
app.add_typer(bulk.bulk_app, name="bulk")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"exowatch {version('exowatch')}")
        raise typer.Exit


@app.callback()
def _main(show: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False) -> None:
    """Options of the command itself."""
    try:
        live_in(os.environ.get(f"{PREFIX}TIME_ZONE", ""))
    except ValueError as error:
        raise SettingsError(f"{PREFIX}TIME_ZONE: {error}") from None


def main() -> None:
    """Entry point: errors made on purpose become one message on stderr and exit code 2, all others one and `FAULT`."""
    try:
        app()
    except RuleBookError as error:
        typer.echo(str(error), err=True)
        typer.echo(f"{len(error.problems)} problem(s) in the rules; nothing was evaluated", err=True)
        raise SystemExit(2) from None
    except ExowatchError as error:
        typer.echo(str(error), err=True)
        raise SystemExit(2) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read has read enough
        raise SystemExit(0) from None
    except OSError as error:
        typer.echo(f"{error.filename or 'a file'}: {error.strerror or error}. Name one that can be used so", err=True)
        raise SystemExit(2) from None
    except Exception as error:
        typer.echo(_fault(error), err=True)
        raise SystemExit(FAULT) from None


def _fault(error: BaseException) -> str:
    """What is said of an error that nobody made on purpose. Its text is left out, for it may hold data of a record."""
    here = Path(__file__).parents[1]
    frames = [(Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    path, line = next(((path, line) for path, line in reversed(frames) if here in path.parents), frames[-1])
    module = path.name
    if here in path.parents:
        module = ".".join(path.relative_to(here.parent).with_suffix("").parts).removesuffix(".__init__")
    said = (
        f"This is a fault of Exowatch itself: {type(error).__name__} at {module}:{line}. "
        "What was begun may not be finished; please report this line"
    )
    if os.environ.get(f"{PREFIX}LOG_LEVEL") != "DEBUG":
        return f"{said}. {PREFIX}LOG_LEVEL=DEBUG shows the way to it"
    return f"{said}\n{_way_to(error)}"


def _way_to(error: BaseException) -> str:
    """The traceback of an error and of those that led to it, by their names alone."""
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    way = "".join(traceback.format_tb(error.__traceback__)) + type(error).__name__
    return f"{_way_to(before)}\n\n{way}" if before is not None else way
