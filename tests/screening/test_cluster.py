"""On a cluster: the same answer as everywhere else, whoever is killed, and clear words where there is none."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from cds.errors import InputError
from cds.screening.cluster import Cluster
from cds.screening.crew import CrewLost
from tests.screening.clusters import Dask
from tests.screening.everywhere import everywhere
from tests.screening.exports import DAY, patients, screened, write
from tests.test_cli import ROOT, exowatch


def test_the_answer_is_the_same_everywhere(tmp_path: Path) -> None:
    """Of the hook, `evaluate`, one and two processes, and a cluster with two workers over TCP; longer runs take one and four too."""
    while True:
        day = date.today()
        found = {way: findings for way, findings, _ in everywhere(tmp_path / str(day), 40, (2,))}
        if date.today() == day:
            break
    first = found["evaluate"]
    assert len(first.splitlines()) == 40
    assert [way for way, findings in found.items() if findings != first] == []


def begun(out: Path) -> bool:
    """Whether shards are being evaluated."""
    return any(out.glob("work/shard-*.json"))


def running(export: Path, out: Path, address: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "cds.cli", "screen", str(export), "--out", str(out), "--as-of", DAY]
    return subprocess.Popen([*command, "--cluster", address], cwd=ROOT, stderr=subprocess.PIPE, text=True)


def wait_for(what: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_who_is_killed_is_missed_by_nobody(tmp_path: Path) -> None:
    """A worker in the middle of a run, then the scheduler: the run stops, and goes on with another cluster from what is on disk."""
    export = write(tmp_path / "export", patients(250), order=1)
    screened(export, tmp_path / "whole")
    wanted = (tmp_path / "whole" / "findings.ndjson").read_bytes()
    out = tmp_path / "killed"
    with Dask(tmp_path / "dask", 2) as dask:
        run = running(export, out, dask.address)
        wait_for(lambda: begun(out), run)
        dask.kill(dask.workers[0])
        _, said = run.communicate(timeout=200)
        assert run.returncode == 0, said
        assert (out / "findings.ndjson").read_bytes() == wanted
        again = tmp_path / "again"
        run = running(export, again, dask.address)
        wait_for(lambda: begun(again), run)
        dask.kill(dask.scheduler)
        _, said = run.communicate(timeout=200)
        assert run.returncode == 2, said
        assert "the cluster is away" in said
        assert "the same command goes on" in said
    finished = {path: path.stat().st_mtime_ns for path in (again / "work").glob("shard-*.json")}
    assert finished
    with Dask(tmp_path / "another", 1) as dask:
        done = exowatch("screen", str(export), "--out", str(again), "--as-of", DAY, "--cluster", dask.address)
    assert done.returncode == 0, done.stderr
    assert (again / "findings.ndjson").read_bytes() == wanted


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("tcp://127.0.0.1:1", "no scheduler of Dask answers there"),
        ("nonsense", "write the address that `dask scheduler` prints"),
    ],
)
def test_a_cluster_that_is_none_is_told(
    tmp_path: Path, address: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cds.screening.cluster._PATIENCE", 1)
    with pytest.raises(InputError, match=said):
        Cluster(address)


def test_a_scheduler_that_is_gone_before_the_first_job_is_told(tmp_path: Path) -> None:
    with Dask(tmp_path / "dask", 1) as dask, Cluster(dask.address) as cluster:
        cluster.check(tmp_path)
        dask.kill(dask.scheduler)
        with pytest.raises(CrewLost, match="the cluster is away"):
            cluster.check(tmp_path)


def test_a_cluster_without_workers_and_a_worker_that_does_not_see_the_folder_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cds.screening.cluster._PATIENCE", 1)
    with Dask(tmp_path / "dask", 0) as dask, Cluster(dask.address) as cluster:
        with pytest.raises(InputError, match="the scheduler has no worker"):
            cluster.check(tmp_path)
        monkeypatch.setattr("cds.screening.cluster._PATIENCE", 30)
        work = tmp_path / "work"
        work.mkdir()
        dask.add("seeing")
        cluster.check(work)
        dask.add("threads", threads=4)
        cluster._client.wait_for_workers(2, timeout=60)
        with pytest.raises(InputError, match="this worker has several threads"):
            cluster.check(work)
        dask.kill(dask.workers.pop())
        dask.add("blind", hidden=work)
        cluster._client.wait_for_workers(2, timeout=60)
        with pytest.raises(InputError, match="this worker does not see"):
            cluster.check(work)
