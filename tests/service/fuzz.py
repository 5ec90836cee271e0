"""Mutants of real requests: `python -m tests.service.fuzz --mutants 100000`. None may be a fault of the service, or slow.

A mutant is a complete request with one to four changes at random places, weighted towards those that are still read as
requests: what is refused at the door tests only the door.
"""

from __future__ import annotations

import argparse
import copy
import json
import multiprocessing
import random
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from cds import terminal
from cds.conformance.probe import Probe
from cds.reasoning.loading import default_rulebook
from cds.reasoning.reasoner import Reasoner
from cds.service.app import create_app
from cds.settings import Settings
from cds.workbench.synth import make_patient
from cds.workbench.synth.requests import hook_request
from tests.service.conftest import local

Path_ = tuple[str | int, ...]
_SLOWEST_P99 = 0.25
_LEAST_EVALUATED = 0.30
_DEEPEST = 40

_ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1e308, -0.0, 10**30, 0.1, "", " ", "x" * 3000, "\x00", "ﬁ\u202e", "../../etc/passwd", "{{context.patientId}}",
    "<script>alert(1)</script>", "Patient/1", "2025-02-30", "0000-00-00", "9999-12-31T23:59:59Z", "2025-04-08T10:00:00+25:00",
    [], {}, [None], [[]], {"": None}, {"resourceType": 5}, {"reference": "#"}, {"coding": "x"}, {"value": "6.3"},
)  # fmt: skip
_NEST: Any = "x"
for _ in range(200):
    _NEST = [_NEST]


def places(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    """Every place in a JSON value but the root; of what is nested very deeply only the upper part."""
    if len(path) > _DEEPEST:
        return
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*path, key)
            yield from places(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield (*path, number)
            yield from places(inner, (*path, number))


def _at(body: Any, path: Path_) -> tuple[Any, str | int]:
    for step in path[:-1]:
        body = body[step]
    return body, path[-1]


def _drop(rng: random.Random, holder: Any, key: Any) -> None:
    del holder[key]


def _replace(rng: random.Random, holder: Any, key: Any) -> None:
    holder[key] = copy.deepcopy(rng.choice(_ODD))


def _nest(rng: random.Random, holder: Any, key: Any) -> None:
    holder[key] = _NEST


def _wrap(rng: random.Random, holder: Any, key: Any) -> None:
    holder[key] = [holder[key]] if rng.random() < 0.5 else {"x": holder[key]}


def _repeat(rng: random.Random, holder: Any, key: Any) -> None:
    if isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
    else:
        holder[f"_{key}"] = copy.deepcopy(holder[key])


def _text(rng: random.Random, holder: Any, key: Any) -> None:
    value = holder[key]
    if isinstance(value, str) and value:
        place = rng.randrange(len(value))
        holder[key] = value[:place] + rng.choice("0919-:TZxÄ ./|") + value[place + rng.randrange(2) :]
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        holder[key] = value * rng.choice((-1, 0, 1e-9, 0.5, 2, 10, 1e9))
    else:
        holder[key] = str(value)[:2000]


_CHANGES: tuple[tuple[int, Callable[[random.Random, Any, Any], None]], ...] = (
    (4, _text), (3, _drop), (3, _replace), (1, _wrap), (2, _repeat), (1, _nest),
)  # fmt: skip


def mutant(rng: random.Random, bodies: list[dict[str, Any]]) -> dict[str, Any]:
    """A request with one to four changes, most of them in the data that it brings."""
    body = copy.deepcopy(rng.choice(bodies))
    for _ in range(rng.randint(1, 4)):
        inside = rng.random() < 0.85 and isinstance(body.get("prefetch"), dict)
        found = list(places(body["prefetch"], ("prefetch",)) if inside else places(body))
        if not found:
            break
        holder, key = _at(body, rng.choice(found))
        rng.choices([change for _, change in _CHANGES], [weight for weight, _ in _CHANGES])[0](rng, holder, key)
    return body


@dataclass
class Counts:
    """What became of a batch of mutants."""

    statuses: Counter[int] = field(default_factory=Counter)
    took: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def batch(seed: int, count: int) -> Counts:
    """Send `count` mutants of the seed, in this process."""
    with local(create_app(Settings(open_mode=True), Reasoner(default_rulebook()))) as client:
        probe = Probe("http://localhost", client=client)
        services = {service["id"]: service for service in probe.services}
        bodies: list[tuple[str, dict[str, Any]]] = []
        for key, service in services.items():
            if "." not in service["hook"]:
                bodies.append((key, probe.request(service)))
        for index in range(6):  # patients with gaps and faults of their own
            service = services["exowatch-patient-view"]
            bodies.append((service["id"], hook_request(make_patient(5, index).bundle, service)))
        found = Counts()
        for number in range(count):
            rng = random.Random(f"{seed} {number}")
            key, body = rng.choice(bodies)
            body = mutant(rng, [body])
            if rng.random() < 0.95:
                body["hookInstance"] = str(uuid.UUID(int=rng.getrandbits(128), version=4))
            try:
                content = json.dumps(body).encode()
            except (ValueError, RecursionError):
                continue
            started = time.perf_counter()
            answer = client.post(f"/cds-services/{key}", content=content, headers={"Content-Type": "application/json"})
            found.took.append(time.perf_counter() - started)
            found.statuses[answer.status_code] += 1
            stated = answer.json()
            right = "cards" in stated if answer.status_code == 200 else stated.get("resourceType") == "OperationOutcome"
            if answer.status_code >= 500 or not right:
                found.faults.append(f"seed {seed}, mutant {number}: status {answer.status_code}")
    return found


def judged(parts: list[Counts]) -> tuple[str, bool]:
    """A report, and whether everything was as it should be."""
    statuses: Counter[int] = sum((part.statuses for part in parts), Counter())
    took = sorted(second for part in parts for second in part.took)
    faults = [fault for part in parts for fault in part.faults]
    total = sum(statuses.values())
    p99 = took[int(len(took) * 0.99)]
    evaluated = statuses[200] / total
    lines = [
        f"{total:,} mutants: {', '.join(f'{status}: {count:,}' for status, count in sorted(statuses.items()))}",
        f"{evaluated:.0%} reached evaluation; p99 {p99 * 1000:.0f} ms, longest {took[-1] * 1000:.0f} ms; {len(faults)} faults",
        *faults[:20],
    ]
    return "\n".join(lines), not faults and p99 < _SLOWEST_P99 and evaluated >= _LEAST_EVALUATED


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=multiprocessing.cpu_count())
    arguments = parser.parse_args()
    size = 500
    batches = [(arguments.seed * 1_000_000 + number, size) for number in range(-(-arguments.mutants // size))]
    parts: list[Counts] = []
    with (
        multiprocessing.get_context("spawn").Pool(arguments.workers) as pool,
        terminal.progress("mutants", len(batches)) as step,
    ):
        for part in pool.imap_unordered(_batch, batches):
            parts.append(part)
            step()
    report, fine = judged(parts)
    sys.stdout.write(report + "\n")
    raise SystemExit(0 if fine else 1)


def _batch(given: tuple[int, int]) -> Counts:
    return batch(*given)


if __name__ == "__main__":
    main()
