"""What loads and is likely not meant: checks of single rules. Each says what, where, and what to do next."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from cds.counting import counted
from cds.mistakes import Mistake
from cds.reasoning.change import Pair
from cds.reasoning.evidence import GRADES
from cds.reasoning.kinds import Days
from cds.reasoning.rulebook import RuleBook
from cds.source import Section
from cds.workbench.authoring.logic import contradiction, earlier_clauses, gap, shadow
from cds.workbench.authoring.written import Written
from cds.workbench.proving.cases import QUIET

REVIEW_NEAR = timedelta(days=60)
"""So long before its date a review is announced."""

IN_PATIENTS = ("cohort", "trial", "guideline")
"""Kinds of studies that can carry a state with an interruptive card."""

_FEARS = re.compile(
    r"\b(resist\w*|danger\w*|risk\w*|fail\w*|relaps\w*|recur\w*|suspect\w*|alarm\w*|warning\w*|death|threat\w*)\b", re.I
)
_NUMBER = re.compile(r"(?<![\w.-])\d+(?:\.\d+)?(?:-fold\b|(?![\w-]))")
_NAMES_A_FACT = ("pair", "cannot_exclude", "off_therapy")
_NAMES_A_LIMIT = ("at_least", "not_fallen_by", "first", "second", "apart", "before", "within")


def check_rule(written: Written, book: RuleBook, today: date) -> None:
    """Note everything at the rule's own text; of one that is shipped, what time and a site's evidence change."""
    _dates(written.section, today)
    _evidence(written, book)
    if not written.own:
        return
    _uses(written)
    _logic(written, book)
    _windows(written)
    _tests(written, book)
    _advice(written, book)
    _words(written, book)


def _values(value: Any, keys: tuple[str, ...]) -> Iterator[str]:
    """Every text under one of the keys, however deep."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in keys and isinstance(inner, str):
                yield inner
            elif key in keys and isinstance(inner, list):
                yield from (item for item in inner if isinstance(item, str))
            else:
                yield from _values(inner, keys)


def _uses(written: Written) -> None:
    section, rule = written.section, written.rule
    facts = section.section("facts").value
    literals = [lit for clause in rule.clauses for lit in (*clause.all, *clause.unless)] + list(rule.only_if)
    used = {literal.fact for literal in literals} | {rule.anchor.second_of} | set(_values(facts, _NAMES_A_FACT))
    for name in facts:
        if name not in used:
            section.problem(
                f"no clause uses the fact '{name}'",
                "use it in 'conclude' or 'notes', or take it away",
                ("facts", name),
                Mistake.UNUSED_FACT,
            )
    named = set(_values(facts, _NAMES_A_LIMIT))
    for name in section.section("limits").value:
        if name not in named:
            section.problem(
                f"no fact uses the limit '{name}'", "name it in a fact, or take it away", ("limits", name),
                Mistake.UNUSED_LIMIT,
            )  # fmt: skip


def _logic(written: Written, book: RuleBook) -> None:
    section = written.section
    never_unknown = frozenset(spec.name for spec in written.rule.facts if not spec.can_be_unknown)
    for clause, way in written.clauses():
        why = contradiction(clause, never_unknown)
        if why:
            section.problem(f"the clause can never hold: {why}", "take one of the two away", way, Mistake.CONTRADICTION)
        elif clause.state and (other := shadow(clause, list(earlier_clauses(written, book, clause)))):
            section.problem(
                f"'{clause.state}' is never concluded here: whenever this holds, '{other.key}' holds too, "
                f"and '{other.state}' goes before it",
                f"make '{other.key}' narrower, with 'unless' for what is meant here, or take this clause away",
                way,
                Mistake.SHADOWED,
            )
    if not written.rule.combines and (open_case := gap(written)) is not None:
        true = [name for name, holds in open_case.items() if holds]
        said = (
            f"where {' and '.join(true)} hold{'s' if len(true) == 1 else ''} and nothing else"
            if true
            else "where no fact holds"
        )
        section.problem(
            f"{said}, no clause holds: the finding would be not-evaluable, with nothing missing",
            "add a clause for that case: 'no-flag', if it is one",
            "conclude",
            Mistake.GAP,
        )


