"""The pages of the board, put together: what each needs of the record, and their places behind the gate."""

from __future__ import annotations

from cds.board.case import Cases
from cds.reasoning.reasoner import Reasoner
from cds.record.recorder import Recorder
from cds.service.access.gate import Gate
from cds.service.pages.deciding import DecisionPages
from cds.service.pages.meetings import MeetingPages
from cds.service.pages.overview import OverviewPages
from cds.service.pages.patients import PatientPages
from cds.service.pages.rules import RulePages
from cds.service.pages.worklist import WorklistPages
from cds.settings import Settings


def add_board(
    gate: Gate, settings: Settings, recorder: Recorder, reasoner: Reasoner, candidate: Reasoner | None
) -> None:
    """Put the board's pages behind the gate. `candidate` holds a rule book that may come next."""
    reviews, follow_up, meetings = recorder.reviews, recorder.follow_up, recorder.meetings
    cases = Cases(recorder.database, reasoner, settings.about(), candidate)
    worklist = WorklistPages(reasoner.rulebook, meetings)
    PatientPages(cases, reviews, follow_up, meetings).add_to(gate)
    worklist.add_to(gate)
    DecisionPages(cases, reviews, follow_up, meetings).add_to(gate)
    MeetingPages(meetings, worklist.markers | worklist.therapies).add_to(gate)
    RulePages(reasoner.rulebook, recorder.database).add_to(gate)
    titles = {rule.name: rule.title for rule in reasoner.rulebook.rules}
    OverviewPages(follow_up, titles, worklist.therapies).add_to(gate)
