"""The picture of one panel: its curve between bands and limits, and what is written in and beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

from cds.drawing.axis import LEFT, RIGHT, WIDTH, Across, Up, figure, unit_of, values
from cds.drawing.labels import Box, Room, escape, short, spread, text, width
from cds.drawing.marks import item, shape, sign
from cds.drawing.scene import Anchor, Panel, Point, Scene, Window
from cds.legible import legible, on
from cds.reasoning.explanation import rounded_beside

HEAD, PLOT, GAP = 36.0, 180.0, 18.0
"""Heights: of the words above the plot, of the plot, and of the space below it."""
_EDGE = WIDTH - RIGHT
_NEAR = 0.02
_FEW = 14
"""So many points all have their value written beside them; of more only those with a part in the finding."""
_UNITS = {"fold": "relative expression", "MFI": "mean fluorescence intensity", "%": "% of vesicles"}
_FEWER = ("no usable result", "one usable result: nothing to compare", "two results: a trend cannot be judged")


@dataclass(frozen=True, slots=True)
class _Plot:
    """A panel with where everything of it stands. `unit` is the value that is 1 on its axis, `named` what it is called."""

    panel: Panel
    across: Across
    up: Up
    unit: float
    named: str
    today: date
    anchor: Anchor | None

    @property
    def floor(self) -> float:
        return self.up.top + PLOT

    @property
    def limit(self) -> float | None:
        """The limit in the unit of the axis; None where nothing is compared."""
        return self.panel.decision.limit / self.unit if self.panel.decision is not None else None

    def place(self, point: Point) -> tuple[float, float]:
        return self.across.at(point.day), self.up.at(point.value) if point.value else self.floor - 8


def panel_picture(panel: Panel, scene: Scene, across: Across, top: float) -> Iterator[str]:
    """The panel whose words begin at `top`; it is HEAD + PLOT + GAP high."""
    unit, named = _unit(panel)
    plot = _Plot(panel, across, Up.of(panel.span, top + HEAD, PLOT), unit, named, scene.as_of, scene.anchor)
    up, floor = plot.up, plot.floor
    yield from _head(panel, named, top)
    for value in values(up, unit):
        place = up.at(value)
        yield f'<path class="c-grid" d="M{LEFT:g} {place:.1f}H{_EDGE:g}"/>'
        yield text(LEFT - 8, place + 4, figure(value / unit), "c-small", "end")
    yield from _bands(plot)
    yield f'<path class="c-axis" d="M{LEFT:g} {up.top:.1f}V{floor:.1f}H{_EDGE:g}"/>'
    for one in panel.breaks:
        place, bottom = across.at(one.day) - 7, floor if one.whole else up.top + 30
        yield f'<path class="c-break" d="M{place:.1f} {up.top:.1f}V{bottom:.1f}"><title>{escape(one.why)}</title></path>'
    yield from _curve(plot)
    size = 1.0 if len(panel.points) <= 60 else 0.65 if len(panel.points) <= 200 else 0.45
    for point in panel.points:
        yield _point(plot, point, size)
    for mean in panel.replicates:
        told = f"{on(mean.day)}: geometric mean of {mean.count} values, {figure(mean.mean / unit)} {named}"
        drawn = shape("mean", across.at(mean.day), up.at(mean.mean))
        yield item(mean.day.isoformat(), f"{told}, {mean.laboratory}".rstrip(", "), drawn)
    yield from _words(plot, _room(plot))
    yield from _beside(plot)


def _unit(panel: Panel) -> tuple[float, str]:
    if panel.relative:
        usable = [point.value for point in panel.points if point.usable and point.value]
        if panel.decision is not None:
            return panel.decision.reference[1], "times the reference, from ΔCt (a lower ΔCt is more)"
        return (usable[0] if usable else 1.0), "times the first value, from ΔCt (a lower ΔCt is more)"
    power, named = unit_of(panel.span[1])
    return power, f"{named} {unit_in_words(panel.unit)}".strip()


def unit_in_words(unit: str) -> str:
    """A UCUM unit as people write it: `10*6{particles}/mL` is 10⁶ particles/mL."""
    said = unit.replace("{", " ").replace("}", "").replace("_", " ").strip()
    for digit in "0123456789":
        said = said.replace(f"10*{digit}", "10" + "⁰¹²³⁴⁵⁶⁷⁸⁹"[int(digit)])
    return _UNITS.get(said, said) or "no unit"


def _head(panel: Panel, named: str, top: float) -> Iterator[str]:
    state = short(panel.word + (f" (certainty {panel.certainty})" if panel.certainty else ""), 340, 13)
    most = WIDTH - LEFT - 40 - width(state, 13)
    yield text(LEFT, top + 12, short(panel.title, most, 13), "c-title", whole=panel.title)
    if state:
        yield text(WIDTH - 16, top + 12, state, "c-title", "end")
    said = [f"{named}, log scale"]
    if panel.usable < len(_FEWER):
        said.append(_FEWER[panel.usable])
    if panel.note:
        said.append(f"not compared: {legible('; '.join(panel.note))}")
    whole = " · ".join(said)
    yield text(LEFT, top + 28, short(whole, WIDTH - LEFT - 16), whole=whole)


# bands, lines, curve ------------------------------------------------------------------------------------------------


def _bands(plot: _Plot) -> Iterator[str]:
    panel, up = plot.panel, plot.up
    if panel.early is not None:
        yield _window(plot, panel.early, "c-early")
    if panel.pair is not None:
        yield _window(plot, Window(*panel.pair, "the two samples that confirm"), "c-window", 9)
    if panel.second is not None:
        yield _window(plot, panel.second, "c-second")
    if (one := panel.decision) is None:
        return
    start = plot.across.at(one.start)
    bands = (
        ("c-expected", one.expected, f"variation expected without a change: ×/÷ {figure(one.change_ratio)}"),
        ("c-noise", one.noise, f"scatter of the measurement alone: ×/÷ {figure(one.noise_change)}"),
    )
    for look, (least, most), told in bands:
        low, high = up.at(least), up.at(most)
        yield (
            f'<rect class="{look}" x="{start:.1f}" y="{high:.2f}" width="{_EDGE - start:.1f}" height="{low - high:.2f}">'
            f"<title>{told}</title></rect>"
        )
    atmost = " c-atmost" if one.reference[0] < one.reference[1] else ""
    for look, value in (("c-reference" + atmost, one.reference[1]), ("c-limit", one.limit)):
        yield f'<path class="{look}" d="M{start:.1f} {up.at(value):.2f}H{_EDGE:g}"/>'
    for lowest in panel.lowest:
        yield f'<path class="c-limit c-lowest" d="M{plot.across.at(lowest.day):.1f} {up.at(lowest.limit):.2f}H{_EDGE:g}"/>'


def _window(plot: _Plot, window: Window, look: str, beyond: float = 0) -> str:
    start, end = plot.across.at(window.first) - beyond, plot.across.at(window.last) + beyond
    return (
        f'<rect class="{look}" x="{start:.2f}" y="{plot.up.top:.1f}" width="{end - start:.2f}" height="{PLOT:.1f}">'
        f"<title>{on(window.first)} to {on(window.last)}: {escape(window.why)}</title></rect>"
    )


def _curve(plot: _Plot) -> Iterator[str]:
    across, up = plot.across, plot.up
    for part in plot.panel.curve:
        looks: dict[str, list[str]] = {}
        for one, other in pairwise(part):
            x, to = across.at(one.day), across.at(other.day)
            folded = any(x < fold.right and fold.left < to for fold in across.folds)
            look = "c-curve" + (" c-across" if folded else " c-bound" if one.bound or other.bound else "")
            looks.setdefault(look, []).append(f"M{x:.2f} {up.at(one.value):.2f}L{to:.2f} {up.at(other.value):.2f}")
        for look, lines in looks.items():
            yield f'<path class="{look}" d="{"".join(lines)}"/>'


def _point(plot: _Plot, point: Point, size: float) -> str:
    x, y = plot.place(point)
    drawn = shape(sign(point), x, y, size)
    if point.usable and point.censored:
        drawn = f'<path class="c-stem" d="M{x:.2f} {y + 8:.2f}V{plot.floor:.1f}"/>' + drawn
    if "latest" in point.roles:
        drawn = shape("latest", x, y) + drawn
        decision = plot.panel.decision
        if decision is not None and decision.per_ev is not None:
            drawn += shape("per-ev", x + 11, plot.up.at(decision.per_ev[0]))
    return item(point.day.isoformat(), told_of(point, plot.panel, plot.anchor), drawn)


def told_of(point: Point, panel: Panel, anchor: Anchor | None) -> str:
    """A result in words: when, what, its part in the finding, and who measured it."""
    day = f" (day {(point.day - anchor.day).days})" if anchor is not None else ""
    said = [f"{on(point.day)}{day}: {panel.short} {legible(point.shown) or 'no value'}", *remarks(point)]
    if "latest" in point.roles and panel.decision is not None:
        said.append(f"{panel.decision.fold} of the reference")
        said += [f"per total EV {panel.decision.per_ev[1]}"] if panel.decision.per_ev else []
    return ", ".join([*said, point.laboratory] if point.laboratory else said)


def remarks(point: Point) -> tuple[str, ...]:
    """The part of a result in the finding, and what is the matter with it."""
    limit = "quantification" if point.detected else "detection"
    below = (f"below the limit of {limit}",) if point.censored else ()
    return (*point.roles, *((point.crossing,) if point.crossing else ()), *below, *point.faults)


# words in the plot --------------------------------------------------------------------------------------------------


def _room(plot: _Plot) -> Room:
    """The plot with what words must not cover: signs, limit, reference, today's line and, where points are few, the curve."""
    panel, across, up = plot.panel, plot.across, plot.up
    today = across.at(plot.today)
    room = Room(Box(LEFT, up.top, _EDGE, plot.floor), [Box(today - 1.5, up.top, today + 1.5, plot.floor)])
    for point in panel.points:
        x, y = plot.place(point)
        reach = 11 if "latest" in point.roles else 7
        room.taken.append(Box(x - reach, y - reach, x + reach, y + reach))
    if (one := panel.decision) is not None:
        start = across.at(one.start)
        room.taken += [Box(start, up.at(value) - 2, _EDGE, up.at(value) + 2) for value in (one.limit, one.reference[1])]
        room.taken += [
            Box(across.at(lowest.day), up.at(lowest.limit) - 2, _EDGE, up.at(lowest.limit) + 2)
            for lowest in panel.lowest
        ]
        if one.per_ev is not None:
            y, latest = up.at(one.per_ev[0]), [p for p in panel.points if "latest" in p.roles]
            room.taken += [Box(x + 9, y - 3, x + 25, y + 3) for x, _ in map(plot.place, latest)]
    room.taken += [Box(fold.left, up.top, fold.right, up.top + 90) for fold in across.folds]
    for part in panel.curve if len(panel.points) <= _FEW else ():
        for before, after in pairwise(part):
            left, right = across.at(before.day), across.at(after.day)
            low, high = up.at(before.value), up.at(after.value)
            steps = max(int((right - left) / 6), 1)
            for step in range(steps + 1):
                x, y = left + (right - left) * step / steps, low + (high - low) * step / steps
                room.taken.append(Box(x - 1, y - 1, x + 1, y + 1))
    return room


