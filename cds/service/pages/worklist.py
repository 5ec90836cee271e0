"""The board's first page: everybody with a finding, what matters first; filtered, searched, put on agendas, handed out as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from fastapi import Response

from cds.board.export import worklist_csv
from cds.board.words import label, words
from cds.calendar import beginning
from cds.reasoning.rulebook import RuleBook
from cds.record.agendas import AlreadyHeld, NoSuchMeeting
from cds.record.decisions import NotAccepted
from cds.record.meetings import Meetings
from cds.record.sittings import Case, Meeting
from cds.record.worklist import SORTS, Filter, Row, every, listed
from cds.service.access.browser import field, number
from cds.service.access.gate import Act, Gate, NotThere, Visit, redirect
from cds.service.pages.deciding import problem
from cds.service.pages.rendering import done_of, file, page

WITHDRAWN = "withdrawn"
_MOST_NAMED = 20
"""So many patients who were put on an agenda are named."""
_MOST_ON_TOP = 5
"""So many withdrawn advisories stand above the list; the others are one step away."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What somebody asked the list for, as its address says it; what it says otherwise is passed over."""

    text: str = ""
    state: str = ""
    marker: str = ""
    therapy: str = ""
    decided: str = ""
    due: str = ""
    new: str = ""
    sort: str = "rank"
    page: int = 1

    @property
    def any(self) -> bool:
        """Whether anything but the order is asked for."""
        return any((self.text, self.state, self.marker, self.therapy, self.decided, self.due, self.new))

    @property
    def query(self) -> str:
        """The same as the query of an address, without the page."""
        asked = {name: getattr(self, name) for name in _ASKED}
        return urlencode({name: value for name, value in asked.items() if value and (name, value) != ("sort", "rank")})

    @property
    def here(self) -> str:
        """The same with the page, unless it is the first."""
        return self.with_page(self.page) if self.page > 1 else self.query

    def with_page(self, number: int) -> str:
        return "&".join(part for part in (self.query, f"page={number}") if part)

    def filter(self, today: date, last_meeting: str) -> Filter:
        withdrawn = self.state == WITHDRAWN  # no state, but what became of advice
        return Filter(
            states=(self.state,) if self.state and not withdrawn else (),
            standing=WITHDRAWN if withdrawn else "",
            marker=self.marker,
            therapy=self.therapy,
            text=" ".join(
                word for word in self.text.split() if word != words().worklist.number
            ),  # as the list shows it
            since=beginning(last_meeting) if self.new else "",
            due=today.isoformat() if self.due else "",
            decided=self.decided,
            sort=self.sort,
            page=self.page,
        )


_ASKED = ("text", "state", "marker", "therapy", "decided", "due", "new", "sort")


def chosen_of(query: Mapping[str, str], book: RuleBook) -> Chosen:
    """What an address asks for; a value that means nothing is as if it were not there."""
    known: dict[str, Any] = {
        "state": vars(words().states),
        "marker": book.catalogue.markers,
        "therapy": book.catalogue.therapies.classes,
        "decided": ("yes", "no"),
        "due": ("overdue",),
        "new": ("yes",),
        "sort": SORTS,
    }
    asked = {name: value for name in known if (value := query.get(name, "")) in known[name]}
    page_ = number(query.get("page", ""), digits=4) or 1
    return Chosen(text=query.get("text", "").strip()[:80], page=page_, **asked)


