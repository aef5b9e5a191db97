"""Other datasets that cells read, scores of test images that executions keep, and rules that are set on models."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0014"
down_revision: str | None = "0013"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "cell_datasets",
        sa.Column("cell_id", sa.String(length=40), nullable=False),
        sa.Column("field", sa.String(length=200), nullable=False),
        sa.Column("dataset_id", sa.String(length=40), nullable=False),
        sa.Column("needs", sa.String(length=40), nullable=True),
        sa.ForeignKeyConstraint(["cell_id"], ["cells.id"], name=op.f("fk_cell_datasets_cell_id_cells")),
        sa.ForeignKeyConstraint(["dataset_id"], ["datasets.id"], name=op.f("fk_cell_datasets_dataset_id_datasets")),
        sa.ForeignKeyConstraint(["needs"], ["derived.id"], name=op.f("fk_cell_datasets_needs_derived")),
        sa.PrimaryKeyConstraint("cell_id", "field", name=op.f("pk_cell_datasets")),
    )
    op.create_index(op.f("ix_cell_datasets_dataset_id"), "cell_datasets", ["dataset_id"], unique=False)
    op.create_index(op.f("ix_cell_datasets_needs"), "cell_datasets", ["needs"], unique=False)
    with op.batch_alter_table("executions") as batch_op:
        batch_op.add_column(sa.Column("samples_digest", sa.String(length=64), nullable=True))
        batch_op.create_index(batch_op.f("ix_executions_samples_digest"), ["samples_digest"], unique=False)
    with op.batch_alter_table("models") as batch_op:
        batch_op.add_column(sa.Column("rule", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("models") as batch_op:
        batch_op.drop_column("rule")
    with op.batch_alter_table("executions") as batch_op:
        batch_op.drop_index(batch_op.f("ix_executions_samples_digest"))
        batch_op.drop_column("samples_digest")
    op.drop_table("cell_datasets")
