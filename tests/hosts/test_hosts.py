"""Three hosts behind nginx, as docs/deployment.md has them: one is killed, hangs, is restarted, and nobody is told anything twice."""

from __future__ import annotations

import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import func, select

from cds.record import tables
from cds.record.accounts import TERMINAL, Accounts
from tests.access.people import PASSWORD, csrf_in
from tests.hosts.judging import Hits, Outcome, outcome, recorded, roll
from tests.hosts.load import SERVICE, Load, authorized, calling, request
from tests.hosts.site import BASE, DEPLOYMENT, FAIL_TIMEOUT, ISSUER, Site, nginx
from tests.service.test_leaving import until
from tests.service.test_releases import book_with, shelved
from tests.service.tokens import claims, signed


class Watched:
    """A load, and what came of it once it is over."""

    def __init__(self) -> None:
        self.hits = Hits()
        self.outcome: Outcome | None = None


@contextmanager
def watched(site: Site, loads: list[Load]) -> Iterator[Watched]:
    """Callers at work while something happens."""
    since, found = len(site.log()), Watched()
    with calling(site, seed=len(loads) + 1) as load:
        loads.append(load)
        time.sleep(0.5)
        yield found
        time.sleep(0.5)
    # nginx writes a line after the caller has its answer.
    until("nginx wrote of every call", lambda: len(site.log()) - since >= len(load.calls))
    found.outcome = outcome(site, load, found.hits, since)


def the_files_are_as_nginx_and_systemd_want_them(site: Site, _loads: list[Load], tmp_path: Path) -> None:
    program = nginx()
    assert program is not None
    command = [program, "-t", "-q", "-c", str(site.configured()), "-p", str(site.folder)]
    tested = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (tested.returncode, tested.stderr) == (0, "")
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed: its opinion of the unit was not asked")
    own = str(Path(sys.executable).parent / "exowatch")
    unit = tmp_path / "exowatch@.service"
    unit.write_text((DEPLOYMENT / unit.name).read_text("utf-8").replace("/opt/exowatch/bin/exowatch", own), "utf-8")
    verified = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stderr) == (0, "")


def a_token_that_one_host_took_is_refused_by_the_others(site: Site, _loads: list[Load], _folder: Path) -> None:
    body = request(random.Random(1))
    for here, there in ((0, 1), (1, 2), (2, 0)):
        token = signed(claims(iss=ISSUER, aud=f"{BASE}{SERVICE}"), site.key)
        statuses = [
            site.hosts[number].client.post(SERVICE, json=body, headers=authorized(site, SERVICE, token)).status_code
            for number in (here, there, here)
        ]
        assert statuses == [200, 401, 401]
    token = signed(claims(iss=ISSUER, aud=f"{BASE}{SERVICE}"), site.key)
    with ThreadPoolExecutor(3) as threads:  # at the same moment
        sent = threads.map(
            lambda host: host.client.post(SERVICE, json=body, headers=authorized(site, SERVICE, token)).status_code,
            site.hosts,
        )
        assert sorted(sent) == [200, 401, 401]


def a_call_that_is_sent_to_all_hosts_is_one_advice(site: Site, _loads: list[Load], _folder: Path) -> None:
    """With tokens of its own each time, as an EHR asks again."""
    body = request(random.Random(2)) | {"fhirServer": "https://twice.example/fhir"}
    with ThreadPoolExecutor(6) as threads:
        answers = list(
            threads.map(
                lambda host: host.client.post(SERVICE, json=body, headers=authorized(site, SERVICE)), site.hosts * 2
            )
        )
    assert [one.status_code for one in answers] == [200] * 6
    first = answers[0].json()["cards"]
    assert first
    assert all(one.json()["cards"] == first for one in answers)
    with site.database.reading() as connection:
        theirs = select(tables.patient.c.id).where(tables.patient.c.server.like("%twice.example%"))
        for table, wanted in ((tables.advisory, 1), (tables.card, len(first)), (tables.evaluation, 6)):
            mine = select(func.count()).select_from(table).where(table.c.patient_id.in_(theirs))
            assert connection.execute(mine).scalar_one() == wanted, table.name


