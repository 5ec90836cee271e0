"""What a card says of the orders at hand: drugs of its class, and orders of which nobody knows what they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cds.advice.advisory import Advisory
from cds.chart.model import LeftOut
from cds.counting import counted

_MOST = 4


def about_orders(advisory: Advisory, ordered: Mapping[str, Sequence[str]], unread: Sequence[LeftOut] = ()) -> list[str]:
    """Sentences about the orders at hand, for advice about a treatment; none for advice about an operation.

    `ordered` are the drugs that were recognised, by therapy class; `unread` the orders that were not, and why. A drug of the
    class is told apart from one that is given already, which goes on, and from one that was given earlier in the treatment.
    """
    treatment = advisory.treatment
    if treatment is None or not treatment.therapy:
        return []
    drugs = tuple(dict.fromkeys(ordered.get(treatment.therapy, ())))
    given = treatment.current or treatment.drugs
    now, ever = ({drug.lower() for drug in every} for every in (given, treatment.drugs))
    same = [drug for drug in drugs if drug.lower() in now]
    earlier = [drug for drug in drugs if drug.lower() in ever - now]
    others = [drug for drug in drugs if drug.lower() not in ever | now]
    said = []
    if same:
        said.append(
            f"The order at hand holds {', '.join(same)}, of the treatment itself that this card is about ({treatment.title})."
        )
    if earlier:
        begun = "It also holds" if said else "The order at hand holds"
        said.append(
            f"{begun} {', '.join(earlier)}, given earlier in the treatment that this card is about ({treatment.title})."
        )
    if others:
        beside = f"; the treatment that this card is about holds {', '.join(given)}" if given else ""
        begun = "It also holds" if said else "The order at hand holds"
        said.append(
            f"{begun} {', '.join(others)}, {'another drug' if len(others) == 1 else 'other drugs'} of the same class "
            f"({treatment.title}){beside}."
        )
    if drugs:
        said.append("Review this card before signing; it is information, not an instruction.")
    return [*([" ".join(said)] if said else []), *_unread(unread, treatment.title)]


def _unread(unread: Sequence[LeftOut], title: str) -> list[str]:
    if not unread:
        return []
    listed = [f"{item.what}: {item.reason}" + (f" (next: {item.hint})" if item.hint else "") for item in unread[:_MOST]]
    if more := max(0, len(unread) - _MOST):
        listed.append(f"and {more} more")
    return [
        f"{counted(len(unread), 'order')} at hand could not be recognised, so it is not known whether "
        f"{'it is' if len(unread) == 1 else 'they are'} of the class that this card is about ({title}). {'; '.join(listed)}."
    ]
