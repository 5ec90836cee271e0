"""What is published stays as it was signed, is published only if nothing stands against it, and is served without a restart."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from cds.layers import rule_files, shipped_rules
from cds.reasoning.loading import default_rulebook, load_rulebook
from cds.reasoning.reasoner import Reasoner
from cds.reasoning.releases import (
    Published,
    ReleaseError,
    current,
    new_key,
    put_into_use,
    read_keys,
    read_release,
    versions,
    write_release,
)
from cds.record.database import Database
from cds.record.recorder import Recorder
from cds.service.app import create_app
from cds.service.editions import Editions
from cds.settings import Settings
from tests.test_cli import exowatch

NOW = "2026-11-25T12:00:00+00:00"
RULE = "resistance/trpc5-rise-on-chemotherapy.yaml"
SERVICE = "/cds-services/exowatch-patient-view"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key.json"
    new_key(path)
    return path


def public(key: Path) -> Path:
    return key.with_name(f"{key.stem}.public.json")


def book_with(folder: Path, name: str = RULE, change: Callable[[str], str] = lambda text: text) -> Path:
    """The shipped rule book in a folder, with one file changed."""
    shutil.copytree(shipped_rules(), folder)
    (folder / name).write_text(change((folder / name).read_text("utf-8")), "utf-8")
    return folder


def shelved(shelf: Path, key: Path, version: str = "1", rules: Path | None = None) -> Path:
    """A version on the shelf and in use; its folder."""
    files = rule_files(rules or shipped_rules())
    shelf.mkdir(exist_ok=True)
    stated: dict[str, Any] = {"version": version, "made": NOW, "by": "author", "changes": "more", "software": "x"}
    write_release(shelf, files, load_rulebook(files), key, **stated)
    put_into_use(shelf, version, by="author", at=NOW)
    return shelf / version


def read(shelf: Path, key: Path, version: str = "1") -> Published:
    return read_release(shelf, version, read_keys(public(key)))


def test_a_release_is_the_rule_book_that_was_signed(tmp_path: Path, key: Path) -> None:
    shelf = tmp_path / "shelf"
    shelved(shelf, key)
    found = read(shelf, key)
    assert found.book.hash == found.release.rulebook == default_rulebook().hash
    assert (current(shelf), versions(shelf), found.release.previous) == ("1", ["1"], "")
    assert key.stat().st_mode & 0o077 == 0
    assert "d" not in json.loads(public(key).read_text())


def test_a_sites_overlay_is_released_with_what_it_lies_over(tmp_path: Path, key: Path) -> None:
    site = tmp_path / "site"
    (site / "markers").mkdir(parents=True)
    (site / "overlay.yaml").write_text("overlay: our-site\n", "utf-8")
    (site / "markers" / "trpc5-ev.yaml").write_text("title: TRPC5 as we call it\n", "utf-8")
    shelf = tmp_path / "shelf"
    shelved(shelf, key, rules=site)
    expected = load_rulebook(site)
    shutil.rmtree(site)
    found = read(shelf, key)
    assert found.book.hash == expected.hash != default_rulebook().hash
    assert found.book.catalogue.markers["trpc5-ev"].title == "TRPC5 as we call it"
    assert found.files.site == "our-site"


def edited(folder: Path) -> None:
    path = folder / "rules" / RULE
    path.write_text(path.read_text("utf-8").replace("floor: 2.0", "floor: 1.0"), "utf-8")


def removed(folder: Path) -> None:
    (folder / "rules" / RULE).unlink()


def signed_by_another(folder: Path) -> None:
    other = folder.parent / "other.json"
    new_key(other)
    again = folder.parent / "again"
    shelved(again, other)
    shutil.copy(again / "1" / "release.jws", folder / "release.jws")


def unsigned(folder: Path) -> None:
    (folder / "release.jws").write_bytes((folder / "release.json").read_bytes())


def of_no_algorithm(folder: Path) -> None:
    head, payload, _ = (folder / "release.jws").read_text().strip().split(".")
    (folder / "release.jws").write_text(f"eyJhbGciOiJub25lIn0.{payload}.", "ascii")
    assert head


def other_payload(folder: Path) -> None:
    head, payload, signature = (folder / "release.jws").read_text().strip().split(".")
    (folder / "release.jws").write_text(f"{head}.{payload[:-8]}AAAAAAAA.{signature}", "ascii")


@pytest.mark.parametrize("harm", [edited, removed, signed_by_another, unsigned, of_no_algorithm, other_payload])
def test_what_is_not_as_it_was_signed_is_refused(tmp_path: Path, key: Path, harm: Callable[[Path], None]) -> None:
    folder = shelved(tmp_path / "shelf", key)
    harm(folder)
    with pytest.raises(ReleaseError):
        read(tmp_path / "shelf", key)


def test_a_folder_under_another_name_is_refused(tmp_path: Path, key: Path) -> None:
    shelf = tmp_path / "shelf"
    shelved(shelf, key, "1")
    shelved(shelf, key, "2")
    shutil.rmtree(shelf / "2")
    shutil.copytree(shelf / "1", shelf / "2")
    with pytest.raises(ReleaseError, match="renamed"):
        read(shelf, key, "2")


@pytest.mark.parametrize("version", ["../1", "", ".hidden", "a/b", "1 ", "x" * 65])
def test_what_is_no_name_is_no_version(tmp_path: Path, key: Path, version: str) -> None:
    shelf = tmp_path / "shelf"
    shelved(shelf, key)
    with pytest.raises(ReleaseError):
        shelved(shelf, key, version)
    with pytest.raises(ReleaseError):
        put_into_use(shelf, version, by="x", at=NOW)
    with pytest.raises(ReleaseError):
        read(shelf, key, version)
    assert current(shelf) == "1"


def test_nothing_is_written_over(tmp_path: Path, key: Path) -> None:
    shelved(tmp_path / "shelf", key)
    with pytest.raises(ReleaseError, match="stays as it is"):
        shelved(tmp_path / "shelf", key)
    with pytest.raises(ReleaseError, match="never written over"):
        new_key(key)


def test_a_private_key_is_not_what_a_service_is_to_know(key: Path) -> None:
    with pytest.raises(ReleaseError, match="private key"):
        read_keys(key)
    key.write_text("{}", "utf-8")
    with pytest.raises(ReleaseError, match="no Ed25519 key"):
        read_keys(key)


# publishing ------------------------------------------------------------------------------------------------------------


def publish(shelf: Path, key: Path, version: str, *words: str) -> subprocess.CompletedProcess[str]:
    changes = ("--changes", "more", "--by", "author")
    return exowatch("rules", "publish", "--to", str(shelf), "--version", version, "--key", str(key), *changes, *words)


def test_published_listed_and_back_by_commands(tmp_path: Path, key: Path) -> None:
    shelf, rules = tmp_path / "shelf", book_with(tmp_path / "book", change=lambda text: text.replace("60 d", "61 d", 1))
    first = publish(shelf, key, "1")
    assert (first.returncode, first.stderr) == (0, "")
    assert "in use: 1" in first.stdout
    assert publish(shelf, key, "1").returncode == 2
    assert publish(shelf, key, "2", "--hold").returncode == 0
    assert current(shelf) == "1"
    assert exowatch("rules", "use", "2", "--in", str(shelf), "--by", "author").returncode == 0
    listed = exowatch("rules", "releases", "--in", str(shelf), "--keys", str(public(key)), "--json")
    assert [(one["version"], one["in use"], one["signature"]) for one in json.loads(listed.stdout)] == [
        ("1", "", "as signed"), ("2", "yes", "as signed"),
    ]  # fmt: skip
    switches = [json.loads(line) for line in (shelf / "switches.jsonl").read_text().splitlines()]
    assert [(one["from"], one["to"], one["by"]) for one in switches] == [("", "1", "author"), ("1", "2", "author")]
    edited(shelf / "1")
    assert exowatch("rules", "releases", "--in", str(shelf), "--keys", str(public(key))).returncode == 1
    assert rules.is_dir()


def test_an_altered_version_is_not_put_into_use(tmp_path: Path, key: Path) -> None:
    shelf = tmp_path / "shelf"
    for version in ("1", "2"):
        shelved(shelf, key, version)
    use = ("rules", "use", "1", "--in", str(shelf))
    other = tmp_path / "other.json"
    new_key(other)
    done = exowatch(*use, "--keys", str(public(other)))
    assert (done.returncode, "signed by no key that is known here" in done.stderr) == (2, True)
    edited(shelf / "1")
    for keys in ((), ("--keys", str(public(key)))):
        done = exowatch(*use, *keys)
        assert (done.returncode, "is not as it was signed" in done.stderr) == (2, True)
    assert current(shelf) == "2"


def test_drafts_are_named_and_a_missing_key_with_all_else(tmp_path: Path, key: Path) -> None:
    draft = book_with(tmp_path / "book", change=lambda text: text.replace("status: active", "status: draft", 1))
    done = publish(tmp_path / "shelf", key, "1", "--rules", str(draft))
    assert done.returncode == 0
    assert "not asked, for it is a draft or retired: trpc5-rise-on-chemotherapy" in done.stdout
    late = book_with(
        tmp_path / "late", change=lambda text: text.replace("review_by: 2027-11-23", "review_by: 2026-01-01")
    )
    done = publish(tmp_path / "shelf", tmp_path / "none.json", "2", "--rules", str(late))
    assert done.returncode == 1
    assert "EX707" in done.stdout
    assert "none.json is not there" in done.stdout


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        (RULE, lambda text: text.replace("review_by: 2027-11-23", "review_by: 2026-01-01"), "EX707"),
        (RULE, lambda text: text.replace("watches: trpc5-ev", "watches: trpc6-ev"), "EX202"),
        (RULE, lambda text: text.replace("floor: 2.0", "floor: 2.9"), "expected"),
        (RULE.replace(".yaml", ".test.yaml"), lambda text: "", "EX"),
    ],
)
def test_nothing_is_published_against_which_something_stands(
    tmp_path: Path, key: Path, name: str, change: Callable[[str], str], says: str
) -> None:
    done = publish(tmp_path / "shelf", key, "1", "--rules", str(book_with(tmp_path / "book", name, change)))
    assert done.returncode == 1
    assert says in done.stdout + done.stderr
    assert not (tmp_path / "shelf" / "1").exists()


def test_a_rule_without_a_test_is_not_published(tmp_path: Path, key: Path) -> None:
    rules = book_with(tmp_path / "book")
    for path in (rules / "resistance").glob("trpc5-rise-on-chemotherapy*.test.yaml"):
        path.unlink()
    done = publish(tmp_path / "shelf", key, "1", "--rules", str(rules))
    assert done.returncode == 1
    assert "trpc5-rise-on-chemotherapy" in done.stdout + done.stderr


# serving ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def environment(tmp_path: Path, key: Path) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("EXOWATCH_")}
    return {
        **plain,
        "EXOWATCH_RELEASES_DIR": str(tmp_path / "shelf"),
        "EXOWATCH_RELEASE_KEYS": str(public(key)),
        "EXOWATCH_DATABASE_URL": f"sqlite:///{tmp_path}/record.sqlite",
    }


@contextmanager
def serving(environment: dict[str, str], log: Path, *words: str) -> Iterator[str]:
    """The service with its log in a file: a pipe that nobody empties would stop it."""
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "cds.cli", "serve", "--dev", "--port", "0", *words], env=environment, stderr=out
        )
    try:
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline:
            lines = [json.loads(line) for line in log.read_text().splitlines()]
            said = [one["address"] for one in lines if one["event"] == "serving"]
            if said:
                yield said[0]
                return
            time.sleep(0.1)
        raise AssertionError("the service did not start")
    finally:
        process.terminate()
        process.wait(20)


def until(base: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        said: dict[str, Any] = httpx2.get(f"{base}/ready", timeout=10).json()
        if wanted(said):
            return said
        time.sleep(0.2)
    raise AssertionError(f"never: {said}")


@contextmanager
def asking(base: str, body: dict[str, Any]) -> Iterator[list[int]]:
    """Asks again and again; the statuses."""
    over, statuses = threading.Event(), list[int]()

    def ask() -> None:
        with httpx2.Client(base_url=base, timeout=20) as client:
            while not over.is_set():
                statuses.append(client.post(SERVICE, json=body).status_code)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield statuses
    finally:
        over.set()
        thread.join()


def test_a_release_is_taken_over_without_a_refused_call_and_one_that_was_harmed_is_not(
    tmp_path: Path, key: Path, environment: dict[str, str], request_body: dict[str, Any]
) -> None:
    shelf = tmp_path / "shelf"
    shelved(shelf, key, "1")
    other = book_with(tmp_path / "book", change=lambda text: text.replace("floor: 2.0", "floor: 9.0"))
    with serving(environment, tmp_path / "log") as base, asking(base, request_body) as statuses:
        first = until(base, lambda said: said.get("release") == "1")
        assert httpx2.post(f"{base}{SERVICE}", json=request_body, timeout=20).json()["cards"]
        shelved(shelf, key, "2", other)
        second = until(base, lambda said: said.get("release") == "2")
        assert first["rulebook"] != second["rulebook"] == load_rulebook(other).hash
        kinds = {
            card["indicator"] for card in httpx2.post(f"{base}{SERVICE}", json=request_body, timeout=20).json()["cards"]
        }
        assert "warning" not in kinds
        edited(shelved(shelf, key, "3"))
        refused = until(base, lambda said: said.get("refusedRelease") == "3")
        assert refused["release"] == "2"
        put_into_use(shelf, "1", by="author", at=NOW)
        assert "refusedRelease" not in until(base, lambda said: said.get("release") == "1")
    assert len(statuses) > 10
    assert set(statuses) == {200}


@pytest.mark.parametrize("harm", ["nothing in use", "unsigned", "no keys"])
def test_without_a_release_to_trust_the_service_does_not_start(
    tmp_path: Path, key: Path, environment: dict[str, str], harm: str
) -> None:
    shelf = tmp_path / "shelf"
    folder = shelved(shelf, key)
    if harm == "nothing in use":
        (shelf / "current").unlink()
    elif harm == "unsigned":
        unsigned(folder)
    else:
        del environment["EXOWATCH_RELEASE_KEYS"]
    command = [sys.executable, "-m", "cds.cli", "serve", "--dev", "--port", "0"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_each_of_two_processes_takes_a_release_over_without_a_fault(
    tmp_path: Path, key: Path, environment: dict[str, str]
) -> None:
    shelf, log = tmp_path / "shelf", tmp_path / "log"
    shelved(shelf, key, "1")
    other = book_with(tmp_path / "book", change=lambda text: text.replace("floor: 2.0", "floor: 9.0"))
    shelved(shelf, key, "2", other)

    def taken() -> list[str]:
        said = [json.loads(line) for line in log.read_text().splitlines()]  # a line that is none is a fault, too
        assert [one for one in said if one["level"] == "ERROR"] == []
        return [one["release"] for one in said if one["event"] == "release"]

    with serving(environment, log, "--workers", "2"):
        for version in ("1", "2", "1", "2"):  # the second process may begin with what the first one took over
            before = len(taken())
            put_into_use(shelf, version, by="author", at=NOW)
            deadline = time.monotonic() + 15
            while len(taken()) < before + 2 and time.monotonic() < deadline:
                time.sleep(0.2)
            if (both := taken()[before:]) == [version, version]:
                break
        time.sleep(1)  # what an edition that is followed leaves behind would show by now
        assert both == [version, version]
        assert taken()


def working() -> list[str]:
    """What runs in threads of its own beside answering."""
    return sorted(one.name for one in threading.enumerate() if one.name in ("match", "follow"))


@pytest.mark.parametrize("works", [True, False])
def test_what_works_beside_an_edition_is_followed_once_or_not_at_all(tmp_path: Path, works: bool) -> None:
    database = Database(f"sqlite:///{tmp_path}/record.sqlite", deadline=10)
    database.upgrade()
    before, book = working(), default_rulebook()

    def edition() -> FastAPI:
        return create_app(Settings(open_mode=True), Reasoner(book), recorder=Recorder(database, book))

    editions = Editions(edition())
    if works:
        editions.start()
    editions.follow(edition())
    assert working() == sorted([*before, *(("match", "follow") if works else ())])
    if works:
        editions.stop()
    assert working() == before
    database.close()
