"""Every row of the specification that can be shown from outside, against our own service in both its modes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select

from cds.conformance import LEFT_OUT, ROWS, CannotProbe, Probe, Result, read_signer, run
from cds.conformance.rows import in_order
from cds.record import tables
from cds.record.database import Database
from tests.conformance.ours import DOCUMENT, MODES, document, open_service, results
from tests.exchange.servers import certificate_for, says, serving

NEVER = {"A2", "G8", "G28"}
"""Rows for which our service gives no occasion: it is tested on this machine, shows no icon and deletes nothing."""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Result]]:
    return results(tmp_path_factory.mktemp("services"))


@pytest.mark.parametrize("number", [one.number for one in in_order()])
def test_row(found: dict[str, dict[str, Result]], number: str) -> None:
    said = [found[mode][number] for mode in MODES]
    assert [(one.outcome, one.why) for one in said if one.outcome == "failed"] == []
    assert any(one.outcome == "passed" for one in said) == (number not in NEVER)


def test_the_table_is_that_of_this_version(found: dict[str, dict[str, Result]]) -> None:
    assert DOCUMENT.read_text("utf-8") == document(found), "write it anew: python -m tests.conformance.ours"


def test_every_row_of_the_list_is_tested_or_left_out_with_a_reason() -> None:
    counts = {"A": 8, "B": 18, "C": 13, "D": 22, "E": 11, "F": 9, "G": 35, "H": 4, "I": 14, "J": 24, "K": 8}
    left: set[str] = set()
    for numbers in LEFT_OUT:
        first, _, last = numbers.partition("-")
        letter = first[0]
        left |= {f"{letter}{number}" for number in range(int(first[1:]), int((last or first)[1:]) + 1)}
    assert left.isdisjoint(ROWS)
    assert left | ROWS.keys() == {
        f"{letter}{number}" for letter, most in counts.items() for number in range(1, most + 1)
    }


def test_the_command_prints_the_table_and_counts(tmp_path: Path) -> None:
    with open_service(tmp_path) as probe:
        command = [sys.executable, "-m", "cds.cli", "conform", probe.base]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "0 failed" in done.stdout.splitlines()[-1]
        named = re.findall(r"(?m)^for id in (.*); do exowatch record erase \"Patient/\$id\"", done.stderr)[0].split()
        with closing(Database(f"sqlite:///{tmp_path}/open.sqlite", deadline=30)) as record, record.reading() as kept:
            assert {f"Patient/{one}" for one in named} >= set(
                kept.execute(select(tables.patient.c.reference)).scalars()
            )
        done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=120, check=False)
        assert {one["outcome"] for one in json.loads(done.stdout)} == {"passed", "not applicable"}


def test_what_cannot_be_tested_is_said(tmp_path: Path) -> None:
    with pytest.raises(CannotProbe, match=r"does not answer.*\(it could not be reached\)"):
        list(run(Probe("http://127.0.0.1:9")))
    for address in ("localhost:8000", "cds.example", "ftp://cds.example", "https://"):
        with pytest.raises(CannotProbe, match="write the base URL"):
            Probe(address)
    for name, content in (("a", "{"), ("b", "{}"), ("c", '{"issuer":"x","key":{"kty":"EC"}}')):
        (tmp_path / name).write_text(content, "utf-8")
        with pytest.raises(CannotProbe, match="is no client file"):
            read_signer(tmp_path / name)


def test_an_authority_of_the_house_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = certificate_for("localhost", tmp_path)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with serving(says(b'{"services": [{"id": "x", "hook": "patient-view", "description": "x"}]}'), pair) as server:
        with pytest.raises(CannotProbe, match=r"its certificate is not trusted.*SSL_CERT_FILE="):
            Probe(server.base).services  # noqa: B018 - it is asked then
        monkeypatch.setenv("SSL_CERT_FILE", str(pair[0]))
        with Probe(f"{server.base}/cds-services") as probe:
            assert [one["id"] for one in probe.services] == ["x"]
    assert [path for path, _ in server.asked] == ["/cds-services"]
