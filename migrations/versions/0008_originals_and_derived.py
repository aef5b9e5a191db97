"""The originals of datasets, and what is made of datasets: views, and whatever follows from them."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    with op.batch_alter_table("datasets") as batch_op:
        # Null in all that was ingested before: of those, nothing but the packed pixels was kept.
        batch_op.add_column(sa.Column("originals_digest", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("originals_index_digest", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("originals_bytes", sa.BigInteger(), nullable=True))
    _create_derived()
    op.create_table(
        "derived_files",
        sa.Column("derived_id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("file_digest", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["derived_id"], ["derived.id"], name=op.f("fk_derived_files_derived_id_derived")),
        sa.PrimaryKeyConstraint("derived_id", "name", name=op.f("pk_derived_files")),
    )
    op.create_index(op.f("ix_derived_files_file_digest"), "derived_files", ["file_digest"])
    with op.batch_alter_table("cells") as batch_op:
        batch_op.add_column(sa.Column("needs", sa.String(length=40), nullable=True))
        batch_op.create_foreign_key(batch_op.f("fk_cells_needs_derived"), "derived", ["needs"], ["id"])
        batch_op.create_index(batch_op.f("ix_cells_needs"), ["needs"])
    with op.batch_alter_table("executions") as batch_op:
        batch_op.drop_index("ix_executions_waiting")
        batch_op.add_column(sa.Column("waits_for", sa.String(length=40), nullable=True))
        batch_op.add_column(sa.Column("held", sa.Boolean(), server_default=sa.false(), nullable=False))
        batch_op.create_foreign_key(batch_op.f("fk_executions_waits_for_derived"), "derived", ["waits_for"], ["id"])
        batch_op.create_index("ix_executions_waiting", ["state", "experiment_id", "held", "place"])
        batch_op.create_index(
            "ix_executions_waits_for",
            ["waits_for"],
            sqlite_where=sa.text("waits_for IS NOT NULL"),
            postgresql_where=sa.text("waits_for IS NOT NULL"),
        )


def downgrade() -> None:
    # What waits for an artefact has nobody left to make it, and would be trained on images of another size.
    op.execute(
        "UPDATE executions SET state = 'cancelled', finished_at = CURRENT_TIMESTAMP"
        " WHERE state = 'queued' AND waits_for IS NOT NULL"
    )
    op.execute(
        "UPDATE experiments SET state = 'cancelled', finished_at = CURRENT_TIMESTAMP"
        " WHERE state IN ('queued', 'running', 'cancelling') AND NOT EXISTS (SELECT 1 FROM executions"
        " WHERE executions.experiment_id = experiments.id AND executions.state IN ('queued', 'running'))"
    )
    with op.batch_alter_table("executions") as batch_op:
        batch_op.drop_index("ix_executions_waits_for")
        batch_op.drop_index("ix_executions_waiting")
        batch_op.drop_constraint(batch_op.f("fk_executions_waits_for_derived"), type_="foreignkey")
        batch_op.drop_column("held")
        batch_op.drop_column("waits_for")
        batch_op.create_index("ix_executions_waiting", ["state", "experiment_id", "place"])
    with op.batch_alter_table("cells") as batch_op:
        batch_op.drop_index(batch_op.f("ix_cells_needs"))
        batch_op.drop_constraint(batch_op.f("fk_cells_needs_derived"), type_="foreignkey")
        batch_op.drop_column("needs")
    op.drop_table("derived_files")
    op.drop_table("derived")
    with op.batch_alter_table("datasets") as batch_op:
        batch_op.drop_column("originals_bytes")
        batch_op.drop_column("originals_index_digest")
        batch_op.drop_column("originals_digest")


def _create_derived() -> None:
    op.create_table(
        "derived",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("dataset_id", sa.String(length=40), nullable=False),
        sa.Column("parent_id", sa.String(length=40), nullable=True),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("parameters", sa.JSON(none_as_null=True), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "waiting",
                "running",
                "ready",
                "failed",
                name=op.f("ck_derived_state"),
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("owner", sa.String(length=200), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("losses", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("woken_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["dataset_id"], ["datasets.id"], name=op.f("fk_derived_dataset_id_datasets")),
        sa.ForeignKeyConstraint(["parent_id"], ["derived.id"], name=op.f("fk_derived_parent_id_derived")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_derived")),
        sa.UniqueConstraint("dataset_id", "key", name=op.f("uq_derived_dataset_id")),
    )
    op.create_index(op.f("ix_derived_parent_id"), "derived", ["parent_id"])
    op.create_index("ix_derived_state", "derived", ["state"])
