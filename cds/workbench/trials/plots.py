"""Plots of a report as plain SVG: no script, nothing fetched, a title and a description in words; colours come from the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from html import escape
from itertools import pairwise
from typing import NamedTuple

from cds.workbench.trials.intervals import Interval

_WIDTH, _LEFT, _RIGHT = 640, 56, 24
_TOP, _PLOT = 14, 210


class Row(NamedTuple):
    """A line of a plot of intervals; one without an interval is a heading."""

    name: str
    interval: Interval | None
    heading: bool = False


class Steps(NamedTuple):
    """A curve that climbs by steps: points (across, up), and how it looks: `a` or `b`."""

    name: str
    points: Sequence[tuple[float, float]]
    look: str


def intervals(title: str, rows: Sequence[Row]) -> str:
    """Shares from 0 to 100 %, each with its interval, one under the other."""
    left, high = 250, 24
    across = _scale(0, 1, left, _WIDTH - _RIGHT - 122)
    bottom = _TOP + high * len(rows)
    parts = [*_ticks_across([(share / 4, f"{share * 25} %") for share in range(5)], across, _TOP, bottom)]
    for place, row in enumerate(rows):
        middle = _TOP + high * place + high / 2
        look = "p-head" if row.heading else "p-name"
        parts.append(_text(8 if row.heading else 18, middle + 4, row.name, look))
        if row.interval is None:
            parts += [] if row.heading else [_text(across(0) + 6, middle + 4, "nobody", "p-dim")]
            continue
        at, low, top = (across(one) for one in row.interval)
        parts.append(
            f'<path class="p-bar" d="M{low:.1f} {middle:.1f}H{top:.1f}M{low:.1f} {middle - 4:.1f}v8M{top:.1f} {middle - 4:.1f}v8"/>'
        )
        parts.append(f'<circle class="p-dot" cx="{at:.1f}" cy="{middle:.1f}" r="4"/>')
        parts.append(_text(_WIDTH - _RIGHT, middle + 4, _shares(row.interval), "p-value", "end"))
    told = "; ".join(f"{row.name} {_shares(row.interval)}" for row in rows if row.interval)
    return _picture(title, told, bottom + 26, parts)


def curves(title: str, steps: Sequence[Steps], last: float, across_name: str) -> str:
    """Shares over time."""
    across, up = _scale(0, last, _LEFT, _WIDTH - _RIGHT), _scale(0, 1, _TOP + _PLOT, _TOP)
    parts = [*_grid(across, up, _days(last)), _text(_WIDTH - _RIGHT, _TOP + _PLOT + 34, across_name, "p-dim", "end")]
    for one in steps:
        path = f"M{across(0):.1f} {up(0):.1f}"
        for (_, _before), (day, share) in pairwise([(0.0, 0.0), *one.points]):
            path += f"H{across(day):.1f}V{up(share):.1f}"
        parts.append(f'<path class="p-curve p-{one.look}" d="{path}H{across(last):.1f}"/>')
    parts += _legend([(one.name, one.look) for one in steps])
    told = "; ".join(
        f"{one.name}: {one.points[-1][1]:.0%} in the end" if one.points else f"{one.name}: none" for one in steps
    )
    return _picture(title, told, _TOP + _PLOT + 62, parts)


def band(
    title: str, of: Callable[[float], Interval | None], marks: Sequence[tuple[float, str]], across_name: str
) -> str:
    """A share with its interval over another, both from 0 to 100 %; `marks` are places to be named."""
    across, up = _scale(0, 1, _LEFT, _WIDTH - _RIGHT), _scale(0, 1, _TOP + _PLOT, _TOP)
    places = [number / 100 for number in (*range(0, 10), *range(10, 101, 5))]
    found = [(place, interval) for place in places if (interval := of(place)) is not None]
    parts = [*_grid(across, up, [(share / 4, f"{share * 25} %") for share in range(5)])]
    parts.append(_text(_WIDTH - _RIGHT, _TOP + _PLOT + 34, across_name, "p-dim", "end"))
    if found:
        upper = " ".join(f"{across(place):.1f},{up(one.high):.1f}" for place, one in found)
        lower = " ".join(f"{across(place):.1f},{up(one.low):.1f}" for place, one in reversed(found))
        line = " ".join(f"{across(place):.1f},{up(one.estimate):.1f}" for place, one in found)
        parts += [
            f'<polygon class="p-band" points="{upper} {lower}"/>',
            f'<polyline class="p-curve p-a" points="{line}"/>',
        ]
    told = []
    for place, name in marks:
        interval = of(place)
        if interval is not None:
            at = up(interval.estimate)
            parts.append(f'<path class="p-mark" d="M{across(place):.1f} {up(0):.1f}V{at:.1f}H{across(0):.1f}"/>')
            parts.append(f'<circle class="p-dot" cx="{across(place):.1f}" cy="{at:.1f}" r="4"/>')
            end = "end" if place > 0.6 else "start"
            parts.append(
                _text(
                    across(place) + (-8 if end == "end" else 8), at + 16, f"{name}: {_shares(interval)}", "p-value", end
                )
            )
            told.append(f"{name}: {_shares(interval)}")
    return _picture(title, "; ".join(told), _TOP + _PLOT + 44, parts)


def histogram(title: str, values: Sequence[int], step: int, middle: Interval | None, across_name: str) -> str:
    """How often values fall into steps; the median with its interval stands above."""
    first, last = (min(values) // step) * step, (max(values) // step + 1) * step
    counts = [sum(start <= value < start + step for value in values) for start in range(first, last, step)]
    across, up = _scale(first, last, _LEFT, _WIDTH - _RIGHT), _scale(0, max(counts), _TOP + _PLOT, _TOP + 26)
    every = max(1, -(-len(counts) // 9))
    ticks: list[tuple[float, str]] = [
        (start, str(start).replace("-", "−")) for start in range(first, last + 1, step * every)
    ]
    parts = [*_ticks_across(ticks, across, _TOP + 20, _TOP + _PLOT)]
    parts += [_text(_LEFT - 8, up(count) + 4, f"{count:,}", "p-dim", "end") for count in (0, max(counts))]
    for start, count in zip(range(first, last, step), counts, strict=True):
        left, right = across(start), across(start + step)
        shape = (
            f'x="{left + 0.5:.1f}" y="{up(count):.1f}" width="{right - left - 1:.1f}" height="{up(0) - up(count):.1f}"'
        )
        parts.append(f'<rect class="p-column" {shape}><title>{start} to {start + step - 1}: {count}</title></rect>')
    if first < 0 < last:
        parts.append(f'<path class="p-zero" d="M{across(0):.1f} {_TOP + 20}V{_TOP + _PLOT}"/>')
    told = f"{len(values):,} values from {min(values)} to {max(values)}"
    if middle is not None:
        at, low, high = (across(one) for one in middle)
        parts.append(
            f'<path class="p-bar" d="M{low:.1f} {_TOP + 10}H{high:.1f}M{low:.1f} {_TOP + 6}v8M{high:.1f} {_TOP + 6}v8"/>'
        )
        parts.append(f'<circle class="p-dot" cx="{at:.1f}" cy="{_TOP + 10}" r="4"/>')
        words = f"median {middle.estimate:g} ({middle.low:g} to {middle.high:g})".replace("-", "−")
        end = "end" if high > _WIDTH * 0.6 else "start"
        parts.append(_text(low - 8 if end == "end" else high + 8, _TOP + 14, words, "p-value", end))
        told += f"; {words}"
    parts.append(_text(_WIDTH - _RIGHT, _TOP + _PLOT + 34, across_name, "p-dim", "end"))
    return _picture(title, told, _TOP + _PLOT + 44, parts)


def by_limit(title: str, lines: Sequence[Steps], own: Sequence[float]) -> str:
    """Shares by where a limit lies; `own` limits are marked. The picture stands alone: colours are in it."""
    limits = sorted({across for one in lines for across, _ in one.points})
    across, up = _scale(limits[0], limits[-1], _LEFT, _WIDTH - _RIGHT), _scale(0, 1, _TOP + _PLOT, _TOP)
    parts = [*_grid(across, up, [(limit, f"{limit:g}×") for limit in limits])]
    parts.append(_text(_WIDTH - _RIGHT, _TOP + _PLOT + 34, "flat limit over the reference", "p-dim", "end"))
    for limit in own:
        if limits[0] <= limit <= limits[-1]:
            parts.append(f'<path class="p-mark" d="M{across(limit):.1f} {_TOP}V{_TOP + _PLOT}"/>')
            parts.append(_text(across(limit) + 5, up(0.4), f"the rule's own: {limit:.2f}×", "p-dim"))
    for one in lines:
        points = [(across(limit), up(share)) for limit, share in one.points]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline class="p-curve p-{one.look}" points="{line}"/>')
        parts += [f'<circle class="p-small p-{one.look}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in points]
    parts += _legend([(one.name, one.look) for one in lines])
    told = "; ".join(f"{one.name} at {limit:g}×: {share:.1%}" for one in lines for limit, share in one.points)
    picture = _picture(title, told, _TOP + _PLOT + 80, parts)
    return picture.replace("><title>", f' xmlns="http://www.w3.org/2000/svg"><style>{_ALONE}</style><title>', 1)


_ALONE = (
    "svg{background:#fff;font:12px system-ui,sans-serif}text{fill:#1a2027}.p-dim{fill:#515d69;font-size:11px}"
    ".p-grid{stroke:#dfe4e9;fill:none}.p-curve{fill:none;stroke-width:2}.p-a,.p-c{stroke:#0b5c8a}.p-b,.p-d{stroke:#a3322a}"
    ".p-c,.p-d{stroke-dasharray:6 4}.p-small{fill:#fff;stroke-dasharray:none}.p-mark{stroke:#515d69;stroke-dasharray:2 3;fill:none}"
)


# parts --------------------------------------------------------------------------------------------------------------


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    wide = (high - low) or 1.0
    return lambda value: start + (end - start) * (value - low) / wide


def _days(last: float) -> list[tuple[float, str]]:
    step = next((one for one in (30, 60, 90, 180, 360, 720) if last / one <= 9), 1440)
    return [(day, str(day)) for day in range(0, int(last) + 1, step)]


def _grid(
    across: Callable[[float], float], up: Callable[[float], float], ticks: Sequence[tuple[float, str]]
) -> Iterator[str]:
    for share in range(5):
        at = up(share / 4)
        yield f'<path class="p-grid" d="M{_LEFT} {at:.1f}H{_WIDTH - _RIGHT}"/>' + _text(
            _LEFT - 8, at + 4, f"{share * 25} %", "p-dim", "end"
        )
    yield from _ticks_across(ticks, across, _TOP, _TOP + _PLOT, grid=False)


def _ticks_across(
    ticks: Sequence[tuple[float, str]], across: Callable[[float], float], top: float, bottom: float, *, grid: bool = True
) -> Iterator[str]:  # fmt: skip
    for value, name in ticks:
        at = across(value)
        start = top if grid else bottom
        yield f'<path class="p-grid" d="M{at:.1f} {start:.1f}V{bottom + 4:.1f}"/>' + _text(
            at, bottom + 18, name, "p-dim", "middle"
        )


def _legend(entries: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Two in a row."""
    for number, (name, look) in enumerate(entries):
        place, y = _LEFT + 290 * (number % 2), _TOP + _PLOT + 52 + 18 * (number // 2)
        yield f'<path class="p-curve p-{look}" d="M{place} {y - 4}h26"/>' + _text(place + 32, y, name, "p-name")


def _text(x: float, y: float, words: str, look: str, anchor: str = "start") -> str:
    place = f' text-anchor="{anchor}"' if anchor != "start" else ""
    return f'<text class="{look}" x="{x:.1f}" y="{y:.1f}"{place}>{escape(words)}</text>'


def _shares(interval: Interval) -> str:
    return f"{interval.estimate:.0%} ({100 * interval.low:.0f}–{interval.high:.0%})".replace("%", " %")


def _picture(title: str, told: str, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg class="plot" viewBox="0 0 {_WIDTH} {height:.0f}" role="img"><title>{escape(title)}</title>'
        f"<desc>{escape(told)}</desc>{''.join(parts)}</svg>"
    )
