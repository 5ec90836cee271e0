"""A scene as SVG: no script, no colour that carries meaning alone, the same bytes for the same scene."""

from __future__ import annotations

import json
from collections.abc import Iterator

from cds.counting import counted
from cds.drawing.axis import LEFT, RIGHT, WIDTH, Across, days_of_line, figure, months
from cds.drawing.labels import escape, text, width
from cds.drawing.marks import legend
from cds.drawing.plot import GAP, HEAD, PLOT, panel_picture, unit_in_words
from cds.drawing.rows import height, lane_picture, looks, told_of_bar, told_of_mark
from cds.drawing.scene import Panel, Scene
from cds.drawing.style import patterns, plain_style
from cds.legible import legible, on

_TOP = 6.0
_AXIS = 52.0


def svg(scene: Scene, *, styled: bool = True, printed: bool = False, prefix: str = "course") -> str:
    """The picture of a scene: 960 wide, as high as it has panels and lanes, with a title and a description in words.

    With `styled` it stands alone, light whatever the reader's setting; `printed` gives it the typeface of our papers. Without,
    it is for a page that serves `drawing_style()` and forbids styles in its markup. Ids begin with `prefix`: give each drawing of a page its own.
    """
    across, top = Across(scene), _TOP
    lanes = top + (HEAD + PLOT + GAP) * len(scene.panels)
    bottom = max(lanes + sum(height(lane) for lane in scene.lanes), top + 24)
    plots = [top + HEAD + (HEAD + PLOT + GAP) * number for number in range(len(scene.panels))]
    parts = [*_days(scene, across, [(each, each + PLOT) for each in plots] + [(lanes - 4, bottom)])]
    for panel in scene.panels:
        parts += panel_picture(panel, scene, across, top)
        top += HEAD + PLOT + GAP
    if not scene.panels and not scene.lanes:
        parts.append(text(LEFT, top + 12, "no results and no treatment recorded"))
    for lane in scene.lanes:
        parts += lane_picture(lane, across, top, scene.as_of, prefix)
        top += height(lane)
    signs, high = legend(scene, bottom + _AXIS)
    whole = bottom + _AXIS + high
    title = f"Course of {', '.join(dict.fromkeys(panel.title for panel in scene.panels)) or 'treatment'}"
    style = f"<style>{plain_style(printed=printed)}</style>" if styled else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="c-course" viewBox="0 0 {WIDTH:g} {whole:.0f}" role="img" '
        f'aria-labelledby="{escape(prefix)}-title {escape(prefix)}-told">'
        f'<title id="{escape(prefix)}-title">{escape(title)}</title>'
        f'<desc id="{escape(prefix)}-told">{escape(described(scene))}</desc>'
        f"{style}<defs>{patterns(looks(scene.lanes), prefix)}</defs>"
        f'<rect class="c-paper" width="{WIDTH:g}" height="{whole:.0f}"/>{"".join(parts)}{signs}</svg>\n'
    )


