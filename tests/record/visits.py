"""Patients of the evidence as they go through the record: one evaluation for each visit."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

from cds.advice.advisory import Advisory
from cds.advice.cards import is_shown
from cds.advice.statements import Advisor
from cds.chart import Moment, read
from cds.publish.advice import AdvicePublisher, Answered
from cds.reasoning.loading import default_rulebook
from cds.reasoning.reasoner import Reasoner
from cds.record.identity import Identity
from cds.record.recorder import Asked, Known, Recorder, ShownCard
from tests.patients.archetypes import patient

REASONER = Reasoner(default_rulebook())
ADVISOR = Advisor(REASONER.rulebook)
PUBLISHER = AdvicePublisher("https://exowatch.example/fhir", "Exowatch 0.1.0")


def who(reference: str = "Patient/1") -> Identity:
    return Identity("here", "https://ehr.example/fhir", reference)


def asked(
    inputs: Mapping[str, Any],
    as_of: str,
    *,
    identity: Identity | None = None,
    reasoner: Reasoner = REASONER,
    show: Callable[[Known, Sequence[Advisory]], Sequence[ShownCard]] | None = None,
) -> Asked:
    """An evaluation of a FHIR Bundle as of a day, ready to be recorded."""
    evaluation = reasoner.evaluate(read(dict(inputs), reasoner.rulebook.catalogue).as_of(Moment.parse(as_of)))
    said = Advisor(reasoner.rulebook).advisories(evaluation)
    return Asked(
        identity or who(evaluation.chart.patient),
        dict(inputs),
        as_of,
        "patient-view",
        evaluation,
        said,
        "ehr",
        show=lambda known: (show or every_card)(known, said),
        guidance=lambda known: PUBLISHER.guidance(
            Answered(known.evaluation_id, evaluation.chart.patient, "", f"{as_of}T12:00:00Z", "test", "", said, [], {})
        ),
    )


def every_card(known: Known, said: Sequence[Advisory]) -> list[ShownCard]:
    """What a service shows that silences nothing."""
    advice = [
        ShownCard(str(uuid.uuid4()), one.rule.name, one.rule.hash, one.digest, known.advisories.get(one.digest))
        for one in said
        if is_shown(one)
    ]
    return advice + [
        ShownCard(str(uuid.uuid4()), one.was.rule.name, one.was.rule.hash, one.event_id, one.advisory_id, "withdrawal")
        for one in known.withdrawals
    ]


def visit(recorder: Recorder, name: str, day: str) -> Known:
    """The patient of the evidence as the EHR has it on that day, evaluated then."""
    return recorder.record(asked(patient(name).bundle(date.fromisoformat(day)), day))
