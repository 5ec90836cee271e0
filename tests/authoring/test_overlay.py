"""A site's folder laid over the shipped rules: what it can do, what it cannot, what an upgrade does to it, who uses it."""

from __future__ import annotations

import json
import os
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import httpx2
import pytest

from cds import layers
from cds.errors import RuleBookError
from cds.layers import rule_files, shipped_rules
from cds.mistakes import Mistake
from cds.reasoning.loading import default_rulebook, load_rulebook
from cds.reasoning.reasoner import Reasoner
from cds.workbench.authoring.lint import lint
from cds.workbench.authoring.overlay import accept, begin
from cds.workbench.proving.reading import load_tests
from cds.workbench.proving.running import run
from cds.workbench.publishing import objections
from tests.authoring.examples import EXAMPLE
from tests.service.test_serving import served
from tests.test_cli import exowatch

TODAY = date(2026, 11, 26)
SUSPICION = "by_rule:\n  trpc5-rise-on-chemotherapy: {suspicion: a loss of response to chemotherapy}\n"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    shutil.copytree(EXAMPLE, folder)
    return folder


def put(site: Path, name: str, text: str) -> None:
    path = site / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")


def refused(site: Path) -> list[tuple[str, Mistake]]:
    with pytest.raises(RuleBookError) as raised:
        load_rulebook(site)
    return [(Path(problem.file).name, problem.mistake) for problem in raised.value.problems]


def test_a_site_adds_a_marker_with_its_rule_its_laboratory_and_its_gate(site: Path) -> None:
    book = load_rulebook(site, drafts=True)
    assert {"example", *(rule.name for rule in default_rulebook().rules)} == {rule.name for rule in book.rules}
    assert "example-site-lab" in book.catalogue.declarations.laboratories
    assert [gate.name for gate in book.gates] == [*(gate.name for gate in default_rulebook().gates), "example"]
    tests = load_tests(site, book)
    assert {test.rule for test in tests} == {"example"}
    assert run(tests, Reasoner(book)) == []


def test_coefficients_codes_units_and_words_are_laid_over_the_shipped_ones(site: Path) -> None:
    put(
        site, "markers/trpc5-ev.yaml",
        "cv: {analytical: 12 %, within_person: 25 %, because: our validation}\n"
        "codes:\n  - {system: 'urn:oid:2.999.5', code: TRP5}\n"
        "units:\n  mass-per-volume:\n    accepts: {fg/mL: 0.001}\n",
    )  # fmt: skip
    put(site, "wording/cards.yaml", SUSPICION)
    book, shipped = load_rulebook(site), default_rulebook()
    marker, before = book.catalogue.markers["trpc5-ev"], shipped.catalogue.markers["trpc5-ev"]
    assert (marker.cva, marker.cvi, marker.title) == (0.12, 0.25, before.title)
    assert marker.units.keys() - before.units.keys() == {("linear", "fg/mL")}
    assert book.catalogue.codes["urn:oid:2.999.5", "TRP5"].marker == "trpc5-ev"
    assert book.catalogue.codes.keys() > shipped.catalogue.codes.keys()
    words = book.wording["cards"]
    assert words["by_rule"]["trpc5-rise-on-chemotherapy"]["suspicion"] == "a loss of response to chemotherapy"
    assert words["fixed_sentence"] == shipped.wording["cards"]["fixed_sentence"]
    assert words["notes"] == shipped.wording["cards"]["notes"]