def _words(plot: _Plot, room: Room) -> Iterator[str]:
    panel, across, up = plot.panel, plot.across, plot.up
    rows = [up.top + 12 + 13 * row for row in range(4)]
    lowest = plot.floor - 6
    for stop in panel.breaks:
        x = across.at(stop.day) - 7
        beside = [(x + side, y, to) for y in rows for side, to in ((-4.0, "end"), (4.0, "start"))]
        yield room.put(short(stop.why, 260), beside, "c-told", stop.why)
    for stop in panel.breaks:  # words may cross another break's line rather than be lost; figures may not
        x = across.at(stop.day) - 7
        room.taken.append(Box(x - 1.5, up.top, x + 1.5, plot.floor if stop.whole else up.top + 30))
    for point in sorted(panel.points, key=lambda one: not _matters(one)):
        if len(panel.points) > _FEW and not _matters(point):
            break
        x, y = plot.place(point)
        out = 15.0 if "latest" in point.roles else 11.0
        around = [
            (x, y - out, "middle"),
            (x, y + out + 8, "middle"),
            (x + out, y + 4, "start"),
            (x - out, y + 4, "end"),
        ]
        around += [
            (x - out, y - 8, "end"),
            (x + out, y - 8, "start"),
            (x - out, y + 16, "end"),
            (x + out, y + 16, "start"),
        ]
        yield room.put(_value(point, plot.unit, plot.limit), around, "c-value" if point.usable else "c-told")
    if panel.pair is not None:
        first, last = (across.at(day) for day in panel.pair)
        words = f"{(panel.pair[1] - panel.pair[0]).days} days apart"
        yield room.put(words, [((first + last) / 2, y, "middle") for y in (lowest, *rows)], "c-told")
    for window in (panel.second, panel.early):
        if window is not None:
            first, last = across.at(window.first), across.at(window.last)
            ends = [
                ((first + last) / 2, "middle"),
                (first + 4, "start"),
                (last - 4, "end"),
                (first - 4, "end"),
                (last + 4, "start"),
            ]
            yield room.put(window.why, [(x, y, to) for y in (lowest, *rows) for x, to in ends], "c-told")


