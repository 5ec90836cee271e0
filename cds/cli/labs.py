"""The commands about laboratories: what becomes of what they send."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import typer

from cds import terminal
from cds.cli import arrivals
from cds.cli.options import AsJson, RulesDir, rulebook_of, rules_folder
from cds.counting import counted
from cds.errors import InputError
from cds.intake.delivery import Refused
from cds.intake.files import received
from cds.intake.interfaces import load_interfaces
from cds.intake.legible import Line, lines
from cds.reasoning.loading import shipped_rules

labs_app = typer.Typer(no_args_is_help=True, help="Laboratories: what becomes of what they send.")
labs_app.command("take")(arrivals.take)
labs_app.command("queue")(arrivals.queue)
labs_app.command("desk")(arrivals.desk)
labs_app.command("assign")(arrivals.assign)
labs_app.command("set-aside")(arrivals.set_aside)


@labs_app.command("map")
def labs_map(
    files: arrivals.Files,
    laboratory: arrivals.OfLaboratory = "",
    out: arrivals.Out = None,
    rules: RulesDir = None,
    as_json: AsJson = False,
) -> None:
    """Like `take --dry-run`: show what becomes of a laboratory's files, and record nothing.

    Exit code 1 if any result was refused or has a fault.
    """
    raise typer.Exit(show(files, laboratory, out, rules, as_json=as_json))


def show(files: Sequence[Path], laboratory: str, out: Path | None, rules: Path | None, *, as_json: bool) -> int:
    """Tell what becomes of files, and the exit code."""
    folder = rules_folder(rules) or shipped_rules()
    catalogue = rulebook_of(rules).catalogue
    interfaces = load_interfaces(folder, catalogue.declarations)
    refused: list[tuple[str, Refused]] = []
    unreadable: list[tuple[str, Refused]] = []
    resources: list[dict[str, Any]] = []
    total = mapped = 0
    with terminal.progress("mapping", len(files)) as step:
        for path in files:
            try:
                found = received(path.read_bytes(), path.name, interfaces, catalogue, datetime.now(UTC), laboratory)
            except InputError as error:
                raise InputError(f"{path}: {error}") from error
            total, mapped = total + found.counted, mapped + found.mapped
            refused += [(str(path), one) for one in found.refused]
            unreadable += [(str(path), one) for one in found.unreadable]
            resources += found.resources
            step()
    if out is not None:
        out.write_bytes(b"".join(_ENCODER.encode(one) + b"\n" for one in resources))
    if as_json:
        told = {
            "counted": total, "mapped": mapped, "resources": resources,
            "refused": [{"file": file, **msgspec.structs.asdict(one)} for file, one in refused],
            "unreadable": [
                {"file": file, "where": one.where, "what": one.what, "reason": one.reason, "hint": one.hint}
                for file, one in unreadable
            ],
        }  # fmt: skip
        typer.echo(_ENCODER.encode(told).decode())
    else:
        _mapped_table(lines(resources))
        result_table(refused, "refused")
        result_table(unreadable, "mapped, but of no use")
        terminal.say(
            f"{counted(total, 'result')}: {mapped:,} mapped, {total - mapped:,} refused{of_no_use(unreadable)}"
        )
    return 1 if refused or unreadable else 0


@labs_app.command("test")
def labs_test(rules: RulesDir = None, as_json: AsJson = False) -> None:
    """Run the tests beside the laboratories' files; exit code 1 if one fails."""
    from cds.workbench.labtests import load_lab_tests, run_lab_tests

    folder = rules_folder(rules) or shipped_rules()
    catalogue = rulebook_of(rules).catalogue
    interfaces = load_interfaces(folder, catalogue.declarations)
    tests = load_lab_tests(folder, interfaces)
    failures = [str(failure) for failure in run_lab_tests(tests, interfaces, catalogue) if failure is not None]
    if as_json:
        typer.echo(json.dumps({"cases": len(tests), "failures": failures}))
    else:
        for failure in failures:
            terminal.say(failure)
        typer.echo(f"{len(tests) - len(failures)} passed, {len(failures)} failed")
    raise typer.Exit(1 if failures or not tests else 0)


_ENCODER = msgspec.json.Encoder(decimal_format="number")
_MOST = 40
"""Mapped results that are shown; the others are counted."""


def _mapped_table(mapped: Sequence[Line]) -> None:
    if mapped:
        terminal.table(
            ["where", "what", "value", "status", "collected", "specimen", "patient"],
            [
                tuple(map(terminal.as_it_is, (
                    one.place, one.what, one.value, one.status, one.collected or "not stated", one.specimen, one.patient,
                )))
                for one in mapped[:_MOST]
            ],
        )  # fmt: skip
    if len(mapped) > _MOST:
        terminal.say(f"and {len(mapped) - _MOST:,} more: --json and --out have all of them")


def result_table(results: Sequence[tuple[str, Refused]], fate: str) -> None:
    """Print results that were refused or have a fault, file by file: their `fate`, and its reason."""
    if results:
        terminal.table(
            ["file", "where", "what", "why", "next"],
            [
                tuple(map(terminal.as_it_is, (Path(file).name, one.where, one.what, f"{fate}: {one.reason}", one.hint)))
                for file, one in results
            ],
        )


def of_no_use(unreadable: Sequence[tuple[str, Refused]]) -> str:
    """How many of the mapped results have a fault, for the end of a summary."""
    count = len({(file, one.where) for file, one in unreadable})
    return f"; {count:,} of the mapped are of no use as they were sent" if count else ""
