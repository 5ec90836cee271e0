"""The vocabulary of fact kinds: what a rule file may say about a chart, and how each is found out.

A kind reads its parameters from a rule file (`read`) and answers for a question (`value`): true, false, or None for
unknown. Kinds are chosen by their first key, so `early: {day: {before: guard}}` is of the kind `day`. They are
few and take all their numbers from the file, so that new rules, markers and limits need no Python.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

from cds.chart.model import Chart, Tri
from cds.reasoning.change import Change, Pair, confirmation, holds, may_hold, run_before
from cds.reasoning.question import Question, Sample
from cds.reasoning.rulebook import FactSpec, Rise
from cds.source import Section

Limits = Mapping[str, Any]
"""The named limits of a rule: `Rise`, `Days` or `Pair`-like windows, by name."""


@dataclass(frozen=True, slots=True)
class Days:
    """A window of days, both ends included; None: open."""

    first: int | None = None
    last: int | None = None

    def holds(self, day: int) -> bool:
        return (self.first is None or day >= self.first) and (self.last is None or day <= self.last)


class Context:
    """What a kind may ask for while it reads its parameters: the rule's limits and the facts read before."""

    def __init__(self, limits: Limits, facts: Mapping[str, FactSpec], marker: str):
        self.limits = limits
        self.facts = facts
        self.marker = marker

    def limit(self, section: Section, key: str, kind: type) -> Any:
        """The limit that `key` names; noted as a problem (and a harmless one returned) if it is missing or of another kind."""
        name = section.text(key)
        found = self.limits.get(name)
        if not isinstance(found, kind):
            known = ", ".join(sorted(n for n, v in self.limits.items() if isinstance(v, kind))) or "none"
            section.problem(f"'{name}' is no limit that '{key}' can use", f"limits of this kind: {known}", at=key)
            return {Rise: Rise(2.0, 1.645), Days: Days(0, 0)}.get(kind, Days(0, 0))
        return found


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fact. `value(question, params)` answers for the question; `of_sample` for any single sample."""

    read: Callable[[Section, Context], Any]
    value: Callable[[Question, Any], Tri] | None = None
    of_sample: Callable[[Question, Any, Sample], Tri] | None = None
    can_be_unknown: bool = False
    stage: str = "judged"

    def answer(self, question: Question, params: Any) -> Tri:
        if self.value is not None:
            return self.value(question, params)
        assert self.of_sample is not None  # noqa: S101 - every kind has one of the two
        return False if question.latest is None else self.of_sample(question, params, question.latest)


# change and confirmation -----------------------------------------------------------------------------------------


def _read_change(section: Section, context: Context) -> Change:
    section.keys("value", "over", optional=("per", "at_least", "not_fallen_by"))
    section.choice("value", [context.marker])
    section.choice("over", ["baseline", "nadir"])
    section.choice("per", ["total-ev"])
    key = "not_fallen_by" if "not_fallen_by" in section else "at_least"
    if key not in section:
        section.problem("the limit is missing", "add 'at_least: …' or 'not_fallen_by: …' with the name of a limit")
    return Change(context.limit(section, key, Rise), per_ev="per" in section, not_fallen=key == "not_fallen_by")


def _change(question: Question, change: Change, sample: Sample) -> Tri:
    return holds(question, change, sample)


def _read_pair(section: Section, context: Context) -> Pair:
    section.keys("pair", "first", "second", "apart", optional=("over_lowest",))
    changes = []
    for name in section.texts("pair"):
        spec = context.facts.get(name)
        if spec is None or not isinstance(spec.params, Change):
            section.problem(
                f"'{name}' is no change that a pair can confirm", "name a fact of the kind 'value'", at="pair"
            )
        else:
            changes.append(spec.params)
    first, second, apart = (context.limit(section, key, Days) for key in ("first", "second", "apart"))
    far = 10**6
    return Pair(
        tuple(changes) or (Change(Rise(2.0, 1.645)),),
        first.first or 0,
        far if first.last is None else first.last,
        second.first or 0,
        far if second.last is None else second.last,
        apart.first or 0,
        far if apart.last is None else apart.last,
        section.choice("over_lowest", ["yes", "no"]) == "yes",
    )


def _pair(question: Question, pair: Pair) -> Tri:
    return confirmation(question, pair)[0]


def _read_cannot_exclude(section: Section, context: Context) -> Change:
    section.keys("cannot_exclude")
    spec = context.facts.get(section.text("cannot_exclude"))
    if spec is None or not isinstance(spec.params, Change):
        section.problem("'cannot_exclude' names no change", "name a fact of the kind 'value'", at="cannot_exclude")
        return Change(Rise(2.0, 1.645))
    return spec.params


def _cannot_exclude(question: Question, change: Change, sample: Sample) -> Tri:
    return may_hold(question, change, sample)


def _rising(question: Question, count: int) -> Tri:
    last = question.judged()[-count:]
    return len(last) == count and all(one.value.high < other.value.low for one, other in pairwise(last))


# the calendar ----------------------------------------------------------------------------------------------------


def _read_day(section: Section, context: Context) -> Days:
    section.keys("day")
    window = section.section("day")
    if "before" in window:
        limit: Days = context.limit(window, "before", Days)
        return Days(None, (limit.first or 0) - 1)
    window.keys("within")
    within: Days = context.limit(window, "within", Days)
    return within


def _day(_question: Question, window: Days, sample: Sample) -> Tri:
    return window.holds(sample.day)


def _stale(question: Question, _params: object) -> Tri:
    latest = question.latest
    days = question.rule.stale_after
    return latest is not None and days > 0 and (question.chart.as_of - latest.collected).days > days


# the patient -----------------------------------------------------------------------------------------------------


def _disease(question: Question, is_absent: bool) -> Tri:
    disease = question.chart.diagnosis.invasive_breast_cancer
    return None if disease is None else disease is not is_absent


def _read_age(section: Section, _context: Context) -> int:
    section.keys("age")
    return int(section.section("age").number("under"))


def age_on(birth: date, day: date) -> int:
    """Completed years."""
    return day.year - birth.year - ((day.month, day.day) < (birth.month, birth.day))


def _age(question: Question, under: int) -> Tri:
    birth = question.chart.birth_date
    return None if birth is None else age_on(birth, question.chart.as_of) < under


def _recorded(question: Question, what: str) -> Tri:
    diagnosis = question.chart.diagnosis
    return diagnosis.other_cancer if what == "other-cancer" else diagnosis.metastatic is True


def _receptor(question: Question, receptor: str) -> Tri:
    diagnosis = question.chart.diagnosis
    return diagnosis.her2 if receptor == "her2" else diagnosis.hormone_receptor


def _receptor_doubtful(question: Question, _params: object) -> Tri:
    diagnosis = question.chart.diagnosis
    return diagnosis.her2 is None or diagnosis.her2_changed


def _sex(question: Question, sex: str) -> Tri:
    return question.chart.sex == sex


# the therapy -----------------------------------------------------------------------------------------------------


def _applies(question: Question, _params: object) -> Tri:
    """The anchor, what must not run beside it, and the co-conditions: Kleene's and."""
    if question.latest is None:
        return False
    if not question.chart.lines and not question.chart.operations:
        return None  # [2] a chart without any therapy
    answer = question.anchored
    if question.is_second:
        answer = _is_second(question)
    if answer is False:
        return False
    for line in question.chart.lines:
        if line.therapy in question.rule.anchor.not_during:
            runs = question.runs_at(line, question.latest)
            if runs:
                return False
            if runs is None:
                answer = None
    for literal in question.rule.only_if:
        spec = question.rule.fact(literal.fact)
        value = KINDS[spec.kind].answer(question, spec.params)
        if value is None:
            answer = None
        elif value is not literal.wanted:
            return False
    return answer


