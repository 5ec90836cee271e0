"""Answers that are not 2xx: always a FHIR OperationOutcome, for integrators, without patient data."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

_ENCODER = msgspec.json.Encoder(order="deterministic", decimal_format="number")


_HEADERS = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "5"}}


class Problem(Exception):
    """A request that gets no advice: the HTTP status, the code of an OperationOutcome, what is wrong, and where.

    `client` is for the log alone: the name of the client in the site's file that it came from, or says that it came from.
    """

    def __init__(self, status: int, code: str, text: str, place: str = "", *more: Problem, client: str = ""):
        super().__init__(text)
        self.status = status
        self.code = code
        self.text = text
        self.place = place
        self.more = more
        self.client = client

    def response(self) -> Response:
        """The OperationOutcome of this problem, and of those that came with it."""
        response = answer(self.status, outcome(self, *self.more))
        response.headers.update(_HEADERS.get(self.status, {}))
        return response


def outcome(*problems: Problem) -> dict[str, Any]:
    """An OperationOutcome with one issue for each problem."""
    return {"resourceType": "OperationOutcome", "issue": [_issue(problem) for problem in problems]}


def _issue(problem: Problem) -> dict[str, Any]:
    place = f"{problem.place}: " if problem.place else ""
    issue: dict[str, Any] = {"severity": "error", "code": problem.code, "diagnostics": f"{place}{problem.text}"}
    if problem.place:
        issue["expression"] = [problem.place]
    return issue


def answer(status: int, body: Any) -> Response:
    """JSON, the same bytes for the same content; not to be kept by anything between here and the caller."""
    content = _ENCODER.encode(body)
    return Response(content, status, headers={"Cache-Control": "no-store"}, media_type="application/json")
