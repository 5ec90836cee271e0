"""Metrics in the Prometheus text format: whether the record answers, and whether the feed has gone silent."""

from __future__ import annotations

from datetime import UTC, datetime

from cds.chart.clock import when
from cds.record.listing import Counted

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
    read = when(counted.last)
    if read is not None and read.instant is not None:
        seconds = ((now or datetime.now(UTC)) - read.instant).total_seconds()
        lines.append(f"exowatch_seconds_since_last_evaluation {max(seconds, 0):.1f}")
    else:
        lines.append("exowatch_seconds_since_last_evaluation +Inf")  # nothing ever was
    lines += ["# HELP exowatch_advisories Advisories by how they stand.", "# TYPE exowatch_advisories gauge"]
    lines += [f'exowatch_advisories{{standing="{name}"}} {count}' for name, count in sorted(counted.standing.items())]
    return "\n".join([*lines, ""])
