"""A back-test for people and programs: a page that stands by itself, tables for a terminal, and plain data."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

from cds.workbench.trials import plots
from cds.workbench.trials.backtest import Backtest, Figures, Group
from cds.workbench.trials.intervals import Interval
from cds.workbench.trials.survival import share_by_time

_BY = {"rule": "Rule", "scenario": "Marker and therapy", "subtype": "Subtype", "course": "True course of the marker"}
_HEADS = ["patients", "with it", "sensitivity", "specificity", "alerts/100 months", "lead, days"]
NOTICE = (
    "Where the cohort is synthetic, markers move as they were made to and vary as is assumed: these figures compare rules with each other and "
    "show where they fail. They say nothing of how well a rule does in patients."
)


def headline(found: Backtest, prevalences: Sequence[float]) -> list[tuple[str, str, str]]:
    """The main figures: what, how much, and a word about it."""
    whole = found.whole
    caught, missed, wrong, quiet = whole.confusion
    if not whole.judged:
        return [("patients", f"{whole.patients:,}", "no rule could judge any of them, so there is no figure")]
    rows = [
        (
            "sensitivity",
            share(whole.sensitivity),
            f"{caught:,} of {caught + missed:,} with the condition flagged from its onset on",
        ),
        (
            "… of who can be found",
            share(whole.sensitivity_detectable),
            "the marker truly rose far enough, twice in time, on treatment",
        ),
        ("specificity", share(whole.specificity), f"{quiet:,} of {quiet + wrong:,} without it never flagged"),
        (
            "alerts per 100 patient-months",
            number(whole.alerts_per_100_months),
            f"{whole.alerts:,} in {whole.months:,.0f} months",
        ),
        (
            "lead over imaging, median days",
            number(whole.lead_days, 0),
            f"in {len(whole.leads):,} flagged whose scans showed progression",
        ),
        ("flagged before the scan", share(whole.before_imaging), "of all whose scans showed progression"),
    ]
    for prevalence in (whole.prevalence, *prevalences):
        of = "this cohort's prevalence" if prevalence == whole.prevalence else "a prevalence"
        rows.append(
            (
                "positive predictive value",
                share(whole.predictive_value(prevalence)),
                f"at {of} of {prevalence:.1%}".replace("%", " %"),
            )
        )
    return rows


def tables(found: Backtest) -> Iterator[tuple[list[str], list[list[str]]]]:
    """Every subgroup table: heads, rows."""
    for by, title in _BY.items():
        rows = [[_called(found, group), *_cells(group.figures)] for group in found.groups if group.by == by]
        if rows:
            yield [title, *_HEADS], rows


def _called(found: Backtest, group: Group) -> str:
    """A group's name; of a draft or a rule in shadow with the word that nobody is shown it."""
    return f"{group.name} (not shown)" if group.by == "rule" and group.name in found.shadow else group.name


def _cells(of: Figures) -> list[str]:
    return [
        f"{of.patients:,}",
        f"{of.with_condition:,}",
        share(of.sensitivity, "–"),
        share(of.specificity, "–"),
        number(of.alerts_per_100_months, between="–"),
        number(of.lead_days, 0),
    ]


def data(found: Backtest, prevalences: Sequence[float]) -> dict[str, Any]:
    """Everything that was counted; intervals are estimate, low, high."""
    return {
        "cohort": found.cohort, "rulebook": found.hash, "flags": found.flags, "evaluations": found.evaluations,
        "unmeasured": found.unmeasured, "whole": _data(found.whole, prevalences), "with_first_crossings": _data(found.crossed, prevalences),
        "groups": [{"by": group.by, "name": group.name, **_data(group.figures, prevalences)} for group in found.groups],
        "states": [
            {"rule": rule, "state": state, "patients": patients, "visits": visits} for rule, state, patients, visits in found.states
        ],
        "shadow": found.shadow, "unheard": found.unheard,
    }  # fmt: skip


def _data(of: Figures, prevalences: Sequence[float]) -> dict[str, Any]:
    told = {
        one.name: value._asdict() if isinstance(value, Interval) else value
        for one in dataclasses.fields(of)
        for value in (getattr(of, one.name),)
    }
    told["confusion"] = dict(zip(("found", "missed", "false", "quiet"), of.confusion, strict=True))
    told["predictive_value"] = [
        {"prevalence": prevalence, **interval._asdict()}
        for prevalence in (of.prevalence, *prevalences)
        if (interval := of.predictive_value(prevalence)) is not None
    ]
    return told


# the page -----------------------------------------------------------------------------------------------------------


def page(found: Backtest, prevalences: Sequence[float], asked: Sequence[tuple[str, str]]) -> str:
    """The report as one HTML file without script or address; `asked` are further words on how it was made."""
    css = (Path(__file__).parent / "report.css").read_text(encoding="utf-8")
    body = "".join(_parts(found, prevalences, asked)).replace(" %", "\u00a0%")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>Back-test: {escape(found.cohort)}</title><style>{css}</style></head><body>{body}</body></html>\n"
    )


