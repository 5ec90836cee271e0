"""Meetings: planned, with an agenda that people order and carry over, and minutes that nobody overwrites for another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus

from fastapi import Response

from cds.board.paper import meeting_pdf
from cds.board.sheets import meeting_sheet
from cds.board.words import words
from cds.record.agendas import AlreadyHeld, NoSuchMeeting
from cds.record.decisions import NotAccepted
from cds.record.meetings import Case, ChangedMeanwhile, Meeting, Meetings
from cds.service.access.browser import field, number
from cds.service.access.gate import Act, Gate, NotThere, Visit, redirect
from cds.service.pages.deciding import problem
from cds.service.pages.rendering import done_of, file, page

_MOST_HELD = 500
_ARRANGED = {
    "remove": "removed",
    "discussed": "discussed",
    "undiscussed": "undiscussed",
    "up": "moved",
    "down": "moved",
}
"""What a chair does to one case of an agenda, and how the page says that it was done."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What the form of a meeting holds. `revision` is that of the meeting which its author saw."""

    revision: str
    board: str
    day: str
    attendees: str
    quorum: bool
    minutes: str


class MeetingPages:
    """The list of meetings, and each with its agenda. `titles` are those of markers and therapy classes, by their keys."""

    def __init__(self, meetings: Meetings, titles: Mapping[str, str]):
        self._meetings, self._titles = meetings, titles

    def add_to(self, gate: Gate) -> None:
        gate.add("/board/meetings", "GET", Act.VIEW, self._list)
        gate.add("/board/meetings", "POST", Act.HOLD_MEETINGS, self._plan)
        gate.add("/board/meetings/{meeting}", "GET", Act.VIEW, self._page)
        gate.add("/board/meetings/{meeting}/sheet.pdf", "GET", Act.VIEW, self._sheet)
        gate.add("/board/meetings/{meeting}", "POST", Act.HOLD_MEETINGS, self._change)

    def _list(self, visit: Visit, problems: Sequence[str] = (), status: HTTPStatus = HTTPStatus.OK) -> Response:
        tenant = visit.visitor.tenant
        planned = self._meetings.meetings(tenant, status="planned")
        return page(
            "meetings", status, visitor=visit.visitor, here="meetings", planned=sorted(planned, key=lambda one: one.day),
            held=self._meetings.meetings(tenant, status="held", most=_MOST_HELD), problems=problems,
            draft={name: field(visit.form, name) for name in ("board", "day")},
        )  # fmt: skip

    def _plan(self, visit: Visit) -> Response:
        try:
            key = self._meetings.plan(
                visit.visitor.tenant, field(visit.form, "board"), field(visit.form, "day"), visit.visitor.name
            )
        except NotAccepted as error:
            return self._list(visit, (problem(error),), HTTPStatus.UNPROCESSABLE_ENTITY)
        visit.done = "planned"
        return redirect(f"/board/meetings/{key}")

    def _page(self, visit: Visit) -> Response:
        return self._shown(visit)

    def _sheet(self, visit: Visit) -> Response:
        meeting, cases = self._sitting(visit)
        return file(meeting_pdf(meeting_sheet(meeting, cases, self._titles)), "application/pdf", "meeting.pdf")

    def _sitting(self, visit: Visit) -> tuple[Meeting, list[Case]]:
        """The meeting that the address names, with its agenda. Raises `NotThere`."""
        try:
            return self._meetings.sitting(visit.visitor.tenant, visit.path["meeting"])
        except NoSuchMeeting:
            raise NotThere from None

    def _shown(
        self, visit: Visit, draft: Draft | None = None, problem: str = "", status: HTTPStatus = HTTPStatus.OK
    ) -> Response:
        """The meeting as it stands. `draft`: what was written and not recorded; where somebody else was first, beside what stands."""
        meeting, cases = self._sitting(visit)
        standing, first = _as_it_stands(meeting), status == HTTPStatus.CONFLICT
        planned = self._meetings.meetings(visit.visitor.tenant, status="planned")
        return page(
            "meeting", status, visitor=visit.visitor, here="meetings", meeting=meeting, cases=cases,
            others=sorted((one for one in planned if one.id != meeting.id), key=lambda one: one.day), problem=problem,
            draft=standing if draft is None else replace(draft, revision=standing.revision) if first else draft,
            conflict=first and draft is not None, markers=self._titles, done=done_of(visit.done),
        )  # fmt: skip

    # what a chair does ---------------------------------------------------------------------------------------------

    def _change(self, visit: Visit) -> Response:
        tenant, name, do, w = visit.visitor.tenant, visit.visitor.name, field(visit.form, "do"), words().meetings
        meeting = visit.path["meeting"]
        try:
            if do in ("save", "hold"):
                return self._keep(visit, close=do == "hold")
            if do == "carry":
                self._meetings.carry(tenant, meeting, field(visit.form, "to"), name)
            else:
                self._arrange(visit, do)
        except NotAccepted as error:
            return self._shown(visit, problem=problem(error), status=HTTPStatus.UNPROCESSABLE_ENTITY)
        except AlreadyHeld:
            return self._shown(visit, problem=w.closed_meanwhile, status=HTTPStatus.CONFLICT)
        except NoSuchMeeting:
            raise NotThere from None
        visit.done = _ARRANGED.get(do, "carried")
        return redirect(f"/board/meetings/{meeting}")

    def _arrange(self, visit: Visit, do: str) -> None:
        """Change the agenda by one case. Raises `NoSuchMeeting` if it is not there (any more), and `AlreadyHeld`."""
        tenant, name, meeting = visit.visitor.tenant, visit.visitor.name, visit.path["meeting"]
        item = field(visit.form, "item")
        if do == "remove":
            self._meetings.remove(tenant, meeting, item, name)
        elif do in ("discussed", "undiscussed"):
            self._meetings.mark(tenant, meeting, item, name, discussed=do == "discussed")
        elif do in ("up", "down"):
            order = [one.id for one in self._meetings.agenda(tenant, meeting)]
            if item not in order:
                raise NotThere
            place = order.index(item)
            other = min(max(place + (1 if do == "down" else -1), 0), len(order) - 1)
            order[place], order[other] = order[other], order[place]
            self._meetings.reorder(tenant, meeting, order, name)
        else:
            raise NotThere

    def _keep(self, visit: Visit, *, close: bool) -> Response:
        meeting, draft, w = visit.path["meeting"], _draft(visit), words().meetings
        revision = number(draft.revision, 8)
        if revision is None:
            raise NotThere
        try:
            self._meetings.change(
                visit.visitor.tenant, meeting, revision, visit.visitor.name, board=draft.board, day=draft.day,
                attendees=draft.attendees.splitlines(), quorum=draft.quorum, minutes=draft.minutes, close=close,
            )  # fmt: skip
        except (ChangedMeanwhile, AlreadyHeld) as error:
            why = w.conflict if isinstance(error, ChangedMeanwhile) else w.closed_meanwhile
            return self._shown(visit, draft, why, HTTPStatus.CONFLICT)
        except NotAccepted as error:
            return self._shown(visit, draft, problem(error), HTTPStatus.UNPROCESSABLE_ENTITY)
        visit.done = "held" if close else "saved"
        return redirect(f"/board/meetings/{meeting}")


def _as_it_stands(meeting: Meeting) -> Draft:
    attendees = "\n".join(meeting.attendees)
    return Draft(str(meeting.revision), meeting.board, meeting.day, attendees, meeting.quorum, meeting.minutes)


def _draft(visit: Visit) -> Draft:
    form = visit.form
    return Draft(
        field(form, "revision"), field(form, "board"), field(form, "day"), field(form, "attendees"),
        field(form, "quorum") == "yes", field(form, "minutes"),
    )  # fmt: skip
