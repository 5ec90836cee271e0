"""The rows, and how they are run. The checks stand in the modules that are imported last, a module for a group of letters."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from cds.conformance.probe import Fails, NotHere, Probe
from cds.errors import InputError

Check = Callable[[Probe], None]


@dataclass(frozen=True, slots=True)
class Row:
    """One requirement: its number, how binding it is, what it asks, and the check."""

    number: str
    level: str
    asks: str
    check: Check


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a row: `passed`, `failed` or `not applicable`, and why."""

    row: Row
    outcome: str
    why: str = ""


ROWS: dict[str, Row] = {}
"""Every row that can be shown from outside, by number."""

LEFT_OUT = {
    "B3": "an installation without rules cannot be made from outside, and does not load",
    "B5": "a permission, nothing to show",
    "B14": "no service offers two versions of a hook",
    "C6": "see E",
    "C12": "a matter of wording",
    "C13": "a duty of the client",
    "D7-D9": "only for templates of 3.0, which portable ones do without",
    "D13": "a duty of the client; what follows from it is D11 and D18",
    "D20": "a permission, nothing to show",
    "D21": "a duty of the client; that keys which were not asked for are ignored is C9",
    "D22": "the reasons stand in docs/integrators.md; codes and `_count` are in each query: `tests/service/test_hooks.py`",
    "E4-E8": "what is kept, logged and shared is not seen from outside; `tests/service/test_fetching.py`",
    "E9": "see D18: the deadline is shorter than any token lives",
    "E11": "a matter of registration",
    "F4": "is D18",
    "F8": "a fault inside cannot be made from outside; `tests/service/test_app.py`",
    "F9": "no extension is emitted",
    "G27": "nothing is updated by a suggestion",
    "G33": "a permission that an advisory service never uses",
    "H1": "there are no system actions",
    "H3-H4": "of another guide, and of one client",
    "I10": "counting is not seen from outside; `tests/record/test_responses.py`",
    "I13": "what is kept is not seen from outside; `tests/record/test_feedback.py`",
    "I14": "not defined by the specification",
    "J1": "is J2",
    "J3": "a permission",
    "J13-J15": "keys are published by the client under test; `tests/service/test_trust.py`",
    "J16": "only where tenants are listed; `tests/service/test_trust.py`",
    "J18": "logs are not seen from outside; `tests/service/test_trust.py`",
    "J20-J22": "`tests/service/test_trust.py`, `tests/exchange/`",
    "K4": "a permission that is not used",
    "K8": "a matter of agreement",
}
"""Rows without a check from outside, and why."""


def row(number: str, level: str, asks: str) -> Callable[[Check], Check]:
    """Enter a check under its number."""

    def enter(check: Check) -> Check:
        if number in ROWS:
            raise ValueError(f"row {number} stands twice")
        ROWS[number] = Row(number, level, asks, check)
        return check

    return enter


def in_order() -> list[Row]:
    """All rows by letter and number."""
    return sorted(ROWS.values(), key=lambda one: (one.number[0], int(one.number[1:])))


def run(probe: Probe, numbers: Collection[str] = ()) -> Iterator[Result]:
    """The rows of these numbers (all if none is named) against a service, one after the other.

    Raises `CannotProbe` if there is nothing to test, `InputError` for a number that is none.
    """
    if unknown := sorted(set(numbers) - ROWS.keys()):
        raise InputError(f"there is no row {', '.join(unknown)} that can be tested; docs/conformance.md lists them")
    assert probe.discovery  # raises if nobody answers
    for one in in_order():
        if numbers and one.number not in numbers:
            continue
        try:
            one.check(probe)
        except Fails as failed:
            yield Result(one, "failed", str(failed))
        except NotHere as reason:
            yield Result(one, "not applicable", str(reason))
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            # An answer of a shape that no check expects: whatever it is, it is not what the row asks.
            yield Result(one, "failed", f"its answers have a shape that cannot be read ({type(error).__name__})")
        else:
            yield Result(one, "passed")


def require(so: bool, text: str) -> None:
    """Raises `Fails` unless it is so."""
    if not so:
        raise Fails(text)


from cds.conformance import answers, calls, cards, discovery, feedback, security  # noqa: E402, F401 - they enter their rows
