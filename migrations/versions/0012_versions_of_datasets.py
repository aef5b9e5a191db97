"""Versions of datasets: which one each was added to, and the originals that they share."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0012"
down_revision: str | None = "0011"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    with op.batch_alter_table("datasets") as batch_op:
        batch_op.add_column(sa.Column("shared_originals", sa.JSON(none_as_null=True), nullable=True))
        # No foreign key: a base may be deleted, and its versions stay.
        batch_op.add_column(sa.Column("base_id", sa.String(length=40), nullable=True))
        batch_op.add_column(sa.Column("base_name", sa.String(length=200), nullable=True))
        batch_op.create_index(batch_op.f("ix_datasets_base_id"), ["base_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("datasets") as batch_op:
        batch_op.drop_index(batch_op.f("ix_datasets_base_id"))
        batch_op.drop_column("base_name")
        batch_op.drop_column("base_id")
        batch_op.drop_column("shared_originals")
