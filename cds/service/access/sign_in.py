"""The pages on which people sign in with a name and a password, and out."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool

from cds.record.sessions import Session, SignInRefused
from cds.service.access.browser import field, form_of, same
from cds.service.access.gate import SESSION, SIGN_IN, Gate, answered, notice, redirect
from cds.service.access.kept import Kept, kept_in
from cds.service.access.pace import Pace
from cds.service.logs import note
from cds.service.pages.rendering import icon, page, style

_ENTRY = "entry"
"""The cookie that binds the form of the sign-in page to the browser: without it somebody could be signed in as another."""
_REFUSED_AFTER = 0.3
"""Seconds after which whoever is refused is told so, for whatever reason."""
_ENTRY_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


class SignIn:
    """The pages before the gate. `local`: whether accounts with passwords of ours may sign in; `providers`: (key, label) of the others.

    `clock` gives the seconds by which whoever is refused too often has to wait.
    """

    def __init__(
        self, gate: Gate, clock: Callable[[], float], *, local: bool, providers: Sequence[tuple[str, str]] = ()
    ):
        self._gate, self._local, self._providers = gate, local, providers
        self._pace = Pace(clock)
        gate.signed_out = self._signed_out

    def mount(self, app: FastAPI) -> None:
        """Add the pages to the service."""
        for path, method, answer in (
            ("/", "GET", self._start), (SIGN_IN, "GET", self._shown), (SIGN_IN, "POST", self._tried), ("/sign-out", "POST", self._left),
        ):  # fmt: skip
            app.add_api_route(path, open_page(answer), methods=[method])
        app.add_api_route("/style.css", style, methods=["GET"])
        app.add_api_route("/favicon.ico", icon, methods=["GET", "HEAD"])

    async def _start(self, request: Request) -> Response:
        session = await run_in_threadpool(self._gate.session, request)
        return redirect(SIGN_IN if session is None else self._gate.home(self._gate.visitor(session)))

    async def _shown(self, request: Request) -> Response:
        wanted = self._gate.back_to(request.query_params.get("next", ""))
        session = await run_in_threadpool(self._gate.session, request)
        if session is not None and not session.patient:
            return redirect(wanted or self._gate.home(self._gate.visitor(session)))
        return self._form(request, wanted)

    def _signed_out(self, request: Request, wanted: str, kept: Kept | None) -> Response:
        return self._form(request, wanted, "signed-out", HTTPStatus.UNAUTHORIZED, kept=kept)

    def _form(
        self,
        request: Request,
        wanted: str,
        wrong: str = "",
        status: HTTPStatus = HTTPStatus.OK,
        *,
        name: str = "",
        kept: Kept | None = None,
    ) -> Response:
        entry = self._gate.browser.cookie(request, _ENTRY)
        if not _ENTRY_TOKEN.fullmatch(entry):
            entry = secrets.token_urlsafe(32)
        providers = [
            (f"{SIGN_IN}/{key}" + (f"?next={quote(wanted, safe='')}" if wanted else ""), label) for key, label in self._providers
        ]  # fmt: skip
        response = page(
            "sign_in", status, visitor=None, local=self._local, providers=providers, csrf=entry, next=wanted, wrong=wrong,
            typed=name, kept=kept, launches=bool(self._gate.launches),
        )  # fmt: skip
        self._gate.browser.give(response, _ENTRY, entry)
        return response

    async def _tried(self, request: Request) -> Response:
        begun = time.monotonic()
        form = await form_of(request)
        if form is None:
            return notice(HTTPStatus.BAD_REQUEST, "unreadable", None)
        kept = kept_in(field(form, "kept"))
        if kept is not None and not self._gate.takes(kept):
            kept = None
        if kept is not None and field(form, "do") == "go-on":
            return await self._gone_on(request, kept)
        if not self._local:
            return notice(HTTPStatus.NOT_FOUND, "not-there", None)
        wanted, name = self._gate.back_to(field(form, "next")), field(form, "name")

        def again(why: str, status: HTTPStatus) -> Response:
            return self._form(request, wanted, why, status, name=name, kept=kept)

        bound = same(self._gate.browser.cookie(request, _ENTRY), field(form, "csrf"))
        if not bound or not self._gate.browser.is_from_us(request):
            note("refused", status=403, code="csrf")
            return again("again", HTTPStatus.FORBIDDEN)
        address = self._gate.browser.address(request)
        if not self._pace.taken(address):
            note("refused", status=429, code="throttled")
            response = again("too-often", HTTPStatus.TOO_MANY_REQUESTS)
            response.headers["Retry-After"] = "30"
            return response
        before = self._gate.browser.cookie(request, SESSION)
        try:
            token = await run_in_threadpool(
                self._gate.sessions.sign_in, self._gate.tenant, name, field(form, "password"), before
            )
        except SignInRefused:
            note("refused", status=403, code="sign-in")
            # Of a name that nobody has there is less to write: nobody is to tell it by the time.
            await asyncio.sleep(max(0.0, begun + _REFUSED_AFTER - time.monotonic()))
            return again("refused", HTTPStatus.FORBIDDEN)
        self._pace.given_back(address)
        return await run_in_threadpool(let_in, self._gate, token, wanted, kept)

    async def _gone_on(self, request: Request, kept: Kept) -> Response:
        """Somebody has signed in elsewhere in this browser, and goes on with what they wrote."""
        session = await run_in_threadpool(self._gate.session, request)
        if session is None or not self._gate.browser.is_surely_from_us(request):
            return self._signed_out(request, self._gate.near(kept.path), kept)
        return _written(self._gate, session, kept)

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


def let_in(gate: Gate, token: str, wanted: str, kept: Kept | None = None) -> Response:
    """To the page that was wanted, or to the first one, with the cookie of a new session; with `kept` first to what was written.

    Raises `RecordUnavailable`.
    """
    session = gate.sessions.find(gate.tenant, token)
    if session is not None and kept is not None:
        response = _written(gate, session, kept)
    else:
        response = redirect(wanted or (gate.home(gate.visitor(session)) if session is not None else SIGN_IN))
    gate.browser.give(response, SESSION, token)
    gate.browser.take(response, _ENTRY)
    return response


def _written(gate: Gate, session: Session, kept: Kept) -> Response:
    """What somebody wrote before their session ended, to be sent in this one: whether it is taken is said by the page that takes it."""
    return page("kept", visitor=gate.visitor(session), kept=kept, back=gate.near(kept.path))


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
