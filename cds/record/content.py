"""What is stored of an evaluation: its canonical inputs, its findings and what was said, each compressed and exact.

`findings` is what replay compares byte for byte: every rule's own answer, with its facts and the results that it used.
"""

from __future__ import annotations

import hashlib
import json
import platform
import zlib
from collections.abc import Mapping
from decimal import Decimal
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

import msgspec

from cds.advice.advisory import Advisory
from cds.reasoning.findings import Evaluation, Finding

_ENCODER = msgspec.json.Encoder(order="deterministic", decimal_format="number")
_DECODER = msgspec.json.Decoder(float_hook=Decimal)
_PACKAGES = ("exowatch", "durable_rules", "msgspec")


def encoded(content: Any) -> bytes:
    """Canonical JSON: the same bytes for the same content. Decimals keep their digits."""
    return _ENCODER.encode(content)


def compressed(canonical: bytes) -> bytes:
    """Canonical JSON as it is stored."""
    return zlib.compress(canonical, 6)


class Packed(NamedTuple):
    """Content as it is stored, and what tells it from other content."""

    digest: str  # SHA-256 of the canonical JSON, in hex
    stored: bytes

    @classmethod
    def of(cls, content: Any) -> Packed:
        canonical = encoded(content)
        return cls(hashlib.sha256(canonical).hexdigest(), compressed(canonical))


def packed(content: Any) -> bytes:
    """Content as it is stored: canonical JSON, compressed."""
    return compressed(encoded(content))


def unpacked(content: bytes) -> Any:
    """What was packed; figures with a fraction come back as decimals."""
    return _DECODER.decode(zlib.decompress(content))


def canonical_bytes(content: bytes) -> bytes:
    """The canonical JSON that was packed."""
    return zlib.decompress(content)


def said(content: bytes) -> Advisory:
    """An `Advisory` as it was stored."""
    return msgspec.json.decode(zlib.decompress(content), type=Advisory)


def is_nothing(content: bytes) -> bool:
    """Whether nothing was packed: an event without words of its own."""
    return zlib.decompress(content) == b"null"


def versions() -> dict[str, str]:
    """Of everything that can change a finding beside the rule book."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "checkout"
    return found


def findings(evaluation: Evaluation) -> dict[str, Any]:
    """Every rule's own answer, as plain data."""
    return {
        "asOf": evaluation.chart.as_of.isoformat(),
        "rulebook": evaluation.rulebook_hash,
        "silent": [list(one) for one in evaluation.silent],
        "answers": {name: _finding(finding) for name, finding in sorted(evaluation.answers.items())},
    }


def answer(evaluation: Evaluation) -> bytes:
    """A patient's findings as one line of canonical JSON: what is stored of an evaluation, whose it is, and which rules are shown."""
    shown = [finding.rule.name for finding in evaluation.findings if finding.rule.status == "active"]
    return encoded({"patient": evaluation.chart.patient, "shown": shown, **findings(evaluation)})


def _finding(finding: Finding) -> dict[str, Any]:
    line, operation = finding.line, finding.operation
    return {
        "rule": finding.rule.hash,
        "state": finding.state,
        "clause": finding.clause.key if finding.clause is not None else None,
        "holding": [clause.key for clause in finding.holding],
        "notes": list(finding.notes),
        "missing": list(finding.missing),
        "cannotExclude": [[held.state, held.clause, list(held.facts)] for held in finding.cannot_exclude],
        "facts": dict(sorted(finding.facts.items())),
        "latest": finding.latest.ref if finding.latest is not None else None,
        "line": [line.therapy, _day(line.start), _day(line.end), list(line.drugs)] if line is not None else None,
        "operation": _day(operation.day) if operation is not None else None,
        "day": finding.day,
        "ratios": {
            name: [_number(found.ratio.low), _number(found.ratio.high), _number(found.threshold)]
            for name, found in sorted(finding.comparisons.items())
        },
        "pair": [result.ref for result in finding.pair] if finding.pair is not None else None,
        "judged": [result.ref for result in finding.judged],
    }


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Where two sets of findings differ, each as `rule: what: then → now`."""
    found: list[str] = []
    before, after = then["answers"], now["answers"]
    for name in sorted({*before, *after}):
        if name not in after:
            found.append(f"{name}: {before[name]['state']} → no such question any more")
        elif name not in before:
            found.append(f"{name}: not asked then → {after[name]['state']}")
        else:
            for key in sorted({*before[name], *after[name]} - {"rule"}):
                was, is_ = before[name].get(key), after[name].get(key)
                if was != is_:
                    found.append(f"{name}: {key}: {_short(was)} → {_short(is_)}")
    return found


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str, sort_keys=True)
    return text if len(text) <= 200 else text[:199] + "…"


def _day(day: Any) -> str | None:
    return day.isoformat() if day is not None else None


def _number(value: float) -> float | str:
    return value if value != float("inf") else "inf"
