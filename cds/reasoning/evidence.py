"""The evidence catalogue: what every rule rests on, what contradicts it, and what became of each named system.

`rules/evidence/studies-*.yaml` hold the studies, trials and guidelines; `rules/evidence/inventory-*.yaml` hold every
system that the project's review names, with its disposition. What the catalogue hands out may be shown: a statement
from memory, or withheld for a reason, is never in the fields of a `Study`, only in `Study.withheld`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from types import MappingProxyType

from cds.errors import Problem
from cds.layers import Rules, rule_files
from cds.mistakes import Mistake
from cds.source import Section

STATUSES = ("active", "corrected", "of-concern", "retracted")
KINDS = ("cohort", "trial", "preclinical", "guideline", "method", "regulatory")
DISPOSITIONS = ("evaluated", "informational", "background", "method", "must-not-use")
GRADES = ("very low", "low", "moderate", "high")
TAGS = ("V", "S", "C", "M")
"""V: seen in the source, at abstract level; S: known only through a review; C: calculated for this catalogue; M: from memory."""

_SAID_OF = {"S": "as cited in a review", "C": "calculated for this catalogue"}
_FROM_MEMORY = "from memory, not verified"

_DOI = re.compile(r"10\.\d{4,9}/[^\s<>\"]+")
_PMID = re.compile(r"\d{1,8}")
_PMC = re.compile(r"PMC\d{4,9}")


@dataclass(frozen=True, slots=True)
class Study:
    """One study, trial or guideline; an empty text means that nothing verified is known.

    Every text but `withheld` may be shown on a card. `direction` says in words what a high or rising value went with.
    """

    id: str
    citation: str
    kind: str  # one of KINDS
    status: str  # one of STATUSES
    direction: str
    verification: str  # one of TAGS: how the record as a whole is known
    last_checked: date | None  # None: not checked
    doi: str = ""
    pmid: str = ""
    pmc: str = ""
    seen_in: str = ""  # where the statements were read, if not in the primary source
    population: str = ""
    n: str = ""
    specimen: str = ""
    assay: str = ""
    time_point: str = ""
    figures: Mapping[str, str] = field(default_factory=dict)  # what was measured → figure, verified ones only
    withheld: Mapping[str, str] = field(
        default_factory=dict
    )  # what → why it is not shown; figures themselves are not kept
    ocebm: str = ""  # level of evidence, Oxford 2011 numbering
    grade: str = ""  # one of GRADES
    grade_for: Mapping[str, str] = field(default_factory=dict)  # rule → one of GRADES, where its question has its own
    certainty_because: str = ""
    breast: str = ""  # directness: how near its tumour is to breast cancer
    therapy: str = ""  # directness: which therapy it is about
    caution: str = ""
    contradicts: tuple[str, ...] = ()  # records that this one contradicts or limits
    contradicted_by: tuple[str, ...] = ()

    @property
    def retracted(self) -> bool:
        """A retracted record supports nothing: no rule, no card, no background."""
        return self.status == "retracted"

    @property
    def printable_n(self) -> str:
        """The number studied as a card shows it: "n = 149", or that it is not verified."""
        return f"n = {self.n}" if self.n else "n not verified"

    @property
    def certainty(self) -> str:
        """Certainty in words: "OCEBM level 4, GRADE very low", or "not graded"."""
        words = [f"OCEBM level {self.ocebm}"] if self.ocebm else []
        words += [f"GRADE {self.grade}"] if self.grade else []
        return ", ".join(words) or "not graded"

    @property
    def known_through(self) -> str:
        """How the record is known: in its source, or only at second hand."""
        return {
            "V": f"seen in {self.seen_in}" if self.seen_in else "seen in the source (abstract)",
            "S": "known only as cited in a review",
            "C": "calculated for this catalogue",
            "M": "not verified",
        }[self.verification]

    @property
    def link(self) -> str:
        """Where to read it: DOI, PubMed or PubMed Central address; empty if none is known."""
        if self.doi:
            return f"https://doi.org/{self.doi}"
        if self.pmid:
            return f"https://pubmed.ncbi.nlm.nih.gov/{self.pmid}/"
        return f"https://pmc.ncbi.nlm.nih.gov/articles/{self.pmc}/" if self.pmc else ""


@dataclass(frozen=True, slots=True)
class InventoryItem:
    """One system that the review names, and what became of it here."""

    id: str
    section: str
    item: str
    disposition: str  # one of DISPOSITIONS
    cargo: str = ""
    direction: str = ""
    drug: str = ""
    subtype: str = ""
    specimen: str = ""
    level: str = ""
    scope: str = ""  # what the disposition is confined to
    note: str = ""
    references: Mapping[str, str] = field(default_factory=dict)  # citation → DOI; "" where the review gives none
    studies: tuple[str, ...] = ()
    beyond_seed: bool = False  # not in the review, added for completeness

    @property
    def dois(self) -> tuple[str, ...]:
        return tuple(doi for doi in self.references.values() if doi)


@dataclass(frozen=True, slots=True)
class EvidenceCatalogue:
    """Every study by its id, and the inventory in the order of the review."""

    studies: Mapping[str, Study] = field(default_factory=dict)
    inventory: tuple[InventoryItem, ...] = ()

    def contradicting(self, ids: Iterable[str]) -> tuple[Study, ...]:
        """The studies that contradict or limit any of `ids`, in the order of the catalogue; retracted ones never."""
        wanted = set(ids)
        return tuple(
            study for study in self.studies.values() if not study.retracted and not wanted.isdisjoint(study.contradicts)
        )


def load_evidence(rules: Rules, problems: list[Problem]) -> EvidenceCatalogue:
    """The catalogue under `rules`/evidence; every mistake is added to `problems` with its place."""
    studies: dict[str, tuple[Study, Section]] = {}
    items: dict[str, tuple[InventoryItem, Section]] = {}
    for file in rule_files(rules).of("evidence"):
        top = file.read(problems)
        if top is None:
            continue
        name = Path(file.name).name
        if name.startswith("studies-"):
            top.keys("topic", "studies")
            for key, section in top.named("studies"):
                if key in studies:
                    section.problem(
                        f"study '{key}' stands twice", f"also in {studies[key][1].file}", mistake=Mistake.STUDY_TWICE
                    )
                else:
                    studies[key] = (_study(key, section), section)
        elif name.startswith("inventory-"):
            top.keys("section", "title", "items")
            for key, section in top.named("items"):
                if key in items:
                    section.problem(
                        f"item '{key}' stands twice", f"also in {items[key][1].file}", mistake=Mistake.STUDY_TWICE
                    )
                else:
                    items[key] = (_item(key, top.text("section"), section), section)
        else:
            top.problem(
                "neither studies nor inventory",
                "name the file studies-….yaml or inventory-….yaml",
                mistake=Mistake.EVIDENCE_FILE_NAME,
            )
    _check_ids(studies, items)
    return EvidenceCatalogue(
        MappingProxyType(_with_contradictions(study for study, _ in studies.values())),
        tuple(item for item, _ in items.values()),
    )


def _study(key: str, section: Section) -> Study:
    section.keys(
        "citation",
        "kind",
        "verification",
        "direction",
        "status",
        "last_checked",
        optional=(
            *("doi", "pmid", "pmc", "seen_in", "population", "n", "specimen", "assay", "time_point"),
            *("figures", "certainty", "directness", "contradicts", "caution"),
        ),
    )
    tag = section.choice("verification", TAGS, "M")
    withheld: dict[str, str] = {}
    population, n, specimen, assay, time_point, direction = (
        _stated(section, key, tag, withheld)
        for key in ("population", "n", "specimen", "assay", "time_point", "direction")
    )
    numbers = section.section("figures")
    figures = {name: _stated(numbers, name, tag, withheld) for name in numbers.value}
    certainty, directness = section.section("certainty"), section.section("directness")
    certainty.keys(optional=("ocebm", "grade", "grade_for", "because"))
    by_rule = certainty.section("grade_for")
    directness.keys(optional=("breast", "therapy"))
    return Study(
        id=key,
        citation=section.text("citation"),
        kind=section.choice("kind", KINDS),
        status=section.choice("status", STATUSES, "of-concern"),
        direction=direction,
        verification=tag,
        last_checked=_checked(section),
        doi=_identifier(section, "doi", _DOI, "10.1111/cas.13150"),
        pmid=_identifier(section, "pmid", _PMID, "31180050"),
        pmc=_identifier(section, "pmc", _PMC, "PMC6095740"),
        seen_in=section.text("seen_in"),
        population=population,
        n=n,
        specimen=specimen,
        assay=assay,
        time_point=time_point,
        figures=MappingProxyType({name: figure for name, figure in figures.items() if figure}),
        withheld=MappingProxyType(withheld),
        ocebm=certainty.choice("ocebm", ("1", "2", "3", "4", "5")),
        grade=certainty.choice("grade", GRADES),
        grade_for=MappingProxyType({rule: by_rule.choice(rule, GRADES) for rule in by_rule.value}),
        certainty_because=certainty.text("because"),
        breast=directness.text("breast"),
        therapy=directness.text("therapy"),
        caution=section.text("caution"),
        contradicts=section.texts("contradicts"),
    )


def _stated(section: Section, key: str, tag: str, withheld: dict[str, str]) -> str:
    """The statement under `key` as it may be shown; what may not be shown goes to `withheld`, with the reason alone."""
    if key not in section:
        return ""
    why = ""
    own = tag
    if isinstance(section.value[key], dict):
        inner = section.section(key)
        inner.keys("value", "tag", optional=("withheld",))
        value, own, why = inner.text("value"), inner.choice("tag", TAGS, "M"), inner.text("withheld")
    else:
        value = section.text(key)
    if why or own == "M":
        withheld[key] = why or _FROM_MEMORY
        return ""
    said_of = _SAID_OF.get(own, "") if own != tag else ""
    return f"{value} ({said_of})" if said_of else value


def _checked(section: Section) -> date | None:
    text = section.text("last_checked", "not-checked")
    if text == "not-checked":
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        section.problem(
            f"'last_checked: {text}' is no date",
            "write 2026-11-23 or not-checked",
            at="last_checked",
            mistake=Mistake.NOT_A_DATE,
        )
        return None


def _identifier(section: Section, key: str, form: re.Pattern[str], example: str) -> str:
    value = section.text(key)
    if value and not form.fullmatch(value):
        section.problem(
            f"'{key}: {value}' is not a valid {key.upper()}",
            f"it looks like {example}",
            at=key,
            mistake=Mistake.IDENTIFIER_FORM,
        )
        return ""
    return value


def _item(key: str, part: str, section: Section) -> InventoryItem:
    section.keys(
        "item",
        "disposition",
        optional=(
            *("cargo", "direction", "drug", "subtype", "specimen", "level", "scope", "note"),
            *("references", "studies", "beyond_seed"),
        ),
    )
    listed = section.section("references")
    references: dict[str, str] = {}
    for citation in listed.value:
        unknown = listed.text(citation) == "none"
        references[citation] = "" if unknown else _identifier(listed, citation, _DOI, "10.1111/cas.13150, or none")
    return InventoryItem(
        id=key,
        section=part,
        item=section.text("item"),
        disposition=section.choice("disposition", DISPOSITIONS, "must-not-use"),
        cargo=section.text("cargo"),
        direction=section.text("direction"),
        drug=section.text("drug"),
        subtype=section.text("subtype"),
        specimen=section.text("specimen"),
        level=section.text("level"),
        scope=section.text("scope"),
        note=section.text("note"),
        references=MappingProxyType(references),
        studies=section.texts("studies"),
        beyond_seed=section.choice("beyond_seed", ("yes", "no"), "no") == "yes",
    )


def _check_ids(
    studies: Mapping[str, tuple[Study, Section]], items: Mapping[str, tuple[InventoryItem, Section]]
) -> None:
    """Note every id that names no study, and every retracted study that an item uses all the same."""
    for study, section in studies.values():
        for other in study.contradicts:
            if other not in studies:
                section.problem(
                    f"'{other}' is no study of the catalogue",
                    "see the studies-….yaml files",
                    "contradicts",
                    mistake=Mistake.UNKNOWN_STUDY,
                )
    for item, section in items.values():
        for other in item.studies:
            if other not in studies:
                section.problem(
                    f"'{other}' is no study of the catalogue",
                    "see the studies-….yaml files",
                    "studies",
                    mistake=Mistake.UNKNOWN_STUDY,
                )
            elif studies[other][0].retracted and item.disposition != "must-not-use":
                section.problem(
                    f"'{other}' is retracted",
                    "set the item's disposition to must-not-use",
                    "studies",
                    mistake=Mistake.RETRACTED_IN_USE,
                )


def _with_contradictions(studies: Iterable[Study]) -> dict[str, Study]:
    """The studies by id, each with the ids of those that contradict it."""
    by_id = {study.id: study for study in studies}
    return {
        key: replace(study, contradicted_by=tuple(other.id for other in by_id.values() if key in other.contradicts))
        for key, study in by_id.items()
    }
