"""The workbench in a browser: rules in prose and source, tried on synthetic patients, and what another limit would do.

It shows nothing of any record, and writes nothing: an author takes the changed lines from it to the file of the rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cds.layers import Rules
    from cds.reasoning.reasoner import Reasoner
    from cds.service.access.gate import Gate


def add_author_pages(gate: Gate, reasoner: Reasoner, rules: Rules) -> None:
    """Put the pages at `/author` behind the gate, for the rule book of `reasoner`, which was read from `rules`."""
    from cds.workbench.bench.pages import (
        AuthorPages,
    )  # a child that tries limits has no use for pages, and begins sooner

    AuthorPages(reasoner, rules).add_to(gate)
