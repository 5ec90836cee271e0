"""What people do about a case: decide, read second, say what became of an action or of the patient, acknowledge a withdrawal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from fastapi import Response

from cds.board.case import Answer, Case
from cds.board.legible import day
from cds.board.words import label, words
from cds.record.codes import ACTIONS
from cds.record.decisions import AlreadyDecided, Decided, Decision, Ended, NoSuchAdvisory, NotAccepted, Planned
from cds.record.followup import FollowUp
from cds.record.meetings import Meetings
from cds.record.reviews import Reviews
from cds.record.worklist import acknowledge
from cds.service.access.browser import field as one_field
from cds.service.access.browser import number
from cds.service.access.gate import Act, Gate, NotThere, Visit, redirect
from cds.service.pages.patients import CODES, PatientPages, may_second
from cds.service.pages.rendering import page


@dataclass(frozen=True, slots=True)
class Draft:
    """A decision as a form holds it: what was written is shown again if it could not be recorded."""

    disposition: str = ""
    reason: str = ""
    note: str = ""
    actions: Mapping[str, str] = field(default_factory=dict)  # kind → day
    level: str = ""
    resistance: bool = False
    references: tuple[str, ...] = ()
    meeting: str = ""


class DecisionPages:
    """Forms about a case, and what becomes of them."""

    def __init__(self, patients: PatientPages, reviews: Reviews, follow_up: FollowUp, meetings: Meetings):
        self._patients, self._reviews, self._follow_up, self._meetings = patients, reviews, follow_up, meetings

    def add_to(self, gate: Gate) -> None:
        patient = "/board/patients/{patient}"
        gate.add(f"{patient}/advisories/{{advisory}}/decision", "GET", Act.DECIDE, self._form)
        gate.add(f"{patient}/advisories/{{advisory}}/decision", "POST", Act.DECIDE, self._decide)
        gate.add(f"{patient}/decisions/{{decision}}/second", "POST", Act.DECIDE, self._second)
        gate.add(f"{patient}/actions/{{action}}", "POST", Act.DECIDE, self._close)
        gate.add(f"{patient}/advisories/{{advisory}}/outcome", "POST", Act.DECIDE, self._outcome)
        gate.add(f"{patient}/advisories/{{advisory}}/acknowledge", "POST", Act.DECIDE, self._acknowledge)

    # deciding ------------------------------------------------------------------------------------------------------

    def _form(self, visit: Visit) -> Response:
        case, answer = self._about(visit)
        earlier = self._earlier(visit, answer)
        draft = _as_decided(earlier[-1]) if earlier else Draft(meeting=visit.query.get("meeting", ""))
        return self._shown(visit, case, answer, draft)

    def _decide(self, visit: Visit) -> Response:
        case, answer = self._about(visit)
        assert answer.advisory is not None  # noqa: S101 - `_about` found it by that
        draft = _draft(visit)
        revision, seen = (number(one_field(visit.form, name), digits=8) for name in ("revision", "seen"))
        if revision is None or seen is None:
            raise NotThere
        try:
            self._reviews.decide(
                Decision(
                    answer.advisory.id, revision, draft.disposition, visit.visitor.name, seen, draft.reason, draft.note,
                    tuple(Planned(kind, due) for kind, due in draft.actions.items()), draft.level, draft.resistance,
                    draft.references, draft.meeting,
                ),
                visit.visitor.tenant,
            )  # fmt: skip
        except NotAccepted as error:
            return self._shown(
                visit, case, answer, draft, problems=(problem(error),), status=HTTPStatus.UNPROCESSABLE_ENTITY
            )
        except AlreadyDecided as error:
            return self._shown(visit, case, answer, draft, conflict=_first(error), status=HTTPStatus.CONFLICT)
        except Ended:
            ended = words().decision.ended
            return self._shown(visit, case, answer, draft, conflict=ended, status=HTTPStatus.CONFLICT)
        return _back(visit, "decided")

    def _shown(
        self,
        visit: Visit,
        case: Case,
        answer: Answer,
        draft: Draft,
        *,
        problems: tuple[str, ...] = (),
        conflict: str = "",
        status: HTTPStatus = HTTPStatus.OK,
    ) -> Response:
        earlier = self._earlier(visit, answer)
        return page(
            "decision", status, visitor=visit.visitor, header=case.header, patient=case.key, said=answer.said,
            advisory=answer.advisory, earlier=earlier, seen=len(earlier), draft=draft, codes=CODES, problems=problems,
            conflict=conflict, meetings=self._meetings.meetings(visit.visitor.tenant, status="planned"),
            may_second=may_second(visit.visitor),
        )  # fmt: skip

    def _earlier(self, visit: Visit, answer: Answer) -> list[Decided]:
        assert answer.advisory is not None  # noqa: S101 - `_about` found it by that
        return self._reviews.decisions(visit.visitor.tenant, advisory=answer.advisory.id)

    def _about(self, visit: Visit) -> tuple[Case, Answer]:
        """The case, and the answer on which the advisory of the address stands: of this patient, or there is no such page."""
        case = self._patients.case(visit)
        for answer in case.answers:
            if answer.advisory is not None and answer.advisory.id == visit.path["advisory"]:
                return case, answer
        raise NotThere

    # what became of it ---------------------------------------------------------------------------------------------

    def _second(self, visit: Visit) -> Response:
        self._of_this_patient(visit, decision=visit.path["decision"])
        agrees = one_field(visit.form, "agrees")
        if agrees not in ("yes", "no"):
            raise NotThere
        try:
            self._reviews.second(
                visit.path["decision"], visit.visitor.name, agrees=agrees == "yes", tenant=visit.visitor.tenant
            )
        except NotAccepted as error:
            return self._refused(visit, problem(error))
        except (AlreadyDecided, NoSuchAdvisory) as error:
            return self._refused(visit, str(error))
        return _back(visit, "second", "decisions")

    def _close(self, visit: Visit) -> Response:
        self._of_this_patient(visit, action=visit.path["action"])
        status, reason = one_field(visit.form, "status"), one_field(visit.form, "reason")
        try:
            self._follow_up.close(visit.visitor.tenant, visit.path["action"], status, visit.visitor.name, reason=reason)
        except NotAccepted as error:
            return self._refused(visit, problem(error))
        except (AlreadyDecided, NoSuchAdvisory) as error:
            return self._refused(visit, str(error))
        return _back(visit, "closed", "followup")

    def _outcome(self, visit: Visit) -> Response:
        self._of_this_patient(visit, advisory=visit.path["advisory"])
        months, seen = (number(one_field(visit.form, name), digits=8) for name in ("months", "seen"))
        if months is None or seen is None:
            raise NotThere
        try:
            self._follow_up.state(
                visit.visitor.tenant, visit.path["advisory"], months, one_field(visit.form, "response"),
                one_field(visit.form, "resistance"), visit.visitor.name, seen=seen,
            )  # fmt: skip
        except NotAccepted as error:
            return self._refused(visit, problem(error))
        except (AlreadyDecided, NoSuchAdvisory) as error:
            return self._refused(visit, str(error))
        return _back(visit, "outcome", "followup")

    def _acknowledge(self, visit: Visit) -> Response:
        self._of_this_patient(visit, advisory=visit.path["advisory"])
        acknowledge(self._reviews.database, visit.visitor.tenant, visit.path["advisory"], visit.visitor.name)
        return redirect("/board?done=acknowledged")

    def _of_this_patient(self, visit: Visit, *, advisory: str = "", decision: str = "", action: str = "") -> None:
        """Raise `NotThere` unless what the address names belongs to the patient whom it names."""
        case, tenant = self._patients.case(visit), visit.visitor.tenant
        advisories = {one.advisory.id for one in (*case.answers, *case.quiet) if one.advisory is not None}
        advisories |= {one.advisory.id for one in case.earlier}
        known = (
            {one.id for one in self._reviews.decisions(tenant, patient=case.key)} if decision
            else {one.id for one in self._follow_up.actions(tenant, patient=case.key)} if action
            else advisories
        )  # fmt: skip
        if (decision or action or advisory) not in known:
            raise NotThere

    def _refused(self, visit: Visit, why: str) -> Response:
        return page(
            "refused", HTTPStatus.CONFLICT, visitor=visit.visitor, why=why, back=f"/board/patients/{visit.patient}"
        )


def problem(error: NotAccepted) -> str:
    """What is to be mended in a form, in words for whoever filled it in."""
    return str(getattr(words().problems, error.field, error.why))


def _back(visit: Visit, done: str, place: str = "") -> Response:
    """To the case; so that loading the page again repeats nothing."""
    return redirect(f"/board/patients/{visit.patient}?done={done}" + (f"#{place}" if place else ""))


def _first(error: AlreadyDecided) -> str:
    """Who was first, what they decided and when, in words."""
    if error.by == "a newer evaluation":
        return str(words().decision.newer)
    what = label("dispositions", error.code)
    return str(words().decision.conflict_lead.format(by=error.by, what=what, when=day(error.at[:10])))


def _draft(visit: Visit) -> Draft:
    """What a form holds."""
    form = visit.form
    lines = (line.strip() for line in one_field(form, "references").splitlines())
    return Draft(
        one_field(form, "disposition"),
        one_field(form, "reason"),
        one_field(form, "note"),
        {kind: one_field(form, f"due-{kind}") for kind in ACTIONS if kind in form.get("action", ())},
        one_field(form, "level"),
        one_field(form, "resistance") == "yes",
        tuple(line for line in lines if line),
        one_field(form, "meeting"),
    )


def _as_decided(last: Decided) -> Draft:
    """What was decided last, to be amended."""
    return Draft(
        last.code, last.reason, last.note, {one.kind: one.due for one in last.actions}, last.level, last.resistance,
        last.references, last.meeting,
    )  # fmt: skip
