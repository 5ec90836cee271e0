"""The commands that prove rules: their tests, what these cover, the mutants that they kill, the boundaries they lack."""

from __future__ import annotations

import difflib
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cds import terminal
from cds.cli.options import AsJson, RulesDir, reasoner_of, rulebook_of, rules_folder
from cds.errors import InputError
from cds.reasoning.loading import shipped_rules
from cds.reasoning.rulebook import RuleBook

if TYPE_CHECKING:
    from cds.workbench.proving.running import Failure


def rules_test(
    rules: RulesDir = None,
    as_json: AsJson = False,
    wanted: Annotated[
        str,
        typer.Option("--filter", help="Only cases whose name, rule or file holds this text; * stands for anything."),
    ] = "",
    junit: Annotated[Path | None, typer.Option(help="Write the results as JUnit XML to this file.")] = None,
) -> None:
    """Run the tests beside the rules: exit 1 if one fails, 2 if none was found."""
    from cds.workbench.proving.junit import identity, write_junit
    from cds.workbench.proving.reading import load_tests
    from cds.workbench.proving.running import chosen, run

    folder = rules_folder(rules) or shipped_rules()
    reasoner = reasoner_of(folder, drafts=True)
    every = load_tests(folder, reasoner.rulebook)
    tests = chosen(every, wanted)
    if not tests:
        hint = (
            f"none of {len(every)} cases fits --filter '{wanted}'"
            if every
            else f"no *.test.yaml with cases in {folder}"
        )
        raise InputError(f"nothing to test: {hint}. Write one beside the rule: docs/rule-authors.md")
    failures: list[Failure] = []
    seconds: dict[str, float] = {}
    with terminal.progress("testing rules", len(tests)) as step:
        for test in tests:
            begun = time.perf_counter()
            failures += run([test], reasoner)
            seconds[identity(test)] = time.perf_counter() - begun
            step()
    if junit is not None:
        write_junit(junit, tests, failures, seconds)
    if as_json:
        typer.echo(json.dumps({"cases": len(tests), "failures": [str(failure) for failure in failures]}))
    else:
        for failure in failures:
            _show(failure)
        failed = len({identity(failure.test) for failure in failures})
        typer.echo(f"{len(tests) - failed} passed, {failed} failed")
    raise typer.Exit(1 if failures else 0)


def _show(failure: Failure) -> None:
    """A failure with its drawing; the place in bold and the asked day in red where there is a terminal."""
    out = terminal.console()
    head, *trace = str(failure).splitlines()
    out.print(head, style="bold", markup=False)
    for line in trace:
        out.print(line, markup=False)
    for line in failure.timeline():
        out.print(f"    {line}", style="red" if line.startswith("asked") else "", markup=False)


Named = Annotated[
    list[str] | None,
    typer.Argument(metavar="[RULE]...", help="Rules, or 'gates' for what all rules share; default: all of these."),
]


def rules_cover(
    named: Named = None,
    rules: RulesDir = None,
    least: Annotated[
        float, typer.Option("--min", min=0, max=100, help="Exit 1 below this percentage of the feasible pairs.")
    ] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Which tests show that each condition decides by itself (masking MC/DC), and what test is missing."""
    from cds.workbench.proving.covering import Coverage, cover, cover_gates, percent
    from cds.workbench.proving.reading import load_tests

    folder = rules_folder(rules) or shipped_rules()
    reasoner = reasoner_of(folder, drafts=True)
    tests = load_tests(folder, reasoner.rulebook)
    names = _targets(named, reasoner.rulebook)
    found: list[Coverage] = []
    with terminal.progress("covering", len(names)) as step:
        for name in names:
            own = (
                cover_gates(tests, reasoner)
                if name == "gates"
                else cover(reasoner.rulebook.rule(name), tests, reasoner)
            )
            found.append(own)
            step()
    if as_json:
        typer.echo(json.dumps({"rules": [one.as_data() for one in found]}))
    else:
        for one in found:
            terminal.say(
                f"{one.rule}: {one.shown} of {one.feasible} pairs shown ({percent(one.tenths)}), {len(one.infeasible)} infeasible"
            )
            for pair in one.pairs if named else one.missing:
                terminal.say("  " + pair.told())
    raise typer.Exit(1 if any(one.tenths < least * 10 for one in found) else 0)


def _targets(named: list[str] | None, book: RuleBook) -> list[str]:
    known = [*(rule.name for rule in book.rules), "gates"]
    for name in named or ():
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            raise InputError(
                f"no rule '{name}'. " + (f"Did you mean '{close[0]}'?" if close else f"Rules: {', '.join(known)}")
            )
    return named or known


def rules_mutate(
    named: Named = None,
    rules: RulesDir = None,
    least: Annotated[
        float, typer.Option("--min", min=0, max=100, help="Exit 1 below this percentage of killed mutants.")
    ] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Change one thing of a rule at a time: which changes no test notices, and the test to write for each."""
    from cds.workbench.proving.killing import Score, mutate, mutate_gates
    from cds.workbench.proving.reading import load_tests

    folder = rules_folder(rules) or shipped_rules()
    book = rulebook_of(folder, drafts=True)
    tests = load_tests(folder, book)
    names = _targets(named, book)
    found: list[Score] = []
    with terminal.progress("mutating", len(names)) as step:
        for name in names:
            found.append(mutate_gates(tests, book) if name == "gates" else mutate(book.rule(name), tests, book))
            step()
    if as_json:
        typer.echo(json.dumps({"rules": [one.as_data() for one in found]}, ensure_ascii=False))
    else:
        for one in found:
            terminal.say(one.told())
    raise typer.Exit(1 if any(one.tenths < least * 10 for one in found) else 0)


def rules_boundaries(
    rule: Annotated[str, typer.Argument(help="The rule.")],
    rules: RulesDir = None,
    write: Annotated[
        bool, typer.Option("--write", help="Write the missing cases beside the rule, for review.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write a case for each threshold, window and usual situation that no test holds; what it expects is to be reviewed."""
    from cds.workbench.proving.boundaries import boundaries
    from cds.workbench.proving.reading import load_tests

    folder = rules_folder(rules) or shipped_rules()
    book = rulebook_of(folder, drafts=True)
    (name,) = _targets([rule], book)
    if name == "gates":
        raise InputError("'gates' is no rule. The boundaries of gates: exowatch rules mutate gates")
    path = folder / "resistance" / f"{name}.boundaries.test.yaml"
    if write and path.exists():
        raise InputError(
            f"{path} is there already. Review its cases and move them to another test file, then run this again"
        )
    found = boundaries(book.rule(name), load_tests(folder, book), book)
    written = [one for one in found.missing if one.text]
    if write and written:
        path.write_text(found.file(), encoding="utf-8")
    if as_json:
        lacking = [{"name": one.name, "case": one.text} for one in found.missing]
        typer.echo(json.dumps({"rule": name, "tested": list(found.tested), "missing": lacking}, ensure_ascii=False))
        return
    terminal.say(
        f"{name}: {len(found.tested)} boundaries and situations are tested, {len(found.missing)} are not",
        error=not write,
    )
    for one in found.missing:
        if not one.text:
            terminal.say(f"  no patient was found for {one.name}: think of one, or of why there is none", error=True)
    if write and written:
        terminal.say(f"wrote {len(written)} cases to {path}: review what each expects, and say why under 'because'")
    elif written:
        terminal.say(found.file().rstrip())
