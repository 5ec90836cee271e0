"""Results that arrive from laboratories: what was delivered, whose it is, and for whom an evaluation is due"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("patient", sa.Column("due", sa.String(32), nullable=False, server_default=""))
    op.create_index(op.f("ix_patient_due"), "patient", ["due"])
    op.create_table(
        "identifier",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("patient_id", sa.String(36), nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("system", sa.String(255), nullable=False),
        sa.Column("value", sa.String(255), nullable=False),
        sa.Column("born", sa.String(10), nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("ended", sa.String(32), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.ForeignKeyConstraint(["patient_id"], ["patient.id"], name=op.f("fk_identifier_patient_id_patient")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identifier")),
    )
    op.create_index(op.f("ix_identifier_tenant_system_value"), "identifier", ["tenant", "system", "value"])
    op.create_index(op.f("ix_identifier_patient_id"), "identifier", ["patient_id"])
    op.create_table(
        "delivery",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("laboratory", sa.String(64), nullable=False),
        sa.Column("source", sa.String(255), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("counted", sa.Integer(), nullable=False),
        sa.Column("mapped", sa.Integer(), nullable=False),
        sa.Column("refused", sa.Text(), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery")),
        sa.UniqueConstraint("tenant", "laboratory", "digest", name=op.f("uq_delivery_tenant_laboratory_digest")),
    )
    op.create_index(op.f("ix_delivery_tenant_at"), "delivery", ["tenant", "at"])
    op.create_table(
        "arrival",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("patient_id", sa.String(36)),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("laboratory", sa.String(64), nullable=False),
        sa.Column("source", sa.String(255), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("person", sa.LargeBinary(), nullable=False),
        sa.Column("resources", sa.LargeBinary(), nullable=False),
        sa.Column("results", sa.Integer(), nullable=False),
        sa.Column("waits", sa.String(16), nullable=False),
        sa.Column("by", sa.String(128), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.ForeignKeyConstraint(["patient_id"], ["patient.id"], name=op.f("fk_arrival_patient_id_patient")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_arrival")),
        sa.UniqueConstraint("tenant", "laboratory", "digest", name=op.f("uq_arrival_tenant_laboratory_digest")),
    )
    op.create_index(op.f("ix_arrival_patient_id_at"), "arrival", ["patient_id", "at"])
    op.create_index(op.f("ix_arrival_tenant_waits_at"), "arrival", ["tenant", "waits", "at"])


def downgrade() -> None:
    op.drop_table("arrival")
    op.drop_table("delivery")
    op.drop_table("identifier")
    op.drop_index(op.f("ix_patient_due"), table_name="patient")
    op.drop_column("patient", "due")