def _parts(found: Backtest, prevalences: Sequence[float], asked: Sequence[tuple[str, str]]) -> Iterator[str]:
    whole = found.whole
    yield f"<header><h1>Back-test of the rules</h1><p>{escape(found.cohort)}; {found.evaluations:,} evaluations, each as of a visit with what was known that day.</p>"
    yield f'<p class="dim">Rule book {found.hash[:12]}. {escape("; ".join(f"{name}: {value}" for name, value in asked))}.</p></header>'
    yield f'<p class="notice">{NOTICE}</p>'
    yield '<section><h2>In short</h2><dl class="figures">'
    for name, value, word in headline(found, prevalences):
        shown, _, limits = value.partition(" (")
        interval = f"<small>95 % interval {escape(limits[:-1])}</small>" if limits else ""
        yield f"<div><dt>{escape(name)}</dt><dd>{escape(shown)}{interval}<small>{escape(word)}</small></dd></div>"
    yield "</dl>"
    flags = " or ".join(found.flags)
    yield f"<p>A patient is flagged by the first {flags}. The condition is resistance to the line, or, where a marker is read after an operation, that its source has stayed behind."
    yield (
        f" {whole.early:,} with the condition were flagged before its onset, which counts as nothing found."
        if whole.early
        else ""
    )
    yield f" {found.unmeasured:,} patients without any result are in no figure." if found.unmeasured else ""
    yield "</p>"
    for sentence in found.unheard:
        yield f'<p class="notice">{escape(sentence)}.</p>'
    yield "</section>"
    if any(group.figures.judged for group in found.groups):
        yield _section("Which rules find it, and stay quiet", [
            _figure(plots.intervals("Sensitivity by group", _rows(found, "sensitivity")), "Sensitivity, with 95 % Wilson intervals."),
            _figure(plots.intervals("Specificity by group", _rows(found, "specificity")), "Specificity, with 95 % Wilson intervals."),
        ])  # fmt: skip
    if found.found_after and whole.judged:
        last = max(1, *found.watched_for)
        steps = [
            plots.Steps("flagged", share_by_time(found.found_after, found.watched_for), "a"),
            plots.Steps("progression on a scan", share_by_time(found.seen_after, found.watched_for), "b"),
        ]
        yield _section("How soon after the onset", [
            _figure(
                plots.curves("Share found by days since the true onset", steps, last, "days since the true onset"),
                f"{len(found.found_after):,} patients whose resistance has an onset; who is no longer watched leaves (Kaplan-Meier).",
            )
        ])  # fmt: skip
    if whole.leads:
        chart = plots.histogram(
            "Lead time over imaging",
            whole.leads,
            _step(whole.leads),
            whole.lead_days,
            "days by which the flag came before the scan",
        )
        yield _section(
            "Lead over imaging",
            [
                _figure(
                    chart, "Below 0 the scan was first. The median's interval makes no assumption on the distribution."
                )
            ],
        )
    marks = [(whole.prevalence, "this cohort"), *((one, f"at {one:.0%}".replace("%", " %")) for one in prevalences)]
    if whole.specificity and whole.sensitivity:
        chart = plots.band(
            "Positive predictive value by prevalence", whole.predictive_value, marks, "prevalence of the condition"
        )
        yield _section(
            "What a flag means where the condition is rare",
            [
                _figure(
                    chart, "Share of flagged patients who have the condition; the band holds both intervals at once."
                )
            ],
        )
    yield "<section><h2>A first crossing too</h2><p>If <i>watch</i>, a first crossing that no second sample confirms, counted as a flag: sensitivity "
    yield f"{escape(share(found.crossed.sensitivity))}, specificity {escape(share(found.crossed.specificity))}, {escape(number(found.crossed.alerts_per_100_months))} alerts per 100 patient-months.</p></section>"
    yield "<section><h2>Subgroups</h2>"
    for heads, rows in tables(found):
        yield _table(heads, rows)
    yield "</section><section><h2>States</h2><p>How many patients ever had each state.</p>"
    yield _table(*_states(found))
    yield "</section><section><h2>How the intervals are made</h2><p>Shares: Wilson 1927. Rates: exact Poisson, Garwood 1936, taking alerts as independent; of several in one patient the true interval is wider. "
    yield "Median: two of the values, Thompson 1936. Predictive value: corners of the two shares' intervals, both at once at 95 % (Bonferroni). Time to detection: Kaplan and Meier 1958.</p></section>"


def _section(title: str, parts: Sequence[str]) -> str:
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def _figure(picture: str, words: str) -> str:
    return f'<figure><figcaption>{escape(words)}</figcaption><div class="wide" tabindex="0" role="group" aria-label="{escape(words)}">{picture}</div></figure>'


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in row[1:])}</tr>'
        for row in rows
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="wide" tabindex="0" role="group" aria-label="{escape(heads[0])}">{table}</div>'


def _states(found: Backtest) -> tuple[list[str], list[list[str]]]:
    """Rules down, states across."""
    ever = {(rule, state): patients for rule, state, patients, _ in found.states}
    states = [state for state in found.order if any(one == state for _, one in ever)]
    rules = list(dict.fromkeys(rule for rule, _ in ever))
    return ["Rule", *states], [[rule, *(f"{ever.get((rule, state), 0):,}" for state in states)] for rule in rules]


def _rows(found: Backtest, figure: str) -> list[plots.Row]:
    rows: list[plots.Row] = []
    for by, title in _BY.items():
        of = [plots.Row(_called(found, one), getattr(one.figures, figure)) for one in found.groups if one.by == by]
        told = [row for row in of if row.interval is not None]
        rows += [plots.Row(title, None, heading=True), *told] if told else []
    return rows


def _step(values: Sequence[int]) -> int:
    wide = max(values) - min(values) + 1
    return next((step for step in (7, 14, 28, 56, 112) if wide / step <= 40), 224)


def share(interval: Interval | None, between: str = " to ") -> str:
    """A share in per cent with its interval."""
    if interval is None:
        return "–"
    estimate, low, high = (f"{100 * one:.1f}".replace("100.0", "100") for one in interval)
    return f"{estimate} % ({low}{between}{high})"


def number(interval: Interval | None, digits: int = 2, between: str = " to ") -> str:
    """A figure with its interval; with no digits wanted, as it is."""
    if interval is None:
        return "–"
    estimate, low, high = ((f"{one:.{digits}f}" if digits else f"{one:g}").replace("-", "−") for one in interval)
    return f"{estimate} ({low}{between}{high})"
