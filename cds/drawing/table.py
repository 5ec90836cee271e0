"""The twin of a drawing in rows: every result, bar and mark in the order of days, for who reads or hears it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from cds.drawing.plot import remarks
from cds.drawing.rows import ENDINGS
from cds.drawing.scene import Bar, Lane, Mark, Panel, Point, Scene


@dataclass(frozen=True, slots=True)
class Row:
    """What was on a day, or from a day on. `day` is None for what has no day; `of_line` counts from the scene's anchor."""

    day: date | None
    of_line: int | None
    what: str  # the marker, or the lane
    value: str  # a result as the laboratory wrote it; drugs; a response
    by: str  # laboratory and method
    remark: str
    end: date | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a scene, what their days are counted from, and the limits and breaks that stand in the drawing."""

    counted_from: str  # "cytotoxic chemotherapy, from 2025-01-06"; "" where nothing is counted
    rows: tuple[Row, ...]


def table_of(scene: Scene) -> Table:
    """Everything that the drawing of a scene shows, with days; what has none stands first."""
    anchor = scene.anchor
    rows = sorted(_rows(scene), key=lambda row: (row.day is not None, row.day or date.min))
    if anchor is not None:
        rows = [_counted(row, anchor.day) for row in rows]
    return Table(f"{anchor.title}, from {anchor.day.isoformat()}" if anchor else "", tuple(rows))


def _counted(row: Row, start: date) -> Row:
    of_line = (row.day - start).days if row.day is not None else None
    return Row(row.day, of_line, row.what, row.value, row.by, row.remark, row.end)


def _rows(scene: Scene) -> Iterator[Row]:
    for panel in scene.panels:
        yield from (_result(panel, point) for point in panel.points)
        for mean in panel.replicates:
            said = f"geometric mean of {mean.count} values of this day"
            yield Row(mean.day, None, panel.short, f"{mean.mean:.3g} {panel.unit}", mean.laboratory, said)
        for stop in panel.breaks:
            over = "not comparable with anything before" if stop.whole else "not comparable with the result before"
            yield Row(stop.day, None, panel.short, "no result: a break", "", f"{over}: {stop.why}")
    for lane in scene.lanes:
        yield from (_bar(lane, bar) for bar in lane.bars)
        yield from (_mark(lane, mark) for mark in lane.marks)
    for point in scene.elsewhere:
        undated = "no day of collection" in point.faults
        yield Row(None if undated else point.day, None, point.marker, point.shown, "", ", ".join(point.faults))


def _result(panel: Panel, point: Point) -> Row:
    said = [*remarks(point), *_passed_over(panel, point)]
    if "latest" in point.roles and panel.decision is not None:
        said.append(f"{panel.decision.fold} of the reference")
        said += [f"per total EV {panel.decision.per_ev[1]}"] if panel.decision.per_ev else []
    by = "; ".join(part for part in (point.laboratory, point.method) if part)
    ev = f" (total EV {point.total_ev})" if point.total_ev else ""
    return Row(point.day, None, panel.short, f"{point.shown or 'no value'}{ev}", by, ", ".join(said))


def _passed_over(panel: Panel, point: Point) -> Iterator[str]:
    """Why a value below the lowest with which the latest is compared is not that."""
    decision = panel.decision
    latest = next((one.day for one in panel.points if "latest" in one.roles), None)
    if decision is None or decision.kind != "nadir" or latest is None or point.roles or point.value is None:
        return
    if point.usable and point.day < latest and point.value < decision.reference[1]:
        yield "lower than the reference and not taken for it: outside the days from which it is taken, or not comparable"


def _bar(lane: Lane, bar: Bar) -> Row:
    said = [f"to {bar.end.isoformat()}"] if bar.end else []
    said += [ENDINGS[bar.ending]] if bar.ending in ENDINGS else []
    said += ["start not recorded"] if bar.start is None else []
    return Row(bar.start, None, lane.title, bar.label, "", ", ".join([*said, *_counts(bar)]), bar.end)


def _mark(lane: Lane, mark: Mark) -> Row:
    said = ["planned"] if mark.planned else []
    said += ["the state rests on it"] if mark.decides else []
    return Row(mark.day, None, lane.title, mark.label, "", ", ".join([*said, *_counts(mark)]))


def _counts(one: Bar | Mark) -> list[str]:
    return [f"disturbs the marker until {one.until.isoformat()}"] if one.until else []
