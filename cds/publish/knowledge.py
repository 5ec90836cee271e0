"""The rules as FHIR: a Library (what a rule is and rests on) and a PlanDefinition (when it speaks) for each.

They are for discovery and provenance. Nothing here can be executed elsewhere: the logic stays in the rule files.
"""

from __future__ import annotations

import base64
from collections.abc import Callable

from cds.publish.vocabulary import PRODUCT, Resource, Vocabulary, narrative, without_nothing
from cds.reasoning.evidence import Study
from cds.reasoning.rulebook import Rule, RuleBook

_STATUS = {"draft": "draft", "shadow": "draft", "active": "active", "retired": "retired"}


class RulePublisher:
    """A rule book under a site's canonical base. `text_of` gives the bytes of a rule's own file."""

    def __init__(self, book: RuleBook, canonical: str, text_of: Callable[[Rule], bytes]):
        self._book = book
        self._words = Vocabulary(canonical)
        self._text_of = text_of

    def resources(self) -> list[Resource]:
        """Library and PlanDefinition of every rule, in the order of the book."""
        return [made for rule in self._book.rules for made in (self.library(rule), self.plan(rule))]

    def library(self, rule: Rule) -> Resource:
        """The rule's text, version and evidence; a retracted study is never named."""
        return self._with_metadata(
            "Library",
            rule,
            {
                "type": {
                    "coding": [
                        {
                            "system": "http://terminology.hl7.org/CodeSystem/library-type",
                            "code": "logic-library",
                            "display": "Logic Library",
                        }
                    ]
                },
                "relatedArtifact": [self._cited(study) for study in self._studies(rule)],
                "content": [
                    {
                        "contentType": "application/yaml",
                        "data": base64.b64encode(self._text_of(rule)).decode(),
                        "title": rule.file,
                    }
                ],
            },
        )

    def plan(self, rule: Rule) -> Resource:
        """When the rule speaks: at the hooks of the service, about its marker."""
        words = self._words
        markers = [rule.watches] if rule.watches else [self._book.rule(part).watches for part in rule.combines.values()]
        known = self._book.catalogue.markers
        triggers = [{"type": "named-event", "name": hook} for hook in ("patient-view", "order-sign")]
        inputs = [
            {
                "type": "Observation",
                "profile": [words.url("StructureDefinition", "exosomal-marker-observation")],
                "codeFilter": [
                    {
                        "path": "code",
                        "code": [words.coding("exosomal-marker", name, known[name].short) for name in markers],
                    }
                ],
            }
        ]
        return self._with_metadata(
            "PlanDefinition",
            rule,
            {
                "type": {
                    "coding": [
                        {
                            "system": "http://terminology.hl7.org/CodeSystem/plan-definition-type",
                            "code": "eca-rule",
                            "display": "ECA Rule",
                        }
                    ]
                },
                "library": [words.url("Library", rule.name)],
                "action": [{"title": rule.title, "description": rule.summary, "trigger": triggers, "input": inputs}],
            },
        )

    def _with_metadata(self, kind: str, rule: Rule, content: Resource) -> Resource:
        caution = "Investigational. Advises and never decides; thresholds were not validated in a clinical cohort."
        return without_nothing(
            {
                "resourceType": kind,
                "id": rule.name,
                "text": narrative(rule.title, rule.summary, caution),
                "url": self._words.url(kind, rule.name),
                "version": rule.hash[:12],
                "name": "".join(part.capitalize() for part in rule.name.split("-")),
                "title": rule.title,
                "status": _STATUS[rule.status],
                "experimental": True,
                "date": rule.since,
                "publisher": PRODUCT,
                "description": f"{rule.summary} {caution}",
                "effectivePeriod": {"start": rule.since},
                "lastReviewDate": rule.since,
                **content,
            }
        )

    def _studies(self, rule: Rule) -> list[Study]:
        known = self._book.evidence.studies
        named = dict.fromkeys((*rule.evidence, *rule.contradicting))
        return [known[key] for key in named if key in known and not known[key].retracted]

    @staticmethod
    def _cited(study: Study) -> Resource:
        return without_nothing({"type": "citation", "citation": study.citation, "url": study.link})