def _matters(point: Point) -> bool:
    return bool(point.roles or point.crossing)


def _value(point: Point, unit: float, limit: float | None) -> str:
    """What is written beside a point: its value, on the side of the limit on which it lies, and what is the matter with it."""
    value = f"{'<' if point.censored else ''}{figure(_beside_limit(point.value / unit, limit))}" if point.value else ""
    if point.usable:
        return value
    said = [*point.faults, *([point.laboratory] if "two values" in point.faults and point.laboratory else [])]
    return " – ".join(part for part in (value, short(", ".join(said) or "no value", 220)) if part)


def _beside_limit(value: float, limit: float | None) -> float:
    """A value, so near its limit that rounding might take it to the other side as one that stays where it is."""
    return value if limit is None or abs(value / limit - 1) > _NEAR else rounded_beside(value, limit)


def _beside(plot: _Plot) -> Iterator[str]:
    """Limit, reference and latest value in the margin, each at its height."""
    panel, up, unit, one = plot.panel, plot.up, plot.unit, plot.panel.decision
    if one is None:
        return
    below = "<" if one.reference[0] < one.reference[1] else ""
    ratio = f"{figure(one.threshold_ratio)} ×"
    limit = f"limit {ratio}" if panel.relative else f"limit {figure(one.limit_in(unit))} ({ratio})"
    said = [
        (one.limit, "c-bold c-limitword", limit),
        (one.reference[1], "c-small", f"reference {below}{figure(one.reference[1] / unit)}"),
    ]
    for lowest in panel.lowest:
        ratio = f"{figure(lowest.threshold_ratio)} ×"
        words = f"over lowest {ratio if panel.relative else figure(lowest.limit_in(unit))}"
        said.append((lowest.limit, "c-bold c-limitword", words))
    latest = next((point for point in panel.points if "latest" in point.roles and point.value), None)
    if latest is not None and latest.value is not None:
        words = one.fold if panel.relative else f"{_value(latest, unit, plot.limit)} ({one.fold})"
        said.append((latest.value, "c-bold", f"latest {words}"))
    heights = spread([up.at(value) + 4 for value, _, _ in said], 15, up.top + 8, plot.floor)
    for (_, look, words), y in zip(said, heights, strict=True):
        yield text(_EDGE + 8, y, short(words, RIGHT - 12, 12), look, whole=words)
