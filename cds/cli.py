"""The command `exowatch`: each command is a few lines over the stage that does the work.

Exit codes: 0 done; 1 done, and something failed that was to be checked (rule tests, doctor); 2 the call or its input is wrong.
"""

from __future__ import annotations

import json
import os
import sys
import uuid
from collections import Counter
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
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
from cds.cli_record import audit_app, db_app, export_command, record_app, replay_command
from cds.errors import ExowatchError, InputError, RuleBookError
from cds.reasoning.findings import Evaluation
from cds.reasoning.loading import load_rulebook, shipped_rules
from cds.reasoning.reasoner import Reasoner
from cds.settings import load_settings

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Advisory decision support for exosomal markers of suspected acquired drug resistance in breast cancer.",
)
rules_app = typer.Typer(no_args_is_help=True, help="The rule book: list its rules, run the tests beside them.")
app.add_typer(rules_app, name="rules")
app.add_typer(db_app, name="db")
app.add_typer(audit_app, name="audit")
app.add_typer(record_app, name="record")

RulesDir = Annotated[Path | None, typer.Option("--rules", help="Folder with rules; default: the shipped ones.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
AsOf = Annotated[str | None, typer.Option("--as-of", help="Day or instant of the evaluation; default: today.")]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"exowatch {version('exowatch')}")
        raise typer.Exit


@app.callback()
def _main(show: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False) -> None:
    """Options of the command itself."""


def _rules(rules: Path | None) -> Path | None:
    """The folder of rules: as the call says, else as the installation's settings say; None for the shipped one."""
    return rules or load_settings().rules_dir


def _reasoner(rules: Path | None) -> Reasoner:
    return Reasoner(load_rulebook(_rules(rules)))


def _moment(as_of: str | None) -> Moment:
    return Moment.parse(as_of) if as_of else Moment(date.today())


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


@app.command()
def evaluate(
    files: Annotated[list[Path], typer.Argument(help="FHIR JSON, NDJSON, a captured hook request, or a folder.")],
    as_of: AsOf = None,
    rules: RulesDir = None,
    as_json: AsJson = False,
    cards: Annotated[bool, typer.Option("--cards", help="CDS Hooks cards instead of a report.")] = False,
) -> None:
    """Evaluate patients: the state of each question, why, the numbers, what is missing."""
    reasoner, moment = _reasoner(rules), _moment(as_of)
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
                terminal.console(error=True).print(str(error), markup=False)
                records = []
            for record in records:
                evaluation = reasoner.evaluate(record.as_of(moment))
                said = advisor.advisories(evaluation)
                if cards:
                    _print_cards(evaluation, said, reasoner)
                elif as_json:
                    typer.echo(msgspec.json.encode(_answer(evaluation, said)).decode())
                else:
                    for line in report(evaluation.chart, said, evaluation.silent):
                        terminal.console().print(line, markup=False)
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


def _print_cards(evaluation: Evaluation, said: Sequence[Advisory], reasoner: Reasoner) -> None:
    settings = load_settings()
    writer = CardWriter(reasoner.rulebook, settings.canonical, settings.public_base_url)
    patient = evaluation.chart.patient
    instance = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{settings.canonical}/{patient}"))
    occasion = Occasion(instance, patient)
    unread = unread_card(evaluation.chart, occasion, settings.canonical)
    cards = writer.cards(said, occasion) or ([unread] if unread else [])
    typer.echo(json.dumps({"cards": cards}, ensure_ascii=False, indent=2))


@app.command()
def explain(
    file: Annotated[Path, typer.Argument(help="FHIR JSON, NDJSON or a captured hook request.")],
    rule: Annotated[str, typer.Option("--rule", help="The rule to explain; `exowatch rules list` names them.")],
    as_of: AsOf = None,
    rules: RulesDir = None,
) -> None:
    """Explain one rule's answer: why, why not a stronger state, what is missing, what would change it."""
    reasoner, moment = _reasoner(rules), _moment(as_of)
    known = [entry.name for entry in reasoner.rulebook.rules]
    if rule in reasoner.rulebook.withheld:
        raise InputError(f"the rule '{rule}' is withheld: {reasoner.rulebook.withheld[rule]}")
    if rule not in known:
        raise InputError(f"there is no rule '{rule}'; rules: {', '.join(known)}")
    advisor = Advisor(reasoner.rulebook, load_settings().about())
    for record in _records(file, reasoner):
        evaluation = reasoner.evaluate(record.as_of(moment))
        finding = evaluation.answers.get(rule)
        terminal.console().print(f"{evaluation.chart.patient} as of {evaluation.chart.as_of}", markup=False)
        if finding is None:
            terminal.console().print("  the rule was not asked: no result of its marker is known", markup=False)
            continue
        for line in explanation(advisor.advisory(finding, evaluation)):
            terminal.console().print(line, markup=False)


app.command("replay")(replay_command(_reasoner))
app.command("export")(export_command(_reasoner))


@rules_app.command("list")
def rules_list(rules: RulesDir = None, as_json: AsJson = False) -> None:
    """List the rules with marker, therapy, status and hash; what is withheld and why."""
    book = load_rulebook(_rules(rules))
    rows = [
        {
            "rule": rule.name,
            "title": rule.title,
            "watches": rule.watches or " + ".join(rule.combines.values()),
            "during": ", ".join(rule.anchor.therapies) or ("curative operation" if rule.anchor.operation else ""),
            "status": rule.status,
            "review_by": rule.review_by,
            "hash": rule.hash[:12],
        }
        for rule in book.rules
    ]
    if as_json:
        typer.echo(json.dumps({"hash": book.hash, "rules": rows, "withheld": dict(book.withheld)}))
        return
    terminal.table(list(rows[0]) if rows else [], [list(row.values()) for row in rows])
    for name, reason in book.withheld.items():
        terminal.console().print(f"withheld: {name}: {reason}", markup=False)


@rules_app.command("test")
def rules_test(rules: RulesDir = None, as_json: AsJson = False) -> None:
    """Run the tests beside the rules."""
    from cds.workbench.ruletests import load_tests, run

    folder = _rules(rules) or shipped_rules()
    reasoner = _reasoner(folder)
    tests = load_tests(folder, reasoner.rulebook)
    failures = []
    with terminal.progress("testing rules", len(tests)) as step:
        for test in tests:
            failures += run([test], reasoner)
            step()
    if as_json:
        typer.echo(json.dumps({"cases": len(tests), "failures": [str(failure) for failure in failures]}))
    else:
        for failure in failures:
            terminal.console().print(str(failure), markup=False)
        failed = len({(failure.test.file, failure.test.name) for failure in failures})
        typer.echo(f"{len(tests) - failed} passed, {failed} failed")
    raise typer.Exit(1 if failures or not tests else 0)


@app.command()
def evidence(
    rules: RulesDir = None,
    as_json: AsJson = False,
    disposition: Annotated[str | None, typer.Option(help="Only rows with this disposition.")] = None,
) -> None:
    """List every system of the evidence catalogue with its disposition, and the studies the rules rest on."""
    book = load_rulebook(_rules(rules))
    items = [item for item in book.evidence.inventory if disposition in (None, item.disposition)]
    if disposition and not items:
        known = sorted({item.disposition for item in book.evidence.inventory})
        raise InputError(f"no row with disposition '{disposition}'; dispositions: {', '.join(known)}")
    used: dict[str, list[str]] = {}
    for rule in book.rules:
        for study in rule.evidence:
            used.setdefault(study, []).append(rule.name)
    studies = book.evidence.studies.values()
    if as_json:
        rows = [
            {"id": item.id, "item": item.item, "disposition": item.disposition, "dois": list(item.dois)}
            for item in items
        ]
        cited = [
            {
                "id": s.id,
                "citation": s.citation,
                "status": s.status,
                "certainty": s.certainty,
                "rules": used.get(s.id, []),
            }
            for s in studies
        ]
        typer.echo(json.dumps({"inventory": rows, "studies": cited}, ensure_ascii=False))
        return
    terminal.table(["id", "item", "disposition", "note"], [(i.id, i.item, i.disposition, i.note) for i in items])
    if disposition is None:
        typer.echo("")
        terminal.table(
            ["study", "status", "certainty", "rules"],
            [(s.citation, s.status, s.certainty, ", ".join(used.get(s.id, []))) for s in studies],
        )


@app.command()
def synth(
    seed: Annotated[int, typer.Option(help="Same seed, same bytes, on any machine.")] = 1,
    patients: Annotated[int, typer.Option(min=1, help="How many patients.")] = 10,
    workers: Annotated[int, typer.Option(min=1, help="Processes; changes nothing but the time.")] = 1,
    out: Annotated[Path, typer.Option("--out", help="Folder to write to.")] = Path("cohort"),
) -> None:
    """Make synthetic patients with known truth: one FHIR Bundle each, and truth.jsonl."""
    from cds.workbench.synth import write_cohort

    with terminal.progress("making patients", patients) as step:
        write_cohort(seed, patients, workers, out, progress=step)
    typer.echo(f"{patients} patients in {out}, what is true of them in {out / 'truth.jsonl'}")


@app.command()
def serve(
    dev: Annotated[bool, typer.Option("--dev", help="Open mode: loopback only, anybody may ask.")] = False,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 chooses a free one.")] = 8642,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes on this address; one for each core.")] = 1,
    rules: RulesDir = None,
) -> None:
    """Serve CDS Hooks."""
    from cds.service.server import run_server

    run_server(_reasoner(rules), host=host, port=port, dev=dev, workers=workers, rules=_rules(rules))


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="Ask the service once, print the card, and exit.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 chooses a free one.")] = 8642,
    out: Annotated[Path, typer.Option("--out", help="Folder for the synthetic patients.")] = Path("demo"),
) -> None:
    """Make a few synthetic patients, serve them on loopback, and say what to look at."""
    from cds.demo import run_demo

    raise typer.Exit(run_demo(once=once, port=port, out=out))


