"""The pages on which people sign in with a name and a password, and out."""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool

from cds.record.sessions import Session, SignInRefused
from cds.service.access.browser import field, form_of, same
from cds.service.access.gate import SESSION, SIGN_IN, Gate, answered, notice, redirect
from cds.service.access.visitor import visitor_of
from cds.service.logs import note
from cds.service.pages.rendering import page, style

_ENTRY = "entry"
"""The cookie that binds the form of the sign-in page to the browser: without it somebody could be signed in as another."""
_ENTRY_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


class SignIn:
    """The pages before the gate. `local`: whether accounts with passwords of ours may sign in; `providers`: (key, label) of the others."""

    def __init__(self, gate: Gate, *, local: bool, providers: Sequence[tuple[str, str]] = ()):
        self._gate, self._local, self._providers = gate, local, providers

    def mount(self, app: FastAPI) -> None:
        """Add the pages to the service."""
        for path, method, answer in (
            ("/", "GET", self._start), (SIGN_IN, "GET", self._shown), (SIGN_IN, "POST", self._tried), ("/sign-out", "POST", self._left),
        ):  # fmt: skip
            app.add_api_route(path, open_page(answer), methods=[method])
        app.add_api_route("/style.css", style, methods=["GET"])

    async def _start(self, request: Request) -> Response:
        session = await run_in_threadpool(self._gate.session, request)
        return redirect(SIGN_IN if session is None else self._gate.home(visitor_of(session)))

    async def _shown(self, request: Request) -> Response:
        wanted = self._gate.back_to(request.query_params.get("next", ""))
        session = await run_in_threadpool(self._gate.session, request)
        if session is not None and not session.patient:
            return redirect(wanted or self._gate.home(visitor_of(session)))
        return self._form(request, wanted)

    def _form(self, request: Request, wanted: str, wrong: str = "", status: HTTPStatus = HTTPStatus.OK) -> Response:
        entry = self._gate.browser.cookie(request, _ENTRY)
        if not _ENTRY_TOKEN.fullmatch(entry):
            entry = secrets.token_urlsafe(32)
        providers = [
            (f"{SIGN_IN}/{key}" + (f"?next={quote(wanted, safe='')}" if wanted else ""), label) for key, label in self._providers
        ]  # fmt: skip
        response = page(
            "sign_in",
            status,
            visitor=None,
            local=self._local,
            providers=providers,
            csrf=entry,
            next=wanted,
            wrong=wrong,
        )
        self._gate.browser.give(response, _ENTRY, entry)
        return response

    async def _tried(self, request: Request) -> Response:
        if not self._local:
            return notice(HTTPStatus.NOT_FOUND, "not-there", None)
        form = await form_of(request)
        if form is None:
            return notice(HTTPStatus.BAD_REQUEST, "unreadable", None)
        wanted = self._gate.back_to(field(form, "next"))
        bound = same(self._gate.browser.cookie(request, _ENTRY), field(form, "csrf"))
        if not bound or not self._gate.browser.is_from_us(request):
            note("refused", status=403, code="csrf")
            return self._form(request, wanted, "again", HTTPStatus.FORBIDDEN)
        before = self._gate.browser.cookie(request, SESSION)
        try:
            token = await run_in_threadpool(
                self._gate.sessions.sign_in, self._gate.tenant, field(form, "name"), field(form, "password"), before
            )
        except SignInRefused:
            note("refused", status=403, code="sign-in")
            return self._form(request, wanted, "refused", HTTPStatus.FORBIDDEN)
        return await run_in_threadpool(let_in, self._gate, token, wanted)

    async def _left(self, request: Request) -> Response:
        session: Session | None = await run_in_threadpool(self._gate.session, request)
        if session is None:
            return redirect(SIGN_IN)
        sent = await self._gate.form(request, session)
        if isinstance(sent, Response):
            return sent
        await run_in_threadpool(self._gate.sessions.sign_out, self._gate.browser.cookie(request, SESSION))
        response = redirect(SIGN_IN)
        self._gate.browser.take(response, SESSION)
        return response


def let_in(gate: Gate, token: str, wanted: str) -> Response:
    """To the page that was wanted, or to the first one, with the cookie of a new session. Raises `RecordUnavailable`."""
    session = gate.sessions.find(gate.tenant, token)
    response = redirect(wanted or (gate.home(visitor_of(session)) if session is not None else SIGN_IN))
    gate.browser.give(response, SESSION, token)
    gate.browser.take(response, _ENTRY)
    return response


def open_page(answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """A page that nobody needs to be signed in for, as a route."""

    async def opened(request: Request) -> Response:
        return await answered(lambda: answer(request))

    return opened


def threaded(answer: Callable[[Request], Response]) -> Callable[[Request], Awaitable[Response]]:
    """A plain function as one that is awaited: it waits in a thread."""

    async def awaited(request: Request) -> Response:
        return await run_in_threadpool(answer, request)

    return awaited
