"""The service under load, next to an endpoint of the same framework that only echoes: `python -m benchmarks.load`.

Calls bring 200 Observations. First as fast as several connections can (saturation), then at half of that rate, each call at
its own time whether or not those before it were answered. All of it shares the machine: service, load and database.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response

from cds.conformance.probe import Probe
from cds.workbench.synth import make_patient
from cds.workbench.synth.requests import hook_request

_PATH = "/cds-services/exowatch-patient-view"
_CONNECTIONS = 8


def echo() -> FastAPI:
    """An endpoint that reads the body and sends it back."""
    app = FastAPI(openapi_url=None)

    @app.post(_PATH)
    async def answer(request: Request) -> Response:
        return Response(await request.body(), media_type="application/json")

    return app


@contextmanager
def _served(command: list[str], environment: dict[str, str]) -> Iterator[str]:
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        address = next(said["address"] for said in map(json.loads, process.stderr) if said.get("event") == "serving")
        drain = subprocess.Popen([sys.executable, "-c", "import sys\nfor _ in sys.stdin: pass"], stdin=process.stderr)
        time.sleep(4)  # the other processes load their rules
        yield address
        drain.terminate()
    finally:
        process.terminate()
        process.wait(20)


def _bodies(base: str, count: int) -> list[bytes]:
    with Probe(base) as probe:
        service = next(one for one in probe.services if one["hook"] == "patient-view")
    found: list[bytes] = []
    for number in itertools.count():
        bundle = make_patient(3, number, visits=180).bundle
        kinds = [entry["resource"]["resourceType"] for entry in bundle["entry"]]
        if 190 <= kinds.count("Observation") <= 210:
            request = hook_request(bundle, service)
            request["hookInstance"] = str(uuid.UUID(int=number + 1, version=4))
            found.append(json.dumps(request).encode())
        if len(found) == count:
            return found
    raise AssertionError("a cohort has no end")


class _Connection:
    """One kept-alive connection."""

    def __init__(self, host: str, port: int):
        self._host, self._port = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def call(self, body: bytes) -> int:
        """Send, and wait for the answer; once more if the server had closed the idle connection meanwhile."""
        try:
            return await self._call(body)
        except (asyncio.IncompleteReadError, ConnectionError):
            self._streams = None
            return await self._call(body)

    async def _call(self, body: bytes) -> int:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        head = f"POST {_PATH} HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        told = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1]) for line in told.split(b"\r\n") if line.lower().startswith(b"content-length")
        )
        await reader.readexactly(length)
        return int(told.split(b" ", 2)[1])


async def _saturated(address: tuple[str, int], bodies: list[bytes], seconds: float) -> float:
    done = 0
    until = time.perf_counter() + seconds

    async def work(number: int) -> None:
        nonlocal done
        connection = _Connection(*address)
        while time.perf_counter() < until:
            await connection.call(bodies[(done + number) % len(bodies)])
            done += 1

    await asyncio.gather(*(work(number) for number in range(_CONNECTIONS)))
    return done / seconds


async def _paced(address: tuple[str, int], bodies: list[bytes], rate: float, seconds: float) -> tuple[list[float], int]:
    idle = [_Connection(*address) for _ in range(4 * _CONNECTIONS)]
    took: list[float] = []
    failed = 0

    async def one(number: int, at: float) -> None:
        nonlocal failed
        await asyncio.sleep(max(0.0, at - time.perf_counter()))
        connection = idle.pop() if idle else _Connection(*address)
        status = await connection.call(bodies[number % len(bodies)])
        took.append(time.perf_counter() - at)  # from when it was due, so that waiting counts
        failed += status != 200
        idle.append(connection)

    begin = time.perf_counter() + 0.1
    await asyncio.gather(*(one(number, begin + number / rate) for number in range(int(rate * seconds))))
    return sorted(took), failed


def _measured(name: str, base: str, bodies: list[bytes], seconds: float) -> None:
    host, _, port = base.partition("//")[2].partition(":")
    address = (host, int(port))
    asyncio.run(_saturated(address, bodies, 2))
    rate = asyncio.run(_saturated(address, bodies, seconds))
    took, failed = asyncio.run(_paced(address, bodies, rate / 2, seconds))
    shares = {share: took[min(len(took) - 1, int(len(took) * share / 100))] * 1000 for share in (50, 95, 99)}
    told = ", ".join(f"p{share} {value:.0f} ms" for share, value in shares.items())
    print(f"  {name}: {rate:.0f} calls a second at most; at half of that {told}; {failed} of {len(took)} not 200")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--echo", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.echo:
        sys.stderr.write(json.dumps({"event": "serving", "address": f"http://127.0.0.1:{arguments.echo}"}) + "\n")
        sys.stderr.flush()
        uvicorn.run(echo(), host="127.0.0.1", port=arguments.echo, log_level="critical", access_log=False)
        return
    for workers in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            plain = {name: value for name, value in os.environ.items() if not name.startswith("EXOWATCH_")}
            environment: dict[str, Any] = {
                **plain,
                "EXOWATCH_DATABASE_URL": f"sqlite:///{Path(folder) / 'record.sqlite'}",
            }
            command = [sys.executable, "-m", "cds.cli", "serve", "--dev", "--port", "0", "--workers", str(workers)]
            print(f"{workers} worker{'s' * (workers > 1)}, 200 Observations a call")
            with _served(command, environment) as base:
                bodies = _bodies(base, 40)
                print(f"  {sum(map(len, bodies)) // len(bodies):,} bytes a call")
                if workers == 1:
                    with _served([sys.executable, "-m", "benchmarks.load", "--echo", "8699"], environment) as other:
                        _measured("echo", other, bodies, arguments.seconds)
                _measured("service", base, bodies, arguments.seconds)


if __name__ == "__main__":
    main()