class WorklistPages:
    """The list of all patients of a tenant."""

    def __init__(self, book: RuleBook, meetings: Meetings):
        self._book, self._meetings = book, meetings
        self.markers = {
            key: one.short or one.title for key, one in book.catalogue.markers.items() if not one.must_not_use
        }
        self.therapies = {key: one.title for key, one in book.catalogue.therapies.classes.items()}

    def add_to(self, gate: Gate) -> None:
        gate.add("/board", "GET", Act.VIEW, self._page)
        gate.add("/board/list.csv", "GET", Act.VIEW, self._table)
        gate.add("/board/agenda", "POST", Act.HOLD_MEETINGS, self._pick)

    def _page(self, visit: Visit, problem: str = "", status: HTTPStatus = HTTPStatus.OK) -> Response:
        tenant, day, database = visit.visitor.tenant, visit.today, self._meetings.database
        chosen, last = chosen_of(visit.query, self._book), self._meetings.last_held(tenant)
        listing = listed(database, tenant, chosen.filter(day, last), new_since=beginning(last), today=day)
        if chosen.page > listing.pages:  # the list is shorter than it was when somebody kept this address
            chosen = replace(chosen, page=listing.pages)
            listing = listed(database, tenant, chosen.filter(day, last), new_since=beginning(last), today=day)
        withdrawn: Sequence[Row] = listing.rows if chosen.state == WITHDRAWN else ()
        if listing.counts.withdrawn and chosen.state != WITHDRAWN:
            withdrawn = every(database, tenant, Filter(standing=WITHDRAWN), _MOST_ON_TOP)
        planned = self._meetings.meetings(tenant, status="planned") if visit.visitor.may(Act.HOLD_MEETINGS) else []
        return page(
            "worklist", status, visitor=visit.visitor, here="patients", chosen=chosen, rows=listing.rows, total=listing.total,
            pages=listing.pages, counts=listing.counts, withdrawn=withdrawn, last_meeting=last, new_from=beginning(last),
            meetings=planned, markers=self.markers, therapies=self.therapies,
            sorts=[(key, label("sorts", key)) for key in SORTS], today=day.isoformat(), problem=problem, done=done_of(visit.done), put=self._put(visit),
        )  # fmt: skip

    def _table(self, visit: Visit) -> Response:
        """Everything that matches, as a table."""
        tenant = visit.visitor.tenant
        asked = chosen_of(visit.query, self._book).filter(visit.today, self._meetings.last_held(tenant))
        rows = every(self._meetings.database, tenant, asked)
        return file(worklist_csv(rows, self.markers | self.therapies), "text/csv", "patients.csv")

    def _pick(self, visit: Visit) -> Response:
        w, patients = words().problems, visit.form.get("patient", ())
        if not patients:
            return self._page(visit, w.patient, HTTPStatus.UNPROCESSABLE_ENTITY)
        try:
            put = self._meetings.add_all(
                visit.visitor.tenant, field(visit.form, "meeting"), patients, visit.visitor.name
            )
        except NotAccepted as error:
            return self._page(visit, problem(error), HTTPStatus.UNPROCESSABLE_ENTITY)
        except AlreadyHeld:
            return self._page(visit, w.meeting, HTTPStatus.CONFLICT)
        except NoSuchMeeting:
            raise NotThere from None
        visit.done = "picked" if put == len(set(patients)) else "picked-some" if put else "picked-none"
        if field(visit.form, "from") == "patient":
            return redirect(f"/board/patients/{patients[0]}")
        # By their rows: an address is kept where a name has no place.
        each = list(dict.fromkeys(patients))
        put_on = {"put": field(visit.form, "meeting"), "who": ",".join(each[:_MOST_NAMED])}
        more = {"more": len(each) - _MOST_NAMED} if len(each) > _MOST_NAMED else {}
        here = chosen_of(visit.query, self._book).here
        return redirect("/board?" + "&".join(filter(None, (here, urlencode(put_on | more)))))

    def _put(self, visit: Visit) -> tuple[Meeting, list[Case], int] | None:
        """The meeting on whose agenda patients were put just now, who of them stands there, and how many more; None if none were."""
        meeting, who = visit.query.get("put", ""), visit.query.get("who", "").split(",")
        if not meeting or not visit.done:
            return None
        try:
            found, cases = self._meetings.sitting(visit.visitor.tenant, meeting)
        except NoSuchMeeting:
            return None
        return found, [one for one in cases if one.patient in who], number(visit.query.get("more", ""), 4) or 0
