"""What is due, and how the rules have done: pages over all patients."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import Response

from cds.record.followup import FollowUp
from cds.record.precision import FEW, precision
from cds.service.access.browser import number
from cds.service.access.gate import Act, Gate, Visit
from cds.service.pages.rendering import page


class OverviewPages:
    """Follow-ups that are due, and the record of each version of each rule."""

    def __init__(self, follow_up: FollowUp, titles: Mapping[str, str], therapies: Mapping[str, str]):
        self._follow_up = follow_up
        self._titles, self._therapies = titles, therapies  # of rules and therapy classes, by their names

    def add_to(self, gate: Gate) -> None:
        gate.add("/board/follow-up", "GET", Act.VIEW, self._due)
        gate.add("/board/precision", "GET", Act.VIEW, self._precision)

    def _due(self, visit: Visit) -> Response:
        tenant, shown = visit.visitor.tenant, number(visit.query.get("page", ""), digits=4) or 1
        found = self._follow_up.overdue(tenant, visit.today, page=shown)
        if shown > found.pages:  # there is less than when somebody kept this address
            shown = found.pages
            found = self._follow_up.overdue(tenant, visit.today, page=shown)
        return page(
            "follow_up",
            visitor=visit.visitor,
            here="follow_up",
            overdue=found,
            shown=shown,
            titles=self._titles,
            therapies=self._therapies,
        )

    def _precision(self, visit: Visit) -> Response:
        rows = precision(self._follow_up.database, visit.visitor.tenant)
        return page("precision", visitor=visit.visitor, here="precision", rows=rows, titles=self._titles, few=FEW)
