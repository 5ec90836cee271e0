"""From answers to a rule with its tests, and to the marker, the study and the words that it needs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path

from cds.errors import InputError
from cds.layers import OVERLAY
from cds.reasoning.rulebook import RuleBook
from cds.workbench.authoring.overlay import accept, begin

Answers = Mapping[str, str]


def write_rule(folder: Path, answers: Answers, book: RuleBook, today: date) -> list[Path]:
    """Write what is new into a site's overlay (begun if need be) or a rule book; the files written or added to.

    Raises `InputError` before anything is written where a file is there already or cannot be added to.
    """
    name, marker = answers["name"], answers["marker"]
    files = {
        f"resistance/{name}.yaml": _rule(answers, today),
        f"resistance/{name}.test.yaml": _tests(answers, book),
    }
    if marker not in book.catalogue.markers:
        files[f"markers/{marker}.yaml"] = _marker(answers)
    for file in files:
        if (folder / file).exists():
            raise InputError(f"{folder / file} is there already. Next step: another name, or edit that file")
    added: dict[str, Mapping[str, str | Mapping[str, str]]] = {"wording/cards.yaml": _words(answers, book)}
    if answers["evidence"] not in book.evidence.studies:
        added["evidence/studies-site.yaml"] = {"topic": "Studies of this site", "studies": _study(answers, today)}
    for file, keys in added.items():
        files[file] = _joined(folder / file, keys)
    if not (folder / OVERLAY).is_file() and not (folder / "states.yaml").is_file():
        begin(folder, folder.resolve().name)
        accept(folder)
    written = []
    for file, text in files.items():
        if text:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(text, encoding="utf-8")
            written.append(folder / file)
    return written


def _quoted(text: str) -> str:
    """A text as YAML takes it, plain where it can be."""
    plain = re.fullmatch(r"[\w(][^:#{}\[\],&*!|>'\"%@`]*", text) and text.strip() == text
    return text if plain else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _rule(answers: Answers, today: date) -> str:
    suspects, nadir = answers["state"] == "suspected", answers["reference"] == "nadir"
    over, marker = answers["reference"], answers["marker"]
    late = "" if nadir else ", unless: [late_baseline]"
    lines = [
        f"rule: {answers['name']}",
        f"title: {_quoted(answers['title'])}",
        "status: draft",
        f"since: {today}",
        f"review_by: {today.replace(year=today.year + 1) if (today.month, today.day) != (2, 29) else date(today.year + 1, 2, 28)}",
        f"summary: {_quoted(answers['summary'])}",
        f"evidence: [{answers['evidence']}]",
        "",
        f"watches: {marker}",
        f"during: {{therapy: {answers['therapy']}}}",
        *(["reference: nadir", "nadir: {after_operation: 75 d}"] if nadir else []),
        "stale_after: 120 d",
        "",
        "limits:",
        f"  rise:   {{ratio: reference-change, confidence: one-sided 95 %, floor: {answers['floor']}, because: {_quoted(answers['floor_because'])}}}",
        f"  guard:  {{from: {answers['guard']} d, because: {_quoted(answers['guard_because'])}}}",
    ]
    if suspects:
        lines += [
            f"  second: {{from: {answers['guard']} d, because: {_quoted(answers['guard_because'])}}}",
            "  apart:  {from: 14 d, to: 56 d, because: one crossing happens to stable patients too}",
        ]
    lines += [
        "",
        "facts:",
        f"  risen:               {{value: {marker}, over: {over}, at_least: rise}}",
        "  early:               {day: {before: guard}}",
    ]
    if suspects:
        lines += ["  confirmed:           {pair: [risen], first: second, second: second, apart: apart}"]
        lines += [] if nadir else ["  late_baseline:       {reference: late, pair: confirmed}"]
    pair = ", pair: confirmed" if suspects else ""
    lines += [
        f"  imaging_response:    {{imaging: [CR, PR, iCR, iPR], within: 28 d{pair}}}",
        "  imaging_progression: {imaging: [PD, iUPD, iCPD], within: 28 d}",
        "  perhaps_risen:       {cannot_exclude: risen}",
        "  drifting:            {rising: 3}",
        "  stale:               {stale: yes}",
        "  ongoing_assumed:     {assumed_ongoing: yes}",
        "",
        "conclude:",
        "  hold:",
        "    - {id: early-rise, all: [risen, early]}",
        "  discordant:",
        "    - {id: against-imaging, all: [risen, imaging_response]}",
        "    - {id: silent-in-progression, all: [not risen, imaging_progression], note: low-does-not-exclude-resistance}",
    ]
    if suspects:
        lines += ["  suspected:", f"    - {{id: confirmed-rise, all: [risen, confirmed]{late}, certainty: very-low}}"]
    lines += [
        "  watch:",
        "    - {id: rise, all: [risen]}",
        "  no-flag:",
        "    - {id: no-rise, all: [not risen]}",
        "",
        "notes:",
        "  cannot-be-excluded-below-lod: {all: [perhaps_risen], asked: if the sample is judged}",
        "  drift-below-limit: {all: [drifting, not risen], asked: if the sample is judged}",
        *(
            ["  late-baseline: {all: [late_baseline], asked: if the sample is judged}"]
            if suspects and not nadir
            else []
        ),
        "  stale: {all: [stale]}",
        "  assumed-ongoing: {all: [ongoing_assumed]}",
        "",
        "advise:",
        *(
            ["  suspected: [review-clinically, imaging-per-recist, repeat-same-method, discuss-at-board]"]
            if suspects
            else []
        ),
        "  watch: [repeat-same-method, complete-missing-data]",
        "  hold: [repeat-once-judged, repeat-once-undisturbed]",
        "  discordant: [imaging-takes-precedence, repeat-same-method]",
        "  not-evaluable: [complete-missing-data, ask-laboratory, redraw-specimen]",
        "  data-quality: [ask-laboratory]",
        "false_alarms:",
        *(f"  - {_quoted(cause.strip())}" for cause in answers["false_alarms"].split(";") if cause.strip()),
        "not_for: [pregnancy, children, carcinoma in situ, screening]",
    ]
    return "\n".join(lines) + "\n"


def _tests(answers: Answers, book: RuleBook) -> str:
    marker, therapy = answers["marker"], answers["therapy"]
    suspects = answers["state"] == "suspected"
    guard = int(answers["guard"])
    high = 2.0 * max(10.0, 3 * float(answers["floor"]))
    first = max(guard, 42) + 17
    again, early = first + 28, guard // 2
    end = "suspected confirmed-rise" if suspects else "watch rise"
    known = book.catalogue.markers.get(marker)
    checked = known is None or known.checks.get("haemolysis") == "any"
    transcript = _is_transcript(answers) if known is None else known.checks.get("dna-control") == "any"
    cases = [
        ("a rise, and again four weeks later", f"{{-4: 2.0, {first}: {high}, {again}: {high + 1}}}", f"{{{first}: watch rise, {again}: {end}}}"),
        ("a rise that does not come again", f"{{-4: 2.0, {first}: {high}, {again}: 2.1}}", f"{{{first}: watch rise, {again}: no-flag no-rise}}"),
        ("a rise early in the line is held", f"{{-4: 2.0, {early}: {high}}}", f"{{{early}: hold early-rise}}"),
        ("without a sample from before the therapy nothing is compared", f"{{{first}: {high}}}", f"{{{first}: not-evaluable baseline/no-baseline}}"),
        *([("a haemolysed sample is not judged", f"{{-4: 2.0, {first}: {high} haemolysed}}", f"{{{first}: not-evaluable specimen/haemolysed}}")] if checked else []),
        *([("a sample whose DNA control failed is not judged", f"{{-4: 2.0, {first}: {high} dna}}", f"{{{first}: not-evaluable specimen/dna-not-excluded}}")] if transcript else []),
    ]  # fmt: skip
    lines = [f"rule: {answers['name']}", f"given: {{{therapy}: 0..}}", "cases:"]
    for title, values, expected in cases:
        lines += [f"  {title}:", f"    {marker}: {values}", f"    expect: {expected}"]
    lines += [
        "  a stable patient stays quiet:",
        f"    {marker}: 2.0 x8 q21d from -4",
        f"    quiet: [{first}, {again}]",
        "  a rise beside a response by imaging disagrees with it:",
        f"    {marker}: {{-4: 2.0, {first}: {high}}}",
        f"    imaging: {{{first + 1}: PR}}",
        f"    expect: {{{first + 1}: discordant against-imaging}}",
        "  a silent marker beside progression disagrees with it:",
        f"    {marker}: {{-4: 2.0, {first}: 2.1}}",
        f"    imaging: {{{first + 1}: PD}}",
        f"    expect: {{{first + 1}: discordant silent-in-progression}}",
        "  imaging that agrees changes nothing:",
        f"    {marker}: {{-4: 2.0, {first}: 2.1, {again}: {high}}}",
        f"    imaging: {{{first + 1}: PR, {again + 28}: PD}}",
        f"    expect: {{{first + 1}: no-flag no-rise, {again + 28}: watch rise}}",
        "  below the limit of detection a rise cannot be excluded:",
        f"    {marker}: {{-4: <0.5, {first}: 0.55}}",
        f"    expect: {{{first}: no-flag cannot-be-excluded-below-lod}}",
        "  a drift below the limit is told:",
        f"    {marker}: {{-4: 2.0, {first}: 2.02, {first + 14}: 2.04, {again}: 2.06}}",
        f"    expect: {{{again}: no-flag drift-below-limit}}",
        "  what drifted and then rose has risen:",
        f"    {marker}: {{-4: 2.0, {first}: 2.02, {first + 14}: 2.04, {again}: {high}}}",
        f"    expect: {{{again}: watch rise not drift-below-limit}}",
        "  an old result is called so:",
        f"    {marker}: {{-4: 2.0, {first}: 2.1}}",
        f"    expect: {{{first + 120}: no-flag not stale, {first + 121}: no-flag stale}}",
        "  a treatment without a recorded end is taken as going on:",
        f"    {therapy}: 0.. assumed",
        f"    {marker}: {{-4: 2.0, {first}: 2.1}}",
        f"    expect: {{{first}: no-flag assumed-ongoing}}",
    ]
    if suspects and answers["reference"] == "baseline":
        lines += [
            "  a reference drawn after the first dose leads to watch at most:",
            f"    {marker}: {{5: 2.0, {first}: {high}, {again}: {high + 1}}}",
            f"    expect: {{{again}: watch late-baseline}}",
            "  two samples of the first days are references and nothing more:",
            f"    {marker}: {{5: 2.0, 10: 2.0}}",
            "    expect: {10: background not late-baseline}",
        ]
    return "\n".join(lines) + "\n"


def _is_transcript(answers: Answers) -> bool:
    """Whether DNA of the same gene could be counted as the marker: of an RNA other than a mature miRNA."""
    words = re.findall(r"[a-z]+", answers.get("cargo", "").lower())
    return any(word.endswith("rna") and word not in ("mirna", "microrna") for word in words)


def _marker(answers: Answers) -> str:
    unit, dna = answers["unit"], ", dna-control: any" if _is_transcript(answers) else ""
    return f"""\
