"""From what the record says of disease, spread and receptors to a `Diagnosis`, as of a day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from cds.chart.clinical import Datum
from cds.chart.model import Diagnosis, Tri, both_or_one

_EVER = date.min
"""Undated counts as oldest."""


def diagnosis_of(said: Mapping[str, Sequence[Datum]], day: date) -> Diagnosis:
    """Disease and receptors from what is said of each; what is not stated, or only suspected, is unknown."""
    disease, spread, receptors = (
        [datum for datum in said.get(what, ()) if datum.start is None or datum.start.first <= day]
        for what in ("disease", "spread", "receptor")
    )
    by_receptor: dict[str, list[Datum]] = {"er": [], "pr": [], "her2": []}
    for datum in receptors:
        by_receptor.setdefault("her2" if datum.detail.startswith("her2") else datum.detail, []).append(datum)
    present = [datum for datum in disease if not datum.past]
    told = [datum for datum in disease if datum.detail != "nodes-or-doubtful" and datum.so is not False]
    return Diagnosis(
        invasive_breast_cancer=_invasive(disease),
        metastatic=_metastatic(disease, spread),
        other_cancer=("other-cancer", True) in [(datum.detail, datum.so) for datum in disease],
        er=_newest(by_receptor["er"]),
        pr=_newest(by_receptor["pr"]),
        her2=_newest(by_receptor["her2"]),
        her2_changed=_changed(by_receptor["her2"]),
        side=both_or_one([datum.side for datum in present if datum.so]),
        suspected_side=both_or_one([datum.side for datum in present if datum.so is None]),
        refs=tuple(dict.fromkeys([datum.ref for datum in (*told, *spread, *receptors)])),
    )


def spread_by(said: Mapping[str, Sequence[Datum]], day: date) -> bool:
    """Whether distant spread is recorded for that day or before (or without a day)."""
    return any(
        datum.detail == "metastatic" and datum.so is True and (datum.start is None or datum.start.first <= day)
        for what in ("disease", "spread")
        for datum in said.get(what, ())
    )


def _invasive(disease: Sequence[Datum]) -> Tri:
    said = {datum.detail: datum.so for datum in sorted(disease, key=lambda datum: datum.so is True)}
    if "invasive-breast" in said:
        return True if said["invasive-breast"] else None
    return False if said.get("in-situ-breast") else None


def _metastatic(disease: Sequence[Datum], spread: Sequence[Datum]) -> Tri:
    """Once recorded, spread stays; M0 or a stage below IV denies it only while nothing else speaks for it."""
    metastases = [datum.so for datum in disease if datum.detail == "metastatic"]
    if True in metastases or any(datum.detail == "metastatic" for datum in spread):
        return True
    if metastases:
        return None
    return False if spread else None


def _newest(results: Sequence[Datum]) -> Tri:
    """The answer of the newest day. FISH decides what immunohistochemistry of that day leaves open.

    Unknown if that day's answers contradict each other, or if all are equivocal.
    """
    if not results:
        return None
    last = max(map(_day, results))
    answers = {datum.answer for datum in results if _day(datum) == last} - {"equivocal"}
    return None if len(answers) != 1 else answers == {"positive"}


def _changed(results: Sequence[Datum]) -> bool:
    """Whether clear answers of different days differ."""
    by_day: dict[date, set[str]] = {}
    for datum in results:
        if datum.start is not None and datum.answer != "equivocal":
            by_day.setdefault(_day(datum), set()).add(datum.answer)
    clear = {min(answers) for answers in by_day.values() if len(answers) == 1}
    return len(clear) > 1


def _day(datum: Datum) -> date:
    return datum.start.first if datum.start is not None else _EVER
