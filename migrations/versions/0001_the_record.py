"""The record"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("rows", sa.Text(), nullable=False),
        sa.Column("previous", sa.String(length=64), nullable=False),
        sa.Column("link", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_audit")),
        sa.UniqueConstraint("link", name=op.f("uq_audit_link")),
    )
    op.create_table(
        "patient",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("server", sa.String(length=255), nullable=False),
        sa.Column("reference", sa.String(length=300), nullable=False),
        sa.Column("salt", sa.String(length=64), nullable=False),
        sa.Column("merged_into", sa.String(length=36), nullable=True),
        sa.Column("created", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["merged_into"], ["patient.id"], name=op.f("fk_patient_merged_into_patient")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_patient")),
        sa.UniqueConstraint("tenant", "server", "reference", name=op.f("uq_patient_tenant_server_reference")),
    )
    op.create_table(
        "token",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("expires", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_token")),
    )
    with op.batch_alter_table("token", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_token_expires"), ["expires"], unique=False)

    op.create_table(
        "advisory",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("patient_id", sa.String(length=36), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("question", sa.String(length=128), nullable=False),
        sa.Column("therapy", sa.String(length=128), nullable=False),
        sa.Column("line_start", sa.String(length=10), nullable=False),
        sa.Column("line_end", sa.String(length=10), nullable=False),
        sa.Column("standing", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("basis", sa.String(length=64), nullable=False),
        sa.Column("results", sa.Text(), nullable=False),
        sa.Column("ended_by", sa.Text(), nullable=False),
        sa.Column("rule_hash", sa.String(length=64), nullable=False),
        sa.Column("opened", sa.String(length=32), nullable=False),
        sa.Column("changed", sa.String(length=32), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["patient_id"], ["patient.id"], name=op.f("fk_advisory_patient_id_patient")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_advisory")),
    )
    with op.batch_alter_table("advisory", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_advisory_patient_id_question"), ["patient_id", "question"], unique=False)
        batch_op.create_index(batch_op.f("ix_advisory_tenant_changed_id"), ["tenant", "changed", "id"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_advisory_tenant_standing_changed_id"), ["tenant", "standing", "changed", "id"], unique=False
        )

    op.create_table(
        "inputs",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("patient_id", sa.String(length=36), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["patient_id"], ["patient.id"], name=op.f("fk_inputs_patient_id_patient")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inputs")),
        sa.UniqueConstraint("patient_id", "digest", name=op.f("uq_inputs_patient_id_digest")),
    )
    op.create_table(
        "disposition",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("patient_id", sa.String(length=36), nullable=False),
        sa.Column("advisory_id", sa.String(length=36), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("basis", sa.String(length=64), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("by", sa.String(length=128), nullable=False),
        sa.Column("follow_up", sa.String(length=10), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["advisory_id"], ["advisory.id"], name=op.f("fk_disposition_advisory_id_advisory")),
        sa.ForeignKeyConstraint(["patient_id"], ["patient.id"], name=op.f("fk_disposition_patient_id_patient")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_disposition")),
        sa.UniqueConstraint("advisory_id", "revision", name=op.f("uq_disposition_advisory_id_revision")),
    )
    with op.batch_alter_table("disposition", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_disposition_patient_id"), ["patient_id"], unique=False)

    op.create_table(
        "evaluation",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("patient_id", sa.String(length=36), nullable=False),
        sa.Column("inputs_id", sa.String(length=36), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.Column("as_of", sa.String(length=40), nullable=False),
        sa.Column("occasion", sa.String(length=64), nullable=False),
        sa.Column("client", sa.String(length=64), nullable=False),
        sa.Column("rulebook", sa.String(length=64), nullable=False),
        sa.Column("versions", sa.Text(), nullable=False),
        sa.Column("findings", sa.LargeBinary(), nullable=False),
        sa.Column("findings_digest", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["inputs_id"], ["inputs.id"], name=op.f("fk_evaluation_inputs_id_inputs")),
        sa.ForeignKeyConstraint(["patient_id"], ["patient.id"], name=op.f("fk_evaluation_patient_id_patient")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evaluation")),
    )
    with op.batch_alter_table("evaluation", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_evaluation_at"), ["at"], unique=False)
        batch_op.create_index(batch_op.f("ix_evaluation_patient_id_at"), ["patient_id", "at"], unique=False)

    op.create_table(
        "advisory_event",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("patient_id", sa.String(length=36), nullable=False),
        sa.Column("advisory_id", sa.String(length=36), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("basis", sa.String(length=64), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.Column("evaluation_id", sa.String(length=36), nullable=False),
        sa.Column("said", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["advisory_id"], ["advisory.id"], name=op.f("fk_advisory_event_advisory_id_advisory")),
        sa.ForeignKeyConstraint(
            ["evaluation_id"], ["evaluation.id"], name=op.f("fk_advisory_event_evaluation_id_evaluation")
        ),
        sa.ForeignKeyConstraint(["patient_id"], ["patient.id"], name=op.f("fk_advisory_event_patient_id_patient")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_advisory_event")),
        sa.UniqueConstraint("advisory_id", "number", name=op.f("uq_advisory_event_advisory_id_number")),
    )
    with op.batch_alter_table("advisory_event", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_advisory_event_patient_id_at"), ["patient_id", "at"], unique=False)

    op.create_table(
        "card",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("patient_id", sa.String(length=36), nullable=False),
        sa.Column("evaluation_id", sa.String(length=36), nullable=False),
        sa.Column("advisory_id", sa.String(length=36), nullable=True),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("rule", sa.String(length=128), nullable=False),
        sa.Column("rule_hash", sa.String(length=64), nullable=False),
        sa.Column("basis", sa.String(length=64), nullable=False),
        sa.Column("client", sa.String(length=64), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["advisory_id"], ["advisory.id"], name=op.f("fk_card_advisory_id_advisory")),
        sa.ForeignKeyConstraint(["evaluation_id"], ["evaluation.id"], name=op.f("fk_card_evaluation_id_evaluation")),
        sa.ForeignKeyConstraint(["patient_id"], ["patient.id"], name=op.f("fk_card_patient_id_patient")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_card")),
    )
    with op.batch_alter_table("card", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_card_advisory_id"), ["advisory_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_card_basis"), ["basis"], unique=False)
        batch_op.create_index(batch_op.f("ix_card_patient_id"), ["patient_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_card_rule_rule_hash"), ["rule", "rule_hash"], unique=False)

    op.create_table(
        "guidance",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("patient_id", sa.String(length=36), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["id"], ["evaluation.id"], name=op.f("fk_guidance_id_evaluation")),
        sa.ForeignKeyConstraint(["patient_id"], ["patient.id"], name=op.f("fk_guidance_patient_id_patient")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_guidance")),
    )
    with op.batch_alter_table("guidance", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_guidance_patient_id_at"), ["patient_id", "at"], unique=False)

    op.create_table(
        "feedback",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("patient_id", sa.String(length=36), nullable=False),
        sa.Column("card_id", sa.String(length=36), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("reason_system", sa.String(length=255), nullable=False),
        sa.Column("reason_code", sa.String(length=128), nullable=False),
        sa.Column("commented", sa.Boolean(), nullable=False),
        sa.Column("suggestions", sa.Text(), nullable=False),
        sa.Column("outcome_at", sa.String(length=40), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["card_id"], ["card.id"], name=op.f("fk_feedback_card_id_card")),
        sa.ForeignKeyConstraint(["patient_id"], ["patient.id"], name=op.f("fk_feedback_patient_id_patient")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feedback")),
        sa.UniqueConstraint("card_id", "outcome", "outcome_at", name=op.f("uq_feedback_card_id_outcome_outcome_at")),
    )
    with op.batch_alter_table("feedback", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_feedback_patient_id"), ["patient_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("feedback", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_feedback_patient_id"))

    op.drop_table("feedback")
    with op.batch_alter_table("guidance", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_guidance_patient_id_at"))

    op.drop_table("guidance")
    with op.batch_alter_table("card", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_card_rule_rule_hash"))
        batch_op.drop_index(batch_op.f("ix_card_patient_id"))
        batch_op.drop_index(batch_op.f("ix_card_basis"))
        batch_op.drop_index(batch_op.f("ix_card_advisory_id"))

    op.drop_table("card")
    with op.batch_alter_table("advisory_event", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_advisory_event_patient_id_at"))

    op.drop_table("advisory_event")
    with op.batch_alter_table("evaluation", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_evaluation_patient_id_at"))
        batch_op.drop_index(batch_op.f("ix_evaluation_at"))

    op.drop_table("evaluation")
    with op.batch_alter_table("disposition", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_disposition_patient_id"))

    op.drop_table("disposition")
    op.drop_table("inputs")
    with op.batch_alter_table("advisory", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_advisory_tenant_standing_changed_id"))
        batch_op.drop_index(batch_op.f("ix_advisory_tenant_changed_id"))
        batch_op.drop_index(batch_op.f("ix_advisory_patient_id_question"))

    op.drop_table("advisory")
    with op.batch_alter_table("token", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_token_expires"))

    op.drop_table("token")
    op.drop_table("patient")
    op.drop_table("audit")
