"""Facts about response assessments by imaging."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from cds.chart.model import Chart, Imaging, Tri
from cds.mistakes import Mistake
from cds.reasoning.change import Pair
from cds.reasoning.kinds.kind import Context, Kind, read_pair_of, resting
from cds.reasoning.question import Question
from cds.source import Section

WORSE_RESPONSE = {
    name: rank for rank, name in enumerate(("NE", "CR", "iCR", "PR", "iPR", "SD", "iSD", "iUPD", "PD", "iCPD"))
}
"""Responses by RECIST 1.1 and iRECIST, the better first; before them what answers nothing."""
NOT_EVALUABLE = "NE"


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
    days = (sample.collected for sample in resting(question, pair))
    return is_one_of(response_near(question.chart, days, within), responses)


def response_near(chart: Chart, days: Iterable[date], within: int) -> Imaging | None:
    """The most recent response known and within so many days of one of `days`; of one day, the worse [28].

    An assessment that could not be evaluated answers nothing, so it takes no answer away either.
    """
    places = tuple(days)
    near = (
        seen
        for seen in chart.imaging
        if seen.response != NOT_EVALUABLE and any(abs((seen.day - day).days) <= within for day in places)
    )
    return max(near, key=lambda seen: (seen.day, WORSE_RESPONSE.get(seen.response, -1)), default=None)


def is_one_of(seen: Imaging | None, responses: frozenset[str]) -> bool:
    """Whether there is a response and it is one of these."""
    return seen is not None and seen.response in responses


KINDS = {
    "imaging": Kind(_read_imaging, _imaging),
}
