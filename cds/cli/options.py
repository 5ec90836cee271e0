"""Options that several commands share, and the rule book that they lead to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cds.reasoning.loading import load_rulebook
from cds.reasoning.reasoner import Reasoner
from cds.settings import load_settings

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


def reasoner_of(rules: Path | None) -> Reasoner:
    """A reasoner over the rule book that the call or the settings name. Raises `RuleBookError`."""
    return Reasoner(load_rulebook(rules_folder(rules)))
