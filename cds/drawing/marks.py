"""The signs of a drawing, none of which is told from another by colour alone, and the legend that names those in use."""

from __future__ import annotations

from collections.abc import Iterator

from cds.drawing.axis import WIDTH, figure
from cds.drawing.crossings import TOO_EARLY
from cds.drawing.labels import escape, text, width, wrapped
from cds.drawing.scene import Decision, Panel, Point, Scene
from cds.legible import legible

_ROW = 18.0
_STATED = {
    "default": "both assumed, no published value",
    "laboratory": "both stated by the laboratory",
    "laboratory and default": "one stated by the laboratory, the other assumed",
}


def sign(point: Point) -> str:
    """Which sign a result has."""
    if not point.usable:
        return "fault"
    if point.censored:
        return "censored-reference" if "reference" in point.roles else "censored"
    if "reference" in point.roles:
        return "reference"
    if any("of the pair" in role for role in point.roles):
        return "pair"
    return _crossing(point.crossing) if point.crossing else "plain"


def _crossing(said: str) -> str:
    """The sign of a value beyond its limit; of one that came too early to count another."""
    return "early" if said.endswith(TOO_EARLY) else "crossing"


def shape(kind: str, x: float, y: float, size: float = 1.0) -> str:
    """A sign with its middle at (x, y)."""
    match kind:
        case "fault":
            return f'<path class="c-fault" d="M{x - 5:.2f} {y - 5:.2f}l10 10m0-10l-10 10"/>'
        case "censored":
            return f'<path class="c-hollow" d="M{x - 6:.2f} {y:.2f}h12l-6 10z"/>'
        case "censored-reference":
            frame = f'<rect class="c-hollow" x="{x - 8:.2f}" y="{y - 2:.2f}" width="16" height="14"/>'
            return frame + f'<path class="c-hollow" d="M{x - 5:.2f} {y:.2f}h10l-5 9z"/>'
        case "reference":
            return f'<rect class="c-hollow" x="{x - 4.5:.2f}" y="{y - 4.5:.2f}" width="9" height="9"/>'
        case "pair" | "crossing":
            look = "c-point" if kind == "pair" else "c-hollow"
            return f'<path class="{look}" d="M{x:.2f} {y - 6:.2f}l6 6l-6 6l-6-6z"/>'
        case "early":
            return f'<path class="c-hollow" d="M{x:.2f} {y - 6:.2f}l6 6l-6 6l-6-6zv12"/>'
        case "latest":
            return f'<circle class="c-latest" cx="{x:.2f}" cy="{y:.2f}" r="10"/>'
        case "imaging" | "decides":
            look = "c-point" if kind == "decides" else "c-hollow"
            return f'<rect class="{look}" x="{x - 8:.2f}" y="{y - 4.5:.2f}" width="16" height="9" rx="4"/>'
        case "mean":
            return f'<path class="c-mean" d="M{x - 8:.2f} {y:.2f}h16"/>'
        case "per-ev":
            return f'<path class="c-perev" d="M{x:.2f} {y:.2f}h12"/>'
        case _:
            return f'<circle class="c-point" cx="{x:.2f}" cy="{y:.2f}" r="{4 * size:.1f}"/>'


def item(day: str, told: str, inner: str, end: str = "") -> str:
    """Something of a day, or of the days to `end`, that the cursor can name."""
    last = f' data-end="{escape(end)}"' if end else ""
    return f'<g class="c-item" data-day="{escape(day)}"{last}><title>{escape(told)}</title>{inner}</g>'


# legend -------------------------------------------------------------------------------------------------------------

_LINE = '<path class="{0}" d="M-9 0h18"/>'
_AREA = '<rect class="{0}" x="-9" y="-6" width="18" height="12"/>'
_SIGNS = {
    "reference value": shape("reference", 0, 0),
    "pair that confirms": _AREA.format("c-window") + shape("pair", 0, 0),
    "": "",  # what is beyond its limit, told in the words of each crossing
    "latest": '<circle class="c-latest" r="8"/><circle class="c-point" r="4"/>',
    "below a limit of the assay: anywhere under it": shape("censored", 0, -5),
    "cannot be used": shape("fault", 0, 0),
    "geometric mean of one day": shape("mean", 0, 0),
    "latest per total EV count": shape("per-ev", -6, 0),
    "limit": _LINE.format("c-limit"),
    "limit over the lowest value on treatment": _LINE.format("c-limit c-lowest"),
    "scatter of the measurement alone": _AREA.format("c-noise"),
    "variation expected without a change": _AREA.format("c-expected"),
    "a second sample here would confirm": _AREA.format("c-second"),
    "days that are judged otherwise": _AREA.format("c-early"),
    "comparison stops": '<path class="c-break" d="M0 -7v14"/>',
    "days without data, folded": _AREA.format("c-fold"),
    "planned": _AREA.format("c-planned"),
    "taken as ongoing": '<path class="c-frame" d="M-9 -6h12l6 6l-6 6h-12z"/>',
    "end not recorded": '<path class="c-frame" d="M9 -6h-18v12h18"/>',
    "days after it that still disturb the marker": _AREA.format("c-lasting"),
    "imaging on which the state rests": shape("decides", 0, 0),
}


