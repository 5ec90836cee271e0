"""The commands that prove rules: their tests, what these cover, the mutants that they kill, the boundaries they lack."""

from __future__ import annotations

import difflib
import json
import time
from pathlib import Path
from typing import Annotated

import typer

from cds import terminal
from cds.cli.options import AsJson, RulesDir, reasoner_of, rules_folder
from cds.errors import InputError
from cds.reasoning.loading import shipped_rules
from cds.reasoning.rulebook import RuleBook


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
    from cds.workbench.proving.running import Failure, chosen, run

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
            terminal.say(str(failure))
        failed = len({identity(failure.test) for failure in failures})
        typer.echo(f"{len(tests) - failed} passed, {failed} failed")
    raise typer.Exit(1 if failures else 0)


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
