"""What keeps a sample from being compared with its reference, part by part, and which code was likely meant."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches

from cds.advice.methods import code_in_words
from cds.chart.declarations import WORDS
from cds.reasoning.explanation import figure
from cds.reasoning.findings import Finding
from cds.reasoning.question import what_differs

_LIKE = 0.6
"""Words less alike than that are no spelling of one another."""


def differences(finding: Finding, elements: Sequence[str], label: Callable[[str], str]) -> tuple[str, ...]:
    """Each part of the method in which the latest result differs from what could be its reference, or that this does not state.

    `label` names a part. Empty if there is nothing with which it could be compared.
    """
    earlier, later = finding.uncompared, finding.latest
    if earlier is None or later is None:
        return ()
    said = []
    for name, was, now in what_differs(earlier, later, elements):
        if now is None:
            continue  # what the latest result does not state is a failure of its own
        if was is None:
            sample = f"the sample of {earlier.collected.isoformat()}" if earlier.collected else earlier.ref
            said.append(f"{label(name)} not stated for {sample}")
        elif name == "unit":
            said.append(f"{now} instead of {was}")
        elif name == "limit of detection":
            said.append(
                f"{name} {figure(float(now))} instead of {figure(float(was))} {later.unit}, with a value below it"
            )
        else:
            said.append(f"{label(name)} {_told(name, now)} instead of {_told(name, was)}")
    return tuple(said)


def differs(finding: Finding, elements: Sequence[str]) -> bool:
    """Whether something that both results state is unlike; what one of them does not state may yet turn out the same."""
    earlier, later = finding.uncompared, finding.latest
    if earlier is None or later is None:
        return False
    return any(was is not None and now is not None for _, was, now in what_differs(earlier, later, elements))


def meant(finding: Finding, elements: Sequence[str], label: Callable[[str], str]) -> Iterator[str]:
    """What would let the same result be judged, if all that differs is told in codes that are not known here."""
    earlier, later = finding.uncompared, finding.latest
    apart = what_differs(earlier, later, elements) if earlier is not None and later is not None else []
    if not all(now is not None and _is_unknown(name, now) for name, _, now in apart):
        return
    for name, _, now in apart:
        likely = get_close_matches(str(now).lower(), WORDS[name], n=1, cutoff=_LIKE)
        yield (
            f"the same result can be judged once its {label(name)} is sent with a code that is known here"
            f"{', likely ' + likely[0] if likely else ''} ({', '.join(WORDS[name])})"
        )


def _told(name: str, answer: str) -> str:
    if _is_unknown(name, answer):
        return f"{answer} (a code that is not known here)"
    return code_in_words(answer) if name in WORDS else answer


def _is_unknown(name: str, answer: str) -> bool:
    return name in WORDS and not set(answer.split("+")) <= set(WORDS[name])
