"""Drawings of a patient's course: what is to be seen where (`scene_of`), the picture of it (`svg`), its twin in rows (`table_of`).

scene = scene_of(evaluation, advisories, book)
text = svg(scene)

A page may serve `drawing_style()` and `cursor_script()` once, and embed `svg(scene, styled=False, prefix=…)`.
"""

from functools import cache
from pathlib import Path

from cds.drawing.course import scene_of
from cds.drawing.scene import Scene
from cds.drawing.style import drawing_style
from cds.drawing.svg import described, svg
from cds.drawing.table import Row, Table, table_of

__all__ = ["Row", "Scene", "Table", "cursor_script", "described", "drawing_style", "scene_of", "svg", "table_of"]


@cache
def cursor_script() -> str:
    """A script for pages with drawings: a line over all lanes that follows pointer and arrow keys, and names its day."""
    return (Path(__file__).parent / "cursor.js").read_text(encoding="utf-8")