marker: {answers["marker"]}
title: {_quoted(answers["marker_title"])}
short: {_quoted(answers["marker_short"])}
cargo: {_quoted(answers["cargo"])}
compartment: extracellular vesicle (circulating)
codes:                                   # of the code system exosomal-marker; a laboratory's own stand in its file
  - {{code: {answers["marker"]}, scale: linear}}
units:                                   # one family per kind of quantity, with what each unit is in canonical ones
  measured:
    canonical: "{unit}"
    accepts: {{"{unit}": 1}}
cv: {{analytical: {answers["analytical_cv"]} %, within_person: {answers["within_person_cv"]} %, because: {_quoted(answers["cv_because"])}}}
checks: {{haemolysis: any, lipaemia: any, residual-platelets: plasma{dna}}}
"""


def _study(answers: Answers, today: date) -> dict[str, str]:
    said = {
        "citation": _quoted(answers["citation"]), "kind": answers["kind"], "verification": answers["seen"],
        "direction": _quoted(answers["direction"]), "status": "active",
        "last_checked": str(today) if answers["seen"] == "V" else "not-checked",
    }  # fmt: skip
    return {answers["evidence"]: "".join(f"\n    {key}: {value}" for key, value in said.items())}


def _words(answers: Answers, book: RuleBook) -> Mapping[str, str | Mapping[str, str]]:
    words: dict[str, Mapping[str, str]] = {}
    if answers["state"] == "suspected":
        words["by_rule"] = {answers["name"]: f" {{suspicion: {_quoted(answers['suspicion'])}}}"}
    if answers["marker"] not in book.catalogue.markers:
        words["limitations"] = {answers["marker"]: f"\n    - {_quoted(answers['limitation'])}"}
    return words


def _joined(path: Path, keys: Mapping[str, str | Mapping[str, str]]) -> str:
    """The text of a file with further lines under some of its keys; "" if there are none. Raises `InputError`."""
    text = path.read_text("utf-8") if path.exists() else ""
    if not any(isinstance(value, dict) for value in keys.values()):
        return ""
    for key, value in keys.items():
        found = re.search(rf"^{key}:([^\n]*)\n", text, re.M)
        lines = "" if isinstance(value, str) else "".join(f"  {name}:{said}\n" for name, said in value.items())
        if found is None:
            text += f"{key}: {value}\n" if isinstance(value, str) else f"{key}:\n{lines}"
        elif lines and found[1].partition("#")[0].strip():
            raise InputError(f"{path}: '{key}' is written in one line. Next step: put each entry on a line of its own")
        else:
            text = text[: found.end()] + lines + text[found.end() :]
    return text