@pytest.mark.parametrize(
    ("name", "text", "mistake"),
    [
        ("gates/5-specimen.yaml", "fails_on: {}\n", Mistake.NOT_TO_BE_OVERLAID),
        ("gates/5-specimen.yaml", "of: the latest\n", Mistake.NOT_TO_BE_OVERLAID),
        ("states.yaml", "states:\n  suspected: {card: none, about: rule}\n", Mistake.NOT_TO_BE_OVERLAID),
        ("wording/cards.yaml", "fixed_sentence: Think for yourself.\n", Mistake.NOT_TO_BE_OVERLAID),
        ("wording/cards.yaml", "notes:\n  stale: {text: Please stop the drug.}\n", Mistake.DIRECTS_TREATMENT),
        ("resistance/trpc5-rise-on-chemotherapy.yaml", "conclude: {}\n", Mistake.NOT_TO_BE_OVERLAID),
        ("resistance/trpc5-rise-on-chemotherapy.yaml", "status: active now\n", Mistake.NOT_TO_BE_OVERLAID),
        ("markers/trpc5-ev.yaml", "units:\n  mass-per-volume:\n    accepts: {ng/mL: 1}\n", Mistake.ONLY_TO_BE_ADDED_TO),
        ("markers/trpc5-ev.yaml", "checks: {residual-platelets: any}\n", Mistake.ONLY_TO_BE_ADDED_TO),
        ("markers/tgfb1-ev.yaml", "specimens: [serum]\n", Mistake.NOT_TO_BE_OVERLAID),
        ("evidence/studies-method.yaml", "studies:\n  han-2020: {status: active}\n", None),
        ("therapies/anti-pd-1.yaml", "gap: {days: 400 d, because: ours}\n", Mistake.NOT_TO_BE_OVERLAID),
        ("gates/own.yaml", "gate: data\ntitle: x\nbecause: y\nasked: always\nstate: hold\n", Mistake.GATE_TWICE),
        (
            "gates/own.yaml",
            "gate: own\ntitle: x\nbecause: y\nasked: always\nstate: hold\nwindows: {baseline_before: 400 d}\n",
            Mistake.WINDOW_TWICE,
        ),
    ],
)
def test_what_every_site_relies_on_stays_as_it_is(site: Path, name: str, text: str, mistake: Mistake | None) -> None:
    put(site, name, text)
    if mistake is None:
        record = next(
            file for file in (shipped_rules() / "evidence").glob("*.yaml") if "\n  han-2020:" in file.read_text("utf-8")
        )
        (site / name).unlink()
        name, mistake = f"evidence/{record.name}", Mistake.ONLY_TO_BE_ADDED_TO
        put(site, name, text)
    assert (Path(name).name, mistake) in refused(site)


def test_a_site_can_silence_a_shipped_rule_and_call_a_study_retracted(site: Path) -> None:
    put(site, "resistance/pdl1-on-chemotherapy.yaml", "status: retired\n")
    put(site, "evidence/studies-trpc5.yaml", "studies:\n  wang-2017: {status: retracted, last_checked: 2026-11-26}\n")
    assert ("inventory-1-1-chemotherapy.yaml", Mistake.RETRACTED_IN_USE) in refused(site)
    put(site, "evidence/inventory-1-1-chemotherapy.yaml", "items:\n  C01: {disposition: must-not-use}\n")
    book = load_rulebook(site)
    assert "pdl1-on-chemotherapy" in book.resting
    assert "wang-2017" in book.withheld["trpc5-rise-on-chemotherapy"]


def test_the_hash_covers_both(site: Path) -> None:
    before = load_rulebook(site)
    put(site, "markers/trpc5-ev.yaml", "cv: {analytical: 12 %, within_person: 25 %, because: our validation}\n")
    after = load_rulebook(site)
    assert len({default_rulebook().hash, before.hash, after.hash}) == 3
    name = "trpc5-rise-on-chemotherapy"
    assert after.rule(name).hash != before.rule(name).hash
    assert "our validation" in after.rule(name).text
    other = "pdl1-on-chemotherapy"
    assert after.rule(other).hash == before.rule(other).hash


