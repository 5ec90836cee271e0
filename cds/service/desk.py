"""From the bytes of a CDS Hooks request to its cards; knows nothing of HTTP but the status of a refusal."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from cds.addresses import origin
from cds.advice.advisory import Advisory
from cds.advice.cards import Card, CardWriter, Occasion
from cds.advice.reminder import earlier, reminder_card
from cds.advice.statements import Advisor
from cds.advice.unread import unread_card
from cds.advice.withdrawal import withdrawal_card
from cds.chart import Moment, read
from cds.chart.clock import AHEAD
from cds.chart.model import Chart, LeftOut
from cds.errors import InputError
from cds.exchange import Exchange
from cds.publish.advice import AdvicePublisher, Answered
from cds.publish.vocabulary import Resource
from cds.reasoning.findings import Evaluation
from cds.reasoning.reasoner import Reasoner
from cds.record.audit import instant
from cds.record.database import RecordUnavailable
from cds.record.identity import Identity
from cds.record.meant import Reach
from cds.record.recorder import Asked, Overtaken, Recorder, ShownCard
from cds.record.recorder import Known as Recorded
from cds.record.spelling import MOST_SERVER, published
from cds.selfcheck import Check, self_test
from cds.service.before import Before
from cds.service.discovery import Service, services
from cds.service.fetching import Fetching
from cds.service.hook_request import RESULT_ARRIVED, HookRequest, read_request
from cds.service.opening import Opened, Sent, opened, with_sent
from cds.service.orders import read_orders
from cds.service.prefetch import delivered, resources_in, wanting
from cds.service.problems import Problem
from cds.settings import Settings, software

Clock = Callable[[], datetime]
"""Says what time it is, with a time zone: the moment as of which a request is answered."""

_THREADS = 8
"""Evaluations at one time in one process; more wait their turn, as the interpreter runs one at a time anyway."""
_ASKS_NOBODY = "no FHIR server of this client may be asked; see 'fhir' in the file of clients"
SCREENING = "screening"
"""The occasion of an evaluation that nobody asked for: the patient was in an export."""
_ATTEMPTS = 4
"""How often an evaluation is begun anew because more results arrived meanwhile."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: the name that stands in the record and in logs, and whose patients it may ask about."""

    name: str
    tenant: str
    servers: Exchange | None = None  # to its FHIR servers; None: only what is prefetched is used
    reach: Reach | None = None  # whose patients it may mean; None: anybody's of the tenant


@dataclass(frozen=True, slots=True)
class Answer:
    """The cards of a call, and the counts that a log may hold."""

    cards: list[Card]
    findings: Mapping[str, int]  # how many findings there are of each state
    silent: tuple[str, ...] = ()  # markers that were recognised and must not be used
    left_out: int = 0  # how much of the input, orders included, was not used
    unmapped: int = 0  # codes that look like markers and are mapped by nobody
    deceased: bool = False  # why nothing is shown


