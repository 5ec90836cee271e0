"""A small FHIR server over the resources of one patient, for the service to fetch from."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import unquote, urlsplit

from cds.service.discovery import asks_for
from tests.exchange.servers import says

Answer = Callable[[BaseHTTPRequestHandler], None]


def fhir_server(prefetch: Mapping[str, Any], *, page: int = 0, odd: Mapping[str, Answer] | None = None) -> Answer:
    """Answers searches and the read of the patient from a prefetch; `page` entries at a time; `odd` by resource type."""
    everything = [one for value in prefetch.values() if value["resourceType"] == "Bundle" for one in value["entry"]]

    def answer(request: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(request.path)
        kind, _, key = parts.path.removeprefix("/fhir/").partition("/")
        if odd and kind in odd:
            return odd[kind](request)
        if key and key != "_search":
            return says(json.dumps(prefetch["patient"]).encode())(request)
        form = request.rfile.read(int(request.headers.get("Content-Length", 0))).decode() if key else parts.query
        asked, _, at = form.partition("&at=")
        entries = [one for one in everything if asks_for(f"{kind}?{unquote(asked)}", one["resource"])]
        start = int(at or "0")
        bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset", "entry": entries[start:]}
        if page and start + page < len(entries):
            bundle["entry"] = entries[start : start + page]
            bundle["link"] = [{"relation": "next", "url": f"?{asked}&at={start + page}"}]
        return says(json.dumps(bundle).encode())(request)

    return answer
