"""What somebody wrote into a form that was sent after their session had ended: it goes along with the browser, and is stored nowhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cds.service.access.browser import is_text, own_path

_OURS = ("csrf", "do", "from", "item", "meeting", "patient", "revision", "seen", "stated", "was")
"""Fields that tell nobody what they wrote."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A form that was not taken."""

    path: str  # to which it was sent
    fields: Mapping[str, list[str]]

    @property
    def packed(self) -> str:
        """As the value of a field."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @property
    def written(self) -> list[tuple[str, str]]:
        """What whoever wrote it knows again: field and value."""
        return [
            (name, value) for name, values in self.fields.items() if name not in _OURS for value in values if value.strip()
        ]  # fmt: skip


def kept_in(packed: str) -> Kept | None:
    """What `Kept.packed` gave; None for anything else."""
    try:
        found: Any = json.loads(packed)
        kept = Kept(**found)
    except (ValueError, TypeError, RecursionError):
        return None
    if not isinstance(kept.path, str) or not own_path(kept.path) or not isinstance(kept.fields, dict):
        return None
    return kept if all(_is_field(values) for values in kept.fields.values()) else None


def _is_field(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(one, str) and is_text(one) for one in values)
