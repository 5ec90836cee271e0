"""Meetings: planned, with an agenda that people order and carry over, and minutes that nobody overwrites for another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from hashlib import sha256
from http import HTTPStatus
from urllib.parse import urlencode

from fastapi import Response

from cds.board.paper import meeting_pdf
from cds.board.sheets import about_older, before_told, elsewhere, found_told, meeting_sheet, withdrawal_told
from cds.board.words import words
from cds.record.agendas import AlreadyHeld, Cancelled, ChangedMeanwhile, NoSuchMeeting
from cds.record.decisions import NotAccepted
from cds.record.meetings import Meetings
from cds.record.sittings import Case, Meeting
from cds.service.access.browser import field, number
from cds.service.access.gate import Act, Gate, NotThere, Visit, redirect
from cds.service.pages.deciding import problem
from cds.service.pages.rendering import done_of, file, page

_MOST_HELD = 500
_FARTHEST = timedelta(days=400)
"""Who plans a meeting of a later day is asked whether it is meant: likely the year is a slip."""
_DONE = {
    "save": "saved",
    "close": "held",
    "cancelled": "cancelled",
    "carry": "carried",
    "remove": "removed",
    "discussed": "discussed",
    "undiscussed": "undiscussed",
    "up": "moved",
    "down": "moved",
}
"""What the buttons of a meeting do, and how the page says that it was done."""


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

    def _list(
        self, visit: Visit, problems: Sequence[str] = (), status: HTTPStatus = HTTPStatus.OK, *, doubtful: bool = False
    ) -> Response:
        tenant = visit.visitor.tenant
        return page(
            "meetings", status, visitor=visit.visitor, here="meetings", planned=self._meetings.meetings(tenant, status="planned"),
            held=self._meetings.meetings(tenant, status="held", most=_MOST_HELD), problems=problems,
            doubtful=doubtful, draft={name: field(visit.form, name) for name in ("board", "day")},
        )  # fmt: skip

    def _plan(self, visit: Visit) -> Response:
        if (doubts := self._doubts(visit)) and field(visit.form, "sure") != "yes":
            return self._list(visit, doubts, HTTPStatus.UNPROCESSABLE_ENTITY, doubtful=True)
        try:
            key = self._meetings.plan(
                visit.visitor.tenant, field(visit.form, "board"), field(visit.form, "day"), visit.visitor.name
            )
        except NotAccepted as error:
            return self._list(visit, (problem(error),), HTTPStatus.UNPROCESSABLE_ENTITY)
        visit.done = "planned"
        return redirect(f"/board/meetings/{key}")

    def _doubts(self, visit: Visit) -> list[str]:
        """What is asked before a meeting is planned: it may be entered afterwards or far ahead, and a board may meet twice a day."""
        w, board, day = words().meetings, field(visit.form, "board").strip(), field(visit.form, "day")
        known = self._meetings.meetings(visit.visitor.tenant, day=day)
        twice = any(one.board.casefold() == board.casefold() for one in known)
        ahead = _ahead(day, visit.today)
        return [w.is_past] * (ahead < timedelta()) + [w.is_far] * (ahead > _FARTHEST) + [w.is_there] * twice

    def _page(self, visit: Visit) -> Response:
        return self._shown(visit)

    def _sheet(self, visit: Visit) -> Response:
        meeting, cases = self._sitting(visit)
        if meeting.status == "cancelled":
            raise NotThere
        return file(meeting_pdf(meeting_sheet(meeting, cases, self._titles)), "application/pdf", "meeting.pdf")

    def _sitting(self, visit: Visit) -> tuple[Meeting, list[Case]]:
        """The meeting that the address names, with its agenda. Raises `NotThere`."""
        try:
            meeting, cases = self._meetings.sitting(visit.visitor.tenant, visit.path["meeting"])
        except NoSuchMeeting:
            raise NotThere from None
        visit.meeting = meeting.id
        return meeting, cases

    def _shown(
        self,
        visit: Visit,
        draft: Draft | None = None,
        problem: str = "",
        status: HTTPStatus = HTTPStatus.OK,
        *,
        asking: str = "",
    ) -> Response:
        """The meeting as it stands. `draft`: what was written and not recorded; where somebody else was first, beside what stands.

        `asking`: it is asked whether the meeting is really to be closed ("hold"), or cancelled ("cancel").
        """
        meeting, cases = self._sitting(visit)
        standing, first = _as_it_stands(meeting), status == HTTPStatus.CONFLICT
        planned = self._meetings.meetings(visit.visitor.tenant, status="planned")
        return page(
            "meeting", status, visitor=visit.visitor, here="meetings", meeting=meeting, cases=cases,
            others=[one for one in planned if one.id != meeting.id], problem=problem,
            draft=standing if draft is None else replace(draft, revision=standing.revision) if first else draft,
            conflict=first and draft is not None, markers=self._titles, done=done_of(visit.done), asking=asking,
            elsewhere=elsewhere, found_told=found_told, about_older=about_older, before_told=before_told, withdrawal_told=withdrawal_told, moved=visit.query.get("moved", ""),
            was=_digest(standing), waiting=[one for one in cases if one.status == "open" and not one.decisions],
        )  # fmt: skip

    # what a chair does ---------------------------------------------------------------------------------------------

    def _change(self, visit: Visit) -> Response:
        """Do what one of the buttons says. Whichever it is, what was written beside it is saved first, so that none loses it."""
        tenant, name = visit.visitor.tenant, visit.visitor.name
        meeting, (do, _, item) = visit.path["meeting"], field(visit.form, "do").partition(" ")
        try:
            keep = do in ("save", "close", "cancelled") or _written(visit)
            if keep and (refused := self._keep(visit, do)) is not None:
                return refused
            if do in ("hold", "cancel"):
                return self._ask(visit, do)
            if do == "decide":
                return self._to_decide(visit, item)
            if do == "carry":
                self._meetings.carry(tenant, meeting, field(visit.form, "to"), name)
            elif do not in ("save", "close", "cancelled"):
                self._arrange(visit, do, item)
        except NotAccepted as error:
            return self._shown(visit, problem=problem(error), status=HTTPStatus.UNPROCESSABLE_ENTITY)
        except AlreadyHeld as error:
            return self._shown(visit, problem=_ended(error), status=HTTPStatus.CONFLICT)
        except NoSuchMeeting:
            raise NotThere from None
        visit.done = _DONE[do]
        # Its button has the focus again, so that the case can be moved further. An address with a fragment would keep browsers from it.
        place = f"?{urlencode({'moved': f'{do} {item}'})}" if do in ("up", "down") else ""
        return redirect(f"/board/meetings/{meeting}{place}")

    def _ask(self, visit: Visit, do: str) -> Response:
        """Ask whether the meeting is really to be closed, or cancelled. Raises `NotAccepted` if it cannot be, and `AlreadyHeld`."""
        meeting, _ = self._sitting(visit)
        if meeting.status != "planned":
            raise Cancelled(meeting.id) if meeting.status == "cancelled" else AlreadyHeld(meeting.id)
        if do == "hold":
            self._meetings.may_close(meeting.day)
        else:
            self._meetings.may_cancel(visit.visitor.tenant, meeting.id)
        return self._shown(visit, asking=do)

    def _to_decide(self, visit: Visit, advisory: str) -> Response:
        """To the form in which a case of the agenda is decided. Raises `NotThere` if the agenda has none with that advisory."""
        meeting, cases = self._sitting(visit)
        whose = next((case.patient for case in cases for one in case.found or () if one.advisory == advisory), "")
        if not advisory or not whose:
            raise NotThere
        return redirect(f"/board/patients/{whose}/advisories/{advisory}/decision?meeting={meeting.id}")

    def _arrange(self, visit: Visit, do: str, item: str) -> None:
        """Change the agenda by one case. Raises `NoSuchMeeting` if it is not there (any more), `AlreadyHeld`, and `NotAccepted`."""
        tenant, name, meeting = visit.visitor.tenant, visit.visitor.name, visit.path["meeting"]
        if do == "remove":
            self._meetings.remove(tenant, meeting, item, name)
        elif do in ("discussed", "undiscussed"):
            self._meetings.mark(tenant, meeting, item, name, discussed=do == "discussed")
        elif do in ("up", "down"):
            self._meetings.move(tenant, meeting, item, name, 1 if do == "down" else -1)
        else:
            raise NotThere

    def _keep(self, visit: Visit, do: str) -> Response | None:
        """Record what was written, and that the meeting was held or is cancelled; None, or the page that says why it was not."""
        meeting, draft, w = visit.path["meeting"], _draft(visit), words().meetings
        revision = number(draft.revision, 8)
        if revision is None:
            raise NotThere
        try:
            self._meetings.change(
                visit.visitor.tenant, meeting, revision, visit.visitor.name, board=draft.board, day=draft.day,
                attendees=draft.attendees.splitlines(), quorum=draft.quorum, minutes=draft.minutes, close=do == "close",
                cancel=do == "cancelled",
            )  # fmt: skip
        except (ChangedMeanwhile, AlreadyHeld) as error:
            why = w.conflict if isinstance(error, ChangedMeanwhile) else _ended(error)
            return self._shown(visit, draft, why, HTTPStatus.CONFLICT)
        except NotAccepted as error:
            return self._shown(visit, draft, problem(error), HTTPStatus.UNPROCESSABLE_ENTITY)
        return None


def _ahead(day: str, today: date) -> timedelta:
    """How far ahead of today a day lies that somebody wrote; for what is no day none, which is refused where it is recorded."""
    try:
        return date.fromisoformat(day) - today
    except ValueError:
        return timedelta()


def _ended(error: AlreadyHeld) -> str:
    """Why nothing of a meeting changes any more."""
    w = words().meetings
    return str(w.cancelled_meanwhile if isinstance(error, Cancelled) else w.closed_meanwhile)


def _written(visit: Visit) -> bool:
    """Whether a form that was sent holds anything but what its author was shown."""
    return "was" in visit.form and field(visit.form, "was") != _digest(_draft(visit))


def _digest(draft: Draft) -> str:
    """The same for two drafts that say the same, whatever their lines end with."""
    texts = ["\n".join(text.strip().splitlines()) for text in (draft.board, draft.day, draft.attendees, draft.minutes)]
    return sha256(repr((texts, draft.quorum)).encode("utf-8", "replace")).hexdigest()[:16]


def _as_it_stands(meeting: Meeting) -> Draft:
    attendees = "\n".join(meeting.attendees)
    return Draft(str(meeting.revision), meeting.board, meeting.day, attendees, meeting.quorum, meeting.minutes)


def _draft(visit: Visit) -> Draft:
    form = visit.form
    return Draft(
        field(form, "revision"), field(form, "board"), field(form, "day"), field(form, "attendees"),
        field(form, "quorum") == "yes", field(form, "minutes"),
    )  # fmt: skip
