"""Patients by reference: a search that names no server looks at one row, not at every patient of the tenant"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(op.f("ix_patient_tenant_reference"), "patient", ["tenant", "reference"])


def downgrade() -> None:
    op.drop_index(op.f("ix_patient_tenant_reference"), table_name="patient")
