"""The commands about the service: run it, show it, test it against the specification, check its installation."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from cds import terminal
from cds.cli.options import AsJson, RulesDir, reasoner_of, rules_folder
from cds.counting import counted


def serve(
    dev: Annotated[bool, typer.Option("--dev", help="Open mode: loopback only, anybody may ask.")] = False,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 chooses a free one.")] = 8642,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes on this address; one for each core.")] = 1,
    mllp: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port for HL7 v2 messages over MLLP, if any.")
    ] = None,
    rules: RulesDir = None,
) -> None:
    """Serve CDS Hooks, and take results of laboratories."""
    from cds.service.server import run_server
    from cds.settings import load_settings
    from cds.workbench.bench import add_author_pages

    published = rules is None and load_settings().releases_dir is not None
    reasoner = None if published else reasoner_of(rules)
    run_server(
        reasoner, host=host, port=port, dev=dev, workers=workers, rules=rules_folder(rules), mllp=mllp,
        pages=(add_author_pages,),
    )  # fmt: skip


def demo(
    once: Annotated[bool, typer.Option("--once", help="Ask the service once, print the card, and exit.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 chooses a free one.")] = 8642,
    out: Annotated[Path, typer.Option("--out", help="Folder for the synthetic patients.")] = Path("demo"),
    rules: RulesDir = None,
) -> None:
    """Make a few synthetic patients, serve them on loopback, and say what to look at."""
    from cds.demo import run_demo

    raise typer.Exit(run_demo(once=once, port=port, out=out, rules=rules_folder(rules)))


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
        made_up = list(probe.patients)
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
        became = Counter(one.outcome for one in results)
        typer.echo(", ".join(f"{became[outcome]} {outcome}" for outcome in ("passed", "failed", "not applicable")))
    if made_up:
        terminal.say(
            f"It was asked about {counted(len(made_up), 'made-up patient')}, whom a service with a record keeps. To erase them from that of "
            "Exowatch, with the settings of the service:\n"
            f'for id in {shlex.join(made_up)}; do exowatch record erase "Patient/$id" --by conformance --yes; done',
            error=True,
        )
    raise typer.Exit(1 if any(one.outcome == "failed" for one in results) else 0)


def doctor(rules: RulesDir = None, as_json: AsJson = False) -> None:
    """Check this installation: versions, engine self-test, rule book, write access."""
    from cds.selfcheck import checks

    found = list(checks(rules_folder(rules)))
    if as_json:
        typer.echo(json.dumps([{"check": c.name, "ok": c.ok, "detail": c.detail} for c in found]))
    else:
        for check in found:
            terminal.say(f"{'ok  ' if check.ok else 'FAIL'} {check.name}: {check.detail}")
    raise typer.Exit(0 if all(check.ok for check in found) else 1)
