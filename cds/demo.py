"""`exowatch demo`: a made-up clinic, its tumour board to open in a browser, a card, and what to look at next."""

from __future__ import annotations

import json
import signal
import sys
import threading
from datetime import date
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from cds import terminal
from cds.board.words import words
from cds.errors import ExowatchError, InputError
from cds.reasoning.loading import load_rulebook
from cds.reasoning.reasoner import Reasoner
from cds.record.accounts import Accounts
from cds.record.database import Database
from cds.record.passwords import generated
from cds.record.worklist import Filter, listed
from cds.selfcheck import shipped_example
from cds.service.server import running
from cds.settings import load_settings
from cds.workbench.bench import add_author_pages
from cds.workbench.clinic import PATIENTS, TENANT, fill, patients
from cds.workbench.synth.requests import hook_request

PEOPLE = (
    ("chair", "Chair of the board"),
    ("reviewer", "Reviewer"),
    ("reader", "Reader"),
    ("author", "Author of rules"),
)
"""Who may sign in to the demo: each name is also the role."""
_MARK = ".exowatch-demo"
"""The file by which a folder is known as one that a demo may write into."""


def run_demo(*, once: bool, port: int, out: Path, rules: Path | None = None) -> int:
    """Show the main job end to end; 0 if the service answered with a card and the board with its list.

    `once`: ask, print, and leave. `rules`: a folder of rules, if not the shipped ones. Raises `InputError` for a folder that holds anything that no demo wrote.
    """
    say = terminal.say
    _ours(out)
    reasoner, today = Reasoner(load_rulebook(rules)), date.today()
    example = out / "example-suspected.json"
    example.write_bytes(shipped_example())
    for number, patient in enumerate(patients(today), 1):
        (out / f"patient-{number:06d}.json").write_text(json.dumps(patient.bundle()), encoding="utf-8")
    address, password = _clinic(out, reasoner, today)
    with running(reasoner, port=0 if once else port, database=address, pages=(add_author_pages,), rules=rules) as base:
        url, request = _card(base, out, own_rules=rules is not None)
        _board(base, password)
        say("\nWhat to look at:")
        if not once:
            say(f"  open       {base}/board  and sign in as chair, reviewer or reader; password: {password}")
            say(f"  try rules  {base}/author  and sign in as author, with the same password")
            say(f"  ask        curl -s -H 'Content-Type: application/json' --data @{request} {url}")
        program = Path(sys.argv[0]) if Path(sys.argv[0]).name == "exowatch" else Path("exowatch")
        say(f"  read       {program} evaluate {example} --as-of 2025-04-21")
        say(f"  explain    {program} explain {example} --rule trpc5-rise-on-chemotherapy")
        if once:
            return 0
        say("\nServing on loopback until you press Ctrl-C.")
        _wait()
    return 0


def _ours(out: Path) -> None:
    """Take a folder for the demo: a new one, an empty one, or that of a demo before. What it finds there it may delete."""
    mark = out / _MARK
    if out.is_dir() and not mark.is_file() and any(out.iterdir()):
        raise InputError(
            f"{out}/ holds files that this command did not write, and they stay as they are. Name an empty or a new folder "
            "with --out; if it is that of a demo of an earlier version, delete it"
        )
    out.mkdir(parents=True, exist_ok=True)
    mark.write_text("Everything in this folder is made up, and made anew by `exowatch demo`.\n", encoding="utf-8")


def _clinic(out: Path, reasoner: Reasoner, today: date) -> tuple[str, str]:
    """The record of the clinic, made anew: the address of its database, and the password of its people."""
    for file in out.glob("demo.sqlite*"):
        file.unlink()
    address, password = f"sqlite:///{out / 'demo.sqlite'}", generated()
    database = Database(address, deadline=5)
    try:
        database.upgrade()
        with terminal.progress("playing the visits of patients", len(PATIENTS) + 1) as step:
            fill(database, reasoner, load_settings(open_mode=True), today, step)
        accounts = Accounts(database)
        for role, shown in PEOPLE:
            accounts.add(TENANT, role, password, [role], "demo", shown=shown)
        counts = listed(database, TENANT, Filter()).counts.states
    finally:
        database.close()
    terminal.say(f"{len(PATIENTS) + 1} synthetic patients and one example are in {out}/; the board finds:\n")
    rows = [(str(counts[state]), terminal.state_text(state)) for state in vars(words().states) if counts.get(state)]
    terminal.table(["questions", "state"], rows)
    return address, password


def _card(base: str, out: Path, *, own_rules: bool) -> tuple[str, Path]:
    """Ask the service about the example and print its card; the address that was asked, and the request.

    `own_rules`: they may have no card for it.
    """
    services = httpx2.get(f"{base}/cds-services", timeout=10).json()["services"]
    service = next(entry for entry in services if entry["hook"] == "patient-view")
    request, url = out / "request.json", f"{base}/cds-services/{service['id']}"
    body = hook_request(msgspec.json.decode(shipped_example()), service)
    request.write_text(json.dumps(body, indent=1), encoding="utf-8")
    answer = httpx2.post(url, json=body, timeout=10)
    cards: list[dict[str, Any]] = answer.json().get("cards", [])
    terminal.say("\nThe card that an EHR would show for the example:\n")
    for card in cards:
        terminal.say(f"[{card['indicator']}] {card['summary']}\n\n{card['detail']}\n")
    if not cards and own_rules and answer.status_code == 200:
        terminal.say("These rules show no card for the example.")
    elif answer.status_code != 200 or not cards:
        raise ExowatchError(f"the service answered {answer.status_code} without a card; run `exowatch doctor`")
    return url, request


def _board(base: str, password: str) -> None:
    """Sign in and open the board's list. Raises `ExowatchError` if that does not work."""
    with httpx2.Client(base_url=base, follow_redirects=True, timeout=10) as browser:
        page = browser.get("/sign-in").text
        csrf = page.partition('name="csrf" value="')[2].partition('"')[0]
        answer = browser.post("/sign-in", data={"csrf": csrf, "name": "reader", "password": password, "next": "/board"})
    if answer.status_code != 200 or "/board/patients/" not in answer.text:
        raise ExowatchError(f"the board answered {answer.status_code} without its list; run `exowatch doctor`")


def _wait() -> None:
    """Until Ctrl-C, or until a supervisor ends the process."""
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    over.wait()
