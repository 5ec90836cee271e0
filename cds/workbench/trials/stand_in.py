"""A made-up patient to whom a rule applies, with samples that pass every gate: nothing but their values decides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from itertools import product

import msgspec

from cds.chart.catalogue import Catalogue
from cds.chart.model import Chart, Diagnosis, Line, Method, Operation, Result
from cds.errors import InputError
from cds.reasoning.findings import Evaluation, Finding
from cds.reasoning.reasoner import Reasoner
from cds.reasoning.rulebook import Rule
from cds.workbench.trials.variants import leaves

DAY_0 = date(2025, 1, 6)
_CHECKS = dict.fromkeys(("haemolysis", "lipaemia", "residual-platelets", "dna-control", "drug-tolerance"), True)


class StandIn:
    """The patient of one rule. Days count from the first dose, or from the operation.

    Raises `InputError` if the rule applies to nobody whom a diagnosis, one line of each class and an operation can make up.
    """

    def __init__(self, reasoner: Reasoner, rule: Rule, baselines: Sequence[int], days: Sequence[int]):
        self.rule = rule
        self.markers = tuple(dict.fromkeys(leaf.watches for leaf in leaves(reasoner.rulebook, rule)))
        self._blank = {marker: _clean(marker, reasoner.rulebook.catalogue) for marker in self.markers}
        drawn = dict.fromkeys((*baselines, *days), 1.0)
        values = dict.fromkeys(self.markers, drawn)
        for patient in self._patients(reasoner):
            self._patient = patient
            evaluation = reasoner.evaluate(self.chart(days[0], values))
            if all(self._applies(evaluation, leaf) for leaf in leaves(reasoner.rulebook, rule)):
                return
        raise InputError(
            f"the rule '{rule.name}' applied to no patient that could be made up for day {days[0]}. Likely the first follow-up lies "
            "outside its days, or 'only_if' asks for more than receptors, spread and intent; give another --schedule"
        )

    def chart(
        self,
        day: int,
        values: Mapping[str, Mapping[int, float]],
        total_ev: Mapping[int, float] | None = None,
        variation: Mapping[str, tuple[float, float]] | None = None,
    ) -> Chart:
        """The chart as of a day, with what was drawn until then: values by marker and day, total EV counts by day.

        `variation` is what the laboratory states with each result of a marker: analytical and within-person CV as fractions.
        """
        results: dict[str, tuple[Result, ...]] = {}
        for marker, series in values.items():
            cva, cvi = (variation or {}).get(marker, (None, None))
            results[marker] = tuple(
                msgspec.structs.replace(
                    self._blank[marker],
                    ref=f"Observation/{marker}-{when}",
                    collected=DAY_0 + timedelta(days=when),
                    low=value,
                    high=value,
                    per_ev_low=value / (total_ev or {}).get(when, 1.0),
                    per_ev_high=value / (total_ev or {}).get(when, 1.0),
                    cva=cva,
                    cvi=cvi,
                )
                for when, value in sorted(series.items())
                if when <= day
            )
        return msgspec.structs.replace(self._patient, as_of=DAY_0 + timedelta(days=day), results=results)

    def answer(self, evaluation: Evaluation) -> Finding:
        """What the rule says, also if it is one that only another rule hands on."""
        found = _answer(evaluation, self.rule)
        assert found is not None  # every chart has results of the rule's markers
        return found

    @staticmethod
    def _applies(evaluation: Evaluation, leaf: Rule) -> bool:
        found = _answer(evaluation, leaf)
        return found is not None and found.facts.get("applies") is True

    def _patients(self, reasoner: Reasoner) -> Iterator[Chart]:
        """Patients without results, the plainest first."""
        rules = leaves(reasoner.rulebook, self.rule)
        therapies = tuple(dict.fromkeys(leaf.anchor.therapies[0] for leaf in rules if leaf.anchor.therapies))
        operated = any(leaf.anchor.operation for leaf in rules)
        for neoadjuvant, her2, hormone, metastatic in product(
            (None, True, False), (False, True), (True, False), (None, True)
        ):
            diagnosis = Diagnosis(True, metastatic=metastatic, er=hormone, pr=hormone, her2=her2)
            yield Chart(
                "Patient/stand-in", DAY_0, birth_date=DAY_0 - timedelta(days=55 * 365), sex="female", diagnosis=diagnosis,
                lines=tuple(Line(name, (name,), DAY_0, neoadjuvant=neoadjuvant) for name in therapies),
                operations=(Operation(DAY_0, curative=True, ref="Procedure/stand-in"),) if operated else (),
            )  # fmt: skip


def _answer(evaluation: Evaluation, rule: Rule) -> Finding | None:
    parts = (part for finding in evaluation.answers.values() for part in finding.parts if part.rule.name == rule.name)
    return evaluation.answers.get(rule.name) or next(parts, None)


def _clean(marker: str, catalogue: Catalogue) -> Result:
    known = catalogue.markers[marker]
    family = next(iter(known.families))
    specimen = known.specimens[0] if known.specimens else "plasma"
    return Result(
        "", marker, None, shown="drawn", family=family, unit=known.families[family].canonical,
        method=Method(specimen, "edta", "sec", "assay", "platform", "reagents", "normaliser"), laboratory="A", lot="1", checks=_CHECKS,
    )  # fmt: skip
