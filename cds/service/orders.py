"""The orders at hand, read as the chart would read them once they are signed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from cds.chart.model import Chart, LeftOut

_ORDERED = ("MedicationRequest", "Medication")


@dataclass(frozen=True, slots=True)
class Orders:
    """The drugs of the orders by therapy class, and the orders that could not be used, each once, with the reason."""

    drugs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unread: tuple[LeftOut, ...] = ()


def read_orders(
    drafts: Iterable[Mapping[str, Any]], patient: object, day: date, read: Callable[[Mapping[str, Any]], Chart]
) -> Orders:
    """What the drafts hold. `read` reads a chart from prefetched data; `patient` is whose Patient resource those hold.

    An order for a drug that is known and is none against cancer is in neither list: there is nothing to say of it.
    """
    signed = [
        {**draft, "status": "active", "intent": "order", "authoredOn": day.isoformat()}
        if draft["resourceType"] == "MedicationRequest"
        else draft
        for draft in drafts
        if draft["resourceType"] in _ORDERED
    ]
    if not signed:
        return Orders()
    entries = [{"resource": order} for order in signed]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    chart = read({"patient": patient, "orders": bundle})
    drugs: dict[str, tuple[str, ...]] = {}
    for line in chart.lines:
        drugs[line.therapy] = (*drugs.get(line.therapy, ()), *line.drugs)
    used = {ref for line in chart.lines for ref in line.refs}
    unread: dict[str, LeftOut] = {}
    for item in chart.left_out:
        if item.what not in used and item.where.startswith("prefetch.orders"):
            unread.setdefault(item.what, item)
    return Orders(drugs, tuple(unread.values()))
