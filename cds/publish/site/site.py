"""The whole rule book as pages: `exowatch rules docs` writes them into a folder, the service answers `/rules/…` with them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from cds.advice.advisory import FIXED_SENTENCE, About
from cds.legible import day, legible
from cds.mistakes import Mistake
from cds.publish.site.prose import Fact, Teller
from cds.reasoning.rulebook import Gate, Rule, RuleBook

_ENVIRONMENT = Environment(
    loader=PackageLoader("cds.publish.site"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters |= {"day": day, "legible": legible}

_FAMILIES = {
    "1": "the file itself", "2": "rules", "3": "markers, therapies, gates and wording", "4": "evidence", "5": "rule tests",
    "6": "laboratories and overlays", "7": "what loads and is likely not meant",
}  # fmt: skip


def style() -> str:
    """The style sheet that the pages name `style.css`."""
    return (Path(__file__).with_name("templates") / "style.css").read_text("utf-8")


class Site:
    """The pages of one rule book; `about` is what the site that uses it says of itself."""

    def __init__(self, book: RuleBook, about: About | None = None):
        self._book = book
        self._teller = Teller(book)
        self._about = self._teller.words.about(about or About())

    def write(self, out: Path) -> int:
        """Write the pages into a folder, which is made if need be; how many they are. Raises `OSError`."""
        out.mkdir(parents=True, exist_ok=True)
        (out / "style.css").write_text(style(), "utf-8")
        count = 0
        for name, content in self.pages():
            (out / name).write_text(content, "utf-8")
            count += 1
        return count

    def pages(self) -> Iterator[tuple[str, str]]:
        """Names of files, and what stands in them."""
        book, words = self._book, self._teller.words
        yield "index.html", self._page(
            "index", rules=[(rule, self._teller.question(rule)) for rule in book.rules], withheld=dict(book.withheld),
            states=[(state, words.state(state.name), words.explained(state.name)) for state in book.states], attributes=words.attributes(), about=self._about,
            studies=sum(not study.retracted for study in book.evidence.studies.values()),
        )  # fmt: skip
        for rule in book.rules:
            yield f"rule-{rule.name}.html", self._page("rule", **self._rule(rule))
        yield "markers.html", self._page("markers", markers=sorted(book.catalogue.markers.values(), key=lambda one: one.name),
                                         limitations=words.limitations, assumed=words.assumed_variation())  # fmt: skip
        yield (
            "gates.html",
            self._page(
                "gates",
                gates=[
                    (gate, words.gate(gate.name), list(self._failing(gate)), list(self._noting(gate)))
                    for gate in book.gates
                ],
                windows=book.windows,
            ),
        )
        used: dict[str, list[str]] = {}
        for rule in book.rules:
            for study in (*rule.evidence, *rule.contradicting):
                used.setdefault(study, []).append(rule.name)
        studies = sorted(book.evidence.studies.values(), key=lambda study: study.citation)
        yield "evidence.html", self._page(
            "evidence", studies=[one for one in studies if not one.retracted], retracted=[one for one in studies if one.retracted],
            used=used, inventory=book.evidence.inventory,
        )  # fmt: skip
        yield (
            "lint.html",
            self._page(
                "lint",
                families=[
                    (title, [one for one in Mistake if one.code[2] == digit]) for digit, title in _FAMILIES.items()
                ],
            ),
        )

    def _page(self, template: str, **shown: Any) -> str:
        return _ENVIRONMENT.get_template(f"{template}.html").render(
            book=self._book, fixed_sentence=FIXED_SENTENCE, **shown
        )

    def _rule(self, rule: Rule) -> dict[str, Any]:
        book, words = self._book, self._teller.words
        studies = book.evidence.studies
        asked = {clause.gate for clause in rule.clauses if clause.gate}
        return {
            "rule": rule,
            "told": self._teller.told(rule),
            "limits": [(name, self._teller.limit(limit), _because(limit)) for name, limit in rule.limits.items()],
            "gates": [(gate.name, words.gate(gate.name)) for gate in book.gates if gate.name in asked],
            "support": [studies[key] for key in rule.evidence if key in studies and not studies[key].retracted],
            "against": [studies[key] for key in rule.contradicting if key in studies and not studies[key].retracted],
            "not_for": (*words.not_for(), *(one for one in rule.not_for if one not in words.not_for())),
            "limitations": words.limitations(rule.watches),
            "about": self._about,
            "attributes": words.attributes(),
        }

    def _failing(self, gate: Gate) -> Iterator[tuple[str, str, Fact]]:
        """What makes a gate fail: what it is called, the state that follows, and when it is so."""
        watching = next((rule for rule in self._book.rules if rule.watches), None)
        for spec, state, _ in gate.fails_on:
            if watching is not None:
                called = self._teller.words.failure(spec.name)
                yield called, self._teller.words.state(state), self._teller.fact(spec, watching)

    def _noting(self, gate: Gate) -> Iterator[tuple[str, Fact]]:
        """What a gate only notes: the note, and when it is added."""
        watching = next((rule for rule in self._book.rules if rule.watches), None)
        if watching is not None:
            yield from ((self._teller.words.note(spec.name), self._teller.fact(spec, watching)) for spec in gate.notes)


def _because(limit: Any) -> str:
    return str(getattr(limit, "because", ""))
