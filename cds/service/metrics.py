"""Metrics in the Prometheus text format: whether the record answers, whether the feed has gone silent, and what waits."""

from __future__ import annotations

from datetime import UTC, datetime

from cds.chart.clock import when
from cds.record.listing import Counted
from cds.record.ownership import Waits

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition(counted: Counted | None, now: datetime | None = None) -> str:
    """The metrics, without anything about a patient. Where the record is away (None) only that is said."""
    lines = [
        "# HELP exowatch_record_up Whether the record answers.",
        "# TYPE exowatch_record_up gauge",
    ]
    if counted is None:
        return "\n".join([*lines, "exowatch_record_up 0", ""])
    lines += [
        "exowatch_record_up 1",
        "# HELP exowatch_seconds_since_last_evaluation Seconds since anything was evaluated; alarm when the feed is silent.",
        "# TYPE exowatch_seconds_since_last_evaluation gauge",
    ]
    now = now or datetime.now(UTC)
    lines.append(f"exowatch_seconds_since_last_evaluation {_seconds(counted.last, now, '+Inf')}")  # nothing ever was
    lines += ["# HELP exowatch_advisories Advisories by how they stand.", "# TYPE exowatch_advisories gauge"]
    lines += [f'exowatch_advisories{{standing="{name}"}} {count}' for name, count in sorted(counted.standing.items())]
    lines += [
        "# HELP exowatch_results_waiting Results of laboratories of which nobody knows whose they are, by reason.",
        "# TYPE exowatch_results_waiting gauge",
    ]
    reasons = [why for why in Waits if why != Waits.ASIDE]
    lines += [f'exowatch_results_waiting{{reason="{why}"}} {counted.waiting.get(why, 0)}' for why in reasons]
    lines += [
        "# HELP exowatch_evaluations_due Patients of whom results arrived and who were not evaluated since.",
        "# TYPE exowatch_evaluations_due gauge",
        f"exowatch_evaluations_due {counted.due}",
        "# HELP exowatch_evaluation_due_seconds For how long the first of them has been waiting; alarm when it grows.",
        "# TYPE exowatch_evaluation_due_seconds gauge",
        f"exowatch_evaluation_due_seconds {_seconds(counted.due_since, now, '0')}",
    ]
    return "\n".join([*lines, ""])


def _seconds(since: str, now: datetime, never: str) -> str:
    read = when(since)
    if read is None or read.instant is None:
        return never
    return f"{max((now - read.instant).total_seconds(), 0):.1f}"