def _is_second(question: Question) -> Tri:
    """Whether the samples before the latest end in a run that holds a first sample [9]."""
    pair: Pair = question.rule.fact(question.rule.anchor.second_of).params
    earlier = [
        sample
        for sample in question.samples
        if not sample.before and sample is not question.latest and question.usable(sample)
    ]
    run, _ = run_before(question, pair, earlier)
    return any(pair.first_from <= sample.day <= pair.first_to for sample in run)


def _read_interference(section: Section, _context: Context) -> None:
    section.keys("interference")


def _interference(question: Question, _params: object, sample: Sample) -> Tri:
    """Whether a drug that binds the analyte is about [11], and the assay is not declared to tolerate it."""
    if not question.marker.bound_by:
        return False
    present = drug_present(question, question.marker.bound_by, sample)
    if present is True and sample.result.checks.get("drug-tolerance") is True:
        return False
    return present


def drug_present(question: Question, therapy: str, sample: Sample) -> Tri:
    """Whether a drug of the class, or what it leaves behind, is about on the day of the sample."""
    answer: Tri = False
    for line in question.chart.lines:
        if line.therapy != therapy:
            continue
        runs = question.runs_at(line, sample)
        if runs:
            return True
        if runs is None:
            answer = None
    return answer


def _read_pair_of(section: Section, context: Context) -> Pair | None:
    """The confirmation that the key `pair` names; None without the key."""
    if "pair" not in section:
        return None
    spec = context.facts.get(section.text("pair"))
    if spec is None or not isinstance(spec.params, Pair):
        section.problem("'pair' names no confirmation", "name a fact of the kind 'pair'", at="pair")
        return None
    params: Pair = spec.params
    return params


