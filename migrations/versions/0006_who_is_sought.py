"""By what identifiers the results in the queue are found once their patient becomes known"""

from __future__ import annotations

import json
import zlib

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_LONGEST = 255


def upgrade() -> None:
    op.create_table(
        "sought",
        sa.Column("arrival_id", sa.String(36), nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("system", sa.String(255), nullable=False),
        sa.Column("value", sa.String(255), nullable=False),
        sa.ForeignKeyConstraint(["arrival_id"], ["arrival.id"], name=op.f("fk_sought_arrival_id_arrival")),
        sa.PrimaryKeyConstraint("arrival_id", "system", "value", name=op.f("pk_sought")),
    )
    op.create_index(op.f("ix_sought_tenant_system_value"), "sought", ["tenant", "system", "value"])
    _note_who_is_sought()


def _note_who_is_sought() -> None:
    arrival = sa.table("arrival", *(sa.column(name) for name in ("id", "tenant", "patient_id", "waits", "person")))
    sought = sa.table("sought", *(sa.column(name) for name in ("arrival_id", "tenant", "system", "value")))
    waiting = sa.select(arrival.c.id, arrival.c.tenant, arrival.c.person).where(
        arrival.c.patient_id.is_(None), arrival.c.waits.in_(["nobody", "several", "contradicts"])
    )
    for row in op.get_bind().execute(waiting).all():
        identifiers, _born, reference = json.loads(zlib.decompress(row.person))
        server, _, patient = reference.rpartition("/Patient/")
        names = {(system, value) for system, value in identifiers}
        names |= {(server, f"Patient/{patient}")} if server else set()
        rows = [
            {"arrival_id": row.id, "tenant": row.tenant, "system": system, "value": value}
            for system, value in sorted(names)
            if 0 < len(system) <= _LONGEST and 0 < len(value) <= _LONGEST
        ]
        if rows:
            op.get_bind().execute(sa.insert(sought), rows)


def downgrade() -> None:
    op.drop_table("sought")
