"""The command `exowatch`: each command is a few lines over the stage that does the work.

Exit codes: 0 done; 1 done, and something failed that was to be checked (rule tests, doctor); 2 the call or its input is wrong;
70 a fault of the program itself, whatever was being done.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections import ChainMap
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

from cds.calendar import live_in
from cds.counting import counted
from cds.errors import ExowatchError, RuleBookError
from cds.settings import PREFIX, SettingsError

FAULT = os.EX_SOFTWARE

_HOMES = {
    "evaluate": "patients", "explain": "patients", "draw": "patients", "replay": "record", "export": "record",
    "evidence": "rules", "synth": "trials", "backtest": "trials", "screen": "screening", "serve": "service", "demo": "service",
    "conform": "service", "doctor": "service", "rules": "rules:rules_app", "labs": "labs:labs_app", "db": "record:db_app",
    "audit": "record:audit_app", "record": "record:record_app", "accounts": "accounts:accounts_app", "bulk": "bulk:bulk_app",
}  # fmt: skip
"""Where each command is, in the order of the help: in a module of this package, under its own name or under another."""


class _Commands(Mapping[str, Any]):
    """The commands. The module of one is imported when that is called, or listed: one call needs few of the libraries of all."""

    def __init__(self) -> None:
        self._found: dict[str, Any] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(_HOMES)

    def __len__(self) -> int:
        return len(_HOMES)

    def __contains__(self, command: object) -> bool:
        return command in _HOMES  # `Mapping` would take any KeyError while a module is imported for a no

    def __getitem__(self, command: str) -> Any:
        if command not in self._found:
            self._found[command] = self._made(command)
        return self._found[command]

    @staticmethod
    def _made(command: str) -> Any:
        module, _, name = _HOMES[command].partition(":")
        found = getattr(import_module(f"{__name__}.{module}"), name or command)
        alone = typer.Typer(add_completion=False)
        if isinstance(found, typer.Typer):
            alone.add_typer(found, name=command)
        else:
            alone.command(command)(found)
        return get_group(alone).commands[command]


class _Exowatch(TyperGroup):
    def __init__(self, **settings: Any):
        super().__init__(**settings)
        self.commands = ChainMap(dict(self.commands), _Commands())  # type: ignore[arg-type]  # only the first is written to


app = typer.Typer(
    cls=_Exowatch,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Advisory decision support for exosomal markers of suspected acquired drug resistance in breast cancer.",
)


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
        typer.echo(f"{counted(len(error.problems), 'problem')} in the rules; nothing was evaluated", err=True)
        raise SystemExit(2) from None
    except ExowatchError as error:
        typer.echo(str(error), err=True)
        raise SystemExit(2) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read has read enough
        raise SystemExit(0) from None
    except OSError as error:
        if error.errno == errno.ENOSPC:
            typer.echo("No room is left on the disk. Make some, and give the same command again", err=True)
            raise SystemExit(2) from None
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
