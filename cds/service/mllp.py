"""Listens for HL7 v2 messages over MLLP; each is answered once it is stored.

A message stands between <VT> and <FS><CR>. What comes outside of a frame, is too long or stays unfinished ends the
connection: the sender has no acknowledgement, and sends it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cds.errors import ExowatchError
from cds.service.logs import WARNING, note

_START, _END = b"\x0b", b"\x1c\r"
_IDLE = 3600.0
_UNFINISHED = 30.0
_CONNECTIONS = 64
_KEPT_ALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
"""Whether the other side is still there is asked after a minute of silence: one that went without a word is gone in two."""

Answer = Callable[[bytes, str], bytes]
"""The acknowledgement of a message that came from an address."""


class CannotListen(ExowatchError):
    """The address cannot be listened on; says why and what to do."""


class Listener:
    """An MLLP listener in a thread of its own, between `start` and `stop`; `port` is the one it listens on.

    `tls`: the server's side; without it messages come in the clear.
    """

    def __init__(self, host: str, port: int, answer: Answer, *, most: int, tls: ssl.SSLContext | None = None):
        self.host, self.port = host, port
        self._answer, self._most, self._tls = answer, most, tls
        self.tls = tls is not None
        self._loop = asyncio.new_event_loop()
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="mllp")
        self._thread = threading.Thread(target=self._loop.run_forever, name="mllp", daemon=True)
        self._connections: set[asyncio.Task[None]] = set()
        self._idle: dict[asyncio.Task[None], None] = {}  # between messages, the longest first
        self._server: asyncio.Server | None = None

    def start(self) -> None:
        """Raises `CannotListen`."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)

    def stop(self) -> None:
        """End all connections. What was stored and could not be answered is sent again, and known."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(15)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()
        self._threads.shutdown()

    async def _listen(self) -> None:
        try:
            self._server = await asyncio.start_server(
                self._connected, self.host, self.port, limit=self._most + len(_END), ssl=self._tls
            )
        except OSError as error:
            raise CannotListen(
                f"cannot listen for MLLP on {self.host}:{self.port}: {error.strerror}. Another program may use the port"
            ) from error
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await asyncio.sleep(0)  # what was closed last is told so in the next turn of the loop

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # this runs in one
        if len(self._connections) >= _CONNECTIONS:
            note("mllp", WARNING, ended="too many connections")
            if not self._idle:
                writer.close()
                return
            # Whoever has something to say comes in: a sender that was idle connects anew when it has.
            waiting = next(iter(self._idle))
            self._busy(waiting)
            waiting.cancel()
        self._connections.add(task)
        _keep_alive(writer)
        try:
            await self._serve(reader, writer, task)
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError) as error:
            note("mllp", ended=type(error).__name__)
        except asyncio.LimitOverrunError:
            note("mllp", WARNING, ended="a message longer than is read")
        except asyncio.CancelledError:
            pass  # the service stops, or somebody else comes in
        finally:
            self._connections.discard(task)
            self._busy(task)
            writer.close()
            with contextlib.suppress(OSError, ssl.SSLError, asyncio.CancelledError):
                await writer.wait_closed()

    def _busy(self, task: asyncio.Task[None]) -> None:
        self._idle.pop(task, None)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, task: asyncio.Task[None]
    ) -> None:
        peer = str(writer.get_extra_info("peername", ("?",))[0])
        while True:
            self._idle[task] = None
            first = await asyncio.wait_for(reader.read(1), _IDLE)
            self._busy(task)
            if not first:
                return
            if first in b"\r\n":  # some end a frame twice
                continue
            if first != _START:
                note("mllp", WARNING, ended="no frame")
                return
            frame = await asyncio.wait_for(reader.readuntil(_END), _UNFINISHED)
            message = frame.removesuffix(_END)
            # Once begun it is answered, whatever becomes of the service meanwhile.
            answer = await asyncio.shield(self._loop.run_in_executor(self._threads, self._answer, message, peer))
            writer.write(_START + answer + _END)
            await writer.drain()


def _keep_alive(writer: asyncio.StreamWriter) -> None:
    line: socket.socket = writer.get_extra_info("socket")
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEPT_ALIVE.items():
        if hasattr(socket, name):  # not everywhere
            line.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def server_tls(certificate: Path, key: Path | None, clients: Path | None) -> ssl.SSLContext:
    """TLS of the listener; with `clients`, a file of certificates, only senders that have one signed by them are answered."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    if clients is not None:
        context.load_verify_locations(clients)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