def legend(scene: Scene, top: float) -> tuple[str, float]:
    """The signs that this drawing uses, how its bands and limits were built, and how high all that is."""
    used = set(_used(scene))
    parts: list[str] = []
    x, y = 25.0, top + 8
    points = (point for panel in scene.panels for point in panel.points)
    crossed = {point.crossing: shape(sign(point), 0, 0) for point in points if sign(point) in ("crossing", "early")}
    named = [one for key, drawn in _SIGNS.items() for one in ([(key, drawn)] if key else sorted(crossed.items()))]
    for words, drawn in named:
        if words not in used:
            continue
        wide = 34 + width(words)
        if x + wide > WIDTH - 8 and x > 25:
            x, y = 25.0, y + _ROW
        parts.append(f'<g transform="translate({x:.1f} {y:.1f})">{drawn}</g>' + text(x + 15, y + 4, words))
        x += wide
    y += _ROW if used else 0
    for said in (*built(scene), *_elsewhere(scene)):
        for line in wrapped(said, WIDTH - 32):
            parts.append(text(16, y + 4, line))
            y += 14
    return "".join(parts), y + 4 - top


def _used(scene: Scene) -> Iterator[str]:
    signs = {
        "fault": "cannot be used", "censored": "below a limit of the assay: anywhere under it",
        "censored-reference": "below a limit of the assay: anywhere under it", "reference": "reference value",
        "pair": "pair that confirms", "crossing": "", "early": "", "plain": "",
    }  # fmt: skip
    for panel in scene.panels:
        yield from (signs[sign(point)] or point.crossing for point in panel.points)
        yield from ("latest" for point in panel.points if "latest" in point.roles)
        yield from ("reference value" for point in panel.points if "reference" in point.roles)
        asked = {
            "geometric mean of one day": panel.replicates, "comparison stops": panel.breaks,
            "a second sample here would confirm": panel.second, "days that are judged otherwise": panel.early,
            "limit": panel.decision, "limit over the lowest value on treatment": panel.lowest, "scatter of the measurement alone": panel.decision,
            "variation expected without a change": panel.decision,
            "latest per total EV count": panel.decision and panel.decision.per_ev,
        }  # fmt: skip
        yield from (words for words, found in asked.items() if found)
    if scene.folds:
        yield "days without data, folded"
    for lane in scene.lanes:
        for bar in lane.bars:
            yield {"planned": "planned", "assumed": "taken as ongoing", "unknown": "end not recorded"}.get(
                bar.ending, ""
            )
        yield from ("planned" for mark in lane.marks if mark.planned)
        yield from ("imaging on which the state rests" for mark in lane.marks if mark.decides)
        yield from ("days after it that still disturb the marker" for bar in lane.bars if bar.until)
        yield from ("days after it that still disturb the marker" for mark in lane.marks if mark.until)


def _elsewhere(scene: Scene) -> Iterator[str]:
    """What has no place on the axis."""
    for point in scene.elsewhere:
        yield f"Not on the axis: {point.marker} {legible(point.shown) or 'without a value'} ({', '.join(point.faults)})."


def built(scene: Scene) -> Iterator[str]:
    """How the bands and the limit of each panel came about, in a sentence; said once where several share it."""
    by: dict[str, list[Panel]] = {}
    for panel in scene.panels:
        if panel.decision is not None:
            by.setdefault(_built(panel.decision) + _over_lowest(panel), []).append(panel)
    for said, panels in by.items():
        yield f"{', '.join(panel.short for panel in panels)}: {said}"


def _built(one: Decision) -> str:
    larger = f"the larger of {figure(one.change_ratio)} and the floor {figure(one.floor)}"
    limit = f"1 ÷ {larger}, that is {figure(one.threshold_ratio)}" if one.falls else larger
    return (
        f"the inner band is ×/÷ {figure(one.noise_change)}, the scatter of the measurement alone (analytical CV "
        f"{_percent(one.cva)}), the outer ×/÷ {figure(one.change_ratio)}, with the person's own variation (CV "
        f"{_percent(one.cvi)}; {_STATED.get(one.stated, one.stated)}). Limit: {limit} times the reference."
    )


def _over_lowest(panel: Panel) -> str:
    """What the two samples that confirm have to reach as well; "" where that lies below the limit."""
    ratios = dict.fromkeys(figure(one.threshold_ratio) for one in panel.lowest)
    said = f" Both samples of a pair reach {' and '.join(ratios)} times the lowest earlier value on treatment too."
    return said if ratios else ""


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.3g} %"
