"""Presets, subgroups that wait for a base execution, and kinds of experiment without a dataset."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    with op.batch_alter_table("cells") as batch_op:
        batch_op.add_column(sa.Column("is_base", sa.Boolean(), server_default=sa.false(), nullable=False))

    with op.batch_alter_table("executions") as batch_op:
        batch_op.add_column(sa.Column("depends_on", sa.String(length=40), nullable=True))
        batch_op.add_column(sa.Column("details", sa.JSON(none_as_null=True), nullable=True))
        batch_op.add_column(sa.Column("scores_digest", sa.String(length=64), nullable=True))
        batch_op.create_index(op.f("ix_executions_depends_on"), ["depends_on"], unique=False)
        batch_op.create_index(op.f("ix_executions_scores_digest"), ["scores_digest"], unique=False)
        batch_op.create_foreign_key(op.f("fk_executions_depends_on_executions"), "executions", ["depends_on"], ["id"])

    with op.batch_alter_table("experiments") as batch_op:
        batch_op.add_column(sa.Column("preset", sa.String(length=100), nullable=True))
        batch_op.add_column(sa.Column("scale", sa.String(length=20), nullable=True))
        batch_op.alter_column("dataset_id", existing_type=sa.String(length=40), nullable=True)


def downgrade() -> None:
    # Experiments without a dataset have no place in the older tables: NOT NULL refuses while there are any.
    with op.batch_alter_table("experiments") as batch_op:
        batch_op.alter_column("dataset_id", existing_type=sa.String(length=40), nullable=False)
        batch_op.drop_column("scale")
        batch_op.drop_column("preset")

    with op.batch_alter_table("executions") as batch_op:
        batch_op.drop_constraint(op.f("fk_executions_depends_on_executions"), type_="foreignkey")
        batch_op.drop_index(op.f("ix_executions_scores_digest"))
        batch_op.drop_index(op.f("ix_executions_depends_on"))
        batch_op.drop_column("scores_digest")
        batch_op.drop_column("details")
        batch_op.drop_column("depends_on")

    with op.batch_alter_table("cells") as batch_op:
        batch_op.drop_column("is_base")
