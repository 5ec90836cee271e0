"""The public keys of a client: pinned in a file, or fetched from an address that the site lists for it.

Keys rotate: a pinned file is read again when it changes, a fetched set when it is old, or once a minute at most when a token
names a key that is not in it.
"""

from __future__ import annotations

import json
import threading
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey, import_key

from cds.errors import ExowatchError
from cds.exchange import CannotFetch, Exchange, NotPermitted, Permit
from cds.service.logs import ERROR, note

Key = ECKey | RSAKey

_OLD = 3600.0
_AGAIN = 60.0
_SECONDS, _MOST = 2.0, 200_000
_WAITING = 4
"""Callers that wait for one set at one time: whoever invents key ids holds up no more."""
_SHORTEST_RSA = 2048

PUBLIC_KEYS = frozenset(
    {
        "s9fOe-KDYD1myZ8YCzleUqJQgrYZL49kVijBxhnZvZc",  # cds-hooks/sandbox: keys/
        "RBFgQFFUIf4hfG8iUUZrf3vFZ_V2r3YRGPx9nKJXk5M",  # inferno-framework/davinci-crd-test-kit: crd_jwks.json
        "Q7fgcIzqt0bVAKsWaw_FyUFSDDpOTfsGdGtjJmAnzFY",  # the same, RSA
        "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",  # RFC 7517, appendix A
    }
)
"""RFC 7638 thumbprints of keys whose private half is public: anybody can sign with them."""


class Holder(Protocol):
    """Whose keys they are."""

    @property
    def name(self) -> str: ...
    @property
    def pinned(self) -> Path | None: ...
    @property
    def jku(self) -> tuple[str, ...]: ...
    @property
    def keys(self) -> Permit: ...


class NoKey(ExowatchError):
    """There is no key by which a token can be verified."""


@dataclass(slots=True)
class _Set:
    keys: Mapping[str, Key] = field(default_factory=dict)
    stamp: Any = None  # of the file, or when it was fetched
    tried: float = float("-inf")
    read: float = float("-inf")  # when it was last found as it should be
    fetched: threading.Event = field(default_factory=threading.Event)  # cleared while it is fetched
    waiting: int = 0  # who needs a key that is being fetched
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fresh(self, kid: str, now: float) -> Key | None:
        """The key of that id; None if the set is so old that it may have been taken back since."""
        return None if self.stamp is None or now - self.stamp > 2 * _OLD else self.keys.get(kid)


class KeyRing:
    """The keys of all clients; safe to share between threads. `open_mode` takes keys whose private half is public."""

    def __init__(self, *, open_mode: bool = False, clock: Callable[[], float] = time.monotonic):
        self._open_mode = open_mode
        self._clock = clock
        self._sets: dict[str, _Set] = {}
        self._exchanges: dict[str, Exchange] = {}
        self._lock = threading.Lock()

    def key(self, client: Holder, kid: str, jku: str | None) -> Key:
        """The key of that id. A token's `jku` is looked at only if the client's entry lists it. Raises `NoKey`."""
        if jku is not None and client.jku and jku not in client.jku:
            raise NoKey
        if client.pinned is not None:
            found = self._pinned(client).get(kid)
            if found is not None:
                return found
        for address in (jku,) if jku is not None and jku in client.jku else client.jku:
            found = self._fetched(client, address, kid)
            if found is not None:
                return found
        raise NoKey

    def _set(self, name: str) -> _Set:
        with self._lock:
            return self._sets.setdefault(name, _Set())

    def _pinned(self, client: Holder) -> Mapping[str, Key]:
        assert client.pinned is not None  # the caller has looked
        known = self._set(f"file {client.name}")
        with known.lock:
            now = self._clock()
            try:
                stat = client.pinned.stat()
                if known.stamp != (stat.st_mtime_ns, stat.st_size):
                    known.keys = self._read(client.pinned.read_bytes())
                    known.stamp = (stat.st_mtime_ns, stat.st_size)
                known.read = now
            except FileNotFoundError:
                known.keys, known.stamp = {}, None  # so is a client shut out
                note("keys", ERROR, client=client.name, error="FileNotFoundError")
            except (OSError, ValueError, RecursionError) as error:
                # It may be half written: what was there holds for a while.
                if now - known.read > 2 * _OLD:
                    known.keys, known.stamp = {}, None
                note("keys", ERROR, client=client.name, error=type(error).__name__)
            return known.keys

    def _fetched(self, client: Holder, address: str, kid: str) -> Key | None:
        known = self._set(f"{client.name} {address}")
        with known.lock:
            now = self._clock()
            old = known.stamp is None or now - known.stamp > _OLD
            fetches = (old or kid not in known.keys) and now - known.tried >= _AGAIN
            if fetches:
                known.tried = now
                known.fetched.clear()
            elif kid not in known.keys and not known.fetched.is_set() and known.waiting < _WAITING:
                known.waiting += 1
            else:
                return known.fresh(kid, now)
        if fetches:
            self._fetch(client, address, known)
        else:
            known.fetched.wait(_SECONDS)
        with known.lock:
            known.waiting -= not fetches
            return known.fresh(kid, self._clock())

    def _fetch(self, client: Holder, address: str, known: _Set) -> None:
        """Fetch a set while others go on with the keys that are there: its server may be slow."""
        try:
            body = self._exchange(client).get(
                address, seconds=_SECONDS, most=_MOST, headers={"Accept": "application/json"}
            )
            keys = self._read(body)
            with known.lock:
                known.keys, known.stamp = keys, self._clock()
        except (NotPermitted, CannotFetch, ValueError, RecursionError) as error:
            note("keys", ERROR, client=client.name, error=type(error).__name__)
        finally:
            known.fetched.set()

    def _exchange(self, client: Holder) -> Exchange:
        with self._lock:
            if client.name not in self._exchanges:
                self._exchanges[client.name] = Exchange(client.keys)
            return self._exchanges[client.name]

    def _read(self, body: bytes) -> dict[str, Key]:
        """The usable keys of a JWK Set by id. Raises ValueError for what is none."""
        content = json.loads(body)
        stated = content.get("keys") if isinstance(content, dict) else None
        if not isinstance(stated, list):
            raise ValueError("it is no JWK Set")
        found: dict[str, Key] = {}
        for one in stated[:100]:
            key = self._usable(one)
            if key is not None:
                found.setdefault(one["kid"], key)
        return found

    def _usable(self, stated: Any) -> Key | None:
        """A public EC or RSA key for signatures, long enough, with an id; None for any other."""
        if not isinstance(stated, dict) or not isinstance(stated.get("kid"), str) or not stated["kid"]:
            return None
        if stated.get("kty") not in ("EC", "RSA") or stated.get("use", "sig") != "sig" or "d" in stated:
            return None
        operations = stated.get("key_ops", ["verify"])
        if not isinstance(operations, list) or "verify" not in operations:
            return None
        try:
            if stated["kty"] == "RSA" and _bits(stated["n"]) < _SHORTEST_RSA:
                return None
            key = import_key({name: value for name, value in stated.items() if name in _MEMBERS})
            public = key.thumbprint() in PUBLIC_KEYS
        except (JoseError, KeyError, ValueError, TypeError):
            return None
        if not isinstance(key, (ECKey, RSAKey)) or (public and not self._open_mode):
            return None
        return key


def _bits(number: str) -> int:
    """How long a base64url number is."""
    return int.from_bytes(urlsafe_b64decode(number + "=" * (-len(number) % 4)), "big").bit_length()


_MEMBERS = frozenset({"kty", "crv", "x", "y", "n", "e", "kid", "alg", "use"})
