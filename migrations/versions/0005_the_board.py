"""The board: who patients are, the last answers, decisions with reasons and amendments, actions, outcomes, meetings"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("advisory_event", sa.Column("rule_hash", sa.String(64)))
    op.create_table(
        "person",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("patient_id", sa.String(36), nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("family", sa.String(128), nullable=False),
        sa.Column("given", sa.String(128), nullable=False),
        sa.Column("born", sa.String(10), nullable=False),
        sa.Column("sex", sa.String(16), nullable=False),
        sa.Column("number", sa.String(64), nullable=False),
        sa.Column("system", sa.String(255), nullable=False),
        sa.Column("sought", sa.String(500), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.ForeignKeyConstraint(["patient_id"], ["patient.id"], name=op.f("fk_person_patient_id_patient")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_person")),
    )
    op.create_index(op.f("ix_person_patient_id_sought"), "person", ["patient_id", "sought"])
    op.create_index(op.f("ix_person_tenant_sought_patient_id"), "person", ["tenant", "sought", "patient_id"])
    op.create_table(
        "answer",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("patient_id", sa.String(36), nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("question", sa.String(128), nullable=False),
        sa.Column("markers", sa.String(255), nullable=False),
        sa.Column("therapy", sa.String(128), nullable=False),
        sa.Column("line_start", sa.String(10), nullable=False),
        sa.Column("line_end", sa.String(10), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("since", sa.String(32), nullable=False),
        sa.Column("spoken", sa.Boolean(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("headline", sa.Text(), nullable=False),
        sa.Column("missing", sa.Text(), nullable=False),
        sa.Column("fold", sa.Float()),
        sa.Column("slope", sa.Float()),
        sa.Column("latest", sa.String(10), nullable=False),
        sa.Column("advisory_id", sa.String(36)),
        sa.Column("standing", sa.String(32), nullable=False),
        sa.Column("claim", sa.String(32), nullable=False),
        sa.Column("withdrawn", sa.String(32), nullable=False),
        sa.Column("evaluation_id", sa.String(36), nullable=False),
        sa.Column("rule_hash", sa.String(64), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.ForeignKeyConstraint(["patient_id"], ["patient.id"], name=op.f("fk_answer_patient_id_patient")),
        sa.ForeignKeyConstraint(["advisory_id"], ["advisory.id"], name=op.f("fk_answer_advisory_id_advisory")),
        sa.ForeignKeyConstraint(["evaluation_id"], ["evaluation.id"], name=op.f("fk_answer_evaluation_id_evaluation")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_answer")),
    )
    op.create_index(op.f("ix_answer_patient_id"), "answer", ["patient_id"])
    op.create_index(op.f("ix_answer_advisory_id"), "answer", ["advisory_id"])
    op.create_index(
        "ix_answer_worklist",
        "answer",
        [
            "tenant", "spoken", "rank", "since", "id", "state", "claim", "standing", "therapy", "markers", "withdrawn", "fold",
            "slope", "advisory_id", "patient_id",
        ],
    )  # fmt: skip
    op.create_table(
        "acknowledgement",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("patient_id", sa.String(36), nullable=False),
        sa.Column("advisory_id", sa.String(36), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("by", sa.String(128), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.ForeignKeyConstraint(["patient_id"], ["patient.id"], name=op.f("fk_acknowledgement_patient_id_patient")),
        sa.ForeignKeyConstraint(["advisory_id"], ["advisory.id"], name=op.f("fk_acknowledgement_advisory_id_advisory")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_acknowledgement")),
        sa.UniqueConstraint("advisory_id", "revision", name=op.f("uq_acknowledgement_advisory_id_revision")),
    )
    op.create_index(op.f("ix_acknowledgement_patient_id"), "acknowledgement", ["patient_id"])
    op.create_table(
        "meeting",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("board", sa.String(128), nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("attendees", sa.Text(), nullable=False),
        sa.Column("quorum", sa.Boolean(), nullable=False),
        sa.Column("minutes", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("by", sa.String(128), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_meeting")),
    )
    op.create_index(op.f("ix_meeting_tenant_day"), "meeting", ["tenant", "day"])
    op.create_table(
        "agenda",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("patient_id", sa.String(36), nullable=False),
        sa.Column("meeting_id", sa.String(36), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("carried_from", sa.String(36)),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("by", sa.String(128), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.ForeignKeyConstraint(["patient_id"], ["patient.id"], name=op.f("fk_agenda_patient_id_patient")),
        sa.ForeignKeyConstraint(["meeting_id"], ["meeting.id"], name=op.f("fk_agenda_meeting_id_meeting")),
        sa.ForeignKeyConstraint(["carried_from"], ["meeting.id"], name=op.f("fk_agenda_carried_from_meeting")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agenda")),
    )
    op.create_index(op.f("ix_agenda_meeting_id_position"), "agenda", ["meeting_id", "position"])
    op.create_index(op.f("ix_agenda_patient_id"), "agenda", ["patient_id"])
    with op.batch_alter_table("disposition") as batch:
        batch.add_column(sa.Column("number", sa.Integer()))
        batch.add_column(sa.Column("reason", sa.String(32)))
        batch.add_column(sa.Column("meeting_id", sa.String(36)))
        batch.add_column(sa.Column("content", sa.LargeBinary()))
        batch.create_foreign_key(op.f("fk_disposition_meeting_id_meeting"), "meeting", ["meeting_id"], ["id"])
        batch.drop_constraint(op.f("uq_disposition_advisory_id_revision"), type_="unique")
        batch.create_unique_constraint(op.f("uq_disposition_advisory_id_number"), ["advisory_id", "number"])
    op.create_table(
        "second_reading",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("patient_id", sa.String(36), nullable=False),
        sa.Column("disposition_id", sa.String(36), nullable=False),
        sa.Column("by", sa.String(128), nullable=False),
        sa.Column("agrees", sa.Boolean(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.ForeignKeyConstraint(["patient_id"], ["patient.id"], name=op.f("fk_second_reading_patient_id_patient")),
        sa.ForeignKeyConstraint(
            ["disposition_id"], ["disposition.id"], name=op.f("fk_second_reading_disposition_id_disposition")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_second_reading")),
        sa.UniqueConstraint("disposition_id", "by", name=op.f("uq_second_reading_disposition_id_by")),
    )
    op.create_index(op.f("ix_second_reading_patient_id"), "second_reading", ["patient_id"])
    op.create_table(
        "action",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("patient_id", sa.String(36), nullable=False),
        sa.Column("advisory_id", sa.String(36), nullable=False),
        sa.Column("disposition_id", sa.String(36), nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("due", sa.String(10), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("by", sa.String(128), nullable=False),
        sa.Column("closed", sa.String(32), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.ForeignKeyConstraint(["patient_id"], ["patient.id"], name=op.f("fk_action_patient_id_patient")),
        sa.ForeignKeyConstraint(["advisory_id"], ["advisory.id"], name=op.f("fk_action_advisory_id_advisory")),
        sa.ForeignKeyConstraint(
            ["disposition_id"], ["disposition.id"], name=op.f("fk_action_disposition_id_disposition")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_action")),
    )
    op.create_index(op.f("ix_action_advisory_id"), "action", ["advisory_id"])
    op.create_index(op.f("ix_action_patient_id"), "action", ["patient_id"])
    op.create_index(op.f("ix_action_tenant_status_due"), "action", ["tenant", "status", "due"])
    op.create_table(
        "outcome",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("patient_id", sa.String(36), nullable=False),
        sa.Column("advisory_id", sa.String(36), nullable=False),
        sa.Column("months", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("response", sa.String(16), nullable=False),
        sa.Column("resistance", sa.String(16), nullable=False),
        sa.Column("by", sa.String(128), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.ForeignKeyConstraint(["patient_id"], ["patient.id"], name=op.f("fk_outcome_patient_id_patient")),
        sa.ForeignKeyConstraint(["advisory_id"], ["advisory.id"], name=op.f("fk_outcome_advisory_id_advisory")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outcome")),
        sa.UniqueConstraint("advisory_id", "months", "number", name=op.f("uq_outcome_advisory_id_months_number")),
    )
    op.create_index(op.f("ix_outcome_patient_id"), "outcome", ["patient_id"])
    op.create_table(
        "rule_text",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rule_text")),
    )


def downgrade() -> None:
    for name in ("rule_text", "outcome", "action", "second_reading"):
        op.drop_table(name)
    disposition = sa.table("disposition", *(sa.column(name) for name in ("advisory_id", "revision", "number")))
    newer = disposition.alias("newer")
    # The schema before knows one decision about a revision: the last stays.
    op.execute(
        sa.delete(disposition).where(
            sa.exists().where(
                newer.c.advisory_id == disposition.c.advisory_id,
                newer.c.revision == disposition.c.revision,
                sa.func.coalesce(newer.c.number, 0) > sa.func.coalesce(disposition.c.number, 0),
            )
        )
    )
    with op.batch_alter_table("disposition") as batch:
        batch.drop_constraint(op.f("uq_disposition_advisory_id_number"), type_="unique")
        batch.drop_constraint(op.f("fk_disposition_meeting_id_meeting"), type_="foreignkey")
        batch.create_unique_constraint(op.f("uq_disposition_advisory_id_revision"), ["advisory_id", "revision"])
        for name in ("content", "meeting_id", "reason", "number"):
            batch.drop_column(name)
    for name in ("agenda", "meeting", "acknowledgement", "answer", "person"):
        op.drop_table(name)
    op.drop_column("advisory_event", "rule_hash")
