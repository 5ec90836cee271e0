"""Alembic's environment: the tables of `cds.record.tables`, over the connection (or engine) that the caller hands in."""

from __future__ import annotations

from contextlib import nullcontext

from alembic import context
from sqlalchemy import Engine

from cds.record.tables import metadata

given = context.config.attributes.get("connection")
if given is None:
    raise SystemExit("Use `exowatch db upgrade`: it knows the database of this installation.")
with given.connect() if isinstance(given, Engine) else nullcontext(given) as connection:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()
    if isinstance(given, Engine):
        connection.commit()
