"""FHIR R4 in, `Chart` out: a patient's record as rules see it, as of any moment.

    catalogue = load_catalogue(rules)
    record = read(data, catalogue)
    chart = record.as_of("2025-04-21")

Names are loaded on first use: who only needs the model (`cds.chart.model`) loads no readers.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cds.chart.catalogue import Catalogue, load_catalogue, read_catalogue
    from cds.chart.clock import Moment
    from cds.chart.model import Chart, LeftOut, Result
    from cds.chart.reading import read, read_all
    from cds.chart.record import Record

__all__ = [
    "Catalogue",
    "Chart",
    "LeftOut",
    "Moment",
    "Record",
    "Result",
    "load_catalogue",
    "read",
    "read_all",
    "read_catalogue",
]

_HOME = {
    "catalogue": ("Catalogue", "load_catalogue", "read_catalogue"),
    "clock": ("Moment",),
    "model": ("Chart", "LeftOut", "Result"),
    "reading": ("read", "read_all"),
    "record": ("Record",),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOME.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
