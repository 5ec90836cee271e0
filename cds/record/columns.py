"""What the tables share: one catalogue with one way of naming constraints, and the columns that most of them have."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, MetaData, String

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

ID, TIME, HASH = String(36), String(32), String(64)

LATER = {"later": True}
"""`info` of a column that was added to a table with rows in it: left out of a row's digest in the audit while it is NULL,
so that what was digested before still holds."""


def key() -> Column[str]:
    return Column("id", ID, primary_key=True)


def of_patient() -> Column[str]:
    return Column("patient_id", ID, ForeignKey("patient.id"), nullable=False)
