"""Events, workers, idempotency keys; deadlines, checkpoints, and the order in which executions are claimed as a column."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

# Within an experiment every cell gets its first execution before any gets its second.
_PLACE = """
UPDATE executions SET place =
    position * (SELECT count(*) FROM cells WHERE cells.experiment_id = executions.experiment_id)
    + (SELECT cells.position FROM cells WHERE cells.id = executions.cell_id)
"""


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column("experiment_id", sa.String(length=40), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("type", sa.String(length=30), nullable=False),
        sa.Column("data", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiments.id"], name=op.f("fk_events_experiment_id_experiments")
        ),
        sa.PrimaryKeyConstraint("experiment_id", "number", name=op.f("pk_events")),
    )
    op.create_table(
        "workers",
        sa.Column("name", sa.String(length=150), nullable=False),
        sa.Column("host", sa.String(length=100), nullable=False),
        sa.Column("device", sa.String(length=200), nullable=False),
        sa.Column("processes", sa.Integer(), nullable=False),
        sa.Column("version", sa.String(length=50), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("beat_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_workers")),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("scope", sa.String(length=100), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("holder", sa.String(length=40), nullable=False),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("headers", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("body", sa.Text(), nullable=True),
        sa.Column("expires", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index(op.f("ix_idempotency_keys_expires"), "idempotency_keys", ["expires"], unique=False)

    with op.batch_alter_table("experiments") as batch_op:
        batch_op.add_column(sa.Column("deadline", sa.Double(), nullable=True))
        batch_op.add_column(sa.Column("error", sa.JSON(none_as_null=True), nullable=True))
        batch_op.add_column(sa.Column("last_event", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("updated_at", sa.DateTime(timezone=True), nullable=True))

    with op.batch_alter_table("cells") as batch_op:
        batch_op.add_column(sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True))

    with op.batch_alter_table("executions") as batch_op:
        batch_op.add_column(sa.Column("place", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("checkpoint_epochs", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("checkpoint_digest", sa.String(length=64), nullable=True))
    op.execute(_PLACE)
    with op.batch_alter_table("executions") as batch_op:
        batch_op.alter_column("place", existing_type=sa.Integer(), nullable=False)
        batch_op.drop_index("ix_executions_state_lease_until")
        batch_op.drop_index("ix_executions_experiment_id")
        batch_op.create_index("ix_executions_experiment_id", ["experiment_id", "id"], unique=False)
        batch_op.create_index(op.f("ix_executions_checkpoint_digest"), ["checkpoint_digest"], unique=False)
        batch_op.create_index("ix_executions_waiting", ["state", "experiment_id", "place"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("executions") as batch_op:
        batch_op.drop_index("ix_executions_waiting")
        batch_op.drop_index(op.f("ix_executions_checkpoint_digest"))
        batch_op.drop_index("ix_executions_experiment_id")
        batch_op.create_index("ix_executions_experiment_id", ["experiment_id"], unique=False)
        batch_op.create_index("ix_executions_state_lease_until", ["state", "lease_until"], unique=False)
        batch_op.drop_column("checkpoint_digest")
        batch_op.drop_column("checkpoint_epochs")
        batch_op.drop_column("place")

    with op.batch_alter_table("cells") as batch_op:
        batch_op.drop_column("finished_at")

    with op.batch_alter_table("experiments") as batch_op:
        batch_op.drop_column("updated_at")
        batch_op.drop_column("last_event")
        batch_op.drop_column("error")
        batch_op.drop_column("deadline")

    op.drop_index(op.f("ix_idempotency_keys_expires"), "idempotency_keys")
    op.drop_table("idempotency_keys")
    op.drop_table("workers")
    op.drop_table("events")
