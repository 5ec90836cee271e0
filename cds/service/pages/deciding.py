"""What people do about a case: decide, read second, say what became of an action or of the patient, acknowledge a withdrawal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from http import HTTPStatus
from typing import Literal

from fastapi import Response
from markupsafe import Markup

from cds.board.case import Answer, Cases
from cds.board.taken_back import is_on_taken_back, outdated, taken_back
from cds.board.words import label, words
from cds.calendar import day_of
from cds.drawing import svg
from cds.legible import day
from cds.record.agendas import NoSuchMeeting
from cds.record.cases import StoredAdvisory, owner
from cds.record.codes import ACTIONS, CLOSED, LEVELS, Status
from cds.record.decisions import (
    AlreadyDecided,
    Decided,
    Decision,
    Ended,
    NotAccepted,
    Planned,
    Reassessed,
)  # fmt: skip
from cds.record.followup import FollowUp
from cds.record.meetings import Meetings
from cds.record.reviews import Reviews
from cds.record.sittings import Meeting
from cds.record.withdrawals import withdrawals
from cds.service.access.browser import field as one_field
from cds.service.access.browser import number
from cds.service.access.gate import Act, Gate, NotThere, Visit, redirect
from cds.service.pages.patients import CODES, age_of, case_of, may_second
from cds.service.pages.rendering import is_day, page

_FARTHEST = timedelta(days=400)
"""No board asks for anything by a later day: it is a slip in the year."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A decision as a form holds it: what was written is shown again if it could not be recorded."""

    disposition: str = ""
    reason: str = ""
    note: str = ""
    actions: Mapping[str, str] = field(default_factory=dict)  # kind → day
    unticked: Mapping[str, str] = field(default_factory=dict)  # a day that stands beside an action without a tick
    kept: tuple[Planned, ...] = ()  # stated before, and not to be changed here: done, or a second of its kind
    level: str = ""
    resistance: bool = False
    references: tuple[str, ...] = ()
    meeting: str = ""

    @property
    def planned(self) -> tuple[Planned, ...]:
        """All that the decision asks for."""
        return (*self.kept, *(Planned(kind, due) for kind, due in self.actions.items()))

    def beside(self, other: Decided) -> Draft:
        """With what a decision that came between asks for: it goes on, unless its tick is taken away."""
        return replace(self, kept=(*self.kept, *(one for one in other.actions if one not in self.planned)))

    def is_late(self, today: date) -> bool:
        """Whether something is asked for by a day that has passed: a slip, unless the decision is entered afterwards."""
        return any(is_day(due) and due < today.isoformat() for due in self.actions.values())

    def slips(self, today: date, before: tuple[Planned, ...] = ()) -> str:
        """What is to be mended in the days of actions before anything is recorded, in words; "" for nothing.

        A day that was asked for `before` stood on the form by itself: who takes its tick away means to end it.
        """
        w, farthest = words().problems, (today + _FARTHEST).isoformat()
        loose = [kind for kind, due in self.unticked.items() if Planned(kind, due) not in before]
        far = [kind for kind, due in self.actions.items() if is_day(due) and due > farthest]
        said = ((w.unticked, loose), (w.far, far))
        return " ".join(text.format(actions=_listed(kinds)) for text, kinds in said if kinds)