@app.command()
def conform(
    url: Annotated[str, typer.Argument(help="Base URL of a CDS Hooks service, without /cds-services.")],
    client: Annotated[
        Path | None, typer.Option("--client", help="A client that the service knows: JSON with issuer and private key.")
    ] = None,
    rows: Annotated[list[str] | None, typer.Option("--row", help="Only this row, such as G2; may be repeated.")] = None,
    as_json: AsJson = False,
) -> None:
    """Test a CDS Hooks service, this one or any other, against the specification; exit code 1 if a row fails."""
    from cds.conformance import ROWS, Probe, read_signer, run

    results = []
    signer = read_signer(client) if client is not None else None
    with Probe(url, signer) as probe, terminal.progress("rows", len(rows or ROWS)) as step:
        for result in run(probe, rows or ()):
            results.append(result)
            step()
    if as_json:
        found = [
            {
                "row": one.row.number,
                "level": one.row.level,
                "asks": one.row.asks,
                "outcome": one.outcome,
                "why": one.why,
            }
            for one in results
        ]
        typer.echo(json.dumps(found, ensure_ascii=False))
    else:
        terminal.table(
            ["row", "level", "outcome", "what, and why"],
            [
                (one.row.number, one.row.level, one.outcome, f"{one.row.asks}{f' - {one.why}' if one.why else ''}")
                for one in results
            ],
        )
        counted = Counter(one.outcome for one in results)
        typer.echo(", ".join(f"{counted[outcome]} {outcome}" for outcome in ("passed", "failed", "not applicable")))
    raise typer.Exit(1 if any(one.outcome == "failed" for one in results) else 0)


@app.command()
def doctor(rules: RulesDir = None, as_json: AsJson = False) -> None:
    """Check this installation: versions, engine self-test, rule book, write access."""
    from cds.selfcheck import checks

    found = list(checks(_rules(rules)))
    if as_json:
        typer.echo(json.dumps([{"check": c.name, "ok": c.ok, "detail": c.detail} for c in found]))
    else:
        for check in found:
            terminal.console().print(f"{'ok  ' if check.ok else 'FAIL'} {check.name}: {check.detail}", markup=False)
    raise typer.Exit(0 if all(check.ok for check in found) else 1)


def main() -> None:
    """Entry point: errors made on purpose become one message on stderr and exit code 2."""
    try:
        app()
    except RuleBookError as error:
        typer.echo(str(error), err=True)
        typer.echo(f"{len(error.problems)} problem(s) in the rules; nothing was evaluated", err=True)
        raise SystemExit(2) from None
    except ExowatchError as error:
        typer.echo(str(error), err=True)
        raise SystemExit(2) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read has read enough
        raise SystemExit(0) from None
    except OSError as error:
        typer.echo(f"{error.filename or 'a file'}: {error.strerror or error}. Name one that can be used so", err=True)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
