"""Changes to what rules share: the gates with their windows, and what a rule takes from its marker's file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from cds.chart.catalogue import Marker
from cds.reasoning.rulebook import Rule, RuleBook


def of_marker(marker: Marker, rule: Rule) -> Iterator[tuple[str, Marker]]:
    """Changes to what the rule takes from its marker's file. A rule without changes takes no coefficients."""
    where = f"markers/{marker.name}.yaml"
    if any(spec.kind == "value" for spec in rule.facts):
        for step in (-0.01, 0.01):
            cva, cvi = round(marker.cva + step, 4), round(marker.cvi + step, 4)
            yield f"{where}: cv: analytical {marker.cva:.0%} → {cva:.0%}", replace(marker, cva=cva)
            yield f"{where}: cv: within_person {marker.cvi:.0%} → {cvi:.0%}", replace(marker, cvi=cvi)
    if any(spec.kind == "check" for spec in rule.facts):
        for check in marker.checks:
            fewer = {name: wanted for name, wanted in marker.checks.items() if name != check}
            yield f"{where}: checks: {check} dropped", replace(marker, checks=fewer)
        if marker.specimens:
            yield f"{where}: specimens dropped", replace(marker, specimens=())
        if marker.bound_by:
            yield f"{where}: bound_by dropped", replace(marker, bound_by="")


def of_gates(book: RuleBook) -> Iterator[tuple[str, str, RuleBook]]:
    for place, gate in enumerate(book.gates):

        def turned(place: int = place, **changes: Any) -> RuleBook:
            gates = list(book.gates)
            gates[place] = replace(gates[place], **changes)
            return replace(book, gates=tuple(gates))

        for number, (spec, state, unknown) in enumerate(gate.fails_on):
            where = f"gates: {gate.name}: {spec.name}"
            rest = gate.fails_on[:number] + gate.fails_on[number + 1 :]
            yield "clause", f"{where} dropped", turned(fails_on=rest)
            for other in {"not-evaluable", "hold"} - {state}:
                changed = (*gate.fails_on[:number], (spec, other, unknown), *gate.fails_on[number + 1 :])
                yield "state", f"{where}: {state} → {other}", turned(fails_on=changed)
            for words, params in _of_params(spec.kind, spec.params):
                changed = (
                    *gate.fails_on[:number],
                    (replace(spec, params=params), state, unknown),
                    *gate.fails_on[number + 1 :],
                )
                yield "window", f"{where}: {words}", turned(fails_on=changed)
        for number, spec in enumerate(gate.notes):
            where = f"gates: {gate.name}: note {spec.name}"
            rest_of_notes = gate.notes[:number] + gate.notes[number + 1 :]
            yield "clause", f"{where} dropped", turned(notes=rest_of_notes)
            for words, params in _of_params(spec.kind, spec.params):
                stepped = (*gate.notes[:number], replace(spec, params=params), *gate.notes[number + 1 :])
                yield "window", f"{where}: {words}", turned(notes=stepped)
        if gate.every_sample:
            yield "gate", f"gates: {gate.name}: of every sample → of the latest", turned(every_sample=False)
    windows = book.windows
    for step in (-1, 1):
        for name, altered in (
            ("baseline_before", replace(windows, baseline_before=windows.baseline_before + step)),
            ("late_baseline", replace(windows, late_baseline=windows.late_baseline + step)),
            ("fault_before", replace(windows, fault_before=windows.fault_before + step)),
        ):
            now: int = getattr(windows, name)
            yield "window", f"gates: {name} {now} d → {now + step} d", replace(book, windows=altered)
    for element in windows.elements:
        rest_of = tuple(one for one in windows.elements if one != element)
        yield "gate", f"gates: elements: {element} dropped", replace(book, windows=replace(windows, elements=rest_of))
    for therapy, (days, cut) in windows.lasting.items():
        for step in (-1, 1):
            lasting = {**windows.lasting, therapy: (days + step, cut)}
            yield (
                "window",
                f"gates: lasting: {therapy} {days} d → {days + step} d",
                replace(book, windows=replace(windows, lasting=lasting)),
            )
        lasting = {**windows.lasting, therapy: (days, not cut)}
        yield (
            "gate",
            f"gates: lasting: {therapy}: cut_short turned",
            replace(book, windows=replace(windows, lasting=lasting)),
        )


def _of_params(kind: str, params: Any) -> Iterator[tuple[str, Any]]:
    make: Callable[[int], Any] = {"age": int, "operation": int}.get(kind, lambda days: (params[0], days))
    if kind in ("age", "operation", "event", "given"):
        now = params if isinstance(params, int) else params[1]
        for step in (-1, 1):
            yield f"{now} → {now + step}", make(now + step)
    if kind == "fault":
        faults, where = params
        for other in {"near", "latest", "anywhere"} - {where}:
            yield f"where: {where} → {other}", (faults, other)
