"""Advisories as lines for a terminal: what `exowatch evaluate` and `exowatch explain` print, without colours of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cds.advice.advisory import Advisory, Reading
from cds.chart.model import Chart


def report(chart: Chart, advisories: Sequence[Advisory], silent: Sequence[tuple[str, str]] = ()) -> Iterator[str]:
    """The readable report of one patient: state, why, the numbers, what is missing, what was left out."""
    yield f"{chart.patient} as of {chart.as_of.isoformat()}"
    for advisory in advisories:
        yield ""
        yield from _finding(advisory)
    if not advisories and not silent:
        yield "  No result of a marker that these rules read. This is not a finding of any kind."
    for marker, reason in silent:
        yield f"  {marker}: recognised, not interpreted ({reason}). This is not a finding of any kind."
    if chart.left_out:
        yield ""
        yield f"  Left out of this evaluation ({len(chart.left_out)}):"
        for item in chart.left_out:
            yield f"    {item.what or item.where}: {item.reason} ({item.where})" + (
                f"; {item.hint}" if item.hint else ""
            )
    if chart.unmapped:
        yield f"  Codes that look like markers and are mapped by nobody: {', '.join(chart.unmapped)}"


def explanation(advisory: Advisory) -> Iterator[str]:
    """Why, why not something else, what is missing, what would change it."""
    yield from _finding(advisory)
    yield ""
    yield "  Gates"
    for check in advisory.checks:
        yield f"    {check.outcome:10} {check.title}" + (f": {'; '.join(check.why)}" if check.why else "")
    if advisory.why_not:
        yield "  Why not"
        for other in advisory.why_not:
            yield f"    {other.word}: {'; '.join(other.kept_by)}"
    yield f"  Missing: {'; '.join(advisory.missing) or 'nothing'}"
    yield "  What would change it"
    for change in advisory.would_change or ("nothing that these rules can name",):
        yield f"    {change}"


def _finding(advisory: Advisory) -> Iterator[str]:
    certainty = f", certainty {advisory.certainty}" if advisory.certainty else ""
    yield f"  {' + '.join(advisory.marker_names)}: {advisory.word.upper()} [{advisory.state}{certainty}]"
    yield f"    {advisory.headline}"
    yield f"    {advisory.explanation}"
    if advisory.treatment is not None:
        treatment = advisory.treatment
        day = f", day {treatment.day} at the latest sample" if treatment.day is not None else ""
        yield f"    Line: {treatment.title}{day}" + (" (assumed ongoing)" if treatment.assumed_ongoing else "")
    for reading in advisory.readings:
        yield f"    {_reading(reading)}"
    if advisory.more_results:
        yield f"    and {advisory.more_results}"
    for change in advisory.changes:
        yield f"    {change.marker}, {change.quantity}: {change.fold} of {change.reference_value} ({change.reference})"
        yield f"      limit {change.limit}: {change.built}"
    for label, texts in (
        ("Because", advisory.reasons),
        ("Missing", advisory.missing),
        ("Note", advisory.notes),
        ("Cannot be excluded", tuple(f"{e.word}: {', '.join(e.missing)} missing" for e in advisory.cannot_exclude)),
    ):
        for text in texts:
            yield f"    {label}: {text}"
    for option in advisory.options:
        yield f"    Option: {option.text}"
    studies = [f"{study.citation} ({study.certainty})" for study in advisory.evidence]
    against = [study.citation for study in advisory.contradicting]
    if advisory.indicator:
        yield f"    Rests on: {'; '.join(studies) or 'nothing but the data'}" + (
            f". Against: {'; '.join(against)}" if against else ""
        )
    yield f"    Rule: {advisory.rule.name}, since {advisory.rule.since}, version {advisory.rule.hash[:12]}"
    if advisory.indicator:
        yield f"    {advisory.fixed_sentence}"


def _reading(reading: Reading) -> str:
    when = reading.collected.isoformat() if reading.collected else "undated"
    day = f" (day {reading.day})" if reading.day is not None else ""
    extra = [part for part in (", ".join(reading.roles), reading.method, reading.laboratory) if part]
    if reading.total_ev:
        extra.insert(1, f"total EV {reading.total_ev}")
    if reading.below:
        extra.append(reading.below)
    if reading.faults:
        extra.append("faults: " + ", ".join(reading.faults))
    if reading.declared:
        extra.append(f"declared by the laboratory: {', '.join(reading.declared)}")
    return f"{when}{day}  {reading.value}  [{'; '.join(extra)}]"
