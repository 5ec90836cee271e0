"""Who a patient is by the Patient resource of their own record: name, identifiers, date of birth, ids that were merged into theirs."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from cds.chart.reading import death_of
from cds.chart.record import Identity as Identified
from cds.record import spelling
from cds.record.identity import Identity
from cds.record.ownership import Person


def person_of(patient: object, who: Identity, today: date) -> Person | None:
    """The person of a Patient resource, or of the first entry of a Bundle; None for anything else.

    Identifiers that are old or have ended, or name no authority, are not among them; a Patient without `identifier` says nothing
    of them. The name is the official one, else the
    usual one, else the first; of the record numbers that of type MR, else the first with an authority, else the resource's id.
    What is too long for the record is cut; what is no text, or no date, is left out.
    """
    resource = _patient(patient)
    if resource is None:
        return None
    sex = resource.get("gender")
    family, given = _name(resource, today)
    number, system = _record_number(resource, today)
    return Person(
        who,
        tuple(_identifiers(resource, today)),
        spelling.born(resource.get("birthDate")),
        family[:128],
        given[:128],
        sex if isinstance(sex, str) and sex in _SEXES else "",
        (number or who.reference.removeprefix("Patient/"))[:64],
        system,
        "identifier" not in resource,
        _died(resource, today),
    )


def replaced(patient: object, server: str) -> tuple[str, ...]:
    """References of patients of the same server whom the EHR says this one replaces (`Patient.link`): their history becomes theirs.

    `server` is its base URL, "" if it is not known.
    """
    resource = _patient(patient)
    links = resource.get("link") if resource is not None else None
    found: list[str] = []
    for link in links if isinstance(links, list) else ():
        other = link.get("other") if isinstance(link, dict) and link.get("type") == "replaces" else None
        stated = other.get("reference") if isinstance(other, dict) else None
        if isinstance(stated, str):
            address = spelling.reference(f"{_HERE}/{stated}" if stated.startswith("Patient/") else stated)
            where, _, key = address.rpartition("/Patient/")
            if where and where in (_HERE, server):
                found.append(f"Patient/{key}")
    return tuple(dict.fromkeys(found))[:_MOST_REPLACED]


def _patient(value: object) -> Mapping[str, Any] | None:
    if isinstance(value, dict) and value.get("resourceType") == "Bundle":
        entries = value.get("entry")
        found = [one.get("resource") for one in entries if isinstance(one, dict)] if isinstance(entries, list) else []
        value = found[0] if found else None
    return value if isinstance(value, dict) and value.get("resourceType") == "Patient" else None


def _died(patient: Mapping[str, Any], today: date) -> str | None:
    """The day on which a patient died, "" if their record states none; None of whoever lives, as far as is known today."""
    identity = Identified("", None, None, *death_of(patient))
    if not identity.deceased_by(today):
        return None
    day = identity.died.day if identity.died is not None else None
    return day.isoformat() if day is not None else ""


def _identifiers(patient: Mapping[str, Any], today: date) -> Iterator[tuple[str, str]]:
    for one in _in_force(patient.get("identifier"), today):
        system, value = one.get("system"), one.get("value")
        if not isinstance(system, str) or not isinstance(value, str) or not system or not value.strip():
            continue
        if not any(unicodedata.category(sign) in _NOT_TEXT for sign in system + value.strip()):
            yield system, value.strip()


def _record_number(patient: Mapping[str, Any], today: date) -> tuple[str, str]:
    """The record number, and who gave it; blank if there is none."""
    numbers = [one for one in _in_force(patient.get("identifier"), today) if _text(one.get("value"))]
    of_the_record = (one for one in numbers if _is_record_number(one.get("type")))
    with_authority = (one for one in numbers if _text(one.get("system")))
    found = next(of_the_record, None) or next(with_authority, {})
    return _text(found.get("value")), _text(found.get("system"))[:255]


def _is_record_number(concept: object) -> bool:
    stated = concept.get("coding") if isinstance(concept, dict) else None
    return any(
        isinstance(one, dict) and one.get("code") == "MR" for one in (stated if isinstance(stated, list) else ())
    )


def _name(patient: Mapping[str, Any], today: date) -> tuple[str, str]:
    """Family and given names; what stands as one text is the family name, as nobody can tell its parts."""
    names = list(_in_force(patient.get("name"), today))
    for use in ("official", "usual", None):
        for one in names:
            if use is None or one.get("use") == use:
                stated = one.get("given")
                given = " ".join(filter(None, map(_text, stated if isinstance(stated, list) else ())))
                family = _text(one.get("family"))
                if family or given or _text(one.get("text")):
                    return (family, given) if family or given else (_text(one.get("text")), "")
    return "", ""


def _in_force(stated: object, today: date) -> Iterator[Mapping[str, Any]]:
    """The names or identifiers that are neither old nor ended."""
    for one in stated if isinstance(stated, list) else ():
        if not isinstance(one, dict) or one.get("use") == "old":
            continue
        period = one.get("period")
        end = period.get("end") if isinstance(period, dict) else None
        if not (isinstance(end, str) and end[:10] < today.isoformat()[: len(end)]):
            yield one


def _text(value: object) -> str:
    """A text in one line, without what no database and no page can hold; "" for anything else."""
    if not isinstance(value, str):
        return ""
    return " ".join("".join(" " if unicodedata.category(one) in _NOT_TEXT else one for one in value).split())


_NOT_TEXT = ("Cc", "Cs", "Zl", "Zp")
_MOST_REPLACED = 20
_HERE = "https://relative.invalid"
"""Stands for the server of a relative reference."""
_SEXES = ("female", "male", "other", "unknown")
