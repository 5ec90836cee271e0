"""Drawings of a patient's course: what is to be seen where (`scene`), and the picture of it (`svg`).

scene = scene_of(evaluation, advisories, book)
text = svg(scene)
"""

from cds.drawing.scene import Scene, scene_of
from cds.drawing.svg import svg

__all__ = ["Scene", "scene_of", "svg"]