def _days(scene: Scene, across: Across, parts: list[tuple[float, float]]) -> Iterator[str]:
    """The axis of days below everything, its lines through `parts`, from where to where, and what a cursor needs to know."""
    top, bottom = parts[0][0], parts[-1][1]
    yield _plot(scene, across, top, bottom)
    for fold in across.folds:
        told = f"{(fold.last - fold.first).days} days without data, {on(fold.first)} to {on(fold.last)}"
        wide = fold.right - fold.left
        for start, end in parts:
            area = f'x="{fold.left:.1f}" y="{start:.1f}" width="{wide:.1f}" height="{end - start:.1f}"'
            yield f'<rect class="c-fold" {area}><title>{told}</title></rect>'
        zigzag = f"M{fold.left:.1f} {bottom:.1f}l{wide / 4:.2f} -5l{wide / 2:.2f} 10l{wide / 4:.2f} -5"
        yield f'<path class="c-zigzag" d="{zigzag}"/>'
        middle = (fold.left + fold.right) / 2 + 4
        words = f"{(fold.last - fold.first).days:,} days"
        yield f'<text class="c-told" x="{middle:.1f}" y="{top + 4:.1f}" text-anchor="end" transform="rotate(-90 {middle:.1f} {top + 4:.1f})">{words}</text>'
    # Before all words, which have a margin of paper around them: it strikes through none.
    today, words = across.at(scene.as_of), f"data as of {on(scene.as_of)}"
    yield f'<path class="c-today" d="{_down(today, [*parts[:-1], (parts[-1][0], bottom + 38)])}"/>'
    for _, place, name in months(scene, across):
        yield f'<path class="c-grid" d="{_down(place, parts)}"/>'
        yield text(place, bottom + 15, name, "c-small", "middle")
    if scene.anchor is not None:
        since = on(scene.anchor.day)
        yield text(LEFT - 8, bottom + 32, f"day since {since}", "c-small", "end", f"{scene.anchor.title}, from {since}")
        for day, place in days_of_line(scene.anchor.day, scene, across):
            tick = f'<path class="c-axis" d="M{place:.1f} {bottom + 19:.1f}v4"/>'
            yield tick + text(place, bottom + 32, str(day), "c-small", "middle")
    begin = "start" if today - LEFT < width(words) else "end"
    yield text(today + (4 if begin == "start" else -4), bottom + 46, words, "c-small", begin)


def _down(place: float, parts: list[tuple[float, float]]) -> str:
    return "".join(f"M{place:.2f} {start:.1f}V{end:.1f}" for start, end in parts)


def _plot(scene: Scene, across: Across, top: float, bottom: float) -> str:
    folds = [
        {"from": fold.first.isoformat(), "to": fold.last.isoformat(), "left": round(fold.left, 2), "right": round(fold.right, 2)}
        for fold in across.folds
    ]  # fmt: skip
    known = {
        "first": scene.first.isoformat(), "last": scene.last.isoformat(), "left": f"{LEFT:g}", "right": f"{WIDTH - RIGHT:g}",
        "top": f"{top:g}", "bottom": f"{bottom:g}",
        "start": scene.anchor.day.isoformat() if scene.anchor else "", "folds": json.dumps(folds) if folds else "",
    }  # fmt: skip
    data = "".join(f' data-{name}="{escape(value)}"' for name, value in known.items() if value)
    return f'<rect class="c-plot" x="{LEFT:g}" y="{top:g}" width="{across.right - LEFT:g}" height="{bottom - top:g}"{data}/>'


# words -------------------------------------------------------------------------------------------------------------


def described(scene: Scene) -> str:
    """The drawing in sentences, for who cannot see it; the table beside it has every figure."""
    return legible(" ".join(_sentences(scene)))


def _sentences(scene: Scene) -> Iterator[str]:
    for panel in scene.panels:
        yield from _told(panel)
    for lane in scene.lanes:
        said = [told_of_bar(lane, bar) for bar in lane.bars] + [told_of_mark(lane, mark) for mark in lane.marks]
        yield "; ".join(said) + "."


def _told(panel: Panel) -> Iterator[str]:
    usable = [point for point in panel.points if point.usable]
    count = counted(len(panel.points), "result")
    ends = (
        f"from {on(usable[0].day)} ({usable[0].shown}) to {on(usable[-1].day)} ({usable[-1].shown})" if usable else ""
    )
    yield f"{panel.title}: {count}" + (f" {ends}." if usable else ", none usable.")
    if panel.word:
        yield f"State: {panel.word}{f', certainty {panel.certainty}' if panel.certainty else ''}."
    if (one := panel.decision) is not None:
        figures = "" if panel.relative else f", {figure(one.limit_in(1))} {unit_in_words(panel.unit)}"
        yield f"Limit: {figure(one.threshold_ratio)} times the reference{figures}. Latest value: {one.fold}."
    elif panel.note:
        yield f"Not compared: {'; '.join(panel.note)}."
    for stop in panel.breaks:
        yield f"Not comparable from {on(stop.day)} on: {stop.why}."
