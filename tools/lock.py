"""Resolve the dependencies anew into the two hash-locked files: `make lock`.

The build tools come first and apart, because durable_rules has no wheels and is built without isolation.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ("hatchling>=1.27", "editables>=0.5", "setuptools>=80", "wheel>=0.45")
OPTIONS = (
    "--quiet", "--generate-hashes", "--allow-unsafe", "--strip-extras", "--no-emit-index-url",
    "--no-emit-trusted-host", "--no-emit-find-links", "--no-header", "--no-annotate", "--upgrade",
)  # fmt: skip


def main() -> None:
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "pip-tools"], check=True)
    with tempfile.TemporaryDirectory() as folder:
        build = Path(folder, "build.in")
        build.write_text("\n".join(BUILD), encoding="utf-8")
        for source, target, extra in (
            (build, "requirements-build.lock", ()),
            (ROOT / "pyproject.toml", "requirements.lock", ("--extra", "test", "--extra", "screening")),
        ):
            command = [sys.executable, "-m", "piptools", "compile", *OPTIONS, *extra, "-o", target, str(source)]
            subprocess.run(command, check=True, cwd=ROOT)  # noqa: S603 - fixed program, no shell


if __name__ == "__main__":
    main()