def test_after_an_upgrade_what_has_changed_under_the_overlay_is_named(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(site, "wording/cards.yaml", SUSPICION + "limitations:\n  example-ev: [It is invented.]\n")
    put(site, "markers/pdl1-ev.yaml", "cv: {analytical: 12 %, within_person: 25 %, because: our validation}\n")
    assert {one.mistake for one in lint([site], TODAY)} == {Mistake.SHIPPED_CHANGED}  # compared with nothing yet
    assert accept(site) == 2
    assert lint([site], TODAY) == []

    newer = tmp_path / "newer"
    shutil.copytree(shipped_rules(), newer, ignore=shutil.ignore_patterns("bad"))
    cards, marker = newer / "wording/cards.yaml", newer / "markers/pdl1-ev.yaml"
    cards.write_text(cards.read_text("utf-8").replace("acquired resistance to chemotherapy", "resistance"), "utf-8")
    marker.write_text(marker.read_text("utf-8").replace("PD-L1 on extra", "PD-L1 upon extra"), "utf-8")
    monkeypatch.setattr(layers, "shipped_rules", lambda: newer)
    (problem,) = lint([site], TODAY)
    assert problem.mistake is Mistake.SHIPPED_CHANGED
    assert "the shipped wording/cards.yaml says something else" in problem.message
    assert rule_files(site).outdated().keys() == {
        "wording/cards.yaml"
    }  # of the marker only what the site does not speak of
    assert (
        load_rulebook(site).wording["cards"]["by_rule"]["trpc5-rise-on-chemotherapy"]["suspicion"].startswith("a loss")
    )
    accept(site)
    assert lint([site], TODAY) == []


def test_a_book_by_itself_is_never_made_an_overlay(tmp_path: Path) -> None:
    shutil.copytree(shipped_rules(), tmp_path / "book", ignore=shutil.ignore_patterns("bad"))
    with pytest.raises(Exception, match="a rule book by itself"):
        begin(tmp_path / "book", "book")


def test_the_commands_say_what_comes_from_where(site: Path) -> None:
    put(site, "wording/cards.yaml", SUSPICION)
    told = json.loads(exowatch("rules", "list", "--json", "--rules", str(site)).stdout)
    assert told["laid_over"]["wording/cards.yaml"] == ["by_rule"]
    assert (told["overlay"], told["resting"]) == ("example", ["example"])
    assert {rule["from"] for rule in told["rules"]} == {"shipped"}
    done = exowatch("rules", "overlay", str(site))
    assert (done.returncode, "not compared with the shipped one yet" in done.stdout) == (1, True)
    done = exowatch("rules", "overlay", str(site), "--accept")
    assert (done.returncode, "accepted: 1 shipped file," in done.stdout) == (0, True)
    fresh = site.parent / "fresh"
    done = exowatch("rules", "overlay", str(fresh))
    assert (done.returncode, (fresh / "overlay.yaml").is_file()) == (0, True)
    assert (
        json.loads(exowatch("rules", "list", "--json", "--rules", str(fresh)).stdout)["hash"] == default_rulebook().hash
    )


def test_the_service_speaks_with_the_overlay(site: Path, tmp_path: Path, request_body: dict[str, Any]) -> None:
    put(site, "wording/cards.yaml", SUSPICION)
    rule = (site / "resistance/example.yaml").read_text("utf-8").replace("status: draft", "status: active")
    put(site, "resistance/example.yaml", rule)
    settings = {"EXOWATCH_DATABASE_URL": f"sqlite:///{tmp_path}/record.sqlite", "EXOWATCH_RULES_DIR": str(site)}
    plain = {name: value for name, value in os.environ.items() if not name.startswith("EXOWATCH_")}
    with served(plain | settings, "--dev") as address, httpx2.Client(base_url=address, timeout=30) as client:
        assert client.get("/ready").json()["rulebook"] == load_rulebook(site).hash
        said = client.post("/cds-services/exowatch-patient-view", json=request_body).json()["cards"]
        assert any("a loss of response to chemotherapy" in card["summary"] for card in said), said
        libraries = [one["resource"]["name"] for one in client.get("/fhir/Library").json()["entry"]]
    assert len(libraries) == len(load_rulebook(site).rules)


def test_a_site_hears_of_the_reviews_of_shipped_rules_too(site: Path) -> None:
    late = {(one.mistake, Path(one.file).name) for one in lint([site], date(2028, 1, 1))}
    assert (Mistake.REVIEW_PAST, "trpc5-rise-on-chemotherapy.yaml") in late
    assert (Mistake.REVIEW_PAST, "example.yaml") in late
    assert {mistake for mistake, _ in late} == {Mistake.REVIEW_PAST}


def test_an_overlay_is_published_by_its_own_tests(site: Path) -> None:
    rule = (site / "resistance/example.yaml").read_text("utf-8").replace("status: draft", "status: active")
    put(site, "resistance/example.yaml", rule)
    assert not objections(rule_files(site), TODAY)
    tests = (site / "resistance/example.test.yaml").read_text("utf-8")
    computed = tests.replace("held:\n", "held:\n    because: computed; to be reviewed\n")
    put(site, "resistance/example.test.yaml", computed)
    assert [one.mistake for one in objections(rule_files(site), TODAY).problems] == [Mistake.NOT_REVIEWED]
    (site / "resistance/example.test.yaml").unlink()
    assert objections(rule_files(site), TODAY).untested == ("example",)
