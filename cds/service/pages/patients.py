"""The pages of one patient: the case with everything that was decided about it, its picture, and the rules as they read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace

from fastapi import Response
from markupsafe import Markup

from cds.board.age import Age
from cds.board.case import Case, Cases
from cds.board.export import course_csv
from cds.board.paper import patient_pdf
from cds.board.sheets import claimed_since, patient_sheet
from cds.board.taken_back import outdated, taken_back
from cds.drawing import svg, table_of
from cds.record.codes import ACTIONS, CLOSED, DISPOSITIONS, LEVELS, NOT_DONE, REASONS, RESISTANCE, RESPONSES
from cds.record.decisions import Decided
from cds.record.followup import FollowUp, Outcome
from cds.record.meetings import Meetings
from cds.record.reviews import Reviews
from cds.record.rule_texts import rule_text
from cds.record.sittings import Meeting
from cds.service.access.gate import Act, Gate, NotThere, Visit
from cds.service.access.visitor import Visitor
from cds.service.pages.rendering import done_of, file, page

CODES = SimpleNamespace(
    dispositions=tuple(DISPOSITIONS), reasons=tuple(REASONS), actions=tuple(ACTIONS), levels=tuple(LEVELS),
    responses=tuple(RESPONSES), resistance=tuple(RESISTANCE), not_done=tuple(NOT_DONE),
    closed=tuple(one.value for one in CLOSED),
)  # fmt: skip
"""What forms offer to choose from."""


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    """One outcome of the clock of an advisory, with everything that was said of it."""

    title: str
    advisory: str
    months: int
    due: str
    said: tuple[Outcome, ...]  # also of an earlier opening
    stated: bool  # whether one is of the opening that is followed up
    asks: str  # what is asked besides the response: a key of the words


class PatientPages:
    """What is shown of a patient."""

    def __init__(self, cases: Cases, reviews: Reviews, follow_up: FollowUp, meetings: Meetings):
        self._cases, self._reviews, self._follow_up, self._meetings = cases, reviews, follow_up, meetings

    def add_to(self, gate: Gate) -> None:
        gate.add("/board/patients/{patient}", "GET", Act.VIEW, self._page)
        gate.add("/board/patients/{patient}/course.svg", "GET", Act.VIEW, self._picture)
        gate.add("/board/patients/{patient}/sheet.pdf", "GET", Act.VIEW, self._sheet)
        gate.add("/board/patients/{patient}/table.csv", "GET", Act.VIEW, self._table)
        gate.add("/board/rules/{rule}/{version}", "GET", Act.READ_RULES, self._rule)

    def _case(self, visit: Visit) -> Case:
        return case_of(self._cases, visit, visit.query.get("evaluation", ""))

    def _page(self, visit: Visit) -> Response:
        case, tenant = self._case(visit), visit.visitor.tenant
        decisions: dict[str, list[Decided]] = defaultdict(list)
        for one in self._reviews.decisions(tenant, patient=case.key):
            decisions[one.advisory].append(one)
        actions = self._follow_up.actions(tenant, patient=case.key)
        return page(
            "patient", visitor=visit.visitor, case=case, here="", at=visit.query.get("meeting", ""), today=visit.today.isoformat(), codes=CODES,
            age=age_of(case, visit),
            drawing=Markup(svg(case.scene, styled=False)),  # noqa: S704 - our own, with every text of a record escaped
            table=table_of(case.scene), decisions=decisions, may_second=may_second(visit.visitor),
            actions=actions, taken_back=list(taken_back(case, decisions, actions)), outdated=outdated, claimed_since=claimed_since, outcomes=tuple(self._outcomes(tenant, case)),
            done=done_of(visit.done), agendas=self._agendas(visit, case),
        )  # fmt: skip

    def _agendas(self, visit: Visit, case: Case) -> Mapping[str, Sequence[Meeting]]:
        """The meetings that wait for the patient, and those on whose agenda whoever looks may put them."""
        who = visit.visitor
        if who.patient:  # an EHR opened this patient only, and no meeting
            return {"awaiting": (), "open_meetings": ()}
        awaiting = self._meetings.awaiting(who.tenant, case.key)
        planned = self._meetings.meetings(who.tenant, status="planned") if who.may(Act.HOLD_MEETINGS) else ()
        return {"awaiting": awaiting, "open_meetings": [one for one in planned if one not in awaiting]}

    def _outcomes(self, tenant: str, case: Case) -> Iterator[OutcomeRow]:
        clocks = self._follow_up.clocks(tenant, case.key)
        for advisory, title in case.titles.items():
            advised = case.advised(advisory)
            # In a question about an operation no drug is at issue, so there is nothing to be resistant to.
            of_line = advised is not None and advised.advisory is not None and advised.advisory.therapy
            asks = "resistance" if of_line else "source"
            for due in clocks.get(advisory, ()):
                yield OutcomeRow(title, advisory, due.months, due.due, due.said, due.stated is not None, asks)

    def _picture(self, visit: Visit) -> Response:
        # To be kept, not shown: it brings its own style, which a page of ours may not have.
        return file(svg(self._case(visit).scene).encode(), "image/svg+xml", "course.svg")

    def _sheet(self, visit: Visit) -> Response:
        case = self._case(visit)
        decisions = self._reviews.decisions(visit.visitor.tenant, patient=case.key)
        return file(patient_pdf(patient_sheet(case, decisions, visit.today)), "application/pdf", "patient.pdf")

    def _table(self, visit: Visit) -> Response:
        case = self._case(visit)
        header = case.header
        content = course_csv(table_of(case.scene), header.name, header.born, header.number)
        return file(content, "text/csv", "course.csv")

    def _rule(self, visit: Visit) -> Response:
        found = rule_text(self._cases.database, visit.path["version"])
        if found is None or found.name != visit.path["rule"]:
            raise NotThere
        return page(
            "rule", visitor=visit.visitor, rule=found.name, version=found.hash, first=found.first, text=found.text,
            present=found.hash in self._cases.hashes,
        )  # fmt: skip


def case_of(cases: Cases, visit: Visit, evaluation: str = "") -> Case:
    """The case of the patient that the address names, noted as what the visitor sees. Raises `NoSuchPatient`."""
    found = cases.case(visit.visitor.tenant, visit.path["patient"], evaluation)
    visit.about(found.key)
    return found


def age_of(case: Case, visit: Visit) -> Age:
    """How old the case is on the day of a visit."""
    return Age(visit.today, case.as_of, case.sampled)


def may_second(visitor: Visitor) -> Callable[[Decided], bool]:
    """Whether a visitor may be the second reader of a decision: they may decide, and have said nothing about it."""

    def may(decision: Decided) -> bool:
        spoke = {decision.by.casefold(), *(one.by.casefold() for one in decision.readings)}
        return visitor.may(Act.DECIDE) and decision.newest and visitor.name.casefold() not in spoke

    return may
