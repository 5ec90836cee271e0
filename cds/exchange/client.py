"""One HTTP client for everything that is fetched: key sets and FHIR resources.

An address comes from a request, so it is not to be trusted: its origin must be listed, and the address that its name leads to
must lie in a permitted range *when the connection is made* (a name can lead elsewhere a moment later). Redirects are not
followed, proxies of the environment not used, and an answer that is too long or too slow is cut off.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpcore2
import httpx2

from cds.errors import ExowatchError
from cds.exchange.network import Checked, Permit

_SOME = 65_536
"""Bytes of a download that are to come within the time that its caller gives: one that drips is cut off, however long it is."""


class CannotFetch(ExowatchError):
    """What was asked for could not be had: no answer in time, one that is too long, or another status than 200.

    `status` is the answer's, 0 if there was none.
    """

    def __init__(self, text: str, status: int = 0):
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered, whatever its status."""

    status: int
    headers: Mapping[str, str]  # found by name in any spelling
    body: bytes


class Download:
    """An answer whose body is taken piece by piece, as it was sent: what is compressed stays so."""

    def __init__(self, answer: httpx2.Response, further: Callable[[], None]):
        self.status: int = answer.status_code
        self.headers: Mapping[str, str] = answer.headers
        self._answer, self._further = answer, further

    def pieces(self) -> Iterator[bytes]:
        """The body. Inside `Exchange.stream` all that goes wrong on the way is raised as `CannotFetch`."""
        came = 0
        for piece in self._answer.iter_raw():
            came += len(piece)
            if came >= _SOME:
                self._further()
                came = 0
            yield piece

    def start(self, most: int) -> bytes:
        """The first bytes of the body, for what a refusal says."""
        found = bytearray()
        for piece in self.pieces():
            found += piece
            if len(found) >= most:
                break
        return bytes(found[:most])


class Exchange:
    """Fetches from the servers of one permit; safe to share between threads."""

    def __init__(self, permit: Permit):
        self.permit = permit
        self._network = Checked(permit)
        self._client = httpx2.Client(
            transport=_Transport(permit, self._network), cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])), follow_redirects=False, trust_env=False,
            headers={"Accept-Encoding": "identity", "User-Agent": "exowatch"},
        )  # fmt: skip

    def close(self) -> None:
        self._client.close()
        self._network.close()

    def get(self, address: str, *, seconds: float, most: int, headers: Mapping[str, str] | None = None) -> bytes:
        """The body of a 200 answer, all of it within `seconds`, at most `most` bytes.

        Raises `NotPermitted` (nothing was sent, be it for the address that the name leads to) and `CannotFetch`.
        """
        return self._ask("GET", address, seconds, most, headers or {})

    def post(
        self,
        address: str,
        fields: Mapping[str, str],
        *,
        seconds: float,
        most: int,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """The body of a 200 answer to a form, as `get` has it."""
        return self._ask("POST", address, seconds, most, {"Accept": "application/json", **(headers or {})}, fields)

    def _ask(
        self,
        method: str,
        address: str,
        seconds: float,
        most: int,
        headers: Mapping[str, str],
        fields: Mapping[str, str] | None = None,
    ) -> bytes:
        body = bytearray()
        with self._opened(method, address, seconds, headers, fields) as answer:
            if answer.status_code != 200:
                raise CannotFetch(f"the server answered with status {answer.status_code}", answer.status_code)
            _whole(answer, most, body)
        return bytes(body)

    def answer(
        self, method: str, address: str, *, seconds: float, most: int, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """The whole answer to a request without a body, whatever its status; limits and errors as `get` has them."""
        body = bytearray()
        with self._opened(method, address, seconds, headers or {}) as answer:
            _whole(answer, most, body)
        return Answer(answer.status_code, answer.headers, bytes(body))

    @contextmanager
    def stream(self, address: str, *, seconds: float, headers: Mapping[str, str] | None = None) -> Iterator[Download]:
        """An answer of any length and status; its head, and each further 64 KiB of it, are to come within `seconds`.

        Raises `NotPermitted` and `CannotFetch` as `get` does, also while the body is read inside the context.
        """
        with self._opened("GET", address, seconds, headers or {}) as answer:
            yield Download(answer, lambda: self._network.by(time.monotonic() + seconds))

    @contextmanager
    def _opened(
        self,
        method: str,
        address: str,
        seconds: float,
        headers: Mapping[str, str],
        fields: Mapping[str, str] | None = None,
    ) -> Iterator[httpx2.Response]:
        self.permit.check(address)
        self._network.by(time.monotonic() + seconds)
        timeout = httpx2.Timeout(max(seconds, 0.001))
        try:
            with self._client.stream(method, address, headers=headers, data=fields, timeout=timeout) as answer:
                yield answer
        except httpx2.TimeoutException:
            raise CannotFetch("the server did not answer in time") from None
        except (httpx2.ConnectError, httpx2.InvalidURL, UnicodeEncodeError):
            raise CannotFetch("the server cannot be reached") from None
        except (httpx2.HTTPError, httpx2.StreamError):
            raise CannotFetch("the server cannot be reached: it breaks off, or what it answers is no HTTP") from None


def _whole(answer: httpx2.Response, most: int, body: bytearray) -> None:
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise CannotFetch("the answer is compressed, though none was asked for")
    for chunk in answer.iter_raw():
        body += chunk
        if len(body) > most:
            raise CannotFetch(f"the answer is longer than {most} bytes")


class _Transport(httpx2.BaseTransport):
    """Connections that are made by `Checked`."""

    def __init__(self, permit: Permit, network: Checked):
        context = ssl.create_default_context(cafile=permit.authority)
        self._pool = httpcore2.ConnectionPool(
            ssl_context=context, max_connections=32, keepalive_expiry=15.0, network_backend=network
        )

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        asked = httpcore2.Request(
            request.method,
            httpcore2.URL(
                scheme=request.url.raw_scheme, host=request.url.raw_host, port=request.url.port, target=request.url.raw_path
            ),
            headers=request.headers.raw,
            content=request.read(),
            extensions=request.extensions,
        )  # fmt: skip
        try:
            answer = self._pool.handle_request(asked)
        except (httpcore2.TimeoutException, TimeoutError) as error:
            raise httpx2.ReadTimeout("no answer in time") from error
        except httpcore2.ConnectError as error:
            raise httpx2.ConnectError("nobody there, or nobody who is trusted") from error
        except (httpcore2.NetworkError, httpcore2.ProtocolError, OSError) as error:
            raise httpx2.ReadError(type(error).__name__) from error
        return httpx2.Response(answer.status, headers=answer.headers, stream=_Body(answer))

    def close(self) -> None:
        self._pool.close()


class _Body(httpx2.SyncByteStream):
    def __init__(self, answer: httpcore2.Response):
        self._answer = answer

    def __iter__(self) -> Any:
        try:
            yield from self._answer.iter_stream()
        except (httpcore2.TimeoutException, TimeoutError) as error:
            raise httpx2.ReadTimeout("no more in time") from error
        except (httpcore2.NetworkError, httpcore2.ProtocolError, OSError) as error:
            raise httpx2.ReadError(type(error).__name__) from error

    def close(self) -> None:
        self._answer.close()
