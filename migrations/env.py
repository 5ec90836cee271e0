"""Alembic's environment: the tables of `cds.record.tables`, over the connection that the caller hands in."""

from __future__ import annotations

from alembic import context

from cds.record.tables import metadata

connection = context.config.attributes.get("connection")
if connection is None:
    raise SystemExit("Use `exowatch db upgrade`: it knows the database of this installation.")
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=connection.dialect.name == "sqlite",
    transaction_per_migration=False,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
