"""The board's first page: everybody with a finding, what matters first; filtered, searched, put on agendas, handed out as a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any
from urllib.parse import urlencode

from fastapi import Response

from cds.board.export import worklist_csv
from cds.board.words import label, words
from cds.reasoning.rulebook import RuleBook
from cds.record.meetings import AlreadyHeld, Meetings, NoSuchMeeting
from cds.record.worklist import SORTS, Filter, Row, listed
from cds.service.access.browser import field, number
from cds.service.access.gate import Act, Gate, NotThere, Visit, redirect
from cds.service.pages.rendering import done_of, file, page


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

    def with_page(self, number: int) -> str:
        return "&".join(part for part in (self.query, f"page={number}") if part)

    def filter(self, today: date, last_meeting: str) -> Filter:
        return Filter(
            states=(self.state,) if self.state else (),
            marker=self.marker,
            therapy=self.therapy,
            text=self.text,
            since=last_meeting if self.new else "",
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

    def _page(self, visit: Visit) -> Response:
        tenant, today = visit.visitor.tenant, date.today()
        chosen, last = chosen_of(visit.query, self._book), self._meetings.last_held(tenant)
        listing = listed(self._meetings.database, tenant, chosen.filter(today, last), new_since=last, today=today)
        withdrawn: tuple[Row, ...] = ()
        if listing.counts.withdrawn:
            withdrawn = listed(self._meetings.database, tenant, Filter(standing="withdrawn"), today=today).rows
        planned = self._meetings.meetings(tenant, status="planned") if visit.visitor.may(Act.HOLD_MEETINGS) else []
        return page(
            "worklist", visitor=visit.visitor, here="patients", chosen=chosen, rows=listing.rows, total=listing.total,
            pages=listing.pages, counts=listing.counts, withdrawn=withdrawn, last_meeting=last, meetings=planned,
            markers=self.markers, therapies=self.therapies, sorts=[(key, label("sorts", key)) for key in SORTS],
            today=today.isoformat(), done=done_of(visit.query),
        )  # fmt: skip

    def _table(self, visit: Visit) -> Response:
        """Everything that matches, page after page of it, as a table."""
        tenant, today = visit.visitor.tenant, date.today()
        chosen, last = chosen_of(visit.query, self._book), self._meetings.last_held(tenant)
        asked = chosen.filter(today, last)
        pages = listed(self._meetings.database, tenant, asked, today=today).pages
        rows = (
            row for number in range(1, pages + 1)
            for row in listed(self._meetings.database, tenant, replace(asked, page=number), today=today).rows
        )  # fmt: skip
        return file(worklist_csv(rows, self.markers | self.therapies), "text/csv", "patients.csv")

    def _pick(self, visit: Visit) -> Response:
        meeting = field(visit.form, "meeting")
        try:
            for patient in visit.form.get("patient", ()):
                self._meetings.add(visit.visitor.tenant, meeting, patient, visit.visitor.name)
        except (NoSuchMeeting, AlreadyHeld):
            raise NotThere from None
        return redirect("/board?done=picked")
