"""A body of any length through the same one way out: as it was sent, in time, and from listed servers only."""

from __future__ import annotations

import time
from http.server import BaseHTTPRequestHandler

import pytest

from cds.exchange import CannotFetch, Exchange, NotPermitted, Permit
from tests.exchange.servers import Answer, Server, drip, drip_heads, says, serving, silence
from tests.exchange.test_client import permit


def had(server: Server, allowed: Permit, seconds: float = 5.0) -> tuple[int, bytes]:
    exchange = Exchange(allowed)
    try:
        with exchange.stream(f"{server.base}/x", seconds=seconds, headers={"Accept-Encoding": "gzip"}) as answer:
            return answer.status, b"".join(answer.pieces())
    finally:
        exchange.close()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (says(b"y" * 3_000_000), (200, b"y" * 3_000_000)),
        (says(b"\x1f\x8b as it was sent", Content_Encoding="gzip"), (200, b"\x1f\x8b as it was sent")),
        (says(b"no", 404), (404, b"no")),
        (says(b"", 302, Location="https://elsewhere.example/"), (302, b"")),
    ],
    ids=["long", "packed", "refused", "redirected"],
)
def test_an_answer_is_had_as_it_was_sent(answer: Answer, expected: tuple[int, bytes]) -> None:
    with serving(answer) as server:
        assert had(server, permit(server)) == expected
        assert len(server.asked) == 1


@pytest.mark.parametrize("answer", [drip, drip_heads, silence])
def test_what_comes_too_slowly_is_cut_off(answer: Answer) -> None:
    with serving(answer) as server:
        started = time.monotonic()
        with pytest.raises(CannotFetch, match="in time"):
            had(server, permit(server), 0.5)
        assert time.monotonic() - started < 3


def test_a_long_body_may_take_longer_than_a_piece_of_it() -> None:
    def slowly(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        for _ in range(6):
            request.wfile.write(b"z" * 70_000)
            time.sleep(0.3)

    with serving(slowly) as server:
        assert had(server, permit(server), 1.5) == (200, b"z" * 420_000)


def test_a_server_that_is_not_listed_is_not_asked() -> None:
    with serving(says(b"x")) as server:
        with pytest.raises(NotPermitted):
            had(server, permit())
        exchange = Exchange(permit())
        with pytest.raises(NotPermitted):
            exchange.answer("DELETE", f"{server.base}/x", seconds=1, most=10)
        exchange.close()
        assert server.asked == []


@pytest.mark.parametrize("status", [200, 202, 404, 500])
def test_an_answer_of_any_status_is_told_with_what_it_says(status: int) -> None:
    with serving(says(b"words", status, Retry_After="7")) as server:
        exchange = Exchange(permit(server))
        answer = exchange.answer("GET", f"{server.base}/x", seconds=5, most=10)
        assert (answer.status, answer.headers["retry-after"], answer.body) == (status, "7", b"words")
        with pytest.raises(CannotFetch, match="longer than 4 bytes"):
            exchange.answer("GET", f"{server.base}/x", seconds=5, most=4)
        exchange.close()
