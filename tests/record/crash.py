"""Lose the server, or the database, at random moments under load: `python -m tests.record.crash --rounds 50`.

After each loss every answer that a client got is on record, nothing stands there by half, and the audit holds.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import httpx2
from sqlalchemy import select

from cds.record import tables
from cds.record.audit import Checkpoints, verify
from cds.record.database import Database
from cds.workbench.synth.requests import hook_request
from tests.patients.archetypes import patient
from tests.record.postgresql import Cluster, binaries

_CLIENTS = 4
_NAMES = ("A01", "A29", "A30")


@dataclass(slots=True)
class Count:
    """What the rounds saw."""

    rounds: int = 0
    answered: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    cards: int = 0
    lost: int = 0
    broken: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        refused = ", ".join(f"{count} {kind}" for kind, count in sorted(self.refused.items())) or "none"
        return (
            f"{self.rounds} rounds, {self.answered} answered with {self.cards} cards, refused or cut off: {refused}; "
            f"{self.lost} acknowledged writes lost, {len(self.broken)} faults in the audit"
        )


class Server:
    """The service as an operator starts it, in a process of its own."""

    def __init__(self, address: str, folder: Path):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.base = f"http://127.0.0.1:{self.port}"
        self.checkpoints = folder / "checkpoints.jsonl"
        self._environment = {
            **os.environ,
            "EXOWATCH_DATABASE_URL": address,
            "EXOWATCH_CHECKPOINT_FILE": str(self.checkpoints),
            "EXOWATCH_DEADLINE_MS": "2000",
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "cds.cli", "serve", "--dev", "--port", str(self.port)]
        self.process = subprocess.Popen(
            command, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 60
        while True:
            try:
                if httpx2.get(f"{self.base}/health", timeout=2).status_code == 200:
                    return
            except httpx2.HTTPError:
                pass
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise RuntimeError("the service did not start")
            time.sleep(0.05)

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


def _load(server: Server, service: dict[str, Any], over: threading.Event, seed: int, seen: list[Any]) -> None:
    """A client that opens charts until it is told to stop; notes each answer."""
    rng = random.Random(seed)
    with httpx2.Client(timeout=5) as client:
        while not over.is_set():
            bundle = patient(rng.choice(_NAMES)).bundle(date(2025, 4, 28))
            body = hook_request(bundle, service)
            body["hookInstance"] = str(uuid.UUID(int=rng.getrandbits(128), version=4))
            body["fhirServer"] = f"https://ehr-{rng.randrange(50)}.example/fhir"
            try:
                answer = client.post(f"{server.base}/cds-services/{service['id']}", json=body)
            except httpx2.HTTPError:
                seen.append("connection")
                time.sleep(0.02)
                continue
            if answer.status_code == 200:
                seen.append([card["uuid"] for card in answer.json()["cards"]])
            else:
                seen.append(str(answer.status_code))
                time.sleep(0.02)


def _wait_for_an_answer(seen: list[Any], seconds: float = 30) -> None:
    """A loss before the first answer proves nothing, however slowly the machine starts."""
    deadline = time.monotonic() + seconds
    while not any(isinstance(one, list) for one in seen):
        if time.monotonic() > deadline:
            raise RuntimeError(f"no answer in {seconds:g} seconds under load: {Counter(map(str, seen))}")
        time.sleep(0.01)


def crash(address: str, victim: str, rounds: int, folder: Path, cluster: Cluster | None = None, seed: int = 1) -> Count:
    """So many rounds on one database; `victim` is "server" or "database"."""
    rng, count = random.Random(seed), Count()
    setup = Database(address, deadline=30)
    setup.upgrade()
    server = Server(address, folder)
    acknowledged: set[str] = set()
    try:
        server.start()
        services = httpx2.get(f"{server.base}/cds-services", timeout=10).json()["services"]
        service = next(one for one in services if one["hook"] == "patient-view")
        for number in range(rounds):
            over, seen = threading.Event(), []  # type: tuple[threading.Event, list[Any]]
            clients = [
                threading.Thread(
                    target=_load, args=(server, service, over, seed * 1000 + number * 10 + n, seen), daemon=True
                )
                for n in range(_CLIENTS)
            ]
            for client in clients:
                client.start()
            _wait_for_an_answer(seen)
            time.sleep(rng.uniform(0.15, 0.9))
            if victim == "server":
                server.kill()
                over.set()
            else:
                assert cluster is not None
                cluster.kill()
                time.sleep(rng.uniform(0.0, 0.3))
                cluster.start()
                time.sleep(0.3)
                over.set()
            for client in clients:
                client.join()
            for one in seen:
                if isinstance(one, str):
                    count.refused[one] += 1
                else:
                    count.answered += 1
                    count.cards += len(one)
                    acknowledged.update(one)
            if victim == "server":
                server.start()
            count.rounds += 1
            _judge(setup, server, acknowledged, count)
    finally:
        server.kill()
        setup.close()
    return count


def _judge(database: Database, server: Server, acknowledged: set[str], count: Count) -> None:
    database.engine.dispose()
    with database.reading() as connection:
        there = set(connection.execute(select(tables.card.c.id)).scalars())
        found = verify(connection, Checkpoints(server.checkpoints).read())
    count.lost += len(acknowledged - there)
    count.broken += found.broken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    rounds = parser.parse_args().rounds
    failed = False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs: list[tuple[str, str, Count]] = [
            ("sqlite", "server", crash(f"sqlite:///{folder}/record.sqlite", "server", rounds, folder / "1"))
        ]
        programs = binaries()
        if programs is not None:
            cluster = Cluster(programs)
            try:
                for victim in ("server", "database"):
                    address = cluster.new(f"crash_{victim}")
                    runs.append(("postgresql", victim, crash(address, victim, rounds, folder / victim, cluster)))
            finally:
                cluster.stop()
        else:
            sys.stdout.write("PostgreSQL is not installed: its rounds were left out\n")
        for kind, victim, count in runs:
            failed = failed or bool(count.lost or count.broken or not count.cards)
            sys.stdout.write(f"{kind}, {victim} killed: {count}\n")
            for fault in count.broken[:5]:
                sys.stdout.write(f"    {fault}\n")
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
