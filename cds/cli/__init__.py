"""The command `exowatch`: each command is a few lines over the stage that does the work.

Exit codes: 0 done; 1 done, and something failed that was to be checked (rule tests, doctor); 2 the call or its input is wrong.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from cds.calendar import live_in
from cds.cli import accounts, bulk, labs, patients, record, rules, screening, service, trials
from cds.errors import ExowatchError, RuleBookError
from cds.settings import PREFIX, SettingsError

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
    """Entry point: errors made on purpose become one message on stderr and exit code 2."""
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
