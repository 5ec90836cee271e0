"""The pages for who sits at this machine: on loopback, for whoever has the address that was printed."""

from __future__ import annotations

import secrets
from http import HTTPStatus

from fastapi import FastAPI, Request, Response

from cds.record.queue import Queue
from cds.service.middleware import LoopbackOnly
from cds.service.pages.queue import QueuePages
from cds.service.pages.rendering import message
from cds.service.pages.words import CLOSED

_COOKIE = "exowatch-desk"


def local_pages(queue: Queue, tenant: str, key: str) -> FastAPI:
    """The queue's pages. `/?key=…` opens them for a browser; without having been there it sees nothing."""
    app = FastAPI(title="Exowatch", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)

    def admitted(request: Request) -> bool:
        return secrets.compare_digest(request.cookies.get(_COOKIE, "").encode(), key.encode())

    async def enter(request: Request) -> Response:
        if not secrets.compare_digest(request.query_params.get("key", "").encode(), key.encode()):
            return message(HTTPStatus.FORBIDDEN, *CLOSED)
        response = Response(
            status_code=HTTPStatus.SEE_OTHER, headers={"Location": "/queue", "Cache-Control": "no-store"}
        )
        response.set_cookie(_COOKIE, key, httponly=True, samesite="strict")
        return response

    app.add_api_route("/", enter, methods=["GET"])
    app.include_router(QueuePages(queue, tenant, admitted).routes())
    app.add_middleware(LoopbackOnly)
    return app
