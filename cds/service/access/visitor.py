"""Who is signed in, and one request of theirs: what a page is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from cds.record.sessions import Session
from cds.service.access.roles import PERMITTED, Act, Role, known


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who is signed in."""

    account: str  # id of the account
    name: str  # login name: goes into the audit and into decisions; never a patient's
    shown: str  # how people call them
    roles: frozenset[Role]
    tenant: str
    csrf: str  # token that every form carries in its field `csrf`
    patient: str  # row id of the only patient that a SMART launch opened; "" for none
    pages: frozenset[str] = frozenset()  # addresses of the pages that there are: a head leads to no other

    def may(self, act: Act) -> bool:
        """Whether one of their roles permits it."""
        return not self.roles.isdisjoint(PERMITTED[act])


class OtherPatient(Exception):
    """Who came from an EHR about one patient asks for another."""


@dataclass(slots=True)
class Visit:
    """One request of a signed-in visitor."""

    visitor: Visitor
    today: date  # the day that it is in the place, the same to the end of the visit
    path: Mapping[str, str]  # path parameters
    query: Mapping[str, str]  # first value of each
    form: Mapping[str, list[str]]  # all values of each field of a POST, already checked for CSRF; {} otherwise
    done: str = ""  # what was done: set by a POST that leads on to a page, which is given it and says it once
    meeting: str = ""  # id of the meeting that the page shows, which goes into the audit; "" if it shows none
    _patient: str = field(default="", init=False)

    @property
    def patient(self) -> str:
        """Row id of the patient whom the page is about, which goes into the audit; "" if about none, or many."""
        return self._patient

    def about(self, patient: str) -> None:
        """Say whom the page is about, before anything is done about them. Raises `OtherPatient` to who may know of another only."""
        if self.visitor.patient not in ("", patient):
            raise OtherPatient
        self._patient = patient


def visitor_of(session: Session, pages: frozenset[str] = frozenset()) -> Visitor:
    """Whose session it is, as pages know them; `pages` are the addresses of those that there are."""
    account = session.account
    return Visitor(
        account.id, account.name, account.shown, known(account.roles), account.tenant, session.csrf, session.patient, pages
    )  # fmt: skip
