"""Every archetype at each day for which its state is written down, drawn on one page to be looked at.

python -m tests.drawing.contact_sheet OUT.html
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from cds.advice.advisory import Advisory
from cds.advice.statements import Advisor
from cds.chart import Moment, read
from cds.chart.model import Chart
from cds.drawing import Scene, drawing_style, scene_of, svg
from cds.reasoning.findings import Evaluation
from cds.reasoning.loading import default_rulebook
from cds.reasoning.reasoner import Reasoner
from tests.drawing.hard_cases import cases
from tests.patients.archetypes import Archetype, patients

_BOOK = default_rulebook()
REASONER, _ADVISOR = Reasoner(_BOOK), Advisor(_BOOK)
_PAGE = (
    "body{margin:16px;font:14px system-ui,sans-serif}figure{margin:0 0 28px;max-width:960px}figcaption{font-weight:600}"
)


def drawn(data: bytes, day: str) -> Scene:
    """The scene of a record as of a day."""
    return drawn_of_chart(read(data, _BOOK.catalogue).as_of(Moment.parse(day)))


def chart_of(one: Archetype, day: str) -> Chart:
    """The chart of an archetype as of a day."""
    return read(json.dumps(one.bundle(), default=float).encode(), _BOOK.catalogue).as_of(Moment.parse(day))


def drawn_of(one: Archetype, day: str) -> Scene:
    """The scene of an archetype as of a day."""
    return drawn_of_chart(chart_of(one, day))


def visits() -> Iterator[tuple[Archetype, str, str]]:
    """Each archetype with each day for which a state is expected, and these states."""
    for one in patients():
        for day in sorted({expected.as_of for expected in one.expected}):
            found = (f"{e.marker} {e.state or 'no card'} {e.rule}".strip() for e in one.expected if e.as_of == day)
            yield one, day.isoformat(), ", ".join(found)


def drawn_of_chart(chart: Chart) -> Scene:
    """The scene of a chart."""
    return drawn_of_evaluation(REASONER.evaluate(chart))


def drawn_of_evaluation(evaluation: Evaluation) -> Scene:
    """The scene of an evaluation."""
    return scene_of(evaluation, _ADVISOR.advisories(evaluation), _BOOK)


def advised_of(one: Archetype, day: str) -> Sequence[Advisory]:
    """What is said of an archetype as of a day."""
    return _ADVISOR.advisories(REASONER.evaluate(chart_of(one, day)))


def sheet() -> str:
    """The page: drawings without a style of their own, as a page has them."""
    figures = [
        _figure(f"{one.id}-{day}", f"{one.id} as of {day}: {one.scenario} – {said}", drawn_of(one, day))
        for one, day, said in visits()
    ]
    figures += [_figure(name, f"Hard to draw: {name}", drawn_of_chart(chart)) for name, chart in cases()]
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>Contact sheet of drawings</title>"
        f"<style>{_PAGE}{drawing_style()}</style><body>{''.join(figures)}</body></html>"
    )


def _figure(name: str, caption: str, scene: Scene) -> str:
    drawing = svg(scene, styled=False, prefix=name)
    return f"<figure id='{name}'><figcaption>{escape(caption)}</figcaption>{drawing}</figure>"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(sheet(), encoding="utf-8")
