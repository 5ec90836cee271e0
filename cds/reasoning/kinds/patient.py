"""Facts about the patient and the calendar."""

from __future__ import annotations

from datetime import date

from cds.chart.model import Tri
from cds.reasoning.kinds.kind import Context, Days, Kind, choice, nothing
from cds.reasoning.question import Question, Sample
from cds.source import Section


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


def _disease(question: Question, is_absent: bool) -> Tri:
    disease = question.chart.diagnosis.invasive_breast_cancer
    return None if disease is None else disease is not is_absent


def _read_disease(section: Section, _context: Context) -> bool:
    section.keys("disease", "is").choice("disease", ["invasive-breast-cancer"])
    return section.choice("is", ["absent", "present"]) == "absent"


def _read_age(section: Section, _context: Context) -> int:
    section.keys("age")
    return int(section.section("age").number("under"))


def age_on(birth: date, day: date) -> int:
    """Completed years."""
    return day.year - birth.year - ((day.month, day.day) < (birth.month, birth.day))


def _age(question: Question, under: int) -> Tri:
    chart = question.chart
    last, first = chart.birth_date, chart.born_from or chart.birth_date
    if last is None or first is None:
        return None
    younger, older = (age_on(birth, chart.as_of) < under for birth in (last, first))
    return younger if younger == older else None


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


KINDS = {
    "day": Kind(_read_day, of_sample=_day),
    "stale": Kind(nothing("stale"), _stale, stage="applies"),
    "disease": Kind(
        _read_disease,
        _disease,
        can_be_unknown=True,
        stage="always",
        depends="chart",
    ),
    "age": Kind(_read_age, _age, can_be_unknown=True, stage="always", depends="chart"),
    "recorded": Kind(choice("recorded", "metastatic", "other-cancer"), _recorded, stage="always", depends="chart"),
    "receptor": Kind(
        choice("receptor", "hormone", "her2"), _receptor, can_be_unknown=True, stage="always", depends="chart"
    ),
    "her2_doubtful": Kind(nothing("her2_doubtful"), _receptor_doubtful, stage="applies", depends="chart"),
    "sex": Kind(choice("sex", "male", "female"), _sex, stage="always", depends="chart"),
}