def who_signs_in_at_one_host_is_signed_in_at_all(site: Site, _loads: list[Load], _folder: Path) -> None:
    Accounts(site.database).add("default", "anna", PASSWORD, ("reviewer",), TERMINAL)
    first, *others = (host.client for host in site.hosts)
    entry = csrf_in(first.get("/sign-in").text)
    form = {"csrf": entry, "name": "anna", "password": PASSWORD}
    answer = first.post("/sign-in", data=form, headers={"Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 303, answer.text[:300]
    for other in others:
        cookie = "; ".join(f"{name}={value}" for name, value in first.cookies.items())
        assert other.get("/account").status_code == 303
        assert other.get("/account", headers={"Cookie": cookie}).status_code == 200


def who_guesses_is_stopped_before_any_host_and_what_is_of_one_host_is_not_passed_on(
    site: Site, _loads: list[Load], _folder: Path
) -> None:
    with site.client() as client:
        tries = [client.post("/sign-in", data={"name": "nobody"}).status_code for _ in range(40)]
        assert 429 in tries[30:]
        assert 429 not in tries[:30]
        assert client.get("/sign-in").status_code == 200  # who only looks is not counted
        paths = ("/ready", "/exowatch/ready", "/health", "/metrics", "/exowatch/metrics")
        assert [client.get(path).status_code for path in paths] == [403] * 5


def of_a_killed_host_only_what_was_under_way_there_fails(site: Site, loads: list[Load], _folder: Path) -> None:
    victim = site.hosts[0]
    with watched(site, loads) as found:
        victim.kill()
        found.hits.note(victim)
        time.sleep(1.5)
        victim.begin()
        victim.wait()
    seen = found.outcome
    assert seen is not None
    assert (seen.others, seen.failed) == ((), seen.under_way), str(seen)
    assert seen.under_way <= 4  # one for each caller
    assert all(one.status in (502, 504) and "OperationOutcome" in one.said for one in loads[-1].failed)
    assert seen.calls > 20


def of_a_host_that_hangs_only_what_was_under_way_there_fails_and_others_wait_two_seconds(
    site: Site, loads: list[Load], _folder: Path
) -> None:
    victim = site.hosts[1]
    with watched(site, loads) as found:
        victim.signal(signal.SIGSTOP)
        found.hits.note(victim)
        time.sleep(6)
        victim.signal(signal.SIGCONT)
        victim.wait()
    seen = found.outcome
    assert seen is not None
    assert (seen.others, seen.failed) == ((), seen.under_way), str(seen)
    assert seen.under_way <= 4
    assert seen.slowest < 2 + 3, str(seen)
    assert seen.calls > 20


def a_release_is_taken_over_by_all_while_they_are_restarted_one_by_one_and_no_call_fails(
    site: Site, loads: list[Load], tmp_path: Path
) -> None:
    other = book_with(tmp_path / "book", change=lambda text: text.replace("floor: 2.0", "floor: 2.1"))
    with watched(site, loads) as found:
        roll(site, FAIL_TIMEOUT + 1, site.hosts[:1])
        shelved(site.shelf, site.signing, "2", other)
        roll(site, FAIL_TIMEOUT + 1, site.hosts[1:2])
        roll(site, 0, site.hosts[2:])
        until("all hosts have the release", lambda: all(one.ready().get("release") == "2" for one in site.hosts), 15)
    seen = found.outcome
    assert seen is not None
    assert (seen.failed, seen.others) == (0, ()), str(seen)
    assert len({one.ready()["rulebook"] for one in site.hosts}) == 1


def at_the_end_all_that_was_acknowledged_is_on_record_once(site: Site, loads: list[Load], _folder: Path) -> None:
    found = recorded(site, *loads)
    assert (found.lost, found.doubles, found.broken) == (0, 0, ()), str(found)
    assert sum(len(load.cards) for load in loads) > 50
    assert sum(len(load.feedback) for load in loads) > 5


def without_any_host_programs_are_told_so_in_words(site: Site, _loads: list[Load], _folder: Path) -> None:
    for host in site.hosts:
        host.kill()
    with site.client() as client:
        answer = client.post(f"/exowatch{SERVICE}", json=request(random.Random(3)), headers=authorized(site, SERVICE))
    assert (answer.status_code, answer.headers["Retry-After"]) == (502, "1")
    assert answer.headers["Content-Type"].startswith("application/fhir+json")
    (issue,) = answer.json()["issue"]
    assert (issue["code"], "with a new token" in issue["diagnostics"]) == ("transient", True)
    assert re.search("patient|Bearer|hookInstance=|exowatch-patient-view", str(site.log()[-1])) is None


PARTS = (
    the_files_are_as_nginx_and_systemd_want_them,
    a_token_that_one_host_took_is_refused_by_the_others,
    a_call_that_is_sent_to_all_hosts_is_one_advice,
    who_signs_in_at_one_host_is_signed_in_at_all,
    who_guesses_is_stopped_before_any_host_and_what_is_of_one_host_is_not_passed_on,
    of_a_killed_host_only_what_was_under_way_there_fails,
    of_a_host_that_hangs_only_what_was_under_way_there_fails_and_others_wait_two_seconds,
    a_release_is_taken_over_by_all_while_they_are_restarted_one_by_one_and_no_call_fails,
    at_the_end_all_that_was_acknowledged_is_on_record_once,
    without_any_host_programs_are_told_so_in_words,
)


def test_three_hosts_behind_nginx(site: Site, tmp_path: Path, subtests: pytest.Subtests) -> None:
    """One thing after the other on one site, which takes long to start: what was acknowledged in all of them is looked for at the end."""
    loads: list[Load] = []
    for part in PARTS:
        with subtests.test(part.__name__.replace("_", " ")):
            part(site, loads, tmp_path)
