"""The pictures of the lanes below the curves: bars with the tone and pattern of their class, marks, and how long they count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date

from cds.drawing.axis import LEFT, Across
from cds.drawing.labels import Box, Room, short, text, width
from cds.drawing.marks import item, shape
from cds.drawing.scene import Bar, Lane, Mark
from cds.drawing.style import LOOKS
from cds.legible import on

ROW = 24.0
_BAR = 16.0
_MOST_ROWS = 3
ENDINGS = {"assumed": "taken as ongoing", "unknown": "end not recorded", "planned": "planned"}
"""How the end of a bar without a recorded one is told."""


def rows_of(lane: Lane) -> list[list[Bar]]:
    """The bars of a lane in as many rows as lie side by side, three at most."""
    found: list[list[Bar]] = [[]]
    for bar in lane.bars:
        row = next((row for row in found if not row or _follows(row[-1], bar)), None)
        if row is None and len(found) < _MOST_ROWS:
            found.append(row := [])
        (found[-1] if row is None else row).append(bar)
    return found


def _follows(before: Bar, bar: Bar) -> bool:
    return before.end is not None and bar.start is not None and before.end <= bar.start


def height(lane: Lane) -> float:
    """How high the picture of a lane is."""
    return ROW * len(rows_of(lane))


def lane_picture(lane: Lane, across: Across, top: float, today: date, prefix: str) -> Iterator[str]:
    """The lane whose picture begins at `top`. `prefix` is that of the patterns' ids."""
    yield text(LEFT - 8, top + 16, short(lane.title, LEFT - 12), "c-small", "end", lane.title)
    fill = f'fill="url(#{prefix}-look-{lane.look % LOOKS})"' if lane.kind == "therapy" else 'class="c-event"'
    for number, bars in enumerate(rows_of(lane)):
        y = top + ROW * number
        room = Room(Box(LEFT, y, across.right, y + ROW))
        spans = [_span(bar, across, today) for bar in bars]
        room.taken += [Box(left, y, right, y + ROW) for left, right in spans]
        places = [across.at(mark.day) for mark in lane.marks] if number == 0 else []
        room.taken += [Box(x - 9, y, x + 9, y + ROW) for x in places]
        for bar in bars:
            yield _until(bar.end or bar.start, bar.until, across, y)
        for mark in lane.marks if number == 0 else ():
            yield _until(mark.day, mark.until, across, y)
        for bar, span in zip(bars, spans, strict=True):
            yield _bar(lane, bar, span, y, fill, room, today)
        for mark, x in zip(lane.marks if number == 0 else (), places, strict=True):
            yield _mark(lane, mark, x, y, room)


def _span(bar: Bar, across: Across, today: date) -> tuple[float, float]:
    start = across.at(bar.start) if bar.start is not None else across.left
    end = bar.end or (today if bar.ending != "planned" else None)
    return start, max(across.at(end) if end is not None else across.right, start + 3)


def _bar(lane: Lane, bar: Bar, span: tuple[float, float], y: float, fill: str, room: Room, today: date) -> str:
    left, right = span
    top, bottom = y + (ROW - _BAR) / 2, y + (ROW + _BAR) / 2
    area = f'<rect {fill} x="{left:.2f}" y="{top:.1f}" width="{right - left:.2f}" height="{_BAR:g}"/>'
    outline = f"M{left:.2f} {top:.1f}H{right:.2f}V{bottom:.1f}H{left:.2f}" + ("z" if bar.start is not None else "")
    if bar.ending == "planned":
        drawn = f'<path class="c-planned" d="{outline}"/>'
    elif bar.ending == "assumed":
        tip = f"L{right + 7:.2f} {y + ROW / 2:.1f}L{right:.2f} {bottom:.1f}"
        outline = outline.replace(f"V{bottom:.1f}", tip, 1)
        drawn = area + f'<path class="c-frame" d="{outline}"/>'
    elif bar.ending == "unknown":
        drawn = area + f'<path class="c-frame" d="M{right:.2f} {top:.1f}H{left:.2f}V{bottom:.1f}H{right:.2f}"/>'
    else:
        drawn = area + f'<path class="c-frame" d="{outline}"/>'
    words = bar.label + (" ?" if bar.ending == "unknown" and bar.label else "")
    outside = [(right + 10, y + 16, "start"), (left - 5, y + 16, "end")]
    if words and width(words) <= right - left - 12:
        drawn += _plate(left + 5, y + 16, words)
    elif put := room.put(words, outside):
        drawn += put
    elif right - left >= 40:
        drawn += _plate(left + 5, y + 16, short(words, 0.8 * (right - left) - 12))
    else:
        drawn += room.put(short(words, 100), outside)
    end = bar.end or (None if bar.ending == "planned" else today)
    return item(
        bar.start.isoformat() if bar.start else "", told_of_bar(lane, bar), drawn, end.isoformat() if end else ""
    )


def _plate(x: float, y: float, words: str) -> str:
    """Words on a bar, on a ground of their own: no pattern runs through them."""
    ground = f'<rect class="c-plate" x="{x - 2:.1f}" y="{y - 10:.1f}" width="{width(words) + 4:.1f}" height="12"/>'
    return ground + text(x, y, words, "c-onbar")


def _mark(lane: Lane, mark: Mark, x: float, y: float, room: Room) -> str:
    look = "c-planned" if mark.planned else "c-point"
    drawn = f'<path class="{look}" d="M{x:.2f} {y + 4:.1f}l6 8l-6 8l-6-8z"/>'
    if lane.kind == "imaging":
        drawn = shape("decides" if mark.decides else "imaging", x, y + ROW / 2)
    if mark.label:
        words = short(mark.label, 140)
        drawn += room.put(words, [(x + 11, y + 16, "start"), (x - 11, y + 16, "end")], "c-value", mark.label)
    return item(mark.day.isoformat(), told_of_mark(lane, mark), drawn)


def _until(last: date | None, until: date | None, across: Across, y: float) -> str:
    if until is None or last is None:
        return ""
    left, right = across.at(last), across.at(until)
    return f'<rect class="c-lasting" x="{left:.2f}" y="{y + 7:.1f}" width="{max(right - left, 0):.2f}" height="10"/>'


def told_of_bar(lane: Lane, bar: Bar) -> str:
    """What lasted, from when to when, as far as that is known."""
    end = on(bar.end) if bar.end else ENDINGS.get(bar.ending, "")
    planned = ", planned" if bar.ending == "planned" and bar.end else ""
    start = on(bar.start) if bar.start else "start not recorded"
    return f"{named(lane, bar.label)}: {start} to {end}{planned}{_counts(bar.until)}".replace("to planned", "on, planned").replace(
        "to end not recorded", "on, end not recorded").replace("to taken as ongoing", "on, taken as ongoing")  # fmt: skip


def told_of_mark(lane: Lane, mark: Mark) -> str:
    """What was on a day."""
    more = (", planned" if mark.planned else "") + (", the state rests on it" if mark.decides else "")
    return f"{on(mark.day)}: {named(lane, mark.label)}{more}{_counts(mark.until)}"


def _counts(until: date | None) -> str:
    return f"; disturbs the marker until {on(until)}" if until else ""


def named(lane: Lane, label: str) -> str:
    """What something is called where its lane is not seen beside it."""
    return f"{lane.title}, {label}" if label and label.lower() != lane.title.lower() else lane.title


def looks(lanes: Sequence[Lane]) -> set[int]:
    """The patterns that the lanes use."""
    return {lane.look % LOOKS for lane in lanes if lane.kind == "therapy"}
