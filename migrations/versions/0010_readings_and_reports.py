"""How an upload was to be read, and what was found in it."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    with op.batch_alter_table("datasets") as batch_op:
        # All that was registered before was read as it is.
        reading = sa.Column("reading", sa.JSON(none_as_null=True), nullable=False, server_default="{}")
        batch_op.add_column(reading)
        batch_op.add_column(sa.Column("report", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("datasets") as batch_op:
        batch_op.drop_column("report")
        batch_op.drop_column("reading")
