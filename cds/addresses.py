"""Addresses of web servers in one spelling, so that the same server is never taken for two, nor two for the same."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

_PRINTABLE = re.compile(r"[!-~]+")
_NAME = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63}){0,126}")
_DEFAULT_PORTS = {"https": 443, "http": 80}


def origin(address: str) -> str:
    """Scheme, host and port of an absolute address, small letters, no default port. Raises `ValueError` for what has none."""
    parts = _parts(address)
    host = parts.hostname or ""
    if ":" in host and "%" not in host:
        host = f"[{ipaddress.IPv6Address(host).compressed}]"
    elif not _NAME.fullmatch(host := host.removesuffix(".")):
        raise ValueError("its host is no name")
    port = "" if parts.port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


def base(address: str) -> str:
    """The base URL of a server: its origin and path, without a slash at the end. Raises `ValueError` for what is none, or more."""
    parts = _parts(address)
    if "?" in address or "#" in address:
        raise ValueError("it says more than where a server is")
    return origin(address) + parts.path.rstrip("/")


def _parts(address: str) -> SplitResult:
    if not _PRINTABLE.fullmatch(address):
        raise ValueError("it is no address")
    parts = urlsplit(address)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or parts.username is not None:
        raise ValueError("it is no absolute http address without a user")
    return parts
