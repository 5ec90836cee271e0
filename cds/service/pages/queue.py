"""The pages on which people say whose results are: the list of what waits, and each of it with what was sent.

Nothing is decided for them: who has the identifier is shown, with the date of birth, and a person chooses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from cds.record.database import RecordUnavailable
from cds.record.identity import AmbiguousPatient, NoSuchPatient, identified
from cds.record.queue import NoSuchArrival, Queue
from cds.service.pages.rendering import message, page, style
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
        said = chosen or written
        try:
            with self._queue.database.reading() as connection:
                who = identified(connection, self._tenant, said, new=form.get("new") == "yes")
        except NoSuchPatient as error:
            return self._shown(
                key, form, f"{error}. If that is right, and they are new here, tick “new in this record”."
            )
        except AmbiguousPatient as error:
            return self._shown(key, form, str(error))
        self._queue.assign(self._tenant, key, who, by)
        return _back("given", key)

    def _shown(self, key: str, form: Mapping[str, str], wrong: str) -> Response:
        waiting, resources = self._queue.content(self._tenant, key)
        return page(
            "arrival", HTTPStatus.CONFLICT if wrong else HTTPStatus.OK,
            one=waiting, why=WHY, results=[_told(one) for one in resources if one["resourceType"] == "Observation"],
            sources=sorted({one["entity"][0]["what"]["display"] for one in resources if one["resourceType"] == "Provenance"}),
            candidates=self._queue.candidates(self._tenant, key), form=form, wrong=wrong,
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


def _told(observation: Mapping[str, Any]) -> dict[str, str]:
    """A result in a row of a table."""
    codings: Sequence[Mapping[str, Any]] = observation["code"].get("coding", ())
    names = [one.get("display") or one.get("code", "") for one in codings]
    return {
        "what": observation["code"].get("text") or next(filter(None, names), "?"),
        "value": _value(observation),
        "collected": str(
            observation.get("effectiveDateTime") or observation.get("effectivePeriod", {}).get("start", "")
        ),
        "status": str(observation.get("status", "")),
    }


def _value(observation: Mapping[str, Any]) -> str:
    quantity = observation.get("valueQuantity")
    if isinstance(quantity, Mapping):
        unit = quantity.get("unit") or quantity.get("code") or "(no unit)"
        return f"{quantity.get('comparator', '')}{quantity.get('value', '?')} {unit}"
    concept = observation.get("valueCodeableConcept", {})
    return str(observation.get("valueString") or concept.get("text") or "no value")
