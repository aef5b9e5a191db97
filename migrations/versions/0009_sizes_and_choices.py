"""How large the originals of a dataset are, and what a preset chose by that."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    with op.batch_alter_table("datasets") as batch_op:
        # Null in all that was ingested before.
        batch_op.add_column(sa.Column("longer_side", sa.Integer(), nullable=True))
    with op.batch_alter_table("experiments") as batch_op:
        batch_op.add_column(sa.Column("choice", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("experiments") as batch_op:
        batch_op.drop_column("choice")
    with op.batch_alter_table("datasets") as batch_op:
        batch_op.drop_column("longer_side")
