"""Templates → answers: everything that is put into a page is escaped, and the page may load nothing but our own style."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import Response
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from cds.board.age import sample_age
from cds.board.case import full_name
from cds.board.figures import figures_of
from cds.board.legible import death_told, number_of
from cds.board.words import label, words
from cds.calendar import clock_of, day_of
from cds.drawing import cursor_script, drawing_style
from cds.legible import day, legible
from cds.reasoning.explanation import figure

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""What goes with every page, whoever made it."""
_FACTOR = re.compile(r"\d[\d.]* ×(?: 10[⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)?")
_KEPT = {"Cache-Control": "max-age=300"}
_TEMPLATES = PackageLoader(__name__.rpartition(".")[0])
_ENVIRONMENT = Environment(
    loader=_TEMPLATES,
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


def breakable(address: str) -> Markup:
    """An address that may go on in the next line after each slash, and so not inside a word."""
    return Markup("/<wbr>").join(address.split("/"))


def whole(text: str) -> Markup:
    """A text of which no line ends between a number and its ×, or its power of ten; other lines may end where they like."""
    return Markup(_FACTOR.sub(r'<span class="ratio">\g<0></span>', str(escape(text))))  # noqa: S704 - escaped before


NAVIGATION = (
    ("view", "/board", "patients"),
    ("view", "/board/meetings", "meetings"),
    ("view", "/board/follow-up", "follow_up"),
    ("view", "/board/precision", "precision"),
    ("read-rules", "/board/rules", "rules"),
    ("try-rules", "/author", "author"),
    ("keep-accounts", "/accounts", "accounts"),
    ("read-audit", "/audit", "audit"),
)
"""What stands in the head of every page: the act that it takes, its address, and its name among the words."""


def in_words(key: str, named: Mapping[str, str]) -> str:
    """What a key is called; itself as words if it has no name."""
    return named.get(key, key.replace("-", " "))


def is_day(text: str) -> bool:
    """Whether a field for a day can show it."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def labelled(code: str, section: str) -> str:
    """What a code is called in a section of the words; the code as words if it has no name there, as states of a site have none."""
    return label(section, code)


_ENVIRONMENT.filters |= {
    "breakable": breakable,
    "whole": whole,
    "in_words": in_words,
    "label": labelled,
    "moment": moment,
    "day": day,
    "local_day": day_of,
    "sample_age": sample_age,
    "local_time": clock_of,
    "legible": legible,
    "fullname": full_name,
    "death": death_told,
    "is_day": is_day,
    "figures": figures_of,
    "figure": figure,
}
_ENVIRONMENT.globals |= {
    "w": words(),
    "navigation": NAVIGATION,
    "states": tuple(vars(words().states)),
    "number_of": number_of,
}


def page(name: str, status: HTTPStatus = HTTPStatus.OK, **shown: Any) -> Response:
    """The page of a template."""
    content = _ENVIRONMENT.get_template(f"{name}.html").render(**shown)
    return Response(content, status, headers=HEADERS, media_type="text/html")


def pages_of(package: str) -> Callable[..., Response]:
    """Like `page`, of the templates of another package, which may build on ours; their script may ask this service again."""
    policy = {"Content-Security-Policy": f"{HEADERS['Content-Security-Policy']}; connect-src 'self'"}
    environment = _ENVIRONMENT.overlay(loader=ChoiceLoader([PackageLoader(package), _TEMPLATES]))

    def shown(name: str, status: HTTPStatus = HTTPStatus.OK, **what: Any) -> Response:
        content = environment.get_template(f"{name}.html").render(**what)
        return Response(content, status, headers=HEADERS | policy, media_type="text/html")

    return shown


def done_of(done: str) -> str:
    """What a page says was done just before, by its name among the words; "" for nothing."""
    return str(vars(words().done).get(done, ""))


def file(content: bytes, kind: str, name: str) -> Response:
    """A file for whoever asked for it, shown or kept under that name."""
    named = {
        "Content-Disposition": f"inline; filename={name}"
        if kind == "application/pdf"
        else f"attachment; filename={name}"
    }
    return Response(content, headers=HEADERS | named, media_type=kind)


def message(status: HTTPStatus, title: str, text: str) -> Response:
    """A page that only says something."""
    return page("message", status, title=title, text=text)


def busy() -> Response:
    """A page that asks somebody to come again in a moment."""
    response = page("notice", HTTPStatus.SERVICE_UNAVAILABLE, what="busy", visitor=None, number="")
    response.headers["Retry-After"] = "2"
    return response


def style() -> Response:
    """The style of all pages and of the drawings in them."""
    source = (Path(__file__).with_name("templates") / "style.css").read_text("utf-8")
    return Response(source + drawing_style(), headers=HEADERS | _KEPT, media_type="text/css")


def icon() -> Response:
    """No icon: what browsers ask for unasked, answered, so that it is no error in their consoles."""
    return Response(status_code=HTTPStatus.NO_CONTENT, headers=HEADERS | {"Cache-Control": "max-age=86400"})


def script() -> Response:
    """The script of all pages: it makes drawings easier to read, and asks before what was written is left. No page needs it."""
    return script_of(cursor_script() + Path(__file__).with_name("leaving.js").read_text("utf-8"))


def script_of(source: str) -> Response:
    """A script in a file of its own: pages hold none."""
    return Response(source, headers=HEADERS | _KEPT, media_type="text/javascript")
