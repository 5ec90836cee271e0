"""Connections of the web server: one that sends no whole request head in time is closed, and holds nobody else up."""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_HEAD_SECONDS = 10.0
_MOST = 512
"""Connections at one time in one process; the descriptors of a process often end at 1,024."""


class Punctual(H11Protocol):
    """A connection of uvicorn's that is closed unless the head of its next request comes within ten seconds of its first byte."""

    _head: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        if len(self.connections) > _MOST:
            transport.close()
            return
        self._expect()

    def data_received(self, data: bytes) -> None:
        if self._head is None and self.conn.their_state is h11.IDLE:
            self._expect()
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._arrived()

    def connection_lost(self, exc: Exception | None) -> None:
        self._arrived()
        super().connection_lost(exc)

    def _expect(self) -> None:
        self._head = self.loop.call_later(_HEAD_SECONDS, self._too_late)

    def _arrived(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _too_late(self) -> None:
        self._head = None
        if not self.transport.is_closing():
            self.transport.close()
