"""JSON Schemas of rules, their tests, and what they rest on; see `tools.schemas`, which writes them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cds.chart.codes import SYSTEMS
from cds.chart.declarations import CHECKS, WORDS
from cds.chart.meanings import KINDS_OF_EVENT, SIDES
from cds.chart.units import SCALES
from cds.reasoning.evidence import DISPOSITIONS, GRADES, KINDS, STATUSES, TAGS
from cds.reasoning.kinds import KINDS as FACTS
from cds.reasoning.kinds.imaging import WORSE_RESPONSE
from cds.reasoning.kinds.sample import CHECKS as CHECKED
from cds.reasoning.kinds.sample import EVENTS, FAULTS
from cds.reasoning.loading import default_rulebook
from cds.reasoning.rulefile import ASKED, CERTAINTY, NEEDED, OPTIONAL, STATUS
from cds.reasoning.statistics import CONFIDENCES
from tools.schema_parts import DAY, NUMBER, PERCENT, TEXT, YES, YES_NO, Schema, head, object_of, one_of, texts, words_of

_BOOK = default_rulebook()
_DAYS: Schema = {
    "anyOf": [{"type": "integer"}, {"type": "string", "pattern": r"^-?\d+\s*[dw]?$"}],
    "examples": ["42 d"],
}
_FACTOR: Schema = {
    "anyOf": [
        {"type": "number", "exclusiveMinimum": 0},
        {"type": "string", "pattern": r"^(?!0*\.?0*$)[0-9.]+([eE][+-]?[0-9]+)?$"},
    ]
}
_ONE_OR_MORE: Schema = {"anyOf": [TEXT, {"type": "array", "items": TEXT}]}
_LITERALS: Schema = _ONE_OR_MORE | {"description": "facts that are to hold: risen, 'not risen', 'unknown risen'"}
_STATES = [state.name for state in _BOOK.states]
_MARKERS, _CLASSES = sorted(_BOOK.catalogue.markers), sorted(_BOOK.catalogue.therapies.classes)
_SPAN: Schema = {
    "anyOf": [TEXT, {"type": "array", "items": TEXT}],
    "description": "days: 0..84, 0.. (goes on), ?.. (start unknown)",
}
_LASTS = object_of({"days": _DAYS, "because": TEXT}, ["days", "because"])


def _known(words: Iterable[str], description: str) -> Schema:
    """A name that the editor proposes; another one may be of the site."""
    return {"anyOf": [{"enum": list(words)}, TEXT], "description": description}


def _several(words: Iterable[str]) -> Schema:
    one = {"enum": list(words)}
    return {"anyOf": [one, {"type": "array", "items": one}]}


def _codes() -> Schema:
    listed = {"anyOf": [TEXT, {"type": "array", "items": TEXT}]}
    return object_of(dict.fromkeys(SYSTEMS, listed), (), SYSTEMS) | {
        "description": "codes by the short name of their system"
    }


def _kinds() -> dict[str, Schema]:
    """Every kind of fact, by its key; the keys that it needs and may have."""
    limit = TEXT | {"description": "name of a limit"}
    pair = TEXT | {"description": "name of a fact of the kind 'pair'"}
    change = TEXT | {"description": "name of a fact of the kind 'value'"}
    window: Schema = {"anyOf": [object_of({"before": limit}, ["before"]), object_of({"within": limit}, ["within"])]}
    described: dict[str, tuple[str, dict[str, Schema], tuple[str, ...]]] = {
        "value": ("the latest value against its reference", {"value": _known(_MARKERS, "the marker"), "over": one_of(("baseline", "nadir")), "per": one_of(("total-ev",)), "at_least": limit, "not_fallen_by": limit}, ("over",)),
        "pair": ("two samples of one unbroken run confirm a change", {"pair": _ONE_OR_MORE, "first": limit, "second": limit, "apart": limit, "over_lowest": YES_NO}, ("first", "second", "apart")),
        "cannot_exclude": ("a change can be neither claimed nor excluded", {"cannot_exclude": change}, ()),
        "rising": ("so many last values rise one by one", {"rising": {"type": ["integer", "string"]}}, ()),
        "day": ("the day of the line lies there", {"day": window}, ()),
        "stale": ("the newest sample is older than 'stale_after'", {"stale": YES}, ()),
        "disease": ("", {"disease": one_of(("invasive-breast-cancer",)), "is": one_of(("absent", "present"))}, ("is",)),
        "age": ("", {"age": object_of({"under": NUMBER}, ["under"])}, ()),
        "recorded": ("", {"recorded": one_of(("metastatic", "other-cancer"))}, ()),
        "receptor": ("", {"receptor": one_of(("hormone", "her2"))}, ()),
        "her2_doubtful": ("HER2 is unknown or has changed", {"her2_doubtful": YES}, ()),
        "sex": ("", {"sex": one_of(("male", "female"))}, ()),
        "applies": ("", {"applies": YES}, ()),
        "neoadjuvant": ("the line prepares an operation", {"neoadjuvant": YES}, ()),
        "operated": ("the tumour was removed on the line, by the day of the latest sample", {"operated": YES}, ()),
        "cancer_in_other_breast": ("a cancer is left in a breast that was not operated on", {"cancer_in_other_breast": YES}, ()),
        "drugs_other_than": ("another drug runs in the line, or one of these classes beside it", {"drugs_other_than": _ONE_OR_MORE, "beside": _ONE_OR_MORE}, ()),
        "assumed_ongoing": ("no end of the line is recorded", {"assumed_ongoing": YES}, ()),
        "interference": ("a drug that binds the analyte is about", {"interference": one_of(("drug",))}, ()),
        "bound_drug": ("a drug that binds the analyte is about for a sample on which the state rests", {"bound_drug": YES, "pair": pair}, ()),
        "off_therapy": ("the rise would be confirmed against a line that has ended", {"off_therapy": pair}, ()),
        "fault": ("", {"fault": _several(FAULTS), "where": one_of(("anywhere", "near", "latest"))}, ()),
        "check": ("a check that the marker requires failed", {"check": one_of(CHECKED)}, ()),
        "event": ("", {"event": one_of(EVENTS), "for": _DAYS}, ()),
        "operation": ("", {"operation": one_of(("any",)), "for": _DAYS}, ("for",)),
        "given": ("", {"given": one_of(EVENTS), "for": _DAYS}, ()),
        "time_of_day": ("one of two samples compared was drawn before noon, the other after it", {"time_of_day": one_of(("differs",))}, ()),
        "unstated": ("the method is not fully stated", {"unstated": one_of(("method",))}, ()),
        "reference": ("what the reference is like", {"reference": one_of(("missing", "not-comparable", "late", "only")), "pair": pair}, ()),
        "specimen": ("a specimen in which the marker must not be measured", {"specimen": one_of(("not allowed",))}, ()),
        "imaging": ("the most recent response near the samples", {"imaging": _several(WORSE_RESPONSE), "within": _DAYS, "pair": pair}, ("within",)),
    }  # fmt: skip
    made = {
        kind: object_of(keys, [kind, *needed], keys) | ({"description": said} if said else {})
        for kind, (said, keys, needed) in described.items()
    }
    made["value"]["anyOf"] = [{"required": ["at_least"]}, {"required": ["not_fallen_by"]}]
    return made


def _fact(*others: Schema) -> Schema:
    kinds = _kinds()
    return {
        "description": "a named statement, true, false or unknown",
        "anyOf": [*(kinds[kind] for kind in FACTS), *others],
    }


def rule() -> Schema:
    """The schema of `resistance/NAME.yaml`."""
    combined: list[Schema] = [
        object_of({"finding": TEXT, "is": _several(_STATES)}, ["finding", "is"]),
        object_of({"same_day": {"type": "array", "items": TEXT}}, ["same_day"]),
    ]
    clause = object_of(
        {
            "all": _LITERALS, "id": TEXT | {"description": "its name, unique in the rule"}, "unless": _LITERALS,
            "certainty": one_of(CERTAINTY), "note": _known(_BOOK.wording["cards"]["notes"], "a note of wording/cards.yaml"),
            "asked": one_of(ASKED),
        },
        ["all"], ("id", "unless", "certainty", "note", "asked"),
    )  # fmt: skip
    ratio = object_of(
        {"ratio": one_of(("reference-change",)), "confidence": one_of(CONFIDENCES), "floor": NUMBER, "because": TEXT},
        ["ratio", "confidence", "floor", "because"],
    )
    window = object_of({"from": _DAYS, "to": _DAYS, "because": TEXT}, ["because"], ("from", "to"))
    note = object_of({"all": _LITERALS, "unless": _LITERALS, "asked": one_of(ASKED)}, ["all"], ("unless", "asked"))
    options = _BOOK.wording["advice"]["options"]
    option = _known(options, "an option of wording/advice.yaml")
    advised: Schema = {"anyOf": [option, {"type": "array", "items": option}]}
    clauses: Schema = {"anyOf": [clause, {"type": "array", "items": clause}]}
    described: dict[str, Schema] = {
        "rule": TEXT | {"description": "its name, as the file is called"},
        "title": TEXT | {"description": "a noun phrase of what is seen"},
        "status": one_of(STATUS, "draft: being written; shadow: evaluated and never shown"),
        "since": DAY, "review_by": DAY,
        "summary": TEXT | {"description": "one sentence without numbers"},
        "evidence": _ONE_OR_MORE | {"description": "records of evidence/"},
        "contradicting": _ONE_OR_MORE | {"description": "records that contradict it"},
        "watches": _known(_MARKERS, "the marker"),
        "combines": words_of("rules whose findings are combined, by a name", TEXT),
        "part_of": TEXT | {"description": "the rule that combines this one"},
        "during": object_of({"therapy": {"anyOf": [_known(_CLASSES, "a class"), {"type": "array", "items": _known(_CLASSES, "")}]}, "not_beside": _ONE_OR_MORE}, ["therapy"], ("not_beside",)),
        "after": object_of({"operation": one_of(("curative",)), "until": _DAYS, "second_until": _DAYS, "second_of": TEXT}, ["operation", "until"], ("second_until", "second_of")),
        "reference": one_of(("baseline", "nadir", "none")),
        "nadir": object_of({"after_operation": _DAYS}, ["after_operation"]),
        "stale_after": _DAYS,
        "only_if": _LITERALS,
        "limits": words_of("thresholds and windows by name, each with its reason", {"anyOf": [ratio, window]}),
        "facts": words_of("by name", _fact(*combined)),
        "conclude": object_of(dict.fromkeys(_STATES, clauses), (), _STATES),
        "notes": words_of("notes of wording/cards.yaml", note),
        "advise": object_of(dict.fromkeys(_STATES, advised), (), _STATES),
        "false_alarms": texts("what could make it wrong"),
        "not_for": texts("for whom it is not"),
        "gates": texts("only for a rule that shows no card: fewer gates than all"),
    }  # fmt: skip
    made = object_of(described, NEEDED, ("watches", "combines", *OPTIONAL))
    return head("rule", "A rule: one question, what counts, what it concludes") | made | {
        "oneOf": [
            {"required": ["watches", "during"], "not": {"required": ["after"]}},
            {"required": ["watches", "after"], "not": {"required": ["during"]}},
            {"required": ["combines"]},
        ]
    }  # fmt: skip


def rule_test() -> Schema:
    """The schema of `resistance/NAME.test.yaml`."""
    by_day = {"type": "object", "propertyNames": {"pattern": r"^-?\d+$"}, "additionalProperties": TEXT}
    series: Schema = {
        "anyOf": [TEXT, {"type": "object", "propertyNames": {"pattern": r"^(-?\d+|undated)$"}, "additionalProperties": TEXT}],
        "description": "values by day, or short: 2.0 x6 q21d from -4",
    }  # fmt: skip
    tri = {"enum": ["yes", "no", "unknown", True, False]}
    known: dict[str, Schema] = {
        **dict.fromkeys(_MARKERS, series), **dict.fromkeys(_CLASSES, _SPAN),
        "age": {"type": ["integer", "string"]}, "sex": one_of(("female", "male", "unknown")),
        "disease": one_of(("invasive", "in-situ", "unknown")), "er": tri, "pr": tri, "her2": tri, "metastatic": tri,
        "other_cancer": tri, "side": one_of((*SIDES, "unknown")), "operation": by_day, "imaging": by_day,
        "events": words_of("spans of days by kind of event", TEXT),
        "expect": by_day | {"description": "by day: a state, and reasons that must be there or, after 'not', must not"},
        "quiet": {"anyOf": [TEXT, {"type": "array", "items": TEXT}], "description": "days without a card"},
        "because": TEXT,
    }  # fmt: skip
    patient: Schema = {
        "type": "object",
        "properties": known,
        "additionalProperties": {"anyOf": [series, _SPAN], "description": "a marker or class of the site"},
    }
    patient["patternProperties"] = {"^(expcet|expects|expected|cases?|given)$": False}
    case = patient | {"anyOf": [{"required": ["expect"]}, {"required": ["quiet"]}]}
    described: dict[str, Schema] = {"rule": TEXT, "given": patient, "cases": words_of("what each shows", case)}
    return head("rule-test", "Tests of a rule") | object_of(described, ["rule", "cases"], ["given"])


def marker() -> Schema:
    """The schema of `markers/NAME.yaml`."""
    code: Schema = {"code": TEXT, "system": TEXT, "scale": one_of(SCALES), "is": TEXT}
    family = object_of(
        {"canonical": TEXT, "scale": one_of(SCALES), "per_ev": one_of(("divide", "itself")), "accepts": words_of("units by how many canonical ones each is", _FACTOR)},
        ["canonical", "accepts"], ("scale", "per_ev"),
    )  # fmt: skip
    described: dict[str, Schema] = {
        "marker": TEXT | {"description": "its name, as the file is called"}, "title": TEXT, "short": TEXT | {"description": "as cards call it"},
        "cargo": TEXT, "compartment": TEXT,
        "codes": {"type": "array", "items": object_of(code, ["code"], ("system", "scale"))},
        "units": words_of("families of units that convert into one another", family),
        "cv": object_of({"analytical": PERCENT, "within_person": PERCENT, "because": TEXT}, ["analytical", "within_person", "because"]),
        "checks": object_of(dict.fromkeys(CHECKS, one_of(("any", "plasma", "stated"))), (), CHECKS),
        "gene": words_of("symbol and identifiers", TEXT),
        "other_analytes": {"type": "array", "items": object_of(code, ["code"], ("system", "is"))},
        "ignored": {"type": "array", "items": object_of(code, ["code"], ("system", "is"))},
        "bound_by": _known(_CLASSES, "the class whose drugs bind what is measured"),
        "specimens": _several(WORDS["specimen"]) | {"description": "the only ones in which it may be measured"},
        "must_not_use": TEXT | {"description": "the retracted record: results are logged and never interpreted"},
    }  # fmt: skip
    needed = ["marker", "title", "short", "cargo", "compartment", "codes", "units"]
    return head("marker", "A marker: codes, units, coefficients of variation, required checks") | object_of(
        described, needed, described
    )


def gate() -> Schema:
    """The schema of `gates/NAME.yaml`."""
    failing = _fact()
    failing["anyOf"] = [
        one
        | {"properties": one["properties"] | {"state": one_of(_STATES, "where it leads, if not to the gate's state")}}
        for one in failing["anyOf"]
    ]
    lasting = object_of(
        {"days": _DAYS, "cut_short": one_of(("another line", "nothing")), "because": TEXT},
        ["days", "cut_short", "because"],
    )
    windows: dict[str, Schema] = {
        "baseline_before": _DAYS, "late_baseline": _DAYS, "fault_before": _DAYS, "elements": texts("of the method"),
        "lasting": words_of("what a class leaves behind", lasting),
    }  # fmt: skip
    described: dict[str, Schema] = {
        "gate": TEXT, "title": TEXT, "because": TEXT, "asked": one_of(ASKED), "state": one_of(_STATES),
        "of": one_of(("every sample", "the latest")), "windows": object_of(windows, (), windows),
        "fails_on": words_of("facts on which it fails", failing), "facts": words_of("facts that rules may use", _fact()),
        "notes": words_of("notes, each with the fact that raises it", _fact()),
    }  # fmt: skip
    return head("gate", "A gate that all rules share") | object_of(
        described, ["gate", "title", "because", "asked", "state"], ("of", "windows", "fails_on", "facts", "notes")
    )


def therapy() -> Schema:
    """The schema of `therapies/NAME.yaml`: of a class, or of what is common to all."""
    drug = object_of(
        {"route": one_of(("oral", "infusion", "injection")), "codes": _codes(), "bridge": _LASTS},
        ["route", "codes"],
        ["bridge"],
    )
    class_: dict[str, Schema] = {
        "therapy": TEXT, "title": TEXT, "gap": _LASTS, "bridge": _LASTS, "drugs": words_of("by name", drug),
        "procedures": _codes(), "line_per_drug": YES_NO, "until_other_line": YES_NO,
    }  # fmt: skip
    common: dict[str, Schema] = {
        "intents": words_of("by name", _codes()), "neoadjuvant_within": _LASTS,
        "groups": words_of("of which classes a drug may be that none lists, by therapy class", _codes()),
        "progression": object_of({"observations": _codes(), "worse": _codes()}, ["observations", "worse"]),
    }  # fmt: skip
    needed = ["therapy", "title", "gap", "bridge", "drugs"]
    either = [
        object_of(class_, needed, class_),
        object_of(common, ["intents", "progression", "neoadjuvant_within"], ["groups"]),
    ]
    return head("therapy", "A therapy class: drugs, pauses, codes") | {"anyOf": either}


def events() -> Schema:
    """The schema of `events/NAME.yaml`."""
    described: dict[str, Schema] = {
        "events": one_of(sorted(KINDS_OF_EVENT)), "title": TEXT,
        "codes": object_of(dict.fromkeys(sorted({one for kinds in KINDS_OF_EVENT.values() for one in kinds}), _codes()), (), sorted({one for kinds in KINDS_OF_EVENT.values() for one in kinds})),
        "answers": words_of("by what they mean", _codes()), "intents": words_of("by name", _codes()),
        "sides": object_of(dict.fromkeys(SIDES, _codes()), (), SIDES), "longest": words_of("by kind of event", _LASTS),
    }  # fmt: skip
    return head("events", "What clinical codes mean") | object_of(
        described, ["events", "title", "codes"], ("answers", "intents", "sides", "longest")
    )


def studies() -> Schema:
    """The schema of `evidence/studies-TOPIC.yaml`."""
    tagged = object_of({"value": TEXT, "tag": one_of(TAGS), "withheld": TEXT}, ["value", "tag"], ["withheld"])
    said: Schema = {"anyOf": [TEXT, tagged]}
    described: dict[str, Schema] = {
        "citation": TEXT, "kind": one_of(KINDS),
        "verification": one_of(TAGS, "V seen in the source, S only in a review, C calculated here, M from memory and never shown"),
        "direction": said, "status": one_of(STATUSES), "last_checked": {"anyOf": [DAY, {"enum": ["not-checked"]}]},
        "doi": TEXT | {"pattern": r"^10\.\d{4,9}/"}, "pmid": TEXT, "pmc": TEXT, "seen_in": TEXT, "population": said, "n": said,
        "specimen": said, "assay": said, "time_point": said, "figures": words_of("what was measured", said),
        "certainty": object_of({"ocebm": {"enum": ["1", "2", "3", "4", "5", 1, 2, 3, 4, 5]}, "grade": one_of(GRADES), "grade_for": words_of("by rule", one_of(GRADES)), "because": TEXT}, (), ("ocebm", "grade", "grade_for", "because")),
        "directness": object_of({"breast": TEXT, "therapy": TEXT}, (), ("breast", "therapy")),
        "contradicts": _ONE_OR_MORE, "caution": TEXT,
    }  # fmt: skip
    needed = ["citation", "kind", "verification", "direction", "status", "last_checked"]
    record = object_of(described, needed, described)
    return head("studies", "Studies, trials and guidelines") | object_of(
        {"topic": TEXT, "studies": words_of("by id", record)}, ["topic", "studies"]
    )


def inventory() -> Schema:
    """The schema of `evidence/inventory-SECTION.yaml`."""
    names = ("cargo", "direction", "drug", "subtype", "specimen", "level", "scope", "note")
    described: dict[str, Schema] = {
        "item": TEXT, "disposition": one_of(DISPOSITIONS), **dict.fromkeys(names, TEXT),
        "references": words_of("DOI by citation, or none", TEXT), "studies": _ONE_OR_MORE, "beyond_seed": YES_NO,
    }  # fmt: skip
    record = object_of(described, ["item", "disposition"], described)
    return head("inventory", "Systems that the review names") | object_of(
        {"section": TEXT, "title": TEXT, "items": words_of("by number", record)}, ["section", "title", "items"]
    )


def wording() -> Schema:
    """The schema of `wording/NAME.yaml`: words by keys, which the rule book fills with its own."""
    inner: dict[str, Any] = {"anyOf": [TEXT, {"type": "array", "items": TEXT}, {"type": "object"}]}
    sourced = object_of({"text": TEXT, "sources": _ONE_OR_MORE, "label": TEXT}, (), ("text", "sources", "label"))
    states = {"type": "object", "propertyNames": {"enum": _STATES}, "additionalProperties": words_of("", TEXT)}
    return head("wording", "What people read") | {
        "type": "object",
        "properties": {"notes": words_of("by name", sourced), "options": words_of("by name", sourced), "states": states},
        "additionalProperties": inner,
    }  # fmt: skip


def states() -> Schema:
    """The schema of `states.yaml`."""
    state = object_of(
        {"card": one_of(("none", "info", "warning")), "about": one_of(("marker", "rule"))}, ["card", "about"]
    )
    return head("states", "The states of a finding, in order of precedence") | object_of(
        {"states": words_of("by name", state)}, ["states"]
    )


def overlay() -> Schema:
    """The schema of a site's `overlay.yaml`."""
    made_for = object_of({"version": TEXT, "files": words_of("digests by file", TEXT)}, ["files"], ["version"])
    return head("overlay", "A site's folder, laid over the shipped rules") | object_of(
        {"overlay": TEXT, "title": TEXT, "made_for": made_for}, ["overlay"], ("title", "made_for")
    )


RULE_SCHEMAS = {
    f"{name}.schema.json": made
    for name, made in {
        "rule": rule, "rule-test": rule_test, "marker": marker, "gate": gate, "therapy": therapy, "events": events,
        "studies": studies, "inventory": inventory, "wording": wording, "states": states, "overlay": overlay,
    }.items()
}  # fmt: skip

PLACES = {
    "rule": "resistance/*.yaml", "rule-test": "resistance/*.test.yaml", "marker": "markers/*.yaml", "gate": "gates/*.yaml",
    "therapy": "therapies/*.yaml", "events": "events/*.yaml", "studies": "evidence/studies-*.yaml",
    "inventory": "evidence/inventory-*.yaml", "wording": "wording/*.yaml", "states": "states.yaml", "overlay": "overlay.yaml",
    "laboratory": "labs/*.yaml", "laboratory-test": "labs/*.test.yaml",
}  # fmt: skip
"""Which files each schema is of, in a rule book or an overlay."""
