"""Data that a client did not prefetch, from its FHIR server with its token: all at once, within the deadline of the call.

What cannot be had in time is missing, and says why; it never reads as "there is none". The token goes to the server of the
request and nowhere else, and is forgotten with the call.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urljoin

import msgspec

from cds.exchange import CannotFetch, Exchange, NotPermitted
from cds.exchange.network import origin_of
from cds.service.discovery import Template
from cds.service.hook_request import HookRequest
from cds.service.prefetch import next_page

_DECODER = msgspec.json.Decoder(float_hook=Decimal)
_PAGES = 50
_THREADS = 32
_WAITED_FOR = 0.05
"""Seconds of a deadline that are kept for what is done with the data."""


class Fetching:
    """Fetches for calls; safe to share between threads. `seconds` is how long a call waits, `most` bytes for the answer to a template."""

    def __init__(self, seconds: float, most: int):
        self._seconds = seconds
        self._most = most
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="fetch")

    def fetched(
        self, exchange: Exchange, request: HookRequest, templates: Iterable[Template]
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """What the server has, by key; and for each key that could not be had the reason."""
        until = time.monotonic() + self._seconds - _WAITED_FOR
        asked: dict[Future[Any], str] = {}
        for template in templates:
            asked[self._threads.submit(self._whole, exchange, request, template, until)] = template.key
        done, _ = wait(asked, max(0.0, until - time.monotonic()))
        found: dict[str, Any] = {}
        failed: dict[str, str] = {}
        for future, key in asked.items():
            if future not in done:
                future.cancel()
                failed[key] = "the FHIR server did not answer in time"
                continue
            try:
                found[key] = future.result()
            except NotPermitted as error:
                failed[key] = f"the FHIR server is not allowed: {error}"
            except CannotFetch as error:
                failed[key] = f"from the FHIR server: {error}"
        return found, failed

    def _whole(self, exchange: Exchange, request: HookRequest, template: Template, until: float) -> Any:
        """The answer to a template, all its pages in one Bundle; one that is not whole keeps its `next` link."""
        query = template.query.replace("{{context.patientId}}", quote(request.patient, safe=""))
        address = f"{request.server}/{query}"
        first, left = self._page(exchange, request, address, until, self._most)
        entries: list[Any] = []
        page = first
        if not _is_page(first):
            return first  # whether it is an answer to the template is judged where what was sent is, too
        for _ in range(_PAGES):
            entries += page.get("entry") or ()
            following = next_page(page)
            if not following:
                break
            # Some servers write it relative, and some name themselves otherwise than the client does.
            following = urljoin(address, following)
            if _origin(following) != _origin(request.server):
                break
            try:
                page, left = self._page(exchange, request, following, until, left)
            except CannotFetch:
                break
            if not _is_page(page):
                raise CannotFetch("a page that is no Bundle of entries")
        whole = {**first, "entry": entries}
        whole.pop("link", None)
        return {**whole, "link": [{"relation": "next", "url": "?"}]} if next_page(page) else whole

    @staticmethod
    def _page(
        exchange: Exchange, request: HookRequest, address: str, until: float, most: int
    ) -> tuple[Mapping[str, Any], int]:
        """One page, and how many bytes the pages after it may have."""
        headers = {"Accept": "application/fhir+json"}
        if request.token:
            headers["Authorization"] = f"Bearer {request.token}"
        body = exchange.get(address, seconds=max(0.01, until - time.monotonic()), most=most, headers=headers)
        try:
            content = _DECODER.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ArithmeticError):
            raise CannotFetch("the answer is no JSON") from None
        if not isinstance(content, dict) or not isinstance(content.get("resourceType"), str):
            raise CannotFetch("the answer is no FHIR resource")
        if content["resourceType"] == "OperationOutcome":
            raise CannotFetch("an OperationOutcome instead of data")
        return content, most - len(body)


def _is_page(resource: Mapping[str, Any]) -> bool:
    """Whether it is a Bundle whose entries and links can be read."""
    return resource["resourceType"] == "Bundle" and all(
        resource.get(name) is None or isinstance(resource[name], list) for name in ("entry", "link")
    )


def _origin(address: str) -> str:
    try:
        return origin_of(address, plain=True)
    except NotPermitted:
        return ""
