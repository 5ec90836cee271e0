"""Rules on findings: a second pass, fed by the host with the answers of component rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import NamedTuple

from cds.chart.model import Chart, Tri
from cds.mistakes import Mistake
from cds.reasoning.findings import Finding
from cds.reasoning.kinds.imaging import WORSE_RESPONSE, is_one_of, response_near
from cds.reasoning.rulebook import FactSpec
from cds.source import Section, likely


class StateOf(NamedTuple):
    """Whether the component's state is one of these; false if it was never measured."""

    component: str
    states: tuple[str, ...]


class SameDay(NamedTuple):
    """Whether the components' latest samples are of one day."""

    components: tuple[str, ...]


class ImagingNear(NamedTuple):
    """Whether the most recent response near the samples on which the components rest is one of these."""

    responses: frozenset[str]
    within: int


_JUDGED = ("suspected", "persistent", "watch", "no-flag")


def read_fact(name: str, section: Section, components: tuple[str, ...], states: tuple[str, ...]) -> FactSpec:
    """A fact of a combining rule: `{finding: NAME, is: [STATE, …]}`, `{same_day: [NAME, …]}` or `{imaging: …, within: …}`."""
    params: StateOf | SameDay | ImagingNear
    if "same_day" in section:
        section.keys("same_day")
        params = SameDay(section.texts("same_day"))
        for component in params.components:
            if component not in components:
                hint = likely(component, components, "findings")
                section.problem(f"'{component}' is not combined", hint, at="same_day", mistake=Mistake.UNKNOWN_WORD)
    elif "imaging" in section:
        section.keys("imaging", "within")
        params = ImagingNear(frozenset(section.texts("imaging")), section.days("within"))
        for response in params.responses - set(WORSE_RESPONSE):
            section.problem(
                f"'{response}' is no response",
                f"one of {', '.join(WORSE_RESPONSE)}",
                at="imaging",
                mistake=Mistake.UNKNOWN_RESPONSE,
            )
    else:
        section.keys("finding", "is")
        section.choice("finding", components)
        for state in section.texts("is"):
            if state not in states:
                section.problem(
                    f"'{state}' is no state", f"states: {', '.join(states)}", at="is", mistake=Mistake.UNKNOWN_STATE
                )
        params = StateOf(section.text("finding"), section.texts("is"))
    return FactSpec(name, "combination", params, False, "always")


def value(spec: FactSpec, chart: Chart, parts: Mapping[str, Finding]) -> Tri:
    """The fact's truth, from the components that were measured."""
    params = spec.params
    if isinstance(params, StateOf):
        part = parts.get(params.component)
        return part is not None and part.state in params.states
    if isinstance(params, SameDay):
        days = {part.latest.collected for name in params.components if (part := parts.get(name)) and part.latest}
        return len(days) == 1 and all(name in parts for name in params.components)
    if isinstance(params, ImagingNear):
        return is_one_of(response_near(chart, _resting(list(parts.values())), params.within), params.responses)
    return None


def _resting(parts: Sequence[Finding]) -> list[date]:
    """The days of the samples on which the common state rests: of the components that were judged."""
    judged = [part for part in parts if part.state in _JUDGED]
    results = [part.latest for part in judged] + [result for part in judged for result in part.pair or ()]
    return [result.collected for result in results if result is not None and result.collected is not None]
