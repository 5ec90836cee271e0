"""A back-test as a multiple of one evaluation's cost in the same run; what 20,000 patients over 24 months take follows from it.

One evaluation is a chart as of a day and every rule asked of it. A back-test makes each patient, reads the record, evaluates it as of each
visit and counts. Every part is measured on the same patients in turn, in one process; then all of it with workers. Run by
`python -m benchmarks.backtest --patients 500 --workers 2`.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import time

from cds.chart import read
from cds.workbench.synth import Design, make_patient
from cds.workbench.trials.backtest import backtest
from cds.workbench.trials.cohorts import Synthetic
from cds.workbench.trials.lives import lives, reasoner_of, visits
from cds.workbench.trials.versions import Version


def parts(patients: int, months: int) -> tuple[float, float, float, float]:
    """Processor seconds for a patient: made, read; for an evaluation; and how many evaluations a patient has."""
    reasoner, design = reasoner_of(Version()), Design(months=months)
    making: list[float] = []
    reading: list[float] = []
    evaluating: list[float] = []
    clock = time.process_time
    for index in range(patients):
        begun = clock()
        patient = make_patient(1, index, design=design)
        made = clock()
        record = read(patient.bundle, reasoner.rulebook.catalogue)
        making.append(made - begun)
        reading.append(clock() - made)
        for day in visits(record):
            begun = clock()
            reasoner.evaluate(record.as_of(day))
            evaluating.append(clock() - begun)
    return statistics.mean(making), statistics.mean(reading), statistics.mean(evaluating), len(evaluating) / patients


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    options.add_argument("--patients", type=int, default=500)
    options.add_argument("--months", type=int, default=24)
    options.add_argument("--workers", type=int, default=2)
    given = options.parse_args()
    made, got, evaluated, visited = parts(min(given.patients, 100), given.months)
    print(
        f"one evaluation {evaluated * 1e3:.3f} ms; a patient made {made / evaluated:.1f}, read {got / evaluated:.1f} evaluations; {visited:.1f} visits"
    )
    cohort = Synthetic(1, given.patients, Design(months=given.months))
    before = sum(os.times()[:4])
    started = time.perf_counter()
    found = backtest(
        (life for (life,) in lives(cohort, [Version()], given.workers)), reasoner_of(Version()).rulebook, cohort.name
    )
    wall, spent = time.perf_counter() - started, sum(os.times()[:4]) - before
    each = spent / found.evaluations / evaluated
    print(
        f"{given.patients:,} patients x {given.months} months, {found.evaluations:,} evaluations, {given.workers} workers: {wall:.1f} s by the clock, "
        f"{spent:.1f} s of processors = {spent / evaluated:,.0f} evaluations' cost, {each:.2f} for each evaluation"
    )
    print(
        f"in proportion, 20,000 patients cost {20_000 / given.patients * spent / evaluated:,.0f} evaluations; largest process "
        f"{max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024:.0f} MiB"
    )


if __name__ == "__main__":
    main()
