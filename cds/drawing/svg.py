"""A scene as SVG: no script, no colour that carries meaning alone, the same bytes for the same scene.

Its classes are styled by the picture itself, so that it looks the same on a page, on paper and on a card.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from xml.sax.saxutils import escape, quoteattr

from cds.drawing.scene import Bar, Lane, Mark, Panel, Point, Scene

_WIDTH, _LEFT, _RIGHT = 960.0, 168.0, 16.0
_PANEL, _LANE, _GAP, _AXIS = 210.0, 26.0, 34.0, 62.0
_MOST_TICKS = 9
_STYLE = """
text{font:12px system-ui,sans-serif;fill:#1a2027}.small{font-size:11px;fill:#515d69}.title{font-weight:600}
.grid{stroke:#d9dfe5}.axis{stroke:#515d69}.curve{stroke:#1a2027;stroke-width:1.5;fill:none}.apart{stroke:#8b97a3;stroke-dasharray:2 4}
.expected{fill:#0b5c8a;fill-opacity:.12}.reference{stroke:#0b5c8a;stroke-width:1.5}.limit{stroke:#a3322a;stroke-width:1.5;stroke-dasharray:7 4}
.window{fill:#a3322a;fill-opacity:.08}.break{stroke:#515d69;stroke-dasharray:1 3;stroke-width:1.5}
.point{fill:#1a2027;stroke:#1a2027}.hollow{fill:#fff}.latest{fill:none;stroke:#1a2027;stroke-width:1.5}.fault{stroke:#a3322a;stroke-width:2}
.today{stroke:#515d69}.bar{fill:#6b7f92;stroke:#33424f}.planned{fill:none;stroke-dasharray:3 3}.open{fill:#6b7f92;fill-opacity:.35;stroke:none}
.onbar{fill:#fff}
@media(prefers-color-scheme:dark){.onpage text{fill:#e8ecf0}.onpage .small{fill:#aab6c1}}
""".replace("\n", "")


@dataclass(frozen=True, slots=True)
class _Across:
    """Days → places across."""

    first: date
    last: date

    def at(self, day: date) -> float:
        share = (day - self.first).days / max((self.last - self.first).days, 1)
        return _LEFT + min(max(share, 0.0), 1.0) * (_WIDTH - _LEFT - _RIGHT)


@dataclass(frozen=True, slots=True)
class _Up:
    """Values → places down a panel, by their logarithm: what counts is the ratio."""

    top: float
    least: float
    most: float

    def at(self, value: float) -> float:
        share = (math.log(value) - math.log(self.least)) / (math.log(self.most) - math.log(self.least))
        return self.top + _PANEL * (1 - min(max(share, 0.0), 1.0))


def svg(scene: Scene) -> str:
    """The picture of a scene: 960 wide, as high as it has panels and lanes, with a title and a description in words."""
    across, top = _Across(scene.first, scene.last), _GAP
    bottom = top + (_PANEL + _GAP) * len(scene.panels) + _LANE * len(scene.lanes)
    parts = list(_calendar(scene, across, top, bottom))
    for panel in scene.panels:
        parts += _panel(panel, across, top)
        top += _PANEL + _GAP
    for lane in scene.lanes:
        parts += _lane(lane, across, top, scene.as_of)
        top += _LANE
    parts += _legend(scene, bottom + 50)
    height = bottom + _AXIS
    title = f"Course of {', '.join(dict.fromkeys(panel.title for panel in scene.panels)) or 'treatment'}"
    told = " ".join(_described(scene))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:g} {height:g}" role="img" aria-labelledby="course-title course-told">'
        f'<title id="course-title">{escape(title)}</title><desc id="course-told">{escape(told)}</desc>'
        f'<style>{_STYLE}</style><rect width="{_WIDTH:g}" height="{height:g}" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


# curves ------------------------------------------------------------------------------------------------------------


def _panel(panel: Panel, across: _Across, top: float) -> Iterator[str]:
    least, most = _rounded(*panel.span)
    up = _Up(top, least, most)
    right, floor = _WIDTH - _RIGHT, top + _PANEL
    yield _text(_LEFT, top - 10, f"{panel.title}, {_unit(panel)}", "title")
    if panel.pair is not None:
        start, end = across.at(panel.pair[0]), across.at(panel.pair[1])
        yield f'<rect class="window" x="{start - 8:.1f}" y="{top:.1f}" width="{end - start + 16:.1f}" height="{_PANEL:.1f}"/>'
    for value in _ticks(least, most):
        place = up.at(value)
        yield f'<path class="grid" d="M{_LEFT:g} {place:.1f}H{right:g}"/>'
        yield _text(_LEFT - 8, place + 4, _figure(value), "small", "end")
    if (decision := panel.decision) is not None:
        start = across.at(decision.start)
        low, high = up.at(decision.expected[0]), up.at(decision.expected[1])
        yield f'<rect class="expected" x="{start:.1f}" y="{high:.1f}" width="{right - start:.1f}" height="{low - high:.1f}"><title>variation expected without a change</title></rect>'
        ratio = f"{decision.limit / decision.reference:.3g} ×"
        limit = ratio if panel.relative else f"{_figure(decision.limit)} ({ratio})"
        reference = "" if panel.relative else _figure(decision.reference)
        for value, look, words in (
            (decision.reference, "reference", f"reference {reference}".strip()), (decision.limit, "limit", f"limit {limit}"),
        ):  # fmt: skip
            place = up.at(value)
            yield f'<path class="{look}" d="M{start:.1f} {place:.1f}H{right:g}"><title>{escape(words)}</title></path>'
            yield _text(right - 4, place - 4, words, "small", "end")
    for one in panel.breaks:
        place = across.at(one.day) - 6
        yield f'<path class="break" d="M{place:.1f} {top:.1f}V{floor:.1f}"/>' + _text(
            place - 4, top + 12, one.why, "small", "end"
        )
    places = [(across.at(one.day), floor - 8 if one.value is None else up.at(one.value)) for one in panel.points]
    for start_of, end_of in panel.joined:
        (x, y), (to, down) = places[start_of], places[end_of]
        yield f'<path class="curve" d="M{x:.1f} {y:.1f}L{to:.1f} {down:.1f}"/>'
    for point, (x, y) in zip(panel.points, places, strict=True):
        yield _point(point, x, y)
    yield f'<path class="axis" d="M{_LEFT:g} {top:.1f}V{floor:.1f}H{right:g}" fill="none"/>'


def _unit(panel: Panel) -> str:
    return "amount relative to the normaliser, from ΔCt" if panel.relative else panel.unit or "no unit"


def _point(point: Point, x: float, y: float) -> str:
    told = [point.day.isoformat(), point.shown, *point.roles, *point.faults] + [
        "below the limit of detection"
    ] * point.censored
    shape = f'<circle class="point" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
    if point.faults or point.value is None:
        shape = f'<path class="fault" d="M{x - 5:.1f} {y - 5:.1f}l10 10m0-10l-10 10"/>'
    elif point.censored:
        shape = f'<path class="point hollow" d="M{x - 6:.1f} {y:.1f}h12l-6 10z"/>'
    elif "reference" in point.roles:
        shape = f'<rect class="point hollow" x="{x - 4.5:.1f}" y="{y - 4.5:.1f}" width="9" height="9"/>'
    elif any("of the pair" in role for role in point.roles):
        shape = f'<path class="point" d="M{x:.1f} {y - 6:.1f}l6 6l-6 6l-6-6z"/>'
    ring = f'<circle class="latest" cx="{x:.1f}" cy="{y:.1f}" r="10"/>' if "latest" in point.roles else ""
    return f"<g>{ring}{shape}<title>{escape(', '.join(told))}</title></g>"


def _rounded(least: float, most: float) -> tuple[float, float]:
    """Room above and below, and never less than a factor of four in all: else noise would fill the panel."""
    least, most = least / 1.25, most * 1.25
    if most / least < 4:
        middle = math.sqrt(least * most)
        least, most = middle / 2, middle * 2
    return least, most


def _ticks(least: float, most: float) -> list[float]:
    """1, 2, 5, 10 … between; where they would be too many, powers of ten."""
    first, last = math.floor(math.log10(least)), math.ceil(math.log10(most))
    fine = [step * 10.0**power for power in range(first, last + 1) for step in (1, 2, 5)]
    shown = [value for value in fine if least <= value <= most]
    if len(shown) > _MOST_TICKS:
        shown = [value for power in range(first, last + 1) if least <= (value := 10.0**power) <= most]
    return shown[:: max(1, math.ceil(len(shown) / _MOST_TICKS))]


def _figure(value: float) -> str:
    """Three digits; above a hundred thousand as 5.6×10⁶."""
    if value and not 1e-3 <= value < 1e5:
        power = math.floor(math.log10(value) + 1e-12)
        raised = str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return f"{value / 10.0**power:.3g}×10{raised}"
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


# lanes and days ------------------------------------------------------------------------------------------------------


def _lane(lane: Lane, across: _Across, top: float, today: date) -> Iterator[str]:
    yield _text(_LEFT - 8, top + 17, _short(lane.title, 26), "small", "end", lane.title)
    for bar in lane.bars:
        yield _bar(bar, across, top, today)
    for mark in lane.marks:
        yield _mark(mark, lane.kind, across.at(mark.day), top)


def _bar(bar: Bar, across: _Across, top: float, today: date) -> str:
    start = across.at(bar.start) if bar.start is not None else _LEFT
    end = across.at(bar.end) if bar.end is not None else max(across.at(today), start + 3)
    told = f"{bar.label or 'from'} {bar.start or 'start not recorded'} to {bar.end or ('ongoing' if bar.certain else 'end not recorded')}"
    wide = max(end - start, 3)
    look = "bar planned" if bar.planned else "bar" if bar.certain else "open"
    shape = f'<rect class="{look}" x="{start:.1f}" y="{top + 4:.1f}" width="{wide:.1f}" height="{_LANE - 8:.1f}"/>'
    if bar.end is None and not bar.planned:
        shape += (
            f'<path class="{look}" d="M{end - 1:.1f} {top + 4:.1f}l8 {(_LANE - 8) / 2:.1f}l-8 {(_LANE - 8) / 2:.1f}z"/>'
        )
    label = _short(bar.label, int(wide / 7)) if wide > 40 else ""
    words = (
        _text(start + 5, top + 17, label, "small" if bar.planned or not bar.certain else "small onbar") if label else ""
    )
    return f"<g>{shape}{words}<title>{escape(told)}</title></g>"


def _mark(mark: Mark, kind: str, x: float, top: float) -> str:
    look = "point hollow" if mark.planned else "point"
    shape = f'<path class="{look}" d="M{x:.1f} {top + 5:.1f}l6 8l-6 8l-6-8z"/>'
    if kind == "imaging":
        shape = f'<rect class="point hollow" x="{x - 5:.1f}" y="{top + 8:.1f}" width="10" height="10"/>'
    planned = ", planned" if mark.planned else ""
    words = _text(x + 9, top + 17, mark.label, "small")
    return f"<g>{shape}{words}<title>{escape(f'{mark.day.isoformat()} {mark.label}{planned}')}</title></g>"


def _calendar(scene: Scene, across: _Across, top: float, bottom: float) -> Iterator[str]:
    for day in _days(scene.first, scene.last):
        place = across.at(day)
        yield f'<path class="grid" d="M{place:.1f} {top:.1f}V{bottom:.1f}"/>'
        yield _text(place, bottom + 16, f"{day:%Y-%m}" if day.day == 1 else day.isoformat(), "small", "middle")
    place = across.at(scene.as_of)
    yield f'<path class="today" d="M{place:.1f} {top:.1f}V{bottom:.1f}"><title>data as of {scene.as_of.isoformat()}</title></path>'
    yield _text(place, bottom + 29, f"as of {scene.as_of.isoformat()}", "small", "end")


def _days(first: date, last: date) -> Iterator[date]:
    """First days of months: each, every third, every year … so that at most nine stand side by side."""
    months = (last.year - first.year) * 12 + last.month - first.month
    step = next(step for step in (1, 2, 3, 6, 12, 24, 60, 120, 1200) if months / step <= _MOST_TICKS)
    year, month = first.year, first.month
    while (day := date(year, month, 1)) <= last:
        if day >= first and (year * 12 + month - 1) % step == 0:
            yield day
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)


_SIGNS = {
    "reference": '<rect class="point hollow" x="-4.5" y="-4.5" width="9" height="9"/>',
    "pair that confirms": '<path class="point" d="M0 -6l6 6l-6 6l-6-6z"/>',
    "latest": '<circle class="latest" r="8"/><circle class="point" r="4"/>',
    "below detection": '<path class="point hollow" d="M-6 -5h12l-6 10z"/>',
    "cannot be used": '<path class="fault" d="M-5 -5l10 10m0-10l-10 10"/>',
    "variation expected without a change": '<rect class="expected" x="-8" y="-6" width="16" height="12"/>',
}


def _legend(scene: Scene, y: float) -> Iterator[str]:
    """The signs that this drawing uses."""
    points = [point for panel in scene.panels for point in panel.points]
    used = {
        "reference": any("reference" in point.roles for point in points),
        "pair that confirms": any(panel.pair for panel in scene.panels),
        "latest": any("latest" in point.roles for point in points),
        "below detection": any(point.censored and not point.faults for point in points),
        "cannot be used": any(point.faults or point.value is None for point in points),
        "variation expected without a change": any(panel.decision for panel in scene.panels),
    }
    x = _LEFT + 8
    for words, sign in _SIGNS.items():
        if used[words]:
            yield f'<g transform="translate({x:.1f} {y:.1f})">{sign}</g>' + _text(x + 13, y + 4, words, "small")
            x += 34 + 6.2 * len(words)


# words -------------------------------------------------------------------------------------------------------------


def _described(scene: Scene) -> Iterator[str]:
    """The drawing in sentences, for who cannot see it; the table beside it has every figure."""
    for panel in scene.panels:
        usable = [point for point in panel.points if point.value is not None and not point.faults]
        yield f"{panel.title}: {len(panel.points)} results" + (
            f" from {usable[0].day.isoformat()} ({usable[0].shown}) to {usable[-1].day.isoformat()} ({usable[-1].shown})."
            if usable
            else ", none usable."
        )
        if panel.decision is not None:
            ratio = f"{panel.decision.limit / panel.decision.reference:.3g} times the reference"
            figures = "" if panel.relative else f", {_figure(panel.decision.limit)} {panel.unit}"
            yield f"Limit: {ratio}{figures}."
        for one in panel.breaks:
            yield f"Not comparable from {one.day.isoformat()} on: {one.why}."
    for lane in scene.lanes:
        yield (
            f"{lane.title}: "
            + "; ".join(
                [
                    f"{bar.label} {bar.start or 'start not recorded'} to {bar.end or 'ongoing or not recorded'}".strip()
                    for bar in lane.bars
                ]
                + [f"{mark.day.isoformat()} {mark.label}".strip() for mark in lane.marks]
            )
            + "."
        )


def _text(x: float, y: float, words: str, look: str, anchor: str = "start", whole: str = "") -> str:
    title = f"<title>{escape(whole)}</title>" if whole and whole != words else ""
    return f'<text class={quoteattr(look)} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}{title}</text>'


def _short(words: str, most: int) -> str:
    return words if len(words) <= most else f"{words[: max(most - 1, 1)]}…"
