"""Which patients have died, so that lists can say it"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("person", sa.Column("died", sa.String(10)))


def downgrade() -> None:
    op.drop_column("person", "died")
