"""Who patients are to people, and the words by which people find them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, func, or_, select, union

from cds.letters import plain, without_accents
from cds.record import tables


@dataclass(frozen=True, slots=True)
class Named:
    """Who a patient is to people; blank for what their record does not state, or was not read."""

    family: str = ""
    given: str = ""
    born: str = ""
    sex: str = ""
    number: str = ""
    system: str = ""
    died: str | None = None  # day; "" if none is stated, None if they are not recorded as dead


_TEXTS = tuple(tables.person.c[name] for name in ("family", "given", "born", "sex", "number", "system"))
NAMED = (*_TEXTS, tables.person.c.died)
"""The columns from which `named` reads."""


def named(row: RowMapping) -> Named:
    """The person of a row that was joined with `NAMED`."""
    return Named(**{column.name: row[column.name] or "" for column in _TEXTS}, died=row["died"])


_APOSTROPHES = dict.fromkeys(map(ord, "\u2018\u2019\u02bc\u02bb\u00b4\u2032`"), "'")


def folded(text: str) -> str:
    """A text as it is compared: without capitals and accents, so that a keyboard without them finds everybody."""
    return plain(text).translate(_APOSTROPHES)


_MOST_SOUGHT = 500
"""More would be no name; and an index cannot hold it."""


_SIGNS = re.compile(r"[\W_]+")


def sought_by(reference: str, family: str, given: str, number: str) -> str:
    """The words by which a patient is found, each with a blank before it: names, record number, id."""
    key = reference.removeprefix("Patient/")
    stated = [folded(one) for one in (family, given, number, "".join(number.split()), _SIGNS.sub("", number), key)]
    spelled = (one for text in stated for one in (text, text.replace("-", " "), text.replace("'", "")))
    words = [word for text in spelled for word in text.split()]
    return "".join(f" {word}" for word in dict.fromkeys(words))[:_MOST_SOUGHT]


_ID = re.compile(r"(?:(?:https?://\S*/)?Patient/)?([A-Za-z0-9.-]{1,64})", re.IGNORECASE)
"""An id, a reference, or the address of a record."""


def patients_named(tenant: str, words: Sequence[str]) -> Select[Any]:
    """Row ids of patients by words, each of which is the beginning of a name, a record number or an id; or an identifier as a whole.

    A word that stands alone is also looked for among the ids of patients whose record was never read, and of those who were merged
    into another, to whom it leads.
    """
    person, identifier, patient = tables.person.c, tables.identifier.c, tables.patient

    def is_called(word: str) -> ColumnElement[bool]:
        # What was stored before a letter became plain is found by it as it was, and by both from when the patient is read again.
        spelled = sorted(
            {folded(word), without_accents(word), folded(word).replace("'", "\N{RIGHT SINGLE QUOTATION MARK}")}
        )
        has = select(identifier.patient_id).where(identifier.tenant == tenant, identifier.value == word)
        return or_(*(person.sought.contains(f" {one}", autoescape=True) for one in spelled), person.patient_id.in_(has))

    asked = [select(person.patient_id).where(person.tenant == tenant, *map(is_called, words))]
    if len(words) == 1:
        asked.append(select(identifier.patient_id).where(identifier.tenant == tenant, identifier.value == words[0]))
        if (key := _ID.fullmatch(words[0])) is not None:
            named = func.lower(patient.c.reference).startswith(f"patient/{key[1].lower()}", autoescape=True)
            wanted = select(patient.c.id, patient.c.merged_into).where(patient.c.tenant == tenant, named)
            found = wanted.cte(recursive=True)
            more = select(patient.c.id, patient.c.merged_into).join(found, patient.c.id == found.c.merged_into)
            asked.append(select(found.union(more).c.id))
    return select(union(*asked).subquery().c[0])
