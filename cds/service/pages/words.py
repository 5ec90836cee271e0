"""Words of the queue's pages that the commands show too."""

from __future__ import annotations

from collections.abc import Mapping

from cds.board.words import words

WHY: Mapping[str, str] = vars(words().waits_because)
"""Why results wait."""
CLOSED, UNREADABLE, NOT_THERE, AWAY = (
    tuple(getattr(words().queue_pages, name)) for name in ("closed", "unreadable", "not_there", "away")
)
"""Titles and texts of pages that cannot show what was asked for."""
