"""API keys, and whose each row is."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_OWNED = ("datasets", "experiments", "models", "aliases")
_ALIVE = sa.text("state != 'failed'")


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("owner", sa.String(length=40), nullable=False),
        sa.Column("scopes", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("secret_digest", sa.String(length=64), nullable=False),
        sa.Column("note", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
    )
    for table in _OWNED:
        op.add_column(table, sa.Column("owned_by", sa.String(length=40), server_default="", nullable=False))
    op.drop_index("uq_datasets_name", table_name="datasets")
    _name_index(["owned_by", "name"])


def downgrade() -> None:
    # Two owners may have given one name: all but the first get another, which says whose they were.
    op.execute(
        "UPDATE datasets SET name = substr(name, 1, 120) || ' (' || owned_by || ', ' || id || ')' WHERE state != 'failed'"
        " AND EXISTS (SELECT 1 FROM datasets other WHERE other.name = datasets.name AND other.state != 'failed'"
        " AND other.id < datasets.id)"
    )
    op.drop_index("uq_datasets_name", table_name="datasets")
    _name_index(["name"])
    for table in _OWNED:
        with op.batch_alter_table(table) as batch_op:
            batch_op.drop_column("owned_by")
    op.drop_table("api_keys")


def _name_index(columns: list[str]) -> None:
    op.create_index("uq_datasets_name", "datasets", columns, unique=True, sqlite_where=_ALIVE, postgresql_where=_ALIVE)
