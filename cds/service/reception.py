"""Where results of laboratories arrive: they are mapped, stored, and only then acknowledged.

What cannot be stored is not acknowledged, so the sender keeps it; what was stored before is acknowledged again and stored once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cds.chart.catalogue import Catalogue
from cds.counting import counted
from cds.errors import InputError
from cds.intake.acknowledgement import Head, accepted, in_error, rejected
from cds.intake.delivery import Refused
from cds.intake.files import FOR_TESTS, Received, each
from cds.intake.interfaces import Interface
from cds.intake.owners import by_person
from cds.intake.resources import taken
from cds.intake.unreadable import unreadable
from cds.record.arrivals import Arrivals, Delivered, Kept
from cds.record.audit import instant
from cds.record.database import RecordUnavailable
from cds.record.ownership import Resolve, nobody
from cds.service.logs import ERROR, note, where

_RESULTS = ("R01", "R30", "R31", "R32", "")
"""Events of ORU that carry results."""
UNSURE = "the record does not answer, so it is not known how much was stored; send it again: what is stored is not stored twice"
_QUOTED = re.compile(r"'[^']*'")


@dataclass(slots=True)
class Report:
    """What became of something that was sent."""

    counted: int = 0
    mapped: int = 0
    refused: list[Refused] = field(default_factory=list)
    unreadable: list[Refused] = field(default_factory=list)  # stored, but of no use as they were sent
    kept: Kept = field(default_factory=Kept)

    def add(self, found: Received, kept: Kept) -> None:
        self.counted += found.counted
        self.mapped += found.mapped
        self.refused += found.refused
        self.unreadable += found.unreadable
        self.kept.stored += kept.stored
        self.kept.known += kept.known
        self.kept.aside += kept.aside
        for why, results in kept.waiting.items():
            self.kept.wait(why, results)
        self.kept.patients += [one for one in kept.patients if one not in self.kept.patients]

    @property
    def fate(self) -> str:
        """What became of results that are nobody's yet, for the end of a summary; "" if there are none."""
        waiting, aside = sum(self.kept.waiting.values()), self.kept.aside
        return f", {waiting} wait" * bool(waiting) + f", {aside} set aside before" * bool(aside)

    @property
    def ours(self) -> list[Refused]:
        """What was refused though it is, or may be, a marker's result."""
        return [one for one in self.refused if not one.foreign]


