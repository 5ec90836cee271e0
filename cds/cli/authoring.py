"""The commands with which a rule author writes: lint, new rules, a site's overlay."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cds.cli.options import AsJson, rules_folder
from cds.layers import shipped_rules


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
