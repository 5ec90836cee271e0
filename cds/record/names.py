"""Who patients are to people, and the words by which people find them."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, Select, func, select, union

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


NAMED = tuple(tables.person.c[name] for name in ("family", "given", "born", "sex", "number", "system"))
"""The columns from which `named` reads."""


def named(row: RowMapping) -> Named:
    """The person of a row that was joined with `NAMED`."""
    return Named(*(row[column.name] or "" for column in NAMED))


def folded(text: str) -> str:
    """A text as it is compared: without capitals and accents, so that a keyboard without them finds everybody."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(one for one in plain if not unicodedata.combining(one))


_MOST_SOUGHT = 500
"""More would be no name; and an index cannot hold it."""


def sought_by(reference: str, family: str, given: str, number: str) -> str:
    """The words by which a patient is found, each with a blank before it: names, record number, id."""
    key = reference.removeprefix("Patient/")
    stated = [folded(one) for one in (family, given, number, "".join(number.split()), key)]
    words = [word for text in stated for word in (*text.split(), *text.replace("-", " ").split())]
    return "".join(f" {word}" for word in dict.fromkeys(words))[:_MOST_SOUGHT]


def patients_named(tenant: str, word: str) -> Select[Any]:
    """Row ids of patients by a word: the beginning of a name, a record number or an id; or an identifier as a whole.

    An id leads to the patient into whom it was merged.
    """
    person, identifier, patient = tables.person.c, tables.identifier.c, tables.patient
    key = word.rpartition("/")[2]
    by_name = select(person.patient_id).where(
        person.tenant == tenant, person.sought.contains(f" {folded(word)}", autoescape=True)
    )
    by_identifier = select(identifier.patient_id).where(identifier.tenant == tenant, identifier.value == word)
    by_reference = func.lower(patient.c.reference).startswith(f"patient/{key.lower()}", autoescape=True)
    wanted = select(patient.c.id, patient.c.merged_into).where(patient.c.tenant == tenant, by_reference)
    found = wanted.cte(recursive=True)
    found = found.union(select(patient.c.id, patient.c.merged_into).join(found, patient.c.id == found.c.merged_into))
    return select(union(by_name, by_identifier, select(found.c.id)).subquery().c[0])