class Reception:
    """Takes what laboratories send; safe to share between threads.

    `asking` makes what asks EHRs whose results are, once for what is sent at once; `stored` is called when something new is
    there to be evaluated.
    """

    def __init__(
        self,
        arrivals: Arrivals,
        interfaces: Mapping[str, Interface],
        catalogue: Catalogue,
        tenant: str,
        clock: Callable[[], datetime],
        asking: Callable[[], Resolve] = lambda: nobody,
        stored: Callable[[], None] = lambda: None,
    ):
        self._arrivals = arrivals
        self._interfaces, self._catalogue = interfaces, catalogue
        self._tenant, self._clock = tenant, clock
        self._asking, self._stored = asking, stored

    def message(self, data: bytes, source: str) -> bytes:
        """The acknowledgement of an HL7 v2 message."""
        head, at = Head(data), self._clock()
        report = Report()
        try:
            answer = self._unfit(head, at) or self._acknowledged(head, at, data, source, report)
        except RecordUnavailable:
            answer = rejected(head, at, "207", UNSURE)
        except InputError as error:
            answer = rejected(head, at, "204" if "MSH-4" in str(error) else "207", str(error))
        except Exception as error:
            # What could not be looked at must never look like taken.
            note("fault", ERROR, error=type(error).__name__, where=where(error))
            answer = rejected(
                head, at, "207", "the message could not be processed; nothing is known of its results here"
            )
        code = answer.partition(b"\rMSA|")[2][:2].decode()
        note(
            "message", answer=code, bytes=len(data), counted=report.counted, mapped=report.mapped,
            stored=report.kept.stored, known=report.kept.known, waiting=sum(report.kept.waiting.values()),
        )  # fmt: skip
        return answer

    @staticmethod
    def _unfit(head: Head, at: datetime) -> bytes | None:
        """Why a message is not for us, by its head."""
        if not head.found:
            return rejected(
                head, at, "100", "it does not begin with MSH: its beginning was cut off, or it is no HL7 v2"
            )
        if head.message_type and (head.message_type != "ORU" or head.event not in _RESULTS):
            what = f"{head.message_type} {head.event}".strip()
            return rejected(head, at, "200", f"{what[:20]} carries no results: send ORU R01")
        return None

    def _acknowledged(self, head: Head, at: datetime, data: bytes, source: str, report: Report) -> bytes:
        found, resolve = list(self._each(data, source)), self._asking()  # all of it is read before any of it is stored
        if any(one.for_tests for one in found):
            return rejected(head, at, "202", ". ".join(FOR_TESTS))
        for one in found:
            report.add(one, self._keep(one, source, self._tenant, resolve))
        if report.ours:
            return in_error(head, at, report.ours, report.unreadable, report.fate)
        return accepted(
            head, at, f"{report.mapped} of {counted(report.counted, 'result')} taken{report.fate}", report.unreadable
        )

    def file(self, data: bytes, name: str, laboratory: str = "", step: Callable[[], None] = lambda: None) -> Report:
        """Take a file of messages or a table; `step` is called for each message or person.

        Raises `InputError`: nothing is stored; `RecordUnavailable`: what came before is, and the same file again does no harm.
        """
        report = Report()
        for one in self._each(data, name, laboratory):
            report.add(one, self._keep(one, name, self._tenant, self._asking(), step))
        return report

    def resources(self, data: bytes, sender: str, source: str, tenant: str) -> Report:
        """Take results that come as FHIR. Raises `InputError`, `RecordUnavailable`."""
        found, count = taken(data, sender, source, self._catalogue, self._clock())
        faulty = unreadable(found.resources, source, self._catalogue, self._clock())
        sent = Received(sender, data, count, found.mapped, found.resources, found.refused, faulty)
        report = Report()
        report.add(sent, self._keep(sent, source, tenant, self._asking()))
        return report

    def _each(self, data: bytes, source: str, laboratory: str = "") -> Iterator[Received]:
        return each(data, source, self._interfaces, self._catalogue, self._clock(), laboratory)

    def _keep(
        self, found: Received, source: str, tenant: str, resolve: Resolve, step: Callable[[], None] = lambda: None
    ) -> Kept:
        refused = [[one.where, one.what, _QUOTED.sub("'…'", one.reason), one.results] for one in found.refused]
        delivered = Delivered(
            tenant,
            found.laboratory,
            source,
            found.raw,
            instant(self._clock()),
            found.counted,
            found.mapped,
            refused,
            by_person(found.resources),
            found.numbered,
        )
        try:
            kept = self._arrivals.take(delivered, resolve, step)
        except RecordUnavailable:
            self._stored()  # it may be a part
            raise
        if kept.patients:
            self._stored()
        return kept


def outcome(report: Report) -> dict[str, Any]:
    """A report as FHIR: an issue for what was taken, one for each refusal, one for what waits."""
    issues = [_issue("information", "informational", _taken(report), "")]
    issues += [_issue("error", "invalid", f"{one.what}: {one.reason}. {one.hint}", one.where) for one in report.ours]
    issues += [
        _issue("warning", "invalid", f"{one.what}: it is stored, but {one.reason}. {one.hint}", one.where)
        for one in report.unreadable
    ]
    foreign = sum(one.results for one in report.refused if one.foreign)
    if foreign:
        issues.append(
            _issue("information", "not-supported", f"{counted(foreign, 'result')} of no marker that is known here", "")
        )
    for why, results in sorted(report.kept.waiting.items()):
        issues.append(
            _issue("warning", "multiple-matches" if why == "several" else "not-found", _waits(why, results), "")
        )
    return {"resourceType": "OperationOutcome", "issue": issues}


def _taken(report: Report) -> str:
    kept = report.kept
    aside = f", {kept.aside} of them set aside as nobody's here" * bool(kept.aside)
    return f"{counted(report.counted, 'result')}: {report.mapped} taken ({kept.stored} new, {kept.known} known before{aside})"


def _waits(why: str, results: int) -> str:
    return f"{counted(results, 'result')} stored, and not used until somebody says whose ({why})"


def _issue(severity: str, code: str, text: str, place: str) -> dict[str, Any]:
    issue: dict[str, Any] = {"severity": severity, "code": code, "diagnostics": text}
    return issue | ({"expression": [place]} if place else {})
