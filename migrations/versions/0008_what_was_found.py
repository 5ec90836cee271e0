"""What was found about each patient when a meeting was held"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("agenda", sa.Column("found", sa.Text()))


def downgrade() -> None:
    op.drop_column("agenda", "found")
