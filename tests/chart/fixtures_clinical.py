"""Treatment and clinical resources as tests need them, in few words, and the lines that come of them."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from cds.chart.model import Line
from tests.chart.make import Json, chart, coded

SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
ICD_10 = "http://hl7.org/fhir/sid/icd-10-cm"
ATC = "http://www.whocc.no/atc"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
SUBJECT = {"subject": {"reference": "Patient/1"}}
INTENT = "http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-treatment-intent"
CHEMOTHERAPY, ENDOCRINE, HER2 = "cytotoxic-chemotherapy", "endocrine-therapy", "her2-targeted"
CDK4_6, OTHER = "cdk4-6-inhibitor", "other-anticancer"
RXCUI = {
    "doxorubicin": "3639", "cyclophosphamide": "3002", "paclitaxel": "56946", "docetaxel": "72962", "carboplatin": "40048",
    "capecitabine": "194000", "tamoxifen": "10324", "letrozole": "72965", "fulvestrant": "282357", "exemestane": "258494", "ribociclib": "1873916",
    "trastuzumab": "224905", "pertuzumab": "1298944", "pembrolizumab": "1547545", "atezolizumab": "1792776",
    "olaparib": "1597582", "everolimus": "141704", "trastuzumab emtansine": "1371041",
}  # fmt: skip


def _resource(kind: str, name: str, more: dict[str, Any]) -> Json:
    return {
        "resourceType": kind,
        "id": name,
        **SUBJECT,
        **{key: value for key, value in more.items() if value is not None},
    }


def drug(name: str) -> Json:
    """A drug by name, or by `system|code`."""
    system, _, code = name.partition("|")
    return {"medicationCodeableConcept": coded(code, system) if code else coded(RXCUI[name], RXNORM)}


def dose(name: str, day: str | None, status: str = "completed", **more: Any) -> Json:
    given = {"status": status, **drug(name), "effectiveDateTime": day, **more}
    return _resource(
        "MedicationAdministration", f"a-{name.partition('|')[2] or RXCUI[name]}-{day}".replace(":", "-"), given
    )


def doses(name: str, *days: str) -> list[Json]:
    return [dose(name, day) for day in days]


def statement(name: str, start: str | None, end: str | None = None, status: str = "active", **more: Any) -> Json:
    """What the patient takes: since `start`; with `end` (or "..": open) as a period."""
    period = None if end is None else {"start": start} | ({} if end == ".." else {"end": end})
    dates = {"effectivePeriod": period} if period else {"effectiveDateTime": start}
    key = f"s-{name.partition('|')[2] or RXCUI[name]}-{start}"
    return _resource("MedicationStatement", key, {"status": status, **drug(name), **dates, **more})


def request(name: str, day: str | None, status: str = "active", intent: str = "order", **more: Any) -> Json:
    key = f"r-{RXCUI[name]}-{day}"
    return _resource(
        "MedicationRequest", key, {"status": status, "intent": intent, **drug(name), "authoredOn": day, **more}
    )


def procedure(code: str, day: str | None, status: str = "completed", **more: Any) -> Json:
    system, _, local = code.rpartition("|")
    stated = {"status": status, "code": coded(local, system or SNOMED), "performedDateTime": day, **more}
    return _resource("Procedure", f"p-{local}-{day}", stated)


def condition(
    code: str, onset: str | None = None, *, clinical: str | None = None, verified: str | None = None, **more: Any
) -> Json:
    """A condition: a SNOMED CT code, or one of ICD-10 if it starts with a letter."""
    stated = {
        "code": coded(code, ICD_10 if code[0].isalpha() else SNOMED),
        "onsetDateTime": onset,
        "clinicalStatus": clinical and coded(clinical, "http://terminology.hl7.org/CodeSystem/condition-clinical"),
        "verificationStatus": verified
        and coded(verified, "http://terminology.hl7.org/CodeSystem/condition-ver-status"),
        **more,
    }
    return _resource("Condition", f"c-{code}-{onset}", stated)


def observed(code: str, answer: str | None, day: str | None = None, status: str = "final", **more: Any) -> Json:
    """An Observation of a LOINC code (or `system|code`) with a coded answer: SNOMED CT, LOINC (LA…) or `system|code`."""
    value = None
    if answer is not None:
        system, _, local = answer.rpartition("|")
        value = coded(local, system or (LOINC if local.startswith("LA") else SNOMED))
    system, _, local = code.rpartition("|")
    stated = {
        "status": status, "code": coded(local, system or LOINC), "valueCodeableConcept": value, "effectiveDateTime": day,
        **more,
    }  # fmt: skip
    return _resource("Observation", f"o-{local}-{day}-{answer and answer.rpartition('|')[2]}", stated)


def intent(code: str) -> Json:
    return {"extension": [{"url": INTENT, "valueCodeableConcept": coded(code, SNOMED)}]}


def listed(lines: tuple[Line, ...]) -> list[str]:
    """Lines as one writes them down: `class: drugs start..end extent`."""
    short = {CHEMOTHERAPY: "chemo", ENDOCRINE: "endocrine", HER2: "her2", CDK4_6: "cdk4-6", OTHER: "other"}
    return [
        f"{short.get(line.therapy, line.therapy)}: {'+'.join(line.drugs)} {line.start or '?'}..{line.end or ''}"
        + ("" if line.extent == "known" else f" {line.extent}")
        + (" planned" if line.planned else "")
        for line in lines
    ]


def lines(*resources: Json, as_of: str = "2030-01-01") -> list[str]:
    return listed(chart(*resources, as_of=as_of).lines)


def after(days: int, day: str = "2025-01-06") -> str:
    return (date.fromisoformat(day) + timedelta(days=days)).isoformat()


def three_weekly(name: str, start: str, cycles: int) -> list[Json]:
    return doses(name, *(after(21 * cycle, start) for cycle in range(cycles)))
