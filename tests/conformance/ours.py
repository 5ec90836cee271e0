"""Our own service in both its modes, and what became of every row: `python -m tests.conformance.ours` writes docs/conformance.md."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from joserfc.jwk import ECKey, KeySet

from cds.conformance import LEFT_OUT, Probe, Result, Signer, run
from cds.conformance.rows import in_order
from cds.reasoning.loading import default_rulebook
from cds.reasoning.reasoner import Reasoner
from cds.service.server import running
from tests.service.test_serving import served

DOCUMENT = Path(__file__).parents[2] / "docs" / "conformance.md"
BASE = "https://cds.example/exowatch"
ISSUER = "https://ehr.example/oauth2"
MODES = ("open", "trusted")


@contextmanager
def open_service(folder: Path) -> Iterator[Probe]:
    """In development mode: no tokens, and FHIR servers on this machine may be asked."""
    database = f"sqlite:///{folder}/open.sqlite"
    with running(Reasoner(default_rulebook()), database=database) as base, Probe(base) as probe:
        yield probe


@contextmanager
def trusted_service(folder: Path) -> Iterator[Probe]:
    """For one client, as it is installed behind a proxy."""
    key = ECKey.generate_key("P-384", {"kid": "probe"})
    (folder / "keys.json").write_text(json.dumps(KeySet([key]).as_dict(private=False)), "utf-8")
    (folder / "clients.yaml").write_text(f"clients: [{{name: probe, issuer: {ISSUER}, keys: keys.json}}]", "utf-8")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("EXOWATCH_")},
        "EXOWATCH_CLIENTS_FILE": str(folder / "clients.yaml"),
        "EXOWATCH_PUBLIC_BASE_URL": BASE,
        "EXOWATCH_DATABASE_URL": f"sqlite:///{folder}/trusted.sqlite",
        "EXOWATCH_ALLOWED_ORIGINS": "https://probe.example",
    }
    with served(environment) as base, Probe(base, Signer(ISSUER, key, base=BASE)) as probe:
        yield probe


def results(folder: Path) -> dict[str, dict[str, Result]]:
    """By mode and number of the row."""
    found: dict[str, dict[str, Result]] = {}
    for mode, service in zip(MODES, (open_service, trusted_service), strict=True):
        with service(folder) as probe:
            found[mode] = {one.row.number: one for one in run(probe)}
    return found


def document(found: dict[str, dict[str, Result]]) -> str:
    """docs/conformance.md."""
    lines = [
        "# Conformance to CDS Hooks",
        "",
        "What the service does of what the CDS Hooks specification asks of one (2.0 and 3.0; requests of 1.0 to 3.0 are taken). Made by "
        "`python -m tests.conformance.ours`;",
        "`exowatch conform URL` runs the same checks against any service, with `--client FILE` as a client that it trusts. "
        "Each row is a test in `tests/conformance/`.",
        "",
        "| row | level | what | open mode | trusted clients |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in in_order():
        told = [_told(found[mode][row.number]) for mode in MODES]
        lines.append(f"| {row.number} | {row.level} | {_safe(row.asks)} | {told[0]} | {told[1]} |")
    lines += ["", "## Rows without a check from outside", "", "| row | why |", "| --- | --- |"]
    lines += [f"| {number} | {_safe(why)} |" for number, why in LEFT_OUT.items()]
    return "\n".join(lines) + "\n"


def _told(result: Result) -> str:
    return result.outcome if result.outcome != "not applicable" else f"– ({_safe(result.why)})"


def _safe(text: str) -> str:
    return text.replace("|", "\\|").replace("{{", "`{{`").replace("}}", "`}}`")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        DOCUMENT.write_text(document(results(Path(name))), "utf-8")
