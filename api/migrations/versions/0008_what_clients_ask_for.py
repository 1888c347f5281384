"""What is asked for: which config, what it is to make, until when; and which artifacts are a config's"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("job", sa.Column("artifact_id", sa.String(length=100), nullable=True))
    op.add_column("job", sa.Column("config_id", sa.String(length=100), nullable=True))
    op.add_column("job", sa.Column("labels", sa.JSON(), nullable=False, server_default="{}"))
    op.add_column("job", sa.Column("expires_at", TIME, nullable=True))
    op.add_column("job", sa.Column("deleted_at", TIME, nullable=True))
    op.create_index("ix_job_workspace_id_pk", "job", ["workspace_id", "pk"])
    op.create_table(
        "config_artifact",
        sa.Column("config_pk", ROW_NUMBER, autoincrement=False, nullable=False),
        sa.Column("artifact_pk", ROW_NUMBER, autoincrement=False, nullable=False),
        sa.Column("workspace_id", ROW_NUMBER, nullable=False),
        sa.ForeignKeyConstraint(["config_pk"], ["config.pk"], name="fk_config_artifact_config_pk"),
        sa.ForeignKeyConstraint(["artifact_pk"], ["artifact.pk"], name="fk_config_artifact_artifact_pk"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.pk"], name="fk_config_artifact_workspace_id"),
        sa.PrimaryKeyConstraint("config_pk", "artifact_pk", name="pk_config_artifact"),
        sqlite_with_rowid=False,
    )
