"""The files of an installation allow what the service does: the calls that it makes, and the time that it takes."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from cds.reasoning.loading import shipped_rules
from cds.record.database import Database
from cds.record.recorder import Recorder
from cds.service.app import create_app
from cds.settings import Settings
from cds.workbench.bench import add_author_pages, aside
from tests.hosts.confined import KILL, NUMBERS, REFUSE, forbidden
from tests.record.visits import REASONER

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "docs/deployment/exowatch@.service"
CANNOT = 77
NGINX = ROOT / "docs/deployment/nginx.conf"
PROGRAM = f"""
import os, sys
from cds.workbench.bench.aside import beside
from cds.workbench.bench import aside
from tests.hosts.confined import confine
if not confine(set(sys.argv[2:]), int(sys.argv[1])):
    raise SystemExit({CANNOT})
print(beside(os.getpriority, os.PRIO_PROCESS, 0))
"""

of_calls = pytest.mark.skipif(
    platform.machine() not in NUMBERS, reason="the numbers of system calls are known for x86_64 and aarch64"
)


def niceness(calls: set[str], action: int) -> str:
    """What work beside a service finds that is confined so; "" if the service or its work was ended."""
    command = [sys.executable, "-c", PROGRAM, str(action), *sorted(calls)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    if done.returncode == CANNOT:
        pytest.skip("this kernel, or what this process runs in, takes no filter of system calls")
    return done.stdout.strip()


@of_calls
def test_trials_run_under_the_unit_at_a_lower_priority() -> None:
    calls, action = forbidden(UNIT)
    assert "sched_setscheduler" in calls  # it was read
    assert niceness(calls, action) == str(os.getpriority(os.PRIO_PROCESS, 0) + 15)


@of_calls
def test_what_the_unit_takes_is_refused_and_ends_nobody() -> None:
    assert forbidden(UNIT)[1] == REFUSE


@of_calls
def test_trials_run_where_a_priority_cannot_be_lowered() -> None:
    assert niceness({"setpriority"}, REFUSE) == str(os.getpriority(os.PRIO_PROCESS, 0))
    assert niceness({"setpriority"}, KILL) == ""  # so the filter is one


def test_a_trial_that_takes_too_long_says_so_before_the_proxy_gives_its_page_up() -> None:
    server, *locations = (ROOT / "docs/deployment/nginx.conf").read_text(encoding="utf-8").split("location ")
    assert "proxy_read_timeout" not in next(one for one in locations if one.startswith("/ {"))  # of the server's
    (waits,) = re.findall(r"proxy_read_timeout (\d+)s;", server)
    assert int(waits) >= aside.SECONDS + 10


def test_the_steps_for_one_host_install_every_file_that_its_settings_and_unit_name() -> None:
    page = (ROOT / "docs/deployment.md").read_text("utf-8").split("## One host")[1]
    steps = page.split("```sh\n")[1].split("```")[0]
    settings = (ROOT / "docs/deployment/environment").read_text("utf-8")
    named = set(re.findall(r"/etc/exowatch/([\w./-]+)", re.sub(r"(?m)^#.*$", "", settings) + UNIT.read_text("utf-8")))
    installed: set[str] = set()
    for files, folder in re.findall(r"(?m)^install -m \d+ (.*) /etc/exowatch/(\S*)", steps):
        installed |= {f"{folder}{name}" for name in files.split()}
    assert len(named) >= 6  # they were read
    assert named <= installed
    assert not re.search(r"(?m)^EXOWATCH_RELEASE", settings)  # no step publishes one


def test_the_log_of_nginx_knows_every_area_of_the_service(tmp_path: Path) -> None:
    """What is logged as "other" can be neither counted nor watched apart."""
    (pattern,) = re.findall(r'"~(\^[^"]*)" \$first;', NGINX.read_text(encoding="utf-8"))
    area = re.compile(pattern.replace("(?<first>", "(?P<first>"))
    with closing(Database(f"sqlite:///{tmp_path}/record.sqlite", deadline=10)) as database:
        pages = [partial(add_author_pages, reasoner=REASONER, rules=shipped_rules())]
        recorder = Recorder(database, REASONER.rulebook)
        app = create_app(Settings(open_mode=True), REASONER, recorder=recorder, pages=pages)
        behind = {route.path.split("/")[1] for route in app.state.gate.routes}
    assert behind >= {"author", "account", "accounts", "audit", "board"}
    for first in behind | {"cds-services", "fhir", "results", "advisories", "rules", "sign-in", "sign-out", "launch"}:
        for path in (f"/{first}", f"/{first}/of-somebody", f"/exowatch/{first}/x"):
            found = area.match(path)
            assert found, path
            assert found["first"] == first
        assert not area.match(f"/{first}-else"), first
