"""The pages on which people say whose results are: the list of what waits, and each of it with what was sent.

Nothing is decided for them: who may be whose it is, is shown by name, date of birth and record number, and a person chooses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from cds.intake.legible import lines
from cds.record.database import RecordUnavailable
from cds.record.identity import AmbiguousPatient, NoSuchPatient, identified
from cds.record.ownership import Person
from cds.record.queue import NoSuchArrival, Queue
from cds.service.pages.rendering import icon, message, page, style
from cds.service.pages.words import AWAY, CLOSED, NOT_THERE, UNREADABLE, WHY

_LONGEST_FORM = 4000


class QueuePages:
    """The queue of one tenant, for whoever may see it: who that is, is for whoever puts these routes somewhere."""

    def __init__(self, queue: Queue, tenant: str, admitted: Callable[[Request], bool]):
        self._queue, self._tenant, self._admitted = queue, tenant, admitted

    def routes(self) -> APIRouter:
        router = APIRouter()
        for path, answered in (("/queue", self._list), ("/queue/{key}", self._one)):
            router.add_api_route(path, self._guarded(answered), methods=["GET"])
        router.add_api_route("/queue/{key}", self._guarded(self._decided), methods=["POST"])
        router.add_api_route("/style.css", style, methods=["GET"])
        router.add_api_route("/favicon.ico", icon, methods=["GET", "HEAD"])
        return router

    def _guarded(
        self, answered: Callable[[Request, Mapping[str, str]], Response]
    ) -> Callable[..., Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            if not self._admitted(request):
                return message(HTTPStatus.FORBIDDEN, *CLOSED)
            form = await _form(request)
            if form is None:
                return message(HTTPStatus.BAD_REQUEST, *UNREADABLE)
            try:
                return await run_in_threadpool(answered, request, form)
            except NoSuchArrival:
                return message(HTTPStatus.NOT_FOUND, *NOT_THERE)
            except RecordUnavailable:
                return message(HTTPStatus.SERVICE_UNAVAILABLE, *AWAY)

        return guarded

    def _list(self, request: Request, _form: Mapping[str, str]) -> Response:
        waiting = self._queue.waiting(self._tenant)
        counts = Counter(WHY[one.waits] for one in waiting)
        done = request.query_params.get("done", "")
        return page("queue", waiting=waiting, counts=counts, why=WHY, done=done if done in ("given", "aside") else "",
                    last=request.query_params.get("key", ""))  # fmt: skip

    def _one(self, request: Request, _form: Mapping[str, str]) -> Response:
        return self._shown(request.path_params["key"], {}, "")

    def _decided(self, request: Request, form: Mapping[str, str]) -> Response:
        key, by = request.path_params["key"], form.get("by", "").strip()
        if not by:
            return self._shown(key, form, "Say who decides: a role or a pseudonym.")
        if form.get("do") == "aside":
            if form.get("sure") != "yes":
                return self._shown(key, form, "What was sent will be deleted: confirm that you mean it.")
            self._queue.set_aside(self._tenant, key, by)
            return _back("aside", "")
        chosen, written = form.get("patient", ""), form.get("other", "").strip()
        if bool(chosen) == bool(written):
            two = "Two patients are named: choose the one, or “another patient” and write which."
            return self._shown(key, form, two if chosen else "Choose a patient, or write which one.")
        try:
            with self._queue.database.reading() as connection:
                who = identified(connection, self._tenant, chosen or written, new=form.get("new") == "yes")
        except NoSuchPatient as error:
            return self._shown(
                key, form, f"{error}. If that is right, and they are new here, tick “new in this record”."
            )
        except AmbiguousPatient as error:
            return self._shown(key, form, str(error))
        if written:  # whoever wrote an address sees who that is before anything is given
            asked = {**form, "patient": who.address, "other": ""}
            return self._shown(key, asked, "", self._queue.known(who))
        self._queue.assign(self._tenant, key, who, by)
        return _back("given", key)

    def _shown(self, key: str, form: Mapping[str, str], wrong: str, written: Person | None = None) -> Response:
        """What was sent, and who may be whose it is: `written`, too, whom somebody named by their address."""
        waiting, resources = self._queue.content(self._tenant, key)
        results = lines(resources)
        candidates = self._queue.candidates(self._tenant, key)
        if written is not None and written.who not in {one.who for one in candidates}:
            candidates = [*candidates, written]
        return page(
            "arrival", HTTPStatus.CONFLICT if wrong else HTTPStatus.OK,
            one=waiting, why=WHY, results=results, sources=sorted({one.place for one in results if one.place}),
            messages=sorted({one.message for one in results if one.message}),
            candidates=candidates, form=form, wrong=wrong, named=written is not None,
        )  # fmt: skip


async def _form(request: Request) -> dict[str, str] | None:
    """The fields of a form that was sent; None if it is none. A form of another site is none either."""
    if request.method != "POST":
        return {}
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        return None
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return None
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LONGEST_FORM:
            return None
    try:
        return dict(
            parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=20, encoding="utf-8", errors="strict")
        )
    except ValueError:
        return None


def _back(done: str, key: str) -> Response:
    """To the list; so that loading the page again repeats nothing."""
    address = f"/queue?done={done}" + (f"&key={key}" if key else "")
    return Response(status_code=HTTPStatus.SEE_OTHER, headers={"Location": address, "Cache-Control": "no-store"})
