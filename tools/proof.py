"""How the shipped rules are proved: docs/proof.md, made by `make proof` from the rules and the tests beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from cds.reasoning.loading import default_rulebook, shipped_rules
from cds.reasoning.reasoner import Reasoner
from cds.workbench.proving.boundaries import Boundaries, boundaries
from cds.workbench.proving.covering import Coverage, Pair, cover, cover_gates, percent
from cds.workbench.proving.killing import Score, mutate, mutate_gates
from cds.workbench.proving.reading import load_tests

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "proof.md"

_INTRODUCTION = """# How the shipped rules are proved

Made by `make proof` from the rules and the tests beside them; a test holds it current. [Rule tests](rule-tests.md) says what the words mean and how to
prove a rule of your own.
"""

_HOW = """## What the figures say

**Expectations** are borne out, state by state, by the naive reference in `tests/reference/`, which is written from the evidence and shares no code with the rules
(`tests/proving/test_reference.py` names the two cases that it does not read).

**Pairs** (`exowatch rules cover`, masking MC/DC). For each literal where it stands, two test days on which it has different truths, on each of which the verdict
would change if it alone were otherwise, and whose verdicts differ. Asked are true/false for each, and true/unknown and false/unknown for each that can be unknown
and in whose place the language tells them apart. The gates are written once and counted once, by the tests of all rules. Percentages are rounded down.

**Infeasible** pairs are proved: an exhaustive search over the facts of the rule, bound by the implications named below, finds no facts of which the pair could be
shown. The implications are held against random charts, as the facts are formed of them and as the naive reference forms them.

**Mutants** (`exowatch rules mutate`). One change each to a rule, a gate or what a rule takes from its marker's file. A mutant is killed if an expectation does not
hold of it. Not counted are those that the loader refuses, and those that are proved to say the same of every chart.

**Boundaries** (`exowatch rules boundaries`). A threshold or window is tested if moving it by a step (a day, 0.1, a percent of a coefficient of variation, or from
"at least" to "more than") is noticed, in both directions. Beside them stand the situations that every rule meets: no reference, a stale, repeated, late, unreadable result,
one without a unit or in one that does not convert, and where it counts a missing total of vesicles.
"""


def text() -> str:
    """The document, computed anew: half a minute of work."""
    book = default_rulebook()
    reasoner = Reasoner(book)
    tests = load_tests(shipped_rules(), book)
    coverages = [*(cover(rule, tests, reasoner) for rule in book.rules), cover_gates(tests, reasoner)]
    scores = [*(mutate(rule, tests, book) for rule in book.rules), mutate_gates(tests, book)]
    edges = [boundaries(rule, tests, book) for rule in book.rules]
    cases = {rule.name: sum(test.rule == rule.name for test in tests) for rule in book.rules}
    days = {rule.name: sum(len(test.expect) for test in tests if test.rule == rule.name) for rule in book.rules}
    parts = [
        _INTRODUCTION,
        *_table(coverages, scores, edges, cases, days),
        "",
        _HOW,
        *_kinds(scores),
        "",
        *_survivors(scores),
        *_infeasible(coverages),
        *_equivalent(scores),
    ]
    return "\n".join(parts).rstrip() + "\n"


def _table(
    coverages: Sequence[Coverage],
    scores: Sequence[Score],
    edges: Sequence[Boundaries],
    cases: dict[str, int],
    days: dict[str, int],
) -> Iterator[str]:
    yield "| rule | cases | expectations | pairs shown | infeasible | mutants killed | equivalent | refused | boundaries and situations tested |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    by_rule = {one.rule: f"{len(one.tested)} of {len(one.tested) + len(one.missing)}" for one in edges}
    for coverage, score in zip(coverages, scores, strict=True):
        name = coverage.rule
        killed = f"{score.killed} of {score.killed + len(score.alive)} ({percent(score.tenths)})"
        shown = f"{coverage.shown} of {coverage.feasible} ({percent(coverage.tenths)})"
        counted = f"{cases.get(name, sum(cases.values()))} | {days.get(name, sum(days.values()))}"
        row = f"{counted} | {shown} | {len(coverage.infeasible)} | {killed} | {len(score.equivalent)} | {score.refused}"
        yield f"| `{name}` | {row} | {by_rule.get(name, '')} |"
    of = sum(score.killed + len(score.alive) for score in scores)
    pairs = f"{sum(one.shown for one in coverages)} of {sum(one.feasible for one in coverages)}"
    killed = f"{sum(score.killed for score in scores)} of {of}"
    rest = f"{sum(len(one.equivalent) for one in scores)} | {sum(one.refused for one in scores)}"
    tested = f"{sum(len(one.tested) for one in edges)} of {sum(len(one.tested) + len(one.missing) for one in edges)}"
    totals = f"{sum(cases.values())} | {sum(days.values())} | {pairs} | {sum(len(one.infeasible) for one in coverages)} | {killed}"
    yield f"| **all** | {totals} | {rest} | {tested} |"


def _kinds(scores: Sequence[Score]) -> Iterator[str]:
    yield "| kind of mutant | killed | of, equivalent ones included |"
    yield "| --- | --- | --- |"
    for kind in sorted({kind for score in scores for kind in score.by_kind}):
        counts = [score.by_kind[kind] for score in scores if kind in score.by_kind]
        yield f"| {kind} | {sum(killed for killed, _ in counts)} | {sum(of for _, of in counts)} |"


def _survivors(scores: Sequence[Score]) -> Iterator[str]:
    alive = [one for score in scores for one in score.alive]
    if alive:
        yield "## Mutants that survive\n"
        for one in alive:
            yield f"- `{one.mutant.target}`: {one.mutant}"
        yield ""


def _infeasible(coverages: Sequence[Coverage]) -> Iterator[str]:
    yield "## Pairs that no chart can show\n"
    yield "By the proof, and then the rule. What stands after the last semicolon, if it is `X then decides`, follows from the form of the rule itself.\n"
    by_proof: dict[str, dict[str, list[Pair]]] = {}
    for coverage in coverages:
        for pair in coverage.infeasible:
            by_proof.setdefault(str(pair.proof), {}).setdefault(coverage.rule, []).append(pair)
    for proof, by_rule in sorted(by_proof.items()):
        yield f"- {proof}"
        for rule, pairs in by_rule.items():
            yield f"  - `{rule}`: {'; '.join(str(pair) for pair in pairs)}"
    yield ""


def _equivalent(scores: Sequence[Score]) -> Iterator[str]:
    yield "## Mutants that say the same as the rule\n"
    for score in scores:
        for one in score.equivalent:
            yield f"- `{score.target}`: {one.mutant}. Proof: {one.proof}"


def main() -> None:
    DOCUMENT.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