class DecisionPages:
    """Forms about a case, and what becomes of them."""

    def __init__(self, cases: Cases, reviews: Reviews, follow_up: FollowUp, meetings: Meetings):
        self._cases, self._reviews, self._follow_up, self._meetings = cases, reviews, follow_up, meetings

    def add_to(self, gate: Gate) -> None:
        patient = "/board/patients/{patient}"
        gate.add(f"{patient}/advisories/{{advisory}}/decision", "GET", Act.DECIDE, self._form)
        gate.add(f"{patient}/advisories/{{advisory}}/decision", "POST", Act.DECIDE, self._decide)
        gate.add(f"{patient}/decisions/{{decision}}/second", "POST", Act.DECIDE, self._second)
        gate.add(f"{patient}/actions/{{action}}", "POST", Act.DECIDE, self._close)
        gate.add(f"{patient}/actions/{{action}}/correction", "POST", Act.DECIDE, self._correct)
        gate.add(f"{patient}/advisories/{{advisory}}/outcome", "POST", Act.DECIDE, self._outcome)
        gate.add(f"{patient}/advisories/{{advisory}}/acknowledge", "POST", Act.DECIDE, self._acknowledge)

    # deciding ------------------------------------------------------------------------------------------------------

    def _form(self, visit: Visit) -> Response:
        self._of_this_patient(visit, "advisory")
        earlier = self._earlier(visit)
        draft, at = self._as_decided(visit, earlier[-1]) if earlier else Draft(), _came_from(visit)
        if earlier and self._is_taken_back(earlier[-1]):
            # Of what was said about other data only what is still to be done goes on.
            done = self._done(visit)
            draft = Draft(actions=draft.actions, kept=tuple(one for one in draft.kept if one not in done))
        return self._shown(visit, replace(draft, meeting=at) if at and not self._to_come(visit, at) else draft)

    def _decide(self, visit: Visit) -> Response:
        self._of_this_patient(visit, "advisory")
        draft, form = _draft(visit), visit.form
        revision, seen = _filled_in_from(visit)
        decision = Decision(
            visit.path["advisory"], revision, draft.disposition, visit.visitor.name, seen, draft.reason, draft.note, draft.planned,
            draft.level, draft.resistance, draft.references, draft.meeting,
        )  # fmt: skip
        earlier = self._earlier(visit)
        wrong: dict[str, str] = {}
        if slips := draft.slips(visit.today, earlier[-1].actions if earlier else ()):
            wrong["actions"] = slips
        if draft.is_late(visit.today) and one_field(form, "late") != "yes":
            wrong["late"] = str(words().problems.late)
        if visit.visitor.patient and draft.meeting:
            wrong["meeting"] = str(words().problems.meeting)
        elif to_come := self._to_come(visit, draft.meeting):
            wrong["meeting"] = words().problems.to_come.format(day=day(to_come))
        if wrong:
            return self._shown(visit, draft, problems=wrong, status=HTTPStatus.UNPROCESSABLE_ENTITY)
        try:
            self._reviews.decide(decision, visit.visitor.tenant)
        except NotAccepted as error:
            mend = _problems(error, draft)
            return self._shown(visit, draft, problems=mend, status=HTTPStatus.UNPROCESSABLE_ENTITY)
        except (AlreadyDecided, Reassessed, Ended) as error:
            if isinstance(error, AlreadyDecided):
                draft = draft.beside(self._earlier(visit)[-1])
            return self._shown(visit, draft, conflict=_came_first(error), status=HTTPStatus.CONFLICT)
        at = _came_from(visit)
        if at and at == draft.meeting:  # whoever came from an agenda goes on with it
            visit.done = "decided"
            return redirect(f"/board/meetings/{at}")
        return _back(visit, "decided")

    def _shown(
        self,
        visit: Visit,
        draft: Draft,
        *,
        problems: Mapping[str, str] | None = None,
        conflict: str = "",
        status: HTTPStatus = HTTPStatus.OK,
    ) -> Response:
        case = case_of(self._cases, visit)
        advised = case.advised(visit.path["advisory"])
        if advised is None or advised.advisory is None:
            raise NotThere
        advisory, earlier = advised.advisory, self._earlier(visit)
        if problems and (came := _came_between(visit, advisory, earlier)):
            # The page shows what stands now, so whoever mends a slip has to be told that it is not what they saw.
            conflict, status = _came_first(came), HTTPStatus.CONFLICT
            draft = draft.beside(earlier[-1]) if isinstance(came, AlreadyDecided) else draft
        actions = self._follow_up.actions(visit.visitor.tenant, advisory=advisory.id)
        gone = [one for one in taken_back(case, {advisory.id: earlier}, actions) if one.advisory == advisory.id]
        return page(
            "decision", status, visitor=visit.visitor, header=case.header, patient=case.key, age=age_of(case, visit), advised=advised,
            said=advised.said if isinstance(advised, Answer) else None, advisory=advisory, earlier=earlier, seen=len(earlier),
            draft=draft, at=_came_from(visit), written=bool(visit.form), done=self._done(visit), codes=CODES,
            problems=problems or {}, levels=LEVELS, taken_back=gone, on_taken_back=is_on_taken_back, outdated=outdated,
            to_come=self._to_come(visit, _came_from(visit)),
            drawing=Markup(svg(case.scene, styled=False)) if case.scene.panels else "",  # noqa: S704 - our own, with every text of a record escaped
            conflict=conflict if advisory.is_open else words().decision.ended, meetings=self._open_meetings(visit),
            may_second=may_second(visit.visitor),
        )  # fmt: skip

    def _open_meetings(self, visit: Visit) -> Sequence[Meeting]:
        """The meetings at which something can have been decided; none for whom an EHR opened this patient only."""
        planned = () if visit.visitor.patient else self._meetings.meetings(visit.visitor.tenant, status="planned")
        return [one for one in planned if one.day <= visit.today.isoformat()]

    def _to_come(self, visit: Visit, meeting: str) -> str:
        """The day of a planned meeting that is still to come, at which nothing can have been decided; "" for others."""
        if not meeting:
            return ""
        try:
            found = self._meetings.meeting(visit.visitor.tenant, meeting)
        except NoSuchMeeting:
            return ""
        return found.day if found.status == "planned" and found.day > visit.today.isoformat() else ""

    def _is_taken_back(self, last: Decided) -> bool:
        """Whether the last decision is about advice that was withdrawn since."""
        gone = self._reviews.database.asked(lambda connection: withdrawals(connection, [last.advisory]))
        return last.advisory in gone and gone[last.advisory].is_after(last)

    def _earlier(self, visit: Visit) -> list[Decided]:
        return self._reviews.decisions(visit.visitor.tenant, advisory=visit.path["advisory"])

    def _done(self, visit: Visit) -> Mapping[Planned, str]:
        """What people said of actions of the advisory."""
        actions = self._follow_up.actions(visit.visitor.tenant, advisory=visit.path["advisory"])
        return {Planned(one.kind, one.due): one.status for one in actions if one.status in CLOSED}

    def _as_decided(self, visit: Visit, last: Decided) -> Draft:
        """What was decided last, to be amended."""
        done, actions, kept = self._done(visit), dict[str, str](), list[Planned]()
        for one in last.actions:
            if one in done or one.kind in actions:
                kept.append(one)
            else:
                actions[one.kind] = one.due
        return Draft(
            last.code, last.reason, last.note, actions, {}, tuple(kept), last.level, last.resistance, last.references,
            last.meeting,
        )  # fmt: skip

    # what became of it ---------------------------------------------------------------------------------------------

    def _second(self, visit: Visit) -> Response:
        self._of_this_patient(visit, "decision")
        agrees, key, who = one_field(visit.form, "agrees"), visit.path["decision"], visit.visitor
        if agrees not in ("yes", "no"):
            raise NotThere

        def say() -> None:
            self._reviews.second(key, who.name, agrees=agrees == "yes", tenant=who.tenant)

        return self._recorded(visit, say, "dispositions", "second", "decisions")

    def _close(self, visit: Visit) -> Response:
        return self._said_of_action(visit, Status.OPEN, "closed")

    def _correct(self, visit: Visit) -> Response:
        """Say something else of an action than was said; only to whoever saw what stands."""
        seen = one_field(visit.form, "seen")
        if seen not in CLOSED:
            raise NotThere
        return self._said_of_action(visit, seen, "corrected")

    def _said_of_action(self, visit: Visit, seen: str, done: str) -> Response:
        self._of_this_patient(visit, "action")
        status, reason, who = one_field(visit.form, "status"), one_field(visit.form, "reason"), visit.visitor

        def say() -> None:
            self._follow_up.close(who.tenant, visit.path["action"], status, who.name, reason=reason, seen=seen)

        return self._recorded(visit, say, "action_states", done, "followup")

    def _outcome(self, visit: Visit) -> Response:
        self._of_this_patient(visit, "advisory")
        months, seen = (number(one_field(visit.form, name), digits=8) for name in ("months", "seen"))
        if months is None or seen is None:
            raise NotThere
        response, resistance = one_field(visit.form, "response"), one_field(visit.form, "resistance")
        key, who = visit.path["advisory"], visit.visitor

        def say() -> None:
            self._follow_up.state(who.tenant, key, months, response, resistance, who.name, seen=seen)

        return self._recorded(visit, say, "responses", "outcome", "followup")

    def _acknowledge(self, visit: Visit) -> Response:
        self._of_this_patient(visit, "advisory")
        seen, who, key = number(one_field(visit.form, "seen"), digits=8), visit.visitor, visit.path["advisory"]
        if seen is None:
            raise NotThere
        try:
            done = "acknowledged" if self._reviews.acknowledge(who.tenant, key, who.name, seen) else ""
        except NotAccepted as error:
            return _refused(visit, problem(error))
        if one_field(visit.form, "from") == "list" and not who.patient:
            visit.done = done
            return redirect("/board")
        return _back(visit, done)

    def _of_this_patient(self, visit: Visit, kind: Literal["advisory", "decision", "action"]) -> None:
        """Note whom the address is about, before anything is written. Raises `NoSuchPatient` unless what it names is theirs."""
        visit.about(owner(self._reviews.database, visit.visitor.tenant, visit.path["patient"], kind, visit.path[kind]))

    def _recorded(self, visit: Visit, say: Callable[[], None], codes: str, done: str, place: str) -> Response:
        """What is to be recorded is, or a page that says why not; `codes` is the section of the words of what others said first."""
        try:
            say()
        except NotAccepted as error:
            why = problem(error)
        except AlreadyDecided as error:
            what = label(codes, error.code)
            why = words().refused.first.format(by=error.by, what=what, when=day(day_of(error.at)))
        else:
            return _back(visit, done, place)
        return _refused(visit, why)


