"""Is this installation fit to advise? Versions, the engine's self-test, the rule book, write access.

`exowatch doctor` prints the checks; the service's readiness asks `self_test`.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cds.chart import Moment, read
from cds.errors import ExowatchError
from cds.reasoning.loading import default_rulebook, load_rulebook, shipped_rules
from cds.reasoning.reasoner import Reasoner

_PACKAGES = ("exowatch", "durable_rules", "fhir.resources", "fastapi", "SQLAlchemy", "msgspec")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at, whether it is well, and what was seen or what to do."""

    name: str
    ok: bool
    detail: str


def shipped_example() -> bytes:
    """The integrator page's example: a record whose newest result is `suspected`."""
    packaged = Path(__file__).resolve().parent / "_data" / "fhir"
    folder = packaged if packaged.is_dir() else Path(__file__).resolve().parents[1] / "fhir"
    return (folder / "examples" / "trpc5-suspected.json").read_bytes()


def self_test(reasoner: Reasoner) -> Check:
    """Evaluate the shipped example through the whole chain: engine and oracle have to agree, by the shipped rules on

    `suspected`. What a site's own rules make of the example is said, and is no fault.
    """
    try:
        chart = read(shipped_example(), reasoner.rulebook.catalogue).as_of(Moment.parse("2025-04-21"))
        states = [finding.state for finding in reasoner.evaluate(chart).findings]
    except (ExowatchError, OSError) as error:
        return Check("engine self-test", False, f"{type(error).__name__}: {error}")
    if reasoner.rulebook.hash != default_rulebook().hash:
        said = ", ".join(states) or "nothing"
        return Check(
            "engine self-test", True, f"engine and oracle agree; these rules make of the shipped example: {said}"
        )
    if states != ["suspected"]:
        return Check("engine self-test", False, f"the shipped example is {states}, not suspected: reinstall, then ask")
    return Check("engine self-test", True, "the shipped example is suspected, engine and oracle agree")


def checks(rules: Path | None) -> Iterator[Check]:
    """Every check, in the order in which they depend on each other."""
    fits = platform.python_version_tuple()[:2] in (("3", "11"), ("3", "12"))
    yield Check(
        "python", fits, platform.python_version() + ("" if fits else ": use 3.11 or 3.12, durable_rules needs it")
    )
    for package in _PACKAGES:
        try:
            yield Check(package, True, version(package))
        except PackageNotFoundError:
            yield Check(
                package, package == "exowatch", "not installed; from a checkout this is fine for exowatch itself"
            )
    folder = rules or shipped_rules()
    try:
        book = load_rulebook(folder)
    except ExowatchError as error:
        yield Check("rule book", False, str(error))
        return
    held = f", withheld: {', '.join(book.withheld)}" if book.withheld else ""
    yield Check("rule book", True, f"{len(book.rules)} rules, hash {book.hash[:12]}{held}")
    yield self_test(Reasoner(book))
    writable = os.access(Path.cwd(), os.W_OK)
    yield Check("write access", writable, str(Path.cwd()) + ("" if writable else ": choose a folder you may write to"))
