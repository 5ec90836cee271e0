"""The rules in use, for who writes them and for who is advised by them: each leads to its text."""

from __future__ import annotations

from fastapi import Response

from cds.reasoning.rulebook import RuleBook
from cds.record.database import Database
from cds.record.rule_texts import recorded
from cds.service.access.gate import Act, Gate, Visit
from cds.service.pages.rendering import page


class RulePages:
    """The rule book by which this service advises."""

    def __init__(self, book: RuleBook, database: Database):
        self._book, self._database = book, database

    def add_to(self, gate: Gate) -> None:
        gate.add("/board/rules", "GET", Act.READ_RULES, self._list)

    def _list(self, visit: Visit) -> Response:
        known = recorded(self._database, [rule.hash for rule in self._book.rules])
        return page("rules", visitor=visit.visitor, here="rules", book=self._book, known=known)
