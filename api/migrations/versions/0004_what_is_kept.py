"""What is kept: the files of artifacts, uploaded data sets, configs"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
OPEN = sa.JSON()
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("artifact", sa.Column("files", OPEN, nullable=True))
    op.execute("UPDATE artifact SET files = '[]'")
    op.create_index("ix_artifact_workspace_id_parent_id", "artifact", ["workspace_id", "parent_id"])
    for column in (
        sa.Column("version", sa.Integer(), nullable=False, server_default="1"),
        sa.Column("file_name", sa.String(length=255), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
    ):
        op.add_column("dataset", column)
    op.create_table(
        "config",
        sa.Column("pk", ROW_NUMBER, nullable=False),
        sa.Column("workspace_id", ROW_NUMBER, nullable=False),
        sa.Column("id", sa.String(length=100), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("data", OPEN, nullable=False),
        sa.Column("tags", OPEN, nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.pk"], name="fk_config_workspace_id"),
        sa.PrimaryKeyConstraint("pk", name="pk_config"),
        sa.UniqueConstraint("workspace_id", "id", name="uq_config_workspace_id_id"),
    )
