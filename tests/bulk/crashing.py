"""Fetch an export again and again, killed at every step that it takes on disk or network in turn, and then once to its end.

python -m tests.bulk.crashing SERVER FOLDER      # prints a line of JSON for each step: how it was killed, and what was there then
"""

from __future__ import annotations

import ipaddress
import json
import os
import signal
import sys
from pathlib import Path

from cds.exchange import Exchange, Permit
from cds.exchange.bulk import Bulk, Wanted
from cds.exchange.export import fetch
from cds.exchange.network import origin_of
from cds.exchange.pace import Pace

_STEPS = frozenset({"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "socket.connect"})


class _Silent:
    def tell(self, text: str) -> None:
        pass

    def files(self, done: int, total: int) -> None:
        pass

    def came(self, count: int) -> None:
        pass


def main(server: str, root: Path, stride: int) -> None:
    """Until a call is through before it is killed."""
    where = origin_of(server, plain=True)
    exchange = Exchange(Permit(frozenset({where}), (ipaddress.ip_network("127.0.0.0/8"),), plain=True))
    bulk = Bulk(exchange, None, frozenset({where}), Pace(first=0.0, least=0.0), lambda text: None)
    wanted, step, killed = Wanted(server, types=("Patient",)), 1 - stride, True
    while killed:
        step += stride
        folder = root / str(step)
        killed = _call(wanted, bulk, folder, step) == -signal.SIGKILL
        there = sorted(path.name for path in folder.glob("*.ndjson*"))
        ended = _call(wanted, bulk, folder, 0)
        sys.stdout.write(json.dumps({"folder": str(folder), "killed": killed, "there": there, "ended": ended}) + "\n")


def _call(wanted: Wanted, bulk: Bulk, folder: Path, step: int) -> int:
    """Fetch in a process of its own, which is killed at that step (0: at none); its exit code."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    left = [step]

    def count(event: str, arguments: tuple[object, ...]) -> None:
        if event in _STEPS:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    found = fetch(wanted, folder, bulk, _Silent())
    os._exit(0 if found.whole else 1)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
