"""Which workers understand an upload and a derived artefact: their formats."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0013"
down_revision: str | None = "0012"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    # What older services enter, and what waits already, any worker takes that runs now.
    for table in ("datasets", "derived"):
        op.add_column(table, sa.Column("format", sa.Integer(), server_default="1", nullable=False))


def downgrade() -> None:
    for table in ("datasets", "derived"):
        with op.batch_alter_table(table) as batch_op:
            batch_op.drop_column("format")
