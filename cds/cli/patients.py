"""The commands about patients: evaluate them, explain one rule's answer, make synthetic ones."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from cds import terminal
from cds.advice.advisory import Advisory
from cds.advice.cards import CardWriter, Occasion
from cds.advice.report import explanation, report
from cds.advice.statements import Advisor
from cds.advice.unread import unread_card
from cds.chart import Moment, Record, read_all
from cds.cli.options import AsJson, AsOf, RulesDir, reasoner_of
from cds.errors import InputError
from cds.reasoning.findings import Evaluation
from cds.reasoning.reasoner import Reasoner
from cds.record.content import answer
from cds.settings import load_settings


def _moment(as_of: str | None) -> Moment:
    return Moment.parse(as_of) if as_of else Moment.live(datetime.now().astimezone())


def _files(paths: list[Path]) -> list[Path]:
    """The files named, and those of the folders named; hidden ones and truth files are passed over."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(
                p for p in path.rglob("*") if p.suffix in (".json", ".ndjson") and not p.name.startswith(".")
            )
            if not inside:
                raise InputError(f"{path}: no .json or .ndjson file in this folder")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise InputError(
                f"{path}: no such file; name a FHIR JSON file, NDJSON, a hook request, or a folder of them"
            )
    return found


def _records(path: Path, reasoner: Reasoner) -> list[Record]:
    try:
        records = read_all(path.read_bytes(), reasoner.rulebook.catalogue)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; name a file that can be read") from error
    if not records:
        raise InputError(
            f"{path}: there is no patient in it, and nothing of one. Likely the export found nothing, or it is another file"
        )
    return records


def evaluate(
    files: Annotated[list[Path], typer.Argument(help="FHIR JSON, NDJSON, a captured hook request, or a folder.")],
    as_of: AsOf = None,
    rules: RulesDir = None,
    as_json: AsJson = False,
    cards: Annotated[
        bool, typer.Option("--cards", help="CDS Hooks cards instead of a report; with --json a line for each patient.")
    ] = False,
    findings: Annotated[
        bool,
        typer.Option(
            "--findings", help="What a record stores, a line for each patient: as `exowatch screen` writes it."
        ),
    ] = False,
) -> None:
    """Evaluate patients: the state of each question, why, the numbers, what is missing.

    With --json a line for each patient.
    """
    reasoner, moment = reasoner_of(rules), _moment(as_of)
    advisor = Advisor(reasoner.rulebook, load_settings().about())
    paths = _files(files)
    unreadable = 0
    with terminal.progress("evaluating", len(paths)) as step:
        for path in paths:
            try:
                records = _records(path, reasoner)
            except InputError as error:
                if len(paths) == 1:
                    raise
                unreadable += 1
                terminal.say(str(error), error=True)
                records = []
            for record in records:
                evaluation = reasoner.evaluate(record.as_of(moment))
                if findings:
                    typer.echo(answer(evaluation))
                    continue
                said = advisor.advisories(evaluation)
                if cards:
                    _print_cards(evaluation, said, reasoner, as_json)
                elif as_json:
                    typer.echo(msgspec.json.encode(_answer(evaluation, said)).decode())
                else:
                    for line in report(evaluation.chart, said, evaluation.silent):
                        terminal.say(line)
            step()
    if unreadable:
        raise typer.Exit(2)


def _answer(evaluation: Evaluation, said: Sequence[Advisory]) -> dict[str, object]:
    chart = evaluation.chart
    return {
        "patient": chart.patient,
        "as_of": chart.as_of,
        "rulebook": evaluation.rulebook_hash,
        "findings": said,
        "left_out": chart.left_out,
        "unmapped": chart.unmapped,
        "silent": [{"marker": marker, "reason": reason} for marker, reason in evaluation.silent],
    }


def _print_cards(evaluation: Evaluation, said: Sequence[Advisory], reasoner: Reasoner, as_json: bool) -> None:
    settings = load_settings()
    writer = CardWriter(reasoner.rulebook, settings.canonical, settings.public_base_url)
    patient = evaluation.chart.patient
    instance = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{settings.canonical}/{patient}"))
    occasion = Occasion(instance, patient)
    unread = unread_card(evaluation.chart, occasion, settings.canonical)
    cards = writer.cards(said, occasion) or ([unread] if unread else [])
    if as_json:
        typer.echo(
            json.dumps({"patient": patient, "as_of": str(evaluation.chart.as_of), "cards": cards}, ensure_ascii=False)
        )
    else:
        typer.echo(json.dumps({"cards": cards}, ensure_ascii=False, indent=2))


def explain(
    file: Annotated[Path, typer.Argument(help="FHIR JSON, NDJSON or a captured hook request.")],
    rule: Annotated[str, typer.Option("--rule", help="The rule to explain; `exowatch rules list` names them.")],
    as_of: AsOf = None,
    rules: RulesDir = None,
) -> None:
    """Explain one rule's answer: why, why not a stronger state, what is missing, what would change it."""
    reasoner, moment = reasoner_of(rules), _moment(as_of)
    known = [entry.name for entry in reasoner.rulebook.rules]
    if rule in reasoner.rulebook.withheld:
        raise InputError(f"the rule '{rule}' is withheld: {reasoner.rulebook.withheld[rule]}")
    if rule not in known:
        raise InputError(f"there is no rule '{rule}'; rules: {', '.join(known)}")
    advisor = Advisor(reasoner.rulebook, load_settings().about())
    for record in _records(file, reasoner):
        evaluation = reasoner.evaluate(record.as_of(moment))
        finding = evaluation.answers.get(rule)
        terminal.say(f"{evaluation.chart.patient} as of {evaluation.chart.as_of}")
        if finding is None:
            terminal.say("  the rule was not asked: no result of its marker is known")
            continue
        for line in explanation(advisor.advisory(finding, evaluation)):
            terminal.say(line)


def draw(
    file: Annotated[Path, typer.Argument(help="FHIR JSON, NDJSON or a captured hook request, of one patient.")],
    out: Annotated[Path, typer.Option("--out", help="File for the picture, as SVG.")] = Path("course.svg"),
    as_of: AsOf = None,
    rules: RulesDir = None,
) -> None:
    """Draw a patient's course: marker curves with reference and limit, treatment, operations and imaging on one axis."""
    from cds.drawing import scene_of, svg

    reasoner, moment = reasoner_of(rules), _moment(as_of)
    records = _records(file, reasoner)
    if len(records) > 1:
        raise InputError(f"{file}: {len(records)} patients are in it. A drawing shows one: give a file of one patient")
    evaluation = reasoner.evaluate(records[0].as_of(moment))
    said = Advisor(reasoner.rulebook).advisories(evaluation)
    scene = scene_of(evaluation, said, reasoner.rulebook)
    out.write_text(svg(scene), encoding="utf-8")
    terminal.say(f"{out}: {evaluation.chart.patient} as of {evaluation.chart.as_of}")
    for point in scene.elsewhere:
        terminal.say(f"not drawn: {terminal.as_it_is(point.shown)}, {', '.join(point.faults)} ({point.ref})")
