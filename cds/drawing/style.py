"""How the classes of a drawing look: with variables for a page that may be dark, with plain colours for a picture by itself."""

from __future__ import annotations

import re
from functools import cache

LOOKS = 8
"""So many therapy classes have a tone and a pattern of their own; further ones begin again."""

_PRINTED = "Libertinus Serif"

_LIGHT = {
    "paper": "#fff", "ink": "#1a2027", "dim": "#515d69", "grid": "#dfe4e9", "frame": "#8793a0",
    "reference": "#0b5c8a", "limit": "#a3322a", "shade": "#6b7480", "event": "#d9dee3",
    "tone-0": "#cfe3f5", "tone-1": "#fbe0b8", "tone-2": "#cdeade", "tone-3": "#e9d3e6",
    "tone-4": "#f7eeb0", "tone-5": "#f5d0c5", "tone-6": "#e6e6e6", "tone-7": "#d3e9f2",
}  # fmt: skip
_DARK = {
    "paper": "#14181d", "ink": "#e8ecf0", "dim": "#aab6c1", "grid": "#2b333b", "frame": "#6c7883",
    "reference": "#6db7e6", "limit": "#f08a80", "shade": "#9aa5b0", "event": "#3e464f",
    "tone-0": "#274a66", "tone-1": "#6b4a17", "tone-2": "#22553f", "tone-3": "#5a3a58",
    "tone-4": "#5e561b", "tone-5": "#6e3527", "tone-6": "#4a4a4a", "tone-7": "#2a5363",
}  # fmt: skip
_RULES = """
.c-course text{font-family:system-ui,"Segoe UI",Helvetica,Arial,sans-serif;font-size:12px;fill:var(--c-ink)}
.c-course .c-small{font-size:11px;fill:var(--c-dim)}.c-course .c-value{font-size:11px}
.c-course .c-title,.c-course .c-bold{font-weight:600}.c-course .c-bold{font-size:11px}
.c-course .c-small,.c-course .c-value,.c-course .c-told{paint-order:stroke;stroke:var(--c-paper);stroke-width:3px;stroke-linejoin:round}
.c-course .c-onbar{font-size:11px}.c-plate{fill:var(--c-paper);fill-opacity:.88}.c-course .c-told{font-size:11px;fill:var(--c-dim)}
.c-paper{fill:var(--c-paper)}.c-plot{fill:none;pointer-events:all}.c-grid{stroke:var(--c-grid)}.c-axis{stroke:var(--c-frame);fill:none}
.c-expected{fill:var(--c-reference);fill-opacity:.1}.c-noise{fill:var(--c-reference);fill-opacity:.2}
.c-reference{stroke:var(--c-reference);stroke-width:1.5}.c-atmost{stroke-dasharray:2 2}
.c-limit{stroke:var(--c-limit);stroke-width:1.8;stroke-dasharray:8 4}.c-lowest{stroke-width:1.4;stroke-dasharray:2 3}.c-course .c-limitword{fill:var(--c-limit)}
.c-window{fill:var(--c-limit);fill-opacity:.09}.c-edge{stroke:var(--c-limit);stroke-opacity:.5;fill:none}
.c-second{fill:none;stroke:var(--c-dim);stroke-dasharray:4 3}.c-early{fill:var(--c-shade);fill-opacity:.14}
.c-break{stroke:var(--c-ink);stroke-dasharray:1 3;stroke-width:1.8}.c-fold{fill:var(--c-shade);fill-opacity:.14}.c-zigzag{fill:none;stroke:var(--c-dim)}
.c-curve{stroke:var(--c-ink);stroke-width:1.5;fill:none}.c-bound{stroke-dasharray:5 3}.c-across{stroke-dasharray:1 4}
.c-point{fill:var(--c-ink);stroke:var(--c-ink)}.c-hollow{fill:var(--c-paper);stroke:var(--c-ink);stroke-width:1.5}
.c-latest{fill:none;stroke:var(--c-ink);stroke-width:1.5}.c-fault{stroke:var(--c-limit);stroke-width:2;fill:none}
.c-stem{stroke:var(--c-ink);stroke-dasharray:2 2}.c-mean{stroke:var(--c-ink);stroke-width:2}.c-perev{stroke:var(--c-reference);stroke-width:3}
.c-today{stroke:var(--c-dim)}.c-frame{fill:none;stroke:var(--c-ink)}.c-planned{fill:none;stroke:var(--c-ink);stroke-dasharray:4 3}
.c-event{fill:var(--c-event)}.c-lasting{fill:none;stroke:var(--c-dim);stroke-dasharray:1 2}.c-hatch{stroke:var(--c-ink);stroke-opacity:.4;fill:none}
.c-dot{fill:var(--c-ink);fill-opacity:.45}.c-cursor-line{stroke:var(--c-ink);stroke-width:1.5;pointer-events:none}
"""


def drawing_style() -> str:
    """CSS for a page's stylesheet, for drawings without a style of their own: light, dark where the reader asks for it, light on paper."""
    return (
        f".c-course{{{_variables(_LIGHT)}}}\n@media (prefers-color-scheme:dark){{.c-course{{{_variables(_DARK)}}}}}\n"
        f"@media print{{.c-course{{{_variables(_LIGHT)}}}}}\n{_tones()}{_RULES.lstrip()}"
        ".c-course:focus-visible{outline:2px solid var(--c-reference);outline-offset:2px}\n"
    )


@cache
def plain_style(*, printed: bool = False) -> str:
    """The same rules with light colours in them, for a picture that stands alone.

    `printed`: in the typeface of our papers, which is narrow enough to be larger in the same room.
    """
    found = re.sub(r"var\(--c-([a-z0-9-]+)\)", lambda name: _LIGHT[name[1]], _tones() + _RULES)
    if printed:
        found = re.sub(r"font-family:[^;]+", f'font-family:"{_PRINTED}"', found)
        found = found.replace("font-size:12px", "font-size:14.5px").replace("font-size:11px", "font-size:13.2px")
    return found.replace("\n", "")


def _variables(colours: dict[str, str]) -> str:
    return ";".join(f"--c-{name}:{colour}" for name, colour in colours.items())


def _tones() -> str:
    return "".join(f".c-tone-{number}{{fill:var(--c-tone-{number})}}" for number in range(LOOKS)) + "\n"


_PATTERNS = (
    '<path class="c-hatch" d="M0 0l8 8M8 0l-8 8"/>',
    '<path class="c-hatch" d="M-2 6l4 4M0 0l8 8M6 -2l4 4"/>',
    '<path class="c-hatch" d="M4 0v8"/>',
    '<path class="c-hatch" d="M-2 2l4 -4M0 8l8 -8M6 10l4 -4"/>',
    '<circle class="c-dot" cx="2" cy="2" r="1"/><circle class="c-dot" cx="6" cy="6" r="1"/>',
    '<path class="c-hatch" d="M0 4h8"/>',
    "",
    '<path class="c-hatch" d="M0 2l4 4l4 -4"/>',
)


def patterns(looks: set[int], prefix: str) -> str:
    """The patterns of these therapy classes, to be named by their ids: `prefix`-look-`number`."""
    return "".join(
        f'<pattern id="{prefix}-look-{look}" width="8" height="8" patternUnits="userSpaceOnUse">'
        f'<rect class="c-tone-{look}" width="8" height="8"/>{_PATTERNS[look]}</pattern>'
        for look in sorted(looks)
    )
