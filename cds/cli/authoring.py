"""The commands with which a rule author writes: lint, new rules, a site's overlay."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cds import terminal
from cds.cli.options import AsJson, rules_folder
from cds.layers import OVERLAY, rule_files, shipped_rules


class Format(StrEnum):
    """How problems are written."""

    TEXT = "text"
    GITHUB = "github"


def lint(
    places: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FOLDER|FILE]…", help="Rule books, overlays or single files; default: the rules in use."
        ),
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="github: annotations of a workflow.")] = Format.TEXT,
    as_json: AsJson = False,
) -> None:
    """Name every problem of rules, tests and all that they rest on; exit code 1 if there is an error or a warning."""
    from cds.workbench.authoring import report
    from cds.workbench.authoring.lint import lint as problems_of

    problems = problems_of(places or [rules_folder(None) or shipped_rules()], date.today())
    if as_json:
        typer.echo(report.as_json(problems))
    elif form is Format.GITHUB:
        if problems:
            typer.echo(report.as_github(problems))
    else:
        if problems:
            typer.echo(report.as_text(problems))
        typer.echo(report.summary(problems))
    raise typer.Exit(1 if any(one.mistake.severity != "advice" for one in problems) else 0)


def overlay(
    folder: Annotated[Path, typer.Argument(help="The site's folder; it is begun if it is none yet.")],
    accept: Annotated[
        bool, typer.Option("--accept", help="You have compared: what is shipped now is what the overlay is made for.")
    ] = False,
) -> None:
    """Say what a site's folder lays over the shipped rules; exit code 1 if a shipped file has changed under it."""
    from cds.workbench.authoring.overlay import accept as accept_shipped
    from cds.workbench.authoring.overlay import begin, laid

    if not (folder / OVERLAY).is_file():
        begin(folder, folder.resolve().name)
        accept_shipped(folder)
        typer.echo(f"{folder / OVERLAY} written. Next step: put rules, markers, laboratories or wording beside it;")
        typer.echo(f"exowatch rules new {folder} writes a rule. To use it: EXOWATCH_RULES_DIR={folder}")
        return
    if accept:
        typer.echo(f"accepted: {accept_shipped(folder)} shipped file(s), as they are now")
    found = laid(rule_files(folder))
    terminal.table(
        ["file", "", ""],
        [
            (
                terminal.as_it_is(one.name),
                terminal.as_it_is(f"over the shipped one: {', '.join(one.keys)}" if one.keys else "added"),
                one.doubt,
            )
            for one in found
        ],
    )
    raise typer.Exit(1 if any(one.doubt for one in found) else 0)
