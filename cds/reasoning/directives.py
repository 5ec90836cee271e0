"""Words that direct treatment: no rule file and no wording may hold one, whoever wrote it. Exowatch advises and never decides."""

from __future__ import annotations

import re
from collections.abc import Collection

from cds.mistakes import Mistake
from cds.source import Section

DIRECTIVE = re.compile(r"\b(start\w*|stop\w*|switch\w*|escalat\w*|discontinu\w*|is resistant)\b", re.IGNORECASE)
_SPOKEN = ("title", "summary")


def refuse_in_rule(section: Section) -> None:
    """Note a problem where the title or the summary of a rule directs treatment: both stand on cards."""
    for key in _SPOKEN:
        _refuse(section, key, section.value.get(key))


def refuse_in_wording(section: Section, but: Collection[str] = ("fixed_sentence",)) -> None:
    """Note a problem for every text of a wording file that directs treatment; the fixed sentence forbids it, and may."""
    for key, value in section.value.items():
        if key in but:
            continue
        if isinstance(value, dict):
            refuse_in_wording(section.section(key), ())
        elif isinstance(value, list):
            for item in value:
                _refuse(section, key, item)
        else:
            _refuse(section, key, value)


def _refuse(section: Section, key: str, text: object) -> None:
    found = DIRECTIVE.search(text) if isinstance(text, str) else None
    if found is not None:
        section.problem(
            f"'{found[0]}' directs treatment",
            "say what may be considered, reviewed, repeated or discussed",
            at=key,
            mistake=Mistake.DIRECTS_TREATMENT,
        )
