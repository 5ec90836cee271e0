"""`exowatch demo`: a few synthetic patients, the service on loopback, a card, and what to look at next."""

from __future__ import annotations

import json
import signal
import sys
import threading
import uuid
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from cds import terminal
from cds.chart import Moment, read_all
from cds.errors import ExowatchError
from cds.reasoning.loading import default_rulebook
from cds.reasoning.reasoner import Reasoner
from cds.selfcheck import shipped_example
from cds.service.server import running
from cds.workbench.synth import write_cohort

PATIENTS = 12


def run_demo(*, once: bool, port: int, out: Path) -> int:
    """Show the main job end to end; 0 if the service answered with a card. `once`: ask, print, and leave."""
    say = terminal.say
    reasoner = Reasoner(default_rulebook())
    with terminal.progress("making patients", PATIENTS) as step:
        write_cohort(2026, PATIENTS, 1, out, progress=step)
    example = out / "example-suspected.json"
    example.write_bytes(shipped_example())
    say(f"{PATIENTS} synthetic patients and one example are in {out}/\n")
    rows = [
        (
            path.name,
            ", ".join(f"{' + '.join(f.markers)}: {terminal.state_text(f.state)}" for f in findings)
            or "nothing to read",
        )
        for path in sorted(out.glob("*.json"))
        if not path.name.startswith("request")
        for findings in _findings(reasoner, path)
    ]
    terminal.table(["file", "states"], rows)
    with running(reasoner, port=0 if once else port, database=f"sqlite:///{out / 'exowatch.sqlite'}") as base:
        services = httpx2.get(f"{base}/cds-services", timeout=10).json()["services"]
        service = next(entry for entry in services if entry["hook"] == "patient-view")
        request = out / "request.json"
        body = hook_request(shipped_example(), service)
        request.write_text(json.dumps(body, indent=1), encoding="utf-8")
        url = f"{base}/cds-services/{service['id']}"
        answer = httpx2.post(url, json=body, timeout=10)
        cards = answer.json().get("cards", [])
        say("\nThe card that an EHR would show for the example:\n")
        for card in cards:
            say(f"[{card['indicator']}] {card['summary']}\n\n{card['detail']}\n")
        if answer.status_code != 200 or not cards:
            raise ExowatchError(f"the service answered {answer.status_code} without a card; run `exowatch doctor`")
        say("What to look at:")
        if not once:
            say(f"  open       {base}/cds-services  (what the service offers, as JSON)")
            say(f"  ask        curl -s -H 'Content-Type: application/json' --data @{request} {url}")
        program = Path(sys.argv[0]) if Path(sys.argv[0]).name == "exowatch" else Path("exowatch")
        say(f"  evaluate   {program} evaluate {example}")
        say(f"  explain    {program} explain {example} --rule trpc5-rise-on-chemotherapy")
        if once:
            return 0
        say("\nServing on loopback until you press Ctrl-C.")
        _wait()
    return 0


def _findings(reasoner: Reasoner, path: Path) -> list[Any]:
    moment = Moment.parse("2026-06-30")
    records = read_all(path.read_bytes(), reasoner.rulebook.catalogue)
    return [reasoner.evaluate(record.as_of(moment)).findings for record in records]


def hook_request(bundle: bytes, service: dict[str, Any]) -> dict[str, Any]:
    """A patient-view request whose prefetch holds what the service asks for, taken from a bundle."""
    resources = [entry["resource"] for entry in msgspec.json.decode(bundle)["entry"]]
    patient = next(resource for resource in resources if resource["resourceType"] == "Patient")
    prefetch: dict[str, Any] = {}
    for key, query in service["prefetch"].items():
        kind = query.partition("?")[0].partition("/")[0]
        if kind == "Patient":
            prefetch[key] = patient
            continue
        found = [{"resource": resource} for resource in resources if resource["resourceType"] == kind]
        prefetch[key] = {"resourceType": "Bundle", "type": "searchset", "entry": found} if found else None
    return {
        "hook": service["hook"],
        "hookInstance": str(uuid.uuid5(uuid.NAMESPACE_URL, "https://exowatch.example/demo")),
        "context": {"userId": "Practitioner/demo", "patientId": patient["id"]},
        "prefetch": prefetch,
    }


def _wait() -> None:
    """Until Ctrl-C, or until a supervisor ends the process."""
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    over.wait()
