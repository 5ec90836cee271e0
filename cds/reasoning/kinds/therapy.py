"""Facts about the therapy: whether a rule applies, what runs beside it, what has ended."""

from __future__ import annotations

from datetime import date

from cds.chart.model import Tri
from cds.mistakes import Mistake
from cds.reasoning.change import Pair, confirmation, run_before
from cds.reasoning.kinds.kind import Context, Kind, nothing, read_pair_of, resting
from cds.reasoning.question import Question, Sample
from cds.source import Section, likely


def _applies(question: Question, _params: object) -> Tri:
    """Whether there is an anchor and nothing runs beside it that must not; the reasoner adds the co-conditions."""
    if question.latest is None:
        return False
    answer = question.anchored
    if answer is False or (question.is_second and not _is_second(question)):
        return False
    beside = question.rule.anchor.not_during
    if beside and question.may_run(beside, question.latest):
        answer = None
    for line in question.chart.lines:
        if line.therapy in beside:
            runs = question.runs_at(line, question.latest)
            if runs:
                return False
            if runs is None:
                answer = None
    return answer


def _is_second(question: Question) -> bool:
    """Whether the samples before the latest end in a run that holds a first sample [9]."""
    pair: Pair = question.rule.fact(question.rule.anchor.second_of).params
    earlier = [
        sample
        for sample in question.samples
        if not sample.before and sample is not question.latest and question.usable(sample)
    ]
    run, _ = run_before(question, pair, earlier)
    return any(pair.first_from <= sample.day <= pair.first_to for sample in run)


def _interference(question: Question, _params: object, sample: Sample) -> Tri:
    """Whether a drug that binds the analyte is about [11], and the assay is not declared to tolerate it."""
    present = drug_present(question, question.marker.bound_by, sample)
    if present is True and sample.result.checks.get("drug-tolerance") is True:
        return False
    return present


def drug_present(question: Question, therapy: str, sample: Sample) -> Tri:
    """Whether a drug of the class, or what it leaves behind, is about on the day of the sample."""
    answer: Tri = None if question.may_run((therapy,), sample) else False
    for line in question.chart.lines:
        if line.therapy != therapy:
            continue
        runs = question.runs_at(line, sample)
        if runs:
            return True
        if runs is None:
            answer = None
    return answer


def _read_bound_drug(section: Section, context: Context) -> Pair | None:
    section.keys("bound_drug", optional=("pair",))
    section.choice("bound_drug", ["yes"])
    return read_pair_of(section, context)


def _bound_drug(question: Question, pair: Pair | None) -> Tri:
    """Whether a drug that binds the analyte is about for any sample on which the state rests."""
    if not question.marker.bound_by:
        return False
    answers = {drug_present(question, question.marker.bound_by, sample) for sample in resting(question, pair)}
    return True if True in answers else None if None in answers else False


def _neoadjuvant(question: Question, _params: object) -> Tri:
    return question.line.neoadjuvant if question.line is not None else None


def _operated(question: Question, _params: object) -> Tri:
    """Whether the tumour was removed on the line, by the day of the latest sample; None if that may be so."""
    start, chart = question.start, question.chart
    if start is None or question.latest is None or question.latest.collected < start:
        return False
    sampled = question.latest.collected
    answers = {
        operation.curative
        for operation in chart.operations
        if not operation.planned and start <= operation.day <= sampled
    }
    for event in chart.events:  # one of which only the month is known: for certain only if all its days lie so
        if event.kind == "operation-of-uncertain-day" and event.curative is not False:
            first, last = event.start or date.min, event.end or date.max
            if first <= sampled and start <= last:
                answers.add(event.curative if start <= first and last <= sampled else None)
    if chart.undated_resection:
        answers.add(None)
    return True if True in answers else None if None in answers else False


def _other_breast(question: Question, _params: object) -> Tri:
    """Whether a breast cancer is left in a breast that the operations did not touch; None if their sides are not known, or

    if that cancer is only suspected.
    """
    disease = question.chart.diagnosis
    if disease.perhaps_side != "both" or question.start is None or question.latest is None:
        return False
    until = max(question.start, question.latest.collected)
    sides = {
        operation.side
        for operation in question.chart.operations
        if operation.curative is not False and operation.day <= until and (question.before or not operation.planned)
    }
    if "both" in sides or {"left", "right"} <= sides:
        return False
    return None if None in sides or disease.side != "both" else True


def _read_other_drugs(section: Section, context: Context) -> tuple[tuple[str, ...], tuple[str, ...]]:
    section.keys("drugs_other_than", optional=("beside",))
    drugs = sorted({drug for known in context.therapies.values() for drug in known.drugs})
    for name in section.texts("drugs_other_than"):
        if name not in drugs:
            hint = likely(name, drugs, "drugs")
            section.problem(f"'{name}' is no drug", hint, at="drugs_other_than", mistake=Mistake.UNKNOWN_WORD)
    for name in section.texts("beside"):
        if name not in context.therapies:
            hint = likely(name, sorted(context.therapies), "classes")
            section.problem(f"'{name}' is no therapy class", hint, at="beside", mistake=Mistake.UNKNOWN_THERAPY)
    return section.texts("drugs_other_than"), section.texts("beside")


def _other_drugs(question: Question, params: tuple[tuple[str, ...], tuple[str, ...]]) -> Tri:
    """Whether another drug than these may run in the line when the latest sample is drawn, or a class beside it [39]."""
    studied, beside = params
    line, latest = question.line, question.latest
    if line is None or latest is None:
        return False
    drugs = line.drugs_on(latest.collected)
    if not drugs or any(drug not in studied for drug in drugs):
        return True
    return any(
        other.therapy in beside and question.runs_at(other, latest) is not False for other in question.chart.lines
    )


def _assumed_ongoing(question: Question, _params: object) -> Tri:
    return question.line is not None and question.line.extent == "assumed-ongoing"


def _read_off(section: Section, context: Context) -> Pair | None:
    section.keys("off_therapy")
    spec = context.facts.get(section.text("off_therapy"))
    if spec is None or not isinstance(spec.params, Pair):
        section.problem(
            "'off_therapy' names no confirmation",
            "name a fact of the kind 'pair'",
            at="off_therapy",
            mistake=Mistake.NOT_A_PAIR,
        )
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
    again = Question(question.chart, question.rule, question.book, question.shared, off_line=past[-1])
    return confirmation(again, pair)[0]


KINDS = {
    "applies": Kind(nothing("applies"), _applies, can_be_unknown=True, stage="always"),
    "neoadjuvant": Kind(nothing("neoadjuvant"), _neoadjuvant, can_be_unknown=True, stage="always"),
    "operated": Kind(nothing("operated"), _operated, can_be_unknown=True, stage="always"),
    "cancer_in_other_breast": Kind(
        nothing("cancer_in_other_breast"), _other_breast, can_be_unknown=True, stage="always"
    ),
    "drugs_other_than": Kind(_read_other_drugs, _other_drugs, stage="applies"),
    "assumed_ongoing": Kind(nothing("assumed_ongoing"), _assumed_ongoing, stage="applies"),
    "interference": Kind(
        nothing("interference", "drug"),
        of_sample=_interference,
        can_be_unknown=True,
        stage="applies",
        depends="sample",
        never=lambda _chart, marker: not marker.bound_by,
    ),
    "bound_drug": Kind(_read_bound_drug, _bound_drug, can_be_unknown=True),
    "off_therapy": Kind(_read_off, _off_therapy, can_be_unknown=True, stage="always"),
}
