"""The commands about the rule book: its rules, the tests beside them, the evidence they rest on."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from cds import terminal
from cds.cli import authoring, proving, publishing, trials
from cds.cli.options import AsJson, RulesDir, not_asked, rules_folder
from cds.errors import InputError
from cds.layers import rule_files, shipped_rules
from cds.reasoning.loading import load_rulebook

rules_app = typer.Typer(no_args_is_help=True, help="The rule book: list its rules, run the tests beside them.")
rules_app.command("noise")(trials.noise)
rules_app.command("diff")(trials.diff)
rules_app.command("shadow")(trials.shadow)
rules_app.command("lint")(authoring.lint)
rules_app.command("new")(authoring.new)
rules_app.command("overlay")(authoring.overlay)
rules_app.command("new-key")(publishing.new_key)
rules_app.command("publish")(publishing.publish)
rules_app.command("use")(publishing.use)
rules_app.command("releases")(publishing.releases)
rules_app.command("docs")(publishing.docs)


@rules_app.command("list")
def rules_list(rules: RulesDir = None, as_json: AsJson = False) -> None:
    """List the rules with marker, therapy, status, origin and hash; what is withheld and why; what a site lays over what."""
    files = rule_files(rules_folder(rules) or shipped_rules())
    book = load_rulebook(files)
    rows = [
        {
            "rule": rule.name,
            "title": rule.title,
            "watches": rule.watches or " + ".join(rule.combines.values()),
            "during": ", ".join(rule.anchor.therapies) or ("curative operation" if rule.anchor.operation else ""),
            "status": rule.status,
            "from": files.origin(rule.file),
            "review_by": rule.review_by,
            "hash": rule.hash[:12],
        }
        for rule in book.rules
    ]
    if as_json:
        told = {"hash": book.hash, "rules": rows, "withheld": dict(book.withheld), "resting": sorted(book.resting)}
        typer.echo(json.dumps(told | ({"overlay": files.site, "laid_over": files.laid_over()} if files.site else {})))
        return
    terminal.table(list(rows[0]) if rows else [], [list(row.values()) for row in rows])
    for name, reason in book.withheld.items():
        terminal.say(f"withheld: {name}: {reason}")
    for name in sorted(book.resting):
        terminal.say(not_asked(name))
    for name, keys in files.laid_over().items():
        terminal.say(f"{files.site} lays over the shipped {name}: {', '.join(keys)}")
    for name in files.outdated():
        terminal.say(f"{files.site} has to be compared with the shipped {name}: exowatch rules overlay {files.root}")


rules_app.command("test")(proving.rules_test)
rules_app.command("cover")(proving.rules_cover)
rules_app.command("mutate")(proving.rules_mutate)
rules_app.command("boundaries")(proving.rules_boundaries)


def evidence(
    rules: RulesDir = None,
    as_json: AsJson = False,
    disposition: Annotated[str | None, typer.Option(help="Only rows with this disposition.")] = None,
) -> None:
    """List every system of the evidence catalogue with its disposition, and the studies the rules rest on."""
    book = load_rulebook(rules_folder(rules))
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
