"""Options that several commands share, and the rule book that they lead to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cds.errors import RuleBookError
from cds.reasoning.loading import load_rulebook, shipped_rules
from cds.reasoning.reasoner import Reasoner
from cds.reasoning.rulebook import RuleBook
from cds.settings import load_settings
from cds.source import raise_if_any

RulesDir = Annotated[Path | None, typer.Option("--rules", help="Folder with rules; default: the shipped ones.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
AsOf = Annotated[str | None, typer.Option("--as-of", help="Day or instant of the evaluation; default: today.")]
Server = Annotated[
    str | None,
    typer.Option("--server", help="Base URL of the patient's FHIR server, where two have a patient of that id."),
]


def rules_folder(rules: Path | None) -> Path | None:
    """The folder of rules: as the call says, else as the installation's settings say; None for the shipped one."""
    return rules or load_settings().rules_dir


def not_asked(rule: str) -> str:
    """The line about a rule that stands in the book and is not asked."""
    return f"not asked, for it is a draft or retired: {rule}"


def rulebook_of(rules: Path | None, *, drafts: bool = False) -> RuleBook:
    """The rule book that the call or the settings name.

    Raises `RuleBookError` with all mistakes at once: with those in how laboratories deliver, too.
    """
    folder = rules_folder(rules) or shipped_rules()
    try:
        return load_rulebook(folder, drafts=drafts)
    except RuleBookError as error:
        from cds.intake.interfaces import mistakes

        raise_if_any((*error.problems, *mistakes(folder)))
        raise


def reasoner_of(rules: Path | None, *, drafts: bool = False) -> Reasoner:
    """A reasoner over that rule book; `drafts`: over the rules that are still being written, too. Raises `RuleBookError`."""
    return Reasoner(rulebook_of(rules, drafts=drafts))
