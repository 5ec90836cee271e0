"""Lose, stop and restart hosts again and again under load: `python -m tests.hosts.campaign --minutes 3`.

At the end: only calls under way on a host that was killed or stopped failed, all that was acknowledged is on record once, and
the audit holds. Exit code 1 if not.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from cds import terminal
from cds.reasoning.releases import put_into_use
from tests.hosts.judging import Hits, outcome, recorded, roll
from tests.hosts.load import calling
from tests.hosts.site import FAIL_TIMEOUT, Host, Site, nginx
from tests.record.postgresql import Cluster, binaries
from tests.service.test_leaving import until
from tests.service.test_releases import NOW, book_with, shelved

_PAUSE = FAIL_TIMEOUT + 1


class Campaign:
    """What happens to a site, one thing after the other, each time to a host by chance."""

    def __init__(self, site: Site, seed: int):
        self._site, self._rng = site, random.Random(seed)
        self.hits, self.happened = Hits(), Counter[str]()
        self._things: tuple[Callable[[], None], ...] = (self.killed, self.stopped, self.restarted, self.released)

    def run(self, seconds: float) -> None:
        """Until the time is over; each thing is done to its end."""
        begun = time.monotonic()
        with terminal.progress("seconds under load", int(seconds)) as step:
            done = 0
            while (left := seconds - (time.monotonic() - begun)) > 0 or not self.happened.keys() >= {"killed"}:
                thing = self._things[sum(self.happened.values()) % len(self._things)]
                thing()
                self.happened[thing.__name__] += 1
                now = min(int(seconds), int(time.monotonic() - begun))
                for _ in range(now - done):
                    step()
                done = max(done, now)
                if left > _PAUSE:
                    time.sleep(_PAUSE)  # nginx asks all hosts again

    def killed(self) -> None:
        """A process is lost, and started again by its manager."""
        host = self._host()
        host.kill()
        self.hits.note(host)
        time.sleep(1)
        host.begin()
        host.wait()

    def stopped(self) -> None:
        """A host hangs for a while."""
        host = self._host()
        host.signal(signal.SIGSTOP)
        self.hits.note(host)
        time.sleep(self._rng.uniform(3, 8))
        host.signal(signal.SIGCONT)
        host.wait()

    def restarted(self) -> None:
        """All hosts, one by one."""
        roll(self._site, _PAUSE)

    def released(self) -> None:
        """The other of two releases is put into use."""
        version = "1" if self._site.hosts[0].ready()["release"] == "2" else "2"
        put_into_use(self._site.shelf, version, by="author", at=NOW)
        until("all take it over", lambda: all(one.ready().get("release") == version for one in self._site.hosts), 60)

    def _host(self) -> Host:
        return self._rng.choice(self._site.hosts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--callers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    programs = binaries()
    if nginx() is None or programs is None:
        sys.stderr.write("nginx and PostgreSQL are needed (Debian: apt-get install nginx-light postgresql)\n")
        raise SystemExit(2)
    folder, cluster = Path(tempfile.mkdtemp(prefix="exowatch-hosts-")), Cluster(programs)
    try:
        site = Site(folder, cluster.new("hosts"))
        shelved(site.shelf, site.signing, "1")
        other = book_with(folder / "book", change=lambda text: text.replace("floor: 2.0", "floor: 2.1"))
        shelved(site.shelf, site.signing, "2", other)
        with site.running():
            since, campaign = len(site.log()), Campaign(site, asked.seed)
            with calling(site, asked.callers, asked.seed, pause=0.02) as load:
                campaign.run(60 * asked.minutes)
            until("nginx wrote of every call", lambda: len(site.log()) - since >= len(load.calls))
            seen, found = outcome(site, load, campaign.hits, since), recorded(site, load)
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
    terminal.say(", ".join(f"{thing} {times} times" for thing, times in sorted(campaign.happened.items())))
    terminal.say(f"{seen}\n{found}")
    for line in seen.others[:10]:
        terminal.say(f"    {line}")
    for fault in found.broken[:5]:
        terminal.say(f"    {fault}")
    well = seen.failed == seen.under_way and not seen.others and not found.lost and not found.doubles
    raise SystemExit(0 if well and not found.broken and load.cards else 1)


if __name__ == "__main__":
    main()
