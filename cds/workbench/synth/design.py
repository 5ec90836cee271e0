"""What a cohort is to be like: how many are resistant, of which subtypes, how they come and how their results go astray."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from cds.errors import InputError, Problem
from cds.source import Section, raise_if_any, read_yaml

SUBTYPES = ("triple-negative", "luminal", "her2-positive")
USUAL_FAULTS: Mapping[str, float] = {
    "late": 18, "corrected": 12, "amended": 8, "entered-in-error": 8, "duplicate": 14, "second-laboratory": 8, "second-unit": 12,
    "missing-unit": 4, "date-only": 16,
}  # fmt: skip
FAULTS = (*USUAL_FAULTS, "wrong-unit")
"""What can befall a single result. A patient's results may besides come out of order, and lose those before the line."""

_SHARES = ("resistant", "drop_out", "faults", "lost_baseline", "out_of_order", "merged", "deceased")
_MOST_MONTHS = 120


@dataclass(frozen=True, slots=True)
class Design:
    """Shares are fractions, mixes are weights. The default is the cohort that every seed has always given."""

    resistant: float | None = None  # of the lines under treatment; None: as the courses have it, 44 %
    subtypes: Mapping[str, float] = field(default_factory=dict)  # of SUBTYPES; empty: as the scenarios have it
    months: int | None = None  # of follow-up; None: three to five visits
    jitter: int | None = None  # days by which a visit is early or late at most; None: four
    drop_out: float = 0.0  # of patients who one day come no more
    faults: float = 0.07  # of results that something befalls
    fault_mix: Mapping[str, float] = field(default_factory=lambda: USUAL_FAULTS)  # of FAULTS
    lost_baseline: float = 0.04  # of patients whose results before the line are lost
    out_of_order: float = 0.10  # of patients whose results arrive in any order
    merged: float = 0.0  # of patients whose first results stand under another number, merged later
    deceased: float = 0.0  # of patients who die in the time

    def checked(self) -> Design:
        """The same. Raises `InputError` if a share is none, or a mix names what is not known."""
        for name in _SHARES:
            share = getattr(self, name)
            if share is not None and not 0 <= share <= 1:
                raise InputError(f"{_shown(name)} is {share * 100:g} %: a share lies between 0 and 100 %")
        for name, known in (("subtypes", SUBTYPES), ("fault_mix", FAULTS)):
            mix: Mapping[str, float] = getattr(self, name)
            if strange := sorted(set(mix) - set(known)):
                raise InputError(f"{_shown(name)}: '{strange[0]}' is not known; there are {', '.join(known)}")
            if mix and not (min(mix.values()) >= 0 and sum(mix.values()) > 0):
                raise InputError(f"{_shown(name)}: weights are 0 or more, and not all of them 0")
        if self.months is not None and not 1 <= self.months <= _MOST_MONTHS:
            raise InputError(f"months is {self.months}: a cohort is followed up for 1 to {_MOST_MONTHS} months")
        if self.jitter is not None and not 0 <= self.jitter <= 60:
            raise InputError(f"jitter is {self.jitter}: it is given in days, 0 to 60")
        return self


USUAL = Design()


def read_design(path: Path) -> Design:
    """The design that a YAML file states, whatever it leaves out as usual. Raises `InputError`, `RuleBookError` with places.

    resistant: 30 %
    subtypes: {triple-negative: 40, luminal: 40, her2-positive: 20}
    months: 24
    fault_mix: {late: 2, wrong-unit: 1}
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; name a YAML file that says what the cohort is to be like")
    problems: list[Problem] = []
    section = read_yaml(path, problems, str(path))
    raise_if_any(problems)
    assert section is not None  # a file that cannot be read has been told of
    section.keys(optional=tuple(one.name for one in fields(Design)))
    stated = {one.name: _read(section, one.name) for one in fields(Design) if one.name in section}
    raise_if_any(problems)
    try:
        return replace(USUAL, **stated).checked()
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _read(section: Section, name: str) -> Any:
    if name in ("subtypes", "fault_mix"):
        mix = section.section(name)
        return {key: mix.number(key) for key in mix.value}
    if name in _SHARES:
        return section.percent(name)
    return int(section.number(name))


def mix_of(text: str, name: str) -> dict[str, float]:
    """A mix written in a line: `triple-negative=40 luminal=60`. Raises `InputError`."""
    mix = {}
    for word in text.replace(",", " ").split():
        key, _, weight = word.partition("=")
        try:
            mix[key] = float(weight)
        except ValueError:
            raise InputError(f"--{name}: '{word}' must be a name and a weight, as in 'late=2 wrong-unit=1'") from None
    return mix


def _shown(name: str) -> str:
    return name.replace("_", "-")
