"""What every request goes through before a route: limits, faults that say nothing, and who may call at all."""

from __future__ import annotations

import asyncio
import math
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import Response as StarletteResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cds.service.hook_request import LOOPBACK
from cds.service.logs import ERROR, note, where
from cds.service.metrics import Tally
from cds.service.pages.rendering import busy
from cds.service.problems import Problem

_BODY_SECONDS = 10.0
_WAYS_IN = ("sign-in", "launch")
"""First parts of the paths that somebody calls who is not signed in yet."""


def fault(number: str) -> Response:
    """The answer to a request that could not be evaluated; `number` is how the log calls it."""
    text = f"the request could not be evaluated; this says nothing about the patient. The log names request {number}"
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "exception", text).response()


def body_reader(most: int) -> Callable[[Request], Any]:
    """Reads the body into `request.state.body`: JSON in UTF-8, of at most `most` bytes."""

    async def read_body(request: Request) -> None:
        kind, _, parameters = request.headers.get("content-type", "").lower().partition(";")
        stated = dict(one.partition("=")[::2] for one in parameters.replace(" ", "").split(";"))
        charset = stated.get("charset", "").strip('"')
        if kind.strip() not in ("application/json", "application/fhir+json") or charset not in ("", "utf-8", "utf8"):
            raise Problem(415, "not-supported", "the body is to be application/json in UTF-8", "Content-Type")
        if request.headers.get("content-encoding", "identity") != "identity":
            raise Problem(415, "not-supported", "the body is to be sent without compression", "Content-Encoding")
        length = request.headers.get("content-length", "")
        body = bytearray()
        if not (length.isdigit() and int(length) > most):
            try:
                async with asyncio.timeout(_BODY_SECONDS):
                    async for chunk in request.stream():
                        body += chunk
                        if len(body) > most:
                            break
                    else:
                        request.state.body = bytes(body)
                        return
            except TimeoutError:
                raise Problem(408, "timeout", f"the body did not come within {_BODY_SECONDS:g} seconds") from None
        raise Problem(413, "too-long", f"the body is to have at most {most} bytes")

    return read_body


class UnderPath:
    """Answers under the path of the public base URL as at the root: whether a proxy in front strips that path or not."""

    def __init__(self, app: ASGIApp, path: str):
        self._app = app
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(f"{self._path}/"):
            scope = {**scope, "path": scope["path"].removeprefix(self._path)}
        await self._app(scope, receive, send)


class Shedding:
    """Calls beyond what can be answered in time are refused at once: a queue that only grows helps nobody.

    What only reads has as many places of its own. So have the pages of people, and their way in, though fewer: nobody without an
    account keeps programs from being answered, nor who is signed in from their work. Whether the process lives is always said.
    `programs`: first parts of the paths that programs call; all else is a page.
    """

    def __init__(self, app: ASGIApp, most: int, programs: Collection[str]):
        self._app = app
        self._for = dict.fromkeys(programs, "programs") | dict.fromkeys(_WAYS_IN, "ways in")
        self._most = {"programs": most, "pages": math.ceil(most / 2), "ways in": math.ceil(most / 4)}
        self._waiting: Counter[tuple[str, bool]] = Counter()  # changed by the event loop alone

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == "/health":
            await self._app(scope, receive, send)
            return
        whose = self._for.get(scope["path"].partition("/")[2].partition("/")[0], "pages")
        kind = whose, scope["method"] != "POST"
        if self._waiting[kind] >= self._most[whose]:
            note("refused", request=scope["state"]["number"], status=503, code="throttled")
            refused = Problem(503, "throttled", "too many calls at once; ask again").response()
            await (refused if whose == "programs" else busy())(scope, receive, send)
            return
        self._waiting[kind] += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._waiting[kind] -= 1


class Browsers(CORSMiddleware):
    """Cross-origin calls; a preflight that is refused is an OperationOutcome like every refusal."""

    def preflight_response(self, request_headers: Headers) -> StarletteResponse:
        response = super().preflight_response(request_headers)
        if response.status_code == HTTPStatus.OK:
            return response
        refused = Problem(
            400, "forbidden", "a browser may not call so from there: see EXOWATCH_ALLOWED_ORIGINS"
        ).response()
        kept = {
            name: value for name, value in response.headers.items() if name not in ("content-length", "content-type")
        }
        refused.headers.update(kept)
        return refused


class Numbered:
    """Every request has a number (`request.state.number`), by which the log calls it, and which its answer states; answers are counted.

    `services`: ids of the CDS services. What is counted is told by these and by the first parts of `programs`' paths, all else is a
    page: never by anything that a caller could choose.
    """

    def __init__(self, app: ASGIApp, tally: Tally, services: Collection[str], programs: Collection[str]):
        self._app = app
        self._tally = tally
        self._services, self._programs = services, programs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, number = time.perf_counter(), str(uuid.uuid4())
        scope.setdefault("state", {})["number"] = number

        async def numbered(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-ID"] = number
                seconds = time.perf_counter() - started
                self._tally.answered(self._what(scope["path"]), message["status"], seconds)
            await send(message)

        await self._app(scope, receive, numbered)

    def _what(self, path: str) -> str:
        first, *more = path.strip("/").split("/")
        if first != "cds-services":
            return first if first in self._programs else "pages"
        if not more:
            return "discovery"
        if more[0] not in self._services:
            return "unknown"
        return "feedback" if more[1:] == ["feedback"] else more[0]


class Faults:
    """A fault is answered as every other refusal is, so that a browser may read it, and its message goes to no log."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except ClientDisconnect:
            note("gone", meaning="the caller hung up before its request was whole")
        except Exception as error:
            number = scope["state"]["number"]
            note("fault", ERROR, request=number, error=type(error).__name__, where=where(error))
            if not begun:  # half an answer cannot be taken back: the server breaks the connection
                await fault(number)(scope, receive, send)


class LoopbackOnly:
    """Without client trust only this machine may ask, and under its own name: a name that a web page made to point here
    is refused, and so is a proxy."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not _is_local(scope):
            refused = Problem(403, "forbidden", "development mode answers on the loopback address only, without proxy")
            await refused.response()(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _is_local(scope: Scope) -> bool:
    headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
    stated = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}
    host = stated.get("host", "").rsplit(":", 1)[0] if not stated.get("host", "").endswith("]") else stated["host"]
    client = (scope.get("client") or ("", 0))[0]
    forwarded = "forwarded" in stated or "x-forwarded-for" in stated
    return host.strip("[]") in LOOPBACK and (client in LOOPBACK or client.startswith("127.")) and not forwarded
