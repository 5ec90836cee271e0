"""Which servers may be asked, and how a connection to one is made: only to an address that was checked, and only in time."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLate
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpcore2

from cds.addresses import origin
from cds.errors import ExowatchError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_TRANSLATED = tuple(ipaddress.IPv6Network(one) for one in ("64:ff9b::/96", "::/96", "::ffff:0:0:0/96"))
"""Ranges whose last 32 bits are an IPv4 address: RFC 6052, RFC 4291 2.5.5.1, RFC 7915."""
_SPECIAL = tuple(ipaddress.ip_network(one) for one in ("64:ff9b:1::/48", "fec0::/10", "192.0.0.0/24"))
"""Ranges for local use that Python calls global in some of its versions: RFC 8215, RFC 3879, RFC 6890."""
_RESOLVING = 4


class NotPermitted(ExowatchError):
    """The address is none that may be asked; no connection was made to it."""


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
    outside: str = (
        "its name leads to an address outside the permitted ranges ('networks')"  # what is said of such a server
    )

    def check(self, address: str) -> None:
        """Raises `NotPermitted` unless the origin of an absolute URL is listed."""
        if origin_of(address, plain=self.plain) not in self.origins and not self.anywhere:
            raise NotPermitted("it is not on the list of this client's servers")

    def allows(self, address: str) -> bool:
        """Whether a connection to an IP address may be made."""
        found = _meant(ipaddress.ip_address(address.partition("%")[0]))
        if self.public and found.is_global and not found.is_multicast and not _is_special(found):
            return True
        return any(found in network for network in self.networks if network.version == found.version)


def origin_of(address: str, *, plain: bool = False) -> str:
    """Scheme, host and port of an absolute URL, in one spelling. Raises `NotPermitted` for what has none, or is not https."""
    try:
        found = origin(address)
    except ValueError:
        raise NotPermitted("the address is to be an absolute https address, without a user") from None
    if not (found.startswith("https://") or plain):
        raise NotPermitted("the address is to be an absolute https address")
    return found


def _meant(address: Address) -> Address:
    """The IPv4 address to which an IPv6 one leads: mapped, 6to4, translated by NAT64, or of the compatible kind."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    inside = address.ipv4_mapped or address.sixtofour
    if inside is None and any(address in network for network in _TRANSLATED) and int(address) > 1:
        inside = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return inside or address


def _is_special(address: Address) -> bool:
    return any(address in network for network in _SPECIAL if network.version == address.version)


class Checked(httpcore2.NetworkBackend):
    """Connects to a name only by an address that was checked: what is checked is what is connected to.

    All that a thread does on the network ends by the moment that it set with `by`: resolving, connecting, TLS, each read.
    """

    def __init__(self, permit: Permit):
        self._permit = permit
        self._backend = httpcore2.SyncBackend()
        self._until = threading.local()
        self._names = ThreadPoolExecutor(_RESOLVING, thread_name_prefix="resolve")

    def by(self, until: float) -> None:
        """Set until when (of `time.monotonic`) this thread waits."""
        self._until.moment = until

    def left(self, timeout: float | None) -> float:
        """Seconds that this thread may still wait. Raises `httpcore2.ReadTimeout` if there are none."""
        moment: float = getattr(self._until, "moment", float("inf"))
        left = min(float("inf") if timeout is None else timeout, moment - time.monotonic())
        if left <= 0:
            raise httpcore2.ReadTimeout("no time is left")
        return left

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        try:
            addresses = self._addresses(host.strip("[]"), port, timeout)
        except httpcore2.ConnectError:
            if self._permit.public:
                raise
            addresses = []  # whatever it is, it is none of the few that are permitted
        permitted = [address for address in addresses if self._permit.allows(address)]
        if not permitted:
            raise NotPermitted(self._permit.outside)
        failure: Exception = httpcore2.ConnectError("no address answers")
        for address in permitted:
            try:
                stream = self._backend.connect_tcp(address, port, self.left(timeout), local_address, socket_options)
                return _Timed(stream, self)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure

    def _addresses(self, host: str, port: int, timeout: float | None) -> list[str]:
        """What the name leads to; whoever resolves names can be slow too."""
        asking: Future[Any] = self._names.submit(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        try:
            found = asking.result(self.left(timeout))
        except TooLate:
            asking.cancel()
            raise httpcore2.ConnectTimeout("the name was not resolved in time") from None
        except (OSError, UnicodeError) as error:  # a name with an empty or too long label is none
            raise httpcore2.ConnectError("the name leads nowhere") from error
        return list(dict.fromkeys(str(one[4][0]) for one in found))

    def close(self) -> None:
        self._names.shutdown(wait=False, cancel_futures=True)


class _Timed(httpcore2.NetworkStream):
    """A connection on which nobody waits longer than the thread that uses it may."""

    def __init__(self, stream: httpcore2.NetworkStream, clock: Checked):
        self._stream, self._clock = stream, clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._clock.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._clock.left(timeout))

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, self._clock.left(timeout))
        return _Timed(stream, self._clock)

    def close(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
