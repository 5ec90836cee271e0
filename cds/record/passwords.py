"""Passwords: the rule for them, their hashes (argon2id), and random ones for somebody else to change."""

from __future__ import annotations

import functools
import secrets
import threading
import unicodedata

from argon2 import Parameters, PasswordHasher, profiles
from argon2.exceptions import InvalidHashError, VerificationError

from cds.errors import ExowatchError
from cds.record.database import RecordUnavailable

SHORTEST, LONGEST = 12, 128
_HASHER = PasswordHasher.from_parameters(profiles.RFC_9106_LOW_MEMORY)
# A hash takes 64 MiB and most of a core: whoever sends passwords by the thousand is not to take the machine.
_TURNS = threading.BoundedSemaphore(2)
_PATIENCE = 1.0
_CLEAR = "abcdefghjkmnpqrstuvwxyz23456789"  # none of them looks like another


class WeakPassword(ExowatchError):
    """The password cannot be used; says what a password has to be."""


class TooManyAtOnce(RecordUnavailable):
    """More is asked for at once than this process has turns for."""


def cost(parameters: Parameters) -> None:
    """Make hashes at another cost from now on, in this process. Those of before still match."""
    global _HASHER
    _HASHER = PasswordHasher.from_parameters(parameters)
    _decoy.cache_clear()


def hashed(password: str, name: str) -> str:
    """The hash of a new password for the account of that name. Raises `WeakPassword`, `TooManyAtOnce`."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise WeakPassword(
            f"A password has at least {SHORTEST} and at most {LONGEST} characters; several words are best"
        )
    if _one_spelling(password).lower() == _one_spelling(name).lower():
        raise WeakPassword("The password is the login name: choose another")
    with _Turn():
        return _HASHER.hash(_one_spelling(password))


def matches(kept: str, password: str) -> bool:
    """Whether a password has that hash; with "" for a hash the same work is done, and nothing matches.

    Raises `TooManyAtOnce`.
    """
    decoy = _decoy()
    if len(password) > LONGEST:
        password, kept = password[:LONGEST], ""
    with _Turn():
        try:
            return _HASHER.verify(kept or decoy, _one_spelling(password)) and bool(kept)
        except (VerificationError, InvalidHashError):
            return False


def is_same(one: str, other: str) -> bool:
    """Whether both are one password, whichever way they were typed."""
    return _one_spelling(one) == _one_spelling(other)


def is_outdated(kept: str) -> bool:
    """Whether a hash was made with other parameters than new ones are."""
    return _HASHER.check_needs_rehash(kept)


def generated() -> str:
    """A random password that can be read out: about 99 bits."""
    return "-".join("".join(secrets.choice(_CLEAR) for _ in range(5)) for _ in range(4))


def _one_spelling(password: str) -> str:
    """The same characters for the same keys, whichever way a keyboard composes them."""
    return unicodedata.normalize("NFC", password)


@functools.cache
def _decoy() -> str:
    return _HASHER.hash(secrets.token_hex(16))


class _Turn:
    def __enter__(self) -> None:
        if not _TURNS.acquire(timeout=_PATIENCE):
            raise TooManyAtOnce("too many passwords are checked at once")

    def __exit__(self, *_: object) -> None:
        _TURNS.release()
