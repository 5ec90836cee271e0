"""The commands by which a rule book is published, put into use, and taken back."""

from __future__ import annotations

import getpass
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer

from cds import terminal
from cds.cli.options import AsJson, RulesDir, not_asked, rules_folder
from cds.counting import counted

Shelf = Annotated[Path, typer.Option("--to", "--in", help="The folder of releases.")]
By = Annotated[str, typer.Option(help="Who does it; default: the name of this login.")]


def new_key(path: Annotated[Path, typer.Argument(help="File for the private key, such as release-key.json.")]) -> None:
    """Make a key that signs releases; the public half stands beside it, for services."""
    from cds.reasoning import releases

    public = releases.new_key(path)
    terminal.say(f"{path}: keep it where only who publishes can read it")
    terminal.say(f"{public}: name it to services as EXOWATCH_RELEASE_KEYS")


def publish(
    to: Shelf,
    version: Annotated[str, typer.Option(help="Its name, such as 2026.12.1.")],
    changes: Annotated[str, typer.Option(help="What changes, for who reads the new version.")],
    key: Annotated[Path, typer.Option(help="The private key; `exowatch rules new-key` makes one.")],
    rules: RulesDir = None,
    by: By = "",
    hold: Annotated[bool, typer.Option("--hold", help="Put it on the shelf, and not into use.")] = False,
) -> None:
    """Check a rule book, sign it, and put it into use: services that watch the folder take it over without a restart."""
    from cds.layers import rule_files, shipped_rules
    from cds.reasoning.releases import put_into_use
    from cds.workbench.authoring.report import as_text
    from cds.workbench.publishing import objections
    from cds.workbench.publishing import publish as made_public

    files, now = rule_files(rules_folder(rules) or shipped_rules()), datetime.now(UTC).isoformat(timespec="seconds")
    found = objections(files, date.today(), key=key)
    for name in found.resting:
        terminal.say(not_asked(name))
    if found:
        if found.problems:
            terminal.say(as_text(found.problems))
        for failure in found.failures:
            terminal.say(str(failure))
        for rule in found.untested:
            terminal.say(f"{rule}: no test stands beside it; `exowatch rules boundaries {rule}` writes the first")
        if found.fault:
            terminal.say(found.fault)
        if found.unsigned:
            terminal.say(found.unsigned)
        typer.echo("not published")
        raise typer.Exit(1)
    who = by or getpass.getuser()
    release = made_public(files, to, key, version=version, made=now, by=who, changes=changes)
    typer.echo(f"published {release.version}, rule book {release.rulebook[:12]}, signed by {release.key[:12]}")
    if not hold:
        put_into_use(to, release.version, by=who, at=now)
        typer.echo(f"in use: {release.version}" + (f", before it {release.previous}" if release.previous else ""))


def use(
    version: Annotated[str, typer.Argument(help="A version on the shelf, newer or older.")],
    to: Shelf,
    by: By = "",
    keys: Annotated[
        Path | None,
        typer.Option(
            help="Public keys: it must be signed by one of them; default: EXOWATCH_RELEASE_KEYS, else by anybody."
        ),
    ] = None,
) -> None:
    """Put a published version into use: the way back is the same as the way on. One that was altered is refused."""
    from cds.reasoning.releases import current, put_into_use, read_keys, read_release
    from cds.settings import load_settings

    known = keys or load_settings().release_keys
    before = current(to)
    read_release(to, version, read_keys(known) if known is not None else None)
    put_into_use(to, version, by=by or getpass.getuser(), at=datetime.now(UTC).isoformat(timespec="seconds"))
    typer.echo(f"in use: {version}" + (f", before it {before}" if before else ""))


def releases(to: Shelf, keys: Annotated[Path | None, typer.Option(help="Public keys: each version is verified.")] = None,
             as_json: AsJson = False) -> None:  # fmt: skip
    """List the published versions, which is in use, and whether each is as it was signed; exit code 1 if one is not."""
    from cds.reasoning.releases import ReleaseError, current, read_keys, read_release, versions

    known, used = read_keys(keys) if keys is not None else None, current(to)
    rows: list[dict[str, str]] = []
    for version in versions(to):
        stated = json.loads((to / version / "release.json").read_text("utf-8"))
        state = "not verified"
        if known is not None:
            try:
                read_release(to, version, known)
                state = "as signed"
            except ReleaseError as error:
                state = str(error)
        rows.append(
            {
                "version": version, "in use": "yes" if version == used else "", "made": str(stated["made"]), "by": str(stated["by"]),
                "rule book": str(stated["rulebook"])[:12], "signature": state, "changes": str(stated["changes"]),
            }
        )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False))
    elif rows:
        terminal.table(list(rows[0]), [list(row.values()) for row in rows])
    else:
        terminal.say(f"{to} holds no release")
    raise typer.Exit(1 if any(row["signature"] not in ("as signed", "not verified") for row in rows) else 0)


def docs(
    out: Annotated[Path, typer.Option("--out", help="Folder for the pages.")],
    rules: RulesDir = None,
) -> None:
    """Write the rule book as pages that a clinician can check: rules in sentences, markers, gates, evidence, codes of lint."""
    from cds.errors import InputError
    from cds.publish.site.site import Site
    from cds.reasoning.loading import load_rulebook
    from cds.settings import load_settings

    book = load_rulebook(rules_folder(rules))
    site = Site(book, load_settings().about())
    drafts = [rule for rule in load_rulebook(rules_folder(rules), drafts=True).rules if rule.name in book.resting]
    try:
        count = site.write(out)
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror}. Name another folder") from error
    left_out = f"; {counted(len(drafts), 'draft')} left out" if drafts else ""
    typer.echo(f"{counted(count, 'page')}{left_out}; open {out / 'index.html'}")