def problem(error: NotAccepted) -> str:
    """What is to be mended in a form, in words for whoever filled it in."""
    return str(getattr(words().problems, error.field, error.why))


def _problems(error: NotAccepted, draft: Draft) -> Mapping[str, str]:
    """All that is to be mended in the form of a decision, in words, by field."""
    found = {one.field: problem(one) for one in (error, *error.also)}
    if "note" in found and draft.note.strip():
        found["note"] = words().problems.note_text
    return found


def _refused(visit: Visit, why: str) -> Response:
    """A page that says why nothing was recorded, and leads back to the case."""
    back = f"/board/patients/{visit.patient}"
    return page("refused", HTTPStatus.CONFLICT, visitor=visit.visitor, why=why, back=back)


def _back(visit: Visit, done: str, place: str = "") -> Response:
    """To the case; so that loading the page again repeats nothing."""
    visit.done = done
    return redirect(f"/board/patients/{visit.patient}" + (f"#{place}" if place else ""))


def _came_from(visit: Visit) -> str:
    """The meeting from whose agenda somebody came; "" for none, and for whom an EHR sent about this patient only."""
    return "" if visit.visitor.patient else visit.query.get("meeting", "")


def _filled_in_from(visit: Visit) -> tuple[int, int]:
    """The revision of the advice, and how many decisions about it, that stood on the page where a form was filled in."""
    revision, seen = (number(one_field(visit.form, name), digits=8) for name in ("revision", "seen"))
    if revision is None or seen is None:
        raise NotThere
    return revision, seen