def _windows(written: Written) -> None:
    for spec in written.own_facts():
        params, why = spec.params, ""
        if isinstance(params, Pair):
            nearest, farthest = params.second_from - params.first_to, params.second_to - params.first_from
            if params.apart_to < nearest or params.apart_from > farthest:
                why = "no two samples lie in 'first' and 'second' and so far apart"
        elif isinstance(params, Days) and params.last is not None and params.last < (params.first or 0):
            why = "no day of a line lies in this window"
        if why:
            written.section.problem(
                f"'{spec.name}' can never hold: {why}", "see its windows under 'limits'", ("facts", spec.name),
                Mistake.WINDOW_NEVER_MET,
            )  # fmt: skip


def _dates(section: Section, today: date) -> None:
    try:
        review = date.fromisoformat(section.text("review_by"))
    except ValueError:
        section.problem(
            f"'review_by: {section.text('review_by')}' is no day", "write it as 2027-11-23", "review_by",
            Mistake.NOT_A_DATE,
        )  # fmt: skip
        return
    if review < today:
        section.problem(
            f"the review was due on {review}", "read the evidence again, then set a new date", "review_by",
            Mistake.REVIEW_PAST,
        )  # fmt: skip
    elif review - today <= REVIEW_NEAR:
        days = (review - today).days
        section.problem(f"the review is due in {counted(days, 'day')}", "plan it", "review_by", Mistake.REVIEW_NEAR)


def _evidence(written: Written, book: RuleBook) -> None:
    section, studies = written.section, book.evidence.studies
    against = set(section.texts("contradicting"))
    support = [studies[key] for key in section.texts("evidence") if key in studies and key not in against]
    for number, key in enumerate(section.texts("evidence")):
        if key in studies and studies[key].status == "of-concern":
            section.problem(
                f"'{key}' is under an expression of concern", "rest the rule on another study, or say why this one stands",
                ("evidence", number), Mistake.SUPPORT_OF_CONCERN,
            )  # fmt: skip
    warned = [state.name for state in book.states if state.indicator == "warning"]
    in_patients = [study for study in support if study.kind in IN_PATIENTS]
    seen = [study for study in in_patients if study.verification != "M"]
    name = written.rule.name
    graded = [study.grade_for.get(name) or study.grade for study in seen]
    best = max((GRADES.index(grade) for grade in graded if grade), default=0)
    for clause, way in written.clauses():
        if clause.state not in warned:
            continue
        if in_patients and not seen:
            named = ", ".join(f"'{study.id}'" for study in in_patients)
            section.problem(
                f"'{clause.state}' interrupts people, and {named} is known from memory (verification: M), which does not count",
                "read it (verification: V), or find it in a review (verification: S); or conclude 'watch'",
                way,
                Mistake.ABOVE_ITS_EVIDENCE,
            )
        elif not seen:
            section.problem(
                f"'{clause.state}' interrupts people, and no study in patients supports it",
                f"add one of the kinds {', '.join(IN_PATIENTS)}, or conclude 'watch'",
                way,
                Mistake.ABOVE_ITS_EVIDENCE,
            )
        elif clause.certainty and GRADES.index(clause.certainty.replace("-", " ")) > best:
            section.problem(
                f"certainty '{clause.certainty}' is above that of the evidence, which is {GRADES[best]} at best",
                f"write 'certainty: {GRADES[best].replace(' ', '-')}', or add a study of that grade",
                (*way, "certainty"),
                Mistake.ABOVE_ITS_EVIDENCE,
            )


