"""Meetings: planned, with an agenda that people order and carry over, and minutes that nobody overwrites for another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from fastapi import Response

from cds.board.legible import day
from cds.board.paper import meeting_pdf
from cds.board.sheets import agenda_line, meeting_sheet
from cds.board.words import words
from cds.record.decisions import Decided, NotAccepted
from cds.record.followup import Action, FollowUp
from cds.record.meetings import AlreadyHeld, Case, ChangedMeanwhile, Meeting, Meetings, NoSuchMeeting
from cds.record.names import Named
from cds.record.reviews import Reviews
from cds.record.worklist import Row, of_patient
from cds.service.access.browser import field, number
from cds.service.access.gate import Act, Gate, NotThere, Visit, redirect
from cds.service.pages.deciding import problem
from cds.service.pages.rendering import done_of, file, page


@dataclass(frozen=True, slots=True)
class Item:
    """A patient on an agenda, with what is found, and what this meeting decided."""

    id: str
    patient: str
    named: Named
    status: str
    carried_day: str
    rows: tuple[Row, ...]
    decisions: tuple[Decided, ...]
    actions: tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class Minutes:
    """What the form of a meeting holds."""

    attendees: str
    quorum: bool
    minutes: str


class MeetingPages:
    """The list of meetings, and each with its agenda."""

    def __init__(self, meetings: Meetings, reviews: Reviews, follow_up: FollowUp, titles: Mapping[str, str]):
        self._meetings, self._reviews, self._follow_up, self._titles = meetings, reviews, follow_up, titles

    def add_to(self, gate: Gate) -> None:
        gate.add("/board/meetings", "GET", Act.VIEW, self._list)
        gate.add("/board/meetings", "POST", Act.HOLD_MEETINGS, self._plan)
        gate.add("/board/meetings/{meeting}", "GET", Act.VIEW, self._page)
        gate.add("/board/meetings/{meeting}/sheet.pdf", "GET", Act.VIEW, self._sheet)
        gate.add("/board/meetings/{meeting}", "POST", Act.HOLD_MEETINGS, self._change)

    def _list(self, visit: Visit, problems: Sequence[str] = (), status: HTTPStatus = HTTPStatus.OK) -> Response:
        tenant = visit.visitor.tenant
        planned = self._meetings.meetings(tenant, status="planned")
        held = self._meetings.meetings(tenant, status="held")
        return page(
            "meetings", status, visitor=visit.visitor, here="meetings", planned=sorted(planned, key=lambda one: one.day),
            held=held, sizes={one.id: len(self._meetings.agenda(tenant, one.id)) for one in (*planned, *held[:20])},
            problems=problems, draft={name: field(visit.form, name) for name in ("board", "day")}, done=done_of(visit.query),
        )  # fmt: skip

    def _plan(self, visit: Visit) -> Response:
        try:
            key = self._meetings.plan(
                visit.visitor.tenant, field(visit.form, "board"), field(visit.form, "day"), visit.visitor.name
            )
        except NotAccepted as error:
            return self._list(visit, (problem(error),), HTTPStatus.UNPROCESSABLE_ENTITY)
        return redirect(f"/board/meetings/{key}?done=planned")

    def _page(self, visit: Visit) -> Response:
        meeting = self.meeting(visit)
        return self._shown(visit, meeting, Minutes("\n".join(meeting.attendees), meeting.quorum, meeting.minutes))

    def _sheet(self, visit: Visit) -> Response:
        meeting, w = self.meeting(visit), words().meetings
        lines = []
        for item in self.items(visit.visitor.tenant, meeting):
            came = w.carried_from.format(day=day(item.carried_day)) if item.carried_day else ""
            note = w.carried if item.status == "carried" else came
            lines.append(agenda_line(item.named, item.rows, item.decisions, item.actions, note, self._titles))
        return file(meeting_pdf(meeting_sheet(meeting, lines)), "application/pdf", "meeting.pdf")

    def meeting(self, visit: Visit) -> Meeting:
        """The meeting that the address names. Raises `NotThere`."""
        try:
            return self._meetings.meeting(visit.visitor.tenant, visit.path["meeting"])
        except NoSuchMeeting:
            raise NotThere from None

    def items(self, tenant: str, meeting: Meeting) -> list[Item]:
        """The agenda of a meeting, in its order, each patient with what is found and what was decided there."""
        days = {one.id: one.day for one in self._meetings.meetings(tenant, most=1000)}
        return [self._item(tenant, meeting, one, days) for one in self._meetings.agenda(tenant, meeting.id)]

    def _item(self, tenant: str, meeting: Meeting, case: Case, days: Mapping[str, str]) -> Item:
        decisions = [one for one in self._reviews.decisions(tenant, patient=case.patient) if one.meeting == meeting.id]
        latest: dict[str, Decided] = {one.advisory: one for one in decisions}
        actions: dict[str, list[Action]] = defaultdict(list)
        for action in self._follow_up.actions(tenant, patient=case.patient):
            actions[action.decision].append(action)
        return Item(
            case.id,
            case.patient,
            case.named,
            case.status,
            days.get(case.carried_from, ""),
            tuple(row for row in of_patient(self._meetings.database, tenant, case.patient) if _is_listed(row)),
            tuple(latest.values()),
            tuple(action for one in latest.values() for action in actions[one.id]),
        )

    def _shown(
        self,
        visit: Visit,
        meeting: Meeting,
        draft: Minutes,
        problems: Sequence[str] = (),
        status: HTTPStatus = HTTPStatus.OK,
    ) -> Response:
        tenant = visit.visitor.tenant
        planned = self._meetings.meetings(tenant, status="planned")
        return page(
            "meeting", status, visitor=visit.visitor, here="meetings", meeting=meeting, items=self.items(tenant, meeting),
            others=[one for one in planned if one.id != meeting.id], draft=draft, problems=problems,
            markers=self._titles, done=done_of(visit.query),
        )  # fmt: skip

    # what a chair does ---------------------------------------------------------------------------------------------

    def _change(self, visit: Visit) -> Response:
        meeting, do = self.meeting(visit), field(visit.form, "do")
        here = f"/board/meetings/{meeting.id}"
        try:
            if do in ("save", "hold"):
                return self._keep(visit, meeting, close=do == "hold")
            if do == "carry":
                self._meetings.carry(visit.visitor.tenant, meeting.id, field(visit.form, "to"), visit.visitor.name)
                return redirect(f"{here}?done=carried")
            return redirect(f"{here}?done={self._arrange(visit, meeting, do)}")
        except NotAccepted as error:
            return self._again(visit, meeting, problem(error))
        except (NoSuchMeeting, AlreadyHeld):
            raise NotThere from None

    def _arrange(self, visit: Visit, meeting: Meeting, do: str) -> str:
        """Change the agenda by one case; the name of what was done."""
        tenant, name, item = visit.visitor.tenant, visit.visitor.name, field(visit.form, "item")
        if do == "remove":
            self._meetings.remove(tenant, meeting.id, item, name)
            return "removed"
        if do == "discussed":
            self._meetings.mark(tenant, meeting.id, item, name, discussed=True)
            return "discussed"
        order = [one.id for one in self._meetings.agenda(tenant, meeting.id)]
        if do not in ("up", "down") or item not in order:
            raise NotThere
        place = order.index(item)
        other = min(max(place + (1 if do == "down" else -1), 0), len(order) - 1)
        order[place], order[other] = order[other], order[place]
        self._meetings.reorder(tenant, meeting.id, order, name)
        return "moved"

    def _keep(self, visit: Visit, meeting: Meeting, *, close: bool) -> Response:
        revision, draft = number(field(visit.form, "revision"), digits=8), _minutes(visit)
        if revision is None:
            raise NotThere
        try:
            self._meetings.change(
                visit.visitor.tenant, meeting.id, revision, visit.visitor.name, quorum=draft.quorum,
                attendees=[line for one in draft.attendees.splitlines() if (line := one.strip())],
                minutes=draft.minutes, close=close,
            )  # fmt: skip
        except ChangedMeanwhile:
            return self._shown(visit, meeting, draft, (words().meetings.conflict,), HTTPStatus.CONFLICT)
        except NotAccepted as error:
            return self._again(visit, meeting, problem(error))
        return redirect(f"/board/meetings/{meeting.id}?done={'held' if close else 'saved'}")

    def _again(self, visit: Visit, meeting: Meeting, problem: str) -> Response:
        return self._shown(visit, meeting, _minutes(visit), (problem,), HTTPStatus.UNPROCESSABLE_ENTITY)


def _is_listed(row: Row) -> bool:
    return row.state not in ("not-applicable", "out-of-scope", "background")


def _minutes(visit: Visit) -> Minutes:
    form = visit.form
    return Minutes(field(form, "attendees"), field(form, "quorum") == "yes", field(form, "minutes"))
