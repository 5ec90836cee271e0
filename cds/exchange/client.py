"""One HTTP client for everything that is fetched: key sets and FHIR resources.

An address comes from a request, so it is not to be trusted: its origin must be listed, and the address that its name leads to
must lie in a permitted range *when the connection is made* (a name can lead elsewhere a moment later). Redirects are not
followed, proxies of the environment not used, and an answer that is too long or too slow is cut off.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpcore2
import httpx2

from cds.errors import ExowatchError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_DEFAULT_PORTS = {"https": 443, "http": 80}


class NotPermitted(ExowatchError):
    """The address is none that may be asked; no connection was made to it."""


class CannotFetch(ExowatchError):
    """What was asked for could not be had: no answer in time, one that is too long, or another status than 200.

    `status` is the answer's, 0 if there was none.
    """

    def __init__(self, text: str, status: int = 0):
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Permit:
    """Which servers may be asked.

    `origins` are `https://host` or `https://host:port`; `networks` are the ranges, beside all public addresses, in which a
    server may have its address (hospitals live in private ones). `authority` is a file of certificates to trust instead of
    the system's. `plain` allows http, for development.
    """

    origins: frozenset[str]
    networks: tuple[Network, ...] = ()
    authority: Path | None = None
    plain: bool = False
    public: bool = True  # whether public addresses are permitted at all
    anywhere: bool = False  # any origin, at a permitted address; for development

    def check(self, address: str) -> None:
        """Raises `NotPermitted` unless the origin of an absolute URL is listed."""
        if origin_of(address, plain=self.plain) not in self.origins and not self.anywhere:
            raise NotPermitted("the address is not on the list of this client's servers")

    def allows(self, address: str) -> bool:
        """Whether a connection to an IP address may be made."""
        found = ipaddress.ip_address(address.partition("%")[0])
        if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        if self.public and found.is_global and not found.is_multicast:
            return True
        return any(found in network for network in self.networks if network.version == found.version)


def origin_of(address: str, *, plain: bool = False) -> str:
    """Scheme, host and port of an absolute URL, in one spelling. Raises `NotPermitted` for what has none, or is not https."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        raise NotPermitted("the address cannot be read") from None
    schemes = ("https", "http") if plain else ("https",)
    if parts.scheme not in schemes or not parts.hostname or parts.username is not None or parts.password is not None:
        raise NotPermitted("the address is to be an absolute https address, without a user")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname.rstrip(".")
    return f"{parts.scheme}://{host}" + ("" if port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{port}")


class Exchange:
    """Fetches from the servers of one permit; safe to share between threads."""

    def __init__(self, permit: Permit):
        self.permit = permit
        self._client = httpx2.Client(
            transport=_Transport(permit), follow_redirects=False, trust_env=False,
            headers={"Accept-Encoding": "identity", "User-Agent": "exowatch"},
        )  # fmt: skip

    def close(self) -> None:
        self._client.close()

    def get(self, address: str, *, seconds: float, most: int, headers: Mapping[str, str] | None = None) -> bytes:
        """The body of a 200 answer, all of it within `seconds`, at most `most` bytes.

        Raises `NotPermitted` (nothing was sent) and `CannotFetch`.
        """
        self.permit.check(address)
        until = time.monotonic() + seconds
        timeout = httpx2.Timeout(max(seconds, 0.001))
        body = bytearray()
        try:
            with self._client.stream("GET", address, headers=headers, timeout=timeout) as answer:
                if answer.status_code != 200:
                    raise CannotFetch(f"the server answered with status {answer.status_code}", answer.status_code)
                if answer.headers.get("content-encoding", "identity") != "identity":
                    raise CannotFetch("the answer is compressed, though none was asked for")
                for chunk in answer.iter_raw():
                    body += chunk
                    if len(body) > most:
                        raise CannotFetch(f"the answer is longer than {most} bytes")
                    if time.monotonic() > until:  # each read was in time, all of them together are not
                        raise CannotFetch("the answer did not come in time")
        except httpx2.TimeoutException:
            raise CannotFetch("the server did not answer in time") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
            raise CannotFetch(f"the server cannot be reached ({type(error).__name__})") from None
        return bytes(body)


class _Transport(httpx2.BaseTransport):
    """Connections that are made by `_Checked`."""

    def __init__(self, permit: Permit):
        context = ssl.create_default_context(cafile=permit.authority)
        self._pool = httpcore2.ConnectionPool(
            ssl_context=context, max_connections=32, keepalive_expiry=15.0, network_backend=_Checked(permit)
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
        except (httpcore2.NetworkError, httpcore2.ProtocolError, OSError) as error:
            raise httpx2.ConnectError(type(error).__name__) from error
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


class _Checked(httpcore2.NetworkBackend):
    """Connects to a name only by an address that was checked: what is checked is what is connected to."""

    def __init__(self, permit: Permit):
        self._permit = permit
        self._backend = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        try:
            found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpcore2.ConnectError("the name leads nowhere") from error
        addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
        permitted = [address for address in addresses if self._permit.allows(address)]
        if not permitted:
            raise httpcore2.ConnectError("the name leads to an address outside the permitted ranges")
        failure: Exception = httpcore2.ConnectError("no address answers")
        for address in permitted:
            try:
                return self._backend.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure
