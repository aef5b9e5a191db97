"""Time limits count from the start of an experiment's first execution, not from its post."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    with op.batch_alter_table("experiments") as batch_op:
        # Null in all that was posted before: those have their deadline already.
        batch_op.add_column(sa.Column("time_limit", sa.Double(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("experiments") as batch_op:
        batch_op.drop_column("time_limit")
