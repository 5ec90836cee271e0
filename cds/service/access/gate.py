"""The gate through which every page of the board goes: who is signed in, whether they may, whether a form is theirs, and the audit.

Nothing is open that is not named here: a path without a route is no page, a route without an act cannot be added.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Literal
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.routing import compile_path

from cds.record.database import RecordUnavailable
from cds.record.decisions import NoSuchAdvisory
from cds.record.identity import NoSuchPatient
from cds.record.passwords import TooManyAtOnce
from cds.record.sessions import Session, Sessions, csrf_of
from cds.record.trail import Trail
from cds.service.access.browser import Browser, field, form_of, is_text, own_path, same
from cds.service.access.kept import Kept
from cds.service.access.roles import OF_NO_PATIENT, OF_NO_RECORD, Act, Role
from cds.service.access.visitor import OtherPatient, Visit, Visitor, visitor_of
from cds.service.logs import ERROR, note, where
from cds.service.pages.rendering import HEADERS, busy, page

__all__ = ["Act", "Gate", "Handler", "NotThere", "Response", "Role", "Route", "Visit", "Visitor"]

SESSION = ""
"""The cookie with the token of a session."""
_DONE, _SECONDS = "done", 60
"""The cookie with what a page is to say that was done: no link can make a page say it, and none says it twice."""
SIGN_IN = "/sign-in"
OWN_ACCOUNT = "/account"
_HOMES = ("/board", "/accounts", "/audit", "/author", "/board/rules", OWN_ACCOUNT)

_WRITES = frozenset({Act.DECIDE, Act.HOLD_MEETINGS})
"""Acts whose forms hold what somebody has thought about: it is not lost when their session has ended."""

Handler = Callable[[Visit], Response]


class NotThere(Exception):
    """What the address names is not there, or not for this visitor to know of."""


@dataclass(frozen=True, slots=True)
class Route:
    """One page: where it is, and the act that who opens it must be permitted."""

    path: str
    method: str
    act: Act

    def opens(self, visitor: Visitor, path: Mapping[str, str]) -> bool:
        """Whether it opens to a visitor; to whom an EHR sent about one patient, nothing of another or of many."""
        if not visitor.may(self.act):
            return False
        return not visitor.patient or self.act in OF_NO_PATIENT or path.get("patient") == visitor.patient


class Gate:
    """Routes of pages, each with the act that it is; safe to share between threads once the routes are added.

    `clock` says on which day somebody visits them.
    """

    def __init__(self, sessions: Sessions, trail: Trail, tenant: str, browser: Browser, clock: Callable[[], datetime]):
        self.sessions, self.browser, self.tenant = sessions, browser, tenant
        self.launches: frozenset[str] = frozenset()
        """The FHIR servers of EHRs that may launch the board about one patient."""
        self.signed_out: Callable[[Request, str, Kept | None], Response] = _signed_out
        """The answer to a form that was sent without a session: the page to go to then, and what was written."""
        self._trail, self._clock = trail, clock
        self._handlers: dict[Route, Handler] = {}
        self._pages: frozenset[str] = frozenset()

    def add(self, path: str, method: Literal["GET", "POST"], act: Act, handler: Handler) -> None:
        """Let a handler answer a path, such as `/board/patients/{patient}`. Raises `ValueError` for one that is there, or no act.

        Where a path names a patient its parameter is called `patient` and holds the id of the patient's row: who came
        from an EHR about one patient is let through to that one only. Handlers are plain functions, run in a thread.
        """
        if not isinstance(act, Act):
            raise ValueError(f"{method} {path} names no act, so nobody could be permitted it")
        if not path.startswith("/") or any((one.path, one.method) == (path, method) for one in self._handlers):
            raise ValueError(f"{method} {path} is no path, or stands here twice")
        self._handlers[Route(path, method, act)] = handler
        if method == "GET":
            self._pages |= {path}

    @property
    def routes(self) -> tuple[Route, ...]:
        """Every page that is behind the gate."""
        return tuple(self._handlers)

    def router(self) -> APIRouter:
        """The routes, and behind them, for every path that begins as one of them does, that there is no such page."""
        router = APIRouter()
        for route, handler in self._handlers.items():
            router.add_api_route(route.path, self._guarded(route, handler), methods=[route.method])
        every = ["GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"]
        for first in dict.fromkeys(route.path.split("/")[1] for route in self._handlers):
            for path in (f"/{first}", f"/{first}/{{rest:path}}"):
                router.add_api_route(path, self._guarded(None, _nothing), methods=every)
        return router

    def visitor(self, session: Session) -> Visitor:
        """Whose session it is, as pages know them, with the pages to which they may be led."""
        return visitor_of(session, self._pages)

    def home(self, visitor: Visitor) -> str:
        """Where a visitor begins."""
        if visitor.patient:
            return f"/board/patients/{visitor.patient}"
        open_ = {one.path for one in self._handlers if one.method == "GET" and visitor.may(one.act)}
        return next((path for path in _HOMES if path in open_), OWN_ACCOUNT)

    def back_to(self, stated: str) -> str:
        """The page to go to after signing in, as it was stated; "" unless it is one of these pages."""
        path = own_path(stated).partition("?")[0]
        pages = (compile_path(one.path)[0] for one in self._handlers if one.method == "GET")
        return stated if path and any(one.match(path) for one in pages) else ""

    def near(self, path: str) -> str:
        """The page at a path, or the nearest above it: where whoever sent a form there goes on; "" if there is none."""
        while path and not self.back_to(path):
            path = path.rpartition("/")[0]
        return path

    def takes(self, kept: Kept) -> bool:
        """Whether a form that was kept is one of these pages'."""
        return any(
            one.method == "POST" and one.act in _WRITES and compile_path(one.path)[0].match(kept.path) for one in self._handlers
        )  # fmt: skip

    def session(self, request: Request) -> Session | None:
        """Whose session the browser has; None if it has none. Raises `RecordUnavailable`."""
        token = self.browser.cookie(request, SESSION)
        return self.sessions.find(self.tenant, token) if token else None

    async def form(self, request: Request, session: Session) -> dict[str, list[str]] | Response:
        """The fields of a form that a page of this session sent; else the page that says why it is not taken."""
        found = await form_of(request)
        if found is None:
            return notice(HTTPStatus.BAD_REQUEST, "unreadable", self.visitor(session))
        if not self.browser.is_from_us(request) or not same(session.csrf, field(found, "csrf")):
            note("refused", status=403, code="csrf")
            return notice(HTTPStatus.FORBIDDEN, "not-ours", self.visitor(session))
        return found

    def _guarded(self, route: Route | None, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            return await answered(lambda: self._answer(route, handler, request))

        return guarded

    async def _answer(self, route: Route | None, handler: Handler, request: Request) -> Response:
        session = await run_in_threadpool(self.session, request)
        if session is None and request.method == "GET":
            return _sent_to_sign_in(request)
        if session is None:
            return self.signed_out(request, self.near(request.url.path), await self._kept(route, request))
        visitor = self.visitor(session)
        if route is None:
            return notice(HTTPStatus.NOT_FOUND, "not-there", visitor)
        path = {name: str(value) for name, value in request.path_params.items()}
        query = {name: request.query_params.getlist(name)[0] for name in request.query_params}
        if not all(map(is_text, (*path.values(), *query.values()))):
            return notice(HTTPStatus.NOT_FOUND, "not-there", visitor)
        if not route.opens(visitor, path):
            note("refused", status=403, code="forbidden", act=route.act)
            await run_in_threadpool(self._kept_out, route, visitor, path.get("patient", ""))
            return notice(HTTPStatus.FORBIDDEN, "one-patient" if visitor.may(route.act) else "forbidden", visitor)
        if session.account.one_time and route.path != OWN_ACCOUNT:
            return redirect(OWN_ACCOUNT)
        form: dict[str, list[str]] = {}
        if request.method == "POST":
            sent = await self.form(request, session)
            if isinstance(sent, Response):
                return sent
            form = sent
        done = self.browser.cookie(request, _DONE) if request.method == "GET" else ""
        visit = Visit(visitor, self._clock().astimezone().date(), path, query, form, done)
        return await run_in_threadpool(self._handled, route, handler, visit)

    async def _kept(self, route: Route | None, request: Request) -> Kept | None:
        """What a form holds whose session has ended: only of one that a page of that very session sent."""
        token = self.browser.cookie(request, SESSION)
        if route is None or route.act not in _WRITES or not token or not self.browser.is_surely_from_us(request):
            return None
        form = await form_of(request)
        if form is None or not same(csrf_of(token), field(form, "csrf")):
            return None
        return Kept(request.url.path, {name: values for name, values in form.items() if name != "csrf"})

    def _kept_out(self, route: Route, visitor: Visitor, patient: str) -> None:
        changes = route.method != "GET"
        self._trail.kept_out(visitor.tenant, visitor.name, route.path, patient, changes=changes)

    def _handled(self, route: Route, handler: Handler, visit: Visit) -> Response:
        visitor = visit.visitor
        try:
            told = visit.done
            response = handler(visit)
            if told:
                self.browser.take(response, _DONE)
            elif visit.done:
                self.browser.give(response, _DONE, visit.done, _SECONDS)
            leads_on = HTTPStatus.MULTIPLE_CHOICES <= response.status_code < HTTPStatus.BAD_REQUEST
            if not leads_on and route.act not in OF_NO_RECORD:
                # What is not on record is not shown: also where a form is shown again.
                self._trail.looked(visitor.tenant, visitor.name, route.path, visit.patient, visit.meeting)
        except OtherPatient:
            self._kept_out(route, visitor, "")
            return notice(HTTPStatus.FORBIDDEN, "one-patient", visitor)
        except (NotThere, NoSuchPatient, NoSuchAdvisory):
            return notice(HTTPStatus.NOT_FOUND, "not-there", visitor)
        return response


async def answered(answer: Callable[[], Awaitable[Response]]) -> Response:
    """The answer, with what goes with every page; a page also if the record is away, or something is wrong with us."""
    try:
        response = await answer()
    except TooManyAtOnce:
        response = busy()
    except RecordUnavailable:
        response = notice(HTTPStatus.SERVICE_UNAVAILABLE, "away", None)
        response.headers["Retry-After"] = "5"
    except ClientDisconnect:
        raise
    except Exception as error:
        number = str(uuid.uuid4())
        note("fault", ERROR, request=number, error=type(error).__name__, where=where(error))
        response = notice(HTTPStatus.INTERNAL_SERVER_ERROR, "fault", None, number)
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def notice(status: HTTPStatus, what: str, visitor: Visitor | None, number: str = "") -> Response:
    """A page that says why there is no other: `what` is a key of the template, `number` how the log calls a fault."""
    return page("notice", status, what=what, visitor=visitor, number=number)


def redirect(path: str) -> Response:
    """To another page, which is asked for anew."""
    return Response(status_code=HTTPStatus.SEE_OTHER, headers={"Location": path})


def _sent_to_sign_in(request: Request) -> Response:
    wanted = own_path(request.url.path + (f"?{request.url.query}" if request.url.query else ""))
    return redirect(f"{SIGN_IN}?next={quote(wanted, safe='')}" if wanted else SIGN_IN)


def _signed_out(_request: Request, _wanted: str, _kept: Kept | None) -> Response:
    return notice(HTTPStatus.UNAUTHORIZED, "signed-out", None)


def _nothing(_visit: Visit) -> Response:
    raise NotThere
