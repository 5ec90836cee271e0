"""What was said of an action before it was corrected"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("action", sa.Column("earlier", sa.Text()))


def downgrade() -> None:
    op.drop_column("action", "earlier")
