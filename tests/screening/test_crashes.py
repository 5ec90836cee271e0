"""A worker that dies: it is replaced, its patient tried once more, then passed over and listed; the others are not touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cds.screening.crew import Processes
from cds.screening.marks import TRIES, Marks, forget_marks
from tests.screening.exports import Json, by_patient, lines, patients, screened, write
from tests.test_cli import ROOT


def heavy(resources: list[Json], whose: str, times: int) -> list[Json]:
    """The resources with so many copies of a patient's results, so that their evaluation takes a while."""
    found = list(resources)
    for one in by_patient(resources)[whose]:
        if one["resourceType"] == "Observation":
            found += [{**one, "id": f"{one['id']}-{number}"} for number in range(times)]
    return found


class Killer:
    """Kills whoever evaluates a patient, so often."""

    def __init__(self, work: Path, patient: str, times: int):
        self._work, self._patient, self._times = work, f'"{patient}"'.encode(), times
        self.killed: set[int] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Killer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.is_set() and len(self.killed) < self._times:
            for mark in self._work.glob("*.now"):
                try:
                    hit = mark.read_bytes() == self._patient
                except FileNotFoundError:
                    continue
                for pid in holders(mark) if hit else ():
                    if pid not in self.killed:
                        self._kill(pid, mark)
            time.sleep(0.001)

    def _kill(self, pid: int, mark: Path) -> None:
        """Kill a process unless it has gone on to somebody else meanwhile: it is stopped before that is looked at."""
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.005)
        try:
            still = mark.read_bytes() == self._patient
        except FileNotFoundError:
            still = False
        os.kill(pid, signal.SIGKILL if still else signal.SIGCONT)
        if still:
            self.killed.add(pid)


def holders(path: Path) -> list[int]:
    """The children of this process that have a file open."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        for child in (task / "children").read_text(encoding="ascii").split():
            try:
                held = {os.readlink(one) for one in Path(f"/proc/{child}/fd").iterdir()}
            except OSError:
                continue
            if str(path) in held:
                found.append(int(child))
    return found


@pytest.mark.parametrize("times", [1, TRIES])
def test_whoever_ends_the_process_is_tried_again_then_listed(tmp_path: Path, times: int) -> None:
    resources = patients(30, seed=13)
    victim = list(by_patient(resources))[7]
    resources = heavy(resources, victim, 400)
    export = write(tmp_path / "export", resources, order=1)
    whole = screened(export, tmp_path / "whole")
    out = tmp_path / "out"
    with Killer(out / "work", victim, times) as killer, Processes(2) as crew:
        found = screened(export, out, crew)
    assert len(killer.killed) == times
    wanted = lines(tmp_path / "whole" / "findings.ndjson")
    got = lines(out / "findings.ndjson")
    if times < TRIES:
        assert got == wanted
        assert found == whole
        return
    assert got == [one for one in wanted if one["patient"] != victim]
    assert lines(out / "unjudged.ndjson") == [{"patient": victim, "reason": "its evaluation ended the process 2 times"}]
    assert (found.unjudged, found.measured) == (1, whole.measured - 1)
    assert not found.is_whole
    page = (out / "summary.html").read_text(encoding="utf-8")
    assert "Of 1 patient nothing can be said" in page


def test_who_was_being_evaluated_when_a_run_was_stopped_has_not_ended_it(tmp_path: Path) -> None:
    for _ in range(3):
        with Marks(tmp_path / "shard") as marks:
            assert not marks.has_ended("Patient/1")
        (tmp_path / "shard.now").write_bytes(b'"Patient/1"')
        forget_marks(tmp_path)


def test_marks_know_a_patient_whatever_their_id_holds_and_blame_nobody_who_is_done(tmp_path: Path) -> None:
    odd, done = 'Patient/a\nb"ü', "Patient/done"
    for ended in (False, False, True):
        with Marks(tmp_path / "shard") as marks:
            assert marks.has_ended(odd) is ended
            with marks.of(done):
                pass
            assert (tmp_path / "shard.now").read_bytes() == b""
            with marks.of(odd):
                mark = (tmp_path / "shard.now").read_bytes()
        (tmp_path / "shard.now").write_bytes(mark)  # as if the process had ended there
    with Marks(tmp_path / "shard") as marks:
        assert not marks.has_ended(done)


def test_an_evaluation_that_never_ends_ends_its_process(tmp_path: Path) -> None:
    """Also where C code hangs and no Python runs any more: here in a read of a pipe that nobody writes."""
    program = (
        "import os, sys; from pathlib import Path; from cds.screening import marks; marks.SLOW = 0.3\n"
        "with marks.Marks(Path(sys.argv[1])) as found, found.of('Patient/1'): os.read(os.pipe()[0], 1)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "shard")], cwd=ROOT, timeout=30, check=False)
    assert done.returncode == -signal.SIGALRM
    assert (tmp_path / "shard.now").read_bytes() == b'"Patient/1"'