def _tests(written: Written, book: RuleBook) -> None:
    section, rule = written.section, written.rule
    if not written.tests:
        if rule.status != "draft":
            section.problem(
                f"the rule has no tests, and is {rule.status}", f"write {rule.name}.test.yaml beside it", "rule",
                Mistake.NO_TESTS,
            )  # fmt: skip
        return
    quiet = {state.name for state in book.states if not state.indicator} | {"none", QUIET}
    expected = {wanted.state for test in written.tests for wanted in test.expect.values()}
    if not expected & quiet:
        section.problem(
            "no test says when the rule must stay quiet", "add a case of a stable patient that expects 'no-flag'", "rule",
            Mistake.NO_QUIET_CASE,
        )  # fmt: skip
    for state in written.concludes:
        if state not in expected and not (state in quiet and QUIET in expected):
            section.problem(
                f"no test expects '{state}'", "add a case that leads to it", ("conclude", state), Mistake.STATE_UNTESTED
            )


def _advice(written: Written, book: RuleBook) -> None:
    section, rule = written.section, written.rule
    gates = {clause.state for clause in rule.clauses if clause.gate}
    reached = {*written.concludes, *gates, "not-evaluable", "not-applicable"}
    for state in section.section("advise").value:
        if state not in reached:
            section.problem(
                f"'{state}' is never concluded, so this is never advised", "take it away, or add a clause",
                ("advise", state), Mistake.ADVICE_NEVER_GIVEN,
            )  # fmt: skip
    if rule.part:
        return
    cards = {state.name for state in book.states if state.indicator}
    for state in written.concludes:
        if state in cards and not rule.advise.get(state):
            section.problem(
                f"a card of '{state}' would offer nothing to do", "add options of wording/advice.yaml under 'advise'",
                ("conclude", state), Mistake.NOTHING_ADVISED,
            )  # fmt: skip
    if cards & set(written.concludes) and not rule.false_alarms:
        section.problem(
            "nothing is said of what could make the rule wrong", "list known causes under 'false_alarms'", "rule",
            Mistake.NO_FALSE_ALARMS,
        )  # fmt: skip


def _words(written: Written, book: RuleBook) -> None:
    section, rule = written.section, written.rule
    labels, cards = book.wording.get("labels", {}), book.wording.get("cards", {})
    worded = {*labels.get("facts", {}), *labels.get("failures", {})}
    for spec in written.own_facts():
        if spec.name not in worded:
            section.problem(
                f"people would read the fact '{spec.name}' by its name", "add words for it under 'facts:' in wording/labels.yaml",
                ("facts", spec.name), Mistake.FACT_WITHOUT_WORDS,
            )  # fmt: skip
    suspects = [
        state
        for state in written.concludes
        if "{suspicion}" in str(cards.get("states", {}).get(state, {}).get("headline", ""))
    ]
    if suspects and not rule.part and "suspicion" not in cards.get("by_rule", {}).get(rule.name, {}):
        section.problem(
            f"nothing says what the rule suspects; the card would say 'suspected {rule.title}'",
            f"add '{rule.name}: {{suspicion: …}}' under 'by_rule:' in wording/cards.yaml",
            "rule",
            Mistake.SUSPICION_WITHOUT_WORDS,
        )
    fear = _FEARS.search(rule.title)
    if fear is not None or rule.title.endswith((".", "!", "?")):
        said = f"the title names a fear, '{fear[0]}'" if fear else "the title is a sentence"
        section.problem(
            said, "name what is seen: 'TRPC5-positive vesicles rising on chemotherapy'", "title",
            Mistake.TITLE_NAMES_A_FEAR,
        )  # fmt: skip
    number = _NUMBER.search(rule.summary)
    if number is not None:
        section.problem(
            f"the summary holds a number, {number[0]}", "numbers stand under 'limits', where they have a reason", "summary",
            Mistake.NUMBER_IN_SUMMARY,
        )  # fmt: skip
