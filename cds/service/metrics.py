"""Metrics in the Prometheus text format: whether the record answers, whether the feed has gone silent, what waits, and how this
process answers."""

from __future__ import annotations

import os
import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime

from cds.chart.clock import when
from cds.record.listing import Counted
from cds.record.ownership import Waits

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


_WITHIN = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Seconds up to which answers are counted together."""


class Tally:
    """Counts what one process answers, without anything about a patient; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: Counter[tuple[str, int]] = Counter()
        self._within: dict[str, list[int]] = {}
        self._seconds: dict[str, float] = {}
        self._feedback: Counter[str] = Counter()

    def answered(self, what: str, status: int, seconds: float) -> None:
        """One answer of a service or of another part of this one."""
        with self._lock:
            self._answers[what, status] += 1
            self._within.setdefault(what, [0] * (len(_WITHIN) + 1))[bisect_left(_WITHIN, seconds)] += 1
            self._seconds[what] = self._seconds.get(what, 0.0) + seconds

    def told(self, entries: Mapping[str, int]) -> None:
        """Entries of feedback that were taken, by what became of them."""
        with self._lock:
            self._feedback.update(entries)

    def lines(self) -> list[str]:
        """The exposition. Each line names the process: of several workers on one port any may answer."""
        who = f'process="{os.getpid()}"'
        with self._lock:
            answers, seconds, feedback = sorted(self._answers.items()), dict(self._seconds), dict(self._feedback)
            within = {what: list(counts) for what, counts in sorted(self._within.items())}
        lines = [
            "# HELP exowatch_answers_total Answers by what was called and by status.",
            "# TYPE exowatch_answers_total counter",
        ]
        lines += [
            f'exowatch_answers_total{{{who},what="{what}",status="{status}"}} {n}' for (what, status), n in answers
        ]
        lines += [
            "# HELP exowatch_answer_seconds How long answers took, from the head of the request to the head of the answer.",
            "# TYPE exowatch_answer_seconds histogram",
        ]
        for what, counts in within.items():
            of, so_far = f'{who},what="{what}"', 0
            for limit, count in zip([*map(str, _WITHIN), "+Inf"], counts, strict=True):
                so_far += count
                lines.append(f'exowatch_answer_seconds_bucket{{{of},le="{limit}"}} {so_far}')
            lines += [
                f"exowatch_answer_seconds_sum{{{of}}} {seconds[what]:.6f}",
                f"exowatch_answer_seconds_count{{{of}}} {so_far}",
            ]
        lines += [
            "# HELP exowatch_feedback_total Entries of feedback that were taken: new, known before, or of a card that nobody knows.",
            "# TYPE exowatch_feedback_total counter",
        ]
        return lines + [f'exowatch_feedback_total{{{who},entry="{one}"}} {n}' for one, n in sorted(feedback.items())]


def exposition(counted: Counted | None, tally: Tally, now: datetime | None = None) -> str:
    """The metrics, without anything about a patient. Where the record is away (None) that is said, and how this process answers."""
    lines = [
        *tally.lines(),
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
