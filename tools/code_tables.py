"""The tables of `docs/codes.md`: which codes of which systems are read, from the rules that say so. `make artefacts`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from cds.chart.codes import SYSTEMS
from cds.chart.declarations import CHECKS, WORDS
from cds.reasoning.loading import default_rulebook, shipped_rules

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "codes.md"
_SHOWN = 4

_INTRODUCTION = """# Which codes are read

What a site sends besides markers, by (system, code), from the files of `rules/`: of each meaning the first codes of each system. Texts and displays are never read for a
meaning. How a marker result itself is stated is in the [input profile](input-profile.md); whole examples are in `fhir/examples/good/`, and what is wrong with a bad one in
`fhir/examples/bad/README.md`. Made by `make artefacts`.
"""

_PLACES: Mapping[str, str] = {
    "disease": (
        "`Condition.code`; onset, else recorded date. `verificationStatus` `refuted` and `entered-in-error` void it, `unconfirmed`, "
        "`provisional` and `differential` make it unknown. A cancer in remission is still the patient's disease. "
        "Which breast: by the code, by `.bodySite`, or by a qualifier of either in an extension"
    ),
    "spread": "`Observation.code` and `.valueCodeableConcept`; status `final`, `amended`, `corrected`",
    "receptor": "`Observation.code` and `.valueCodeableConcept` or `.interpretation`; status `final`, `amended`, `corrected`",
    "imaging": (
        "`Observation.code` and `.valueCodeableConcept` (code of `exosomal-method`: `CR`, `PR`, `SD`, `PD`, `NE`, `iCR` …), or "
        "`DiagnosticReport.conclusionCode`; status `final`, `amended`, `corrected`"
    ),
    "operation": (
        "`Procedure.code`, `.category`; `performed[x]`; status `completed`; `preparation` and the like plan it. Which breast: by the code, by `.bodySite`, or by a "
        "qualifier of either in an extension (codes here and under disease). Why: by an extension, `.reasonCode`, or the code of a `.reasonReference`. One without a code, or "
        "coded only in other systems, is named among what was left out if it lies 0-27 days before a sample"
    ),
    "event": (
        "`Condition.code` (from onset to abatement), `Procedure.code`, the codes of drugs, and answers in Observations; every completed "
        "`Immunization` is a vaccination"
    ),
}
_THERAPY = (
    "`MedicationAdministration`, `MedicationStatement`, `MedicationRequest`: `medicationCodeableConcept`, or `medicationReference` to a "
    "Medication in the input (its code and its ingredients). When: `effective[x]`; of a request `dosageInstruction.timing` or `authoredOn`. "
    "`entered-in-error`, `not-done`, `not-taken`, `cancelled` void it. A drug that is coded only in other systems "
    "(NDC and the like), or that its text calls by a name below while its code is unknown, is listed as left out: it counts for nothing."
)


def document() -> str:
    """The whole document."""
    return "\n".join((_INTRODUCTION, *_systems(), *_units(), *_words(), *_therapies(), *_events()))


def _rows(head: Sequence[str], rows: Iterator[Sequence[str]] | Sequence[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "| " + " | ".join("---" for _ in head) + " |"
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def _systems() -> Iterator[str]:
    yield "## Systems\n"
    rows = [(name, "<br>".join(f"`{url}`" for url in urls)) for name, urls in SYSTEMS.items()]
    yield from _rows(("here", "`system`"), rows)
    yield "ATC, ICD-10, ICD-10-PCS, OPS and AJCC codes are read by their beginning, of which the longest wins (`?` there is any one character of a whole code, which wins over a beginning), CPT codes by ranges too, of which the narrowest wins; the others as a whole.\n"


def _units() -> Iterator[str]:
    yield "## Units of markers\n"
    yield "UCUM, in `valueQuantity.code`. Values convert inside a row, never between rows; `µ` and `μ` read as `u`, `^` as `*`. Any other unit is named and counts for nothing.\n"
    rows = []
    for name, marker in sorted(default_rulebook().catalogue.markers.items()):
        families: dict[tuple[str, str], list[str]] = {}
        for (scale, text), unit in marker.units.items():
            families.setdefault((scale, unit.family.canonical), []).append(text)
        rows += [(f"`{name}`", scale, f"`{canonical}`", " ".join(f"`{text}`" for text in texts))
                 for (scale, canonical), texts in families.items()]  # fmt: skip
    yield from _rows(("marker", "scale", "family", "accepted"), rows)


def _words() -> Iterator[str]:
    yield "## How it was measured\n"
    yield "Codes of `exosomal-method`, in the resource or declared in `rules/labs/`.\n"
    places = {
        "specimen": "`Specimen.type`, or component `specimen-type`", "tube": "`Specimen.container.additiveCodeableConcept`, or component `tube`",
        "isolation": "`Specimen.processing.procedure`, or component `isolation`", "assay": "`Observation.method`",
    }  # fmt: skip
    rows = [(name, places[name], " ".join(f"`{word}`" for word in words)) for name, words in WORDS.items()]
    rows += [
        (name, f"component `{name}`", " ".join(f"`{word}`" for word in answers)) for name, answers in CHECKS.items()
    ]
    yield from _rows(("what", "where", "words"), rows)


def _therapies() -> Iterator[str]:
    yield "## Treatment\n"
    yield f"{_THERAPY}\n"
    rows = []
    for path in sorted((shipped_rules() / "therapies").glob("*.yaml")):
        said = yaml.safe_load(path.read_text("utf-8"))
        for drug, entry in said.get("drugs", {}).items():
            rows.append((said["title"], drug, _codes(entry["codes"])))
        if "procedures" in said:
            rows.append((said["title"], "(a Procedure without a drug)", _codes(said["procedures"])))
    yield from _rows(("class", "drug", "codes"), rows)


def _events() -> Iterator[str]:
    yield "## Disease, events, imaging, operations\n"
    for name, place in _PLACES.items():
        said = yaml.safe_load((shipped_rules() / "events" / f"{name}.yaml").read_text("utf-8"))
        yield f"### {said['title']}\n"
        yield f"{place}.\n"
        meanings = [
            (kind, codes)
            for key in ("codes", "answers", "intents", "sides")
            for kind, codes in said.get(key, {}).items()
        ]
        yield from _rows(("meaning", "codes"), [(f"`{kind}`", _codes(codes)) for kind, codes in meanings])


def _codes(stated: Mapping[str, Any]) -> str:
    """`rxnorm` 6387, 1234 … (12)."""
    shown = []
    for system, codes in stated.items():
        first = ", ".join(map(str, codes[:_SHOWN]))
        shown.append(f"{system} {first}" + (f" … ({len(codes)})" if len(codes) > _SHOWN else ""))
    return "; ".join(shown)


def main() -> None:
    DOCUMENT.write_text(document(), encoding="utf-8")


if __name__ == "__main__":
    main()
