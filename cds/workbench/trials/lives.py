"""What a rule book would have said of a patient on each visit, with what was known on that day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date
from functools import cache, partial
from typing import Any

import msgspec

from cds.advice.wording import Wording
from cds.chart import Record
from cds.reasoning.findings import Finding
from cds.reasoning.loading import load_rulebook
from cds.reasoning.reasoner import Reasoner
from cds.reasoning.rulebook import RuleBook
from cds.workbench.ordered import in_order
from cds.workbench.trials.cohorts import Cohort, Truth
from cds.workbench.trials.variants import leaves
from cds.workbench.trials.versions import Version


class Life(msgspec.Struct, frozen=True):
    """One patient: on which days something became known of a marker, and the state of each rule on each of them.

    `states` holds for each rule that was asked at least once as many states as there are `days`; "" where it was not asked.
    `missing` says in words what kept a rule from judging, and on how many days.
    """

    truth: Truth
    days: tuple[date, ...]
    states: Mapping[str, tuple[str, ...]]
    missing: Mapping[str, Mapping[str, int]] = {}


def visits(record: Record) -> list[date]:
    """The days on which a marker result became known, or was changed or taken back."""
    return sorted({version.known.day for versions in record.results for version in versions})


def lived(reasoner: Reasoner, record: Record, truth: Truth) -> Life:
    """The patient's life as the service would have followed it; of combined rules the whole, not the parts."""
    days, words = visits(record), Wording(reasoner.rulebook)
    said, missing = [], dict[str, Counter[str]]()
    for day in days:
        evaluation = reasoner.evaluate(record.as_of(day))
        said.append({name: finding.state for name, finding in evaluation.answers.items() if not finding.rule.part})
        for name, finding in evaluation.answers.items():
            if finding.state == "not-evaluable" and not finding.rule.part:
                missing.setdefault(name, Counter()).update(dict.fromkeys(_lacking(finding, words), 1))
    rules = sorted({name for one in said for name in one})
    return Life(truth, tuple(days), {name: tuple([one.get(name, "") for one in said]) for name in rules}, missing)


def _lacking(finding: Finding, words: Wording) -> Iterator[str]:
    """What would have to be stated for a finding to be judged, in words."""
    for fact in finding.missing:
        yield from words.missing(fact, finding)
    failed = {clause.all[0].fact for clause in finding.holding if clause.gate and clause.all[0].wanted}
    if "method-not-stated" in failed:
        yield from words.unstated(finding)
    if "no-baseline" in failed:
        yield from words.missing("no-baseline", finding)


def unheard(book: RuleBook, asked: Collection[str], of: str = "this cohort") -> tuple[str, ...]:
    """A sentence for each rule that is none of those `asked` of anybody: that it was silent is no sign that it is right."""
    return tuple(
        f"{rule.name}: no patient of {of} has a result of {' or '.join(leaf.watches for leaf in leaves(book, rule))}: "
        "nothing is shown of this rule"
        for rule in book.rules
        if not rule.part and rule.name not in asked
    )


def lives(cohort: Cohort, versions: Sequence[Version], workers: int) -> Iterator[tuple[Life, ...]]:
    """Every patient's life under each version of the rules, in the cohort's order."""
    return in_order(partial(_lived, cohort, tuple(versions)), cohort.items(), workers)


def _lived(cohort: Cohort, versions: tuple[Version, ...], item: Any) -> tuple[Life, ...]:
    found = []
    for version in versions:
        reasoner = reasoner_of(version)
        record, truth = cohort.patient(item, reasoner.rulebook.catalogue)
        found.append(lived(reasoner, record, truth))
    return tuple(found)


@cache
def reasoner_of(version: Version) -> Reasoner:
    """The reasoner over a version of the rules, one for each process. Raises `RuleBookError`."""
    return Reasoner(load_rulebook(version.files(), drafts=version.drafts))
