"""Words of pages and of the commands that show the same; the templates hold the others."""

from __future__ import annotations

from collections.abc import Mapping

WHY: Mapping[str, str] = {
    "unnamed": "no identifier with its authority",
    "nobody": "no patient has this identifier",
    "several": "several patients have it",
    "contradicts": "the patient with this identifier has another date of birth",
}
"""Why results wait."""

CLOSED = ("This page is not open to you", "Open the address that was printed when the page was started.")
UNREADABLE = ("The form could not be read", "Go back, and send it again.")
NOT_THERE = ("Nothing of that kind waits", "Somebody has set it aside, or the address is wrong.")
AWAY = ("The record is away", "The record does not answer, so nothing was changed. Try again.")
"""Titles and texts of pages that cannot show what was asked for."""
