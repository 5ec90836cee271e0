"""By what whoever reads the audit finds entries"""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_BY = (["tenant", "actor", "number"], ["tenant", "action", "number"], ["tenant", "subject", "number"], ["tenant", "at"])


def upgrade() -> None:
    for columns in _BY:
        op.create_index(op.f(f"ix_audit_{'_'.join(columns)}"), "audit", columns)


def downgrade() -> None:
    for columns in _BY:
        op.drop_index(op.f(f"ix_audit_{'_'.join(columns)}"), "audit")
