"""Templates → answers: everything that is put into a page is escaped, and the page may load nothing but our own style."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import Response
from jinja2 import Environment, PackageLoader, StrictUndefined

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_ENVIRONMENT = Environment(
    loader=PackageLoader(__name__.rpartition(".")[0]),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def moment(stated: str) -> str:
    """An instant in FHIR's form, to the minute and in its own zone: `2025-04-08 08:30 +02:00`; a day as it is."""
    day, _, time = stated.partition("T")
    zone = time[8:].lstrip(".0123456789").replace("Z", "UTC")
    return f"{day} {time[:5]} {zone}".strip()


_ENVIRONMENT.filters["moment"] = moment


def page(name: str, status: HTTPStatus = HTTPStatus.OK, **shown: Any) -> Response:
    """The page of a template."""
    content = _ENVIRONMENT.get_template(f"{name}.html").render(**shown)
    return Response(content, status, headers=_HEADERS, media_type="text/html")


def message(status: HTTPStatus, title: str, text: str) -> Response:
    """A page that only says something."""
    return page("message", status, title=title, text=text)


def style() -> Response:
    """The style of all pages."""
    source, _, _ = _ENVIRONMENT.loader.get_source(_ENVIRONMENT, "style.css")  # type: ignore[union-attr]
    return Response(source, headers=_HEADERS | {"Cache-Control": "max-age=300"}, media_type="text/css")
