"""By what the same result of two patients is found"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "claim",
        sa.Column("arrival_id", sa.String(36), nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("laboratory", sa.String(64), nullable=False),
        sa.Column("result", sa.String(64), nullable=False),
        sa.ForeignKeyConstraint(["arrival_id"], ["arrival.id"], name=op.f("fk_claim_arrival_id_arrival")),
        sa.PrimaryKeyConstraint("arrival_id", "result", name=op.f("pk_claim")),
    )
    op.create_index(op.f("ix_claim_tenant_laboratory_result"), "claim", ["tenant", "laboratory", "result"])
    _note_what_came()


def _note_what_came() -> None:
    names = ("id", "tenant", "laboratory", "resources")
    arrival = sa.table("arrival", *(sa.column(name) for name in names))
    claim = sa.table("claim", *(sa.column(name) for name in ("arrival_id", "tenant", "laboratory", "result")))
    for row in op.get_bind().execute(sa.select(arrival)).all():
        stored = json.loads(zlib.decompress(row.resources))
        rows = [
            {"arrival_id": row.id, "tenant": row.tenant, "laboratory": row.laboratory, "result": name}
            for name in sorted(_names([one for one in stored if one.get("resourceType") == "Observation"]))
        ]
        if rows:
            op.get_bind().execute(sa.insert(claim), rows)


def _names(results: Sequence[Mapping[str, Any]]) -> set[str]:
    systems = {coding.get("system") for one in results for coding in one.get("code", {}).get("coding", ())}
    found: set[str] = set()
    for one in results:
        day = str(one.get("effectiveDateTime", ""))[:10]
        numbers = [
            f"{number['value']}\n{day}"
            for number in one.get("identifier", ())
            if number.get("system") in systems and not str(number.get("value", "|")).startswith("|")
        ]
        found |= {hashlib.sha256(text.encode()).hexdigest() for text in (str(one["id"]), *numbers)}
    return found


def downgrade() -> None:
    op.drop_table("claim")
