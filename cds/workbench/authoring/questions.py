"""What is asked before a rule is written: each question once, with what is proposed and what an answer must be.

A marker or a study that the rule book does not know is asked for too, so that both are there when the rule is.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from cds.errors import InputError
from cds.reasoning.directives import DIRECTIVE
from cds.reasoning.evidence import KINDS
from cds.reasoning.rulebook import RuleBook
from cds.workbench.authoring.ucum import no_unit, what_to_write

Answers = Mapping[str, str]

_NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class Question:
    """A question: `proposed` is taken where nothing is answered, "" for none; `wrong` says what is wrong with an answer."""

    key: str
    text: str
    proposed: Callable[[Answers, RuleBook], str] = lambda _answers, _book: ""
    wrong: Callable[[str, RuleBook], str] = lambda _answer, _book: ""
    asked: Callable[[Answers, RuleBook], bool] = lambda _answers, _book: True


def _name(answer: str, _book: RuleBook) -> str:
    return "" if _NAME.fullmatch(answer) else "small letters, digits and '-', beginning with a letter"


def _new_name(answer: str, book: RuleBook) -> str:
    taken = {rule.name for rule in book.rules} | set(book.withheld) | book.resting
    return f"there is a rule '{answer}' already" if answer in taken else _name(answer, book)


def _one_of(words: Callable[[RuleBook], Iterable[str]]) -> Callable[[str, RuleBook], str]:
    def wrong(answer: str, book: RuleBook) -> str:
        known = sorted(words(book))
        if answer in known:
            return ""
        close = difflib.get_close_matches(answer, known, n=1)
        return f"did you mean '{close[0]}'?" if close else f"one of: {', '.join(known)}"

    return wrong


def _number(answer: str, _book: RuleBook) -> str:
    if _NUMBER.fullmatch(answer):
        return ""
    plain = answer.rstrip("% ").replace(",", ".")
    if not _NUMBER.fullmatch(plain):
        return "a number, such as 2.0"
    slips = [
        name for sign, name in (("%", "without the percent sign"), (",", "with a point, no comma")) if sign in answer
    ]
    return f"write it {' and '.join(slips) or 'without blanks'}: {plain}"


def _cv(answer: str, book: RuleBook) -> str:
    above = "above 100 % a value says nothing: 18 stands for 18 %. If it is truly so, write it into the marker's file"
    return _number(answer, book) or (above if float(answer) > 100 else "")


def _unit(answer: str, _book: RuleBook) -> str:
    part = no_unit(answer)
    return f"'{part}' is no unit of UCUM that laboratories use here: {what_to_write(part)}" if part else ""


def _floor(answer: str, book: RuleBook) -> str:
    return _number(answer, book) or ("" if float(answer) >= 1 else "a number of 1 or above: 2.0 is a doubling")


def _guard(answer: str, book: RuleBook) -> str:
    late = book.windows.late_baseline
    return (
        ""
        if answer.isdigit() and int(answer) >= late
        else f"a whole day from {late} on: until then a sample can be a reference"
    )


def _sentence(answer: str, _book: RuleBook) -> str:
    directs = DIRECTIVE.search(answer)
    return f"'{directs[0]}' directs treatment: say what is seen or may be considered" if directs else ""


def _new_marker(answers: Answers, book: RuleBook) -> bool:
    return answers["marker"] not in book.catalogue.markers


def _new_study(answers: Answers, book: RuleBook) -> bool:
    return answers["evidence"] not in book.evidence.studies


def _suspects(answers: Answers, _book: RuleBook) -> bool:
    return answers["state"] == "suspected"


def _short(answers: Answers, book: RuleBook) -> str:
    marker = book.catalogue.markers.get(answers["marker"])
    return marker.short if marker is not None else answers.get("marker_short", answers["marker"])


def _therapy(answers: Answers, book: RuleBook) -> str:
    return book.catalogue.therapies.classes[answers["therapy"]].title.lower()


def _rule_name(answers: Answers, book: RuleBook) -> str:
    name = f"{answers['marker'].removesuffix('-ev')}-rise-on-{answers['therapy']}"
    return f"our-{name}" if _new_name(name, book) else name


QUESTIONS = (
    Question("marker", "Which marker does the rule watch? (a new name for a new marker)", wrong=_name),
    Question("marker_title", "What is the marker, in words?", asked=_new_marker),
    Question("marker_short", "How do cards call it?", lambda a, _b: f"EV-{a['marker'].removesuffix('-ev').upper()}", asked=_new_marker),
    Question("cargo", "What of the vesicle is measured? (protein, lncRNA, miRNA, …)", lambda _a, _b: "protein", asked=_new_marker),
    Question("unit", "In which unit (UCUM)?", lambda _a, _b: "pg/mL", _unit, asked=_new_marker),
    Question("analytical_cv", "Analytical coefficient of variation, in percent, where a laboratory states none?", wrong=_cv, asked=_new_marker),
    Question("within_person_cv", "Within-person coefficient of variation, in percent?", wrong=_cv, asked=_new_marker),
    Question("cv_because", "Where are these two from?", lambda _a, _b: "assumed; no published value for this marker", asked=_new_marker),
    Question("limitation", "What is to be said on every card about the limits of this marker?", wrong=_sentence, asked=_new_marker),
    Question("therapy", "Under which therapy class?", wrong=_one_of(lambda b: b.catalogue.therapies.classes)),
    Question("evidence", "Which study supports it? (a new name, such as ning-2017, for a new record)", wrong=_name),
    Question("citation", "Its citation?", asked=_new_study),
    Question("kind", f"What kind of study is it? ({', '.join(KINDS)})", wrong=_one_of(lambda _b: KINDS), asked=_new_study),
    Question("direction", "In words: what did a rising value go with?", wrong=_sentence, asked=_new_study),
    Question("seen", "Did you read it yourself? V: yes, at least its abstract; S: only in a review; M: from memory (it then supports no more than watch)", wrong=_one_of(lambda _b: ("V", "S", "M")), asked=_new_study),
    Question("name", "How is the rule called?", _rule_name, _new_name),
    Question("title", "Its title: a noun phrase of what is seen", lambda a, b: f"{_short(a, b)} rising on {_therapy(a, b)}", _sentence),
    Question("summary", "One sentence without numbers: what does it mean?", wrong=_sentence),
    Question("reference", "What is a sample compared with? baseline: before the therapy; nadir: the lowest value so far", lambda _a, _b: "baseline", _one_of(lambda _b: ("baseline", "nadir"))),
    Question("floor", "From how many times the reference on, at least?", lambda _a, _b: "2.0", _floor),
    Question("floor_because", "Why so many?", lambda _a, _b: "the floor guards small coefficients of variation"),
    Question("guard", "Before which day of the line is a rise only held?", lambda _a, _b: "60", _guard),
    Question("guard_because", "Why so long?", lambda _a, _b: "markers may rise early in a line whatever the response"),
    Question("state", "What does a confirmed rise lead to? suspected: an interruptive card; watch: never more than watch", lambda _a, _b: "watch", _one_of(lambda _b: ("suspected", "watch"))),
    Question("suspicion", "What does the card suspect? (\"suspected …\")", lambda a, b: f"acquired resistance to {_therapy(a, b)}", _sentence, _suspects),
    Question("false_alarms", "What else could raise it? (several with ';')", lambda _a, _b: "a recent operation or infection; a change of method, tube or laboratory"),
)  # fmt: skip


def answered(
    given: Mapping[str, str], book: RuleBook, ask: Callable[[Question, str, str], str] | None
) -> dict[str, str]:
    """An answer to each question that is to be asked: as given, else from `ask(question, proposed, why asked again)`.

    Without `ask` (nobody is there) what is proposed is taken. Raises `InputError` with everything that is missing or wrong.
    """
    unknown = given.keys() - {question.key for question in QUESTIONS}
    if unknown:
        known = ", ".join(question.key for question in QUESTIONS)
        raise InputError(f"nothing asks for {', '.join(sorted(unknown))}. Questions: {known}")
    answers: dict[str, str] = {}
    for question in QUESTIONS:
        if not question.asked(answers, book):
            continue
        proposed = question.proposed(answers, book)
        answer = given.get(question.key, "")
        wrong = question.wrong(answer, book) if answer else ""
        if ask is None:
            answer = answer or proposed
            if not answer or wrong or question.wrong(answer, book):
                why = wrong or (question.wrong(answer, book) if answer else "it is not answered")
                raise InputError(f"{question.key}: {why}. {question.text} Next step: --with {question.key}=…")
        while ask is not None and (not answer or wrong):
            answer = ask(question, proposed, wrong)
            wrong = question.wrong(answer, book) if answer else "please answer"
        answers[question.key] = answer
    return answers


def without_outdated(before: Mapping[str, str], now: Mapping[str, str], book: RuleBook) -> dict[str, str]:
    """The answers of `now` but for those that were taken as proposed `before`, where another one is proposed now.

    What is proposed follows from other answers, such as the title of a rule from its therapy: where that was changed, it is to
    be asked again.
    """

    def is_outdated(question: Question) -> bool:
        if question.key not in before or question.key not in now or before[question.key] != now[question.key]:
            return False
        proposed = question.proposed(before, book)
        return now[question.key] == proposed != question.proposed(now, book)

    outdated = {question.key for question in QUESTIONS if is_outdated(question)}
    return {key: answer for key, answer in now.items() if key not in outdated}
