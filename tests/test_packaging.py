"""The wheel is whole: rules and artefacts travel inside `cds`, and everything works away from the checkout."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this tree and unpacked as an installer would."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(folder),
        str(ROOT),
    ]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def run(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, from the unpacked wheel and away from the checkout."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "cds.cli", *arguments],
        cwd=site.parent,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_page_on_running_it_installs_what_is_built_here() -> None:
    """Its commands name files that are there, the locked requirements, and the version of this tree; CI builds the same way."""
    page = (ROOT / "docs/deployment.md").read_text(encoding="utf-8")
    built, installed = (part.partition("```sh\n")[2].partition("```")[0] for part in page.split("\n## ")[1:3])
    for lock in ("requirements-build.lock", "requirements.lock"):
        assert re.search(rf"--require-hashes .*-r {re.escape(lock)}", built), lock
        assert (ROOT / lock).is_file()
    assert "pip wheel --no-deps --no-build-isolation --wheel-dir wheels ." in built
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert f"exowatch-{version}-py3-none-any.whl" in built
    assert f"--no-index --find-links wheels exowatch=={version}" in installed
    for file in ("docs/deployment/environment", "docs/deployment/exowatch@.service", "migrations/least-privilege.sql"):
        assert Path(file).name in installed
        assert (ROOT / file).is_file()
    assert "/opt/exowatch/bin/exowatch" in (ROOT / "docs/deployment/exowatch@.service").read_text(encoding="utf-8")


def test_nothing_lands_beside_the_package(unpacked: Path) -> None:
    names = {path.name for path in unpacked.iterdir() if not path.name.endswith(".dist-info")}
    assert names == {"cds"}
    for inside in ("rules/states.yaml", "fhir/examples/trpc5-suspected.json", "migrations"):
        assert (unpacked / "cds" / "_data" / inside).exists()


def test_the_rule_book_travels_whole_and_no_mistakes_with_it(unpacked: Path) -> None:
    packed = {path.name for path in (unpacked / "cds" / "_data" / "rules").iterdir()}
    assert packed == {path.name for path in (ROOT / "rules").iterdir()} - {"bad"}


def test_pages_of_lint_are_at_hand(unpacked: Path) -> None:
    done = run(unpacked, "rules", "lint", "--explain", "EX203")
    assert done.stdout.startswith("# EX203: unknown fact"), done.stderr


def test_it_uses_its_own_rules(unpacked: Path) -> None:
    done = run(unpacked, "rules", "list", "--json")
    assert done.returncode == 0, done.stderr
    assert "trpc5-rise-on-chemotherapy" in done.stdout


def test_the_rule_tests_run_from_the_wheel(unpacked: Path) -> None:
    done = run(unpacked, "rules", "test")
    assert done.returncode == 0, done.stdout + done.stderr
    passed = int(done.stdout.split()[0])
    assert passed >= 80


def test_doctor_is_content(unpacked: Path) -> None:
    done = run(unpacked, "doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ok   engine self-test" in done.stdout


def test_demo_ends_with_a_card(unpacked: Path, tmp_path: Path) -> None:
    done = run(unpacked, "demo", "--once", "--out", str(tmp_path / "demo"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[warning] TRPC5-EV: suspected" in done.stdout
    assert "evaluate" in done.stdout
