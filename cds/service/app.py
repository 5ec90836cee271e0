"""The web service: CDS Hooks over HTTP. Everything that is not about HTTP is in `cds.service.desk`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, TypeVar
from urllib.parse import urlsplit

from fastapi import Depends, FastAPI, Request, Response
from starlette.exceptions import HTTPException

from cds.errors import ExowatchError, InputError
from cds.exchange.backend import Backend
from cds.intake.interfaces import Interface
from cds.reasoning.reasoner import Reasoner
from cds.record.database import RecordUnavailable, SchemaMismatch
from cds.record.listing import Counted, standing_counts
from cds.record.ownership import nobody
from cds.record.recorder import Recorder
from cds.selfcheck import Check
from cds.service.access.gate import Gate
from cds.service.access.mounting import mount
from cds.service.decisions import decide
from cds.service.desk import Caller, Clock, Desk
from cds.service.discovery import templates
from cds.service.door import Door
from cds.service.editions import InUse
from cds.service.ehr import Ehrs
from cds.service.feedback import take
from cds.service.fhir import FhirEndpoint
from cds.service.follower import Follower
from cds.service.handbook import Handbook
from cds.service.logs import ERROR, note, where
from cds.service.matcher import Matcher
from cds.service.metrics import CONTENT_TYPE, Tally, exposition
from cds.service.middleware import Browsers, Faults, LoopbackOnly, Numbered, Shedding, UnderPath, body_reader, fault
from cds.service.pages.board import add_board
from cds.service.pages.rendering import script
from cds.service.problems import Problem, answer
from cds.service.reception import UNSURE, Reception, outcome
from cds.service.trust import Trust
from cds.settings import Settings

T = TypeVar("T")

_SELF_TEST_HOLDS = 2.0
_PROGRAMS = frozenset({"cds-services", "fhir", "metrics", "advisories", "results", "rules", "ready", "health"})
"""First parts of the paths that programs call; people call the others."""


class RefusedToStart(ExowatchError):
    """The service may not start with these settings; says which, and what to do."""


def create_app(
    settings: Settings,
    reasoner: Reasoner,
    *,
    recorder: Recorder | None = None,
    trust: Trust | None = None,
    clock: Clock | None = None,
    interfaces: Mapping[str, Interface] = MappingProxyType({}),
    backends: Mapping[str, tuple[Backend, str]] = MappingProxyType({}),
    candidate: Reasoner | None = None,
    release: str = "",
    pages: Sequence[Callable[[Gate], None]] = (),
    leaving: threading.Event | None = None,
    tally: Tally | None = None,
) -> FastAPI:
    """The service for a rule book. Raises `RefusedToStart` for settings under which anybody could ask.

    `recorder` takes every evaluation into the record before it is answered; without one nothing is recorded, which only
    tests of the cards want. `trust` tells who may call; without it the service is open, and answers this machine only.
    `clock` says as of when requests are answered (default: now). `interfaces` say how laboratories deliver; `backends` are
    the FHIR servers that are asked in the service's own name, by base URL, with their tenants.
    `candidate` holds a rule book that may come next: pages show what it would say. `release`: the version as which the rules were
    published. `pages` add what later stages show to the gate.
    `leaving` is set once the service is to send nobody here any more: it is not ready then, and answers all the same.
    `tally` goes on counting where the edition before left off.
    With a record people may sign in to pages (`app.state.gate`), `app.state.reception` takes results by other ways than HTTP,
    `app.state.matcher` finds out whose they are, and `app.state.follower` evaluates what arrived.
    """
    if settings.open_mode == (trust is not None):
        raise RefusedToStart(
            "No client is trusted: nobody could ask, or anybody. Set EXOWATCH_CLIENTS_FILE (docs/trust.md); or, for "
            "development on this machine, call `exowatch serve --dev`, which answers on the loopback address only"
            if trust is None
            else "Open mode and a file of clients exclude each other: unset EXOWATCH_OPEN_MODE or EXOWATCH_CLIENTS_FILE"
        )
    if trust is not None and not settings.public_base_url.startswith("https://"):
        raise RefusedToStart(
            "Tokens are made for an address: set EXOWATCH_PUBLIC_BASE_URL to the https address under which clients call, "
            "such as https://cds.example/exowatch"
        )
    app = FastAPI(title="Exowatch", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    desk = Desk(settings, reasoner, clock or _now, recorder)
    app.state.desk, app.state.in_use = desk, InUse(release)
    tally = tally or Tally()
    routes = _Routes(desk, reasoner, recorder, settings, app.state.in_use, tally)
    routes.leaving = leaving
    door = Door(trust, settings)
    calls, records = Depends(door.admits("call")), Depends(door.admits("record"))
    body = Depends(body_reader(settings.max_body_bytes))
    discovery = [calls] if settings.discovery_needs_token else []
    for path in ("/cds-services", "/cds-services/"):
        app.add_api_route(path, routes.discovery, methods=["GET"], dependencies=discovery)
    if recorder is not None:
        for path in ("/cds-services/{service}/feedback", "/cds-services/{service}/feedback/"):
            app.add_api_route(path, routes.feedback, methods=["POST"], dependencies=[calls, body])
    for path in ("/cds-services/{service}", "/cds-services/{service}/"):
        app.add_api_route(path, routes.call, methods=["POST"], dependencies=[calls, body])
    if recorder is not None:
        app.add_api_route("/fhir/metadata", routes.metadata, methods=["GET"])
        for path, answered in (("/fhir/{kind}", routes.search), ("/fhir/{kind}/{key}", routes.read)):
            app.add_api_route(path, answered, methods=["GET"], dependencies=[records])
        app.add_api_route("/metrics", routes.metrics, methods=["GET"])
        path = "/advisories/{advisory}/dispositions"
        app.add_api_route(path, routes.decide, methods=["POST"], dependencies=[records, body])
    if recorder is not None:
        ehrs = Ehrs(backends, templates(reasoner.rulebook.catalogue), settings.max_body_bytes) if backends else None
        app.state.follower = Follower(desk, recorder.arrivals, ehrs)
        app.state.matcher = Matcher(recorder.queue, ehrs, app.state.follower.call)
        app.state.reception = routes.reception = Reception(
            recorder.arrivals, interfaces, reasoner.rulebook.catalogue, settings.tenant, clock or _now,
            ehrs.asking if ehrs is not None else lambda: nobody, app.state.follower.call,
        )  # fmt: skip
        for path in ("/results", "/results/"):
            app.add_api_route(
                path, routes.results, methods=["POST"], dependencies=[Depends(door.admits("results")), body]
            )
    if recorder is not None:
        app.state.recorder = recorder
        app.state.gate = mount(app, settings, recorder, clock or _now)
        desk.launches = app.state.gate.launches
        add_board(app.state.gate, settings, recorder, reasoner, candidate)
        for add in pages:
            add(app.state.gate)
        app.add_api_route("/script.js", script, methods=["GET"])
        app.include_router(app.state.gate.router())
    handbook = Handbook(reasoner.rulebook, settings.about())
    for path in ("/rules", "/rules/"):
        app.add_api_route(path, handbook.first, methods=["GET"])
    app.add_api_route("/rules/{name}", handbook.answer, methods=["GET"])
    app.add_api_route("/health", routes.health, methods=["GET"])
    app.add_api_route("/ready", routes.ready, methods=["GET"])
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_middleware(Shedding, most=settings.max_waiting, programs=_PROGRAMS)
    if settings.open_mode:
        app.add_middleware(LoopbackOnly)
    app.add_middleware(Faults)
    if settings.origins:
        app.add_middleware(
            Browsers,
            allow_origins=settings.origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=["Retry-After", "X-Request-ID", "WWW-Authenticate"],
            max_age=600,
        )
    app.add_middleware(Numbered, tally=tally, services=desk.services, programs=_PROGRAMS)
    if path := urlsplit(settings.public_base_url).path:
        app.add_middleware(UnderPath, path=path)
    return app


class _Routes:
    """One method for each address. They are plain functions, run in threads."""

    def __init__(
        self,
        desk: Desk,
        reasoner: Reasoner,
        recorder: Recorder | None,
        settings: Settings,
        in_use: InUse,
        tally: Tally,
    ):
        self._desk = desk
        self._tally = tally
        self._in_use = in_use
        self._recorder = recorder
        base = f"{settings.public_base_url}/fhir" if settings.public_base_url else settings.canonical
        self._fhir = FhirEndpoint(settings, reasoner.rulebook, recorder.database, base) if recorder else None
        self._reasoner = reasoner
        self.reception: Reception | None = None
        self.leaving: threading.Event | None = None
        self._tested_by = threading.Lock()
        self._tested = float("-inf")
        self._self_test = Check("self-test", ok=False, detail="not run yet")

    def discovery(self) -> Response:
        return answer(HTTPStatus.OK, self._desk.discovery())

    def call(self, service: str, request: Request) -> Response:
        started = time.perf_counter()
        number: str = request.state.number
        known = service if service in self._desk.services else "unknown"
        caller: Caller = request.state.caller
        fields: dict[str, Any] = {
            "request": number, "service": known, "client": caller.name, "bytes": len(request.state.body),
        }  # fmt: skip
        try:
            said = self._desk.answer(service, request.state.body, caller)
        except RecordUnavailable as error:
            # Advice that is not on record is not given; and no answer must never look like having nothing to say.
            note("unrecorded", ERROR, request=number, error=error.cause)
            response = _away()
        except Problem as problem:
            response = problem.response()
            fields |= {"code": problem.code, "place": _known_place(problem.place)}
        except Exception as error:
            # Not being able to evaluate must never look like having nothing to say.
            note("fault", ERROR, request=number, error=type(error).__name__, where=where(error))
            response = fault(number)
        else:
            response = answer(HTTPStatus.OK, {"cards": said.cards})
            fields |= {"cards": len(said.cards), "findings": dict(said.findings)}
            fields |= {"left_out": said.left_out, "unmapped": said.unmapped}
            if said.deceased:
                fields["deceased"] = True
            if said.silent:
                fields["silent"] = list(said.silent)
        elapsed = round(1000 * (time.perf_counter() - started), 2)
        note("call", status=response.status_code, milliseconds=elapsed, **fields)
        return response

    def feedback(self, service: str, request: Request) -> Response:
        """What users did with cards."""
        caller: Caller = request.state.caller
        known = service if service in self._desk.services else "unknown"
        fields: dict[str, Any] = {"request": request.state.number, "service": known, "client": caller.name}
        try:
            taken = self._taken(service, request.state.body, caller)
        except Problem as problem:
            response = problem.response()
            fields |= {"code": problem.code, "place": problem.place}  # of field names that are ours, and of numbers
        except RecordUnavailable as error:
            note("unrecorded", ERROR, request=request.state.number, error=error.cause)
            response = _away()
        else:
            response = answer(HTTPStatus.OK, taken)
            entries = {"new": taken["new"], "known": taken["known"], "unknown": len(taken["unknownCards"])}
            fields |= entries
            self._tally.told(entries)
        note("feedback", status=response.status_code, **fields)
        return response

    def _taken(self, service: str, body: bytes, caller: Caller) -> dict[str, Any]:
        if service not in self._desk.services:
            raise Problem(404, "not-found", f"there is no such service; there are: {', '.join(self._desk.services)}")
        reasons = self._desk.override_reasons
        return self._in_time(lambda recorder: take(recorder.responses, body, caller.name, caller.tenant, reasons))

    def results(self, request: Request) -> Response:
        """Results of a laboratory as FHIR: 200 for all taken, 202 if some wait, 422 if a marker's was refused."""
        caller: Caller = request.state.caller
        assert self.reception is not None  # the route is there only with one
        try:
            report = self.reception.resources(request.state.body, caller.name, f"client {caller.name}", caller.tenant)
        except InputError as error:
            raise Problem(400, "structure", str(error)) from None
        except RecordUnavailable as error:
            note("unrecorded", ERROR, client=caller.name, error=error.cause)
            return _away(UNSURE)
        status = 422 if report.ours else 202 if report.kept.waiting else 200
        note("results", status=status, client=caller.name, counted=report.counted, mapped=report.mapped,
             stored=report.kept.stored, waiting=sum(report.kept.waiting.values()))  # fmt: skip
        return answer(HTTPStatus(status), outcome(report))

    def metadata(self) -> Response:
        """What the FHIR endpoint can do."""
        return self._published(lambda fhir: fhir.capability())

    def search(self, kind: str, request: Request) -> Response:
        """Resources of a type, by patient and date."""
        tenant = request.state.caller.tenant
        return self._published(lambda fhir: fhir.of(tenant).search(kind, request.query_params.multi_items()))

    def read(self, kind: str, key: str, request: Request) -> Response:
        """One resource."""
        tenant = request.state.caller.tenant
        return self._published(lambda fhir: fhir.of(tenant).read(kind, key))

    def metrics(self) -> Response:
        """Whether the record answers, and whether the feed has gone silent."""
        try:
            counted: Counted | None = self._in_time(lambda recorder: standing_counts(recorder.database))
        except RecordUnavailable:
            counted = None
        return Response(exposition(counted, self._tally), media_type=CONTENT_TYPE)

    def decide(self, advisory: str, request: Request) -> Response:
        """What a board decided about an advisory."""
        assert self._recorder is not None  # the route is there only with a record
        try:
            made = decide(self._recorder.reviews, request.state.caller.tenant, advisory, request.state.body)
        except RecordUnavailable:
            return _away()
        return answer(HTTPStatus.CREATED, made)

    def _in_time(self, work: Callable[[Recorder], T]) -> T:
        recorder = self._recorder
        assert recorder is not None  # the routes are there only with a record
        return recorder.database.in_time(lambda: work(recorder))

    def _published(self, ask: Callable[[FhirEndpoint], Any]) -> Response:
        fhir = self._fhir
        assert fhir is not None  # the routes are there only with a record
        try:
            found = self._in_time(lambda _recorder: ask(fhir))
        except RecordUnavailable:
            return _away()
        response = answer(HTTPStatus.OK, found)
        response.headers["Content-Type"] = "application/fhir+json; charset=utf-8"
        return response

    def health(self) -> Response:
        """Whether the process answers at all."""
        return answer(HTTPStatus.OK, {"status": "ok"})

    def ready(self) -> Response:
        """Whether it reasons as it should: a synthetic patient whose answer is known."""
        book = self._reasoner.rulebook
        if self.leaving is not None and self.leaving.is_set():
            return _away("the service is about to stop: send what is new to another; what comes here is answered still")
        if self._recorder is not None:
            try:
                self._in_time(lambda recorder: recorder.database.check())
            except (RecordUnavailable, SchemaMismatch) as error:
                return _away(str(error))
        with self._tested_by:  # whoever asks often costs no more than whoever asks once
            if time.monotonic() - self._tested > _SELF_TEST_HOLDS:
                self._self_test, self._tested = self._desk.self_test(), time.monotonic()
            check = self._self_test
        if not check.ok:
            return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "exception", check.detail).response()
        rules = {"rules": len(book.rules), "withheld": len(book.withheld), "rulebook": book.hash}
        release = {"release": self._in_use.version} if self._in_use.version else {}
        refused = {"refusedRelease": self._in_use.refused} if self._in_use.refused else {}
        return answer(HTTPStatus.OK, {"status": "ready", **rules, **release, **refused})


def _now() -> datetime:
    return datetime.now().astimezone()


def _known_place(place: str) -> str:
    """A place for the log: names of fields are ours or of the specification, but never anything after a number."""
    return place.partition("[")[0]


def _away(text: str = "") -> Response:
    text = text or "the record does not answer, so nothing may be said; this says nothing about the patient. Ask again"
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "transient", text).response()


async def _on_problem(request: Request, problem: Exception) -> Response:
    if not isinstance(problem, Problem):
        raise problem
    name = problem.client or getattr(getattr(request.state, "caller", None), "name", "")
    client: dict[str, Any] = {"client": name} if name else {}
    note("refused", request=request.state.number, status=problem.status, code=problem.code, **client)
    return problem.response()


async def _on_http_error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    code = {404: "not-found", 405: "not-supported"}.get(error.status_code, "processing")
    text = HTTPStatus(error.status_code).phrase
    if error.status_code == 404:
        text = "there is no such address; GET /cds-services lists the services, GET /fhir/metadata what can be read"
    elif error.status_code == 405:
        text = f"this address is not called by that method; use {(error.headers or {}).get('Allow', 'another')}"
    response = Problem(error.status_code, code, text).response()
    response.headers.update(error.headers or {})
    return response
