"""JSON with the same bytes for the same content."""

from __future__ import annotations

import json
from typing import Any


def to_json(content: dict[str, Any]) -> bytes:
    """One line of JSON, always the same for the same content."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode() + b"\n"
