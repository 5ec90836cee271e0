"""A server that lets everybody wait: nobody waits for it longer than they said, and not one after the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from joserfc.jwk import ECKey

from cds.exchange import CannotFetch, Exchange, Permit
from cds.exchange.backend import Backend, Registration
from tests.exchange.servers import Server, says, serving, silence
from tests.exchange.test_client import LOOPBACK

KEY = ECKey.generate_key("P-384", {"kid": "exowatch-1"})


@pytest.fixture
def silent() -> Iterator[Server]:
    with serving(silence) as found:
        yield found


def backend_of(server: Server) -> Backend:
    registration = Registration(f"{server.base}/fhir", f"{server.base}/token", "exowatch", KEY)
    return Backend(registration, Exchange(Permit(frozenset({server.base}), LOOPBACK, plain=True)))


def waited(backend: Backend, seconds: float = 1.0) -> float:
    """How long somebody waited in vain."""
    started = time.monotonic()
    with pytest.raises(CannotFetch):
        backend.get("Patient/p1", seconds=seconds, most=10_000)
    return time.monotonic() - started


def test_callers_wait_for_a_token_together_and_not_in_a_row(silent: Server) -> None:
    backend, found = backend_of(silent), list[float]()
    callers = [threading.Thread(target=lambda: found.append(waited(backend))) for _ in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(found) == 6
    assert max(found) < 3
    assert len(silent.asked) == 1


def test_who_comes_after_somebody_waited_in_vain_is_told_at_once(silent: Server) -> None:
    backend = backend_of(silent)
    assert 0.9 < waited(backend) < 2.5
    assert waited(backend) < 0.8
    assert len(silent.asked) == 1


def test_a_refusal_that_comes_at_once_is_no_silence() -> None:
    with serving(says(b"", 403)) as server:
        backend = backend_of(server)
        for _ in range(2):
            waited(backend)
        assert len(server.asked) == 2


def test_a_token_is_forgotten_while_another_is_fetched(silent: Server) -> None:
    backend = backend_of(silent)
    fetching = threading.Thread(target=waited, args=(backend,))
    fetching.start()
    started = time.monotonic()
    backend.forget("old")
    assert time.monotonic() - started < 0.5
    fetching.join()
