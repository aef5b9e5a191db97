"""What executions say of training images, tables that are made of it when a person asks, and images that cells leave out."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0015"
down_revision: str | None = "0014"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    with op.batch_alter_table("executions") as batch_op:
        batch_op.add_column(sa.Column("dynamics_digest", sa.String(length=64), nullable=True))
        batch_op.create_index(batch_op.f("ix_executions_dynamics_digest"), ["dynamics_digest"], unique=False)
    with op.batch_alter_table("cells") as batch_op:
        batch_op.add_column(sa.Column("selection", sa.JSON(none_as_null=True), nullable=True))
    with op.batch_alter_table("derived") as batch_op:
        batch_op.add_column(sa.Column("asked", sa.Boolean(), server_default=sa.false(), nullable=False))


def downgrade() -> None:
    with op.batch_alter_table("derived") as batch_op:
        batch_op.drop_column("asked")
    with op.batch_alter_table("cells") as batch_op:
        batch_op.drop_column("selection")
    with op.batch_alter_table("executions") as batch_op:
        batch_op.drop_index(batch_op.f("ix_executions_dynamics_digest"))
        batch_op.drop_column("dynamics_digest")