class Desk:
    """Answers hook requests with one rule book; safe to share between threads.

    With a `recorder` nothing is said that was not recorded first; without one nothing is recorded (for tests of cards).
    """

    def __init__(self, settings: Settings, reasoner: Reasoner, clock: Clock, recorder: Recorder | None = None):
        book = reasoner.rulebook
        self.services = services(book.catalogue)
        self._settings = settings
        self._reasoner = reasoner
        self._clock = clock
        self._recorder = recorder
        self.launches: frozenset[str] = frozenset()
        """The FHIR servers of EHRs that can launch the board: their cards link to it."""
        self._advisor = Advisor(book, settings.about())
        self._writer = CardWriter(book, settings.canonical, settings.public_base_url)
        self.override_reasons = self._writer.override_reasons
        self._fetching = Fetching(settings.fetch_ms / 1000, settings.max_body_bytes)
        self._publisher = AdvicePublisher(settings.canonical, software())
        # The engine keeps its rule sets for each thread: so a few that stay. Who waits for a FHIR server holds none of them.
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="evaluate")

    def discovery(self) -> dict[str, Any]:
        """The discovery document."""
        return {"services": [service.definition() for service in self.services.values()]}

    def self_test(self) -> Check:
        """Whether a synthetic patient whose answer is known is evaluated as it should be."""
        return self._threads.submit(self_test, self._reasoner).result()

    def close(self) -> None:
        """Finish what was begun, and take nothing more."""
        self._threads.shutdown(wait=False)

    def answer(self, service: str, body: bytes, caller: Caller) -> Answer:
        """The cards for a request. Raises `Problem` for a request that gets none, `RecordUnavailable` where it cannot be

        recorded; other errors are faults of ours.
        """
        offered = self.services.get(service)
        if offered is None:
            raise Problem(404, "not-found", f"there is no such service; there are: {', '.join(self.services)}")
        request = read_request(body, offered.hook, open_mode=self._settings.open_mode)
        _check_server(request, caller)
        try:
            return self._answer(offered, request, caller)
        except InputError as error:
            raise Problem(400, "structure", str(error), "prefetch") from error

    def _answer(self, service: Service, request: HookRequest, caller: Caller) -> Answer:
        prefetch, failed = self._completed(service, request, caller)
        return self._threads.submit(self._evaluated, service, request, caller, prefetch, failed).result()

    def _evaluated(
        self,
        service: Service,
        request: HookRequest,
        caller: Caller,
        prefetch: Mapping[str, Any],
        failed: Mapping[str, str],
    ) -> Answer:
        beside = resources_in(request.results or {}) + len(request.draft_orders)
        data, left_out = delivered(
            prefetch, service.templates, request.patient, self._settings.max_resources, failed, beside
        )
        if request.results is not None:
            data["results"] = request.results  # read like the rest, each result once
        for _ in range(_ATTEMPTS):
            try:
                return self._assessed(service, request, caller, data, left_out)
            except Overtaken:
                continue
        raise RecordUnavailable("results keep arriving")

    def _assessed(
        self,
        service: Service,
        request: HookRequest,
        caller: Caller,
        prefetched: Mapping[str, Any],
        left_out: Sequence[LeftOut],
    ) -> Answer:
        """The answer with what laboratories have sent by now. Raises `Overtaken` if more of it arrives meanwhile."""
        now = self._clock()
        recorder, reference, sent = self._recorder, f"Patient/{request.patient}", Sent(dict(prefetched), "")
        patient: Opened | None = None
        if recorder is not None:
            named = (caller.tenant, reference, request.server, caller.reach)
            patient = opened(recorder, *named, prefetched.get("patient"), now)
            sent = with_sent(recorder, patient.meant.who, prefetched)
            left_out = (*left_out, *patient.left_out, *sent.left_out)
        data = sent.data
        chart = self._chart(request, data, now)
        chart = msgspec.structs.replace(chart, left_out=(*chart.left_out, *left_out))
        evaluation = self._reasoner.evaluate(chart)
        orders = read_orders(
            request.draft_orders, data["patient"], now.date(), lambda held: self._chart(request, held, now)
        )
        occasion = Occasion(
            request.instance,
            f"Patient/{request.patient}",
            f"Encounter/{request.encounter}" if request.encounter else "",
            orders.drugs,
            f"{self._settings.public_base_url}/launch" if request.server in self.launches else "",
            orders.unread,
        )
        said = self._advisor.advisories(evaluation)
        return Answer(
            self._recorded(caller, service, request, sent, left_out, now, evaluation, said, occasion, patient),
            Counter(finding.state for finding in evaluation.findings),
            tuple(name for name, _ in evaluation.silent),
            len(chart.left_out) + len(orders.unread),
            len(chart.unmapped),
            chart.deceased,
        )

    def reassess(self, who: Identity, rest: Mapping[str, Any], left_out: Sequence[LeftOut]) -> Mapping[str, int] | None:
        """Evaluate a patient for whom results have arrived, and record it; nothing is shown. Findings of each state are counted.

        None if it is not due any more, for another host has done it: then nothing is recorded. `rest` is the rest of the record, by prefetch key; `left_out` what of it could not be had. Raises `RecordUnavailable`,
        `InputError`.
        """
        return self._threads.submit(self._reassessed, who, rest, left_out).result()

    def _reassessed(
        self, who: Identity, rest: Mapping[str, Any], left_out: Sequence[LeftOut]
    ) -> Mapping[str, int] | None:
        recorder = self._recorder
        assert recorder is not None  # without a record nothing arrives
        patient = who.reference.removeprefix("Patient/")
        request = HookRequest(RESULT_ARRIVED, str(uuid.uuid4()), patient, "", rest, (), who.server)
        for _ in range(_ATTEMPTS):
            now = self._clock()
            sent = with_sent(recorder, who, rest)
            if not recorder.arrivals.is_due(who):
                return None
            asked = self._unasked(request, who, "result-arrived", sent, (*left_out, *sent.left_out), now)
            try:
                recorder.record(asked)
            except Overtaken:
                continue
            return Counter(finding.state for finding in asked.evaluation.findings)
        raise RecordUnavailable("results keep arriving")

    def _unasked(
        self, request: HookRequest, who: Identity, occasion: str, sent: Sent, left_out: Sequence[LeftOut], now: datetime
    ) -> Asked:
        """An evaluation that nobody asked for, as it is to be recorded. `left_out` is what of the record could not be had."""
        chart = self._chart(request, sent.data, now)
        evaluation = self._reasoner.evaluate(msgspec.structs.replace(chart, left_out=(*chart.left_out, *left_out)))
        inputs, said = self._captured(request, sent.data, left_out), self._advisor.advisories(evaluation)
        return Asked(who, inputs, now.isoformat(), occasion, evaluation, said, due=sent.due)

    def screened(self, who: Identity, patient: object, resources: Sequence[Resource]) -> Mapping[str, int]:
        """Evaluate a patient whose whole record was exported, as of now, and record it; nothing is shown. Findings of each state are counted.

        `patient` is their Patient resource, by which the record knows them, or None. What laboratories have sent of them is
        read beside `resources`. Raises `RecordUnavailable`, `InputError`.
        """
        return self._threads.submit(self._screened, who, patient, resources).result()

    def _screened(self, who: Identity, patient: object, resources: Sequence[Resource]) -> Mapping[str, int]:
        recorder = self._recorder
        assert recorder is not None  # without a record nothing is screened into it
        bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": one} for one in resources]}
        key = who.reference.removeprefix("Patient/")
        request = HookRequest(SCREENING, str(uuid.uuid4()), key, "", {"export": bundle}, (), who.server)
        for _ in range(_ATTEMPTS):
            now = self._clock()
            known = opened(recorder, who.tenant, who.reference, who.server, None, patient, now)
            sent = with_sent(recorder, known.meant.who, request.prefetch)
            asked = self._unasked(request, known.meant.who, SCREENING, sent, (*known.left_out, *sent.left_out), now)
            asked.person, asked.meant, asked.replaces = known.person, known.meant, known.meant.asking.replaces
            try:
                recorder.record(asked)
            except Overtaken:
                continue
            return Counter(finding.state for finding in asked.evaluation.findings)
        raise RecordUnavailable("results keep arriving")

    def _completed(
        self, service: Service, request: HookRequest, caller: Caller
    ) -> tuple[Mapping[str, Any], Mapping[str, str]]:
        """The prefetch with what the client's FHIR server has to add, and why the rest could not be had there."""
        missing = wanting(request.prefetch, service.templates)
        if not missing or not request.server:
            return request.prefetch, {}
        if caller.servers is None:
            return request.prefetch, dict.fromkeys((one.key for one in missing), _ASKS_NOBODY)
        if not request.token and not self._settings.open_mode:
            return request.prefetch, dict.fromkeys(
                (one.key for one in missing), "no token for the FHIR server was sent"
            )
        found, failed = self._fetching.fetched(caller.servers, request, missing)
        return {**request.prefetch, **found}, failed

    def _recorded(
        self,
        caller: Caller,
        service: Service,
        request: HookRequest,
        sent: Sent,
        left_out: Sequence[LeftOut],
        now: datetime,
        evaluation: Evaluation,
        said: Sequence[Advisory],
        occasion: Occasion,
        patient: Opened | None,
    ) -> list[Card]:
        """The cards, once the evaluation and they are on record: withdrawals first, nothing that was answered before.

        An answer is empty only if nothing stands: what was answered and could not be judged, or is a suspicion, has a short card
        then, and so has what stands on record and this evaluation says nothing of. Of a patient who has died nothing is shown:
        what was found is on record all the same.
        """
        died = evaluation.chart.deceased
        unread = unread_card(evaluation.chart, occasion, self._settings.canonical)
        if self._recorder is None or patient is None:
            return [] if died else self._writer.cards(said, occasion) or ([unread] if unread else [])
        cards: list[Card] = []

        def show(recorded: Recorded) -> list[ShownCard]:
            shown: list[ShownCard] = []
            if died:
                return shown
            for told in recorded.withdrawals:
                cards.append(withdrawal_card(told, occasion, self._settings.canonical, evaluation.chart))
                rule = told.was.rule
                shown.append(
                    ShownCard(cards[-1]["uuid"], rule.name, rule.hash, told.event_id, told.advisory_id, "withdrawal")
                )
            before = Before(recorded)
            for advisory in said:
                if before.silences(advisory):
                    continue
                for card in self._writer.cards([advisory], occasion, earlier(before.of(advisory))):
                    cards.append(card)
                    rule, digest = advisory.rule, advisory.digest
                    shown.append(ShownCard(card["uuid"], rule.name, rule.hash, digest, recorded.advisories.get(digest)))
            if unread is not None and not any(one.kind == "advice" for one in shown):
                cards.append(unread)
                shown.append(ShownCard(unread["uuid"], "", "", "", kind="unread"))
            if standing := before.unnamed(alone=not cards):
                cards.append(reminder_card(standing, occasion, self._settings.canonical))
                shown.append(ShownCard(cards[-1]["uuid"], "", "", "", kind="reminder"))
            return shown

        def guidance(recorded: Recorded) -> list[Resource]:
            encounter = f"Encounter/{request.encounter}" if request.encounter else ""
            return self._publisher.guidance(
                Answered(
                    recorded.evaluation_id,
                    f"Patient/{request.patient}",
                    encounter,
                    instant(now),
                    service.id,
                    request.instance,
                    said,
                    cards,
                    recorded.advisories,
                    published(patient.meant.base),
                )
            )

        self._recorder.record(
            Asked(
                patient.meant.who,
                self._captured(request, sent.data, left_out),
                now.isoformat(),
                service.id,
                evaluation,
                said,
                caller.name,
                patient.meant.asking.replaces,
                show,
                guidance,
                patient.person,
                sent.due,
                patient.meant,
            )
        )
        return cards

    @staticmethod
    def _captured(
        request: HookRequest, prefetch: Mapping[str, Any], left_out: Sequence[LeftOut] = ()
    ) -> dict[str, Any]:
        """What the chart is read from, as a hook request; with it what of the data could not be had."""
        said = {"leftOut": msgspec.to_builtins(left_out)} if left_out else {}
        asked = {"hook": request.hook, "context": {"patientId": request.patient}, "prefetch": dict(prefetch)}
        return {**asked, "clockSkew": int(AHEAD.total_seconds()), **said}

    def _chart(self, request: HookRequest, prefetch: Mapping[str, Any], now: datetime) -> Chart:
        return read(self._captured(request, prefetch), self._reasoner.rulebook.catalogue).as_of(Moment.live(now))


def _check_server(request: HookRequest, caller: Caller) -> None:
    """Raises `Problem` for a server that is not the client's: its patients are none whom the client may mean."""
    reach = caller.reach
    if reach is None:
        return
    if request.server and reach.origins and origin(request.server) not in reach.origins:
        text = "the FHIR server is not on the list of this client's; see 'fhir' in the file of clients"
        raise Problem(403, "forbidden", text, "fhirServer")
    if len(reach.base(request.server)) > MOST_SERVER:
        raise Problem(400, "too-long", "with the name of the client it is longer than is kept", "fhirServer")
