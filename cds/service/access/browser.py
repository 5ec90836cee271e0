"""What passes between us and a browser: cookies, forms that come from our own pages, and addresses that lead to them."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import secrets
from collections.abc import Mapping
from urllib.parse import parse_qs, unquote, urlsplit

from fastapi import Request, Response

from cds.settings import Settings

_MOST_BYTES, _MOST_FIELDS, _MOST_SECONDS = 256_000, 2_000, 10.0
_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*(\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?")
_LONGEST_PATH = 2_000
_LEADS_AWAY = re.compile(r"[\x00-\x20\x7f\\]|//")
_BREAKS = re.compile(r"[\x00-\x1f\x7f\\]")


class Browser:
    """How this installation speaks with browsers.

    Over https a cookie is bound to this very host (`__Host-`); in development mode, on loopback, it has a plain name.
    """

    def __init__(self, settings: Settings):
        self._secure = not settings.open_mode
        self._proxied = settings.behind_proxy
        public = urlsplit(settings.public_base_url)
        self._base = f"{public.scheme}://{public.netloc}" if public.netloc else ""

    def base(self, request: Request) -> str:
        """The host under which browsers know us, for pages live at its root; in development mode the loopback one that was asked."""
        return self._base or str(request.base_url).rstrip("/")

    def address(self, request: Request) -> str:
        """Where a browser is: behind a proxy, which nobody can go around, as its last `X-Forwarded-For` says it; "" if nothing does."""
        own = request.client.host if request.client is not None else ""
        stated = request.headers.getlist("x-forwarded-for") if self._proxied else []
        last = stated[-1].rpartition(",")[2].strip() if stated else ""
        try:
            return str(ipaddress.ip_address(last))
        except ValueError:
            return own

    def cookie(self, request: Request, name: str) -> str:
        """A cookie of ours; "" if there is none."""
        return request.cookies.get(self._named(name), "")

    def give(self, response: Response, name: str, value: str, seconds: int | None = None) -> None:
        """Set a cookie that no script sees; it goes with the browser, or after so many seconds."""
        response.set_cookie(
            self._named(name), value, max_age=seconds, path="/", secure=self._secure, httponly=True, samesite="lax"
        )

    def take(self, response: Response, name: str) -> None:
        """Remove a cookie."""
        response.delete_cookie(self._named(name), path="/", secure=self._secure, httponly=True, samesite="lax")

    def is_from_us(self, request: Request) -> bool:
        """Whether a form was sent by a page of ours, as far as the browser says it."""
        site = request.headers.get("sec-fetch-site")
        if site is not None:
            return site == "same-origin"
        origin = request.headers.get("origin", "null")  # "null" is what no-referrer makes of our own
        return origin in ("null", self.base(request))

    def is_surely_from_us(self, request: Request) -> bool:
        """Whether the browser says so itself, which all present ones do over https and on loopback."""
        return request.headers.get("sec-fetch-site") == "same-origin"

    def _named(self, name: str) -> str:
        name = f"exowatch-{name}" if name else "exowatch"
        return f"__Host-{name}" if self._secure else name


async def form_of(request: Request) -> dict[str, list[str]] | None:
    """The fields of a form that was sent; None if it is none, is too long, comes too slowly, or holds what no database keeps."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        return None
    body = bytearray()
    try:
        async with asyncio.timeout(_MOST_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > _MOST_BYTES:
                    return None
    except TimeoutError:
        return None
    try:
        found = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict")
    except ValueError:
        return None
    return found if all(is_text(value) for values in found.values() for value in values) else None


def is_text(value: str) -> bool:
    """Whether a database keeps it as it is."""
    return "\0" not in value


def field(form: Mapping[str, list[str]], name: str) -> str:
    """The only value of a field; "" if there is none, or several."""
    values = form.get(name, [])
    return values[0] if len(values) == 1 else ""


def number(text: str, digits: int) -> int | None:
    """A number of so many digits at most; None for anything else: digits are those of ASCII, and no more than could be meant."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= digits else None


def same(one: str, other: str) -> bool:
    """Whether two secrets are the same, and neither is missing."""
    return bool(one) and secrets.compare_digest(one.encode(), other.encode())


def own_path(stated: str) -> str:
    """A path with its query on this host, as it was stated; "" for anything that a browser could read as another place."""
    path, _, query = stated.partition("?")
    if not _PATH.fullmatch(stated) or len(stated) > _LONGEST_PATH:
        return ""
    return "" if _LEADS_AWAY.search(unquote(path)) or _BREAKS.search(unquote(query)) else stated