def _resting(question: Question, pair: Pair | None) -> list[Sample]:
    """The samples on which the state rests: the latest, and the pair that confirms it."""
    found = confirmation(question, pair)[1] if pair is not None else None
    return [sample for sample in (question.latest, *(found or ())) if sample is not None]


def _read_bound_drug(section: Section, context: Context) -> Pair | None:
    section.keys("bound_drug", optional=("pair",))
    return _read_pair_of(section, context)


def _bound_drug(question: Question, pair: Pair | None) -> Tri:
    """Whether a drug that binds the analyte is about for any sample on which the state rests."""
    if not question.marker.bound_by:
        return False
    answers = {drug_present(question, question.marker.bound_by, sample) for sample in _resting(question, pair)}
    return True if True in answers else None if None in answers else False


def _neoadjuvant(question: Question, _params: object) -> Tri:
    return question.line.neoadjuvant if question.line is not None else None


def _other_drugs(question: Question, studied: tuple[str, ...]) -> Tri:
    return question.line is not None and not any(drug in studied for drug in question.line.drugs)


def _assumed_ongoing(question: Question, _params: object) -> Tri:
    return question.line is not None and question.line.extent == "assumed-ongoing"


# the sample ------------------------------------------------------------------------------------------------------


def _read_fault(section: Section, _context: Context) -> tuple[frozenset[str], str]:
    section.keys("fault", optional=("where",))
    return frozenset(section.texts("fault")), section.choice("where", ["anywhere", "near", "latest"], "latest")


def _fault(question: Question, params: tuple[frozenset[str], str]) -> Tri:
    faults, where = params
    if where == "latest":
        return question.latest is not None and not faults.isdisjoint(question.latest.result.faults)
    near = question.book.windows.fault_before
    for result in question.results:
        if result.faults and not faults.isdisjoint(result.faults):
            if where == "anywhere" or (question.latest is not None and result is question.latest.result):
                return True
            if (
                question.start is not None
                and result.collected is not None
                and (question.start - result.collected).days <= near
            ):
                return True
    return False


def _check(question: Question, check: str, sample: Sample) -> Tri:
    """Whether a check that the marker requires failed; None if it was not stated."""
    wanted = question.marker.checks.get(check)
    if wanted is None or (wanted not in ("any", "stated") and sample.result.method.specimen != wanted):
        return False
    stated = sample.result.checks.get(check)
    if stated is None:
        return None
    return wanted != "stated" and not stated


def _event(question: Question, params: tuple[str, int], sample: Sample) -> Tri:
    if not question.chart.events:
        return False
    kind, days = params
    day = sample.collected
    return any(
        event.kind == kind
        and (event.start is None or event.start <= day)
        and (event.end is None or day <= event.end + timedelta(days=days))
        for event in question.chart.events
    )


