"""The FHIR endpoint: advisories, evaluations and rules, to be read and searched by patient and date. Nothing is written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from datetime import UTC, date, datetime, time, timedelta
from urllib.parse import urlencode

from cds.chart.clock import when
from cds.layers import rule_files, shipped_rules
from cds.publish.advice import AdvicePublisher
from cds.publish.endpoint import OF_A_PATIENT, audit_event, capability_statement, searchset
from cds.publish.knowledge import RulePublisher
from cds.publish.reviews import ReviewPublisher
from cds.publish.vocabulary import Resource
from cds.reasoning.rulebook import Rule, RuleBook
from cds.record.audit import instant
from cds.record.database import Database
from cds.record.identity import AmbiguousPatient, Identity, NoSuchPatient, identified
from cds.record.listing import Wanted, audited, errands, guidance, impressions, issues, opinions, outcomes
from cds.service.problems import Problem
from cds.settings import Settings, software

_RULES = ("Library", "PlanDefinition")
_DATE = re.compile(r"(eq|ge|le|gt|lt)?(.+)")
_MOST = 1000
_PARAMETER = re.compile(r"[a-z_][a-z-]{1,30}")  # what a parameter of FHIR may be called
_IGNORED = ("_format", "_count", "_summary", "_sort")


class FhirEndpoint:
    """Answers reads and searches from the record and the rule book; safe to share between threads."""

    def __init__(self, settings: Settings, book: RuleBook, database: Database, base: str):
        self._tenant, self._canonical = settings.tenant, settings.canonical
        self._database = database
        self._base = base
        self._advice = AdvicePublisher(settings.canonical, software())
        self._reviews = ReviewPublisher(settings.canonical)
        self._folder = settings.rules_dir or shipped_rules()
        self._rules = RulePublisher(book, settings.canonical, self._text_of)
        self._capability = capability_statement(settings.canonical, software(), max(rule.since for rule in book.rules))

    def of(self, tenant: str) -> FhirEndpoint:
        """The endpoint as those see it who may read that tenant's record."""
        found = copy(self)
        found._tenant = tenant
        return found

    def capability(self) -> Resource:
        """What this endpoint can do."""
        return self._capability

    def read(self, kind: str, key: str) -> Resource:
        """One resource. Raises `Problem` 404."""
        for found in self._found(kind, Wanted(self._tenant, id=key, most=2)):
            if found["resourceType"] == kind and found["id"] == key:
                return found
        raise Problem(404, "not-found", f"there is no {kind} of that id")

    def search(self, kind: str, parameters: Sequence[tuple[str, str]]) -> Resource:
        """A searchset of a type. Raises `Problem` 400 for a parameter that is not known: it must not be left out in silence."""
        patient: Identity | None = None
        since, until, key = "", "", ""
        for name, value in parameters:
            if name in _IGNORED:
                continue
            if name == "_id":
                key = value
            elif name == "patient" and kind in OF_A_PATIENT:
                if (patient := self._identified(value)) is None:
                    return searchset([], self._base, self._address(kind, parameters))
            elif kind in OF_A_PATIENT and name in ("date", OF_A_PATIENT[kind][1]):
                first, last = _span(value)
                since, until = max(since, first), min(until or last, last or until)
            else:
                known = "_id, patient, date" if kind in OF_A_PATIENT else "_id"
                raise Problem(
                    400,
                    "not-supported",
                    f"it is no search parameter here; there are: {known}",
                    name if _PARAMETER.fullmatch(name) else "",
                )
        wanted = Wanted(self._tenant, patient, key, since, until, _MOST + 1)
        found = [one for one in self._found(kind, wanted) if not key or one["id"] == key]
        if len(found) > _MOST:
            raise Problem(
                400, "too-costly", f"more than {_MOST} match: ask for a patient, or for a shorter time", "date"
            )
        return searchset(found, self._base, self._address(kind, parameters))

    def _address(self, kind: str, parameters: Sequence[tuple[str, str]]) -> str:
        return f"{self._base}/{kind}{'?' + urlencode(parameters, safe='/:') if parameters else ''}"

    def _identified(self, said: str) -> Identity | None:
        """The patient of a search; None if there is nothing of them. Raises `Problem` 400 where two patients have that id."""
        try:
            with self._database.reading() as connection:
                return identified(connection, self._tenant, said)
        except NoSuchPatient:
            return None
        except AmbiguousPatient:
            raise Problem(
                400, "multiple-matches", "patients of several servers have that id: write it with its server", "patient"
            ) from None

    def everything(self, patient: Identity | None = None) -> Iterator[Resource]:
        """All resources of a tenant, or of one of its patients, each once."""
        yield self._advice.device()
        if patient is None:
            yield from self._rules.resources()
        for kind in OF_A_PATIENT:
            yield from self._found(kind, Wanted(self._tenant, patient, most=10**9))

    def audit(self, patient: Identity | None = None) -> Iterator[Resource]:
        """The audit as AuditEvents; of one patient only what is still known to be theirs."""
        for entry in audited(self._database, self._tenant, patient):
            yield audit_event(self._canonical, software(), entry)

    def _text_of(self, rule: Rule) -> bytes:
        return rule_files(self._folder).files[rule.file].path.read_bytes()

    def _found(self, kind: str, wanted: Wanted) -> list[Resource]:
        if kind == "DetectedIssue":
            return [self._advice.detected_issue(issue) for issue in issues(self._database, wanted)]
        if kind == "Provenance":
            return [self._advice.provenance(issue) for issue in issues(self._database, wanted)]
        if kind == "ClinicalImpression":
            return sorted(self._said(wanted), key=lambda one: str(one["date"]), reverse=True)
        if kind == "Task":
            return [self._reviews.task(one) for one in errands(self._database, wanted)]
        if kind in ("GuidanceResponse", "RequestGroup"):
            return [one for one in guidance(self._database, wanted) if one["resourceType"] == kind]
        if kind in _RULES:
            return [one for one in self._rules.resources() if one["resourceType"] == kind]
        if kind == "Device":
            return [self._advice.device()]
        raise Problem(404, "not-supported", f"there is no {kind} here; see /fhir/metadata")

    def _said(self, wanted: Wanted) -> Iterator[Resource]:
        """What people say: decisions, second readings of them, and outcomes."""
        yield from map(self._reviews.impression, impressions(self._database, wanted))
        yield from map(self._reviews.opinion, opinions(self._database, wanted))
        yield from map(self._reviews.outcome, outcomes(self._database, wanted))


def _span(text: str) -> tuple[str, str]:
    """A date parameter as (since, until), both included; "" for an open end. Raises `Problem` 400."""
    try:
        return _meant(text)
    except OverflowError:
        raise Problem(400, "value", "it lies at the end of the calendar", "date") from None


def _meant(text: str) -> tuple[str, str]:
    found = _DATE.fullmatch(text)
    read = when(found[2]) if found else None
    if found is None or read is None:
        raise Problem(400, "value", "it is to be a date such as 2025-04-08, ge2025-04-08 or le2025-04-08", "date")
    first = read.instant or _at(read.first)
    last = read.instant or _at(read.last + timedelta(days=1)) - timedelta(microseconds=1)
    tick = timedelta(microseconds=1)
    spans: Mapping[str, tuple[datetime | None, datetime | None]] = {
        "eq": (first, last), "ge": (first, None), "le": (None, last), "gt": (last + tick, None), "lt": (None, first - tick),
    }  # fmt: skip
    since, until = spans[found[1] or "eq"]
    return (instant(since) if since else ""), (instant(until) if until else "")


def _at(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
