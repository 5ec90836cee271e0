"""Facts about response assessments by imaging."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from cds.chart.model import Chart, Tri
from cds.mistakes import Mistake
from cds.reasoning.change import Pair
from cds.reasoning.kinds.kind import Context, Kind, read_pair_of, resting
from cds.reasoning.question import Question
from cds.source import Section

WORSE_RESPONSE = {
    name: rank for rank, name in enumerate(("NE", "CR", "iCR", "PR", "iPR", "SD", "iSD", "iUPD", "PD", "iCPD"))
}
"""Responses by RECIST 1.1 and iRECIST, the better first; what could not be evaluated never outweighs what could."""


def _read_imaging(section: Section, context: Context) -> tuple[frozenset[str], int, Pair | None]:
    section.keys("imaging", "within", optional=("pair",))
    responses = frozenset(section.texts("imaging"))
    for response in responses - set(WORSE_RESPONSE):
        section.problem(
            f"'{response}' is no response",
            f"one of {', '.join(WORSE_RESPONSE)}",
            at="imaging",
            mistake=Mistake.UNKNOWN_RESPONSE,
        )
    return responses, section.days("within"), read_pair_of(section, context)


def _imaging(question: Question, params: tuple[frozenset[str], int, Pair | None]) -> Tri:
    responses, within, pair = params
    if not question.chart.imaging:
        return False
    days = [sample.collected for sample in resting(question, pair)]
    return response_near(question.chart, days, within) in responses


def response_near(chart: Chart, days: Sequence[date], within: int) -> str | None:
    """The most recent response known and within so many days of one of `days`; of one day, the worse [28]."""
    near = [
        assessment for assessment in chart.imaging if any(abs((assessment.day - day).days) <= within for day in days)
    ]
    if not near:
        return None
    return max(near, key=lambda assessment: (assessment.day, WORSE_RESPONSE.get(assessment.response, -1))).response


KINDS = {
    "imaging": Kind(_read_imaging, _imaging),
}