def _read_event(section: Section, _context: Context) -> tuple[str, int]:
    section.keys("event", optional=("for",))
    return section.text("event"), section.days("for")


def _given(question: Question, params: tuple[str, int], sample: Sample) -> Tri:
    if not question.chart.events:
        return False
    kind, days = params
    return any(
        event.kind == kind
        and (event.start is None or event.start <= sample.collected)
        and ((last := event.end or event.start) is None or sample.collected <= last + timedelta(days=days))
        for event in question.chart.events
    )


def _read_given(section: Section, _context: Context) -> tuple[str, int]:
    section.keys("given", optional=("for",))
    return section.text("given"), section.days("for")


def _operation(question: Question, days: int, sample: Sample) -> Tri:
    return any(
        not operation.planned and 0 <= (sample.collected - operation.day).days <= days
        for operation in question.chart.operations
    )


def _read_operation(section: Section, _context: Context) -> int:
    section.keys("operation", "for")
    return section.days("for")


def _unstated(question: Question, _params: object, sample: Sample) -> Tri:
    if question.before:
        return False  # nothing is compared yet [13]
    result = sample.result
    return (not result.bridged and (result.laboratory is None or result.lot is None)) or any(
        getattr(result.method, element) is None for element in question.book.windows.elements
    )


def _read_reference(section: Section, context: Context) -> tuple[str, Pair | None]:
    section.keys("reference", optional=("pair",))
    wanted = section.choice("reference", ["missing", "not-comparable", "late", "only"])
    return wanted, _read_pair_of(section, context)


def _reference(question: Question, params: tuple[str, Pair | None]) -> Tri:
    wanted, pair = params
    if question.latest is None:
        return False
    if wanted == "only":
        return question.only_baseline
    if wanted == "late":
        references = [question.reference(sample) for sample in _resting(question, pair)]
        return any(found is not None and found.kind == "late-baseline" for found in references)
    if question.latest.result.faults or question.only_baseline or question.reference(question.latest) is not None:
        return False
    return question.reference_exists() is (wanted == "not-comparable")


def _wrong_specimen(question: Question, _params: object, sample: Sample) -> Tri:
    """Whether the marker may be measured only in other specimens."""
    allowed = question.marker.specimens
    if not allowed:
        return False
    specimen = sample.result.method.specimen
    return None if specimen is None else specimen not in allowed


# imaging ---------------------------------------------------------------------------------------------------------

WORSE_RESPONSE = {
    name: rank for rank, name in enumerate(("NE", "CR", "iCR", "PR", "iPR", "SD", "iSD", "iUPD", "PD", "iCPD"))
}
"""Responses by RECIST 1.1 and iRECIST, the better first; what could not be evaluated never outweighs what could."""


def _read_imaging(section: Section, context: Context) -> tuple[frozenset[str], int, Pair | None]:
    section.keys("imaging", "within", optional=("pair",))
    responses = frozenset(section.texts("imaging"))
    for response in responses - set(WORSE_RESPONSE):
        section.problem(f"'{response}' is no response", f"one of {', '.join(WORSE_RESPONSE)}", at="imaging")
    return responses, section.days("within"), _read_pair_of(section, context)


def _imaging(question: Question, params: tuple[frozenset[str], int, Pair | None]) -> Tri:
    responses, within, pair = params
    if not question.chart.imaging:
        return False
    days = [sample.collected for sample in _resting(question, pair)]
    return response_near(question.chart, days, within) in responses


def response_near(chart: Chart, days: Sequence[date], within: int) -> str | None:
    """The most recent response known and within so many days of one of `days`; of one day, the worse [28]."""
    near = [
        assessment for assessment in chart.imaging if any(abs((assessment.day - day).days) <= within for day in days)
    ]
    if not near:
        return None
    return max(near, key=lambda assessment: (assessment.day, WORSE_RESPONSE.get(assessment.response, -1))).response


# off the therapy -------------------------------------------------------------------------------------------------