def _came_between(
    visit: Visit, advisory: StoredAdvisory, earlier: Sequence[Decided]
) -> AlreadyDecided | Reassessed | None:
    """What happened since a form was filled in."""
    revision, seen = _filled_in_from(visit)
    if len(earlier) > seen:
        return AlreadyDecided(earlier[-1].by, earlier[-1].code, earlier[-1].at)
    return Reassessed(advisory.standing, advisory.changed) if advisory.revision != revision else None


def _came_first(error: AlreadyDecided | Reassessed | Ended) -> str:
    """What came between, in words: who decided what and when, or that the finding is another."""
    w = words().decision
    if isinstance(error, AlreadyDecided):
        return str(
            w.conflict_lead.format(by=error.by, what=label("dispositions", error.code), when=day(day_of(error.at)))
        )
    return str(w.newer if isinstance(error, Reassessed) else w.ended)


def _listed(kinds: Sequence[str]) -> str:
    return ", ".join(label("actions", kind) for kind in kinds)


def _draft(visit: Visit) -> Draft:
    """What a form holds."""
    form = visit.form
    lines = (line.strip() for line in one_field(form, "references").splitlines())
    days, ticked = {kind: one_field(form, f"due-{kind}") for kind in ACTIONS}, form.get("action", ())
    return Draft(
        one_field(form, "disposition"),
        one_field(form, "reason"),
        one_field(form, "note"),
        {kind: due for kind, due in days.items() if kind in ticked},
        {kind: due for kind, due in days.items() if kind not in ticked and due},
        tuple(Planned(*one.partition(" ")[::2]) for one in form.get("stated", ())),
        one_field(form, "level"),
        one_field(form, "resistance") == "yes",
        tuple(line for line in lines if line),
        one_field(form, "meeting"),
    )
