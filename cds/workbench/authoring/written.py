"""A rule together with the text from which it was read, so that what is found in the one can be shown in the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cds.errors import Problem
from cds.layers import RuleFiles
from cds.reasoning.rulebook import Clause, FactSpec, Rule, RuleBook
from cds.source import Path_, Section
from cds.workbench.proving.cases import RuleTest


@dataclass(frozen=True, slots=True)
class Written:
    """One rule of a book: what it says, its text, the tests beside it. `own`: not shipped under a site's overlay."""

    rule: Rule
    section: Section
    tests: Sequence[RuleTest]
    own: bool = True

    def clauses(self) -> Iterator[tuple[Clause, Path_]]:
        """The rule's own clauses and notes, each with the way to it in the text."""
        own = iter([clause for clause in self.rule.clauses if not clause.gate])
        conclude = self.section.section("conclude")
        for state in conclude.value:
            single = isinstance(conclude.value[state], dict)
            for number, _ in enumerate(conclude.sections(state)):
                yield next(own), ("conclude", state, *(() if single else (number,)))
        for note in self.section.section("notes").value:
            yield next(own), ("notes", note)

    def own_facts(self) -> Iterator[FactSpec]:
        """The facts that the rule's file states and uses."""
        stated = self.section.section("facts").value
        return (spec for spec in self.rule.facts if spec.name in stated)

    @property
    def concludes(self) -> tuple[str, ...]:
        """The states that its clauses lead to, in the order of the file."""
        return tuple(self.section.section("conclude").value)


def written_rules(
    files: RuleFiles, book: RuleBook, tests: Sequence[RuleTest], problems: list[Problem]
) -> list[Written]:
    """Every rule of the book with its text, but those whose file has a mistake already; notes go to `problems`."""
    mistaken = {problem.file for problem in problems if problem.mistake.severity == "error"}
    found = []
    for rule in book.rules:
        file = files.files[rule.file]
        shown = {file.shown, *([file.over.shown] if file.over is not None else [])}
        section = file.read(problems) if not shown & mistaken else None
        if section is not None:
            own = [test for test in tests if test.rule == rule.name]
            found.append(Written(rule, section, own, file.own or not files.site))
    return found
