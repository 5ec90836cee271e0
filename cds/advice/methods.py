"""How a result was measured, in words as laboratories write them."""

from __future__ import annotations

from collections.abc import Mapping

from cds.chart.model import Method

_METHODS: Mapping[str, str] = {
    "edta": "EDTA", "acd": "ACD", "uc": "ultracentrifugation", "density": "density gradient", "sec": "SEC", "spr": "SPR",
    "elisa": "ELISA", "simoa": "Simoa", "rt-qpcr": "RT-qPCR", "dpcr": "dPCR", "flow-cytometry": "flow cytometry",
    "serum-gel": "serum gel tube", "serum-plain": "plain serum tube",
}  # fmt: skip
"""Codes of the code system exosomal-method as laboratories write them; the others are words already."""


def code_in_words(code: str) -> str:
    """A code of the method, several joined by `+`, as it is written: `sec` is SEC; one that is not known here as it is."""
    return "+".join(_METHODS.get(one, one) for one in code.split("+"))


def method_in_words(method: Method) -> str:
    """The method as far as it is stated: `plasma, EDTA, SEC, flow cytometry, cytometer-1, clone-1, normaliser none`."""
    coded = (method.specimen, method.tube, method.isolation, method.assay)
    said = [code and code_in_words(code) for code in coded]
    said += [method.platform, method.reagents]
    said.append(f"normaliser {method.normaliser}" if method.normaliser else None)
    said.append(f"efficiency {method.efficiency}" if method.efficiency is not None else None)
    return ", ".join(part for part in said if part)
