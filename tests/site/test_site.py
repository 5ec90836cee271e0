"""The rule book as pages: whole, true to the rules, without anything from elsewhere, and readable by everybody."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cds.mistakes import Mistake
from cds.publish.site.prose import Teller
from cds.publish.site.site import Site
from cds.reasoning.loading import default_rulebook, load_rulebook
from cds.reasoning.rulebook import Rule
from tests.drawing.test_in_browser import axe
from tests.test_cli import exowatch

if TYPE_CHECKING:
    from playwright.sync_api import Browser

BOOK = default_rulebook()
TELLER = Teller(BOOK)
PAGES = dict(Site(BOOK).pages())


class Reader(HTMLParser):
    """What a page links to, loads, and says."""

    def __init__(self, text: str):
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.ids: set[str] = set()
        self.said: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        stated = {name: value or "" for name, value in attrs}
        if tag == "a":
            self.links.append(stated.get("href", ""))
        if tag in ("link", "img", "script", "iframe", "object"):
            self.loads.append(stated.get("href") or stated.get("src") or tag)
        self.ids |= {stated["id"]} if "id" in stated else set()

    def handle_data(self, data: str) -> None:
        self.said.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.said).split())


READ = {name: Reader(text) for name, text in PAGES.items()}


@pytest.mark.parametrize("rule", BOOK.rules, ids=lambda rule: rule.name)
def test_a_rule_is_told_whole(rule: Rule) -> None:
    told, text = TELLER.told(rule), READ[f"rule-{rule.name}.html"].text
    own = [clause for clause in rule.clauses if not clause.gate]
    assert sum(len(one.ways) for one in told.conclusions) + len(told.notes) == len(own)
    for clause in own:
        assert clause.key in text or not clause.state
        for literal in (*clause.all, *clause.unless):
            assert TELLER.words.fact(literal.fact) in text
    for name in rule.limits:
        assert f" {name} " in f" {text} "
    for study in (*rule.evidence, *rule.contradicting):
        assert BOOK.evidence.studies[study].citation in text
    for said in (rule.summary, *rule.false_alarms, rule.hash[:12]):
        assert said in text


@pytest.mark.parametrize("rule", BOOK.rules, ids=lambda rule: rule.name)
def test_every_fact_has_a_definition_with_its_numbers(rule: Rule) -> None:
    for fact in TELLER.told(rule).facts:
        assert fact.true_if, fact.name
    numbers = {str(one) for name, limit in rule.limits.items() for one in _numbers(limit)}
    assert numbers <= set(re.findall(r"\d+", READ[f"rule-{rule.name}.html"].text))


def _numbers(limit: Any) -> Iterator[int]:
    for name in ("first", "last"):
        if isinstance(getattr(limit, name, None), int):
            yield getattr(limit, name)


@pytest.mark.parametrize("rule", BOOK.rules, ids=lambda rule: rule.name)
def test_what_cards_say_of_a_state_is_there_to_be_reviewed(rule: Rule) -> None:
    text = READ[f"rule-{rule.name}.html"].text
    for one in TELLER.told(rule).conclusions:
        assert TELLER.words.explained(one.state, rule.name) in text
    for state in BOOK.states:
        assert TELLER.words.explained(state.name) in READ["index.html"].text


def test_words_that_a_note_puts_in_the_place_of_the_usual_ones_are_shown_with_it() -> None:
    text = READ["rule-trpc5-rise-on-chemotherapy.html"].text
    assert TELLER.words.explained("no-flag") in text
    assert TELLER.words.explained("no-flag", notes=("parallel-to-total-ev",)) in text


def test_states_stand_in_the_order_in_which_they_are_asked() -> None:
    order = [state.name for state in BOOK.states]
    for rule in BOOK.rules:
        found = [order.index(one.state) for one in TELLER.told(rule).conclusions]
        assert found == sorted(found)


def test_links_lead_somewhere_and_nothing_is_loaded_from_elsewhere() -> None:
    for name, read in READ.items():
        assert set(read.loads) == {"style.css"}, name
        for link in read.links:
            if link.startswith("https://"):
                assert re.match(r"https://(doi\.org|pubmed\.ncbi\.nlm\.nih\.gov|pmc\.ncbi\.nlm\.nih\.gov)/", link)
                continue
            file, _, place = link.partition("#")
            assert (file or name) in READ, link
            assert not place or place in READ[file or name].ids, link


def test_nothing_retracted_or_withheld_is_told() -> None:
    everything = " ".join(read.text for read in READ.values())
    for study in BOOK.evidence.studies.values():
        if study.retracted:
            assert everything.count(study.citation) <= 1  # in the list of what is retracted
            assert not study.direction or study.direction not in everything
    assert "[M]" not in everything
    assert "None" not in re.findall(r"\w+", everything)


def test_every_code_of_lint_is_listed() -> None:
    text = READ["lint.html"].text
    assert [one.code for one in Mistake if one.code not in text] == []


def test_what_a_site_writes_is_escaped(tmp_path: Path) -> None:
    (tmp_path / "markers").mkdir()
    (tmp_path / "overlay.yaml").write_text("overlay: site\n", "utf-8")
    (tmp_path / "markers" / "trpc5-ev.yaml").write_text('title: "<script>alert(1)</script>"\n', "utf-8")
    page = dict(Site(load_rulebook(tmp_path)).pages())["markers.html"]
    assert "&lt;script&gt;" in page
    assert "<script" not in page


def test_what_is_still_a_draft_is_counted(tmp_path: Path) -> None:
    done = exowatch("rules", "docs", "--out", str(tmp_path / "site"), "--rules", "docs/lint/example")
    assert (done.returncode, "; 1 draft left out; open" in done.stdout) == (0, True), done.stdout + done.stderr


def test_the_command_writes_the_same_bytes_each_time(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        done = exowatch("rules", "docs", "--out", str(tmp_path / folder))
        assert (done.returncode, done.stderr) == (0, "")
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == sorted([*PAGES, "style.css"])
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    (tmp_path / "file").write_text("")
    assert exowatch("rules", "docs", "--out", str(tmp_path / "file")).returncode == 2


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (375, "dark")])
def test_pages_are_open_to_everybody(tmp_path: Path, browser: Browser, width: int, scheme: Any) -> None:
    Site(BOOK).write(tmp_path)
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=True)
    for name in PAGES:
        page.goto(f"file://{tmp_path}/{name}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert axe(page) == [], name
    page.close()
