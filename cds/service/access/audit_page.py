"""The page of the audit: its entries by person, by what was done, by patient and by day, and whether the chain holds."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from datetime import date
from urllib.parse import urlencode

from fastapi import Response

from cds.board.words import words
from cds.errors import ExowatchError
from cds.record.accounts import Accounts, spelled
from cds.record.audit import Verdict
from cds.record.database import RecordUnavailable
from cds.record.trail import Stretch, Wanted
from cds.service.access.browser import number
from cds.service.access.gate import Gate
from cds.service.access.roles import Act
from cds.service.access.visitor import Visit
from cds.service.pages.rendering import page

_MOST = 100
_DIGEST = re.compile(r"[0-9a-f]{64}")


class AuditPage:
    """The audit of one tenant."""

    def __init__(self, gate: Gate, accounts: Accounts):
        self._accounts, self._trail = accounts, accounts.trail
        self._verifying = threading.Lock()
        gate.add("/audit", "GET", Act.READ_AUDIT, self._shown)

    def _shown(self, visit: Visit) -> Response:
        tenant, wanted = visit.visitor.tenant, _wanted(visit.query)
        before = number(visit.query.get("before", ""), digits=9) or 0
        stretch: Stretch | None = None
        verdict: Verdict | None = None
        wrong = ""
        try:
            stretch = self._trail.stretch(tenant, _MOST, wanted, before)
            if visit.query.get("verify") == "yes":
                verdict, wrong = self._verified()
        except RecordUnavailable:
            raise
        except ExowatchError as error:  # the file of checkpoints cannot be read
            wrong = str(error)
        asked = {"actor": wanted.actor, "action": wanted.action, "day": wanted.day, "about": wanted.subject}
        return page(
            "audit", visitor=visit.visitor, here="audit", stretch=stretch, verdict=verdict, wrong=wrong, wanted=wanted,
            before=before, query=urlencode({name: value for name, value in asked.items() if value}),
            people=[one.name for one in self._accounts.listed(tenant)],
            actions=sorted(vars(words().audit_actions).items(), key=lambda one: one[1].casefold()),
        )  # fmt: skip

    def _verified(self) -> tuple[Verdict | None, str]:
        """The whole record against its audit: long work, which is done once at a time."""
        if not self._verifying.acquire(blocking=False):
            return None, words().audit.busy
        try:
            return self._trail.verified(), ""
        finally:
            self._verifying.release()


def _wanted(query: Mapping[str, str]) -> Wanted:
    """What an address asks for; a value that means nothing is as if it were not there."""
    action, about, day = (query.get(name, "") for name in ("action", "about", "day"))
    try:
        day = date.fromisoformat(day).isoformat()
    except ValueError:
        day = ""
    return Wanted(
        spelled(query.get("actor", ""))[:64],
        action if hasattr(words().audit_actions, action) else "",
        about if _DIGEST.fullmatch(about) else "",
        day,
    )
