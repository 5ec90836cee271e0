"""What codes mean: tables of (system, code), some by prefix, as rule files write them. Displays are never read.

A rule file names a system by its short name: `{snomed: ["254837009"], icd10: [C50]}`. ATC, ICD-10 and the other
hierarchies of `_PREFIXED` are matched by prefix, of which the longest wins, so that C77.3 can differ from C77. There `?`
stands for any one character, and a code with one is the whole code, so that it wins over its beginning: `0?????X`. CPT,
whose chapters are ranges, is matched by ranges too, of which the narrowest wins: `10004-69990`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from cds.mistakes import Mistake
from cds.source import Section

T = TypeVar("T")

MARKER_CODES = "https://exowatch.example/fhir/CodeSystem/exosomal-marker"
METHOD_CODES = "https://exowatch.example/fhir/CodeSystem/exosomal-method"

SYSTEMS = {
    "snomed": ("http://snomed.info/sct",),
    "loinc": ("http://loinc.org",),
    "rxnorm": ("http://www.nlm.nih.gov/research/umls/rxnorm",),
    "atc": (
        "http://www.whocc.no/atc",
        "http://fhir.de/CodeSystem/bfarm/atc",
        "http://fhir.de/CodeSystem/dimdi/atc",
        "urn:oid:2.16.840.1.113883.6.73",
    ),
    "icd10": (
        "http://hl7.org/fhir/sid/icd-10",
        "http://hl7.org/fhir/sid/icd-10-cm",
        "http://fhir.de/CodeSystem/bfarm/icd-10-gm",
        "http://fhir.de/CodeSystem/dimdi/icd-10-gm",
    ),
    "icd-side": ("https://fhir.kbv.de/CodeSystem/KBV_CS_SFHIR_ICD_SEITENLOKALISATION",),
    "icd10pcs": ("http://www.cms.gov/Medicare/Coding/ICD10", "http://hl7.org/fhir/sid/icd-10-pcs"),
    "ops": ("http://fhir.de/CodeSystem/bfarm/ops", "http://fhir.de/CodeSystem/dimdi/ops"),
    "cpt": ("http://www.ama-assn.org/go/cpt",),
    "ncit": ("http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl", "urn:oid:2.16.840.1.113883.3.26.1.1"),
    "ajcc": ("http://cancerstaging.org",),
    "interpretation": ("http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation",),
    "exosomal-marker": (MARKER_CODES,),
    "exosomal-method": (METHOD_CODES,),
}
"""Code systems by the short names of rule files, with every URL under which they are met."""

_PREFIXED = frozenset({"atc", "icd10", "icd10pcs", "ops", "ajcc"})
_RANGED = frozenset({"cpt"})
_SHORT = {url: name for name, urls in SYSTEMS.items() for url in urls}
_REMEMBERED_AT_MOST = 20_000


class CodeTable(Generic[T]):
    """Meanings by (system, code)."""

    __slots__ = ("_found", "_patterns", "_prefixes", "_ranges", "exact")

    def __init__(self) -> None:
        self.exact: dict[tuple[str, str], T] = {}  # by (URL, code), for who needs to list them
        self._prefixes: dict[str, dict[str, T]] = {}
        self._patterns: dict[str, dict[str, T]] = {}  # whole codes with `?`
        self._ranges: dict[str, dict[str, T]] = {}  # "10004-69990"
        self._found: dict[Any, T | None] = {}

    def add(self, section: Section, meaning: T, also: Any = None) -> None:
        """Take up the codes of a `{system: [codes]}` mapping; a code that means something else already is a problem.

        `also(old, new)` may join two meanings into one instead.
        """
        section.keys(optional=tuple(SYSTEMS))
        for system in section.value:
            for code in section.texts(system):
                self._add(section, system, code, meaning, also)

    def _add(self, section: Section, system: str, code: str, meaning: T, also: Any) -> None:
        if system not in SYSTEMS:
            return
        if system in _RANGED and "-" in code:
            first, _, last = code.strip().partition("-")
            if not (first.isdigit() and last.isdigit() and len(first) == len(last) and first <= last):
                section.problem(
                    f"'{code}' is no range of codes", "write the lower code first: 10004-69990", at=system,
                    mistake=Mistake.WINDOW_BACKWARDS,
                )  # fmt: skip
                return
            self._put(self._ranges.setdefault(system, {}), code.strip(), section, system, meaning, also)
        elif system in _PREFIXED and "?" in code:
            self._put(self._patterns.setdefault(system, {}), _normal(code), section, system, meaning, also)
        elif system in _PREFIXED:
            self._put(self._prefixes.setdefault(system, {}), _normal(code), section, system, meaning, also)
        else:
            for url in SYSTEMS[system]:
                self._put(self.exact, (url, code), section, system, meaning, also)

    @staticmethod
    def _put(table: dict[Any, T], key: Any, section: Section, system: str, meaning: T, also: Any) -> None:
        old = table.get(key)
        if old is not None and also is not None:
            meaning = also(old, meaning)
        elif old is not None and old != meaning:
            code = key if isinstance(key, str) else key[1]
            section.problem(
                f"{system} code '{code}' already means '{old}'",
                "a code has one meaning",
                at=system,
                mistake=Mistake.CODE_TWICE,
            )
        table[key] = meaning

    def find(self, system: object, code: object) -> T | None:
        """What the code means; None if the table does not know it."""
        key = (system, code)
        try:
            return self._found[key]
        except KeyError:
            found = self._look_up(system, code)
            if len(self._found) < _REMEMBERED_AT_MOST:
                self._found[key] = found
            return found
        except TypeError:  # a system or code that is no text
            return None

    def of(self, concept: object) -> list[T]:
        """What the codings of a CodeableConcept mean, as far as they are known."""
        try:  # the usual shape, at half the price
            (coding,) = concept["coding"]  # type: ignore[index]  # what it is not, is caught
            found = self.find(coding["system"], coding["code"])
            return [] if found is None else [found]
        except (KeyError, TypeError, ValueError, IndexError):
            found_each = (self.find(*pair) for pair in pairs(concept))
            return [meaning for meaning in found_each if meaning is not None]

    def first(self, concept: object) -> T | None:
        """The first known meaning of a CodeableConcept; None if there is none."""
        found = self.of(concept)
        return found[0] if found else None

    def _look_up(self, system: object, code: object) -> T | None:
        if not isinstance(system, str) or not isinstance(code, str):
            return None
        found = self.exact.get((system, code.strip()))
        if found is not None:
            return found
        short = _SHORT.get(system, "")
        text = _normal(code)
        ranges = [span for span in self._ranges.get(short, ()) if _lies_in(span, text)]
        if ranges:
            return self._ranges[short][min(ranges, key=_width)]
        patterns = [pattern for pattern in self._patterns.get(short, ()) if _fits(pattern, text)]
        if patterns:
            return self._patterns[short][min(patterns, key=lambda pattern: pattern.count("?"))]
        prefixes = self._prefixes.get(short)
        if prefixes is not None:
            for length in range(len(text), 0, -1):
                if (found := prefixes.get(text[:length])) is not None:
                    return found
        return None


def _normal(code: str) -> str:
    return code.replace(".", "").strip().upper()


def _lies_in(span: str, code: str) -> bool:
    """Whether a code of digits lies in a range of codes of the same length, both ends included."""
    first, _, last = span.partition("-")
    return code.isdigit() and len(first) == len(code) == len(last) and first <= code <= last


def _width(span: str) -> int:
    first, _, last = span.partition("-")
    return int(last) - int(first)


def _fits(pattern: str, code: str) -> bool:
    return len(pattern) == len(code) and all(wanted in ("?", got) for wanted, got in zip(pattern, code, strict=True))


def pairs(concept: object) -> Iterator[tuple[str, str]]:
    """(system, code) of every coding of a CodeableConcept that states both."""
    stated = concept.get("coding") if isinstance(concept, dict) else None
    for coding in stated if isinstance(stated, list) else [stated]:
        if isinstance(coding, dict):
            system, code = coding.get("system"), coding.get("code")
            if isinstance(system, str) and isinstance(code, str) and system and code:
                yield system, code


def words(concept: object) -> Iterator[str]:
    """What a CodeableConcept is called: its text, and the displays of its codings."""
    if isinstance(concept, dict):
        stated = concept.get("coding")
        for one in (concept, *(stated if isinstance(stated, list) else [stated])):
            called = one.get("text" if one is concept else "display") if isinstance(one, dict) else None
            if isinstance(called, str):
                yield called


def is_read(system: str) -> bool:
    """Whether a URL is of a system that tables name by a short name."""
    return system in _SHORT


def is_atc(system: str) -> bool:
    """Whether a URL is one of those under which ATC is met."""
    return _SHORT.get(system) == "atc"
