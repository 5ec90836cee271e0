"""The CDS Services on offer, and the prefetch each asks for: searches that every client of CDS Hooks 1.0 to 3.0 can run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from cds.chart.catalogue import Catalogue
from cds.chart.context import LOINC
from cds.service.hook_request import RESULT_ARRIVED

SPECIFICATION = "2.0.1"
"""The version of CDS Hooks that is implemented: the newest one published. Answers are valid in 1.1 and 3.0 too."""

_PATIENT = "patient={{context.patientId}}"
_PAGE = 1000
"""Entries that a page is to hold: servers that give fewer at once say so, and what is cut off is never taken for all of it."""
_LONGEST = 2000
"""Bytes of a search in an address: some servers refuse more than 2,048."""
_LONGEST_ID = "x" * 64
_RADIOLOGY = "http://terminology.hl7.org/CodeSystem/v2-0074|RAD"
_USAGE = (
    "For health professionals who treat breast cancer. Needs the data of the prefetch templates, by prefetch or from the FHIR server with the client's token: results of markers on "
    "extracellular vesicles with their codes as in the input profile, treatment lines, operations, conditions, imaging "
    "responses and receptors. A key without data is sent as null or as an empty Bundle; a missing required key is "
    "answered with 412. Informs only; not for urgent decisions."
)


@dataclass(frozen=True, slots=True)
class Template:
    """One prefetch template. `required`: without an answer to it nothing can be said."""

    key: str
    query: str
    required: bool
    because: str


@dataclass(frozen=True, slots=True)
class Service:
    """One CDS Service."""

    id: str
    hook: str
    title: str
    description: str
    templates: tuple[Template, ...]

    def definition(self) -> dict[str, Any]:
        """Its entry in the discovery document."""
        return {
            "id": self.id,
            "hook": self.hook,
            "title": self.title,
            "description": self.description,
            "usageRequirements": _USAGE,
            "version": SPECIFICATION,
            "prefetch": {template.key: template.query for template in self.templates},
        }


def services(catalogue: Catalogue) -> Mapping[str, Service]:
    """Every service by its id; the templates ask for the codes that the catalogue knows."""
    asked = templates(catalogue)
    known = sorted(marker.short or marker.name for marker in catalogue.markers.values() if not marker.must_not_use)
    offered = (
        Service(
            "exowatch-patient-view",
            "patient-view",
            "Exosomal markers: suspected drug resistance in breast cancer",
            f"Compares serial results of investigational markers on extracellular vesicles ({', '.join(known)}) "
            "with the patient's own reference and says whether the change gives reason to look closer. It informs; it "
            "does not recommend a change of treatment.",
            asked,
        ),
        Service(
            "exowatch-order-sign",
            "order-sign",
            "Exosomal markers: before an order is signed",
            "The same assessment before orders are signed; a card says so if an order holds a drug of the class that it "
            "is about. It informs; it does not recommend a change of treatment.",
            asked,
        ),
        Service(
            "exowatch-order-select",
            "order-select",
            "Exosomal markers: when a drug is chosen",
            "The same assessment when an order is chosen; a card says so if a chosen drug is of the class that it is about. "
            "It informs; it does not recommend a change of treatment.",
            asked,
        ),
        Service(
            "exowatch-encounter-start",
            "encounter-start",
            "Exosomal markers: when a visit begins",
            "The same assessment when a visit begins. It informs; it does not recommend a change of treatment.",
            asked,
        ),
        Service(
            "exowatch-result-arrived",
            RESULT_ARRIVED,
            "Exosomal markers: when a result has arrived",
            "The same assessment with the results that have just arrived (context: patientId, results as a Bundle of "
            "Observations and their Specimens, encounterId if there is one; no user). It informs; it does not recommend a "
            "change of treatment.",
            asked,
        ),
    )
    return {service.id: service for service in offered}


def templates(catalogue: Catalogue) -> tuple[Template, ...]:
    """The prefetch templates, each with the reason why the data are needed."""
    markers, others = observation_codes(catalogue)
    return (
        Template(
            "patient", "Patient/{{context.patientId}}", True, "age decides whether the rules are for this patient"
        ),
        Template("conditions", _search("Condition"), True, "diagnosis, metastases, infection, pregnancy"),
        *_coded("observations", markers, "marker results and total EV counts, and no other result"),
        *_coded("clinical-observations", others, "receptors, responses by imaging, metastases, pregnancy"),
        Template("medication-requests", _search("MedicationRequest"), True, "treatment lines"),
        Template("medication-statements", _search("MedicationStatement"), False, "treatment lines given elsewhere"),
        Template("medication-administrations", _search("MedicationAdministration"), False, "doses as they were given"),
        Template("procedures", _search("Procedure"), True, "operations, radiotherapy, transfusions"),
        Template(
            "imaging-reports",
            _search("DiagnosticReport", f"category={_RADIOLOGY}"),
            False,
            "responses by imaging that stand in reports",
        ),
        Template("immunizations", _search("Immunization"), False, "vaccinations near a sample"),
        Template("specimens", _search("Specimen"), False, "tube, isolation and collection, where not in the result"),
    )


def _search(kind: str, only: str = "") -> str:
    return f"{kind}?{_PATIENT}{f'&{only}' if only else ''}&_count={_PAGE}"


def _coded(key: str, codes: Iterable[str], because: str) -> Iterator[Template]:
    """Templates for Observations of these codes: as many as it takes for none to be too long, of a site's own codes too."""
    some: list[str] = []
    number = 1
    for code in codes:
        if some and length(_search("Observation", f"code={','.join((*some, code))}")) > _LONGEST:
            yield Template(_numbered(key, number), _search("Observation", f"code={','.join(some)}"), True, because)
            number, some = number + 1, []
        some.append(code)
    yield Template(_numbered(key, number), _search("Observation", f"code={','.join(some)}"), True, because)


def _numbered(key: str, number: int) -> str:
    return key if number == 1 else f"{key}-{number}"


def length(query: str) -> int:
    """How many bytes of an address a query can become: with the longest id, and each sign escaped that clients escape."""
    return len(quote(query.replace("{{context.patientId}}", _LONGEST_ID), safe="?&="))


def asks_for(query: str, resource: Mapping[str, Any]) -> bool:
    """Whether a template asks for a resource of its patient, by type and code."""
    kind, _, parameters = query.partition("?")
    if resource["resourceType"] != kind.partition("/")[0]:
        return False
    codes = [one.removeprefix("code=") for one in parameters.split("&") if one.startswith("code=")]
    stated = {f"{one.get('system')}|{one.get('code')}" for one in resource.get("code", {}).get("coding", ())}
    return not codes or not stated.isdisjoint(codes[0].split(","))


def observation_codes(catalogue: Catalogue) -> tuple[list[str], list[str]]:
    """Every `system|code` of an Observation that is read, sorted: those of markers, and others. What must not be used is not

    asked for.
    """
    markers = {
        key
        for key, meaning in catalogue.codes.items()
        if not (meaning.ignored or catalogue.markers[meaning.marker].must_not_use)
    }
    markers |= {key for key, part in catalogue.parts.items() if part == "total-ev"}
    # Codes of conditions and procedures stand in the same table; what an Observation says is coded in LOINC or is one of these.
    others = {
        (system, code)
        for (system, code), (what, _) in catalogue.events.codes.items()
        if system == LOINC or what in ("receptor", "imaging", "spread")
    }
    first, second = (sorted(f"{system}|{code}" for system, code in found) for found in (markers, others - markers))
    return first, second
