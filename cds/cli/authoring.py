"""The commands with which a rule author writes: lint, new rules, a site's overlay."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cds import terminal
from cds.cli.options import AsJson, reasoner_of, rules_folder
from cds.counting import counted
from cds.layers import OVERLAY, rule_files, shipped_rules
from cds.reasoning.loading import load_rulebook


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
    explain: Annotated[str, typer.Option(metavar="CODE", help="Only show the page of a code.")] = "",
) -> None:
    """Name every problem of rules, tests and all that they rest on; exit code 1 if there is an error or a warning."""
    from cds.workbench.authoring import report
    from cds.workbench.authoring.lint import lint as problems_of

    if explain:
        terminal.say(report.explained(explain.upper()).rstrip())
        return
    problems = problems_of(places or [rules_folder(None) or shipped_rules()], date.today())
    if as_json:
        typer.echo(report.as_json(problems))
    elif form is Format.GITHUB:
        if problems:
            typer.echo(report.as_github(problems))
    else:
        if problems:
            terminal.say_marked(report.as_markup(problems))
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
        typer.echo(f"accepted: {counted(accept_shipped(folder), 'shipped file')}, as of now")
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


def new(
    folder: Annotated[Path, typer.Argument(help="The site's overlay, begun if there is none, or a rule book.")],
    given: Annotated[
        list[str] | None, typer.Option("--with", metavar="QUESTION=ANSWER", help="An answer, so that it is not asked.")
    ] = None,
    list_questions: Annotated[bool, typer.Option("--questions", help="Only list what is asked.")] = False,
) -> None:
    """Ask what a rule needs, and write it with its tests as a draft; a marker and a study that are new, too."""
    from cds.workbench.authoring.lint import lint as problems_of
    from cds.workbench.authoring.new_rule import write_rule
    from cds.workbench.authoring.questions import QUESTIONS, Question, answered, without_outdated
    from cds.workbench.authoring.report import as_text
    from cds.workbench.proving.reading import load_tests
    from cds.workbench.proving.running import run

    if list_questions:
        terminal.table(["question", ""], [(one.key, terminal.as_it_is(one.text)) for one in QUESTIONS])
        return

    stated = dict(one.partition("=")[::2] for one in given or ())
    said = dict(stated)  # what has been answered, for who has to leave in the midst of it

    def ask(question: Question, proposed: str, wrong: str) -> str:
        if wrong:
            terminal.say(f"  {wrong}")
            said.pop(question.key, None)
        try:
            said[question.key] = str(typer.prompt(question.text, default=proposed or None)).strip()
        except typer.Abort:
            _left(folder, said)
            raise
        return said[question.key]

    there = (folder / OVERLAY).is_file() or (folder / "states.yaml").is_file()
    book = load_rulebook(folder if there else None, drafts=True)
    answers = answered(stated, book, ask if sys.stdin.isatty() else None)
    while sys.stdin.isatty() and (number := _confirmed(folder, answers)):
        before, changed = answers, list(answers)[number - 1]
        answers = answered({key: answer for key, answer in before.items() if key != changed}, book, ask)
        answers = answered(without_outdated(before, answers, book), book, ask)
    written = write_rule(folder, answers, book, date.today())
    for path in written:
        terminal.say(f"written: {path}")
    problems = problems_of(written, date.today())
    if problems:
        terminal.say(as_text(problems))
    reasoner = reasoner_of(folder, drafts=True)
    tests = [test for test in load_tests(folder, reasoner.rulebook) if test.rule == answers["name"]]
    failures = run(tests, reasoner)
    for failure in failures:
        terminal.say(str(failure))
    terminal.say(
        f"{len(tests) - len(failures)} of {len(tests)} tests pass; {counted(len(problems), 'problem')}. The rule is a draft: nobody is shown it."
    )
    terminal.say(f"Next step: read it, add cases of your own, then: exowatch rules test --rules {folder}")
    if answers["marker"] not in book.catalogue.markers:
        terminal.say(
            f"For real results: write {folder / 'labs' / 'LABORATORY.yaml'} (docs/laboratories.md), which says how your laboratory "
            f"measures {answers['marker']}. Without it the method is unknown, and every real result is not-evaluable."
        )
    raise typer.Exit(1 if problems or failures else 0)


def _left(folder: Path, answers: Mapping[str, str]) -> None:
    """Tell who leaves how to go on."""
    given = " ".join(f"--with {shlex.quote(f'{key}={answer}')}" for key, answer in answers.items())
    typer.echo(f"\nNothing is written. This goes on: exowatch rules new {shlex.quote(str(folder))} {given}")


def _confirmed(folder: Path, answers: Mapping[str, str]) -> int:
    """The number of the answer that is to change; 0 if all may be written. Raises `typer.Abort` for who leaves."""
    terminal.say("\nThese are the answers:")
    for number, (key, answer) in enumerate(answers.items(), 1):
        terminal.say(f"  {number:>2}  {key}: {answer}")
    while True:
        try:
            said = str(
                typer.prompt("Write the files? yes, or the number of the answer to change", default="yes")
            ).strip()
        except typer.Abort:
            _left(folder, answers)
            raise
        if said.lower() in ("y", "yes"):
            return 0
        if said.isdigit() and 1 <= int(said) <= len(answers):
            return int(said)
        terminal.say(f"  yes, or a number from 1 to {len(answers)}; Ctrl-C writes nothing")
