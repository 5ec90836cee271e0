"""The page of the audit: the newest entries, and whether the chain holds."""

from __future__ import annotations

import threading

from fastapi import Response

from cds.errors import ExowatchError
from cds.record.audit import Verdict
from cds.record.database import RecordUnavailable
from cds.record.trail import Trail
from cds.service.access.browser import number
from cds.service.access.gate import Gate
from cds.service.access.roles import Act
from cds.service.access.visitor import Visit
from cds.service.pages.rendering import page

_MOST = 100


class AuditPage:
    """The audit of one tenant."""

    def __init__(self, gate: Gate, trail: Trail):
        self._trail = trail
        self._verifying = threading.Lock()
        gate.add("/audit", "GET", Act.READ_AUDIT, self._shown)

    def _shown(self, visit: Visit) -> Response:
        verdict: Verdict | None = None
        wrong = ""
        try:
            stretch = self._trail.stretch(
                visit.visitor.tenant, _MOST, number(visit.query.get("before", ""), digits=9) or 0
            )
            if visit.query.get("verify") == "yes":
                verdict, wrong = self._verified()
        except RecordUnavailable:
            raise
        except ExowatchError as error:  # the file of checkpoints cannot be read
            return page("audit", visitor=visit.visitor, here="audit", stretch=None, verdict=None, wrong=str(error))
        return page("audit", visitor=visit.visitor, here="audit", stretch=stretch, verdict=verdict, wrong=wrong)

    def _verified(self) -> tuple[Verdict | None, str]:
        """The whole record against its audit: long work, which is done once at a time."""
        if not self._verifying.acquire(blocking=False):
            return None, "The record is being verified for somebody else just now. Ask again in a moment."
        try:
            return self._trail.verified(), ""
        finally:
            self._verifying.release()