def _read_off(section: Section, context: Context) -> Pair | None:
    section.keys("off_therapy")
    spec = context.facts.get(section.text("off_therapy"))
    if spec is None or not isinstance(spec.params, Pair):
        section.problem("'off_therapy' names no confirmation", "name a fact of the kind 'pair'", at="off_therapy")
        return None
    return spec.params


def _off_therapy(question: Question, pair: Pair | None) -> Tri:
    """Whether the rise would be confirmed against the last line of the class, which has ended."""
    if pair is None or question.latest is None or question.anchored:
        return False
    past = [
        line
        for line in question.chart.lines
        if line.therapy in question.rule.anchor.therapies
        and line.start is not None
        and line.end is not None
        and line.end < question.latest.collected
    ]
    if not past:
        return False
    again = Question(question.chart, question.rule, question.book, off_line=past[-1])
    again.unusable = question.unusable
    return confirmation(again, pair)[0]


def _choice(key: str, *choices: str) -> Callable[[Section, Context], str]:
    def read(section: Section, _context: Context) -> str:
        section.keys(key)
        return section.choice(key, choices) if choices else section.text(key)

    return read


def _nothing(key: str) -> Callable[[Section, Context], None]:
    def read(section: Section, _context: Context) -> None:
        section.keys(key)

    return read


KINDS: dict[str, Kind] = {
    "value": Kind(_read_change, of_sample=_change, can_be_unknown=True),
    "pair": Kind(_read_pair, _pair, can_be_unknown=True),
    "cannot_exclude": Kind(_read_cannot_exclude, of_sample=_cannot_exclude),
    "rising": Kind(lambda s, _c: (s.keys("rising"), int(s.number("rising", 3)))[1], _rising),
    "day": Kind(_read_day, of_sample=_day),
    "stale": Kind(_nothing("stale"), _stale, stage="applies"),
    "disease": Kind(
        lambda s, _c: (s.keys("disease", "is"), s.choice("is", ["absent", "present"]) == "absent")[1],
        _disease,
        can_be_unknown=True,
        stage="always",
    ),
    "age": Kind(_read_age, _age, can_be_unknown=True, stage="always"),
    "recorded": Kind(_choice("recorded", "metastatic", "other-cancer"), _recorded, stage="always"),
    "receptor": Kind(_choice("receptor", "hormone", "her2"), _receptor, can_be_unknown=True, stage="always"),
    "her2_doubtful": Kind(_nothing("her2_doubtful"), _receptor_doubtful, stage="applies"),
    "sex": Kind(_choice("sex", "male", "female"), _sex, stage="always"),
    "applies": Kind(_nothing("applies"), _applies, can_be_unknown=True, stage="always"),
    "neoadjuvant": Kind(_nothing("neoadjuvant"), _neoadjuvant, can_be_unknown=True, stage="always"),
    "drugs_other_than": Kind(
        lambda s, _c: (s.keys("drugs_other_than"), s.texts("drugs_other_than"))[1], _other_drugs, stage="applies"
    ),
    "assumed_ongoing": Kind(_nothing("assumed_ongoing"), _assumed_ongoing, stage="applies"),
    "interference": Kind(_read_interference, of_sample=_interference, can_be_unknown=True, stage="applies"),
    "bound_drug": Kind(_read_bound_drug, _bound_drug, can_be_unknown=True),
    "fault": Kind(_read_fault, _fault, stage="always"),
    "check": Kind(_choice("check"), of_sample=_check, can_be_unknown=True, stage="applies"),
    "event": Kind(_read_event, of_sample=_event, stage="applies"),
    "given": Kind(_read_given, of_sample=_given, stage="applies"),
    "operation": Kind(_read_operation, of_sample=_operation, stage="applies"),
    "unstated": Kind(_nothing("unstated"), of_sample=_unstated, stage="applies"),
    "reference": Kind(_read_reference, _reference, stage="applies"),
    "specimen": Kind(
        _choice("specimen", "not allowed"), of_sample=_wrong_specimen, can_be_unknown=True, stage="applies"
    ),
    "imaging": Kind(_read_imaging, _imaging),
    "off_therapy": Kind(_read_off, _off_therapy, can_be_unknown=True, stage="always"),
}
"""Every kind by its key; the schema for editors and the linter are made from this table."""
