"""The rule book in force, as pages: what the link of a card shows. They tell of no patient, and need no sign-in."""

from __future__ import annotations

from functools import cached_property

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from cds.advice.advisory import About
from cds.publish.site.site import Site, style
from cds.reasoning.rulebook import RuleBook
from cds.service.pages.rendering import HEADERS
from cds.service.problems import Problem

_HEADERS = {**HEADERS, "Cache-Control": "no-cache"}


class Handbook:
    """Answers `/rules/{name}`: a rule by its name, a page of the book by the name of its file, `{rule}.yaml` for what is written."""

    def __init__(self, book: RuleBook, about: About):
        self._book, self._about = book, about

    @cached_property
    def _pages(self) -> dict[str, str]:
        return dict(Site(self._book, self._about).pages())

    def first(self, request: Request) -> Response:
        """The way to the first page, as seen from the address that was called: a proxy may serve all this under a path."""
        return RedirectResponse(
            "index.html" if request.url.path.endswith("/") else "rules/index.html", headers=_HEADERS
        )

    def answer(self, name: str) -> Response:
        """The page, or a 404 that says why a rule is not shown."""
        if name == "style.css":
            return Response(style(), media_type="text/css", headers=_HEADERS)
        written = next((rule for rule in self._book.rules if f"{rule.name}.yaml" == name), None)
        if written is not None:
            head = f"# {written.title}\n# rule {written.name}, version {written.hash[:12]}, rule book {self._book.hash[:12]}\n\n"
            return Response(head + written.text, media_type="text/plain", headers=_HEADERS)
        page = self._pages.get(name) or self._pages.get(f"rule-{name}.html")
        if page is None:
            why = self._book.withheld.get(name)
            return Problem(
                404, "not-found", f"the rule is withheld: {why}" if why else "there is no such rule"
            ).response()
        return Response(page, media_type="text/html", headers=_HEADERS)
