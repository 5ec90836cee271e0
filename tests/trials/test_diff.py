"""Two versions of the rules: what changed in words, which patients change, and where versions come from."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cds.cli import app
from cds.errors import InputError
from cds.layers import rule_files, shipped_rules
from cds.reasoning.loading import load_rulebook
from cds.reasoning.releases import new_key, write_release
from cds.workbench.trials.comparison import UNASKED, compared
from cds.workbench.trials.lives import Life
from cds.workbench.trials.versions import version
from cds.workbench.trials.wording import changes

TRPC5 = "trpc5-rise-on-chemotherapy"
FLAGS = ("suspected", "persistent")


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    folder = tmp_path / "rules"
    shutil.copytree(shipped_rules(), folder)
    return folder


def edit(folder: Path, old: str, new: str, name: str = f"resistance/{TRPC5}.yaml") -> None:
    file = folder / name
    text = file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), "utf-8")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("floor: 2.0", "floor: 2.5", "limit 'rise': floor 2.0 → 2.5"),
        ("first:  {from: 42 d", "first:  {from: 49 d", "limit 'first': from 42 d → 49 d"),
        ("because: dying cells release", "because: cells that die release", "limit 'guard': because reworded: cells that die release vesicles early in a line"),
        ("status: active", "status: shadow", "status active → shadow"),
        ("evidence: [wang-2017, ma-2014]", "evidence: [wang-2017]", "evidence: removed ma-2014"),
        ("drifting:           {rising: 3}", "drifting:           {rising: 4}", "fact 'drifting': {rising: 3} → {rising: 4}"),
        ("all: [risen], unless: [not risen_per_ev]}", "all: [risen], unless: [not risen_per_ev, male]}", "clause TR-02 of 'watch': unless: added male"),
        ("    - {id: no-rise, all: [not risen]}\n", "", "clause no-rise of 'no-flag' removed: all of not risen"),
        ("  watch:\n", "  watch:\n    - {id: TR-09, all: [risen, early], unless: [male]}\n", "clause TR-09 of 'watch' added: all of risen, early, unless male"),
        ("all: [risen, risen_per_ev, confirmed]", "all: [risen, confirmed]", "clause TR-01 of 'suspected': all: removed risen_per_ev"),
        ("certainty: very-low", "certainty: low", "clause TR-01 of 'suspected': certainty very-low → low"),
        ("once-undisturbed]", "once-undisturbed, redraw-specimen]", "advise: hold: added redraw-specimen"),
        ("stale_after: 120 d", "stale_after: 90 d", "stale_after 120 d → 90 d"),
        ("summary: A confirmed", "summary: Any confirmed", "summary reworded: Any confirmed"),
    ],
)  # fmt: skip
def test_in_words(rules: Path, old: str, new: str, said: str) -> None:
    edit(rules, old, new)
    (found,) = changes(rule_files(shipped_rules()), rule_files(rules))
    assert (found.name, found.fate) == (TRPC5, "changed")
    assert len(found.changes) == 1
    assert found.changes[0].startswith(said)


def test_other_files_and_whole_files_are_told(rules: Path) -> None:
    edit(rules, "analytical: 20 %", "analytical: 15 %", "markers/trpc5-ev.yaml")
    (rules / "resistance" / "pdl1-on-chemotherapy.yaml").unlink()
    found = changes(rule_files(shipped_rules()), rule_files(rules))
    assert [(one.name, one.fate) for one in found] == [
        ("pdl1-on-chemotherapy", "removed"),
        ("markers/trpc5-ev.yaml", "changed"),
    ]
    assert found[1].changes == ("cv: analytical 20 % → 15 %",)
    back = changes(rule_files(rules), rule_files(shipped_rules()))
    assert back[0].fate == "added"


def test_all_that_a_new_rule_can_say_is_told(rules: Path) -> None:
    (rules / "resistance" / f"{TRPC5}.yaml").unlink()
    (new,) = changes(rule_files(rules), rule_files(shipped_rules()))
    assert (new.name, new.fate) == (TRPC5, "added")
    told = "\n".join(new.changes)
    assert "limit 'rise' added: {ratio: reference-change, confidence: one-sided 95 %, floor: 2.0" in told
    for state in ("hold", "watch", "suspected", "no-flag"):
        assert re.search(rf"clause \S+ of '{state}' added: all of ", told)


def test_comments_and_tests_are_no_change(rules: Path) -> None:
    edit(rules, "watches: trpc5-ev", "# what it reads\nwatches: trpc5-ev")
    (rules / "resistance" / f"{TRPC5}.test.yaml").unlink()
    assert changes(rule_files(shipped_rules()), rule_files(rules)) == []


# patients -----------------------------------------------------------------------------------------------------------


def life(patient: str, resistant: bool, **states: str) -> Life:
    rules = {name.replace("_", "-"): tuple(said.split()) for name, said in states.items()}
    days = max(map(len, rules.values()), default=0)
    return Life(
        {"patient": patient, "resistant": resistant}, tuple(date(2025, 1, day + 1) for day in range(days)), rules
    )


def test_flips_by_hand() -> None:
    found = compared(
        [
            (life("a", True, r="no-flag watch suspected"), life("a", True, r="no-flag no-flag watch")),
            (life("b", False, r="no-flag watch suspected"), life("b", False, r="no-flag suspected suspected")),
            (life("c", False, r="no-flag"), life("c", False, r="no-flag")),
            (life("d", False, r="no-flag"), life("d", False, r="no-flag", s="suspected")),
        ],
        FLAGS,
    )
    assert (found.patients, found.changed) == (4, 3)
    r, s = found.rules
    assert [(flip.patient, str(flip.day), flip.before, flip.after) for flip in r.flips] == [
        ("a", "2025-01-02", "watch", "no-flag"), ("b", "2025-01-02", "watch", "suspected"),
    ]  # fmt: skip
    assert r.visits == 3
    assert [flip.patient for flip in r.no_more] == ["a"]
    assert r.newly == []  # b is flagged by both in the end
    assert [(flip.patient, flip.before) for flip in s.newly] == [("d", UNASKED)]


def test_the_command(rules: Path) -> None:
    edit(rules, "floor: 2.0", "floor: 4.0")
    run = CliRunner().invoke
    call = ["rules", "diff", str(shipped_rules()), str(rules), "--synthetic", "40", "--months", "12"]
    shown = run(app, call)
    assert shown.exit_code == 0
    assert "limit 'rise': floor 2.0 → 4.0" in shown.output
    assert "of 40 patients would read otherwise" in shown.output
    assert "flagged no more" in shown.output
    assert run(app, [*call, "--workers", "2"]).output == shown.output
    told = json.loads(run(app, [*call, "--json"]).output)
    assert told["patients"]["changed"] > 0
    assert all(flip["before"] != flip["after"] for rule in told["patients"]["rules"] for flip in rule["flips"])
    assert "the two say the same" in run(app, ["rules", "diff", str(shipped_rules()), str(shipped_rules())]).output


def test_one_file_stands_for_the_rules_with_it(rules: Path, tmp_path: Path) -> None:
    edit(rules, "floor: 2.0", "floor: 4.0")
    alone = tmp_path / f"{TRPC5}.yaml"
    shutil.copy(rules / "resistance" / f"{TRPC5}.yaml", alone)
    shown = CliRunner().invoke(
        app, ["rules", "diff", str(shipped_rules()), str(alone), "--synthetic", "10", "--months", "9"]
    )
    assert "limit 'rise': floor 2.0 → 4.0" in shown.output
    assert "of 10 patients would read otherwise" in shown.output


def test_a_draft_is_compared_too(rules: Path) -> None:
    """A rule that is still being written is asked of the cohort as if it were shown."""
    edit(rules, "status: active", "status: draft")
    shown = CliRunner().invoke(
        app, ["rules", "diff", str(shipped_rules()), str(rules), "--synthetic", "10", "--months", "9"]
    )
    assert "status active → draft" in shown.output
    assert "0 of 10 patients would read otherwise" in shown.output


def test_a_revision_of_git(rules: Path, tmp_path: Path) -> None:
    def git(*words: str) -> None:
        subprocess.run(
            ["git", "-C", str(rules.parent), "-c", "user.name=a", "-c", "user.email=a@b", *words],
            check=True,
            capture_output=True,
        )

    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "one")
    edit(rules, "floor: 2.0", "floor: 2.5")
    room = tmp_path / "room"
    room.mkdir()
    was = version("HEAD", rules, room)
    (found,) = changes(was.files(), version(str(rules), None, room).files())
    assert found.changes == ("limit 'rise': floor 2.0 → 2.5",)


def test_releases_and_the_shipped_rules(rules: Path, tmp_path: Path) -> None:
    key = tmp_path / "key.json"
    new_key(key)
    stated = {"made": "2026-11-25T12:00:00+00:00", "by": "a", "changes": "more", "software": "x"}
    for number, floor in (("1", "2.0"), ("2", "2.5")):
        edit(rules, "floor: 2.0", f"floor: {floor}")
        files = rule_files(rules)
        write_release(tmp_path, files, load_rulebook(files), key, version=number, **stated)
    first, second, shipped = (version(word, None, tmp_path) for word in (f"{tmp_path}/1", f"{tmp_path}/2", "shipped"))
    (found,) = changes(first.files(), second.files())
    assert found.changes == ("limit 'rise': floor 2.0 → 2.5",)
    assert changes(shipped.files(), first.files()) == []


@pytest.mark.parametrize(
    ("word", "said"), [("nothing", "no folder and no file"), ("-x", "no revision of git"), (".", "no rule book stands")]
)
def test_what_is_no_version(word: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=said):
        version(word, None, tmp_path)
    (tmp_path / "a.txt").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="no rule file"):
        version("a.txt", None, tmp_path)
